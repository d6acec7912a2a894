// Frozen matrices in 8 or 4 bits: rounding to them, back, and products that read them as they are.
//
// A row is cut into groups of neighbours with one scale each, as src/fomo/emulator/quantise.rs does: s = max |w| / (2^(bits - 1) - 1), and
// w becomes s times the nearest whole number to w / s. 8 bits: a signed byte a weight; 4 bits: two weights a byte, the first in
// the low half, each plus 8. Rows start at whole bytes. A product widens a tile of weights to fp16 on the way to shared
// memory and goes on as product.cu does: 1 or half a byte a weight instead of 2, for a matrix that is read once a pass.
//
//   nt: C[m, n] = epilogue(A[m, k] W[n, k]^T), the forward pass
//   nn: C[m, n] = epilogue(A[m, k] W[k, n]), its input's gradient
//
// Grid (ceil(n / 64), ceil(m / 64)) of 128 threads. FLOPs 2 m n k.
#include "tile.cuh"

typedef unsigned char byte;
constexpr int T = 64, THREADS = 128;

struct QuantisedArguments {
    const half* a;
    const byte* w;        // rows `w_row` bytes apart
    const float* scales;  // [rows of W, groups]
    Output out;
    int m, n, k;
    int a_row, w_row;
    int group, groups;  // columns of W that share a scale, a multiple of 8 if there are several; groups of a row
    int unused;
};

// Weight c of a row.
template <int BITS>
DEVICE int whole_number(const byte* row, int c) {
    if (BITS == 8) return (int)(signed char)row[c];
    return (int)((row[c >> 1] >> ((c & 1) * 4)) & 15) - 8;
}

template <int BITS, bool W_DEEP>
DEVICE void quantised_product(const QuantisedArguments& a) {
    using TileA = Tile<T, DEPTH, true, THREADS>;
    using TileW = Tile<T, DEPTH, W_DEEP, THREADS>;
    half* tiles_a = shared_memory<half>();
    half* tiles_w = tiles_a + STAGES * TileA::HALVES;
    const int row = blockIdx.y * T, column = blockIdx.x * T;
    const Operand left = operand(a.a, a.a_row, a.m, a.k);
    Accumulators<T, T, 2, 2> sums;
    sums.clear();
    // Rows and columns of W as it lies, (0, 0) of this block's tile at (first, second).
    const int w_rows = W_DEEP ? a.n : a.k, w_columns = W_DEEP ? a.k : a.n;
    auto load = [&](int step, int stage) {
        half* tile = tiles_w + stage * TileW::HALVES;
        TileA::load(tiles_a + stage * TileA::HALVES, left, row, step * DEPTH);
        constexpr int inner = (W_DEEP ? DEPTH : T) / CHUNK;
        const int first = W_DEEP ? column : step * DEPTH, second = W_DEEP ? step * DEPTH : column;
#pragma unroll 1
        for (int i = thread_index(); i < TileW::HALVES / CHUNK; i += THREADS) {
            const int r = i / inner, c = i % inner * CHUNK;
            half* to = W_DEEP ? TileW::at(tile, r, c) : TileW::at(tile, c, r);
            const bool there = first + r < w_rows && second + c < w_columns;
            const byte* weights = a.w + (int64_t)(first + r) * a.w_row;
            const float scale = there ? a.scales[(int64_t)(first + r) * a.groups + (second + c) / a.group] : 0.0f;
#pragma unroll
            for (int e = 0; e < CHUNK; e++) {
                const bool inside = there && second + c + e < w_columns;
                to[e] = to_half(inside ? scale * (float)whole_number<BITS>(weights, second + c + e) : 0.0f);
            }
        }
    };
    in_stages<STAGES>(ceil_div(a.k, DEPTH), load, [] {}, [&](int stage) {
        sums.template add<TileA, TileW, DEPTH>(tiles_a + stage * TileA::HALVES, tiles_w + stage * TileW::HALVES);
    });
    sums.store(OutputTile{a.out, 0, a.out.bias, a.m, a.n}, row, column);
}

template <int TILE>
constexpr int SHARED = STAGES * 2 * TILE * DEPTH * 2;

KERNEL(quantised_nt_8, QuantisedArguments, THREADS, SHARED<T>) { quantised_product<8, true>(a); }
KERNEL(quantised_nn_8, QuantisedArguments, THREADS, SHARED<T>) { quantised_product<8, false>(a); }
KERNEL(quantised_nt_4, QuantisedArguments, THREADS, SHARED<T>) { quantised_product<4, true>(a); }
KERNEL(quantised_nn_4, QuantisedArguments, THREADS, SHARED<T>) { quantised_product<4, false>(a); }

struct QuantiseArguments {
    half* values;  // [rows, columns]
    byte* w;
    float* scales;
    int rows, columns;
    int w_row, bits;
    int group, groups;
};

// A warp a group. Grid (ceil(rows groups / 4)).
KERNEL(quantise, QuantiseArguments, THREADS, 0) {
    const int64_t number = (int64_t)blockIdx.x * (THREADS / WARP_LANES) + warp_index();
    if (number >= (int64_t)a.rows * a.groups) return;
    const int row = number / a.groups, first = number % a.groups * a.group;
    const int end = least(first + a.group, a.columns), levels = a.bits == 8 ? 127 : 7;
    const half* values = a.values + (int64_t)row * a.columns;
    float most = 0.0f;
    for (int c = first + lane_index(); c < end; c += WARP_LANES) most = fmaxf(most, fabsf(to_float(values[c])));
    most = warp_max(most);
    const float scale = most / levels;
    if (lane_index() == 0) a.scales[number] = scale;
    auto nearest = [&](int c) { return scale > 0.0f && c < end ? (int)roundf(to_float(values[c]) / scale) : 0; };
    byte* out = a.w + (int64_t)row * a.w_row;
    if (a.bits == 8) {
        for (int c = first + lane_index(); c < end; c += WARP_LANES) out[c] = (byte)nearest(c);
    } else {
        // Groups start at even columns.
        for (int c = first + 2 * lane_index(); c < end; c += 2 * WARP_LANES)
            out[c >> 1] = (byte)((nearest(c) + 8) | (nearest(c + 1) + 8) << 4);
    }
}

// Back to half precision: a thread a weight. Grid (ceil(rows columns / 128)).
KERNEL(dequantise, QuantiseArguments, THREADS, 0) {
    const int64_t i = (int64_t)blockIdx.x * THREADS + thread_index();
    if (i >= (int64_t)a.rows * a.columns) return;
    const int64_t row = i / a.columns;
    const int c = i % a.columns;
    const byte* w = a.w + row * a.w_row;
    const int q = a.bits == 8 ? whole_number<8>(w, c) : whole_number<4>(w, c);
    a.values[i] = to_half(a.scales[row * a.groups + c / a.group] * (float)q);
}
