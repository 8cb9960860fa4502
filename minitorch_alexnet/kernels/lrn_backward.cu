// dx = dy · s^(-beta) - factor · x · the sum of dy · x · s^(-beta) / s over the channels whose window
// holds this one: from channel - after to channel + before.
// A thread a pixel of a group, as in lrn.
static __device__ real damped(const real *dy, const real *s, real beta, integer at)
{
    return dy[at] / (beta == (real)0.75 ? sqrt(s[at]) * sqrt(sqrt(s[at])) : pow(s[at], beta));
}

extern "C" __global__ void lrn_backward(
    const real *dy, const real *x, const real *s, real *dx,
    integer n, integer c, integer pixels, integer before, integer after, real beta, real factor)
{
    const integer thread = (integer)blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= n * pixels) return;
    integer at = thread / pixels * c * pixels + thread % pixels;
    for (integer channel = 0; channel < c; channel++, at += pixels) {
        const real own = damped(dy, s, beta, at);
        real sum = own * x[at] / s[at];
        for (integer j = 1, i = at - pixels; j <= after && j <= channel; j++, i -= pixels)
            sum += damped(dy, s, beta, i) * x[i] / s[i];
        for (integer j = 1, i = at + pixels; j <= before && j < c - channel; j++, i += pixels)
            sum += damped(dy, s, beta, i) * x[i] / s[i];
        dx[at] = own - sum * x[at] * factor;
    }
}
