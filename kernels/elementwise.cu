// Loops over single elements: sums, gates, factors, rotations, dropout, conversions. All are bound by memory; grids cover
// the elements with 256 threads a block, one element (or pair) a thread.
#include "activation.cuh"
#include "counter.cuh"
#include "elements.cuh"

struct PairArguments {
    const half* x;
    half* y;
    int64_t len;
};

// y += x
KERNEL(add, PairArguments, THREADS, 0) {
    const int64_t i = element();
    if (i < a.len) a.y[i] = to_half(to_float(a.y[i]) + to_float(a.x[i]));
}

// y *= x
KERNEL(multiply, PairArguments, THREADS, 0) {
    const int64_t i = element();
    if (i < a.len) a.y[i] = to_half(to_float(a.y[i]) * to_float(a.x[i]));
}

struct ConvertArguments {
    const float* single;
    half* half_values;
    int64_t len;
};

KERNEL(to_half_precision, ConvertArguments, THREADS, 0) {
    const int64_t i = element();
    if (i < a.len) a.half_values[i] = to_half(a.single[i]);
}

struct GateArguments {
    const half* pairs;    // [rows, 2 width], gate first
    const half* d_out;    // [rows, width], backward only
    half* out;            // [rows, width], or [rows, 2 width] of the gradient
    int64_t rows;
    int width, activation;
};

// out = act(gate) up (Shazeer 2020)
KERNEL(gate_forward, GateArguments, THREADS, 0) {
    const int64_t i = element();
    if (i >= a.rows * a.width) return;
    const int64_t gate = i / a.width * 2 * a.width + i % a.width;
    a.out[i] = to_half(activate(a.activation, to_float(a.pairs[gate])).value * to_float(a.pairs[gate + a.width]));
}

// d_gate = d_out up act'(gate), d_up = d_out act(gate)
KERNEL(gate_backward, GateArguments, THREADS, 0) {
    const int64_t i = element();
    if (i >= a.rows * a.width) return;
    const int64_t gate = i / a.width * 2 * a.width + i % a.width;
    const Curve c = activate(a.activation, to_float(a.pairs[gate]));
    const float d = to_float(a.d_out[i]);
    a.out[gate] = to_half(d * to_float(a.pairs[gate + a.width]) * c.derivative);
    a.out[gate + a.width] = to_half(d * c.value);
}

struct ScaleArguments {
    half* x;             // rows `row` apart; columns `column`.. are scaled
    const half* factor;  // of the first client
    half* before;        // [rows, columns], what the columns were, or null
    const int* offsets;  // first row of each client and one more
    int64_t factor_group;
    int row, column, columns, unused;
};

// (IA)3 (Liu et al. 2022): x *= the client's factors. Grid (ceil(most rows columns / 256), clients).
KERNEL(scale_columns, ScaleArguments, THREADS, 0) {
    const int client = blockIdx.y, first = a.offsets[client];
    const int64_t i = element();
    if (i >= (int64_t)(a.offsets[client + 1] - first) * a.columns) return;
    const int64_t row = first + i / a.columns;
    const int c = i % a.columns;
    half* x = a.x + row * a.row + a.column + c;
    if (a.before) a.before[row * a.columns + c] = *x;
    *x = to_half(to_float(*x) * to_float(a.factor[client * a.factor_group + c]));
}

struct RotateArguments {
    half* x;
    const float* cosine;   // [positions, half]
    const float* sine;     // negative for the gradient
    const int* positions;  // of each row in its sequence
    int64_t rows;
    int heads, half_width, row, column;
};

// Rotary positions (Su et al. 2021), paired by halves: (x, y) becomes (x cos - y sin, y cos + x sin).
KERNEL(rotate, RotateArguments, THREADS, 0) {
    const int64_t i = element();
    const int pairs = a.heads * a.half_width;
    if (i >= a.rows * pairs) return;
    const int64_t row = i / pairs;
    const int head = i % pairs / a.half_width, j = i % a.half_width;
    const int angle = a.positions[row] * a.half_width + j;
    half* at = a.x + row * a.row + a.column + head * 2 * a.half_width + j;
    const float x = to_float(at[0]), y = to_float(at[a.half_width]), c = a.cosine[angle], s = a.sine[angle];
    at[0] = to_half(x * c - y * s);
    at[a.half_width] = to_half(y * c + x * s);
}

struct DropArguments {
    const half* x;
    half* out;
    const CounterKey* keys;   // of each client
    const int64_t* first_rows;  // of each client in its batch
    const int* offsets;
    double share;
    int width, accumulate;
};

// out [+]= drop(x) (Srivastava et al. 2014): element n of a client's rows stays, times 1 / (1 - share), where its uniform
// number n is at least the share. Grid (ceil(most rows width / 256), clients).
KERNEL(drop, DropArguments, THREADS, 0) {
    const int client = blockIdx.y, first = a.offsets[client];
    const int64_t i = element();
    if (i >= (int64_t)(a.offsets[client + 1] - first) * a.width) return;
    const uint64_t number = (uint64_t)(a.first_rows[client] * a.width + i);
    const int64_t at = (int64_t)first * a.width + i;
    const float kept = (float)(1.0 / (1.0 - a.share));
    const float x = counter_uniform(a.keys[client], number) >= a.share ? kept * to_float(a.x[at]) : 0.0f;
    a.out[at] = to_half(a.accumulate ? to_float(a.out[at]) + x : x);
}
