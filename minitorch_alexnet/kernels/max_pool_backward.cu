// dx[map, p, q] = the sum of dy over the windows that this place wins: those whose first maximum in
// reading order it is. A thread a place of x: it gathers, in the order in which NumPy's twin adds.
extern "C" __global__ void max_pool_backward(
    const real *x, const real *y, const real *dy, real *dx,
    integer n, integer h, integer w, integer kh, integer kw,
    integer sh, integer sw, integer top, integer left, integer oh, integer ow)
{
    const integer at = (integer)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= n * h * w) return;
    const integer q = at % w, p = at / w % h, map = at / (w * h);
    const real value = x[at];
    x += map * h * w;
    real sum = 0;
    for (integer j = 0; j < kw; j++) {
        const integer along = q + left - j, column = along / sw;
        if (along < 0 || along % sw || column >= ow) continue;
        real down = 0;
        for (integer i = 0; i < kh; i++) {
            const integer below = p + top - i, row = below / sh;
            if (below < 0 || below % sh || row >= oh) continue;
            const integer window = (map * oh + row) * ow + column;
            bool wins = value == y[window];
            for (integer k = 0; wins && k < i * kw + j; k++) {  // does an earlier place win it?
                const integer r = sh * row + k / kw - top, s = sw * column + k % kw - left;
                wins = r < 0 || s < 0 || s >= w || x[r * w + s] != value;
            }
            if (wins) down += dy[window];
        }
        sum += down;
    }
    dx[at] = sum;
}
