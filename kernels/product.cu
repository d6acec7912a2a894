// Matrix products: C = epilogue(scale A B), fp16 factors, fp32 sums, of one group or of many.
//
//   nt: C[m, n] = sum_k A[m, k] B[n, k]   x W^T, the forward pass of a linear layer
//   nn: C[m, n] = sum_k A[m, k] B[k, n]   dy W, its input's gradient
//   tn: C[m, n] = sum_k A[k, m] B[k, n]   dy^T x, its weights' gradient
//
// Grid (ceil(n / T), ceil(m / T), groups), tiles of T = 64 (128 threads) or T = 128 (256 threads); a group is a client:
// its rows of a packed batch, and its own B or C. FLOPs 2 m n k. Bytes, at least: 2 (m k + k n + m n); from memory beyond the
// cache: 2 k (m ceil(n / T) + n ceil(m / T)) + 2 m n. Every element is summed by one thread in order: no atomics.
#include "tile.cuh"

enum Grouped { BY_STRIDE = 0, BY_ROWS = 1, BY_DEPTH = 2 };

struct ProductArguments {
    const half* a;
    const half* b;
    const int* offsets;  // first row of each group, and one more; null if groups are apart by strides alone
    Output out;
    int64_t a_group, b_group, out_group;  // elements from one group to the next
    int m, n, k;
    int a_row, b_row;
    int grouped;
};

template <int T, bool A_DEEP, bool B_DEEP, int THREADS, int WARPS_N>
DEVICE void product(const ProductArguments& a) {
    using TileA = Tile<T, DEPTH, A_DEEP, THREADS>;
    using TileB = Tile<T, DEPTH, B_DEEP, THREADS>;
    half* tiles_a = shared_memory<half>();
    half* tiles_b = tiles_a + STAGES * TileA::HALVES;

    const int group = blockIdx.z;
    int m = a.m, k = a.k;
    int64_t first_a = group * a.a_group, first_b = group * a.b_group, first_out = group * a.out_group;
    if (a.grouped == BY_ROWS) {
        const int row = a.offsets[group];
        m = a.offsets[group + 1] - row;
        first_a = (int64_t)row * a.a_row;
        first_out = (int64_t)row * a.out.row;
    } else if (a.grouped == BY_DEPTH) {
        const int row = a.offsets[group];
        k = a.offsets[group + 1] - row;
        first_a = (int64_t)row * a.a_row;
        first_b = (int64_t)row * a.b_row;
    }
    const int row = blockIdx.y * T, column = blockIdx.x * T;
    if (row >= m) return;
    const Operand left = operand(a.a + first_a, a.a_row, m, k);
    const Operand right = operand(a.b + first_b, a.b_row, a.n, k);

    Accumulators<T, T, THREADS / 32 / WARPS_N, WARPS_N> sums;
    sums.clear();
    const int steps = ceil_div(k, DEPTH);
    auto load = [&](int step) {
        if (step < steps) {
            const int stage = step % STAGES;
            TileA::load(tiles_a + stage * TileA::HALVES, left, row, step * DEPTH);
            TileB::load(tiles_b + stage * TileB::HALVES, right, column, step * DEPTH);
        }
        commit_copies();
    };
#pragma unroll 1
    for (int s = 0; s < STAGES - 1; s++) load(s);
#pragma unroll 1
    for (int step = 0; step < steps; step++) {
        // This stage's copies have landed, and all warps are done with the stage that is loaded next.
        wait_for_copies<STAGES - 2>();
        __syncthreads();
        load(step + STAGES - 1);
        const int stage = step % STAGES;
        sums.template add<TileA, TileB, DEPTH>(tiles_a + stage * TileA::HALVES, tiles_b + stage * TileB::HALVES);
    }
    const half* bias = a.out.bias ? a.out.bias + group * a.out.bias_group : nullptr;
    sums.store(OutputTile{a.out, first_out, bias, m, a.n}, row, column);
}

template <int T>
constexpr int SHARED = STAGES * 2 * T * DEPTH * 2;

KERNEL(product_nt_64, ProductArguments, 128, SHARED<64>) { product<64, true, true, 128, 2>(a); }
KERNEL(product_nn_64, ProductArguments, 128, SHARED<64>) { product<64, true, false, 128, 2>(a); }
KERNEL(product_tn_64, ProductArguments, 128, SHARED<64>) { product<64, false, false, 128, 2>(a); }
KERNEL(product_nt_128, ProductArguments, 256, SHARED<128>) { product<128, true, true, 256, 4>(a); }
KERNEL(product_nn_128, ProductArguments, 256, SHARED<128>) { product<128, true, false, 256, 4>(a); }
KERNEL(product_tn_128, ProductArguments, 256, SHARED<128>) { product<128, false, false, 256, 4>(a); }
