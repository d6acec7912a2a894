// The products of product_wgmma.cu with their operands brought by bulk tensor copies (TMA): one thread asks for a stage's tiles of A
// and B, where 256 compute addresses there, and no registers or instructions of theirs go into copies. Same grid, same tiles of
// 128 x 128 by two warpgroups, same order of sums, same bytes and FLOPs; two blocks fit a multiprocessor.
//
// Where nothing else is said, terms are the PTX manual's. A tile lies as atoms of eight rows of 128 bytes, swizzled (Asynchronous
// Warpgroup Level Matrix Shared Memory Layout, "128B Swizzling Mode"; CUTLASS calls it B128, include/cute/atom/mma_traits_sm90_gmma.hpp):
//   contiguous along the depth (K-major): one box, a row for each of the 128 of the span, 64 deep;
//   contiguous along the span (MN-major): two boxes of 64 of the span, a row for each of 64 of the depth.
// What is outside of an operand is brought as zeros. Groups of depth follow each other in memory, so that the last stage of one brings
// the first rows of the next: all threads clear those.
//
// A stage has two barriers. `full` ends a phase when its bytes are there; `empty` when all eight warps are done with them. A warp is
// done with a stage when the next one's products are under way, so tensor cores never wait for it to say so.
#include "bulk.cuh"
#include "product.cuh"

struct TensorProductArguments {
    TensorMap a, b;
    ProductArguments product;
    int64_t unused[7];
};

template <int SPAN, int DEEP, bool DEPTH_CONTIGUOUS>
struct BoxedTile {
    static constexpr int ROW = 64, ROWS = DEPTH_CONTIGUOUS ? SPAN : DEEP, BOX = ROW * ROWS;
    static constexpr int HALVES = SPAN * DEEP, BYTES = HALVES * 2, ATOM_BYTES = 8 * ROW * 2;

    // Of group z; `before` rows of memory come before the operand's own.
    static DEVICE void load(half* tile, const TensorMap& map, Barrier* full, int span, int depth, int before, int z) {
        const int row = before + (DEPTH_CONTIGUOUS ? span : depth), column = DEPTH_CONTIGUOUS ? depth : span;
#pragma unroll
        for (int i = 0; i < HALVES / BOX; i++) copy_box(tile + i * BOX, map, full, column + i * ROW, row, z);
    }

    // Of the operand from (s, d) on, multiples of 64 and of 16. In units of 16 bytes: bits 0 to 13 where it starts, 16 to 29 from one box
    // to the next (K-major operands have one), 32 to 45 from one atom to the next; bits 62 and 63 are 1 for this swizzle. Atoms
    // start at multiples of 1024 bytes, so that the base offset, bits 49 to 51, is 0.
    static DEVICE uint64_t descriptor(half* tile, int s, int d) {
        const half* start = tile + (DEPTH_CONTIGUOUS ? s * ROW + d : s / ROW * BOX + d * ROW);
        constexpr uint64_t leading = DEPTH_CONTIGUOUS ? 1 : BOX * 2 / 16, stride = ATOM_BYTES / 16;
        return (shared_address(start) & 0x3FFFF) >> 4 | leading << 16 | stride << 32 | 1ull << 62;
    }

    // From a depth on, where rows are those of the depth.
    template <int THREADS>
    static DEVICE void clear(half* tile, int depth) {
        static_assert(!DEPTH_CONTIGUOUS, "groups of depth follow each other along rows");
        constexpr int CHUNKS = ROW / CHUNK;
        for (int i = 0; i < HALVES / BOX; i++)
            for (int c = depth * CHUNKS + thread_index(); c < DEEP * CHUNKS; c += THREADS) clear_16(tile + i * BOX + c * CHUNK);
    }
};

template <bool A_DEEP, bool B_DEEP>
struct ByTensorCopies {
    static constexpr int T = 128, THREADS = 256, WARPS = THREADS / WARP_LANES, DEEP = 64, STAGES = 3;
    using TileA = BoxedTile<T, DEEP, A_DEEP>;
    using TileB = BoxedTile<T, DEEP, B_DEEP>;
    using Sums = Accumulators<T, T, WARPS, 1>;
    static constexpr int TILES = STAGES * (TileA::BYTES + TileB::BYTES);
    // Tiles start at a multiple of 1024 bytes, wherever shared memory does.
    static constexpr int SHARED = 1024 + TILES + 2 * STAGES * 8;
    static_assert(Sums::STAGED * 4 <= TILES, "the barriers lie behind what becomes of the tiles");

    half *tiles_a, *tiles_b;
    Barrier *full, *empty;

    DEVICE ByTensorCopies() {
        char* start = shared_memory<char>();
        start += -shared_address(start) & 1023;
        tiles_a = (half*)start;
        tiles_b = tiles_a + STAGES * TileA::HALVES;
        full = (Barrier*)(start + TILES);
        empty = full + STAGES;
        if (thread_index() == 0) {
            for (int s = 0; s < STAGES; s++) {
                init_barrier(full + s, 1);
                init_barrier(empty + s, WARPS);
            }
            show_barriers();
        }
        __syncthreads();
    }

    DEVICE void run(const TensorProductArguments& t) {
        const ProductArguments& a = t.product;
        const Group g = group_of(a);
        const int row = blockIdx.y * T, column = blockIdx.x * T, steps = ceil_div(g.k, DEEP);
        const int z_a = a.a_group ? blockIdx.z : 0, z_b = a.b_group ? blockIdx.z : 0;
        auto bring = [&](int step) {
            const int stage = step % STAGES;
            arrive_expecting(full + stage, TileA::BYTES + TileB::BYTES);
            TileA::load(tiles_a + stage * TileA::HALVES, t.a, full + stage, row, step * DEEP, g.row_a, z_a);
            TileB::load(tiles_b + stage * TileB::HALVES, t.b, full + stage, column, step * DEEP, g.row_b, z_b);
        };
        if (thread_index() == 0)
            for (int step = 0; step < least(STAGES, steps); step++) bring(step);

        Sums sums;
        sums.clear();
        bool in_time = true;
#pragma unroll 1
        for (int step = 0; step < steps; step++) {
            const int stage = step % STAGES;
            half *tile_a = tiles_a + stage * TileA::HALVES, *tile_b = tiles_b + stage * TileB::HALVES;
            in_time = in_time && phase_ends(full + stage, step / STAGES & 1);
            if constexpr (!A_DEEP && !B_DEEP) {
                const int there = g.k - step * DEEP;
                if (a.grouped == BY_DEPTH && there < DEEP) {
                    TileA::template clear<THREADS>(tile_a, there);
                    TileB::template clear<THREADS>(tile_b, there);
                    show_shared_memory();
                    __syncthreads();
                }
            }
            sync_warp();
            show_registers();
#pragma unroll
            for (int d = 0; d < DEEP; d += 16)
                warpgroup_mma<!A_DEEP, !B_DEEP>(sums.c[0], TileA::descriptor(tile_a, warp_index() / 4 * 64, d), TileB::descriptor(tile_b, 0, d));
            commit_products();
            wait_for_products<1>(sums.c[0]);
            if (step > 0) {
                const int before = step - 1, next = before + STAGES;
                if (lane_index() == 0) arrive(empty + before % STAGES);
                if (thread_index() == 0 && next < steps) {
                    in_time = in_time && phase_ends(empty + before % STAGES, before / STAGES & 1);
                    bring(next);
                }
            }
        }
        sync_warp();
        wait_for_products<0>(sums.c[0]);
        // Somebody sees that these are no sums.
        if (!in_time) sums.fill(not_a_number());
        sums.store(output_of(a, g), row, column);
    }
};

template <bool A_DEEP, bool B_DEEP>
DEVICE void tensor_product(const TensorProductArguments& t) {
    using Engine = ByTensorCopies<A_DEEP, B_DEEP>;
    // Before any barrier.
    if (blockIdx.y * Engine::T >= group_of(t.product).m) return;
    Engine().run(t);
}

KERNEL_OF_MAPS(product_nt_tma, TensorProductArguments, 256, (ByTensorCopies<true, true>::SHARED)) { tensor_product<true, true>(a); }
KERNEL_OF_MAPS(product_nn_tma, TensorProductArguments, 256, (ByTensorCopies<true, false>::SHARED)) { tensor_product<true, false>(a); }
KERNEL_OF_MAPS(product_tn_tma, TensorProductArguments, 256, (ByTensorCopies<false, false>::SHARED)) { tensor_product<false, false>(a); }
