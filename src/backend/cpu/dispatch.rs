//! Compiles an elementwise kernel for several instruction sets and picks one at run time.
//!
//! The default x86-64 target has 4-wide vectors only; on a CPU with AVX-512 the same loop is four times as wide.
//! Kernels add in lanes of a fixed number and never contract `a * b + c`, so that the width of the vectors does not
//! decide the sums. Results still differ between kinds of CPU, not between runs on one: products (`tile_x86.rs` and the
//! `gemm` crate) fuse and order their additions, and the C library picks its logarithm, by the CPU that they find.

/// Number of partial sums in every reduction: one 512-bit register of `f32`.
pub(super) const LANES: usize = 16;

/// Declares `fn name<T: Scalar>(args)`, or with one more type parameter, whose body is compiled for AVX-512, AVX2 and
/// the target's baseline.
macro_rules! vectorised {
    (
        $(#[$meta:meta])* $vis:vis fn $name:ident<$t:ident $(, $other:ident: $bound:ident)?>
        ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block
    ) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name<$t: Scalar $(, $other: $bound)?>($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn baseline<$t: Scalar $(, $other: $bound)?>($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
                fn avx512<$t: Scalar $(, $other: $bound)?>($($arg: $ty),*) $(-> $ret)? {
                    baseline::<$t $(, $other)?>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2<$t: Scalar $(, $other: $bound)?>($($arg: $ty),*) $(-> $ret)? {
                    baseline::<$t $(, $other)?>($($arg),*)
                }
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                {
                    // SAFETY: the features that the function was compiled for were just detected.
                    return unsafe { avx512::<$t $(, $other)?>($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: as above.
                    return unsafe { avx2::<$t $(, $other)?>($($arg),*) };
                }
            }
            baseline::<$t $(, $other)?>($($arg),*)
        }
    };
}
pub(super) use vectorised;
