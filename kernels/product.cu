// Matrix products: C = epilogue(scale A B), fp16 factors, fp32 sums, of one group or of many.
//
//   nt: C[m, n] = sum_k A[m, k] B[n, k]   x W^T, the forward pass of a linear layer
//   nn: C[m, n] = sum_k A[m, k] B[k, n]   dy W, its input's gradient
//   tn: C[m, n] = sum_k A[k, m] B[k, n]   dy^T x, its weights' gradient
//
// Grid (ceil(n / T), ceil(m / T), groups), tiles of T = 64 (128 threads) or T = 128 (256 threads); a group is a client:
// its rows of a packed batch, and its own B or C. FLOPs 2 m n k. Bytes, at least: 2 (m k + k n + m n); from memory beyond the
// cache: 2 k (m ceil(n / T) + n ceil(m / T)) + 2 m n. Every element is summed by one thread in order: no atomics.
#include "product.cuh"

template <int SIDE, bool A_DEEP, bool B_DEEP, int THREADS, int WARPS_N>
struct OfWarps {
    static constexpr int T = SIDE, DEEP = DEPTH, STAGES = ::STAGES;
    using TileA = Tile<T, DEEP, A_DEEP, THREADS>;
    using TileB = Tile<T, DEEP, B_DEEP, THREADS>;
    using Sums = Accumulators<T, T, THREADS / 32 / WARPS_N, WARPS_N>;
    static DEVICE void landed() {}
    static DEVICE void add(Sums& sums, half* a, half* b) { sums.template add<TileA, TileB, DEEP>(a, b); }
};

template <bool A_DEEP, bool B_DEEP>
using Of64 = OfWarps<64, A_DEEP, B_DEEP, 128, 2>;
template <bool A_DEEP, bool B_DEEP>
using Of128 = OfWarps<128, A_DEEP, B_DEEP, 256, 4>;

KERNEL(product_nt_64, ProductArguments, 128, (SHARED<Of64<true, true>>)) { product<Of64<true, true>>(a); }
KERNEL(product_nn_64, ProductArguments, 128, (SHARED<Of64<true, false>>)) { product<Of64<true, false>>(a); }
KERNEL(product_tn_64, ProductArguments, 128, (SHARED<Of64<false, false>>)) { product<Of64<false, false>>(a); }
KERNEL(product_nt_128, ProductArguments, 256, (SHARED<Of128<true, true>>)) { product<Of128<true, true>>(a); }
KERNEL(product_nn_128, ProductArguments, 256, (SHARED<Of128<true, false>>)) { product<Of128<true, false>>(a); }
KERNEL(product_tn_128, ProductArguments, 256, (SHARED<Of128<false, false>>)) { product<Of128<false, false>>(a); }
