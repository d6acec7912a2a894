// Low-rank terms fused with the frozen product that they belong to, for many clients that share W (Hu et al. 2021).
//
//   forward:  y  = epilogue(x W^T + f(u) U^T),  u  = x D^T      D = A, U = B,     f(u) = s u E
//   backward: dx = epilogue(dy W + du U^T),     du = f(dy D^T)  D = B^T, U = A^T, f(v) = s v E
//
// One pass over x: each block carries the rank columns of u along its loop over the depth, rounds them to fp16 once, and
// adds their product with U to its sums. Rows of client c use D and U of client c. Several terms on different columns of
// one product (query and value, say) are one term here: `low_rank_pack` puts their D one below the other, each with zeros in U
// outside its columns, and pads the rank to 16 or 64.
//
// Grid (ceil(n / T), ceil(most rows of a client / T), clients), T = 64 or 128 as in product.cu. FLOPs of a client of m rows:
// 2 m k n + 2 m n R + 2 m k R ceil(n / T). Bytes beyond those of the product: 2 R (k + n) a client and 2 m R for u.
#include "tile.cuh"

constexpr int MOST_SLOTS = 4;

// One term, as in LoraSlot of src/backend/description.rs.
struct Slot {
    int64_t a, b, diagonal;  // where the tensors start in a client's parameters; diagonal -1 without
    float scale;
    int rank, outputs, column, first, unused;
};

struct LowRankArguments {
    const half* x;
    const half* w;
    const half* down;      // [clients, RANK, down_row]
    const half* up;        // [clients, n, RANK]
    const float* factors;  // [clients, RANK]
    half* reduced;         // one [rows, rank] block a slot, one after another; null if nobody reads it
    const int* offsets;    // first row of each client and one more
    Output out;
    int64_t down_group, up_group;
    int n, k, x_row, w_row, down_row;
    int rows;            // of all clients
    int backwards;       // whether u is stored with its factor
    int slots;
    int ranks[MOST_SLOTS], firsts[MOST_SLOTS];
};

template <int T, int RANK, bool W_DEEP, int THREADS, int WARPS_N>
DEVICE void low_rank(const LowRankArguments& a) {
    using TileX = Tile<T, DEPTH, true, THREADS>;
    using TileW = Tile<T, DEPTH, W_DEEP, THREADS>;
    using TileD = Tile<RANK, DEPTH, true, THREADS>;
    using TileU = Tile<T, RANK, true, THREADS>;
    half* tiles_x = shared_memory<half>();
    half* tiles_w = tiles_x + STAGES * TileX::HALVES;
    half* tiles_d = tiles_w + STAGES * TileW::HALVES;

    const int client = blockIdx.z, first = a.offsets[client], m = a.offsets[client + 1] - first;
    const int row = blockIdx.y * T, column = blockIdx.x * T;
    if (row >= m) return;
    const Operand x = operand(a.x + (int64_t)first * a.x_row, a.x_row, m, a.k);
    const Operand w = operand(a.w, a.w_row, a.n, a.k);
    const Operand down = operand(a.down + client * a.down_group, a.down_row, RANK, a.k);

    Accumulators<T, T, THREADS / 32 / WARPS_N, WARPS_N> sums;
    Accumulators<T, RANK, THREADS / 32, 1> reduced;
    sums.clear();
    reduced.clear();
    auto load = [&](int step, int stage) {
        TileX::load(tiles_x + stage * TileX::HALVES, x, row, step * DEPTH);
        TileW::load(tiles_w + stage * TileW::HALVES, w, column, step * DEPTH);
        TileD::load(tiles_d + stage * TileD::HALVES, down, 0, step * DEPTH);
    };
    in_stages<STAGES>(ceil_div(a.k, DEPTH), load, [] {}, [&](int stage) {
        half* tile_x = tiles_x + stage * TileX::HALVES;
        sums.template add<TileX, TileW, DEPTH>(tile_x, tiles_w + stage * TileW::HALVES);
        reduced.template add<TileX, TileD, DEPTH>(tile_x, tiles_d + stage * TileD::HALVES);
    });
    __syncthreads();

    half* tile_u = tiles_x;
    half* tile_up = tile_u + TileU::HALVES;
    TileU::load(tile_up, operand(a.up + client * a.up_group, RANK, a.n, RANK), column, 0);
    commit_copies();
    const float* factors = a.factors + client * RANK;
    const int g = lane_index() / 4, t = lane_index() % 4 * 2;
#pragma unroll
    for (int j = 0; j < RANK / 8; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const int r = reduced.row() + g + 8 * (e >> 1), c = 8 * j + t + (e & 1);
            float u = reduced.c[0][j][e];
            if (a.backwards) u *= factors[c];
            TileU::at(tile_u, r, c & ~7)[c & 7] = to_half(u);
        }
    __syncthreads();
    // Rows that do not exist are zeros; whoever has the first columns hands on what was reduced.
    const bool hands_on = blockIdx.x == 0 && a.reduced;
#pragma unroll 1
    for (int i = thread_index(); i < T * RANK; i += THREADS) {
        const int r = i / RANK, c = i % RANK;
        half* u = TileU::at(tile_u, r, c & ~7) + (c & 7);
        if (hands_on && row + r < m)
            for (int s = 0; s < a.slots; s++) {
                const int inside = c - a.firsts[s];
                if (inside < 0 || inside >= a.ranks[s]) continue;
                a.reduced[(int64_t)a.rows * a.firsts[s] + (int64_t)(first + row + r) * a.ranks[s] + inside] = *u;
            }
        if (!a.backwards) *u = to_half(to_float(*u) * factors[c]);
    }
    wait_for_copies<0>();
    __syncthreads();
    sums.template add<TileU, TileU, RANK>(tile_u, tile_up);
    const half* bias = a.out.bias ? a.out.bias + client * a.out.bias_group : nullptr;
    sums.store(OutputTile{a.out, (int64_t)first * a.out.row, bias, m, a.n}, row, column);
}

template <int T, int RANK>
constexpr int SHARED = STAGES * (2 * T + RANK) * DEPTH * 2;

KERNEL(low_rank_forward_64_r16, LowRankArguments, 128, (SHARED<64, 16>)) { low_rank<64, 16, true, 128, 2>(a); }
KERNEL(low_rank_forward_64_r64, LowRankArguments, 128, (SHARED<64, 64>)) { low_rank<64, 64, true, 128, 2>(a); }
KERNEL(low_rank_forward_128_r16, LowRankArguments, 256, (SHARED<128, 16>)) { low_rank<128, 16, true, 256, 4>(a); }
KERNEL(low_rank_backward_64_r16, LowRankArguments, 128, (SHARED<64, 16>)) { low_rank<64, 16, false, 128, 2>(a); }
KERNEL(low_rank_backward_64_r64, LowRankArguments, 128, (SHARED<64, 64>)) { low_rank<64, 64, false, 128, 2>(a); }
KERNEL(low_rank_backward_128_r16, LowRankArguments, 256, (SHARED<128, 16>)) { low_rank<128, 16, false, 256, 4>(a); }

struct PackArguments {
    const half* values;  // the clients' parameters
    half* down;
    half* up;
    float* factors;
    int64_t stride;  // of a client's parameters
    Slot slots[MOST_SLOTS];
    int count, rank, inputs, outputs, down_row, backwards;
};

// D, U and factors of every client. Grid (ceil(elements / 256), clients); 2 bytes read and written an element.
KERNEL(low_rank_pack, PackArguments, 256, 0) {
    const int n = a.backwards ? a.inputs : a.outputs, client = blockIdx.y;
    const int down = a.rank * a.down_row, up = n * a.rank;
    const half* values = a.values + client * a.stride;
    const int i = blockIdx.x * 256 + thread_index();
    // Element (j, at) of D or (at, j) of U: of A where `at` counts inputs, of B where it counts outputs.
    const bool in_down = i < down, factor = i >= down + up;
    if (i >= down + up + a.rank) return;
    const int j = in_down ? i / a.down_row : factor ? i - down - up : (i - down) % a.rank;
    const int at = in_down ? i % a.down_row : (i - down) / a.rank;
    const bool of_a = in_down != (a.backwards != 0);
    float value = 0.0f;
    for (int s = 0; s < a.count; s++) {
        const Slot& slot = a.slots[s];
        const int r = j - slot.first, o = at - slot.column;
        if (r < 0 || r >= slot.rank) continue;
        if (factor) value = slot.scale * (slot.diagonal < 0 ? 1.0f : to_float(values[slot.diagonal + r]));
        else if (of_a) value = at < a.inputs ? to_float(values[slot.a + (int64_t)r * a.inputs + at]) : 0.0f;
        else if (o >= 0 && o < slot.outputs) value = to_float(values[slot.b + (int64_t)o * slot.rank + r]);
    }
    if (factor) a.factors[client * a.rank + j] = value;
    else if (in_down) a.down[(int64_t)client * down + i] = to_half(value);
    else a.up[(int64_t)client * up + i - down] = to_half(value);
}

struct DiagonalArguments {
    const float* sums;     // [clients, outputs, rank]: s dy^T u, before E
    const half* b;         // [outputs, rank], of the first client
    const half* diagonal;  // [rank], of the first client
    float* d_b;
    float* d_diagonal;
    int64_t stride;        // of a client's parameters and gradients
    int rank, outputs;
};

// Gradients of B and E where there is an E (Zhang et al. 2023): dB += sums E, dE += column sums of B sums. Exact where E is 0,
// where du, which carries E, is too. Grid (rank, clients).
KERNEL(low_rank_diagonal_gradient, DiagonalArguments, 128, 16) {
    float* scratch = shared_memory<float>();
    const int j = blockIdx.x, client = blockIdx.y;
    const float* sums = a.sums + (int64_t)client * a.outputs * a.rank;
    const half* b = a.b + client * a.stride;
    const float e = to_float(a.diagonal[client * a.stride + j]);
    float sum = 0.0f;
    for (int o = thread_index(); o < a.outputs; o += 128) {
        const int64_t at = (int64_t)o * a.rank + j;
        a.d_b[client * a.stride + at] += sums[at] * e;
        sum += to_float(b[at]) * sums[at];
    }
    sum = block_sum<128>(sum, scratch);
    if (thread_index() == 0) a.d_diagonal[client * a.stride + j] += sum;
}
