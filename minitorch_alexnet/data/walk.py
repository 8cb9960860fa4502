"""The files below a folder, each once whatever links lead to it; none is opened."""

import errno
import os
import stat
from collections import Counter, deque
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from .photo import formats

# What cameras, network drives and systems leave: thumbnails, copies, the deleted
SYSTEM = {
    *("@eadir", "#recycle", "@recycle", "#snapshot", "@recently-snapshot", "@tmp", "$recycle.bin"),
    *("recycler", "system volume information", "lost+found", "found.000", "__macosx", "thumbs"),
    *("thumbnails", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "thmbnl"),
    *("picasa originals", "picasaoriginals", "picasa.ini", "ipod photo cache", "_gsdata_"),
    *("__pycache__", "network trash folder", "temporary items", "lost.dir", "trashbox"),
    *("@sharebin", "@snapshot", "~snapshot", "@synoresource", "recycle bin", "found.001"),
    *("_vti_cnf", "_vti_pvt", "captureone"),
}
OF_THE_SYSTEM, HIDDEN = "the system's, not yours", "hidden"
QUIET = (OF_THE_SYSTEM, HIDDEN)  # reasons that surprise nobody
LINKED = "a link to what is here already"
NO_FILE = "neither a file nor a folder, nor a link to one"
# What else there is, and how it becomes an image
KINDS = {
    "HEIC, which takes a plugin: pip install pillow-heif": "heic heics heif heifs hif",
    "AVIF, which takes a newer Pillow: pip install --upgrade pillow": "avif avifs",
    "JPEG XL, which takes a plugin: pip install pillow-jxl-plugin": "jxl",
    "a camera's raw file: convert it to JPEG or TIFF": (
        "3fr arw cr2 cr3 crw dcr dng erf fff iiq k25 kdc mef mos mrw nef nrw orf pef raf raw rw2"
        " rwl sr2 srf srw x3f"
    ),
    "a picture being edited: export it as PNG": "psd psb xcf kra clip afphoto pdn ora procreate",
    "a drawing or a document: export it as PNG": (
        "svg svgz ai cdr eps ps pdf wmf emf djvu doc docx ppt pptx"
    ),
    "another kind of picture: convert it to PNG": (
        "jxr wdp hdp bpg flif exr hdr dds ktx ktx2 ico icns cur mpo jps pct pict xbm xpm fits fit"
        " dcm dicom nii mha mhd czi nd2 lsm svs ndpi vsi npy"
    ),
    "a video: take pictures from it": (
        "mp4 m4v mov avi mkv webm wmv flv mpg mpeg mts m2ts 3gp ogv gifv"
    ),
    "an archive: unpack it": "zip tar gz tgz bz2 xz 7z rar zst tbz2 txz",
}
WHAT = {f".{ending}": kind for kind, endings in KINDS.items() for ending in endings.split()}
NO_IMAGE = "not the name of an image file"


def passed_by(name: str) -> str:
    """Why what has this name is never looked at, or ""."""
    return HIDDEN if name[0] == "." else OF_THE_SYSTEM if name.lower() in SYSTEM else ""


class Found(NamedTuple):
    path: str  # below the source, with /
    bytes: int


class Walk:
    """Looks for image files below `source`; `read` may be called once.

    files: the image files found, sorted by path
    folders: that were looked into; aside: {path: why} of all that is passed by
    All paths are below the source, with /.
    """

    def __init__(self, source: Path):
        self.source = source
        self.files: list[Found] = []
        self.folders: list[str] = []
        self.aside: dict[str, str] = {}
        read = formats()  # first: its plugins bring endings of their own
        endings = Image.registered_extensions()
        self._endings = {ending for ending, kind in endings.items() if kind in read}
        self._seen: set = set()
        self._links: deque[str] = deque()

    def read(self, *folders: str) -> None:
        """Find what is in these; "" is the source. A link counts where nothing else leads there."""
        for folder in folders:
            self._enter(folder)
        while self._links:
            link = self._links.popleft()
            if (place := self.source / link).is_dir():
                self._enter(link)
            else:
                self._take(link, os.path.realpath(place))
        self.files.sort()

    def _enter(self, folder: str) -> None:
        waiting = deque([folder])
        while waiting:
            folder = waiting.popleft()
            real = os.path.realpath(self.source / folder)
            if real in self._seen or (folder and self._lies_in(real)):
                self.aside[folder] = LINKED
                continue
            self._seen.add(real)
            self.folders.append(folder)
            with os.scandir(self.source / folder) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    if why := passed_by(entry.name):
                        self.aside[path] = why
                    elif entry.is_symlink():
                        self._links.append(path)
                    elif entry.is_dir():
                        waiting.append(path)
                    else:
                        self._take(path, os.path.join(real, entry.name))

    def _lies_in(self, folder: str) -> bool:
        return Path(os.path.realpath(self.source)).is_relative_to(folder)

    def _take(self, path: str, real: str) -> None:
        ending = os.path.splitext(path)[1].lower()
        status = _status(real)
        if not status or not stat.S_ISREG(status.st_mode):
            self.aside[path] = NO_FILE
        elif ending not in self._endings:
            self.aside[path] = WHAT.get(ending, NO_IMAGE)
        else:
            one = (status.st_dev, status.st_ino) if status.st_nlink > 1 else real
            if one in self._seen:
                self.aside[path] = LINKED
            else:
                self._seen.add(one)
                self.files.append(Found(path, status.st_size))

    def why(self, folder: str) -> str:
        """What the files in a folder are, if no images: "2 files: HEIC, which takes …", or ""."""
        within = folder and f"{folder}/"
        counts = Counter(why for path, why in self.aside.items() if path.startswith(within))
        found = [kind for kind in KINDS if counts[kind]] or [
            k for k in (NO_IMAGE, LINKED) if counts[k]
        ]
        return "; ".join(
            f"{counts[kind]:,} file{'s' * (counts[kind] > 1)}: {kind}" for kind in found
        )


def _status(path: str) -> os.stat_result | None:
    """None if nothing is there, or a link that leads nowhere."""
    try:
        return os.stat(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise
