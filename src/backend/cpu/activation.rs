//! Nonlinearities and their derivatives, as types, so that each loop over them compiles to straight code.

use super::scalar::Scalar;

/// A function of one number.
pub(super) trait Curve {
    /// Value and derivative at `x`.
    fn with_derivative<T: Scalar>(x: T) -> (T, T);

    #[inline(always)]
    fn value<T: Scalar>(x: T) -> T {
        Self::with_derivative(x).0
    }
}

pub(super) struct Gelu;
pub(super) struct GeluTanh;
pub(super) struct Silu;
pub(super) struct Relu;

impl Curve for Gelu {
    /// `x Phi(x)` and `Phi(x) + x phi(x)`.
    #[inline(always)]
    fn with_derivative<T: Scalar>(x: T) -> (T, T) {
        let (cdf, density) = x.gaussian();
        (x * cdf, cdf + x * density)
    }
}

impl Curve for GeluTanh {
    /// `x (1 + tanh u) / 2 = x sigmoid(2 u)`, `u = sqrt(2 / pi) (x + 0.044715 x^3)` (Hendrycks and Gimpel 2016, section 2):
    /// the sigmoid keeps the relative accuracy that `1 + tanh` loses on the left.
    #[inline(always)]
    fn with_derivative<T: Scalar>(x: T) -> (T, T) {
        const TWICE_SQRT_2_OVER_PI: f64 = 1.595_769_121_605_730_7;
        const CUBIC: f64 = 0.044_715;
        let square = x * x;
        let slope = T::from_f64(TWICE_SQRT_2_OVER_PI * CUBIC);
        let linear = T::from_f64(TWICE_SQRT_2_OVER_PI);
        let s = (x * (linear + slope * square)).sigmoid();
        let inner = linear + T::from_f64(3.0) * slope * square;
        (x * s, s + x * s * (T::ONE - s) * inner)
    }
}

impl Curve for Silu {
    #[inline(always)]
    fn with_derivative<T: Scalar>(x: T) -> (T, T) {
        let s = x.sigmoid();
        (x * s, s + x * s * (T::ONE - s))
    }
}

impl Curve for Relu {
    /// The derivative at 0 is 0, as everywhere in the field.
    #[inline(always)]
    fn with_derivative<T: Scalar>(x: T) -> (T, T) {
        if x > T::ZERO { (x, T::ONE) } else { (T::ZERO, T::ZERO) }
    }
}

/// Evaluates `body` with the type `curve` standing for the nonlinearity `kind`.
macro_rules! with_curve {
    ($kind:expr, $curve:ident => $body:expr) => {
        match $kind {
            $crate::backend::Activation::Gelu => {
                type $curve = $crate::backend::cpu::activation::Gelu;
                $body
            }
            $crate::backend::Activation::GeluTanh => {
                type $curve = $crate::backend::cpu::activation::GeluTanh;
                $body
            }
            $crate::backend::Activation::Silu => {
                type $curve = $crate::backend::cpu::activation::Silu;
                $body
            }
            $crate::backend::Activation::Relu => {
                type $curve = $crate::backend::cpu::activation::Relu;
                $body
            }
        }
    };
}
pub(super) use with_curve;

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest error of the f32 values and derivatives on |x| <= 9, relative to `max(1, |x|)`.
    fn largest_error<C: Curve>() -> f64 {
        (-9000..=9000).fold(0.0, |worst: f64, i| {
            let x = i as f32 * 0.001;
            let ((y, d), (exact_y, exact_d)) = (C::with_derivative(x), C::with_derivative(f64::from(x)));
            let size = f64::from(x.abs()).max(1.0);
            worst.max((f64::from(y) - exact_y).abs() / size).max((f64::from(d) - exact_d).abs() / size)
        })
    }

    #[test]
    fn f32_values_and_derivatives_agree_with_f64() {
        for (name, error) in [
            ("gelu", largest_error::<Gelu>()),
            ("gelu by tanh", largest_error::<GeluTanh>()),
            ("silu", largest_error::<Silu>()),
            ("relu", largest_error::<Relu>()),
        ] {
            // The cubic rounds the argument of the sigmoid, which the derivative multiplies by its slope.
            assert!(error < 5e-7, "{name}: {error:e}");
        }
    }

    #[test]
    fn derivatives_match_differences_and_values_their_definitions() {
        fn check<C: Curve>(definition: impl Fn(f64) -> f64) {
            for x in (-60..=60).map(|i| f64::from(i) * 0.097 + 0.001) {
                let (y, d) = C::with_derivative(x);
                assert!((y - definition(x)).abs() < 1e-14 * y.abs().max(1.0), "value at {x}");
                let h = 1e-5;
                let numeric = (C::value(x + h) - C::value(x - h)) / (2.0 * h);
                assert!((d - numeric).abs() < 1e-9, "derivative at {x}: {d} against {numeric}");
            }
        }
        let root = (2.0 / std::f64::consts::PI).sqrt();
        check::<Gelu>(|x| x * x.gaussian().0);
        check::<GeluTanh>(|x| 0.5 * x * (1.0 + (root * (x + 0.044715 * x * x * x)).tanh()));
        check::<Silu>(|x| x / (1.0 + f64::exp(-x)));
        check::<Relu>(|x| x.max(0.0));
    }
}
