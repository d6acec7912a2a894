// Compressed updates, as in src/learning/compression.rs: stochastic quantisation, and the threshold of the largest entries.
//
// Single-precision entries, arithmetic in double precision. Counts are whole numbers, so their order does not matter.
#include "counter.cuh"
#include "primitives.cuh"

constexpr int THREADS = 256;

struct QsgdArguments {
    float* values;
    const CounterKey* keys;  // of each bucket
    int64_t len;
    double factor;
    int bucket, levels;
};

// Each bucket by its own norm (Alistarh et al. 2017): v becomes factor norm sign(v) floor(s |v| / norm + u) / s, u the bucket's
// uniform number of that entry. Grid (buckets).
KERNEL(qsgd, QsgdArguments, THREADS, THREADS * 8) {
    double* sums = shared_memory<double>();
    const int64_t start = (int64_t)blockIdx.x * a.bucket;
    const int len = a.len - start < a.bucket ? (int)(a.len - start) : a.bucket;
    float* values = a.values + start;
    double sum = 0.0;
    for (int i = thread_index(); i < len; i += THREADS) sum += (double)values[i] * values[i];
    sums[thread_index()] = sum;
    __syncthreads();
    for (int half_way = THREADS / 2; half_way; half_way /= 2) {
        if (thread_index() < half_way) sums[thread_index()] += sums[thread_index() + half_way];
        __syncthreads();
    }
    const double norm = sqrt(sums[0]), s = a.levels;
    if (norm == 0.0) return;
    for (int i = thread_index(); i < len; i += THREADS) {
        const double v = values[i], level = floor(s * fabs(v) / norm + counter_uniform(a.keys[blockIdx.x], (uint64_t)i));
        values[i] = (float)((v < 0.0 ? -1.0 : 1.0) * norm * level / s * a.factor);
    }
}

struct ThresholdArguments {
    const float* values;
    int* counts;   // [blocks, 256]: entries of each run by their next 8 bits
    int* found;    // bits of the threshold so far, and how many entries are still wanted among those that have them
    int64_t len;
    int shift;     // of the bits that are looked at: 24, 16, 8, 0
    int blocks;
};

constexpr int RUN = 4096;

// Bits of |v|, which order as the numbers do.
DEVICE uint32_t magnitude_bits(float v) {
    union {
        float f;
        uint32_t u;
    } bits;
    bits.f = v;
    return bits.u & 0x7FFFFFFFu;
}

// Counts entries of a run by 8 bits of their magnitude, among those whose higher bits are the threshold's. A thread counts one value
// of the bits, so nothing is added at once. Grid (ceil(len / 4096)).
KERNEL(threshold_counts, ThresholdArguments, THREADS, RUN * 4) {
    uint32_t* run = shared_memory<uint32_t>();
    const int64_t start = (int64_t)blockIdx.x * RUN;
    const int len = a.len - start < RUN ? (int)(a.len - start) : RUN;
    for (int i = thread_index(); i < len; i += THREADS) run[i] = magnitude_bits(a.values[start + i]);
    __syncthreads();
    const uint32_t prefix = a.shift == 24 ? 0 : (uint32_t)a.found[0] >> (a.shift + 8);
    int count = 0;
    for (int i = 0; i < len; i++) {
        const bool candidate = a.shift == 24 || run[i] >> (a.shift + 8) == prefix;
        count += candidate && ((run[i] >> a.shift) & 255u) == (uint32_t)thread_index();
    }
    a.counts[(int64_t)blockIdx.x * THREADS + thread_index()] = count;
}

// The next 8 bits of the threshold: the largest value of them at or above which as many entries lie as are wanted. Grid (1).
KERNEL(threshold_bits, ThresholdArguments, THREADS, THREADS * 4) {
    int* totals = shared_memory<int>();
    int total = 0;
    for (int b = 0; b < a.blocks; b++) total += a.counts[(int64_t)b * THREADS + thread_index()];
    totals[thread_index()] = total;
    __syncthreads();
    if (thread_index() != 0) return;
    int wanted = a.found[1], bits = 255;
    while (bits > 0 && totals[bits] < wanted) wanted -= totals[bits--];
    a.found[0] |= bits << a.shift;
    a.found[1] = wanted;
}

struct KeepArguments {
    float* values;
    const int* found;  // bits of the threshold, and how many entries of exactly that magnitude stay
    int* equal;        // [blocks]: entries of exactly that magnitude in each run
    int64_t len;
    int blocks, unused;
};

// Grid (ceil(len / 4096)).
KERNEL(threshold_equals, KeepArguments, THREADS, THREADS * 4) {
    int* counts = shared_memory<int>();
    const int64_t start = (int64_t)blockIdx.x * RUN;
    int count = 0;
    for (int i = thread_index(); i < RUN && start + i < a.len; i += THREADS)
        count += magnitude_bits(a.values[start + i]) == (uint32_t)a.found[0];
    counts[thread_index()] = count;
    __syncthreads();
    if (thread_index() != 0) return;
    for (int t = 1; t < THREADS; t++) count += counts[t];
    a.equal[blockIdx.x] = count;
}

// Zeros all entries below the threshold, and of those at it all but the first. Grid (ceil(len / 4096)).
KERNEL(keep_largest, KeepArguments, THREADS, 4) {
    int* before = shared_memory<int>();
    if (thread_index() == 0) {
        int sum = 0;
        for (int b = 0; b < (int)blockIdx.x; b++) sum += a.equal[b];
        before[0] = sum;
    }
    __syncthreads();
    const int64_t start = (int64_t)blockIdx.x * RUN;
    const uint32_t threshold = (uint32_t)a.found[0];
    const int stay = a.found[1];
    int equal = before[0];
    // Few entries are equal: each thread counts those before its own again.
    const int len = a.len - start < RUN ? (int)(a.len - start) : RUN;
    if (a.equal[blockIdx.x] == 0 || equal >= stay || equal + a.equal[blockIdx.x] <= stay) {
        const bool all = equal < stay;
        for (int i = thread_index(); i < len; i += THREADS) {
            const uint32_t m = magnitude_bits(a.values[start + i]);
            if (m < threshold || (m == threshold && !all)) a.values[start + i] = 0.0f;
        }
    } else if (thread_index() == 0) {
        // The one run in which the last of the equals stays.
        for (int i = 0; i < len; i++) {
            const uint32_t m = magnitude_bits(a.values[start + i]);
            if (m < threshold || (m == threshold && equal++ >= stay)) a.values[start + i] = 0.0f;
        }
    }
}
