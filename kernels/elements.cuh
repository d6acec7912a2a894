// For kernels with a thread for each element of an array: grid (ceil(elements / THREADS)).
#pragma once
#include "primitives.cuh"

constexpr int THREADS = 256;
// This thread's.
DEVICE int64_t element() { return (int64_t)blockIdx.x * THREADS + thread_index(); }
