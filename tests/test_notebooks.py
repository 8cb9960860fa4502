"""The notebooks: their outputs are of their cells, they stay public, a broken layer breaks them.

Each runs whole, in its quick form, with `MINITORCH_ALEXNET_QUICK=1 pytest --nbmake notebooks`.
"""

import ast
import base64
import itertools
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from minitorch_alexnet import __version__

ROOT = Path(__file__).parents[1]
NOTEBOOKS = {path.stem: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
EXECUTE = runpy.run_path(str(ROOT / "notebooks" / "execute.py"))
code_hash, execute = EXECUTE["code_hash"], EXECUTE["execute"]

# notebook: a bug that its checks must find, as (file, what stands there, the bug in its place)
BUGS = {
    "00-alexnet-2012": ("layers/conv.py", "].data[0].size * math", "].data.size * math"),
    "01-convolution": ("layers/conv.py", "dw[:, outs] += columns", "dw[:, outs] -= columns"),
    "02-relu": ("layers/activation.py", "1 - y**2", "1 - y"),
    "03-lrn": ("kernels/cpu.py", "x / s, after, before, groups", "x / s, before, after, groups"),
    "04-pooling": ("kernels/cpu.py", "place += d_rows", "place[...] = d_rows"),
    "05-dropout": ("layers/dropout.py", "(dy * mask if", "(dy if"),
    "06-loss-and-sgd": ("layers/loss.py", "dz /= len(dz)", "dz /= dz.shape[1]"),
    "07-gradient-checking": ("gradcheck.py", "(left + right) / 2", "left + right"),
    "08-two-devices": ("layers/join.py", "dy[:, a:b]", "dy[:, : b - a]"),
    "09-data": ("data/transforms.py", "np.sqrt(variances.clip(0))", "variances"),
    "10-alexnet-on-fashion": ("layers/linear.py", "dy.sum(axis=0)", "dy.mean(axis=0)"),
    "11-many-machines": ("processes.py", "(share.stop - share.start) / batch", "1 / self.size"),
}

EXERCISE_CELLS = ("exercise", "check", "solution")
EXERCISE = re.compile(r"^\*\*(\d+)\. (★{1,3}) [^*]+\*\*", re.MULTILINE)  # **1. ★ Title.**
MAX_BYTES, MAX_PICTURE, MAX_LINES = 2_500_000, 1_000_000, 45
FEWEST_WORDS = 10  # of the text that stands for a picture
# what is of one machine or one run: absolute paths, addresses in memory
NOT_FOR_ALL = re.compile(r"(?<![\w./])/(?:[\w.-]+/)+[\w.-]+|\b[A-Z]:\\\S*|\b0x[0-9a-f]{8,}")


# ---- what may be wrong with a notebook -----------------------------------------------------------


def complaints(notebook) -> list[str]:
    """Everything that is wrong with a notebook, as it lies there."""
    judges = (
        wrong_beginning,
        wrong_runs,
        wrong_outputs,
        wrong_pictures,
        wrong_exercises,
        wrong_stars,
        private_names,
        long_cells,
    )
    return [complaint for judge in judges for complaint in judge(notebook)]


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(output) -> str:
    """What a reader can read in an output: all but pictures."""
    data = output.get("data", {})
    return "\n".join([output.get("text", ""), *(data[k] for k in data if k.startswith("text/"))])


def has_tag(cell, tag) -> bool:
    return tag in cell.metadata.get("tags", ())


def beginning(notebook) -> list[str]:
    """What all notebooks share: the line on the cloud and the cell that installs."""
    return [cell.source for cell in notebook.cells[1:3]]


def wrong_beginning(notebook):
    title, line, install, *_ = notebook.cells
    if title.cell_type != "markdown" or not title.source.startswith("# "):
        yield "it begins without a title"
    if line.cell_type != "markdown" or "colab" not in line.source:
        yield "the second cell does not say how to open it in the cloud"
    if install.cell_type != "code" or not has_tag(install, "install"):
        yield "the third cell does not install the package"
    elif 'ADDRESS = ""' not in install.source:
        yield "it is installed without being asked"


def wrong_runs(notebook):
    if notebook.metadata.get("minitorch_alexnet") != {"code": code_hash(notebook), "form": "full"}:
        yield "the outputs are of other cells: python notebooks/execute.py"
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"the cells ran in the order {counts}"


def wrong_outputs(notebook):
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    for output in outputs:
        if output.output_type == "error" or output.get("name") == "stderr":
            yield f"an error or a warning: {output}"
        for found in NOT_FOR_ALL.findall(text_of(output)):
            yield f"{found} is of one machine"


def wrong_pictures(notebook):
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    if not pictures:
        yield "there is no figure"
    alts = [each.metadata.get("image/png", {}).get("alt", "") for each in pictures]
    for alt in alts:
        if len(alt.split()) < FEWEST_WORDS:
            yield f"a picture whose words say too little: {alt!r}"
    if len(set(alts)) < len(alts):
        yield "two pictures have the same words"
    for picture in pictures:
        size = len(base64.b64decode(picture.data["image/png"]))
        if size >= MAX_PICTURE:
            yield f"a picture of {size:,} bytes"


def wrong_exercises(notebook):
    cells = [
        (kind, cell)
        for cell in code_cells(notebook)
        for kind in EXERCISE_CELLS
        if has_tag(cell, kind)
    ]
    kinds = [kind for kind, _ in cells]
    count = kinds.count("exercise")
    if count < 2 or kinds != ["exercise", "check"] * count + ["solution"] * count:
        yield f"expected two exercises or more, their checks, all solutions at the end; got {kinds}"
    for kind, cell in cells:
        if kind == "check" and "not done yet" not in "".join(map(text_of, cell.outputs)):
            yield "the check does not see that its exercise is to be done"
        if kind == "solution" and not cell.metadata.get("jupyter", {}).get("source_hidden"):
            yield "a solution lies open"
        if kind == "solution" and '== "right"' not in cell.source:
            yield "a solution is not checked"


def wrong_stars(notebook):
    pairs = itertools.pairwise(notebook.cells)
    before = [cell.source for cell, after in pairs if has_tag(after, "exercise")]
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    titles = [found for text in texts for found in EXERCISE.findall(text)]
    numbers, stars = [int(number) for number, _ in titles], [len(grade) for _, grade in titles]
    if not all(map(EXERCISE.search, before)):
        yield "an exercise has no number, stars and title before it"
    elif numbers != list(range(1, len(numbers) + 1)):
        yield f"the exercises are numbered {numbers}"
    elif stars != sorted(stars) or stars[-1:] != [3]:
        yield f"expected exercises from easy to hard, the last of three stars; got {stars}"


def long_cells(notebook):
    for cell in code_cells(notebook):
        if (lines := len(cell.source.splitlines())) > MAX_LINES:
            yield f"a cell of {lines} lines"


def private_names(notebook):
    for cell in code_cells(notebook):
        for node in ast.walk(ast.parse(cell.source)):
            names = [node.attr] if isinstance(node, ast.Attribute) else []
            if isinstance(node, ast.Import | ast.ImportFrom):
                modules = [getattr(node, "module", None) or "", *(a.name for a in node.names)]
                names = ".".join(modules).split(".")
            for name in names:
                if re.match("_(?!_)", name):
                    yield f"{name} is not for the public"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_notebook_is_whole(name):
    assert complaints(nbformat.read(NOTEBOOKS[name], as_version=4)) == []
    assert NOTEBOOKS[name].stat().st_size < MAX_BYTES


def test_all_notebooks_install_in_the_same_way():
    first, *others = (nbformat.read(path, as_version=4) for path in NOTEBOOKS.values())
    for other in others:
        assert beginning(other) == beginning(first)


# ---- can these checks fail? ----------------------------------------------------------------------


def signed(notebook):
    """As if it had been executed just so."""
    notebook.metadata["minitorch_alexnet"] = {"code": code_hash(notebook), "form": "full"}
    for count, cell in enumerate(code_cells(notebook), 1):
        cell.execution_count = count
    return notebook


def drawing(alt, png="iVBORw0KGgo="):
    data = {"image/png": png, "text/plain": "<Figure size 9x9>"}
    return new_output("display_data", data, metadata={"image/png": {"alt": alt}})


ALT = "The error by epoch: it falls from 80 to 11 percent."
FIRST = 3  # the first cell of its own of the notebook below


def good():
    """A small notebook that nothing is wrong with."""
    undone = new_output("stream", text="Exercise: not done yet, 3/4 of it, at 20 images/s\n")
    cells = [
        new_markdown_cell("# A title"),  # 0
        new_markdown_cell("> in colab"),
        new_code_cell('ADDRESS = ""', metadata={"tags": ["install"]}),
        new_code_cell("print(x.__doc__)", outputs=[drawing(ALT)]),
    ]
    for text in ("**1. ★ Easy.** Do it.", "**2. ★★★ Hard.** Why?"):
        cells += [
            new_markdown_cell(text),  # 4, 7
            new_code_cell("def f(): ...", metadata={"tags": ["exercise"]}),  # 5, 8
            new_code_cell("print(check(f))", metadata={"tags": ["check"]}, outputs=[undone]),
        ]
    for _ in range(2):
        hidden = {"tags": ["solution"], "jupyter": {"source_hidden": True}}
        cells += [new_code_cell('assert check(g) == "right"', metadata=hidden)]  # 10, 11
    return signed(new_notebook(cells=cells))


def test_a_good_notebook_has_nothing_against_it():
    assert complaints(good()) == []


def printing(text, **more):
    return lambda cells: cells[FIRST].outputs.append(new_output("stream", text=text, **more))


def saying(source):
    return lambda cells: cells[FIRST].update(source=source)


def writing(place, source):
    return lambda cells: cells[place].update(source=source)


def picturing(*what):
    return lambda cells: cells[FIRST].outputs.append(drawing(*what))


LARGE = base64.b64encode(bytes(1_000_000)).decode()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda cells: cells[FIRST].outputs.clear(), "no figure"),
        (lambda cells: cells[FIRST].outputs.append(new_output("error")), "an error"),
        (printing("careful", name="stderr"), "an error or a warning"),
        (printing("written to /home/me/run/a.npz"), "/home/me/run/a.npz is of one machine"),
        (printing("in '/tmp/x'"), "/tmp/x is of one machine"),
        (printing(r"C:\Users\me"), "of one machine"),
        (printing("<f at 0x7f3a5c0d1e80>"), "of one machine"),
        (lambda cells: cells.pop(10), "solutions at the end"),
        (lambda cells: cells.insert(6, cells.pop(9)), "solutions at the end"),
        (lambda cells: [cells.pop(i) for i in (11, 6, 5)], "two exercises or more"),
        (lambda cells: cells[6].outputs.clear(), "to be done"),
        (lambda cells: cells[10].metadata.pop("jupyter"), "lies open"),
        (lambda cells: cells[10].update(source="check(g)"), "not checked"),
        (saying("from minitorch_alexnet.device import _cupy"), "_cupy is not for the public"),
        (saying("import minitorch_alexnet._inner as inner"), "_inner is not for the public"),
        (saying("from minitorch_alexnet._inner import x"), "_inner is not for the public"),
        (saying("layer._groups()"), "_groups is not for the public"),
        (saying("1\n" * 46), "a cell of 46 lines"),
        (writing(0, "A title"), "without a title"),
        (writing(1, "> in the cloud"), "how to open it"),
        (lambda cells: cells[2].metadata.clear(), "does not install"),
        (writing(2, 'ADDRESS = "x"'), "without being asked"),
        (lambda cells: cells[FIRST].outputs[0].metadata.clear(), "say too little"),
        (picturing("Figure 1"), "say too little: 'Figure 1'"),
        (picturing(""), "say too little"),
        (picturing(ALT), "the same words"),
        (picturing("A large picture: " + ALT, LARGE), "1,000,000 bytes"),
        (writing(4, "**1. Easy.** Do it."), "no number"),
        (writing(4, "**1. ★★★★ Easy.** Do it."), "no number"),
        (writing(7, "**3. ★★★ Hard.** Why?"), "numbered [1, 3]"),
        (writing(7, "**2. ★★ Hard.** Why?"), "from easy to hard"),
        (writing(7, "**2. ★★★ Hard.** Why?\n\n**3. ★ Easy.** Do it."), "from easy to hard"),
        (writing(7, "Why?"), "no number"),
    ],
)
def test_a_spoilt_notebook_is_complained_of(spoil, words):
    notebook = good()
    spoil(notebook.cells)
    found = complaints(signed(notebook))
    assert len(found) == 1
    assert words in found[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda notebook: notebook.cells[FIRST].update(source="print(2)"),
        lambda notebook: notebook.metadata["minitorch_alexnet"].update(form="quick"),
        lambda notebook: notebook.metadata.pop("minitorch_alexnet"),
        lambda notebook: notebook.cells[5].update(execution_count=None),
        lambda notebook: notebook.cells[5].update(execution_count=1),
    ],
)
def test_outputs_of_another_run_are_complained_of(change):
    notebook = good()
    change(notebook)
    assert len(complaints(notebook)) == 1


def test_execute_keeps_the_outputs_of_a_notebook_that_runs_and_no_other(tmp_path):
    path = tmp_path / "small.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("print(6 * 7)")]), path)
    execute(path)
    notebook = nbformat.read(path, as_version=4)
    (cell,) = notebook.cells
    assert list(wrong_runs(notebook)) == []
    assert text_of(cell.outputs[0]) == "42\n"
    assert cell.metadata == {}  # no times
    assert "version" not in notebook.metadata.language_info

    cell.source = "print(1 / 0)"
    nbformat.write(notebook, path)
    before = path.read_bytes()
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        execute(path)
    assert path.read_bytes() == before


# ---- anywhere ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_install_cell_installs_from_a_git_address(tmp_path):
    if not (ROOT / ".git").exists():
        pytest.skip("not a git repository")
    clone, fresh = tmp_path / "clone.git", tmp_path / "fresh"
    subprocess.run(["git", "clone", "-q", "--bare", ROOT, clone], check=True)
    fresh_venv = [sys.executable, "-m", "venv", fresh]
    subprocess.run(fresh_venv, check=True)
    python = fresh / ("Scripts" if os.name == "nt" else "bin") / "python"
    _, cell = beginning(nbformat.read(next(iter(NOTEBOOKS.values())), as_version=4))
    cell = cell.replace('ADDRESS = ""', f'ADDRESS = "{clone.as_uri()}"')
    look = "import minitorch_alexnet as m; print(m.__file__, m.__version__); m.build('fashion')"
    alone = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    for code in (cell, look):
        done = subprocess.run(
            [python, "-c", code], cwd=tmp_path, env=alone, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
    file, version = done.stdout.split()
    assert fresh in Path(file).parents
    assert version == __version__


# ---- a broken layer breaks its notebook ----------------------------------------------------------


def test_every_notebook_has_a_bug_to_find():
    assert BUGS.keys() == NOTEBOOKS.keys()
    for file, old, _ in BUGS.values():
        assert old in (ROOT / "minitorch_alexnet" / file).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("bug", [False, True], ids=["as it is", "with the bug"])
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_broken_layer_breaks_its_notebook(name, bug, tmp_path):
    cells = code_cells(nbformat.read(NOTEBOOKS[name], as_version=4))
    script = tmp_path / "notebook.py"
    script.write_text("\n".join(cell.source for cell in cells))
    package = tmp_path / "minitorch_alexnet"  # beside the script: imported before any other
    shutil.copytree(ROOT / "minitorch_alexnet", package)
    if bug:
        file, old, new = BUGS[name]
        text = (package / file).read_text()
        assert old in text
        (package / file).write_text(text.replace(old, new))
    quick = {"MINITORCH_ALEXNET_QUICK": "1", "MPLBACKEND": "agg", "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env={**os.environ, **quick},
        capture_output=True,
        text=True,
    )
    if bug:
        assert result.returncode == 1
        assert "AssertionError" in result.stderr
    else:
        assert result.returncode == 0, result.stderr
