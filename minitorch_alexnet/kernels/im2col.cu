// columns[channel, i, j][image, row, column] = x[image, channel, sh·row + i - top, sw·column + j - left]
// or 0 outside the image. A thread a window of a channel: it writes a number into each of kh·kw rows,
// beside what its neighbours write.
extern "C" __global__ void im2col(
    const real *x, real *columns, integer n, integer c, integer h, integer w, integer kh, integer kw,
    integer sh, integer sw, integer top, integer left, integer oh, integer ow)
{
    const integer at = (integer)blockIdx.x * blockDim.x + threadIdx.x, windows = n * oh * ow;
    if (at >= c * windows) return;
    const integer channel = at / windows, window = at % windows;
    const integer image = window / (oh * ow), row = window / ow % oh, column = window % ow;
    const real *map = x + (image * c + channel) * h * w;
    real *out = columns + channel * kh * kw * windows + window;
    for (integer i = 0; i < kh; i++)
        for (integer j = 0; j < kw; j++) {
            const integer y = sh * row + i - top, z = sw * column + j - left;
            const bool inside = 0 <= y && y < h && 0 <= z && z < w;
            *out = inside ? map[y * w + z] : (real)0;
            out += windows;
        }
}
