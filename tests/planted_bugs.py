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
ALEXNET = "tests/models/test_alexnet.py"
CUDA = "tests/test_cuda_text.py"
NEUTRAL = "tests/test_neutral.py"
TRANSFORMS, LOADER = "tests/data/test_transforms.py", "tests/data/test_loader.py"
SCAN, PREPARE = "tests/data/test_scan.py", "tests/data/test_prepare.py"
PROCESSES = "tests/data/test_processes.py"
EXPERIMENTS = "tests/experiments/test_experiments.py"
PAIRS = "tests/experiments/test_reproduction.py"
TOLD = "tests/experiments/test_report.py"
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
    ("kernels/cpu.py", "for axis in (1, 0):", "for axis in (1, 1):", LAYERS),
    ("kernels/cpu.py", "dy[outputs] -= won", "pass", LAYERS),
    ("kernels/cpu.py", "dx[inputs] += won", "dx[inputs] = won", LAYERS),
    ("kernels/cpu.py", "(x[inputs] == y[outputs])", "(x[inputs] >= dy[outputs])", LAYERS),
    ("kernels/cpu.py", "_to_winners(rows, y, dy, 0,", "_to_winners(rows, y, dy, 1,", LAYERS),
    ("kernels/cpu.py", "transpose(2, 0, 1).reshape(*maps", "transpose(2, 1, 0).reshape(*maps", LAYERS),
    ("kernels/cpu.py", "max(0, -((k - before) // step))", "max(0, (before - k) // step)", LAYERS),
    ("kernels/cpu.py", "size - 1, (shape[axis] - 1 + before", "size - 1, (shape[axis] + before", LAYERS),
    # the loops in CUDA, and the numbers they are given
    ("kernels/im2col.cu", "sh * row + i - top", "sh * row + i", CUDA),
    ("kernels/im2col.cu", "sh * row + i - top, z = sw * column", "sw * row + i - top, z = sh * column", CUDA),
    ("kernels/im2col.cu", "y < h && 0 <= z", "y <= h && 0 <= z", CUDA),
    ("kernels/im2col.cu", "if (at >= c * windows) return;", "", CUDA),
    ("kernels/im2col.cu", "image * c + channel", "image * n + channel", CUDA),
    ("kernels/col2im.cu", "down < 0 || down % sh || row >= oh", "down < 0 || row >= oh", CUDA),
    ("kernels/col2im.cu", "along % sw || column >= ow", "along % sw || column > ow", CUDA),
    ("kernels/col2im.cu", "z + left - j", "z + top - j", CUDA),
    ("kernels/col2im.cu", "const integer at = ", "const int at = ", CUDA),
    ("kernels/col2im.cu", "for (integer i = 0; i < kh; i++)", "for (integer i = kh - 1; i >= 0; i--)", CUDA),
    ("kernels/window_sum.cu", "k <= before && k <= channel", "k <= after && k <= channel", CUDA),
    ("kernels/window_sum.cu", "k < c - channel", "k <= c - channel", CUDA),
    ("kernels/window_sum.cu", "at / pixels % c", "at % c", CUDA),
    ("kernels/window_sum.cu", "if (at >= n * c * pixels) return;", "if (at > n * c * pixels) return;", CUDA),
    ("kernels/max_pool.cu", "empty || value > best", "value > best", CUDA),
    ("kernels/max_pool.cu", " || value != value", "", CUDA),
    ("kernels/max_pool.cu", "p >= h || q < 0", "p > h || q < 0", CUDA),
    ("kernels/max_pool.cu", "sw * column + j - left", "sh * column + j - left", CUDA),
    ("kernels/max_pool_backward.cu", "k < i * kw + j; k++", "k < i * kw; k++", CUDA),
    ("kernels/max_pool_backward.cu", "k = 0; wins && k < i * kw + j", "k = i * kw + j + 1; wins && k < kh * kw", CUDA),
    ("kernels/max_pool_backward.cu", "k / kw - top, s = sw * column + k % kw", "k / kh - top, s = sw * column + k % kh", CUDA),
    ("kernels/max_pool_backward.cu", " || s >= w", "", CUDA),
    ("kernels/max_pool_backward.cu", "p + top - i", "p + left - i", CUDA),
    ("kernels/max_pool_backward.cu", "sum += down;", "sum = down;", CUDA),
    ("kernels/max_pool_backward.cu", "(integer)blockIdx.x", "blockIdx.x", CUDA),
    ("kernels/cuda.py", "*kernel_size, *stride, top, left, oh, ow", "*stride, *kernel_size, top, left, oh, ow", CUDA),
    ("kernels/cuda.py", "top, left, oh, ow\n", "left, top, oh, ow\n", CUDA),
    ("kernels/cuda.py", "h * w, before, after", "h * w, after, before", CUDA),
    ("kernels/cuda.py", "(x, y, dy, dx)", "(y, x, dy, dx)", CUDA),
    ("kernels/cuda.py", '"im2col", c * windows', '"im2col", windows', CUDA),
    ("kernels/cuda.py", '"max_pool_backward", dx.size', '"max_pool_backward", y.size', CUDA),
    ("kernels/cuda.py", "-(-threads // THREADS)", "threads // THREADS", CUDA),
    ("kernels/cuda.py", "np.int64 if wide", "np.int32 if wide", CUDA),
    ("kernels/cuda.py", "+ THREADS >= 2**31", ">= 2**31", CUDA),
    ("kernels/cuda.py", "if not threads:", "if False:", CUDA),
    ("kernels/cuda.py", "maps.transpose(1, 0, 2, 3)", "maps.transpose(1, 2, 3, 0)", CUDA),
    # what a GPU would refuse, or do slowly or on another device
    ("layers/conv.py", "xp.zeros(weight.shape[::-1]", "np.zeros(weight.shape[::-1]", NEUTRAL),
    ("layers/dropout.py", "array_module(x).asarray(", "np.asarray(", NEUTRAL),
    ("layers/loss.py", "xp.asarray(labels)", "labels", NEUTRAL),
    ("layers/loss.py", "xp.exp(log_p)", "np.exp(log_p)", NEUTRAL),
    ("layers/linear.py", "xp.matmul(dy[:, rows].T, x, out=dw[rows])", "dw[rows] = np.asarray(dy[:, rows].T) @ x", NEUTRAL),
    ("layers/lrn.py", "array_module(s) is not np or beta", "beta", NEUTRAL),
    ("layers/join.py", "array_module(xs[0]).concatenate", "__import__('numpy').concatenate", NEUTRAL),
    ("graph.py", ", node.device.current():", ":", NEUTRAL),
    ("graph.py", "            with node.device.current():\n                dxs", "            with Device('cpu').current():\n                dxs", NEUTRAL),
    ("graph.py", "device.array(parameter.data)", "parameter.data", NEUTRAL),
    ("device.py", "if array_module(x) is not np:\n        return [work(slice", "if False:\n        return [work(slice", NEUTRAL),
    ("optim.py", "with Device.of(velocity).current():", "if True:", NEUTRAL),
    # convolution
    ("layers/conv.py", "y_shape[1:]), bias[outs],", "y_shape[1:]), 0 * bias[outs],", LAYERS),
    ("layers/conv.py", "db[outs] += maps.sum(axis=1)", "db[outs] = maps.sum(axis=1)", LAYERS),
    ("layers/conv.py", "db[outs] += maps.sum(axis=1)", "db[outs] -= maps.sum(axis=1)", LAYERS),
    ("layers/conv.py", "db[outs] += maps.sum(axis=1)", "db[outs] += maps.mean(axis=1)", LAYERS),
    ("layers/conv.py", "dw[:, outs] += columns", "dw[:, outs] = columns", LAYERS),
    ("layers/conv.py", "dw[:, outs] += columns", "dw[:, outs] -= columns", LAYERS),
    ("layers/conv.py", "sum(dw for dw, _ in parts)", "parts[0][0]", LAYERS),
    ("layers/conv.py", "sum(db for _, db in parts)", "parts[0][1]", LAYERS),
    ("layers/conv.py", "weight[outs].T @ maps", "-weight[outs].T @ maps", LAYERS),
    ("layers/conv.py", "slice(g * ins, (g + 1) * ins)", "slice(0, ins)", LAYERS),
    ("layers/conv.py", "slice(g * outs, (g + 1) * outs)", "slice(0, outs)", LAYERS),
    # local response normalisation
    ("layers/lrn.py", "dx -= crossed", "dx += crossed", LAYERS),
    ("layers/lrn.py", "dx -= crossed", "dx -= 0 * crossed", LAYERS),
    ("layers/lrn.py", "2 * self._a() * self.beta", "self._a() * self.beta", LAYERS),
    ("layers/lrn.py", "2 * self._a() * self.beta", "2 * self.alpha * self.beta", LAYERS),
    ("layers/lrn.py", "2 * self._a() * self.beta", "2 * self._a()", LAYERS),
    ("layers/lrn.py", "beta, out), after, before)", "beta, out), before, after)", LAYERS),
    ("layers/lrn.py", "return damped * x / s", "return damped * x", LAYERS),
    ("layers/lrn.py", "return damped * x / s", "return damped / s", LAYERS),
    ("layers/lrn.py", "crossed * x * factor", "crossed * factor", LAYERS),
    ("layers/lrn.py", "divide(g, _power(s, beta), out=damped)", "divide(g, 1, out=damped)", LAYERS),
    ("layers/lrn.py", "    s += k", "    s += 1", LAYERS),
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
    ("optim.py", "v -= rate * (decay * w + g)\n    w += v", "v -= decay * w + g\n    w += rate * v", "tests/test_optim.py"),
    ("optim.py", "self.weight_decay * parameter.decay", "self.weight_decay", "tests/test_optim.py"),
    ("optim.py", "self.lr * parameter.lr_scale", "self.lr", "tests/test_optim.py"),
    ("optim.py", "v *= momentum", "pass", "tests/test_optim.py"),
    ("optim.py", "w += v", "w -= v", "tests/test_optim.py"),
    ("optim.py", "(decay * w + g)", "(g - decay * w)", "tests/test_optim.py"),
    ("optim.py", "if error < self.best", "if error <= self.best", "tests/test_optim.py"),
    # the graph
    ("graph.py", "gradients[s] + dx if s in gradients else dx", "dx", "tests/test_graph.py"),
    ("graph.py", "gradients[s] + dx if s in gradients else dx", "gradients.get(s, dx)", "tests/test_graph.py"),
    ("graph.py", "in reversed(self.nodes.values())", "in self.nodes.values()", "tests/test_graph.py"),
    ("graph.py", "np.concatenate(pieces) for", "np.concatenate(pieces[::-1]) for", "tests/test_graph.py"),
    ("graph.py", "used[key] += size", "pass", "tests/test_graph.py"),
    ("graph.py", "if own or any(s in learns", "if own or all(s in learns", "tests/test_graph.py"),
    # the models
    ("models/alexnet.py", "CEIL = ((0, 3), (0, 3))", "CEIL = ((3, 0), (3, 0))", ALEXNET),
    ("models/alexnet.py", "Conv2d(m3, m4, 3, padding=1, groups=groups)", "Conv2d(m3, m4, 3, padding=1)", ALEXNET),
    ("models/alexnet.py", "k=2, groups=groups)", "k=2)", ALEXNET + " -k same_weights"),
    ("models/alexnet.py", '(f"{node}a_to_b", f"{node}b")', '(f"{node}b", f"{node}a_to_b")', ALEXNET + " -k same_weights"),
    ("models/alexnet.py", '(f"{node}a_to_b", f"{node}b")', '(f"{node}b", f"{node}b")', ALEXNET),
    ("models/alexnet.py", '("drop7a", "drop7b_to_a")', '("drop7b_to_a", "drop7a")', ALEXNET),
    ("models/alexnet.py", '(60, "a"), (61, "b")', '(60, "a"), (60, "b")', ALEXNET),
    ("models/alexnet.py", 'net.add("relu5", ReLU())', "pass", ALEXNET),
    ("models/alexnet.py", '        net.add(f"drop{number}", Dropout', '        number == 6 and net.add(f"drop{number}", Dropout', ALEXNET),
    ("models/alexnet.py", "Dropout(dropout, rescale, stream", 'Dropout(dropout, "test", stream', ALEXNET),
    ("models/alexnet.py", '"k": 1,', '"k": 2,', ALEXNET),
    ("models/alexnet.py", '"alpha_over_size": True, "groups": 2', '"groups": 2', ALEXNET),
    ("models/alexnet.py", '"conv3.weight", "conv4.weight", "conv5.weight"', '"conv4.weight", "conv5.weight"', ALEXNET),
    ("models/alexnet.py", '2 if name.endswith(".bias") else 1', '1 if name.endswith(".bias") else 2', ALEXNET),
    ("models/alexnet.py", "parameter.decay = 0", "parameter.decay = 1", ALEXNET),
    ("models/alexnet.py", 'stream(seed, "weights")', 'stream(0, "weights")', ALEXNET),
    ("init.py", '"fc6.bias", "fc7.bias"', '"fc6.bias"', "tests/test_init.py -k papers_layers"),
    ("init.py", '"conv3.weight": he_after_norm,', "", "tests/test_init.py -k papers_layers"),
    ("layers/upsample.py", "w, self.scale_factor).sum(axis=(3, 5))", "self.scale_factor, w).sum(axis=(3, 4))", "tests/layers/test_upsample.py"),
    ("layers/upsample.py", ".sum(axis=(3, 5))", ".mean(axis=(3, 5))", "tests/layers/test_upsample.py"),
    ("timing.py", "(own + upstream)", "2", "tests/test_timing.py"),
    ("timing.py", "timed(node, 1, node.layer.backward)", "timed(node, 0, node.layer.backward)", "tests/test_timing.py"),
    ("timing.py", "self.spent[name][which] +=", "self.spent[name][which] =", "tests/test_timing.py"),
    ("timing.py", "(now - self.since) / len(self.working)", "(now - self.since)", "tests/test_timing.py"),
    ("timing.py", "    net.set_generator_states(generators)\n", "", "tests/test_train.py"),
    ("timing.py", "        for node in net.nodes.values():\n            del node", "        for node in ():\n            del node", "tests/test_timing.py"),
    ("timing.py", "return 2 * SQUARE**3", "return SQUARE**3", "tests/test_timing.py"),
    ("timing.py", "self.flop / self.steps.sum(axis=1) / self.limit", "self.flop / self.steps[:, 0] / self.limit", "tests/test_timing.py"),
    ("timing.py", "parts = (self._forward, self._backward, self.sgd.step)", "parts = (self._forward, self.sgd.step, self._backward)", "tests/test_timing.py"),
    ("timing.py", "lr=0)", "lr=0.01)", "tests/test_timing.py"),
    ("timing.py", "len(rounds) < 3 or", "len(rounds) < 2 or", "tests/test_timing.py"),
    ("timing.py", "get_workers().threads, ", "7, ", "tests/test_timing.py"),
    ("viz/timing.py", "left=forward, ", "", "tests/test_viz.py -k layer_bars"),
    ("device.py", "1 << most.bit_length() >> 1", "most", "tests/test_device.py"),
    ("device.py", "hold_to(self._cores_left.popleft())", "pass", "tests/test_device.py"),
    ("device.py", "errors = [helper.exception() for helper in helpers]", "errors = []", "tests/test_device.py"),
    ("device.py", "    _keep_freed_memory()", "    pass", "tests/test_device.py"),
    ("device.py", "len(x) * row_bytes)", "row_bytes)", "tests/test_device.py"),
    ("graph.py", "size if node.sources[0] in learns else 0", "size", "tests/test_graph.py"),
    ("graph.py", "if edge.startswith", "if not edge.startswith", "tests/test_graph.py"),
    # stopping and going on
    ("run.py", "if not self.folder:\n            raise", "if False:\n            raise", "tests/test_run.py"),
    ("run.py", '"generators": self.net.generator_states(),', '"generators": {},', "tests/test_train.py"),
    ("train.py", "start=self.batch", "start=0", "tests/test_train.py"),
    ("run.py", "sgd.velocity[name] = Device", "_ = Device", "tests/test_train.py"),
    ("run.py", "schedule.load_state_dict(meta", "str(meta", "tests/test_train.py"),
    ("run.py", "meta[\"images\"] != labels or ", "", "tests/test_run.py"),
    ("run.py", "not np.array_equal(arrays[\"images/mean\"], mean)", "False", "tests/test_run.py"),
    ("run.py", "without=\"velocity/\"", "without=\"weights/\"", "tests/test_run.py"),
    ("finetune.py", "    layers.popitem()  # the last\n", "", "tests/test_finetune.py"),
    ("finetune.py", "for names in layers.values()\n        if all(n in", "for names in layers.values()\n        if any(n in", "tests/test_finetune.py"),
    ("finetune.py", "Normalize(run.normalize.mean if same else own.mean, run.normalize.scale)", "own", "tests/test_finetune.py"),
    ("finetune.py", "if taken and f", "if f", "tests/test_finetune.py"),
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
    ("data/prepare.py", "sorted(report + listing.aside)", "report", PREPARE),
    ("data/image_folder.py", "[chosen[here] - self._ends[k]]", "[chosen[here]]", "tests/data/test_image_folder.py"),
    ("data/image_folder.py", "float(arrays[\"deviation\"]) or 1.0", "float(arrays[\"deviation\"])", PREPARE),
    # how good is a net
    ("evaluate.py", "total = log_softmax(total)", "pass", "tests/test_evaluate.py"),
    ("evaluate.py", "np.logaddexp(total, log_softmax(", "np.add(total, log_softmax(", "tests/test_evaluate.py"),
    ("evaluate.py", "total - math.log(len(views))", "total", "tests/test_evaluate.py"),
    ("evaluate.py", "train=False, keep=", "train=True, keep=", "tests/test_evaluate.py"),
    ("evaluate.py", "np.hstack([distances, gaps])", "np.hstack([gaps, distances])", "tests/test_evaluate.py"),
    ("evaluate.py", "seen += len(found)", "seen += 1", "tests/test_evaluate.py"),
    ("evaluate.py", 'np.argsort(distances, axis=1, kind="stable")', "np.argsort(distances, axis=1)", "tests/test_evaluate.py"),
    # the checker itself
    ("gradcheck.py", "outside <= noise else outside / scale", "True else outside", "tests/test_gradcheck.py"),
    ("gradcheck.py", "dy = rng.uniform(0.5, 1.5, copy", "dy = 1 + 0 * rng.uniform(0.5, 1.5, copy", "tests/test_gradcheck.py"),
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
