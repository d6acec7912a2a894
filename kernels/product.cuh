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

// The part of a product that a block works at: its group's rows and depth, and the rows of A and B before them.
struct Group {
    int m, k, row_a, row_b;
    int64_t out;  // element (0, 0) of its output
};

DEVICE Group group_of(const ProductArguments& a) {
    const int group = blockIdx.z;
    Group g{a.m, a.k, 0, 0, group * a.out_group};
    if (a.grouped == BY_STRIDE) return g;
    g.row_a = a.offsets[group];
    const int rows = a.offsets[group + 1] - g.row_a;
    if (a.grouped == BY_ROWS) {
        g.m = rows;
        g.out = (int64_t)g.row_a * a.out.row;
    } else {
        g.k = rows;
        g.row_b = g.row_a;
    }
    return g;
}

DEVICE OutputTile output_of(const ProductArguments& a, const Group& g) {
    return {a.out, g.out, a.out.bias ? a.out.bias + blockIdx.z * a.out.bias_group : nullptr, g.m, a.n};
}

// An Engine has a tile of T x T in THREADS threads, DEEP deep in STAGES stages, with `load` of its tiles of A and B, `landed` and
// `add`; and `Sums`.
template <class Engine>
DEVICE void product(const ProductArguments& a) {
    using TileA = typename Engine::TileA;
    using TileB = typename Engine::TileB;
    constexpr int T = Engine::T;
    half* tiles_a = shared_memory<half>();
    half* tiles_b = tiles_a + Engine::STAGES * TileA::HALVES;

    const Group g = group_of(a);
    const int row = blockIdx.y * T, column = blockIdx.x * T;
    if (row >= g.m) return;
    const half* first_a = a.a + blockIdx.z * a.a_group + (int64_t)g.row_a * a.a_row;
    const half* first_b = a.b + blockIdx.z * a.b_group + (int64_t)g.row_b * a.b_row;
    const Operand left = operand(first_a, a.a_row, g.m, g.k);
    const Operand right = operand(first_b, a.b_row, a.n, g.k);

    typename Engine::Sums sums;
    sums.clear();
    in_stages<Engine::STAGES>(
        ceil_div(g.k, Engine::DEEP),
        [&](int step, int stage) {
            TileA::load(tiles_a + stage * TileA::HALVES, left, row, step * Engine::DEEP);
            TileB::load(tiles_b + stage * TileB::HALVES, right, column, step * Engine::DEEP);
        },
        Engine::landed,
        [&](int stage) { Engine::add(sums, tiles_a + stage * TileA::HALVES, tiles_b + stage * TileB::HALVES); });
    sums.store(output_of(a, g), row, column);
}

template <class Engine>
constexpr int SHARED = Engine::STAGES * (Engine::TileA::HALVES + Engine::TileB::HALVES) * 2;
