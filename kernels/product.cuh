// A product of one group or of many, whatever computes its tiles: `product.cu` and `product_wgmma.cu`.
#pragma once
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

// An Engine has a tile of T x T in THREADS threads, DEEP deep in STAGES stages, with `load` of its tiles of A and B, `landed` and
// `add`; and `Sums`.
template <class Engine>
DEVICE void product(const ProductArguments& a) {
    using TileA = typename Engine::TileA;
    using TileB = typename Engine::TileB;
    constexpr int T = Engine::T;
    half* tiles_a = shared_memory<half>();
    half* tiles_b = tiles_a + Engine::STAGES * TileA::HALVES;

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

    typename Engine::Sums sums;
    sums.clear();
    in_stages<Engine::STAGES>(
        ceil_div(k, Engine::DEEP),
        [&](int step, int stage) {
            TileA::load(tiles_a + stage * TileA::HALVES, left, row, step * Engine::DEEP);
            TileB::load(tiles_b + stage * TileB::HALVES, right, column, step * Engine::DEEP);
        },
        Engine::landed,
        [&](int stage) { Engine::add(sums, tiles_a + stage * TileA::HALVES, tiles_b + stage * TileB::HALVES); });
    const half* bias = a.out.bias ? a.out.bias + group * a.out.bias_group : nullptr;
    sums.store(OutputTile{a.out, first_out, bias, m, a.n}, row, column);
}

template <class Engine>
constexpr int SHARED = Engine::STAGES * (Engine::TileA::HALVES + Engine::TileB::HALVES) * 2;
