// A tile of a matrix product on tensor cores: operands in shared memory, stages of asynchronous copies, what becomes of the
// result. `product.cu` and `low_rank.cu` are made of it.
//
// An operand of a product has a span (rows of A, columns of B) and a depth (what is summed over); either may be the one that
// is contiguous in memory. In shared memory 16-byte chunks are swizzled so that the eight rows of a matrix load lie in
// different banks.
#pragma once
#include "activation.cuh"
#include "primitives.cuh"

constexpr int DEPTH = 32, STAGES = 3, CHUNK = 8;

struct Operand {
    const half* data;
    int64_t row;  // elements from one row (or column) that is contiguous to the next
    int span, depth;
    // Whether every chunk of 8 that starts at a multiple of 8 is aligned to 16 bytes.
    bool aligned;
};

DEVICE Operand operand(const half* data, int64_t row, int span, int depth) {
    return {data, row, span, depth, row % CHUNK == 0 && address(data) % 16 == 0};
}

// Loads SPAN by DEEP elements from (span, depth) on; `Tile::at` says where to. Elements beyond the operand become zeros.
template <class Tile, int SPAN, int DEEP, bool DEPTH_CONTIGUOUS, int THREADS>
DEVICE void load_tile(half* tile, const Operand& o, int span, int depth) {
    constexpr int inner = (DEPTH_CONTIGUOUS ? DEEP : SPAN) / CHUNK, chunks = SPAN * DEEP / CHUNK;
    const int rows = DEPTH_CONTIGUOUS ? o.span - span : o.depth - depth;
    const int columns = DEPTH_CONTIGUOUS ? o.depth - depth : o.span - span;
    const half* first = o.data + (DEPTH_CONTIGUOUS ? span * o.row + depth : depth * o.row + span);
    auto chunk = [&](int i, auto store) {
        const int r = i / inner, c = i % inner * CHUNK;
        const int there = r < rows ? largest(least(columns - c, CHUNK), 0) : 0;
        half* to = DEPTH_CONTIGUOUS ? Tile::at(tile, r, c) : Tile::at(tile, c, r);
        store(to, there ? first + r * o.row + c : o.data, there);
    };
    if (o.aligned) {
#pragma unroll
        for (int i = thread_index(); i < chunks; i += THREADS)
            chunk(i, [](half* to, const half* from, int there) { copy_async(to, from, there * 2); });
    } else {
#pragma unroll 1
        for (int i = thread_index(); i < chunks; i += THREADS)
            chunk(i, [](half* to, const half* from, int there) {
#pragma unroll 1
                for (int e = 0; e < CHUNK; e++) to[e] = e < there ? from[e] : to_half(0.0f);
            });
    }
}

// A loop over the depth in stages: `load(step, stage)` starts the copies of a step, `use(stage)` comes when they have landed and
// all warps are done with the stage that is loaded next; `landed()` comes between, before the barrier.
template <int STAGES, class Load, class Landed, class Use>
DEVICE void in_stages(int steps, Load load, Landed landed, Use use) {
    auto start = [&](int step) {
        if (step < steps) load(step, step % STAGES);
        commit_copies();
    };
#pragma unroll 1
    for (int s = 0; s < STAGES - 1; s++) start(s);
#pragma unroll 1
    for (int step = 0; step < steps; step++) {
        wait_for_copies<STAGES - 2>();
        landed();
        __syncthreads();
        start(step + STAGES - 1);
        use(step % STAGES);
    }
}

template <int SPAN, int DEEP, bool DEPTH_CONTIGUOUS, int THREADS>
struct Tile {
    static constexpr int HALVES = SPAN * DEEP;

    // Of the chunk with element (s, d); the contiguous one of both is a multiple of 8. A tile read as depth by span lies in
    // memory as one read as span by depth.
    static DEVICE half* at(half* tile, int s, int d) {
        constexpr int row = DEPTH_CONTIGUOUS ? DEEP : SPAN, chunks = row / CHUNK;
        constexpr int period = chunks >= 8 ? 1 : 8 / chunks, mask = (chunks < 8 ? chunks : 8) - 1;
        const int r = DEPTH_CONTIGUOUS ? s : d, c = (DEPTH_CONTIGUOUS ? d : s) / CHUNK;
        return tile + r * row + (c ^ ((r / period) & mask)) * CHUNK;
    }

    // Elements beyond the operand become zeros.
    static DEVICE void load(half* tile, const Operand& o, int span, int depth) {
        load_tile<Tile, SPAN, DEEP, DEPTH_CONTIGUOUS, THREADS>(tile, o, span, depth);
    }

    // The 16 x 16 fragment of A at (s, d).
    static DEVICE void fragment_a(uint32_t (&a)[4], half* tile, int s, int d) {
        const int lane = lane_index();
        if (DEPTH_CONTIGUOUS) load_matrices(a, at(tile, s + (lane & 15), d + (lane >> 4) * 8));
        else load_matrices_transposed(a, at(tile, s + ((lane >> 3) & 1) * 8, d + (lane >> 4) * 8 + (lane & 7)));
    }

    // Two neighbouring 16 x 8 fragments of B at (s, d) and (s + 8, d).
    static DEVICE void fragments_b(uint32_t (&b)[2][2], half* tile, int s, int d) {
        const int lane = lane_index(), low = (lane >> 3) & 1, high = lane >> 4, row = lane & 7;
        uint32_t r[4];
        if (DEPTH_CONTIGUOUS) load_matrices(r, at(tile, s + high * 8 + row, d + low * 8));
        else load_matrices_transposed(r, at(tile, s + high * 8, d + low * 8 + row));
        b[0][0] = r[0];
        b[0][1] = r[1];
        b[1][0] = r[2];
        b[1][1] = r[3];
    }
};

// What becomes of the elements of a product: y = act(scale product + bias_scale bias) factor, or with `accumulate` added to y.
struct Output {
    void* values;       // half, or float if `single`
    const half* bias;   // one a column, or null
    const half* factor;  // one an element, laid out as the values, or null
    half* derivative;   // receives the activation's, laid out as the values, or null
    int64_t bias_group;  // elements from one group's bias to the next
    float scale, bias_scale;
    int row, single, accumulate, activation;
};

struct OutputTile {
    const Output& out;
    int64_t first;  // element (0, 0) of the group
    const half* bias;
    int rows, columns;

    DEVICE float finish(float v, int64_t at, int column) const {
        v *= out.scale;
        if (bias) v += out.bias_scale * to_float(bias[column]);
        if (out.activation) {
            const Curve c = activate(out.activation, v);
            v = c.value;
            if (out.derivative) out.derivative[at] = to_half(c.derivative);
        }
        if (out.factor) v *= to_float(out.factor[at]);
        if (out.accumulate) v += out.single ? ((float*)out.values)[at] : to_float(((half*)out.values)[at]);
        return v;
    }

    // Elements (r, c) and (r, c + 1).
    DEVICE void store(int r, int c, float x, float y) const {
        if (r >= rows || c >= columns) return;
        const int64_t at = first + (int64_t)r * out.row + c;
        const bool both = c + 1 < columns;
        x = finish(x, at, c);
        if (both) y = finish(y, at + 1, c + 1);
        if (out.single) {
            ((float*)out.values)[at] = x;
            if (both) ((float*)out.values)[at + 1] = y;
        } else if (both && (at & 1) == 0 && address(out.values) % 4 == 0) {
            store_pair((half*)out.values + at, x, y);
        } else {
            ((half*)out.values)[at] = to_half(x);
            if (both) ((half*)out.values)[at + 1] = to_half(y);
        }
    }
};

// The accumulators of a block's warps, each with a part of M x N.
template <int M, int N, int WARPS_M, int WARPS_N>
struct Accumulators {
    static constexpr int TM = M / WARPS_M / 16, TN = N / WARPS_N / 8;
    float c[TM][TN][4];

    static DEVICE int row() { return warp_index() / WARPS_N * (M / WARPS_M); }
    static DEVICE int column() { return warp_index() % WARPS_N * (N / WARPS_N); }

    DEVICE void fill(float value) {
#pragma unroll
        for (int i = 0; i < TM; i++)
#pragma unroll
            for (int j = 0; j < TN; j++)
#pragma unroll
                for (int e = 0; e < 4; e++) c[i][j][e] = value;
    }
    DEVICE void clear() { fill(0.0f); }

    // Adds the product of two tiles.
    template <class A, class B, int DEEP>
    DEVICE void add(half* a, half* b) {
#pragma unroll
        for (int d = 0; d < DEEP; d += 16) {
            uint32_t fa[TM][4], fb[TN][2];
#pragma unroll
            for (int i = 0; i < TM; i++) A::fragment_a(fa[i], a, row() + 16 * i, d);
#pragma unroll
            for (int j = 0; j < TN; j += 2) {
                uint32_t pair[2][2];
                B::fragments_b(pair, b, column() + 8 * j, d);
                fb[j][0] = pair[0][0];
                fb[j][1] = pair[0][1];
                fb[j + 1][0] = pair[1][0];
                fb[j + 1][1] = pair[1][1];
            }
#pragma unroll
            for (int i = 0; i < TM; i++)
#pragma unroll
                for (int j = 0; j < TN; j++) mma(c[i][j], fa[i], fb[j]);
        }
    }

    // Floats of shared memory that `store` needs.
    static constexpr int PITCH = N + 8, STAGED = WARPS_M * 16 * PITCH;

    // By way of shared memory, 16 rows of every warp at a time, so that neighbouring threads store neighbouring columns and
    // the code of the epilogue exists once. Ends what the block does with its shared memory.
    DEVICE void store(const OutputTile& out, int m, int n) const {
        constexpr int THREADS = WARPS_M * WARPS_N * 32, PAIRS = N / 2;
        float* staged = shared_memory<float>();
        const int g = lane_index() / 4, t = lane_index() % 4 * 2;
        float* own = staged + (warp_index() / WARPS_N * 16 + g) * PITCH + column() + t;
#pragma unroll 1
        for (int pass = 0; pass < TM; pass++) {
            __syncthreads();
#pragma unroll
            for (int i = 0; i < TM; i++)
                if (i == pass)
#pragma unroll
                    for (int j = 0; j < TN; j++) {
                        own[8 * j] = c[i][j][0];
                        own[8 * j + 1] = c[i][j][1];
                        own[8 * PITCH + 8 * j] = c[i][j][2];
                        own[8 * PITCH + 8 * j + 1] = c[i][j][3];
                    }
            __syncthreads();
#pragma unroll 1
            for (int i = thread_index(); i < WARPS_M * 16 * PAIRS; i += THREADS) {
                const int r = i / PAIRS, pair = i % PAIRS * 2;
                const float* v = staged + r * PITCH + pair;
                out.store(m + r / 16 * (M / WARPS_M) + pass * 16 + r % 16, n + pair, v[0], v[1]);
            }
        }
    }
};
