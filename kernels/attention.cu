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
#include "tile.cuh"

constexpr int SIDE = 64, THREADS = 128;

struct AttentionArguments {
    const half* query;
    const half* key;
    const half* value;
    const half* prefix_key;    // of the first client, or null
    const half* prefix_value;
    const float* bias;         // [heads, span]: entry longest_query - 1 + key - query; or null
    half* context;             // [rows, heads dim]
    float* log_sum;            // [rows, heads]
    const int* query_offsets;  // first row of each sequence and one more
    const int* key_offsets;
    const int* clients;        // of each sequence
    const half* d_context;
    float* delta;              // [rows, heads], rowsum(dO O)
    half* d_query;             // laid out as the inputs
    half* d_key;
    half* d_value;
    float* d_prefix;           // [sequences, 2, prefix, kv_heads dim]: keys', then values'
    int64_t prefix_group;      // elements from one client's parameters to the next
    int query_row, key_row, value_row;
    int heads, kv_heads, dim, prefix, causal, span, longest_query;
    float scale;
    int rows;                  // of queries, all sequences together
};

// One sequence and one head of keys.
struct Sequence {
    const AttentionArguments& a;
    int number, first_query, tokens, first_key, key_tokens, kv_head;

    DEVICE Sequence(const AttentionArguments& a, int number, int kv_head) : a(a), number(number), kv_head(kv_head) {
        first_query = a.query_offsets[number];
        tokens = a.query_offsets[number + 1] - first_query;
        first_key = a.key_offsets[number];
        key_tokens = a.key_offsets[number + 1] - first_key;
    }

    DEVICE int total() const { return a.prefix + key_tokens; }
    // Keys that queries 0..end see together.
    DEVICE int visible(int end) const { return a.prefix + (a.causal ? least(end, key_tokens) : key_tokens); }
    DEVICE int64_t query_at(int i, int head) const { return (int64_t)(first_query + i) * a.query_row + head * a.dim; }
    DEVICE int64_t context_at(int i, int head) const {
        return ((int64_t)(first_query + i) * a.heads + head) * a.dim;
    }
    DEVICE int64_t key_at(int j, int row) const {
        return (int64_t)(first_key + j - a.prefix) * row + kv_head * a.dim;
    }
    DEVICE int64_t prefix_at(int j) const { return ((int64_t)j * a.kv_heads + kv_head) * a.dim; }

    DEVICE const half* key_row(int j, const half* keys, const half* prefix, int row) const {
        if (j < a.prefix) return prefix + a.clients[number] * a.prefix_group + prefix_at(j);
        return keys + key_at(j, row);
    }
    DEVICE const half* key(int j) const { return key_row(j, a.key, a.prefix_key, a.key_row); }
    DEVICE const half* value(int j) const { return key_row(j, a.value, a.prefix_value, a.value_row); }

    // scale s + bias of query i on key j, -inf where it is not seen.
    DEVICE float score(float s, int i, int j, const float* bias) const {
        const int seen = j - a.prefix;
        if (j >= total() || (a.causal && seen > i)) return minus_infinity();
        s *= a.scale;
        return bias && seen >= 0 && i < tokens ? s + bias[a.longest_query - 1 + seen - i] : s;
    }
    DEVICE const float* bias_of(int head) const { return a.bias ? a.bias + (int64_t)head * a.span : nullptr; }
};

// `ROWS` rows of D columns, of which `dim` exist; `row(r)` points at a row's first element.
template <int ROWS, int D, class Row>
DEVICE void load_rows(half* tile, int rows, int dim, Row row) {
#pragma unroll 1
    for (int i = thread_index(); i < ROWS * D / CHUNK; i += THREADS) {
        const int r = i / (D / CHUNK), c = i % (D / CHUNK) * CHUNK;
        const int there = r < rows ? largest(least(dim - c, CHUNK), 0) : 0;
        half* to = Tile<ROWS, D, true, THREADS>::at(tile, r, c);
        const half* from = row(there ? r : 0) + (there ? c : 0);
        if (address(from) % 16 == 0) {
            copy_async(to, from, there * 2);
        } else {
#pragma unroll 1
            for (int e = 0; e < CHUNK; e++) to[e] = e < there ? from[e] : to_half(0.0f);
        }
    }
}

// 16 rows of a warp and N columns.
template <int N>
struct Rows {
    float c[N / 8][4];

    DEVICE void clear() {
#pragma unroll
        for (int j = 0; j < N / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) c[j][e] = 0.0f;
    }

    // Adds A B^T over D columns for the warp's 16 rows of A and all rows of B.
    template <int A_ROWS, int D>
    DEVICE void add_transposed(half* a, half* b) {
#pragma unroll
        for (int d = 0; d < D; d += 16) {
            uint32_t fa[4];
            Tile<A_ROWS, D, true, THREADS>::fragment_a(fa, a, warp_index() * 16, d);
#pragma unroll
            for (int j = 0; j < N / 8; j += 2) {
                uint32_t fb[2][2];
                Tile<N, D, true, THREADS>::fragments_b(fb, b, 8 * j, d);
                mma(c[j], fa, fb[0]);
                mma(c[j + 1], fa, fb[1]);
            }
        }
    }

    // Adds P B for the warp's 16 rows of P and K rows of B.
    template <int K>
    DEVICE void add(const Rows<K>& p, half* b) {
#pragma unroll
        for (int k = 0; k < K; k += 16) {
            const auto& low = p.c[k / 8];
            const auto& high = p.c[k / 8 + 1];
            const uint32_t fa[4] = {packed(low[0], low[1]), packed(low[2], low[3]), packed(high[0], high[1]),
                                    packed(high[2], high[3])};
#pragma unroll
            for (int j = 0; j < N / 8; j += 2) {
                uint32_t fb[2][2];
                Tile<N, K, false, THREADS>::fragments_b(fb, b, 8 * j, k);
                mma(c[j], fa, fb[0]);
                mma(c[j + 1], fa, fb[1]);
            }
        }
    }

    // Row and column of element e of part j.
    static DEVICE int row(int e) { return warp_index() * 16 + lane_index() / 4 + 8 * (e >> 1); }
    static DEVICE int column(int j, int e) { return 8 * j + lane_index() % 4 * 2 + (e & 1); }

    template <class Each>
    DEVICE void for_each(Each each) {
#pragma unroll
        for (int j = 0; j < N / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) each(row(e), column(j, e), c[j][e]);
    }
};

// Over the four lanes that share a row.
DEVICE float row_sum(float v) {
    v += shuffle_xor(v, 1);
    return v + shuffle_xor(v, 2);
}
DEVICE float row_max(float v) {
    v = fmaxf(v, shuffle_xor(v, 1));
    return fmaxf(v, shuffle_xor(v, 2));
}

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

// Rows of the other side that pass through shared memory at once.
template <int D>
constexpr int OTHER = D > 64 ? 32 : 64;
template <int D>
constexpr int BACKWARD_SHARED = 2 * (SIDE + OTHER<D>) * D * 2;

// dQ of 64 queries.
template <int D>
DEVICE void attention_query_gradient(const AttentionArguments& a) {
    constexpr int KEYS = OTHER<D>;
    half* tile_q = shared_memory<half>();
    half* tile_d = tile_q + SIDE * D;
    half* tile_k = tile_d + SIDE * D;
    half* tile_v = tile_k + KEYS * D;
    const int head = blockIdx.y, first = blockIdx.x * SIDE;
    const Sequence sequence(a, blockIdx.z, head / (a.heads / a.kv_heads));
    if (first >= sequence.tokens) return;
    const int queries = least(SIDE, sequence.tokens - first), keys = sequence.visible(first + queries);
    const float* bias = sequence.bias_of(head);
    load_rows<SIDE, D>(tile_q, queries, a.dim, [&](int r) { return a.query + sequence.query_at(first + r, head); });
    load_rows<SIDE, D>(tile_d, queries, a.dim, [&](int r) { return a.d_context + sequence.context_at(first + r, head); });
    Rows<D> d_query;
    d_query.clear();
    float log_sum[2], delta[2];
    for (int h = 0; h < 2; h++) {
        const int i = least(first + d_query.row(2 * h), sequence.tokens - 1);
        const int64_t at = (int64_t)(sequence.first_query + i) * a.heads + head;
        log_sum[h] = a.log_sum[at];
        delta[h] = a.delta[at];
    }
#pragma unroll 1
    for (int start = 0; start < keys; start += KEYS) {
        const int rows = sequence.total() - start;
        load_rows<KEYS, D>(tile_k, rows, a.dim, [&](int r) { return sequence.key(start + r); });
        load_rows<KEYS, D>(tile_v, rows, a.dim, [&](int r) { return sequence.value(start + r); });
        commit_copies();
        wait_for_copies<0>();
        __syncthreads();
        Rows<KEYS> p, ds;
        p.clear();
        ds.clear();
        p.template add_transposed<SIDE, D>(tile_q, tile_k);
        ds.template add_transposed<SIDE, D>(tile_d, tile_v);
#pragma unroll
        for (int j = 0; j < KEYS / 8; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const float s = sequence.score(p.c[j][e], first + p.row(e), start + p.column(j, e), bias);
                ds.c[j][e] = exponential(s - log_sum[e >> 1]) * (ds.c[j][e] - delta[e >> 1]) * a.scale;
            }
        d_query.add(ds, tile_k);
        __syncthreads();
    }
#pragma unroll
    for (int j = 0; j < D / 8; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const int i = first + d_query.row(e), c = d_query.column(j, e);
            if (i < sequence.tokens && c < a.dim) a.d_query[sequence.query_at(i, head) + c] = to_half(d_query.c[j][e]);
        }
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

KERNEL(attention_query_gradient_32, AttentionArguments, THREADS, BACKWARD_SHARED<32>) { attention_query_gradient<32>(a); }
KERNEL(attention_query_gradient_64, AttentionArguments, THREADS, BACKWARD_SHARED<64>) { attention_query_gradient<64>(a); }
KERNEL(attention_query_gradient_128, AttentionArguments, THREADS, BACKWARD_SHARED<128>) { attention_query_gradient<128>(a); }
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

struct BiasArguments {
    const half* table;   // [buckets, heads]
    const int* buckets;  // of each distance
    float* bias;         // [heads, span]
    int heads, span;
};

// The bias of every head at every distance (Raffel et al. 2020, section 2.1). Grid (ceil(heads span / 128)).
KERNEL(attention_bias, BiasArguments, THREADS, 0) {
    const int i = blockIdx.x * THREADS + thread_index();
    if (i < a.heads * a.span) a.bias[i] = to_float(a.table[(int64_t)a.buckets[i % a.span] * a.heads + i / a.span]);
}
