// x[image, channel, y, z] = the sum of all the places in columns that im2col wrote it to.
// A thread a pixel: it gathers, so that no two threads add to one number and the order is fixed.
extern "C" __global__ void col2im(
    const real *columns, real *x, integer n, integer c, integer h, integer w, integer kh, integer kw,
    integer sh, integer sw, integer top, integer left, integer oh, integer ow)
{
    const integer at = (integer)blockIdx.x * blockDim.x + threadIdx.x, windows = n * oh * ow;
    if (at >= n * c * h * w) return;
    const integer z = at % w, y = at / w % h, channel = at / (w * h) % c, image = at / (w * h * c);
    real sum = 0;
    for (integer i = 0; i < kh; i++) {
        const integer down = y + top - i, row = down / sh;
        if (down < 0 || down % sh || row >= oh) continue;
        for (integer j = 0; j < kw; j++) {
            const integer along = z + left - j, column = along / sw;
            if (along < 0 || along % sw || column >= ow) continue;
            const integer place = (channel * kh + i) * kw + j;
            sum += columns[place * windows + (image * oh + row) * ow + column];
        }
    }
    x[at] = sum;
}
