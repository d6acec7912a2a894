// Layer norm (Ba et al. 2016) and RMS norm (Zhang and Sennrich 2019) over rows, forward and backward.
//
//   h = x + residual, n = (h - mean) / sqrt(var + eps) (RMS: mean = 0), y = n gain + shift
//   g = dy gain, dx = (g - mean(g) - n mean(g n)) / sqrt(var + eps) (RMS: without the first mean)
//
// A warp a row, eight rows a block: grid (ceil(most rows of a client / 8), clients). Memory-bound: forward 2 to 4 reads and
// 1 to 2 writes of 2 bytes an element (the row is read again rather than kept: it is in the cache), backward 2 and 1.
// About 8 FLOPs an element. Gradients of gain and shift are column sums: reduce.cu.
#include "primitives.cuh"

constexpr int ROWS = 8, THREADS = ROWS * WARP_LANES;

struct NormArguments {
    const half* x;
    const half* residual;  // or null
    const half* gain;
    const half* shift;  // or null
    half* out;
    half* normalised;  // or null
    float* inverse;    // 1 / deviation, or null
    const int* offsets;  // first row of each client and one more
    int64_t gain_group, shift_group;  // elements from one client's to the next
    int width, centred;
    float epsilon;
    int unused;
};

KERNEL(norm_forward, NormArguments, THREADS, 0) {
    const int client = blockIdx.y, lane = lane_index();
    const int row = a.offsets[client] + blockIdx.x * ROWS + warp_index();
    if (row >= a.offsets[client + 1]) return;
    const int64_t at = (int64_t)row * a.width;
    const half* gain = a.gain + client * a.gain_group;
    const half* shift = a.shift ? a.shift + client * a.shift_group : nullptr;
    auto value = [&](int i) { return to_float(a.x[at + i]) + (a.residual ? to_float(a.residual[at + i]) : 0.0f); };
    float mean = 0.0f, square = 0.0f;
    if (a.centred) {
        for (int i = lane; i < a.width; i += WARP_LANES) mean += value(i);
        mean = warp_sum(mean) / a.width;
    }
    for (int i = lane; i < a.width; i += WARP_LANES) {
        const float d = value(i) - mean;
        square += d * d;
    }
    const float inverse = 1.0f / sqrtf(warp_sum(square) / a.width + a.epsilon);
    for (int i = lane; i < a.width; i += WARP_LANES) {
        const float n = (value(i) - mean) * inverse;
        if (a.normalised) a.normalised[at + i] = to_half(n);
        a.out[at + i] = to_half(n * to_float(gain[i]) + (shift ? to_float(shift[i]) : 0.0f));
    }
    if (a.inverse && lane == 0) a.inverse[row] = inverse;
}

struct NormGradientArguments {
    const half* dy;
    const half* gain;
    const half* normalised;
    const float* inverse;
    half* dx;
    const int* offsets;
    int64_t gain_group;
    int width, centred, accumulate, unused;
};

KERNEL(norm_backward, NormGradientArguments, THREADS, 0) {
    const int client = blockIdx.y, lane = lane_index();
    const int row = a.offsets[client] + blockIdx.x * ROWS + warp_index();
    if (row >= a.offsets[client + 1]) return;
    const int64_t at = (int64_t)row * a.width;
    const half* gain = a.gain + client * a.gain_group;
    float mean = 0.0f, slope = 0.0f;
    for (int i = lane; i < a.width; i += WARP_LANES) {
        const float g = to_float(a.dy[at + i]) * to_float(gain[i]);
        mean += g;
        slope += g * to_float(a.normalised[at + i]);
    }
    mean = a.centred ? warp_sum(mean) / a.width : 0.0f;
    slope = warp_sum(slope) / a.width;
    const float inverse = a.inverse[row];
    for (int i = lane; i < a.width; i += WARP_LANES) {
        const float g = to_float(a.dy[at + i]) * to_float(gain[i]);
        const float d = (g - mean - to_float(a.normalised[at + i]) * slope) * inverse;
        a.dx[at + i] = to_half(a.accumulate ? to_float(a.dx[at + i]) + d : d);
    }
}
