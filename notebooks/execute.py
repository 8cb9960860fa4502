"""Run notebooks in their full form and keep in them what they print and draw.

    python notebooks/execute.py [NAME...]        such as 01-convolution; without one, all

The cells run from top to bottom in a fresh kernel. If one fails, its error is shown and the file
stays as it was. With the outputs goes the cells' hash, by which tests/test_notebooks.py knows that
they belong together; times of running and versions of Python are left out, so that a diff shows
what has changed.
"""

import hashlib
import json
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).resolve().parent
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def code_hash(notebook) -> str:
    """SHA-256 over the code cells' sources, in hexadecimal."""
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def execute(path: Path) -> None:
    """Run a notebook and write it back with its outputs; CellExecutionError if a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(path.parent)}}  # where the kernel starts
    options = {"kernel_name": "python3", "timeout": 600, "resources": place}
    NotebookClient(notebook, **options, record_timing=False, coalesce_streams=True).execute()
    done = {"code": code_hash(notebook), "form": "full"}
    notebook.metadata = {**METADATA, "minitorch_alexnet": done}
    nbformat.write(notebook, path)


def main(names: list[str]) -> int:
    os.environ.pop("MINITORCH_ALEXNET_QUICK", None)
    paths = [FOLDER / f"{name}.ipynb" for name in names] or sorted(FOLDER.glob("*.ipynb"))
    for path in paths:
        start = time.perf_counter()
        try:
            execute(path)
        except (CellExecutionError, FileNotFoundError) as error:
            print(f"{path.stem}: not executed, and left as it was\n{error}", file=sys.stderr)
            return 1
        print(f"{path.stem}: {time.perf_counter() - start:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
