"""Which folders are parts of a data set, told by their names: Train and Test, seg_train, seg_val.

A name says it with one word, whatever stands around: "training_set", "valImages", "test2017". Two
that differ in this word alone belong together. "trains" and "testudo" do not have it.
"""

import re
from collections.abc import Iterable

WORDS = {  # longest first, as "trainval" begins with "train"
    "trainval": "train", "training": "train", "train": "train",
    "validation": "val", "validate": "val", "valid": "val", "val": "val",
    "evaluation": "val", "eval": "val", "development": "val", "devel": "val", "dev": "val",
    "holdout": "val", "heldout": "val",
    "testing": "test", "test": "test", "trn": "train", "tst": "test",
    **dict.fromkeys(("entrenamiento", "treinamento", "treino", "addestramento"), "train"),
    **dict.fromkeys(("apprentissage", "entraînement", "entrainement"), "train"),
    **dict.fromkeys(("validierung", "validación", "validacion", "validação"), "val"),
    **dict.fromkeys(("prueba", "pruebas", "teste"), "test"),
    **dict.fromkeys(("训练", "訓練"), "train"), "验证": "val", "検証": "val", "测试": "test",
}  # fmt: skip
# What stands around it and says nothing more
USUAL = {
    *("set", "sets", "split", "data", "dataset", "folder", "dir", "part", "samples", "class"),
    *("image", "images", "img", "imgs", "pic", "pics", "picture", "pictures", "photo", "photos"),
    *("jpg", "jpeg", "jpegs", "png", "classes", "files", "my", "the", "daten", "sdaten", "集"),
}
NO_CLASS = (
    r"(images?|imgs?|jpe?gs?|jpegimages|png)[\W_]*\d*|(batch|chunk|dataset|fold|part|set|split)"
    r"[\W_]*\d+|unlabell?ed|dcim|(?-i:[1-9]\d\d[A-Z0-9_]{5})"  # the last are a camera's: 100CANON
)


def find_splits(names: Iterable[str]) -> dict[str, list[str]]:
    """Those that are parts: {"train": ["seg_train"], "test": ["seg_test"]}, or one without other.

    Of a kind there may be several, where one could be meant as well as another.
    """
    names = list(names)
    told: dict[tuple, dict[str, list[str]]] = {}
    for name in sorted(names):
        if said := _said(name):
            split, rest = said
            told.setdefault(rest, {}).setdefault(split, []).append(name)
    whole = [group for group in told.values() if is_whole(group)]
    if (plain := told.get((), {})) in whole:
        return plain
    every = _together(told.values())
    if not whole and is_whole(every) and sum(map(len, every.values())) == len(names):
        return every  # train_small and val_full, with nothing else beside them
    if not whole:  # train and val_images, say
        whole = [group for rest, group in told.items() if USUAL.issuperset(rest)]
    return _together(whole)


def _together(groups: Iterable[dict[str, list[str]]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for group in groups:
        for split, same in group.items():
            found.setdefault(split, []).extend(same)
    return found


def is_whole(splits: dict) -> bool:
    """Is there a part for training, and another?"""
    return "train" in splits and len(splits) > 1


def is_no_class(name: str) -> bool:
    """Is it a folder that is in many a data set, such as "images" or "fold_1"?"""
    return re.fullmatch(NO_CLASS, name, re.IGNORECASE) is not None


def names_a_part(name: str) -> bool:
    """Does it say a part, with whatever words beside it? A class can, too: "dog training"."""
    return _said(name) is not None


def _said(name: str) -> tuple[str, tuple[str, ...]] | None:
    """What a name says a folder is for, "train", "val" or "test", and its other words."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()  # trainSet
    words = re.findall(r"[^\W\d_]+", re.sub(r"h(o|e)ld[\W_]+out", "holdout", spaced))
    found = [(i, said) for i, word in enumerate(words) if (said := _split_in(word))]
    if len(found) != 1:
        return None
    place, (split, more) = found[0]
    return split, (*words[:place], *more, *words[place + 1 :])


def _split_in(word: str) -> tuple[str, list[str]] | None:
    """Of "trainset" "train", and "set"; of "trainer" nothing."""
    for start, split in WORDS.items():
        more = word.removeprefix(start)
        if more != word and (not more or more in USUAL):
            return split, [more] if more else []
    return None
