// x[image, channel, y, z] += the sum of all the places in columns that im2col wrote it to.
// A thread a pixel: it gathers, so that no two threads add to one number and the order is fixed.
// Of the windows that hold the pixel the last comes first: there it is at the first place.
extern "C" __global__ void col2im(
    const real *columns, real *x, integer n, integer c, integer h, integer w, integer kh, integer kw,
    integer sh, integer sw, integer top, integer left, integer oh, integer ow)
{
    const integer at = (integer)blockIdx.x * blockDim.x + threadIdx.x, windows = n * oh * ow;
    if (at >= n * c * h * w) return;
    const integer z = at % w, y = at / w % h, channel = at / (w * h) % c, image = at / (w * h * c);
    const integer down = y + top, along = z + left;
    const integer last_row = down / sh < oh ? down / sh : oh - 1;
    const integer last_column = along / sw < ow ? along / sw : ow - 1;
    real sum = 0;
    for (integer column = last_column, j = along - sw * column; column >= 0 && j < kw; column--, j += sw)
        for (integer row = last_row, i = down - sh * row; row >= 0 && i < kh; row--, i += sh) {
            const integer place = (channel * kh + i) * kw + j;
            sum += columns[place * windows + (image * oh + row) * ow + column];
        }
    x[at] += sum;
}
