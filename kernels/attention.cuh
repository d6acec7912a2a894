// What the kernels of attention share, and dQ: `attention.cu` has the formulas, `attention_bias.cu` what biases add to them.
//
// Where tables of biases train, the kernel of dQ also sums dS / scale by distance, each block for its own queries in a row of
// its own: a diagonal of a tile is one thread's, tiles follow one another.
#include "tile.cuh"

constexpr int SIDE = 64, THREADS = 128;

struct AttentionArguments {
    const half* query;
    const half* key;
    const half* value;
    const half* prefix_key;    // of the first client, or null
    const half* prefix_value;
    const float* bias;         // [heads, span]: entry longest_query - 1 + key - query; or null. Of the first client
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
    float* d_bias;             // [sequences, heads, tiles of queries, span]: sums of dS / scale, or null
    int64_t prefix_group;      // elements from one client's parameters to the next
    int64_t bias_group;        // elements from one client's biases to the next; 0 where all share them
    int query_row, key_row, value_row;
    int heads, kv_heads, dim, prefix, causal, span, longest_query;
    float scale;
    int rows;                  // of queries, all sequences together
};

// One sequence and one head of keys.
struct Sequence {
    const AttentionArguments& a;
    int number, first_query, tokens, first_key, key_tokens, kv_head;
    const float* biases;

    DEVICE Sequence(const AttentionArguments& a, int number, int kv_head) : a(a), number(number), kv_head(kv_head) {
        first_query = a.query_offsets[number];
        tokens = a.query_offsets[number + 1] - first_query;
        first_key = a.key_offsets[number];
        key_tokens = a.key_offsets[number + 1] - first_key;
        biases = a.bias + a.clients[number] * a.bias_group;  // null stays null: then the group is 0
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
    DEVICE const float* bias_of(int head) const { return a.bias ? biases + (int64_t)head * a.span : nullptr; }
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

// Rows of the other side that pass through shared memory at once.
template <int D>
constexpr int OTHER = D > 64 ? 32 : 64;
template <int D>
constexpr int BACKWARD_SHARED = 2 * (SIDE + OTHER<D>) * D * 2;

// Values of dS / scale of 64 queries and COLUMNS keys in shared memory, for sums over their diagonals.
template <int COLUMNS>
struct Diagonals {
    static constexpr int ROW = COLUMNS + 8, BYTES = SIDE * ROW * 4;
    float* values;

    // Adds the sum of each diagonal to its entry of `sums`, of which the first row and column have entry `origin`.
    DEVICE void add_to(float* sums, int origin, int span) const {
        static_assert(SIDE + COLUMNS - 1 <= THREADS, "a thread a diagonal");
        const int away = thread_index() - (SIDE - 1), entry = origin + away;
        // Beyond the span lie only zeros: keys that are not there, and the prefix.
        if (away >= COLUMNS || entry < 0 || entry >= span) return;
        float sum = 0.0f;
#pragma unroll 1
        for (int i = largest(0, -away); i < least(SIDE, COLUMNS - away); i++) sum += values[i * ROW + i + away];
        sums[entry] += sum;
    }
};

template <int D>
constexpr int BIASED_SHARED = BACKWARD_SHARED<D> + Diagonals<OTHER<D>>::BYTES;

// dQ of 64 queries; with BIAS also the sums of dS / scale by distance.
template <int D, bool BIAS>
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
    // Computed anew where it is used: kept, it makes 128 columns spill registers on sm_80.
    auto sums = [&] { return a.d_bias + (((int64_t)blockIdx.z * a.heads + blockIdx.y) * gridDim.x + blockIdx.x) * a.span; };
    load_rows<SIDE, D>(tile_q, queries, a.dim, [&](int r) { return a.query + sequence.query_at(first + r, head); });
    load_rows<SIDE, D>(tile_d, queries, a.dim, [&](int r) { return a.d_context + sequence.context_at(first + r, head); });
    Diagonals<KEYS> diagonals{(float*)(tile_v + KEYS * D)};
    if constexpr (BIAS) {
        for (int i = thread_index(); i < a.span; i += THREADS) sums()[i] = 0.0f;
    }
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
                const int i = first + p.row(e), k = start + p.column(j, e);
                const float s = sequence.score(p.c[j][e], i, k, bias);
                ds.c[j][e] = exponential(s - log_sum[e >> 1]) * (ds.c[j][e] - delta[e >> 1]);
                if constexpr (BIAS) {
                    const bool there = i < sequence.tokens && k >= a.prefix && k < sequence.total();
                    diagonals.values[p.row(e) * diagonals.ROW + p.column(j, e)] = there ? ds.c[j][e] : 0.0f;
                }
                ds.c[j][e] *= a.scale;
            }
        d_query.add(ds, tile_k);
        __syncthreads();
        if constexpr (BIAS) diagonals.add_to(sums(), a.longest_query - 1 + start - a.prefix - first, a.span);
    }
#pragma unroll
    for (int j = 0; j < D / 8; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const int i = first + d_query.row(e), c = d_query.column(j, e);
            if (i < sequence.tokens && c < a.dim) a.d_query[sequence.query_at(i, head) + c] = to_half(d_query.c[j][e]);
        }
}
