// Runs the subset of CUDA C++ that the kernels use on a CPU: one fiber a thread, blocks one after another.
//
// It is for tests, and strict where a GPU is silent: shared memory starts as NaN in every block, a barrier or a warp
// operation that not all threads reach is an error, and so is a misaligned vector access, a write beyond the shared memory
// asked for, or a matrix load from elsewhere. Warps run greedily, one until it waits, in an order that `schedule` shuffles;
// odd schedules run the lanes of a warp backwards. Asynchronous copies land at the wait for them, or at once if
// `early_copies`: the former shows a wait that is missing, the latter a barrier that is.
// Copies and products that are under way are in pending.h, bulk tensor copies and the barriers that they arrive at in bulk.h.
//
// Not seen: races that no schedule of whole warps shows, bank conflicts, the order in which tensor cores add.
#pragma once
#include <algorithm>
#include <cmath>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <ucontext.h>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __restrict__ __restrict

struct uint3_ {
    unsigned x, y, z;
};
struct float2 {
    float x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
typedef _Float16 half;
struct alignas(4) half2 {
    half x, y;
};

static inline float __half2float(half h) { return (float)h; }
static inline half __float2half_rn(float f) { return (half)f; }
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }

namespace host {

constexpr unsigned WARP = 32, MOST_THREADS = 1024;
constexpr size_t STACK = 96 << 10, GUARD = 512, LANE_BYTES = 64;

enum class State : unsigned char { Ready, AtBarrier, AtWarpOperation, AtPhase, Done };

// Where shared memory begins for descriptors and swizzles: no multiple of what their patterns repeat after.
constexpr size_t WINDOW = 1024 + 128;

// 16 bytes of shared memory: `bytes` from global memory, then zeros.
struct Copy {
    unsigned char* to;
    const unsigned char* from;
    unsigned bytes;

    void land() const {
        if (bytes) memcpy(to, from, bytes);
        memset(to + bytes, 0, 16 - bytes);
    }
};

// A product of a warpgroup that is under way: it reads shared memory when it is waited for, or at once.
struct WarpgroupProduct {
    float* sums;
    uint64_t a, b;
    void (*run)(const WarpgroupProduct&);
};

// A barrier of bulk.cuh: what its phase still waits for.
struct Phased {
    static constexpr uint64_t COOKIE = 0xB0A2D1E25E6F7A81;
    const void* at;
    int arrivals, pending;
    int64_t bytes;
    unsigned phase;
    const void* maker;
    // Whether the hardware that copies may know of it.
    bool shown;
};

// What a HostDevice (tests/support/cuda_host.rs) writes where a driver would write its map.
struct HostMap {
    static constexpr uint64_t MAGIC = 0x70614D726F736E54;
    uint64_t magic, address, extents[3], strides[2];
    uint32_t box[3], unused;
};

// A bulk tensor copy that is under way.
struct Transfer {
    HostMap map;
    size_t to;
    const void* barrier;
    int64_t place[3];
};

struct Fiber {
    uint3_ thread;
    unsigned lane, warp, operations;
    State state;
    bool started;
    jmp_buf context;
    ucontext_t first;
    char* stack;
    std::vector<Copy> copies;
    std::vector<size_t> groups;
    std::vector<WarpgroupProduct> products;
    std::vector<size_t> product_groups;
    // Whether copies have landed that tensor cores may not see yet, and registers been written that they may not.
    bool unseen_copies, unseen_registers;
    const void* waits_for;
};

// What the lanes of a warp hand to an operation and get from it. Two, used in turn: a lane may enter the next operation
// before the others have read their results.
struct Exchange {
    alignas(16) unsigned char in[WARP][LANE_BYTES];
    alignas(16) unsigned char out[WARP][LANE_BYTES];
};

struct Warp {
    unsigned lanes, arrived;
    int kind;
    Exchange exchange[2];
};

struct Machine {
    std::vector<Fiber> fibers;
    std::vector<Warp> warps;
    std::vector<unsigned char> shared_store;
    unsigned char* shared;
    size_t shared_bytes;
    uint3_ block, blocks, threads;
    Fiber* current;
    jmp_buf scheduler;
    unsigned schedule, random;
    bool early_copies, somebody_ran;
    void (*body)(const void*);
    const void* arguments;
    std::string error;
    std::vector<Phased> barriers;
    std::vector<Transfer> transfers;

    bool early_transfers() const { return schedule & 2; }

    ~Machine() {
        for (Fiber& f : fibers) free(f.stack);
    }
};

static thread_local Machine* machine;

static Machine& this_machine() {
    static thread_local struct Owner {
        Machine* owned = nullptr;
        ~Owner() { delete owned; }
    } owner;
    if (!owner.owned) owner.owned = new Machine();
    machine = owner.owned;
    return *machine;
}

[[noreturn]] static void fail(const std::string& what) {
    Machine& m = *machine;
    char place[96];
    snprintf(place, sizeof place, " (block %u,%u,%u thread %u)", m.block.x, m.block.y, m.block.z, m.current->thread.x);
    m.error = what + place;
    _longjmp(m.scheduler, 2);
}

[[noreturn]] static void enter() {
    for (;;) {
        Machine& m = *machine;
        m.body(m.arguments);
        if (!m.current->copies.empty()) fail("a thread ends with copies that it never waited for");
        if (!m.current->products.empty()) fail("a thread ends with products that it never waited for");
        m.current->state = State::Done;
        if (!_setjmp(m.current->context)) _longjmp(m.scheduler, 1);
    }
}

[[noreturn]] static void resume(Fiber& f) {
    machine->current = &f;
    if (f.started) _longjmp(f.context, 1);
    f.started = true;
    getcontext(&f.first);
    f.first.uc_stack.ss_sp = f.stack;
    f.first.uc_stack.ss_size = STACK;
    f.first.uc_link = nullptr;
    makecontext(&f.first, (void (*)())enter, 0);
    setcontext(&f.first);
    abort();
}

// The next lane of the same warp that can run, in the schedule's direction.
static Fiber* next_ready(unsigned warp, unsigned after) {
    Machine& m = *machine;
    const unsigned lanes = m.warps[warp].lanes;
    const bool backwards = m.schedule & 1;
    for (unsigned i = 1; i <= lanes; i++) {
        const unsigned lane = backwards ? (after + lanes - i) % lanes : (after + i) % lanes;
        Fiber& f = m.fibers[warp * WARP + lane];
        if (f.state == State::Ready) return &f;
    }
    return nullptr;
}

static void wait(State why) {
    Machine& m = *machine;
    Fiber& f = *m.current;
    f.state = why;
    if (_setjmp(f.context)) return;
    if (Fiber* next = next_ready(f.warp, f.lane)) resume(*next);
    _longjmp(m.scheduler, 1);
}

static inline void barrier() { wait(State::AtBarrier); }

// Every lane hands in `in`; the last one to come calls `whole(inputs, outputs)` for all.
template <class Out, class In, class Whole>
static inline Out collective(int kind, const In& in, Whole whole) {
    static_assert(sizeof(In) <= LANE_BYTES && sizeof(Out) <= LANE_BYTES, "more than a lane may hand in");
    Machine& m = *machine;
    Fiber& f = *m.current;
    Warp& w = m.warps[f.warp];
    Exchange& e = w.exchange[f.operations++ & 1];
    if (w.arrived == 0) w.kind = kind;
    if (w.kind != kind) fail("lanes of a warp are at different operations");
    memcpy(e.in[f.lane], &in, sizeof in);
    if (++w.arrived == w.lanes) {
        w.arrived = 0;
        whole(e.in, e.out);
        for (unsigned i = 0; i < w.lanes; i++) m.fibers[f.warp * WARP + i].state = State::Ready;
    } else {
        wait(State::AtWarpOperation);
    }
    Out out;
    memcpy(&out, e.out[machine->current->lane], sizeof out);
    return out;
}

static inline bool in_shared(const void* p, size_t bytes) {
    const unsigned char *at = (const unsigned char*)p, *start = machine->shared;
    return at >= start && at + bytes <= start + machine->shared_bytes;
}

// Where the swizzle of 128 bytes puts a byte: bits 7 to 9 of its address are added to bits 4 to 6 without carry.
static inline size_t swizzled_128(size_t at) { return at ^ (at >> 7 & 7) << 4; }

static inline void check_aligned(const void* p, size_t bytes) {
    if ((uintptr_t)p % bytes) fail("a vector access is not aligned");
}

}  // namespace host

#include "pending.h"
#include "bulk.h"

namespace host {

// Lands a copy that everybody waits for; false if there is none, or it must not land.
static bool land_a_transfer(Machine& m) {
    if (m.transfers.empty()) {
        m.error = "threads wait for a phase that nothing ends";
        for (const Phased& b : m.barriers)
            if (b.pending < b.arrivals || b.bytes) {
                char what[96];
                snprintf(what, sizeof what, "; a barrier lacks %d arrivals and %lld bytes", b.pending, (long long)b.bytes);
                m.error += what;
            }
        return false;
    }
    const size_t which = m.schedule & 1 ? m.transfers.size() - 1 : 0;
    const Transfer t = m.transfers[which];
    m.transfers.erase(m.transfers.begin() + which);
    const char* why = land(t);
    if (why) m.error = why;
    return !why;
}

static bool run_block(Machine& m, unsigned threads) {
    const unsigned warps = (threads + WARP - 1) / WARP;
    for (unsigned i = 0; i < threads; i++) {
        Fiber& f = m.fibers[i];
        f.state = State::Ready;
        f.operations = 0;
        f.copies.clear();
        f.groups.clear();
        f.products.clear();
        f.product_groups.clear();
        f.unseen_copies = false;
        f.unseen_registers = true;
    }
    for (Warp& w : m.warps) w.arrived = 0;
    m.barriers.clear();
    m.transfers.clear();
    memset(m.shared, 0xFF, m.shared_bytes + GUARD);
    for (;;) {
        m.random = m.random * 1664525u + 1013904223u;
        const unsigned first = m.schedule ? (m.random >> 8) % warps : 0;
        m.somebody_ran = false;
        for (unsigned i = 0; i < warps; i++) {
            const unsigned w = (first + i) % warps;
            const int how = _setjmp(m.scheduler);
            if (how == 2) return false;
            if (Fiber* f = next_ready(w, m.warps[w].lanes - 1)) {
                m.somebody_ran = true;
                resume(*f);
            }
        }
        // A warp may have made another one ready.
        if (m.somebody_ran) continue;
        unsigned done = 0, at_barrier = 0, at_phase = 0;
        for (unsigned i = 0; i < threads; i++) {
            done += m.fibers[i].state == State::Done;
            at_barrier += m.fibers[i].state == State::AtBarrier;
            at_phase += m.fibers[i].state == State::AtPhase;
        }
        if (done == threads) break;
        if (at_phase) {
            if (!land_a_transfer(m)) return false;
            continue;
        }
        if (done + at_barrier < threads) {
            char what[160];
            snprintf(what, sizeof what, "threads part: %u at a barrier, %u at a warp operation, %u gone, in block %u,%u,%u",
                     at_barrier, threads - done - at_barrier, done, m.block.x, m.block.y, m.block.z);
            m.error = what;
            return false;
        }
        for (unsigned i = 0; i < threads; i++)
            if (m.fibers[i].state == State::AtBarrier) m.fibers[i].state = State::Ready;
    }
    if (!m.transfers.empty()) {
        m.error = "a block ends before all that it had brought";
        return false;
    }
    for (const Phased& b : m.barriers)
        if (b.bytes) {
            m.error = "a block ends while a barrier waits for bytes";
            return false;
        }
    for (size_t i = 0; i < GUARD; i++)
        if (m.shared[m.shared_bytes + i] != 0xFF) {
            m.error = "a block writes beyond its shared memory";
            return false;
        }
    return true;
}

static int launch(const unsigned* blocks, unsigned threads, size_t shared, unsigned schedule, bool early_copies,
                  void (*body)(const void*), const void* arguments) {
    Machine& m = this_machine();
    if (m.fibers.size() < threads) {
        const size_t before = m.fibers.size();
        m.fibers.resize(threads);
        for (size_t i = before; i < threads; i++) m.fibers[i].stack = (char*)malloc(STACK);
        for (Fiber& f : m.fibers) f.started = false;
    }
    for (unsigned i = 0; i < threads; i++) {
        Fiber& f = m.fibers[i];
        f.thread = {i, 0, 0};
        f.lane = i % WARP;
        f.warp = i / WARP;
    }
    m.warps.resize((threads + WARP - 1) / WARP);
    for (unsigned w = 0; w < m.warps.size(); w++) m.warps[w].lanes = std::min(WARP, threads - w * WARP);
    m.shared_store.resize(shared + GUARD + 128);
    m.shared = (unsigned char*)(((uintptr_t)m.shared_store.data() + 127) & ~(uintptr_t)127);
    m.shared_bytes = shared;
    m.threads = {threads, 1, 1};
    m.blocks = {blocks[0], blocks[1], blocks[2]};
    m.schedule = schedule;
    m.random = schedule;
    m.early_copies = early_copies;
    m.body = body;
    m.arguments = arguments;
    m.error.clear();
    for (unsigned z = 0; z < blocks[2]; z++)
        for (unsigned y = 0; y < blocks[1]; y++)
            for (unsigned x = 0; x < blocks[0]; x++) {
                m.block = {x, y, z};
                if (!run_block(m, threads)) {
                    for (Fiber& f : m.fibers) f.started = false;
                    return 1;
                }
            }
    return 0;
}

}  // namespace host

extern "C" __attribute__((visibility("default"))) const char* host_error() { return host::this_machine().error.c_str(); }

#define threadIdx (host::machine->current->thread)
#define blockIdx (host::machine->block)
#define blockDim (host::machine->threads)
#define gridDim (host::machine->blocks)
#define __syncthreads host::barrier

// A kernel takes one structure by value; a block has `threads` threads and at least `shared` bytes of shared memory.
#define KERNEL(name, Arguments, threads, shared)                                                                        \
    static void name(const Arguments a);                                                                               \
    static void body_##name(const void* p) { name(*(const Arguments*)p); }                                             \
    extern "C" __attribute__((visibility("default"))) int run_##name(                                                  \
        const unsigned* blocks, size_t bytes, unsigned schedule, int early_copies, const void* arguments) {            \
        return host::launch(blocks, threads, bytes, schedule, early_copies, body_##name, arguments);                   \
    }                                                                                                                  \
    extern "C" __attribute__((visibility("default"))) void shape_##name(unsigned* out) {                               \
        out[0] = sizeof(Arguments);                                                                                    \
        out[1] = threads;                                                                                              \
        out[2] = shared;                                                                                               \
    }                                                                                                                  \
    static void name(const Arguments a)
