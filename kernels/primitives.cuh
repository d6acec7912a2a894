// What the kernels are made of. With bulk.cuh the only file with two bodies: PTX for a GPU, plain loops for the host runtime.
//
// Fragments are those of the PTX manual (mma.m16n8k16, f16 with f32 accumulators). With `g = lane / 4`, `t = lane % 4`:
//   A 16 x 16: a[0] holds (g, 2t..), a[1] (g + 8, 2t..), a[2] (g, 2t + 8..), a[3] (g + 8, 2t + 8..)
//   B 16 x 8:  b[0] holds (2t.., g), b[1] (2t + 8.., g)
//   C 16 x 8:  c[0..2] hold (g, 2t..), c[2..4] (g + 8, 2t..)
#pragma once

#ifdef DEFT_HOST
#include "host/runtime.h"
#else
#include <cuda_fp16.h>
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;
typedef long long int64_t;
#define KERNEL(name, Arguments, threads, shared) extern "C" __global__ void __launch_bounds__(threads) name(const Arguments a)
extern __shared__ uint4 shared_words[];
#endif

#define DEVICE __device__ __forceinline__
constexpr int WARP_LANES = 32;

DEVICE int thread_index() { return (int)threadIdx.x; }
DEVICE int lane_index() { return (int)threadIdx.x & 31; }
DEVICE int warp_index() { return (int)threadIdx.x >> 5; }

DEVICE float to_float(half h) { return __half2float(h); }
DEVICE half to_half(float f) { return __float2half_rn(f); }
// To half precision and back: what another kernel would read.
DEVICE float rounded(float f) { return __half2float(__float2half_rn(f)); }

DEVICE int ceil_div(int a, int b) { return (a + b - 1) / b; }
DEVICE int least(int a, int b) { return a < b ? a : b; }
DEVICE int largest(int a, int b) { return a > b ? a : b; }

#ifdef DEFT_HOST

namespace host {
enum Operation { MMA, LOAD_MATRIX, LOAD_MATRIX_TRANSPOSED, SHUFFLE, SUM, MAXIMUM, SYNC, WARPGROUP };

struct Fragments {
    float c[4];
    uint32_t a[4], b[2];
};
struct Four {
    uint32_t r[4];
};
struct Floats {
    float c[4];
};

static inline void halves(uint32_t word, float* out) {
    half h[2];
    memcpy(h, &word, 4);
    out[0] = (float)h[0];
    out[1] = (float)h[1];
}
}  // namespace host

template <class T>
DEVICE T* shared_memory() { return (T*)host::machine->shared; }

// c += a b.
static inline void mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    using namespace host;
    Fragments in{{c[0], c[1], c[2], c[3]}, {a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
    const Floats out = collective<Floats>(MMA, in, [](auto& in, auto& out) {
        float wa[16][16], wb[16][8], wc[16][8];
        for (int lane = 0; lane < 32; lane++) {
            Fragments f;
            memcpy(&f, in[lane], sizeof f);
            const int g = lane / 4, t = lane % 4;
            for (int i = 0; i < 4; i++) halves(f.a[i], &wa[g + 8 * (i & 1)][2 * t + 8 * (i >> 1)]);
            for (int i = 0; i < 2; i++) {
                float pair[2];
                halves(f.b[i], pair);
                wb[2 * t + 8 * i][g] = pair[0];
                wb[2 * t + 8 * i + 1][g] = pair[1];
            }
            for (int i = 0; i < 4; i++) wc[g + 8 * (i >> 1)][2 * t + (i & 1)] = f.c[i];
        }
        for (int m = 0; m < 16; m++)
            for (int k = 0; k < 16; k++)
                for (int n = 0; n < 8; n++) wc[m][n] += wa[m][k] * wb[k][n];
        for (int lane = 0; lane < 32; lane++) {
            Floats f;
            for (int i = 0; i < 4; i++) f.c[i] = wc[lane / 4 + 8 * (i >> 1)][2 * (lane % 4) + (i & 1)];
            memcpy(out[lane], &f, sizeof f);
        }
    });
    memcpy(c, out.c, sizeof out.c);
}

// Four 8 x 8 matrices; lane 8 i + r holds the address of row r of matrix i.
static inline void load_matrices(uint32_t (&r)[4], const half* row) {
    using namespace host;
    check_aligned(row, 16);
    if (!in_shared(row, 16)) fail("a matrix is loaded from outside shared memory");
    const Four out = collective<Four>(LOAD_MATRIX, row, [](auto& in, auto& out) {
        for (int lane = 0; lane < 32; lane++)
            for (int i = 0; i < 4; i++) {
                const half* p;
                memcpy(&p, in[8 * i + lane / 4], sizeof p);
                memcpy(out[lane] + 4 * i, p + 2 * (lane % 4), 4);
            }
    });
    memcpy(r, out.r, sizeof out.r);
}

// The same, each matrix transposed.
static inline void load_matrices_transposed(uint32_t (&r)[4], const half* row) {
    using namespace host;
    check_aligned(row, 16);
    if (!in_shared(row, 16)) fail("a matrix is loaded from outside shared memory");
    const Four out = collective<Four>(LOAD_MATRIX_TRANSPOSED, row, [](auto& in, auto& out) {
        for (int lane = 0; lane < 32; lane++)
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 2; j++) {
                    const half* p;
                    memcpy(&p, in[8 * i + 2 * (lane % 4) + j], sizeof p);
                    memcpy(out[lane] + 4 * i + 2 * j, p + lane / 4, 2);
                }
    });
    memcpy(r, out.r, sizeof out.r);
}

DEVICE void copy_async(void* to, const void* from, int bytes) { host::copy_16(to, from, (unsigned)bytes); }
DEVICE void commit_copies() { host::commit_copies(); }
template <int PENDING>
DEVICE void wait_for_copies() { host::wait_for_copies(PENDING); }

// Address in shared memory as matrix descriptors have it.
DEVICE uint32_t shared_address(const void* p) {
    return (uint32_t)((const unsigned char*)p - host::machine->shared + host::WINDOW);
}

namespace host {
// Element (s, k) of an operand where its descriptor says that it lies.
static inline float described(uint64_t descriptor, bool span_contiguous, int s, int k) {
    auto field = [&](int shift) { return (size_t)(descriptor >> shift & 0x3FFF) << 4; };
    const unsigned swizzle = descriptor >> 62;
    size_t place = field(0);
    if (swizzle == 0) {
        place += s / 8 * field(32) + k / 8 * field(16);
        place += span_contiguous ? k % 8 * 16 + s % 8 * 2 : s % 8 * 16 + k % 8 * 2;
    } else {
        // Atoms of eight rows of 128 bytes.
        if (swizzle != 1 || (descriptor >> 49 & 7) || (place & 0x380)) fail("a descriptor of a swizzle that nobody described");
        place += span_contiguous ? s / 64 * field(16) + k / 8 * field(32) + k % 8 * 128 + s % 64 * 2
                                 : s / 8 * field(32) + s % 8 * 128 + k * 2;
        place = swizzled_128(place);
    }
    const unsigned char* at = machine->shared + place - WINDOW;
    if (!in_shared(at, 2)) fail("a product of a warpgroup reads from outside shared memory");
    half h;
    memcpy(&h, at, 2);
    return (float)h;
}

// This lane's part.
template <bool A_SPAN, bool B_SPAN>
static void warpgroup_product(const WarpgroupProduct& p) {
    const int lane = lane_index(), g = lane / 4, t = lane % 4 * 2, row = warp_index() % 4 * 16 + g;
    for (int k = 0; k < 16; k++) {
        const float low = described(p.a, A_SPAN, row, k), high = described(p.a, A_SPAN, row + 8, k);
        for (int j = 0; j < 16; j++)
            for (int e = 0; e < 2; e++) {
                const float b = described(p.b, B_SPAN, 8 * j + t + e, k);
                p.sums[4 * j + e] += low * b;
                p.sums[4 * j + 2 + e] += high * b;
            }
    }
}
}  // namespace host

DEVICE void show_shared_memory() { host::show_shared_memory(); }
DEVICE void show_registers() { host::show_registers(); }
template <bool A_SPAN, bool B_SPAN>
static inline void warpgroup_mma(float (&c)[16][4], uint64_t a, uint64_t b) {
    host::collective<int>(host::WARPGROUP, 0, [](auto&, auto&) {});
    host::start_product({&c[0][0], a, b, host::warpgroup_product<A_SPAN, B_SPAN>});
}
DEVICE void commit_products() { host::commit_products(); }
template <int PENDING>
static inline void wait_for_products(float (&)[16][4]) {
    host::wait_for_products(PENDING);
    // No lane goes on before all have.
    host::collective<int>(host::WARPGROUP, 0, [](auto&, auto&) {});
}

static inline float shuffle_xor(float v, int mask) {
    struct In {
        float v;
        int from;
    };
    return host::collective<float>(host::SHUFFLE, In{v, lane_index() ^ mask}, [](auto& in, auto& out) {
        for (int lane = 0; lane < 32; lane++) {
            In f;
            memcpy(&f, in[lane], sizeof f);
            memcpy(out[lane], in[f.from], 4);
        }
    });
}

template <class Combine>
static inline float butterfly(int kind, float v, Combine combine) {
    return host::collective<float>(kind, v, [combine](auto& in, auto& out) {
        float v[32], w[32];
        for (int i = 0; i < 32; i++) memcpy(&v[i], in[i], 4);
        for (int mask = 16; mask; mask >>= 1) {
            for (int i = 0; i < 32; i++) w[i] = combine(v[i], v[i ^ mask]);
            memcpy(v, w, sizeof v);
        }
        for (int i = 0; i < 32; i++) memcpy(out[i], &v[i], 4);
    });
}
static inline float warp_sum(float v) { return butterfly(host::SUM, v, [](float a, float b) { return a + b; }); }
static inline float warp_max(float v) { return butterfly(host::MAXIMUM, v, [](float a, float b) { return fmaxf(a, b); }); }
static inline void sync_warp() {
    host::collective<int>(host::SYNC, 0, [](auto&, auto&) {});
}

DEVICE uint4 load_16(const void* p) {
    host::check_aligned(p, 16);
    uint4 v;
    memcpy(&v, p, 16);
    return v;
}
DEVICE void store_16(void* p, uint4 v) {
    host::check_aligned(p, 16);
    memcpy(p, &v, 16);
}
DEVICE void store_pair(half* p, float x, float y) {
    host::check_aligned(p, 4);
    p[0] = to_half(x);
    p[1] = to_half(y);
}
DEVICE float2 load_pair(const half* p) {
    host::check_aligned(p, 4);
    return {to_float(p[0]), to_float(p[1])};
}
DEVICE uint32_t packed(float x, float y) {
    const half h[2] = {to_half(x), to_half(y)};
    uint32_t r;
    memcpy(&r, h, 4);
    return r;
}
DEVICE uint64_t address(const void* p) { return (uint64_t)(uintptr_t)p; }
// e^x; the device's has an error of about 2 units in the last place near 0.
DEVICE float exponential(float x) { return expf(x); }
DEVICE float minus_infinity() { return -INFINITY; }
DEVICE float not_a_number() { return NAN; }

#else

template <class T>
DEVICE T* shared_memory() { return reinterpret_cast<T*>(shared_words); }

DEVICE uint32_t shared_address(const void* p) { return (uint32_t)__cvta_generic_to_shared(p); }

DEVICE void mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

DEVICE void load_matrices(uint32_t (&r)[4], const half* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

DEVICE void load_matrices_transposed(uint32_t (&r)[4], const half* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// 16 bytes to shared memory without passing registers: `bytes` of them from `from`, then zeros.
DEVICE void copy_async(void* to, const void* from, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes)
                 : "memory");
}
DEVICE void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits for all groups but the newest `PENDING`.
template <int PENDING>
DEVICE void wait_for_copies() { asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory"); }

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
// What this thread wrote to shared memory becomes visible to a warpgroup's products, which other hardware reads for.
DEVICE void show_shared_memory() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
// So do the registers that it wrote.
DEVICE void show_registers() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

#define FOUR(i) "+f"(c[i][0]), "+f"(c[i][1]), "+f"(c[i][2]), "+f"(c[i][3])
#define SIXTY_FOUR                                                                                                      \
    FOUR(0), FOUR(1), FOUR(2), FOUR(3), FOUR(4), FOUR(5), FOUR(6), FOUR(7), FOUR(8), FOUR(9), FOUR(10), FOUR(11),      \
        FOUR(12), FOUR(13), FOUR(14), FOUR(15)

// c += a b for the 64 rows of a warpgroup and 128 columns, 16 deep. Operands lie in shared memory as their descriptors say,
// contiguous along the depth, or along rows or columns if A_SPAN or B_SPAN; c is that of 16 neighbouring `mma` of each warp.
// Under way until it is waited for.
template <bool A_SPAN, bool B_SPAN>
DEVICE void warpgroup_mma(float (&c)[16][4], uint64_t a, uint64_t b) {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
        "%64, %65, 1, 1, 1, %66, %67;"
        : SIXTY_FOUR
        : "l"(a), "l"(b), "n"((int)A_SPAN), "n"((int)B_SPAN));
}
DEVICE void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Waits for all groups but the newest `PENDING`, which may all have added to c.
template <int PENDING>
DEVICE void wait_for_products(float (&c)[16][4]) {
    asm volatile("wgmma.wait_group.sync.aligned %64;" : SIXTY_FOUR : "n"(PENDING) : "memory");
}
#undef SIXTY_FOUR
#undef FOUR
#endif

DEVICE float shuffle_xor(float v, int mask) { return __shfl_xor_sync(0xFFFFFFFFu, v, mask); }
DEVICE float warp_sum(float v) {
#pragma unroll
    for (int mask = 16; mask; mask >>= 1) v += shuffle_xor(v, mask);
    return v;
}
DEVICE float warp_max(float v) {
#pragma unroll
    for (int mask = 16; mask; mask >>= 1) v = fmaxf(v, shuffle_xor(v, mask));
    return v;
}
DEVICE void sync_warp() { __syncwarp(); }

DEVICE uint4 load_16(const void* p) { return *(const uint4*)p; }
DEVICE void store_16(void* p, uint4 v) { *(uint4*)p = v; }
DEVICE void store_pair(half* p, float x, float y) { *(half2*)p = __floats2half2_rn(x, y); }
DEVICE float2 load_pair(const half* p) { return __half22float2(*(const half2*)p); }
DEVICE uint32_t packed(float x, float y) {
    const half2 h = __floats2half2_rn(x, y);
    return *(const uint32_t*)&h;
}
DEVICE uint64_t address(const void* p) { return (uint64_t)p; }
DEVICE float exponential(float x) { return __expf(x); }
DEVICE float minus_infinity() { return __int_as_float((int)0xFF800000u); }
DEVICE float not_a_number() { return __int_as_float(0x7FC00000); }

#endif

// Sum over a block of `THREADS` threads, the same in all of them; `scratch` holds a value a warp.
template <int THREADS>
DEVICE float block_sum(float v, float* scratch) {
    v = warp_sum(v);
    if (lane_index() == 0) scratch[warp_index()] = v;
    __syncthreads();
    float sum = 0;
    for (int w = 0; w < THREADS / WARP_LANES; w++) sum += scratch[w];
    __syncthreads();
    return sum;
}

template <int THREADS>
DEVICE float block_max(float v, float* scratch) {
    v = warp_max(v);
    if (lane_index() == 0) scratch[warp_index()] = v;
    __syncthreads();
    float most = scratch[0];
    for (int w = 1; w < THREADS / WARP_LANES; w++) most = fmaxf(most, scratch[w]);
    __syncthreads();
    return most;
}
