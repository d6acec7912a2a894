// The products of product.cu for Hopper (compute_90a): tensor cores that a warpgroup of 128 threads drives read both operands
// from shared memory (wgmma), where each warp of product.cu loads fragments for itself. Same arguments, same grid with tiles of
// T = 128, same bytes and FLOPs; a block has two warpgroups, each with 64 rows of the tile, and two blocks fit a multiprocessor.
//
// An operand lies in shared memory as core matrices of 8 x 8 elements, 128 contiguous bytes each, its rows along whatever is
// contiguous in memory: the layout without swizzle of the PTX manual ("Asynchronous Warpgroup Level Matrix Shared Memory
// Layout"; CUTLASS calls it INTERLEAVE, include/cute/atom/mma_traits_sm90_gmma.hpp). Neighbouring core matrices are 16 bytes
// more than their length apart, so that the eight chunks that threads copy from one row fall into different banks.
// Copies are those of product.cu (cp.async), so that rows need no alignment; product_tma.cu has bulk tensor copies.
#include "product.cuh"

template <int SPAN, int DEEP, bool DEPTH_CONTIGUOUS, int THREADS>
struct CoreTile {
    static constexpr int PITCH = 72, CHUNKS = (DEPTH_CONTIGUOUS ? DEEP : SPAN) / CHUNK;
    static constexpr int HALVES = SPAN * DEEP / 64 * PITCH;

    // Of the chunk with element (s, d), as `Tile::at`.
    static DEVICE half* at(half* tile, int s, int d) {
        const int r = DEPTH_CONTIGUOUS ? s : d, c = (DEPTH_CONTIGUOUS ? d : s) / CHUNK;
        return tile + (r / 8 * CHUNKS + c) * PITCH + r % 8 * CHUNK;
    }

    static DEVICE void load(half* tile, const Operand& o, int span, int depth) {
        load_tile<CoreTile, SPAN, DEEP, DEPTH_CONTIGUOUS, THREADS>(tile, o, span, depth);
    }

    // Of the operand from (s, d) on, both multiples of 8. In units of 16 bytes: bits 0 to 13 where it starts, 16 to 29 from one core
    // matrix to the next along the depth, 32 to 45 across; bits 62 and 63, the swizzle, are 0.
    static DEVICE uint64_t descriptor(half* tile, int s, int d) {
        constexpr uint64_t near = PITCH / 8, far = CHUNKS * PITCH / 8;
        const uint64_t start = (shared_address(at(tile, s, d)) & 0x3FFFF) >> 4;
        return start | (DEPTH_CONTIGUOUS ? near : far) << 16 | (DEPTH_CONTIGUOUS ? far : near) << 32;
    }
};

template <bool A_DEEP, bool B_DEEP>
struct OfWarpgroups {
    static constexpr int T = 128, THREADS = 256, DEEP = 64, STAGES = 3;
    using TileA = CoreTile<T, DEEP, A_DEEP, THREADS>;
    using TileB = CoreTile<T, DEEP, B_DEEP, THREADS>;
    // A warp's part of a warpgroup's 64 x 128 is 16 rows of all columns, held as fragments of `mma` are.
    using Sums = Accumulators<T, T, 8, 1>;
    static DEVICE void landed() { show_shared_memory(); }
    static DEVICE void add(Sums& sums, half* a, half* b) {
        show_registers();
#pragma unroll
        for (int d = 0; d < DEEP; d += 16)
            warpgroup_mma<!A_DEEP, !B_DEEP>(sums.c[0], TileA::descriptor(a, warp_index() / 4 * 64, d), TileB::descriptor(b, 0, d));
        commit_products();
        wait_for_products<0>(sums.c[0]);
    }
};

KERNEL(product_nt_wgmma, ProductArguments, 256, (SHARED<OfWarpgroups<true, true>>)) { product<OfWarpgroups<true, true>>(a); }
KERNEL(product_nn_wgmma, ProductArguments, 256, (SHARED<OfWarpgroups<true, false>>)) { product<OfWarpgroups<true, false>>(a); }
KERNEL(product_tn_wgmma, ProductArguments, 256, (SHARED<OfWarpgroups<false, false>>)) { product<OfWarpgroups<false, false>>(a); }
