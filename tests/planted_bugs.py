"""Can the tests fail? Plant bugs, one at a time, in a copy of the package and see what turns red.

    python tests/planted_bugs.py [WORD…]      only the bugs in whose text every WORD occurs

Prints a table: file, bug, the first test that turned red. Exit status 1 if a bug goes unseen.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LAYERS = "tests/layers tests/test_kernels.py"
# (file, what stands there, the bug in its place, the tests to ask)
BUGS = [
    # the loops
    ("kernels/cpu.py", "padded[:, top : top + h", "padded[:, bottom : bottom + h", LAYERS),
    ("kernels/cpu.py", "[:, ::sh, ::sw]", "[:, ::sw, ::sh]", LAYERS),
    ("kernels/cpu.py", "transpose(0, 4, 5, 1, 2, 3)", "transpose(0, 5, 4, 1, 2, 3)", LAYERS),
    ("kernels/cpu.py", "+= columns[:, i, j]", "= columns[:, i, j]", LAYERS),
    ("kernels/cpu.py", "x[:, i : i + sh * oh : sh, j", "x[:, i : i + sh * oh : sh, i", LAYERS),
    ("kernels/cpu.py", "x[:, top : top + h, left : left + w]", "x[:, :h, left : left + w]", LAYERS),
    ("kernels/cpu.py", "range(1, min(before, channels - 1) + 1)", "range(1, before)", LAYERS),
    ("kernels/cpu.py", "range(1, min(after, channels - 1) + 1)", "range(1, before + 1)", LAYERS),
    ("kernels/cpu.py", "y[:, shift:] += x[:, :-shift]", "y[:, shift:] += y[:, :-shift]", LAYERS),
    ("kernels/cpu.py", "-np.inf, x.dtype", "0, x.dtype", LAYERS),
    ("kernels/cpu.py", "for axis in (3, 2):", "for axis in (3, 3):", LAYERS),
    ("kernels/cpu.py", "left[outputs] -= won", "pass", LAYERS),
    ("kernels/cpu.py", "dx[inputs] += won", "dx[inputs] = won", LAYERS),
    ("kernels/cpu.py", "(x[inputs] == y[outputs])", "(x[inputs] >= dy[outputs])", LAYERS),
    ("kernels/cpu.py", "_to_winners(rows, y, dy, 2,", "_to_winners(rows, y, dy, 3,", LAYERS),
    ("kernels/cpu.py", "max(0, -((k - before) // step))", "max(0, (before - k) // step)", LAYERS),
    ("kernels/cpu.py", "size - 1, (shape[axis] - 1 + before", "size - 1, (shape[axis] + before", LAYERS),
    # convolution
    ("layers/conv.py", "maps += bias", "pass", LAYERS),
    ("layers/conv.py", "db += maps.sum(axis=1)", "db = maps.sum(axis=1)", LAYERS),
    ("layers/conv.py", "db += maps.sum(axis=1)", "db -= maps.sum(axis=1)", LAYERS),
    ("layers/conv.py", "db += maps.sum(axis=1)", "db += maps.mean(axis=1)", LAYERS),
    ("layers/conv.py", "dw[:, outs] += columns", "dw[:, outs] = columns", LAYERS),
    ("layers/conv.py", "dw[:, outs] += columns", "dw[:, outs] -= columns", LAYERS),
    ("layers/conv.py", "sum(dw for dw, _ in parts)", "parts[0][0]", LAYERS),
    ("layers/conv.py", "sum(db for _, db in parts)", "parts[0][1]", LAYERS),
    ("layers/conv.py", "xp.matmul(weight[outs].T, maps[outs]", "xp.matmul(weight[outs].T, -maps[outs]", LAYERS),
    ("layers/conv.py", "slice(g * rows, (g + 1) * rows)", "slice(0, rows)", LAYERS),
    ("layers/conv.py", "slice(g * outs, (g + 1) * outs)", "slice(0, outs)", LAYERS),
    # local response normalisation
    ("layers/lrn.py", "xp.subtract(g, crossed", "xp.add(g, crossed", LAYERS),
    ("layers/lrn.py", "xp.subtract(g, crossed", "xp.subtract(g, 0 * crossed", LAYERS),
    ("layers/lrn.py", "2 * self._a() * self.beta", "self._a() * self.beta", LAYERS),
    ("layers/lrn.py", "2 * self._a() * self.beta", "2 * self.alpha * self.beta", LAYERS),
    ("layers/lrn.py", "2 * self._a() * self.beta", "2 * self._a()", LAYERS),
    ("layers/lrn.py", "window_sum(g * block / scale, after, before)", "window_sum(g * block / scale, before, after)", LAYERS),
    ("layers/lrn.py", "g * block / scale, after", "g * block, after", LAYERS),
    ("layers/lrn.py", "g * block / scale, after", "g / scale, after", LAYERS),
    ("layers/lrn.py", "crossed *= block\n", "pass\n", LAYERS),
    ("layers/lrn.py", "self._grouped(dy[images]) / self._power(scale)", "self._grouped(dy[images])", LAYERS),
    ("layers/lrn.py", "scale += self.k", "scale += 1", LAYERS),
    ("layers/lrn.py", "self.size // 2, (self.size - 1) // 2", "(self.size - 1) // 2, self.size // 2", LAYERS),
    ("layers/lrn.py", "n * self.groups, c // self.groups", "n, c", LAYERS),
    ("layers/lrn.py", "if self.alpha_over_size else", "if not self.alpha_over_size else", LAYERS),
    # pooling, activations, dropout
    ("layers/pool.py", "return out - 1 if", "return out if", LAYERS),
    ("layers/pool.py", "-(-room // stride) + 1", "room // stride + 1", LAYERS),
    ("layers/activation.py", "y[part] > 0", "y[part] >= 0", LAYERS),
    ("layers/activation.py", "xp.multiply(dy[part], y[part] > 0", "xp.multiply(-dy[part], y[part] > 0", LAYERS),
    ("layers/activation.py", "1 - y[part] ** 2", "1 - y[part]", LAYERS),
    ("layers/activation.py", "1 - y[part] ** 2", "1 + y[part] ** 2", LAYERS),
    ("layers/dropout.py", "return dy * mask", "return dy", LAYERS),
    ("layers/dropout.py", "return x * keep", "return x * self.p", LAYERS),
    ("layers/dropout.py", "else 1 / keep", "else 1 / self.p", LAYERS),
    ("layers/dropout.py", ">= self.p", "< self.p", LAYERS),
    # linear, flatten, join
    ("layers/linear.py", "y[:, rows] += bias[rows]", "pass", LAYERS),
    ("layers/linear.py", "xp.matmul(dy[:, rows].T, x", "xp.matmul(-dy[:, rows].T, x", LAYERS),
    ("layers/linear.py", "dy.sum(axis=0)", "dy.mean(axis=0)", LAYERS),
    ("layers/linear.py", "dy @ weight.data[:, columns]", "-dy @ weight.data[:, columns]", LAYERS),
    ("layers/flatten.py", "dy.reshape(shape)", "dy.reshape(shape[0], *shape[:0:-1]).transpose(0, 3, 2, 1)", LAYERS),
    ("layers/join.py", "start += width", "pass", LAYERS),
    ("layers/join.py", "return source.copy(dy)", "return source.copy(-dy)", LAYERS),
    ("layers/join.py", "self.bytes_backward += dy.nbytes", "pass", LAYERS + " tests/test_graph.py"),
    # loss
    ("layers/loss.py", "dz /= len(dz)", "pass", LAYERS),
    ("layers/loss.py", "-= 1\n", "+= 1\n", LAYERS),
    ("layers/loss.py", "z = logits - logits.max(axis=1, keepdims=True)", "z = logits", LAYERS),
    ("layers/loss.py", ".mean()", ".sum()", LAYERS),
    # the optimiser
    ("optim.py", "v -= rate * (decay * w + g if decay else g)\n                w += v", "v -= decay * w + g if decay else g\n                w += rate * v", "tests/test_optim.py"),
    ("optim.py", "self.weight_decay * parameter.decay", "self.weight_decay", "tests/test_optim.py"),
    ("optim.py", "self.lr * parameter.lr_scale", "self.lr", "tests/test_optim.py"),
    ("optim.py", "v *= self.momentum", "pass", "tests/test_optim.py"),
    ("optim.py", "w += v", "w -= v", "tests/test_optim.py"),
    ("optim.py", "decay * w + g if", "g - decay * w if", "tests/test_optim.py"),
    ("optim.py", "if error < self.best", "if error <= self.best", "tests/test_optim.py"),
    # the graph
    ("graph.py", "gradients[s] + dx if s in gradients else dx", "dx", "tests/test_graph.py"),
    ("graph.py", "gradients[s] + dx if s in gradients else dx", "gradients.get(s, dx)", "tests/test_graph.py"),
    ("graph.py", "in reversed(self.nodes.values())", "in self.nodes.values()", "tests/test_graph.py"),
    ("graph.py", "np.concatenate(pieces) for", "np.concatenate(pieces[::-1]) for", "tests/test_graph.py"),
    ("graph.py", "used[key] += size", "pass", "tests/test_graph.py"),
    ("graph.py", "if own or any(s in learns", "if own or all(s in learns", "tests/test_graph.py"),
    # stopping and going on
    ("train.py", '"generators": self.net.generator_states(),', '"generators": {},', "tests/test_train.py"),
    ("train.py", "start=self.batch", "start=0", "tests/test_train.py"),
    ("train.py", 'self.sgd.velocity = self.net.split(_under("velocity/", arrays))', "pass", "tests/test_train.py"),
    ("train.py", "self.schedule.load_state_dict(meta", "str(meta", "tests/test_train.py"),
    ("data/transforms.py", '"augment", epoch', '"augment"', "tests/data"),
    ("data/loader.py", '"shuffle", epoch', '"shuffle"', "tests/data"),
    # the checker itself
    ("gradcheck.py", "outside <= noise else outside / scale", "True else outside", "tests/test_gradcheck.py"),
    ("gradcheck.py", "dy = rng.uniform(0.5, 1.5, copy", "dy = 1 + 0 * rng.uniform(0.5, 1.5, copy", "tests/test_gradcheck.py"),
]  # fmt: skip


def first_red(file: str, old: str, new: str, tests: str) -> str | None:
    """The first test that fails with the bug planted, or None."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "minitorch_alexnet", Path(folder, "minitorch_alexnet"))
        for name in ("tests", "pyproject.toml", "README.md"):
            os.symlink(ROOT / name, Path(folder, name))
        path = Path(folder, "minitorch_alexnet", file)
        text = path.read_text()
        if old not in text:
            raise SystemExit(f"{file} no longer says {old!r}: mend this list")
        path.write_text(text.replace(old, new))
        result = subprocess.run(
            [sys.executable, "-m", "pytest", "-xq", "-p", "no:cacheprovider", *tests.split()],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
        )
    if result.returncode == 0:
        return None
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", result.stdout, re.MULTILINE)
    return found[1] if found else result.stdout.strip().splitlines()[-1]


def main(words: list[str]) -> int:
    unseen = 0
    for bug in BUGS:
        if all(word in " ".join(bug) for word in words):
            file, old, new, _ = bug
            red = first_red(*bug)
            unseen += red is None
            print(f"{file} | {old!r} -> {new!r} | {red or 'NOT SEEN'}", flush=True)
    print(f"{unseen} not seen")
    return 1 if unseen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
