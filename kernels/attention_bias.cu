// Biases of attention scores by relative distance (Raffel et al. 2020, section 2.1): from tables of buckets, the frozen one or
// each client's own, to the bias at every distance, and from the gradients of scores back to the tables.
//
//   bias[head, distance] = table[bucket(distance), head]
//   d table[bucket, head] += sum over sequences, queries and keys at a distance of the bucket of dS / scale
//
// The kernel of dQ leaves sums over the diagonals of dS, a row of distances for every 64 queries of a sequence and head; a block
// of the last kernel adds up one entry of a table: threads in strides, then a tree. No atomics: the same bytes every run.
#include "attention.cuh"

struct BiasArguments {
    const half* table;   // [buckets, heads], of the first client
    const int* buckets;  // of each distance
    float* bias;         // [clients, heads, span]
    int64_t group;       // elements from one client's table to the next
    int heads, span;
};

// Grid (ceil(heads span / 128), clients).
KERNEL(attention_bias, BiasArguments, THREADS, 0) {
    const int i = blockIdx.x * THREADS + thread_index(), client = blockIdx.y, entries = a.heads * a.span;
    if (i >= entries) return;
    const half* table = a.table + client * a.group;
    a.bias[(int64_t)client * entries + i] = to_float(table[(int64_t)a.buckets[i % a.span] * a.heads + i / a.span]);
}

struct BiasGradientArguments {
    const float* sums;         // [sequences, heads, tiles, span]: rows of tiles beyond a sequence's end are not read
    const int* distances;      // [buckets, 2]: the first of each bucket and the one after its last
    float* d_table;            // [buckets, heads], of the first client
    const int* segments;       // first sequence of each client and one more
    const int* query_offsets;  // first row of each sequence and one more
    int64_t group;
    int heads, tiles, span, unused;
};

// Grid (buckets, heads, clients). Reads each sum once.
KERNEL(attention_bias_gradient, BiasGradientArguments, THREADS, THREADS / WARP_LANES * 4) {
    const int bucket = blockIdx.x, head = blockIdx.y, client = blockIdx.z;
    const int first = a.distances[2 * bucket], width = a.distances[2 * bucket + 1] - first;
    float sum = 0.0f;
    for (int s = a.segments[client]; s < a.segments[client + 1]; s++) {
        const int tiles = ceil_div(a.query_offsets[s + 1] - a.query_offsets[s], SIDE);
        const float* rows = a.sums + ((int64_t)s * a.heads + head) * a.tiles * a.span + first;
        for (int i = thread_index(); i < tiles * width; i += THREADS) sum += rows[(int64_t)(i / width) * a.span + i % width];
    }
    sum = block_sum<THREADS>(sum, shared_memory<float>());
    if (thread_index() == 0) a.d_table[client * a.group + (int64_t)bucket * a.heads + head] += sum;
}

// In place of attention_query_gradient, on the same grid. Writes 4 span bytes more for every 64 queries and head.
KERNEL(attention_biased_gradient_32, AttentionArguments, THREADS, BIASED_SHARED<32>) { attention_query_gradient<32, true>(a); }
KERNEL(attention_biased_gradient_64, AttentionArguments, THREADS, BIASED_SHARED<64>) { attention_query_gradient<64, true>(a); }
KERNEL(attention_biased_gradient_128, AttentionArguments, THREADS, BIASED_SHARED<128>) { attention_query_gradient<128, true>(a); }
