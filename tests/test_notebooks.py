"""The notebooks: their outputs are of their cells, they stay public, a broken layer breaks them.

Each runs whole, in its quick form, with `MINITORCH_ALEXNET_QUICK=1 pytest --nbmake notebooks`.
"""

import ast
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
from nbformat.v4 import new_code_cell, new_notebook, new_output

ROOT = Path(__file__).parents[1]
NOTEBOOKS = {path.stem: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
EXECUTE = runpy.run_path(str(ROOT / "notebooks" / "execute.py"))
code_hash, execute = EXECUTE["code_hash"], EXECUTE["execute"]

# notebook: a bug that its checks must find, as (file, what stands there, the bug in its place)
BUGS = {
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
MAX_BYTES = 1_500_000
# what is of one machine or one run: absolute paths, addresses in memory
NOT_FOR_ALL = re.compile(r"(?<![\w./])/(?:[\w.-]+/)+[\w.-]+|\b[A-Z]:\\\S*|\b0x[0-9a-f]{8,}")


# ---- what may be wrong with a notebook -----------------------------------------------------------


def complaints(notebook) -> list[str]:
    """Everything that is wrong with a notebook, as it lies there."""
    judges = (wrong_runs, wrong_outputs, wrong_exercises, private_names)
    return [complaint for judge in judges for complaint in judge(notebook)]


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(output) -> str:
    """What a reader can read in an output: all but pictures."""
    data = output.get("data", {})
    return "\n".join([output.get("text", ""), *(data[k] for k in data if k.startswith("text/"))])


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
    if not any("image/png" in output.get("data", {}) for output in outputs):
        yield "there is no figure"


def wrong_exercises(notebook):
    cells = [
        (kind, cell)
        for cell in code_cells(notebook)
        for kind in EXERCISE_CELLS
        if kind in cell.metadata.get("tags", ())
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


# ---- can these checks fail? ----------------------------------------------------------------------


def signed(notebook):
    """As if it had been executed just so."""
    notebook.metadata["minitorch_alexnet"] = {"code": code_hash(notebook), "form": "full"}
    for count, cell in enumerate(notebook.cells, 1):
        cell.execution_count = count
    return notebook


def good():
    """A small notebook that nothing is wrong with: cells 0; 1, 2; 3, 4; 5, 6."""
    figure = new_output("display_data", {"image/png": "", "text/plain": "<Figure size 9x9>"})
    undone = new_output("stream", text="Exercise: not done yet, 3/4 of it, at 20 images/s\n")
    cells = [new_code_cell("print(x.__doc__)", outputs=[figure])]
    for _ in range(2):
        cells += [
            new_code_cell("def f(): ...", metadata={"tags": ["exercise"]}),
            new_code_cell("print(check(f))", metadata={"tags": ["check"]}, outputs=[undone]),
        ]
    for _ in range(2):
        hidden = {"tags": ["solution"], "jupyter": {"source_hidden": True}}
        cells += [new_code_cell('assert check(g) == "right"', metadata=hidden)]
    return signed(new_notebook(cells=cells))


def test_a_good_notebook_has_nothing_against_it():
    assert complaints(good()) == []


def printing(text, **more):
    return lambda cells: cells[0].outputs.append(new_output("stream", text=text, **more))


def saying(source):
    return lambda cells: cells[0].update(source=source)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda cells: cells[0].outputs.clear(), "no figure"),
        (lambda cells: cells[0].outputs.append(new_output("error")), "an error"),
        (printing("careful", name="stderr"), "an error or a warning"),
        (printing("written to /home/me/run/a.npz"), "/home/me/run/a.npz is of one machine"),
        (printing("in '/tmp/x'"), "/tmp/x is of one machine"),
        (printing(r"C:\Users\me"), "of one machine"),
        (printing("<f at 0x7f3a5c0d1e80>"), "of one machine"),
        (lambda cells: cells.pop(5), "solutions at the end"),
        (lambda cells: cells.insert(1, cells.pop(2)), "solutions at the end"),
        (lambda cells: [cells.pop(i) for i in (6, 4, 3)], "two exercises or more"),
        (lambda cells: cells[2].outputs.clear(), "to be done"),
        (lambda cells: cells[5].metadata.pop("jupyter"), "lies open"),
        (lambda cells: cells[5].update(source="check(g)"), "not checked"),
        (saying("from minitorch_alexnet.device import _cupy"), "_cupy is not for the public"),
        (saying("import minitorch_alexnet._inner as inner"), "_inner is not for the public"),
        (saying("from minitorch_alexnet._inner import x"), "_inner is not for the public"),
        (saying("layer._groups()"), "_groups is not for the public"),
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
        lambda notebook: notebook.cells[0].update(source="print(2)"),
        lambda notebook: notebook.metadata["minitorch_alexnet"].update(form="quick"),
        lambda notebook: notebook.metadata.pop("minitorch_alexnet"),
        lambda notebook: notebook.cells[3].update(execution_count=None),
        lambda notebook: notebook.cells[3].update(execution_count=3),
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
