// y[map, row, column] = the maximum of a window of x, and winner the place i * kw + j that has it, the
// first in reading order; outside the image there is nothing to win.
// A thread a window. n: images times channels.
extern "C" __global__ void max_pool(
    const real *x, real *y, int *winner,
    integer n, integer h, integer w, integer kh, integer kw,
    integer sh, integer sw, integer top, integer left, integer oh, integer ow)
{
    const integer at = (integer)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= n * oh * ow) return;
    const integer column = at % ow, row = at / ow % oh;
    const real *map = x + at / (ow * oh) * h * w;
    real best = 0;
    integer place = -1;
    for (integer i = 0; i < kh; i++)
        for (integer j = 0; j < kw; j++) {
            const integer p = sh * row + i - top, q = sw * column + j - left;
            if (p < 0 || p >= h || q < 0 || q >= w) continue;
            const real value = map[p * w + q];
            if (place < 0 || value > best) place = i * kw + j;
            if (place == i * kw + j || value != value) best = value;  // nan stays
        }
    y[at] = best;
    winner[at] = (int)place;
}
