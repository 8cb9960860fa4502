"""Can the tests fail? Plant bugs, one at a time, in a copy of the package and see what turns red.

    python tests/planted_bugs.py graph.py            the bugs in whose row every WORD occurs
    python tests/planted_bugs.py --sample 40         so many of them, others with another --seed

Prints a table: file, bug, the first test that turned red. Exit status 1 if a bug goes unseen, or
if a row no longer fits the code.
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
BASE, KERNELS = "tests/layers/test_base.py", "tests/test_kernels.py"
CONV, LRN = "tests/layers/test_conv.py", "tests/layers/test_lrn.py"
POOL, LOSS = "tests/layers/test_pool.py", "tests/layers/test_loss.py"
GRAPH, WORKERS = "tests/test_graph.py", "tests/test_workers.py"
OPTIM, CHECK = "tests/test_optim.py", "tests/test_gradcheck.py"
ALEXNET = "tests/models/test_alexnet.py"
CUDA = "tests/test_cuda_text.py"
NEUTRAL = "tests/test_neutral.py"
TRANSFORMS, LOADER = "tests/data/test_transforms.py", "tests/data/test_loader.py"
SCAN, PREPARE = "tests/data/test_scan.py", "tests/data/test_prepare.py"
PROCESSES = "tests/data/test_processes.py"
SHARDS, DEEP = "tests/data/test_image_folder.py", "tests/data/test_deep.py"
PHOTO, PHOTOS = "tests/data/test_photo.py", "tests/cli/test_photos.py"
EXPERIMENTS = "tests/experiments/test_experiments.py"
PAIRS = "tests/experiments/test_reproduction.py"
TOLD = "tests/experiments/test_report.py"
LONGEST = 180  # seconds: some bugs make a test run for ever, which is red, too
# (file, what stands there, the bug in its place, the tests to ask)
BUGS = [
    # the loops
    ("kernels/cpu.py", "stop = stride[0] * (last - 1) - top", "stop = stride[0] * (last - 1)", KERNELS),
    ("kernels/cpu.py", "(a - start, stop - b)", "(top, stop - b)", CONV),
    ("kernels/cpu.py", "ow * n * x.itemsize", "ow", KERNELS),
    ("kernels/cpu.py", "range(min(stride[1], kernel_size[1]))", "range(kernel_size[1])", KERNELS),
    ("kernels/cpu.py", "column, stride[0] * row, column, image", "column, stride[1] * row, column, image", KERNELS),
    ("kernels/cpu.py", "place += columns[:, i, j]", "place[...] = columns[:, i, j]", KERNELS),
    ("kernels/cpu.py", "place += columns[:, i, j]", "place += columns[:, i, i]", KERNELS),
    ("kernels/cpu.py", "_images_last(x)[there] += sums[here]", "_images_last(x)[there] = sums[here]", KERNELS),
    ("kernels/cpu.py", "slice(top, top + rows), p", "slice(rows), p", KERNELS),
    ("kernels/cpu.py", "(p - left) % step", "(p + left) % step", KERNELS),
    ("kernels/cpu.py", "(first + left) // step", "first // step", KERNELS),
    ("kernels/cpu.py", "divmod(j, stride)", "divmod(j, kernel)", KERNELS),
    ("kernels/cpu.py", "rows[:, i : i + stride * size : stride]", "rows[:, i : i + size]", KERNELS),
    ("kernels/cpu.py", "min(before, y.shape[1] - 1) + 1", "min(before, y.shape[1] - 1)", KERNELS),
    ("kernels/cpu.py", "min(after, y.shape[1] - 1) + 1", "min(before, y.shape[1] - 1) + 1", KERNELS),
    ("kernels/cpu.py", "y[:, shift:] += grouped[:, :-shift]", "y[:, shift:] += y[:, :-shift]", KERNELS),
    ("kernels/cpu.py", "reshape(groups, x.shape[1] // groups, -1)", "reshape(1, x.shape[1], -1)", KERNELS),
    ("kernels/cpu.py", "output_size, -np.inf)", "output_size, 0)", KERNELS),
    ("kernels/cpu.py", "_maximum(along, first_along[:, None])", "_maximum(along, 0)", KERNELS),
    ("kernels/cpu.py", "_maximum(down, first_down[:, None, None])", "_maximum(down, 0)", KERNELS),
    ("kernels/cpu.py", "* (array > y)", "* (array >= y)", KERNELS),
    ("kernels/cpu.py", "np.min_scalar_type(len(arrays))", "np.uint8", KERNELS),
    ("kernels/cpu.py", "place += dy * (at_row == i)", "place[...] = dy * (at_row == i)", POOL),
    ("kernels/cpu.py", "place += d_rows * (at_column == j)", "place[...] = d_rows * (at_column == j)", POOL),
    ("kernels/cpu.py", "    dx[...] = 0", "    dx[...] = 1", POOL),
    ("kernels/cpu.py", "np.ascontiguousarray(_images_last(x))", "_images_last(x)", KERNELS),
    # the loops in CUDA, and the numbers they are given
    ("kernels/im2col.cu", "sh * row + i - top", "sh * row + i", CUDA),
    ("kernels/im2col.cu", "sh * row + i - top, z = sw * column", "sw * row + i - top, z = sh * column", CUDA),
    ("kernels/im2col.cu", "y < h && 0 <= z", "y <= h && 0 <= z", CUDA),
    ("kernels/im2col.cu", "if (at >= c * windows) return;", "", CUDA),
    ("kernels/im2col.cu", "image * c + channel", "image * n + channel", CUDA),
    ("kernels/col2im.cu", "down / sh < oh ? down / sh : oh - 1", "down / sh", CUDA),
    ("kernels/col2im.cu", "j < kw; column--, j += sw", "j <= kw; column--, j += sw", CUDA),
    ("kernels/col2im.cu", "along = z + left", "along = z + top", CUDA),
    ("kernels/col2im.cu", "const integer at = ", "const int at = ", CUDA),
    ("kernels/col2im.cu", "real sum = 0;", "real sum = x[at];", CUDA),
    ("kernels/col2im.cu", "x[at] += sum;", "x[at] = sum;", CUDA),
    ("kernels/window_sum.cu", "k <= before && k <= channel", "k <= after && k <= channel", CUDA),
    ("kernels/window_sum.cu", "k < c - channel", "k <= c - channel", CUDA),
    ("kernels/window_sum.cu", "at / pixels % c", "at % c", CUDA),
    ("kernels/window_sum.cu", "if (at >= n * c * pixels) return;", "if (at > n * c * pixels) return;", CUDA),
    ("kernels/max_pool.cu", "place < 0 || value > best", "value > best", CUDA),
    ("kernels/max_pool.cu", "value > best) place", "value >= best) place", CUDA),
    ("kernels/max_pool.cu", " || value != value", "", CUDA),
    ("kernels/max_pool.cu", "p >= h || q < 0", "p > h || q < 0", CUDA),
    ("kernels/max_pool.cu", "sw * column + j - left", "sh * column + j - left", CUDA),
    ("kernels/max_pool_backward.cu", "winner[window] == i * kw + j", "winner[window] >= i * kw + j", CUDA),
    ("kernels/max_pool_backward.cu", "winner[window] == i * kw + j", "winner[window] == i * kh + j", CUDA),
    ("kernels/max_pool_backward.cu", "row >= 0 && i < kh", "row > 0 && i < kh", CUDA),
    ("kernels/max_pool_backward.cu", "down = p + top", "down = p + left", CUDA),
    ("kernels/max_pool_backward.cu", "sum += rows;", "sum = rows;", CUDA),
    ("kernels/max_pool_backward.cu", "(integer)blockIdx.x", "blockIdx.x", CUDA),
    ("kernels/cuda.py", "*kernel_size, *stride, top, left, oh, ow", "*stride, *kernel_size, top, left, oh, ow", CUDA),
    ("kernels/cuda.py", "top, left, oh, ow\n", "left, top, oh, ow\n", CUDA),
    ("kernels/cuda.py", "h * w, before, after", "h * w, after, before", CUDA),
    ("kernels/cuda.py", "n * groups, c // groups", "n, c", CUDA),
    ("kernels/cuda.py", "    if sums is not x:\n        x[...] = sums\n", "", CUDA),
    ("kernels/cuda.py", "(n * i // count, n * (i + 1) // count)", "(n * i // count, n * (i + 1) // count - (i > 0))", CUDA),
    ("kernels/cuda.py", '"im2col", c * windows', '"im2col", windows', CUDA),
    ("kernels/cuda.py", '"max_pool_backward", dx.size', '"max_pool_backward", dy.size', CUDA),
    ("kernels/cuda.py", "-(-threads // THREADS)", "threads // THREADS", CUDA),
    ("kernels/cuda.py", "np.int64 if wide", "np.int32 if wide", CUDA),
    ("kernels/cuda.py", "+ THREADS >= 2**31", ">= 2**31", CUDA),
    ("kernels/cuda.py", "if not threads:", "if False:", CUDA),
    ("kernels/cuda.py", "maps.transpose(1, 0, 2, 3)", "maps.transpose(1, 2, 3, 0)", CUDA),
    # what a GPU would refuse, or do slowly or on another device
    ("layers/conv.py", "xp.zeros(weight.shape[::-1]", "__import__('numpy').zeros(weight.shape[::-1]", NEUTRAL),
    ("layers/dropout.py", "array_module(x).asarray(", "np.asarray(", NEUTRAL),
    ("layers/loss.py", "xp.asarray(labels)", "labels", NEUTRAL),
    ("layers/loss.py", "xp.exp(log_p)", "np.exp(log_p)", NEUTRAL),
    ("layers/lrn.py", "array_module(s) is not np or beta", "beta", NEUTRAL),
    ("layers/join.py", "array_module(xs[0]).concatenate", "__import__('numpy').concatenate", NEUTRAL),
    ("workers.py", "if array_module(a) is not np:", "if False:", NEUTRAL),
    ("graph.py", "                with node.device.current():\n                    answer", "                with Device('cpu').current():\n                    answer", NEUTRAL),
    ("graph.py", "            with node.device.current():\n                answer", "            with Device('cpu').current():\n                answer", NEUTRAL),
    ("graph.py", "if stretch.dealt:", "if True:", NEUTRAL),
    ("graph.py", "p.data = device.array(p.data) if p.drawn", "p.data = p.data if p.drawn", NEUTRAL),
    ("layers/base.py", "zero = device.array(np.zeros((), np.float32))", "zero = np.zeros((), np.float32)", NEUTRAL),
    ("optim.py", "with Device.of(velocity).current():", "if True:", NEUTRAL),
    # convolution
    ("layers/conv.py", "bias[outs], out=part", "0 * bias[outs], out=part", CONV),
    ("layers/conv.py", "bias[outs], out=part", "bias[rows][: part.shape[1]], out=part", CONV),
    ("layers/conv.py", "dw[:, outs] += columns", "dw[:, outs] = columns", CONV),
    ("layers/conv.py", "dw[:, outs] += columns", "dw[:, outs] -= columns", CONV),
    ("layers/conv.py", "dy.sum(axis=(0, 2, 3))", "dy.mean(axis=(0, 2, 3))", CONV),
    ("layers/conv.py", "xp.matmul(weight[outs].T", "xp.matmul(-weight[outs].T", CONV),
    ("layers/conv.py", "slice(g * rows, (g + 1) * rows)", "slice(0, rows)", CONV),
    ("layers/conv.py", "slice(g * outs, (g + 1) * outs)", "slice(0, outs)", CONV),
    ("layers/conv.py", "                col2im(columns, dx[there]", "                col2im(columns, dx", CONV),
    # local response normalisation
    ("layers/lrn.py", "return damped - crossed", "return damped + crossed", LRN),
    ("layers/lrn.py", "return damped - crossed", "return damped - 0 * crossed", LRN),
    ("layers/lrn.py", "2 * self._a() * self.beta", "self._a() * self.beta", LRN),
    ("layers/lrn.py", "2 * self._a() * self.beta", "2 * self.alpha * self.beta", LRN),
    ("layers/lrn.py", "2 * self._a() * self.beta", "2 * self._a()", LRN),
    ("layers/lrn.py", "*reversed(self._reach())", "*self._reach()", LRN),
    ("layers/lrn.py", "damped * x / s", "damped * x", LRN),
    ("layers/lrn.py", "damped * x / s", "damped / s", LRN),
    ("layers/lrn.py", "crossed * x * factor", "crossed * factor", LRN),
    ("layers/lrn.py", "    damped = dy / _power(s, beta)", "    damped = dy / 1", LRN),
    ("layers/lrn.py", "    s += k", "    s += 1", LRN),
    ("layers/lrn.py", "self.size // 2, (self.size - 1) // 2", "(self.size - 1) // 2, self.size // 2", LRN),
    ("layers/lrn.py", "*self._reach(), self.groups", "*self._reach(), 1", LRN),
    ("layers/lrn.py", "if self.alpha_over_size else", "if not self.alpha_over_size else", LRN),
    # pooling, activations, dropout
    ("layers/pool.py", "return out - 1 if", "return out if", POOL),
    ("layers/pool.py", "-(-room // stride) + 1", "room // stride + 1", POOL),
    ("layers/activation.py", "(y > 0)", "(y >= 0)", "tests/layers/test_activation.py"),
    ("layers/activation.py", "dy * (y > 0)", "-dy * (y > 0)", "tests/layers/test_activation.py"),
    ("layers/activation.py", "1 - y**2", "1 - y", "tests/layers/test_activation.py"),
    ("layers/activation.py", "1 - y**2", "1 + y**2", "tests/layers/test_activation.py"),
    ("layers/dropout.py", "dy * mask", "dy", "tests/layers/test_dropout.py"),
    ("layers/dropout.py", "x * keep", "x * self.p", "tests/layers/test_dropout.py"),
    ("layers/dropout.py", "else 1 / keep", "else 1 / self.p", "tests/layers/test_dropout.py"),
    ("layers/dropout.py", ">= self.p", "< self.p", "tests/layers/test_dropout.py"),
    # linear, flatten, join, upsample
    ("layers/linear.py", 'y += self.params["bias"].data', "pass", "tests/layers/test_linear.py"),
    ("layers/linear.py", "product(dy.T, x)", "product(-dy.T, x)", "tests/layers/test_linear.py"),
    ("layers/linear.py", "dy.sum(axis=0)", "dy.mean(axis=0)", "tests/layers/test_linear.py"),
    ("layers/linear.py", "product(dy, self", "product(-dy, self", "tests/layers/test_linear.py"),
    ("layers/flatten.py", "dy.reshape(shape)", "dy.reshape(shape[0], *shape[:0:-1]).transpose(0, 3, 2, 1)", "tests/layers/test_flatten.py"),
    ("layers/join.py", "pairwise([0, *ends])", "pairwise([0, *reversed(ends)])", "tests/layers/test_join.py"),
    ("layers/join.py", "source.copy(dy)", "source.copy(-dy)", "tests/layers/test_join.py"),
    ("layers/upsample.py", "x[:, :, :, None, :, None]", "x[:, :, :, None, ::-1, None]", "tests/layers/test_upsample.py"),
    ("layers/upsample.py", ".sum(axis=(3, 5))", ".mean(axis=(3, 5))", "tests/layers/test_upsample.py"),
    # what every layer promises
    ("layers/activation.py", "array_module(x).maximum(x, 0)", "array_module(x).maximum(x, 0, out=x)", BASE),
    ("layers/conv.py", "return y, x", "self.x = x\n        return y, x", BASE),
    ("layers/conv.py", "backward(self, dy, x, need_dx=True):\n", "backward(self, dy, x, need_dx=True):\n        dy *= 1\n", BASE),
    ("layers/lrn.py", "return y, (x, s)", "self.s = s\n        return y, (x, s)", BASE),
    ("layers/linear.py", "if need_dx else None", "", BASE),
    ("layers/upsample.py", "empty(x, self.check(x))", "__import__('numpy').empty((len(x), *self.check(x)), x.dtype)", BASE),
    ("layers/base.py", "if not parameter.drawn:", "if False:", BASE),
    ("layers/base.py", "if parameter.data.dtype != x.dtype:", "if False:", BASE),
    ("layers/base.py", "he(rng, shape) if rng else", "np.zeros(shape, np.float32) if rng else", BASE),
    # loss
    ("layers/loss.py", "dz /= len(dz)", "pass", LOSS),
    ("layers/loss.py", "-= 1\n", "+= 1\n", LOSS),
    ("layers/loss.py", "z = logits - logits.max(axis=1, keepdims=True)", "z = logits", LOSS),
    ("layers/loss.py", ".mean()", ".sum()", LOSS),
    # the optimiser
    ("optim.py", "v -= rate * (decay * w + g)\n    w += v", "v -= decay * w + g\n    w += rate * v", OPTIM),
    ("optim.py", "self.weight_decay * parameter.decay", "self.weight_decay", OPTIM),
    ("optim.py", "self.lr * parameter.lr_scale", "self.lr", OPTIM),
    ("optim.py", "v *= momentum", "pass", OPTIM),
    ("optim.py", "w += v", "w -= v", OPTIM),
    ("optim.py", "(decay * w + g)", "(g - decay * w)", OPTIM),
    ("optim.py", "if error < self.best", "if error <= self.best", OPTIM),
    # the graph
    ("graph.py", "gradients[source] + dx if source in gradients else dx", "dx", GRAPH),
    ("graph.py", "gradients[source] + dx if source in gradients else dx", "gradients.get(source, dx)", GRAPH),
    ("graph.py", "in reversed(stretch.nodes)", "in stretch.nodes", GRAPH),
    ("graph.py", "stretch = tape.pop()", "stretch = tape.pop(0)", GRAPH),
    ("graph.py", "totals[name] += grad", "totals[name] = grad", GRAPH),
    ("graph.py", "if own or any(s in learns", "if own or all(s in learns", GRAPH),
    ("graph.py", "need_dx = any(s in learns", "need_dx = all(s in learns", GRAPH),
    ("graph.py", "None if parameter.frozen else totals", "totals", GRAPH),
    ("graph.py", "self._tape = tape if train else None", "self._tape = tape", GRAPH),
    ("graph.py", "        self._tape = None  # also where this forward fails\n", "", GRAPH),
    ("graph.py", "wanted = wanted | set(stretches[0].reads)", "pass", GRAPH),
    ("graph.py", "return not reached and", "return", GRAPH),
    ("graph.py", "train=train)", "train=True)", GRAPH),
    ("graph.py", 'f"{full}.{kind}"), p.data.shape', '"any"), p.data.shape', GRAPH),
    ("graph.py", '"dropout", full)', '"dropout")', GRAPH),
    ("graph.py", "not p.drawn and self.seed is not None", "self.seed is not None", GRAPH),
    ("graph.py", "np.concatenate(pieces) for", "np.concatenate(pieces[::-1]) for", GRAPH),
    ("graph.py", "used[key] += size", "pass", GRAPH),
    ("summary.py", "size if source in learns else 0", "size", "tests/test_summary.py"),
    ("summary.py", "if edge.startswith", "if not edge.startswith", "tests/test_summary.py"),
    ("summary.py", "* seen[way]", '* seen["forward"]', "tests/test_summary.py"),
    # threads, parts and cores
    ("workers.py", "-(-2 * rest // size)", "-(-rest // size)", WORKERS),
    ("workers.py", "images * 3 // 4 // size", "images // size", WORKERS),
    ("workers.py", "getattr(_here, \"job\", None) or getattr(_here, \"dealt\", False)", "getattr(_here, \"job\", None)", WORKERS),
    ("workers.py", "PART_BYTES // image_bytes)", "images)", WORKERS),
    ("workers.py", "* i // count for i in range(count + 1)", "* i // count for i in range(count)", WORKERS),
    ("workers.py", "else (b.T, a.T, out.T)", "else (a.T, b.T, out.T)", WORKERS),
    ("workers.py", "(contextvars.copy_context(), dealt", "(contextvars.Context(), dealt", WORKERS),
    ("workers.py", "while self.heard in self.finished:", "if True:", WORKERS),
    ("workers.py", "            self.waiting.clear()\n", "", WORKERS),
    ("workers.py", "not self.job.cancelled and", "", WORKERS),
    ("workers.py", "            after.done.get()\n", "", WORKERS),
    ("workers.py", "blas.limit(limits=1)", "contextlib.nullcontext()", WORKERS),
    ("workers.py", "_raise_error_of(dealt)", "pass", WORKERS),
    ("workers.py", "<= len(parts)\n", "<= len(parts) + 99\n", WORKERS),
    ("workers.py", "math.ceil(min(len(usable_cores()), granted_cores()))", "len(usable_cores())", WORKERS),
    ("workers.py", "for folder in (place, *place.parents)", "for folder in (place,)", WORKERS),
    ("workers.py", '"cpu" in controllers.split(",")', '"cpu" in controllers', WORKERS),
    ("workers.py", "if int(quota) > 0:", "if True:", WORKERS),
    ("workers.py", "register_at_fork(after_in_child=_forget_workers)", "register_at_fork(after_in_child=int)", WORKERS),
    ("workers.py", "    global _workers\n    if threads < 1:", "    keep_freed_memory()\n    global _workers\n    if threads < 1:", WORKERS),
    # devices, and why there is no GPU
    ("device.py", "np.array(x) if array_module(x) is np", "x if array_module(x) is np", "tests/test_device.py"),
    ("device.py", 'int(index or 0)', "0", "tests/test_device.py"),
    ("gpu.py", "if index >= count:", "if index > count:", "tests/test_gpu_reasons.py"),
    ("gpu.py", "if len(packages) > 1:", "if False:", "tests/test_gpu_reasons.py"),
    ("gpu.py", "except Exception as", "except ImportError as", "tests/test_gpu_reasons.py"),
    # the models
    ("models/alexnet.py", "CEIL = ((0, 3), (0, 3))", "CEIL = ((3, 0), (3, 0))", ALEXNET),
    ("models/alexnet.py", "Conv2d(m3, m4, 3, padding=1, groups=groups)", "Conv2d(m3, m4, 3, padding=1)", ALEXNET),
    ("models/alexnet.py", "k=2, groups=groups)", "k=2)", ALEXNET + " -k same_weights"),
    ("models/alexnet.py", '(f"{node}a_to_b", f"{node}b")', '(f"{node}b", f"{node}a_to_b")', ALEXNET + " -k same_weights"),
    ("models/alexnet.py", '(f"{node}a_to_b", f"{node}b")', '(f"{node}b", f"{node}b")', ALEXNET),
    ("models/alexnet.py", '("drop7a", "drop7b_to_a")', '("drop7b_to_a", "drop7a")', ALEXNET),
    ("models/alexnet.py", 'net.add("relu5", ReLU())', "pass", ALEXNET),
    ("models/alexnet.py", '        net.add(f"drop{number}", Dropout', '        number == 6 and net.add(f"drop{number}", Dropout', ALEXNET),
    ("models/alexnet.py", "Dropout(dropout, rescale)", 'Dropout(dropout, "test")', ALEXNET),
    ("models/alexnet.py", '"k": 1,', '"k": 2,', ALEXNET),
    ("models/alexnet.py", '"alpha_over_size": True, "groups": 2', '"groups": 2', ALEXNET),
    ("models/alexnet.py", '"conv3.weight", "conv4.weight", "conv5.weight"', '"conv4.weight", "conv5.weight"', ALEXNET),
    ("models/alexnet.py", '2 if name.endswith(".bias") else 1', '1 if name.endswith(".bias") else 2', ALEXNET),
    ("models/alexnet.py", "parameter.decay = 0", "parameter.decay = 1", ALEXNET),
    ("models/alexnet.py", "initialise(net, seed, init.PAPER)", "initialise(net, 0, init.PAPER)", ALEXNET),
    ("models/alexnet.py", "shape[1:]))\n            rules", "shape))\n            rules", ALEXNET),
    ("init.py", '"fc6.bias", "fc7.bias"', '"fc6.bias"', "tests/test_init.py -k papers_layers"),
    ("init.py", '"conv3.weight": he_after_norm,', "", "tests/test_init.py -k papers_layers"),
    ("init.py", 'stream(seed, "weights"), {}', 'stream(0, "weights"), {}', "tests/test_init.py"),
    ("init.py", 'stream(seed, "dropout", name)', 'stream(seed, "dropout")', "tests/test_init.py"),
    ("init.py", "    if seed is None:\n        return\n", "", "tests/test_init.py"),
    ("timing.py", "(own + upstream)", "2", "tests/test_timing.py"),
    ("timing.py", "timed(node, 1, node.layer.backward)", "timed(node, 0, node.layer.backward)", "tests/test_timing.py"),
    ("timing.py", "self.spent[name][which] +=", "self.spent[name][which] =", "tests/test_timing.py"),
    ("timing.py", "(now - self.since) / len(self.working)", "(now - self.since)", "tests/test_timing.py"),
    ("timing.py", "    net.set_generator_states(generators)\n", "", "tests/test_train.py"),
    ("timing.py", "        for node in net.nodes.values():\n            del node", "        for node in ():\n            del node", "tests/test_timing.py"),
    ("timing.py", "return 2 * rows**3", "return rows**3", "tests/test_timing.py"),
    ("timing.py", "self.flop / self.steps.sum(axis=1) / self.limit", "self.flop / self.steps[:, 0] / self.limit", "tests/test_timing.py"),
    ("timing.py", "parts = (self._forward, self._backward, self.sgd.step)", "parts = (self._forward, self.sgd.step, self._backward)", "tests/test_timing.py"),
    ("timing.py", "lr=0)", "lr=0.01)", "tests/test_timing.py"),
    ("timing.py", "len(rounds) < 3 or", "len(rounds) < 2 or", "tests/test_timing.py"),
    ("timing.py", "get_workers().threads, ", "7, ", "tests/test_timing.py"),
    ("viz/timing.py", "left=forward, ", "", "tests/test_viz.py -k layer_bars"),
    # stopping and going on
    ("run.py", "if not self.folder:\n            raise", "if False:\n            raise", "tests/test_run.py"),
    ("run.py", '"generators": self.net.generator_states(),', '"generators": {},', "tests/test_train.py"),
    ("train.py", "(batch + 0.5)", "batch", "tests/test_train.py"),
    ("train.py", "            expect_run_folder(folder)", "            pass", "tests/test_train.py"),
    ("train.py", "        with self.run.lock:\n            self._claim_folder()\n            while", "        with self.run.lock:\n            while", "tests/test_train.py"),
    ("train.py", "        except BaseException:\n            self._keep()\n", "        except BaseException:\n", "tests/test_train.py"),
    ("train.py", "            if self.stopping:\n                self._keep()\n", "", "tests/test_train.py"),
    ("train.py", "        self.schedule = SCHEDULES[self.config.schedule](self.config)\n        self.schedule.load", "        self.schedule.load", "tests/test_train.py"),
    ("train.py", "        self.finished = False\n", "", "tests/test_train.py"),
    ("train.py", "and not self._claimed", "and not self.steps", "tests/test_train.py"),
    ("train.py", "if config.tf32 and", "if False and", "tests/test_train.py"),
    ("config.py", "min(1, self.batch_size", "(self.batch_size", "tests/test_config.py"),
    ("config.py", 'if "lr" not in said', "if True", "tests/test_config.py"),
    ("config.py", " | RECIPES[recipe]", "", "tests/test_config.py"),
    ("run.py", 'names = ("epochs", "devices",', 'names = ("epochs", "momentum", "devices",', "tests/test_run.py"),
    ("files.py", 'part.open("xb")', 'part.open("wb")', "tests/test_files.py"),
    ("files.py", "token_hex(8)", "token_hex(0)", "tests/test_files.py"),
    ("files.py", "                part.unlink(missing_ok=True)\n        except Timeout", "                pass\n        except Timeout", "tests/test_files.py"),
    ("files.py", 'if name[0] != "."]', "]", "tests/test_files.py"),
    ("words.py", "c if c.isprintable() else", "c if c.isascii() else", "tests/test_words.py"),
    ("optim.py", "if self.dropped == self.drops", "if self.dropped > self.drops", OPTIM),
    ("data/loader.py", "self.epoch(next(self._epochs))", "self.epoch(0)", LOADER),
    ("cli/interrupt.py", "if signal.getsignal(s) != signal.SIG_IGN]", "]", "tests/cli/test_train_command.py"),
    ("cli/interrupt.py", '"SIGTERM", "SIGHUP")', '"SIGTERM")', "tests/cli/test_train_command.py"),
    ("cli/train.py", "        dated.rmdir()\n", "", "tests/cli/test_train_command.py"),
    ("train.py", "start=self.batch", "start=0", "tests/test_train.py"),
    ("run.py", "sgd.velocity[name] = Device", "_ = Device", "tests/test_train.py"),
    ("run.py", "schedule.load_state_dict(meta", "str(meta", "tests/test_train.py"),
    ("run.py", "meta[\"images\"] != labels or ", "", "tests/test_run.py"),
    ("run.py", "not np.array_equal(arrays[\"images/mean\"], mean)", "False", "tests/test_run.py"),
    ("run.py", "without=\"velocity/\"", "without=\"weights/\"", "tests/test_run.py"),
    ("finetune.py", "!= run.class_names or fitting == [last]", "!= run.class_names", "tests/test_finetune.py"),
    ("finetune.py", "tuple(class_names) != run.class_names or", "", "tests/test_finetune.py"),
    ("finetune.py", "if layer != last]", "]", "tests/test_finetune.py"),
    ("finetune.py", "if all(n in theirs", "if any(n in theirs", "tests/test_finetune.py"),
    ("finetune.py", "Normalize(run.normalize.mean if same else own.mean, run.normalize.scale)", "own", "tests/test_finetune.py"),
    ("finetune.py", "if taken and name", "if name", "tests/test_finetune.py"),
    ("checkpoint.py", "        file.read()", "        pass", "tests/test_checkpoint.py"),
    ("results.py", "if dataset is trainer.validation", "if False", "tests/test_results.py"),
    # what happens to images on their way to the net
    ("data/transforms.py", '"augment", epoch', '"augment"', TRANSFORMS),
    ("data/transforms.py", '"colour", epoch', '"colour"', TRANSFORMS),
    ("data/transforms.py", "np.sqrt(variances.clip(0))", "variances.clip(0)", TRANSFORMS),
    ("data/transforms.py", "variances.clip(0)", "variances", TRANSFORMS),
    ("data/transforms.py", "@ self.axes.T", "@ self.axes", TRANSFORMS),
    ("data/transforms.py", "components * np.sqrt", "components[:, ::-1] * np.sqrt", TRANSFORMS),
    ("data/transforms.py", "normal(0, self.std,", "normal(0, self.std**2,", TRANSFORMS),
    ("data/transforms.py", "self._drawn(epoch, total)[index]", "self._drawn(epoch, total)[index[:1]]", TRANSFORMS),
    ("data/transforms.py", "self._drawn(epoch, total)[index]", "self._drawn(epoch, total)[: len(index)]", TRANSFORMS),
    ("data/transforms.py", "self._drawn(epoch, total)[:, index]", "self._drawn(epoch, total)[:, : len(index)]", TRANSFORMS),
    ("data/transforms.py", "(images.shape[2] - h + 1)", "(images.shape[2] - h)", TRANSFORMS),
    ("data/transforms.py", "(images.shape[3] - w + 1)", "(images.shape[2] - h + 1)", TRANSFORMS),
    ("data/transforms.py", "lefts = (right *", "lefts = (down *", TRANSFORMS),
    ("data/transforms.py", "flips[i] < 0.5", "down[i] < 0.5", TRANSFORMS),
    ("data/transforms.py", "flips[i] < 0.5", "flips[0] < 0.5", TRANSFORMS),
    ("data/transforms.py", "part[..., ::-1] if", "part[..., ::-1, :] if", TRANSFORMS),
    ("data/transforms.py", "(height - h) // 2, (width", "(height - h + 1) // 2, (width", TRANSFORMS),
    ("data/transforms.py", "(bottom // 2, right // 2)]", "(right // 2, bottom // 2)]", TRANSFORMS),
    ("data/transforms.py", "for flip in (False, True)", "for flip in (False, False)", TRANSFORMS),
    ("data/transforms.py", "centre(self.mean.shape, x.shape)(self.mean)", "self.mean[:, : x.shape[2], : x.shape[3]]", TRANSFORMS),
    ("data/transforms.py", "x += device.array(shift)", "x += self.scale * device.array(shift)", TRANSFORMS),
    ("data/loader.py", '"shuffle", epoch', '"shuffle"', LOADER),
    ("data/loader.py", "self.crop(images, epoch, index,", "self.crop(images, epoch, np.arange(len(index)),", LOADER),
    ("data/loader.py", "self.colour(epoch, index,", "self.colour(0, index,", LOADER),
    ("data/loader.py", "range(start, len(self))", "range(len(self))", LOADER),
    ("data/loader.py", "self.dataset.images[index], self", "np.asarray(self.dataset.images)[index], self", LOADER),
    ("data/loader.py", "if len(waiting) > AHEAD:", "if len(waiting) > len(self):", LOADER),
    ("data/loader.py", "self.waited += time", "self.waited = time", LOADER),
    ("data/image_folder.py", 'side="right"', 'side="left"', LOADER),
    ("data/arrays.py", "image.reshape(len(centre), -1)", "image.reshape(-1, len(centre)).T", "tests/data/test_arrays.py"),
    ("data/arrays.py", "np.square(image - self.mean)", "np.square(image - self.mean.mean())", "tests/data/test_arrays.py"),
    # a folder of photographs, listed and made into shards
    ("data/scan.py", "del files[9::10]", "pass", SCAN),
    ("data/scan.py", "files[9::10] for name", "files[::10] for name", SCAN),
    ("data/scan.py", "name.lower() in LIKE_SPLITS", "name in LIKE_SPLITS", SCAN),
    ("data/scan.py", "in enumerate(names)\n", "in enumerate(classes)\n", SCAN),
    ("data/scan.py", "names + links:", "names:", SCAN),
    ("data/scan.py", "os.path.splitext(name)[1].lower()", "os.path.splitext(name)[1]", SCAN),
    ("data/scan.py", "sorted(files) for name", "files for name", SCAN),
    ("data/scan.py", "files.pop(path)", "files[path]", SCAN),
    ("data/scan.py", ", onerror=_raise", "", SCAN),
    ("data/processes.py", "signal.signal(signal.SIGINT, signal.SIG_IGN)", "pass", PROCESSES),
    ("data/processes.py", "jobs[start : start + some]", "jobs", PROCESSES),
    ("data/processes.py", "if parent := multiprocessing.parent_process():\n        parent.join()\n        os._exit(1)", "pass", PREPARE),
    ("data/prepare.py", "for part in ([SHARD, listing.class_names], *listing.files)", "for part in listing.files", PREPARE),
    ("data/prepare.py", "if split == \"train\":", "if True:", PREPARE),
    ("data/prepare.py", "(len(labels), 3, size, size)", "(len(files), 3, size, size)", PREPARE),
    ("data/prepare.py", "labels.append(file.label)", "labels.append(files[0].label)", PREPARE),
    ("data/prepare.py", "np.int64), np.zeros((3, 3)", "np.uint8), np.zeros((3, 3)", PREPARE),
    ("data/prepare.py", "total.astype(object), products.astype(object)", "total, products", PREPARE),
    ("data/prepare.py", "done += len(files)", "pass", PREPARE),
    ("data/prepare.py", "sorted(rows)]", "rows]", PREPARE),
    ("data/prepare.py", "_write_report(out, report + listing.aside)", "_write_report(out, report)", PREPARE),
    ("data/prepare.py", "sorted(unusable + listing.aside)", "unusable", PREPARE),
    ("data/prepare.py", "used, printable(what)", "used, what", PREPARE),
    ("data/prepare.py", "return None, str(error).replace", "raise ReadError(str(error))\n        return None, str(error).replace", PREPARE),
    ("data/prepare.py", "    except ReadError:\n        raise\n", "", PREPARE),
    ("data/prepare.py", "for pause in PAUSES:", "for pause in PAUSES[1:]:", PREPARE),
    ("data/prepare.py", "with Lock(out), _enough", "with _enough", PREPARE),
    ("data/prepare.py", "    expect_ours(out, CLAIM)\n", "", PREPARE),
    ("data/prepare.py", "if not begun or not shard_file", "if not shard_file", PREPARE),
    ("data/prepare.py", "_patiently(_made, source / path, size, whites)", "_patiently(_made, source / path, size, {})", PREPARE),
    ("data/prepare.py", "max(found.value, most.get(found.kind, 0))", "found.value", PREPARE),
    ("data/prepare.py", "axis=(1, 2)).max() < SHADES", "axis=(1, 2)).min() < SHADES", PREPARE),
    ("data/prepare.py", "axis=(1, 2)).max() < SHADES", "axis=(1, 2)).max() <= SHADES", PREPARE),
    ("data/prepare.py", "zlib.crc32(image)", "0", PREPARE),
    ("data/prepare.py", "TypeError, KeyError, RecursionError", "TypeError, KeyError", PREPARE),
    ("data/image_folder.py", "[chosen[here] - self._ends[k]]", "[chosen[here]]", "tests/data/test_image_folder.py"),
    ("data/image_folder.py", "float(deviation) or 1.0", "float(deviation)", PREPARE),
    ("data/image_folder.py", "zlib.crc32(image) != self.checksums[number]", "False", SHARDS),
    ("data/image_folder.py", "(index % len(self))", "index", SHARDS),
    ("data/image_folder.py", "if file.readinto(image) != self._each:", "if not file.readinto(image):", SHARDS),
    ("data/image_folder.py", "0 <= labels.min() <= labels.max() < classes", "labels.max() < classes", SHARDS),
    ("data/image_folder.py", "labels.max() < classes", "labels.max() <= classes", SHARDS),
    ("data/image_folder.py", "if type(value) is not int or value < 1:", "if value < 1:", SHARDS),
    ("data/image_folder.py", "0 < level < math.inf", "0 < level", SHARDS),
    ("data/image_folder.py", "tuple(map(printable, names))", "tuple(names)", SHARDS),
    ("data/image_folder.py", "0 <= deviation <= 127.5", "deviation <= 127.5", SHARDS),
    ("data/image_folder.py", "        and np.linalg.eigvalsh(covariance).min() >= -1e-6 * max(1, np.trace(covariance)),\n", ",\n", SHARDS),
    ("data/photo.py", "formats=formats())", "formats=None)", PHOTO),
    ("data/photo.py", "it is not a regular file", "no file", PHOTO),
    ("data/photo.py", "error.errno is not None:", "error.errno is None:", PHOTO),
    ("data/photo.py", "scaled.getexif()[ExifTags.Base.Orientation] = turn", "pass", DEEP),
    ("data/deep.py", "if level / 4 < found.value <= level", "if found.value <= level", DEEP),
    ("data/deep.py", "max(white_level(found), whites.get(found.kind, 0))", "whites.get(found.kind) or white_level(found)", DEEP),
    ("data/deep.py", "max(white_level(found), whites.get(found.kind, 0))", "white_level(found)", DEEP),
    ("data/deep.py", "image.format in STATED", "False", DEEP),
    ("data/deep.py", "(255 / white) + 0.5", "(255 / white)", DEEP),
    ("data/deep.py", "differs.any(axis=-1)", "differs.all(axis=-1)", DEEP),
    ("data/deep.py", "_scaled(alpha, opaque)", "_scaled(alpha, 65535)", DEEP),
    ("data/deep.py", "image.tag_v2.get(262) == 0", "False", DEEP),
    ("data/deep.py", "(\"N\", ELSEWHERE)", "(\"N\", \"N\")", DEEP),
    ("data/deep.py", "result.paste(tile.convert(result.mode), corner)", "result.paste(tile.convert(result.mode), corner[::-1])", DEEP),
    ("data/processes.py", "        except OSError as error:", "        except KeyError as error:", PREPARE),
    ("run.py", "\"whites\": self.whites,", "\"whites\": {},", PHOTOS),
    ("train.py", "getattr(dataset, \"whites\", {})", "{}", PHOTOS),
    ("cli/runs.py", "read_photo(path, trained.whites)", "read_photo(path)", PHOTOS),
    # how good is a net
    ("evaluate.py", "total = log_softmax(total)", "pass", "tests/test_evaluate.py"),
    ("evaluate.py", "np.logaddexp(total, log_softmax(", "np.add(total, log_softmax(", "tests/test_evaluate.py"),
    ("evaluate.py", "total - math.log(len(views))", "total", "tests/test_evaluate.py"),
    ("evaluate.py", "train=False, keep=", "train=True, keep=", "tests/test_evaluate.py"),
    ("evaluate.py", "np.hstack([distances, gaps])", "np.hstack([gaps, distances])", "tests/test_evaluate.py"),
    ("evaluate.py", "seen += len(found)", "seen += 1", "tests/test_evaluate.py"),
    ("evaluate.py", 'np.argsort(distances, axis=1, kind="stable")', "np.argsort(distances, axis=1)", "tests/test_evaluate.py"),
    # the checker itself
    ("gradcheck.py", "layer.forward(*xs, train=True)", "layer.forward(*xs)", CHECK),
    ("gradcheck.py", "layer.backward(dy, cache, need_dx=True)", "layer.backward(dy, cache)", CHECK),
    ("layers/base.py", "{type(layer).__name__}: its {what}", "{layer!r}: its {what}", GRAPH),
    ("gradcheck.py", "outside <= noise else outside / scale", "True else outside", CHECK),
    ("gradcheck.py", "dy = rng.uniform(0.5, 1.5, y.shape)", "dy = np.ones(y.shape)", CHECK),
    ("gradcheck.py", "[slopes(i, STEPS[0])[1] for i in indices]", "[1.0 for i in indices]", CHECK),
    ("gradcheck.py", "float(((b - a) * dy).sum())", "float((b * dy).sum() - (a * dy).sum())", CHECK),
    ("gradcheck.py", "view.flags.writeable = False", "pass", CHECK),
    ("gradcheck.py", "x.tobytes() != b for", "False for", CHECK),
    ("gradcheck.py", "if p.drawn else rng.standard_normal(p.data.shape)", "if True else 0", CHECK),
    ("gradcheck.py", "layer.rng = copy.deepcopy(generator)", "pass", CHECK),
    # CIFAR-10's records
    ("data/cifar10.py", "records[:, 1:].reshape(-1, *SHAPE)", "records[:, 1:].reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2)", "tests/data/test_cifar10.py"),
    ("data/cifar10.py", "records[:, 1:].reshape(-1, *SHAPE)", "records[:, 1:].reshape(-1, *SHAPE).swapaxes(2, 3)", "tests/data/test_cifar10.py"),
    ("data/cifar10.py", ">= len(CLASS_NAMES)", "> len(CLASS_NAMES)", "tests/data/test_cifar10.py"),
    ("data/cifar10.py", "file.read(RECORDS * RECORD + 1)", "file.read(RECORDS * RECORD)", "tests/data/test_cifar10.py"),
    ("data/cifar10.py", "_joined(files, TEST, place)", "_joined(files, TRAIN[:1], place)", "tests/data/test_cifar10.py"),
    ("data/cifar10.py", "and not (place / FOLDER).is_dir()", "", "tests/data/test_cifar10.py"),
    # experiments: the statistics
    ("experiments/statistics.py", "ddof=1", "ddof=0", "tests/experiments/test_statistics.py"),
    ("experiments/statistics.py", "T[min(n - 1, len(T)) - 1]", "T[min(n, len(T)) - 1]", "tests/experiments/test_statistics.py"),
    ("experiments/statistics.py", "2.776", "2.767", "tests/experiments/test_statistics.py"),
    ("experiments/statistics.py", "self.low > 0", "self.mean > 0", "tests/experiments/test_statistics.py"),
    ("experiments/statistics.py", "self.high < 0", "self.mean < 0", "tests/experiments/test_statistics.py"),
    ("experiments/statistics.py", "values.std(ddof=1)) / math.sqrt(n)", "values.std(ddof=1)) / n", "tests/experiments/test_statistics.py"),
    ("experiments/reproduction.py", "values[measure.larger] - values[1 - measure.larger]", "values[1] - values[0]", PAIRS),
    ("experiments/reproduction.py", "np.log(self.values(measure)) if measure.ratio", "np.log(self.values(measure)) if False", PAIRS),
    # experiments: pairs, plans and going on
    ("experiments/rebuild.py", "layer=deepcopy(node.layer)", "layer=node.layer", "tests/experiments/test_rebuild.py"),
    ("experiments/rebuild.py", "instead.get(source, source)", "source", "tests/experiments/test_rebuild.py"),
    ("experiments/rebuild.py", "(node.joined_name, layer, sources, node.tower)", "(node.name, layer, sources)", "tests/experiments/test_rebuild.py"),
    ("experiments/experiment.py", "order[held_out:][:images]", "order[:images]", EXPERIMENTS),
    ("experiments/experiment.py", "stream(0, \"validation\")", "stream(images, \"validation\")", EXPERIMENTS),
    ("experiments/experiment.py", "seed=training.seed,", "seed=training.seed + len(training.net),", EXPERIMENTS),
    ("experiments/experiment.py", "seed=training.seed,", "seed=0,", EXPERIMENTS),
    ("experiments/experiment.py", "for seed in range(seeds) for net in self.nets", "for net in self.nets for seed in range(seeds)", PAIRS),
    ("experiments/experiment.py", "study.test)}}", "study.train)}}", EXPERIMENTS),
    ("experiments/reproduction.py", "if training.rate is None", "if True", PAIRS),
    ("experiments/reproduction.py", "kept[name] != value", "name != \"recipe\" and kept[name] != value", PAIRS),
    ("experiments/reproduction.py", "kept[name] != value", "name != \"fingerprint\" and kept[name] != value", PAIRS),
    ("experiments/reproduction.py", "np.asarray(data.train.mean, np.float32)", "np.zeros(1)", PAIRS),
    ("experiments/reproduction.py", "Path(data.name).name", "data.name", PAIRS),
    ("experiments/reproduction.py", "            self.results[str(training)] = result\n", "            self.results = {str(training): result}\n", PAIRS),
    ("experiments/reproduction.py", "self.experiment.tests * len(usual.test) / 3", "0", PAIRS),
    ("experiments/reproduction.py", "room / usual.epochs - watching", "room / usual.epochs", PAIRS),
    ("experiments/reproduction.py", "int(room / (most + watching))", "usual.epochs", PAIRS),
    # experiments: the one thing, and what is measured
    ("experiments/lrn.py", "study.train.deviation**2", "study.train.deviation", EXPERIMENTS),
    ("experiments/lrn.py", "layer.k, groups=layer.groups", "layer.k", EXPERIMENTS),
    ("experiments/overlap.py", "isinstance(node.layer, MaxPool2d)", "node.name == \"pool1\"", EXPERIMENTS),
    ("experiments/depth.py", "(\"conv4\", \"relu4\")", "(\"conv4\",)", EXPERIMENTS),
    ("experiments/pca_colour.py", "else 0.0", "else 0.01", EXPERIMENTS),
    ("experiments/ten_crop.py", "crops=10", "crops=1", EXPERIMENTS),
    ("experiments/ten_crop.py", "augment=True", "augment=False", EXPERIMENTS),
    ("experiments/dropout.py", "else 0.0", "else 0.1", EXPERIMENTS),
    ("experiments/dropout.py", "test - train", "test", EXPERIMENTS),
    ("experiments/dropout.py", "== first_rate", "<= first_rate", EXPERIMENTS),
    ("experiments/two_devices.py", "if twin[name].shape == w.shape", "if False", EXPERIMENTS),
    ("experiments/two_devices.py", "layer.beta, layer.k)", "layer.beta, layer.k, groups=2)", EXPERIMENTS),
    ("experiments/two_devices.py", "STANDARDIZED)", "{**STANDARDIZED, \"conv3.weight\": STANDARDIZED[\"weight\"]})", EXPERIMENTS),
    ("experiments/specialisation.py", ".sum(axis=(1, 2)) / 3", ".sum(axis=(1, 2)) / 9", EXPERIMENTS),
    ("experiments/specialisation.py", "np.split(shares, 2)", "shares[::2], shares[1::2]", EXPERIMENTS),
    ("experiments/specialisation.py", "rng.permutation(shares)", "shares", EXPERIMENTS),
    ("experiments/relu_vs_tanh.py", "(not trial[\"reached\"], trial[\"epochs\"])", "trial[\"epochs\"]", EXPERIMENTS),
    ("experiments/relu_vs_tanh.py", "milestones=()", "milestones=(1,)", EXPERIMENTS),
    ("experiments/relu_vs_tanh.py", "weight_decay=0.0", "weight_decay=5e-4", EXPERIMENTS),
    ("experiments/relu_vs_tanh.py", "epochs if reached else study.epochs", "epochs", EXPERIMENTS),
    ("experiments/relu_vs_tanh.py", " or epochs >= last", "", EXPERIMENTS),
    ("experiments/relu_vs_tanh.py", "<= self.threshold(study) or", "<= 0 or", EXPERIMENTS),
    ("experiments/relu_vs_tanh.py", "with contextlib.suppress(UserError)", "with contextlib.suppress(KeyError)", EXPERIMENTS),
    # experiments: what is told
    ("experiments/report.py", "values.std(ddof=1)", "values.std()", TOLD),
    ("experiments/report.py", "math.exp(number)", "number", TOLD),
    ("experiments/report.py", "if k != \"curve\"", "", TOLD),
    ("viz/experiments.py", "np.exp(np.log(row).mean()) if measure.ratio", "np.exp(np.log(row).mean()) if False", TOLD),
    ("viz/experiments.py", "axes.plot((0, 1), values, color=\"0.75\"", "axes.plot((0, 1), np.roll(values, 1), color=\"0.75\"", TOLD),
    ("cli/reproduce.py", "arguments.budget / len(fitting)", "arguments.budget", "tests/cli/test_reproduce.py"),
    ("cli/reproduce.py", "{e: why for e, why in why_not.items() if why}", "{e: \"\" for e in why_not}", "tests/cli/test_reproduce.py"),
]  # fmt: skip


def first_red(file: str, old: str, new: str, tests: str) -> str | None:
    """The first test that fails with the bug planted, or None."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "minitorch_alexnet", Path(folder, "minitorch_alexnet"))
        for name in ("tests", "pyproject.toml", "README.md"):
            os.symlink(ROOT / name, Path(folder, name))
        path = Path(folder, "minitorch_alexnet", file)
        path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
        try:
            result = subprocess.run(
                [sys.executable, "-m", "pytest", "-xq", "-p", "no:cacheprovider", *tests.split()],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"},
                capture_output=True,
                text=True,
                timeout=LONGEST,
            )
        except subprocess.TimeoutExpired:
            return f"no end after {LONGEST} s"
    if result.returncode == 0:
        return None
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", result.stdout, re.MULTILINE)
    return found[1] if found else (result.stdout + result.stderr).strip().splitlines()[-1]


def outdated(file: str, old: str) -> bool:
    """Has the code moved on, so that the bug cannot be planted?"""
    return old not in Path(ROOT, "minitorch_alexnet", file).read_text("utf-8")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("words", metavar="WORD", nargs="*", help="only rows with all of these")
    parser.add_argument(
        "--sample", type=int, metavar="N", help="only so many of them, drawn by --seed"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at a time")
    asked = parser.parse_args(arguments)
    bugs = [bug for bug in BUGS if all(word in " ".join(bug) for word in asked.words)]
    if unfit := [f"{file} no longer says {old!r}" for file, old, *_ in bugs if outdated(file, old)]:
        print("\n".join([*unfit, "mend this list"]))
        return 1
    if asked.sample is not None:
        bugs = random.Random(asked.seed).sample(bugs, min(asked.sample, len(bugs)))
    unseen = 0
    with ThreadPoolExecutor(asked.jobs) as pool:
        for bug, red in zip(bugs, pool.map(lambda bug: first_red(*bug), bugs), strict=True):
            file, old, new, _ = bug
            unseen += red is None
            print(f"{file} | {old!r} -> {new!r} | {red or 'NOT SEEN'}", flush=True)
    print(f"{unseen} of {len(bugs)} not seen")
    return 1 if unseen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
