// y[image, channel, pixel] = the sum of x over the channels from channel - before to channel + after,
// as far as there are any. A thread a number.
extern "C" __global__ void window_sum(
    const real *x, real *y, integer n, integer c, integer pixels, integer before, integer after)
{
    const integer at = (integer)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= n * c * pixels) return;
    const integer channel = at / pixels % c;
    real sum = x[at];
    for (integer k = 1; k <= before && k <= channel; k++) sum += x[at - k * pixels];
    for (integer k = 1; k <= after && k < c - channel; k++) sum += x[at + k * pixels];
    y[at] = sum;
}
