// The counter-based generator of src/random/counter.rs, bit for bit.
#pragma once
#include "primitives.cuh"

struct CounterKey {
    uint64_t key, tweak;
};

DEVICE uint64_t counter_mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

// 64 uniform bits number n.
DEVICE uint64_t counter_bits(CounterKey k, uint64_t n) {
    return counter_mix(counter_mix(k.key + n * 0x9E3779B97F4A7C15ull) ^ k.tweak);
}

// Uniform in (0, 1), number n.
DEVICE double counter_uniform(CounterKey k, uint64_t n) {
    return ((double)(counter_bits(k, n) >> 11) + 0.5) * (1.0 / 9007199254740992.0);
}

// Standard normal number n (Box and Muller 1958): 2m and 2m + 1 are one pair.
DEVICE double counter_normal(CounterKey k, uint64_t n) {
    const double r = sqrt(-2.0 * log(counter_uniform(k, n & ~1ull)));
    const double angle = 6.283185307179586476925286766559 * counter_uniform(k, n | 1ull);
    return n & 1 ? r * sin(angle) : r * cos(angle);
}
