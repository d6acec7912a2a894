// What channels and compression do to updates: superposition over the air, majority votes, stochastic quantisation, top-k.
// The arithmetic of src/learning/superposition.rs and compression.rs, in double precision and with the same generator, so
// that the numbers are those of the CPU (to the last bit but for logarithms and sines).
//
// One thread an entry; K + 1 reads and 1 write of 4 bytes an entry.
#include "counter.cuh"
#include "elements.cuh"

struct AirArguments {
    const float* reference;
    const float* states;      // [devices, stride]
    const double* weights;    // of each device; 0 is silent
    const double* radians;    // at the centre of the band, or null where all arrive in phase
    const double* slopes;     // radians from one subcarrier to the next
    float* out;
    CounterKey noise;
    int64_t stride;
    int64_t first, end;       // the tensor
    double noise_std;         // of an entry, normalisation included
    double step;              // of a vote
    int devices, subcarriers;
};

// Device k's part of entry i with its neighbour's leak.
template <class Value>
DEVICE double superposed(const AirArguments& a, int64_t i, Value value) {
    double sum = 0.0;
    const int64_t offset = i - a.first, neighbour = a.first + (offset ^ 1);
    for (int k = 0; k < a.devices; k++) {
        const double w = a.weights[k];
        if (!(w > 0.0)) continue;
        if (!a.radians) {
            sum += w * value(k, i);
            continue;
        }
        const double centre = (double)((uint64_t)(i / 2) % a.subcarriers) - (a.subcarriers - 1) / 2.0;
        const double angle = a.radians[k] + a.slopes[k] * centre;
        const double leaked = neighbour < a.end ? (offset & 1 ? 1.0 : -1.0) * value(k, neighbour) : 0.0;
        sum += w * (cos(angle) * value(k, i) + sin(angle) * leaked);
    }
    return sum;
}

// out = reference + sum_k w_k update_k + noise. Grid (ceil(entries / 256)).
KERNEL(superpose, AirArguments, THREADS, 0) {
    const int64_t i = a.first + element();
    if (i >= a.end) return;
    const double sum = superposed(a, i, [&](int k, int64_t j) {
        return (double)a.states[k * a.stride + j] - (double)a.reference[j];
    });
    a.out[i] = (float)((double)a.reference[i] + sum + a.noise_std * counter_normal(a.noise, (uint64_t)i));
}

DEVICE CounterKey counter_child(CounterKey k, uint64_t index) {
    return {counter_mix(k.key ^ counter_mix(index + 0x9E3779B97F4A7C15ull)), counter_mix(k.tweak + index)};
}

// out = reference + step sign(sum_k w_k sign(update_k) + noise); a coin decides what a device sends of an update of 0.
KERNEL(vote, AirArguments, THREADS, 0) {
    const int64_t i = a.first + element();
    if (i >= a.end) return;
    const CounterKey coins = counter_child(a.noise, ~0ull);
    const double heard = superposed(a, i, [&](int k, int64_t j) {
        const float update = a.states[k * a.stride + j] - a.reference[j];
        if (update != 0.0f) return update > 0.0f ? 1.0 : -1.0;
        return counter_bits(counter_child(coins, (uint64_t)k), (uint64_t)j) & 1 ? 1.0 : -1.0;
    }) + a.noise_std * counter_normal(a.noise, (uint64_t)i);
    const double sign = heard < 0.0 || (heard == 0.0 && 1.0 / heard < 0.0) ? -1.0 : 1.0;
    a.out[i] = (float)((double)a.reference[i] + a.step * sign);
}
