// Weight decomposition (Liu et al. 2024), and the last step of a product that could not be fused.
//
//   inverse[client, o] = 1 / |W_o + s B_o diag(E) A|, factor[client, o] = m_o inverse[client, o]
//   y = [y +] act(product factor + bias)
//
// The norm is summed element by element rather than from |W_o|^2, B A W_o^T and B A A^T B^T: two passes over rows of W and A, which
// the cache holds, and nothing cancels. 2 rank inputs outputs FLOPs a client, as many as the term itself costs a row.
#include "activation.cuh"

constexpr int THREADS = 128, MOST_SLOTS = 4;

// One term with magnitudes, as in LoraSlot of src/backend/description.rs.
struct MagnitudeSlot {
    int64_t a, b, magnitude, diagonal;  // where the tensors start in a client's parameters; diagonal -1 without
    float scale;
    int rank, outputs, column;
};

struct MagnitudeArguments {
    const half* values;  // the clients' parameters
    const half* weight;  // [outputs, inputs], of the first client
    float* inverse;      // [clients, outputs]; 0 in columns without magnitudes
    float* factor;       // [clients, outputs]; 1 there
    int64_t stride;      // of a client's parameters
    int64_t weight_group;  // elements from one client's weight to the next; 0 where all share one
    MagnitudeSlot slots[MOST_SLOTS];
    int count, inputs, outputs, unused;
};

// A warp an output. Grid (ceil(outputs / 4), clients).
KERNEL(magnitudes, MagnitudeArguments, THREADS, 0) {
    const int o = blockIdx.x * (THREADS / WARP_LANES) + warp_index(), client = blockIdx.y;
    if (o >= a.outputs) return;
    const half* set = a.values + client * a.stride;
    const half* weight = a.weight + client * a.weight_group + (int64_t)o * a.inputs;
    float inverse = 0.0f, factor = 1.0f;
    for (int s = 0; s < a.count; s++) {
        const MagnitudeSlot& slot = a.slots[s];
        const int row = o - slot.column;
        if (row < 0 || row >= slot.outputs) continue;
        const half* down = set + slot.a;
        const half* up = set + slot.b + (int64_t)row * slot.rank;
        float sum = 0.0f;
        for (int i = lane_index(); i < a.inputs; i += WARP_LANES) {
            float term = 0.0f;
            for (int j = 0; j < slot.rank; j++) {
                const float e = slot.diagonal < 0 ? 1.0f : to_float(set[slot.diagonal + j]);
                term += to_float(up[j]) * e * to_float(down[(int64_t)j * a.inputs + i]);
            }
            const float v = to_float(weight[i]) + slot.scale * term;
            sum += v * v;
        }
        inverse = 1.0f / sqrtf(warp_sum(sum));
        factor = to_float(set[slot.magnitude + row]) * inverse;
    }
    if (lane_index() == 0) {
        a.inverse[(int64_t)client * a.outputs + o] = inverse;
        a.factor[(int64_t)client * a.outputs + o] = factor;
    }
}

struct FinishArguments {
    const half* product;  // [rows, columns]
    const float* factor;  // [clients, columns], or null for 1
    const half* bias;     // of the first client, or null
    half* y;              // [rows, columns]; may be the product
    half* derivative;     // receives the activation's, or null
    const int* offsets;   // first row of each client and one more
    int64_t bias_group;   // elements from one client's bias to the next; 0 where all share one
    int columns, accumulate, activation, unused;
};

// Grid (ceil(most rows columns / 128), clients). Bound by memory: 2 bytes read and written an element.
KERNEL(finish_product, FinishArguments, THREADS, 0) {
    const int client = blockIdx.y, first = a.offsets[client];
    const int64_t i = (int64_t)blockIdx.x * THREADS + thread_index();
    if (i >= (int64_t)(a.offsets[client + 1] - first) * a.columns) return;
    const int column = i % a.columns;
    const int64_t at = (int64_t)first * a.columns + i;
    float v = to_float(a.product[at]);
    if (a.factor) v *= a.factor[(int64_t)client * a.columns + column];
    if (a.bias) v += to_float(a.bias[client * a.bias_group + column]);
    if (a.activation) {
        const Curve c = activate(a.activation, v);
        v = c.value;
        if (a.derivative) a.derivative[at] = to_half(c.derivative);
    }
    a.y[at] = to_half(a.accumulate ? to_float(a.y[at]) + v : v);
}
