"""The layers once more, as loops over the paper's formulas: slow, plain, and nothing shared.

Each function takes the upstream gradient too, and answers with y and every derivative.
"""

import math
from itertools import product

import numpy as np
from hypothesis import settings

# for @given: few and small examples, the same ones in each run
few = settings(max_examples=40, deadline=None, derandomize=True)


def assert_close(got, wanted, tolerance=1e-12):
    """Same shape, and no element further off than tolerance × the largest of `wanted`."""
    got, wanted = np.asarray(got), np.asarray(wanted)
    assert got.shape == wanted.shape
    assert np.isfinite(wanted).all()
    if wanted.size:
        error = np.abs(got - wanted).max() / (np.abs(wanted).max() or 1.0)
        assert error <= tolerance


def normal(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def with_dtype(layer, dtype=np.float64, seed=None):
    """The layer with its parameters in dtype, drawn if they are not; with a seed, all anew."""
    for i, parameter in enumerate(layer.params.values()):
        if seed is not None or not parameter.drawn:
            parameter.data = normal(*parameter.data.shape, seed=[seed or 0, i])
        parameter.data = parameter.data.astype(dtype)
    return layer


def output(layer, *inputs, train=True):
    """What forward gives, without its cache."""
    y, _ = layer.forward(*inputs, train=train)
    return y


def layer_results(layer, dy, *inputs):
    """[y, dx of each input, gradient of each parameter] of one forward and backward."""
    y, cache = layer.forward(*inputs)
    dxs, grads = layer.backward(dy, cache)
    assert grads.keys() == layer.params.keys()
    return [y, *(dxs if isinstance(dxs, tuple) else (dxs,)), *(grads[k] for k in layer.params)]


# ---- PyTorch -------------------------------------------------------------------------------


def torch_results(torch, function, dy, *arrays):
    """[y, derivative by each array] of function(*tensors), with upstream gradient dy."""
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    y = function(*tensors)
    y.backward(torch.tensor(dy))
    return [y.detach().numpy(), *(t.grad.numpy() for t in tensors)]


# ---- formulas ------------------------------------------------------------------------------


def conv_size(size, kernel, stride, pads):
    """How many windows fit into the padded axis."""
    return len(range(0, size + sum(pads) - kernel + 1, stride))


def conv2d(x, weight, bias, dy, stride=(1, 1), padding=((0, 0), (0, 0)), groups=1):
    """y, dx, dweight, dbias."""
    (outs, ins, kh, kw), (h, w) = weight.shape, x.shape[2:]
    (sh, sw), ((top, _), (left, _)) = stride, padding
    y, dx = np.zeros_like(dy), np.zeros_like(x)
    dw, db = np.zeros_like(weight), np.zeros_like(bias)
    for o, row, column in product(*map(range, dy.shape[1:])):
        g = dy[:, o, row, column]
        first = o // (outs // groups) * ins  # the group's first input channel
        y[:, o, row, column] = bias[o]
        db[o] += g.sum()
        for c, i, j in product(range(ins), range(kh), range(kw)):
            r, q = sh * row + i - top, sw * column + j - left
            if 0 <= r < h and 0 <= q < w:
                y[:, o, row, column] += weight[o, c, i, j] * x[:, first + c, r, q]
                dx[:, first + c, r, q] += weight[o, c, i, j] * g
                dw[o, c, i, j] += (x[:, first + c, r, q] * g).sum()
    return y, dx, dw, db


def pool_size(size, kernel, stride, pads, ceil_mode=False):
    """How many windows there are along an axis."""
    if not ceil_mode:
        return conv_size(size, kernel, stride, pads)
    start, count = -pads[0], 1
    while start + kernel < size + pads[1] and start + stride < size:
        start, count = start + stride, count + 1  # until the last window covers the edge
    return count


def max_pool(x, dy, kernel, stride, padding):
    """y, dx: the first of equal values in reading order gets the gradient."""
    (h, w), (sh, sw), ((top, _), (left, _)) = x.shape[2:], stride, padding
    y, dx = np.zeros_like(dy), np.zeros_like(x)
    for n, c, row, column in product(*map(range, dy.shape)):
        best, winner = -math.inf, None
        for i, j in product(*map(range, kernel)):
            r, q = sh * row + i - top, sw * column + j - left
            if 0 <= r < h and 0 <= q < w and x[n, c, r, q] > best:
                best, winner = x[n, c, r, q], (n, c, r, q)
        y[n, c, row, column] = best
        dx[winner] += dy[n, c, row, column]
    return y, dx


def lrn(x, dy, size, a, beta, k, groups=1):
    """y, dx; dx by the whole Jacobian, dy_i/dx_j for every i and j."""
    channels = x.shape[1]
    y, dx, width = np.zeros_like(x), np.zeros_like(x), channels // groups
    for i in range(channels):
        low = i // width * width  # the group's first channel
        first, last = i - size // 2, i + (size - 1) // 2
        window = [j for j in range(first, last + 1) if low <= j < low + width]
        s = k + a * sum(x[:, j] ** 2 for j in window)
        y[:, i] = x[:, i] * s**-beta
        dx[:, i] += dy[:, i] * s**-beta
        for j in window:
            dx[:, j] += dy[:, i] * x[:, i] * -beta * s ** (-beta - 1) * 2 * a * x[:, j]
    return y, dx


def linear(x, weight, bias, dy):
    """y, dx, dweight, dbias."""
    y, dx = np.zeros_like(dy), np.zeros_like(x)
    dw, db = np.zeros_like(weight), np.zeros_like(bias)
    for n, o in product(*map(range, dy.shape)):
        y[n, o] = bias[o] + math.fsum(weight[o, i] * x[n, i] for i in range(x.shape[1]))
        db[o] += dy[n, o]
        for i in range(x.shape[1]):
            dx[n, i] += weight[o, i] * dy[n, o]
            dw[o, i] += dy[n, o] * x[n, i]
    return y, dx, dw, db


def softmax_cross_entropy(logits, labels):
    """The mean loss, dlogits."""
    losses, dz = [], np.zeros_like(logits)
    for row, label, d in zip(logits, labels, dz, strict=True):
        p = [1 / math.fsum(math.exp(other - z) for other in row) for z in row]
        losses.append(-math.log(p[label]))
        for i in range(len(row)):
            d[i] = (p[i] - (i == label)) / len(logits)
    return math.fsum(losses) / len(losses), dz
