// What happens to gradients and parameters after a backward pass: unscaling with a check for overflow, norm and clipping, AdamW
// (Loshchilov and Hutter 2019, as in src/nn/optimiser/adamw.rs). fp32 masters, fp16 copies for the next pass.
//
// Bound by memory: AdamW reads 16 and writes 14 bytes a parameter. Norms are trees of fixed shape, in double precision.
#include "elements.cuh"

constexpr int RUN = 4096;

struct AccumulateArguments {
    const float* x;
    float* y;
    int64_t len;
};

// y += x: the gradient of a batch that took several passes. Grid (ceil(len / 256)).
KERNEL(accumulate, AccumulateArguments, THREADS, 0) {
    const int64_t i = element();
    if (i < a.len) a.y[i] += a.x[i];
}

struct UnscaleArguments {
    float* gradient;
    int* overflow;  // becomes 1 if a value is not finite; never 0
    int64_t len;
    float inverse_scale;
    int unused;
};

// Grid (ceil(len / 256)).
KERNEL(unscale, UnscaleArguments, THREADS, 0) {
    const int64_t i = element();
    if (i >= a.len) return;
    const float g = a.gradient[i] * a.inverse_scale;
    a.gradient[i] = g;
    // All who write, write the same.
    if (!(fabsf(g) <= 3.4028235e38f)) *a.overflow = 1;
}

struct SquaresArguments {
    const float* values;
    double* partial;  // [runs]
    double* sum;      // of squares
    int64_t len;
    int runs, unused;
};

// Squares of runs of 4096 values. Grid (ceil(len / 4096)).
KERNEL(squares_of_runs, SquaresArguments, THREADS, THREADS * 8) {
    double* sums = shared_memory<double>();
    const int64_t start = (int64_t)blockIdx.x * RUN;
    double sum = 0.0;
    for (int i = thread_index(); i < RUN && start + i < a.len; i += THREADS) {
        const double v = a.values[start + i];
        sum += v * v;
    }
    sums[thread_index()] = sum;
    __syncthreads();
    for (int half_way = THREADS / 2; half_way; half_way /= 2) {
        if (thread_index() < half_way) sums[thread_index()] += sums[thread_index() + half_way];
        __syncthreads();
    }
    if (thread_index() == 0) a.partial[blockIdx.x] = sums[0];
}

// Grid (1).
KERNEL(squares_finish, SquaresArguments, 32, 0) {
    if (thread_index() != 0) return;
    double sum = 0.0;
    for (int r = 0; r < a.runs; r++) sum += a.partial[r];
    *a.sum = sum;
}

struct ClipArguments {
    float* gradient;
    const double* sum;  // of squares
    int64_t len;
    double most;        // norm
};

// g *= min(1, most / |g|). Grid (ceil(len / 256)).
KERNEL(clip, ClipArguments, THREADS, 0) {
    const int64_t i = element();
    const double norm = sqrt(*a.sum);
    if (i < a.len && norm > a.most) a.gradient[i] *= (float)(a.most / norm);
}

struct AdamWArguments {
    float* parameters;
    float* m;
    float* v;
    const float* gradient;
    half* copy;            // or null
    const int* overflow;   // nothing moves where it is not 0
    int64_t len;
    float decay;           // 1 - rate weight_decay
    float size;            // rate / (1 - beta1^k)
    float fresh1, beta2, fresh2;
    float correction2_root;  // sqrt(1 - beta2^k)
    float epsilon;
    int unused;
};

// Grid (ceil(len / 256)), a launch a group of one rate.
KERNEL(adamw, AdamWArguments, THREADS, 0) {
    const int64_t i = element();
    if (i >= a.len || *a.overflow) return;
    const float g = a.gradient[i], m = a.m[i] + a.fresh1 * (g - a.m[i]), v = a.beta2 * a.v[i] + a.fresh2 * g * g;
    const float p = a.decay * a.parameters[i] - a.size * m / (sqrtf(v) / a.correction2_root + a.epsilon);
    a.m[i] = m;
    a.v[i] = v;
    a.parameters[i] = p;
    if (a.copy) a.copy[i] = to_half(p);
}
