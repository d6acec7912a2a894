// Attention inside each sequence of a packed batch, forward and backward, with no matrix of scores in memory (Dao et al.
// 2022): bidirectional or causal, grouped queries (Ainslie et al. 2023), cross-attention, trainable prefix keys and values (Li
// and Liang 2021), bias by relative distance (Raffel et al. 2020).
//
//   S = scale Q K^T + bias, P = softmax(S), O = P V, L = log sum exp S
//   dV = P^T dO, dP = dO V^T, dS = P (dP - rowsum(dO O)) scale, dQ = dS K, dK = dS^T Q
//
// A block of 4 warps has 64 queries of one head (forward, dQ) or 64 keys of one head of keys (dK and dV, over its query
// heads in order), a warp 16 of them; the other side passes through shared memory in tiles. P and dS are rounded to fp16, all
// sums are fp32. Grids (ceil(longest / 64), heads, sequences). Two backward kernels instead of atomics: 7 products of
// 2 tokens keys dim FLOPs rather than 5, and the same bytes every run. Forward 4 such products. Heads of 32, 64 or 128 columns;
// others are padded with zeros in shared memory.
//
// Bytes: Q, O once, K and V ceil(tokens / 64) times, from the cache after the first.
#include "attention.cuh"

template <int D>
DEVICE void attention_forward(const AttentionArguments& a) {
    half* tile_q = shared_memory<half>();
    half* tile_k = tile_q + SIDE * D;
    half* tile_v = tile_k + SIDE * D;
    const int head = blockIdx.y, first = blockIdx.x * SIDE;
    const Sequence sequence(a, blockIdx.z, head / (a.heads / a.kv_heads));
    if (first >= sequence.tokens) return;
    const int queries = least(SIDE, sequence.tokens - first), keys = sequence.visible(first + queries);
    const int steps = ceil_div(keys, SIDE);
    const float* bias = sequence.bias_of(head);
    auto load_keys = [&](int step) {
        if (step < steps)
            load_rows<SIDE, D>(tile_k, sequence.total() - step * SIDE, a.dim,
                               [&](int r) { return sequence.key(step * SIDE + r); });
        commit_copies();
    };
    auto load_values = [&](int step) {
        if (step < steps)
            load_rows<SIDE, D>(tile_v, sequence.total() - step * SIDE, a.dim,
                               [&](int r) { return sequence.value(step * SIDE + r); });
        commit_copies();
    };
    load_rows<SIDE, D>(tile_q, queries, a.dim, [&](int r) { return a.query + sequence.query_at(first + r, head); });
    load_keys(0);
    load_values(0);

    Rows<D> context;
    context.clear();
    float most[2] = {minus_infinity(), minus_infinity()}, sum[2] = {0.0f, 0.0f};
#pragma unroll 1
    for (int step = 0; step < steps; step++) {
        Rows<SIDE> p;
        p.clear();
        wait_for_copies<1>();
        __syncthreads();
        p.template add_transposed<SIDE, D>(tile_q, tile_k);
        __syncthreads();
        load_keys(step + 1);
        float largest_score[2] = {most[0], most[1]};
#pragma unroll
        for (int j = 0; j < SIDE / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                p.c[j][e] = sequence.score(p.c[j][e], first + p.row(e), step * SIDE + p.column(j, e), bias);
                largest_score[e >> 1] = fmaxf(largest_score[e >> 1], p.c[j][e]);
            }
        float shrink[2];
#pragma unroll
        for (int h = 0; h < 2; h++) {
            largest_score[h] = row_max(largest_score[h]);
            shrink[h] = exponential(most[h] - largest_score[h]);
            most[h] = largest_score[h];
            sum[h] *= shrink[h];
        }
#pragma unroll
        for (int j = 0; j < SIDE / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                p.c[j][e] = exponential(p.c[j][e] - most[e >> 1]);
                sum[e >> 1] += p.c[j][e];
            }
#pragma unroll
        for (int j = 0; j < D / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) context.c[j][e] *= shrink[e >> 1];
        wait_for_copies<1>();
        __syncthreads();
        context.add(p, tile_v);
        __syncthreads();
        load_values(step + 1);
    }
    wait_for_copies<0>();
    float inverse[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
        sum[h] = row_sum(sum[h]);
        inverse[h] = 1.0f / sum[h];
        const int i = first + context.row(2 * h);
        if (i < sequence.tokens && lane_index() % 4 == 0)
            a.log_sum[(int64_t)(sequence.first_query + i) * a.heads + head] = most[h] + logf(sum[h]);
    }
#pragma unroll
    for (int j = 0; j < D / 8; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const int i = first + context.row(e), c = context.column(j, e);
            if (i < sequence.tokens && c < a.dim)
                a.context[sequence.context_at(i, head) + c] = to_half(context.c[j][e] * inverse[e >> 1]);
        }
}

template <int D>
constexpr int FORWARD_SHARED = 3 * SIDE * D * 2;

KERNEL(attention_forward_32, AttentionArguments, THREADS, FORWARD_SHARED<32>) { attention_forward<32>(a); }
KERNEL(attention_forward_64, AttentionArguments, THREADS, FORWARD_SHARED<64>) { attention_forward<64>(a); }
KERNEL(attention_forward_128, AttentionArguments, THREADS, FORWARD_SHARED<128>) { attention_forward<128>(a); }

// rowsum(dO O): a warp a row and head. Grid (ceil(rows heads / 4)).
KERNEL(attention_delta, AttentionArguments, THREADS, 0) {
    const int64_t i = (int64_t)blockIdx.x * 4 + warp_index();
    if (i >= (int64_t)a.rows * a.heads) return;
    float sum = 0.0f;
    for (int c = lane_index(); c < a.dim; c += WARP_LANES)
        sum += to_float(a.d_context[i * a.dim + c]) * to_float(a.context[i * a.dim + c]);
    sum = warp_sum(sum);
    if (lane_index() == 0) a.delta[i] = sum;
}

// dK and dV of 64 keys, over the query heads that they serve.
template <int D>
DEVICE void attention_key_gradient(const AttentionArguments& a) {
    constexpr int QUERIES = OTHER<D>;
    half* tile_k = shared_memory<half>();
    half* tile_v = tile_k + SIDE * D;
    half* tile_q = tile_v + SIDE * D;
    half* tile_d = tile_q + QUERIES * D;
    const int kv_head = blockIdx.y, first = blockIdx.x * SIDE, heads = a.heads / a.kv_heads;
    const Sequence sequence(a, blockIdx.z, kv_head);
    if (first >= sequence.total() || sequence.tokens == 0) return;
    const int rows = sequence.total() - first;
    load_rows<SIDE, D>(tile_k, rows, a.dim, [&](int r) { return sequence.key(first + r); });
    load_rows<SIDE, D>(tile_v, rows, a.dim, [&](int r) { return sequence.value(first + r); });
    commit_copies();
    Rows<D> d_key, d_value;
    d_key.clear();
    d_value.clear();
    // The first query that sees any of these keys.
    const int seeing = a.causal ? largest(first - a.prefix, 0) / QUERIES * QUERIES : 0;
#pragma unroll 1
    for (int step = 0; step < heads * ceil_div(sequence.tokens - seeing, QUERIES); step++) {
        const int head = kv_head * heads + step % heads, start = seeing + step / heads * QUERIES;
        const int queries = sequence.tokens - start;
        const float* bias = sequence.bias_of(head);
        load_rows<QUERIES, D>(tile_q, queries, a.dim, [&](int r) { return a.query + sequence.query_at(start + r, head); });
        load_rows<QUERIES, D>(tile_d, queries, a.dim,
                              [&](int r) { return a.d_context + sequence.context_at(start + r, head); });
        commit_copies();
        wait_for_copies<0>();
        __syncthreads();
        Rows<QUERIES> p, ds;
        p.clear();
        ds.clear();
        p.template add_transposed<SIDE, D>(tile_k, tile_q);
        ds.template add_transposed<SIDE, D>(tile_v, tile_d);
#pragma unroll
        for (int j = 0; j < QUERIES / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const int i = start + p.column(j, e);
                const int64_t at = (int64_t)(sequence.first_query + least(i, sequence.tokens - 1)) * a.heads + head;
                const float s = sequence.score(p.c[j][e], i, first + p.row(e), bias);
                p.c[j][e] = i < sequence.tokens ? exponential(s - a.log_sum[at]) : 0.0f;
                ds.c[j][e] = p.c[j][e] * (ds.c[j][e] - a.delta[at]) * a.scale;
            }
        d_value.add(p, tile_d);
        d_key.add(ds, tile_q);
        __syncthreads();
    }
    wait_for_copies<0>();
#pragma unroll
    for (int j = 0; j < D / 8; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const int k = first + d_key.row(e), c = d_key.column(j, e);
            if (k >= sequence.total() || c >= a.dim) continue;
            if (k >= a.prefix) {
                a.d_key[sequence.key_at(k, a.key_row) + c] = to_half(d_key.c[j][e]);
                a.d_value[sequence.key_at(k, a.value_row) + c] = to_half(d_value.c[j][e]);
                continue;
            }
            const int64_t width = (int64_t)a.prefix * a.kv_heads * a.dim;
            float* out = a.d_prefix + (int64_t)sequence.number * 2 * width + sequence.prefix_at(k) + c;
            out[0] = d_key.c[j][e];
            out[width] = d_value.c[j][e];
        }
}

KERNEL(attention_query_gradient_32, AttentionArguments, THREADS, BACKWARD_SHARED<32>) { attention_query_gradient<32, false>(a); }
KERNEL(attention_query_gradient_64, AttentionArguments, THREADS, BACKWARD_SHARED<64>) { attention_query_gradient<64, false>(a); }
KERNEL(attention_query_gradient_128, AttentionArguments, THREADS, BACKWARD_SHARED<128>) { attention_query_gradient<128, false>(a); }
KERNEL(attention_key_gradient_32, AttentionArguments, THREADS, BACKWARD_SHARED<32>) { attention_key_gradient<32>(a); }
KERNEL(attention_key_gradient_64, AttentionArguments, THREADS, BACKWARD_SHARED<64>) { attention_key_gradient<64>(a); }
KERNEL(attention_key_gradient_128, AttentionArguments, THREADS, BACKWARD_SHARED<128>) { attention_key_gradient<128>(a); }

struct PrefixGradientArguments {
    const float* partial;  // [sequences, 2, width]
    float* d_key;          // of the first client
    float* d_value;
    const int* segments;   // first sequence of each client and one more
    const int* query_offsets;
    int64_t group;         // elements from one client's parameters to the next
    int width, unused;
};

// d prefix += sum over the client's sequences that have queries, in order. Grid (ceil(width / 128), 2, clients).
KERNEL(attention_prefix_gradient, PrefixGradientArguments, THREADS, 0) {
    const int client = blockIdx.z, which = blockIdx.y, i = blockIdx.x * THREADS + thread_index();
    if (i >= a.width) return;
    float sum = 0.0f;
    for (int s = a.segments[client]; s < a.segments[client + 1]; s++)
        if (a.query_offsets[s + 1] > a.query_offsets[s]) sum += a.partial[((int64_t)s * 2 + which) * a.width + i];
    (which ? a.d_value : a.d_key)[client * a.group + i] += sum;
}
