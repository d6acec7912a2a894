// Sums over the rows of each client: gradients of biases, gains, shifts, (IA)3 factors, magnitudes.
//
//   out[client, c] += factor sum_r a[r, c] b[r, c]      (b = 1 if null)
//
// A tree of fixed shape, so the same bytes every run, whatever else is in the batch: a block sums runs of 256 rows of 32
// columns, 8 rows at a time, its warps' sums are added in order, and `reduce_finish` adds the runs in order. Grid
// (ceil(columns / 32), runs of the longest client, clients), then (ceil(columns / 256), clients). Reads 2 or 4 bytes an
// element once.
#include "primitives.cuh"

constexpr int RUN = 256, WARPS = 8;

struct ReduceArguments {
    const half* a;
    const half* b;       // or null
    float* partial;      // [clients, runs, columns]
    const int* offsets;  // first row of each client and one more
    int columns, a_row, b_row, runs;
};

KERNEL(reduce_runs, ReduceArguments, WARPS * 32, WARPS * 32 * 4) {
    float* sums = shared_memory<float>();
    const int client = blockIdx.z, column = blockIdx.x * 32 + lane_index();
    const int start = a.offsets[client] + blockIdx.y * RUN, end = least(start + RUN, a.offsets[client + 1]);
    float sum = 0.0f;
    if (column < a.columns)
        for (int r = start + warp_index(); r < end; r += WARPS) {
            const float x = to_float(a.a[(int64_t)r * a.a_row + column]);
            sum += a.b ? x * to_float(a.b[(int64_t)r * a.b_row + column]) : x;
        }
    sums[thread_index()] = sum;
    __syncthreads();
    if (warp_index() == 0 && column < a.columns) {
        for (int w = 1; w < WARPS; w++) sum += sums[w * 32 + lane_index()];
        a.partial[((int64_t)client * a.runs + blockIdx.y) * a.columns + column] = sum;
    }
}

struct ReduceFinishArguments {
    const float* partial;
    const float* weight;  // [clients, weight_group]: multiplies each column's sum, or null
    float* out;
    const int* offsets;
    int64_t out_group, weight_group;
    int columns, runs;
    float factor;
    int unused;
};

KERNEL(reduce_finish, ReduceFinishArguments, 256, 0) {
    const int client = blockIdx.y, column = blockIdx.x * 256 + thread_index();
    if (column >= a.columns) return;
    const int runs = ceil_div(a.offsets[client + 1] - a.offsets[client], RUN);
    float sum = 0.0f;
    for (int r = 0; r < runs; r++) sum += a.partial[((int64_t)client * a.runs + r) * a.columns + column];
    if (a.weight) sum *= a.weight[client * a.weight_group + column];
    a.out[client * a.out_group + column] += a.factor * sum;
}
