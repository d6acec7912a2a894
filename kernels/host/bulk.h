// Barriers that count bytes, and bulk tensor copies, as `bulk.cuh` uses them. Part of runtime.h.
//
// Strict where a GPU hangs or stays silent: a phase that nothing ends, bytes that no barrier expects, a barrier that is used
// before it is there or shown to the hardware, a swizzle whose pattern does not start at a multiple of 1024 bytes. Copies land when
// nobody can go on, oldest or newest first as the schedule says, or at once: the former shows a wait that is missing, the latter
// memory that is given up too early.
#pragma once

namespace host {

static Phased& phased(const void* at) {
    if ((uintptr_t)at % 8 || !in_shared(at, 8)) fail("a barrier lies outside of shared memory, or not at a multiple of 8");
    uint64_t cookie;
    memcpy(&cookie, at, 8);
    for (Phased& b : machine->barriers)
        if (b.at == at) {
            if (cookie != Phased::COOKIE) fail("a barrier was written over");
            return b;
        }
    fail("a barrier is used that nobody made");
}

static void init_barrier(void* at, int arrivals) {
    if ((uintptr_t)at % 8 || !in_shared(at, 8)) fail("a barrier lies outside of shared memory, or not at a multiple of 8");
    memcpy(at, &Phased::COOKIE, 8);
    machine->barriers.push_back(Phased{at, arrivals, arrivals, 0, 0, machine->current, false});
}

static void show_barriers() {
    for (Phased& b : machine->barriers)
        if (b.maker == machine->current) b.shown = true;
}

static void end_phase_if_complete(Phased& b) {
    if (b.pending || b.bytes) return;
    b.pending = b.arrivals;
    b.phase++;
    for (Fiber& f : machine->fibers)
        if (f.state == State::AtPhase && f.waits_for == b.at) f.state = State::Ready;
}

static void arrive(void* at, int bytes) {
    Phased& b = phased(at);
    if (!b.pending) fail("more threads arrive at a phase than it waits for");
    b.pending--;
    b.bytes += bytes;
    end_phase_if_complete(b);
}

static bool phase_ends(void* at, int parity) {
    while ((phased(at).phase & 1) == (unsigned)parity) {
        machine->current->waits_for = at;
        wait(State::AtPhase);
    }
    return true;
}

// Returns what is wrong, if anything.
static const char* land(const Transfer& t) {
    Machine& m = *machine;
    size_t bytes = 0;
    for (int64_t z = 0; z < t.map.box[2]; z++)
        for (int64_t y = 0; y < t.map.box[1]; y++)
            for (int64_t x = 0; x < t.map.box[0]; x++, bytes += 2) {
                const int64_t place[3] = {t.place[0] + x, t.place[1] + y, t.place[2] + z};
                bool inside = true;
                for (int i = 0; i < 3; i++) inside = inside && place[i] >= 0 && (uint64_t)place[i] < t.map.extents[i];
                half value = 0;
                const uint64_t from = t.map.address + place[2] * t.map.strides[1] + place[1] * t.map.strides[0] + 2 * place[0];
                if (inside) memcpy(&value, (const void*)from, 2);
                memcpy(m.shared + swizzled_128(t.to + bytes) - WINDOW, &value, 2);
            }
    for (Phased& b : m.barriers)
        if (b.at == t.barrier) {
            if (b.bytes < (int64_t)bytes) return "a copy brings more bytes than its barrier expects";
            b.bytes -= bytes;
            end_phase_if_complete(b);
        }
    return nullptr;
}

static void copy_box(void* to, const void* map, void* barrier, int x, int y, int z) {
    Machine& m = *machine;
    Transfer t{{}, (size_t)((unsigned char*)to - m.shared) + WINDOW, barrier, {x, y, z}};
    if ((uintptr_t)map % 64) fail("a tensor map is not aligned to 64 bytes");
    memcpy(&t.map, map, sizeof t.map);
    if (t.map.magic != HostMap::MAGIC) fail("a copy of a tensor without a map");
    if (!phased(barrier).shown) fail("a copy is to arrive at a barrier that no fence has shown it");
    if (t.map.box[0] != 64) fail("a box whose rows are not of 128 bytes");
    if (!in_shared(to, (size_t)2 * t.map.box[0] * t.map.box[1] * t.map.box[2])) fail("a bulk copy goes beyond shared memory");
    if (t.to % 1024) fail("a swizzled box starts off a multiple of 1024 bytes");
    if (!m.early_transfers()) return m.transfers.push_back(t);
    if (const char* why = land(t)) fail(why);
}

}  // namespace host
