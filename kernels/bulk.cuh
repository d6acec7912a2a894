// Bulk tensor copies and the barriers that count their bytes (PTX manual, "cp.async.bulk.tensor" and "mbarrier"): one thread asks for
// a box of a tensor, and hardware brings it. For Hopper (compute_90a); two bodies, as primitives.cuh.
//
// A barrier in shared memory goes from phase to phase: one ends when as many threads have arrived as `init_barrier` said and
// as many bytes as they expect have been brought. Phases are told apart by their parity, the first one's is 0.
#pragma once
#include "primitives.cuh"

// What a driver makes of a tensor and the box that copies bring (cuTensorMapEncodeTiled): nobody else reads it. It lies among
// the kernel's arguments.
struct alignas(64) TensorMap {
    uint64_t opaque[16];
};
typedef uint64_t Barrier;

#ifdef DEFT_HOST

#define KERNEL_OF_MAPS KERNEL
static inline void init_barrier(Barrier* b, int arrivals) { host::init_barrier(b, arrivals); }
static inline void show_barriers() { host::show_barriers(); }
static inline void arrive(Barrier* b) { host::arrive(b, 0); }
static inline void arrive_expecting(Barrier* b, int bytes) { host::arrive(b, bytes); }
static inline bool phase_ends(Barrier* b, int parity) { return host::phase_ends(b, parity); }
static inline void copy_box(void* to, const TensorMap& map, Barrier* b, int x, int y, int z) {
    host::copy_box(to, map.opaque, b, x, y, z);
}
static inline void clear_16(void* to) {
    store_16(to, uint4{0, 0, 0, 0});
    host::machine->current->unseen_copies = true;
}

#elif defined(__CUDA_ARCH_FEAT_SM90_ALL)

// One whose maps are read where the launch put them.
#define KERNEL_OF_MAPS(name, Arguments, threads, shared)                                                                \
    extern "C" __global__ void __launch_bounds__(threads) name(const __grid_constant__ Arguments a)

DEVICE void init_barrier(Barrier* b, int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(b)), "r"(arrivals) : "memory");
}
// What this thread made of barriers becomes visible to the hardware that copies.
DEVICE void show_barriers() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

DEVICE void arrive(Barrier* b) {
    asm volatile("{\n.reg .b64 state;\nmbarrier.arrive.shared::cta.b64 state, [%0];\n}" ::"r"(shared_address(b)) : "memory");
}
// The phase that it arrives at also waits for so many bytes.
DEVICE void arrive_expecting(Barrier* b, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(b)), "r"(bytes) : "memory");
}

DEVICE bool phase_has_ended(Barrier* b, int parity) {
    uint32_t ended;
    asm volatile(
        "{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
        : "=r"(ended)
        : "r"(shared_address(b)), "r"(parity)
        : "memory");
    return ended != 0;
}

// Waits for the end of a phase; what was brought in it can then be read. False if it has not come after 2^34 cycles, about ten
// seconds: a mistake must not hang the check when a run starts.
DEVICE bool phase_ends(Barrier* b, int parity) {
    if (phase_has_ended(b, parity)) return true;
    const long long start = clock64();
    while (!phase_has_ended(b, parity))
        if (clock64() - start > 1ll << 34) return false;
    return true;
}

// Brings the box whose first element has the coordinates x (contiguous in memory), y and z; elements outside of the tensor become zeros,
// and count. It lies with rows of 128 bytes, whose chunks of 16 are swizzled: chunk c of row r is at c ^ (r % 8).
DEVICE void copy_box(void* to, const TensorMap& map, Barrier* b, int x, int y, int z) {
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::"r"(
            shared_address(to)),
        "l"(&map), "r"(shared_address(b)), "r"(x), "r"(y), "r"(z)
        : "memory");
}

// Zeros in place of something that was brought: `show_shared_memory` comes after it.
DEVICE void clear_16(void* to) { store_16(to, uint4{0, 0, 0, 0}); }

#endif
