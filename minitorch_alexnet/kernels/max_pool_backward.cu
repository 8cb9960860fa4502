// dx[map, p, q] = the sum of dy over the windows that this place wins.
// A thread a place of x: it gathers, in the order in which NumPy's twin adds. Of the windows that hold
// the place the last comes first: there it is at the first place.
extern "C" __global__ void max_pool_backward(
    const real *dy, const int *winner, real *dx,
    integer n, integer h, integer w, integer kh, integer kw,
    integer sh, integer sw, integer top, integer left, integer oh, integer ow)
{
    const integer at = (integer)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= n * h * w) return;
    const integer q = at % w, p = at / w % h, map = at / (w * h);
    const integer down = p + top, along = q + left;
    const integer last_row = down / sh < oh ? down / sh : oh - 1;
    const integer last_column = along / sw < ow ? along / sw : ow - 1;
    real sum = 0;
    for (integer column = last_column, j = along - sw * column; column >= 0 && j < kw; column--, j += sw) {
        real rows = 0;
        for (integer row = last_row, i = down - sh * row; row >= 0 && i < kh; row--, i += sh) {
            const integer window = (map * oh + row) * ow + column;
            if (winner[window] == i * kw + j) rows += dy[window];
        }
        sum += rows;
    }
    dx[at] = sum;
}
