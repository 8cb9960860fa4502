// s = k + a · the sum of x² over the channels from channel - before to channel + after, as far as a
// group has them, and y = x · s^(-beta).
// A thread a pixel of a group: it walks the channels, and what it has just read for one channel's
// window is near when the next one's wants it.
extern "C" __global__ void lrn(
    const real *x, real *y, real *s, integer n, integer c, integer pixels, integer before, integer after,
    real k, real a, real beta)
{
    const integer thread = (integer)blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= n * pixels) return;
    integer at = thread / pixels * c * pixels + thread % pixels;
    for (integer channel = 0; channel < c; channel++, at += pixels) {
        real sum = x[at] * x[at];
        for (integer j = 1; j <= before && j <= channel; j++) sum += x[at - j * pixels] * x[at - j * pixels];
        for (integer j = 1; j <= after && j < c - channel; j++) sum += x[at + j * pixels] * x[at + j * pixels];
        sum = k + a * sum;
        s[at] = sum;
        y[at] = x[at] / (beta == (real)0.75 ? sqrt(sum) * sqrt(sqrt(sum)) : pow(sum, beta));
    }
}
