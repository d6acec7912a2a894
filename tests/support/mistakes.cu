// One box brought by a bulk tensor copy, with every mistake that the host runtime must see (tests/cuda_kernels/tensor_copies.rs).
#include "bulk.cuh"

enum Mistake {
    NONE,
    TOO_MANY_BYTES,
    TOO_FEW_BYTES,
    TOO_FEW_ARRIVALS,
    TOO_MANY_ARRIVALS,
    NEVER_MADE,
    NEVER_SHOWN,
    OFF_THE_PATTERN,
    WRITTEN_OVER,
    GONE_TOO_EARLY
};

struct Arguments {
    TensorMap map;  // of 8 x 64 numbers, all of them in a box
    half* out;
    int64_t unused[7];
};

template <Mistake MISTAKE>
DEVICE void bring(const Arguments& a) {
    char* start = shared_memory<char>();
    start += -shared_address(start) & 1023;
    half* box = (half*)start;
    Barrier* full = (Barrier*)(start + 1024);
    if (thread_index() == 0) {
        if (MISTAKE != NEVER_MADE) init_barrier(full, MISTAKE == TOO_FEW_ARRIVALS ? 2 : 1);
        if (MISTAKE != NEVER_SHOWN) show_barriers();
    }
    __syncthreads();
    if (thread_index() == 0) {
        if (MISTAKE == WRITTEN_OVER) *full = 7;
        arrive_expecting(full, 1024 + (MISTAKE == TOO_MANY_BYTES ? 16 : MISTAKE == TOO_FEW_BYTES ? -16 : 0));
        copy_box(box + (MISTAKE == OFF_THE_PATTERN ? 64 : 0), a.map, full, 0, 0, 0);
        if (MISTAKE == TOO_MANY_ARRIVALS) arrive(full);
    }
    if (MISTAKE == GONE_TOO_EARLY) return;
    phase_ends(full, 0);
    for (int i = thread_index(); i < 8 * 64; i += 64) {
        const int row = i / 64, chunk = i % 64 / 8;
        a.out[i] = box[row * 64 + (chunk ^ row) * 8 + i % 8];
    }
}

KERNEL(no_mistake, Arguments, 64, 4096) { bring<NONE>(a); }
KERNEL(too_many_bytes_expected, Arguments, 64, 4096) { bring<TOO_MANY_BYTES>(a); }
KERNEL(too_few_bytes_expected, Arguments, 64, 4096) { bring<TOO_FEW_BYTES>(a); }
KERNEL(too_few_arrivals, Arguments, 64, 4096) { bring<TOO_FEW_ARRIVALS>(a); }
KERNEL(too_many_arrivals, Arguments, 64, 4096) { bring<TOO_MANY_ARRIVALS>(a); }
KERNEL(never_made, Arguments, 64, 4096) { bring<NEVER_MADE>(a); }
KERNEL(never_shown, Arguments, 64, 4096) { bring<NEVER_SHOWN>(a); }
KERNEL(off_the_pattern, Arguments, 64, 4096) { bring<OFF_THE_PATTERN>(a); }
KERNEL(written_over, Arguments, 64, 4096) { bring<WRITTEN_OVER>(a); }
KERNEL(gone_too_early, Arguments, 64, 4096) { bring<GONE_TOO_EARLY>(a); }
