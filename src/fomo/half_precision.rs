//! The two 16-bit float formats of checkpoints, widened without rounding.

/// IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits.
pub fn f16_to_f32(bits: u16) -> f32 {
    let (sign, exponent, fraction) =
        (u32::from(bits >> 15) << 31, u32::from(bits >> 10 & 0x1f), u32::from(bits & 0x3ff));
    match exponent {
        // Zero and subnormals: multiples of 2^-24, all exact in f32.
        0 => {
            let magnitude = fraction as f32 * (1.0 / 16_777_216.0);
            f32::from_bits(sign | magnitude.to_bits())
        }
        0x1f => f32::from_bits(sign | 0xff << 23 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 127 - 15) << 23 | fraction << 13),
    }
}

/// bfloat16: the upper half of a binary32.
pub fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        let half = [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_95),
            (0x7bff, 65504.0),
            (0x0400, 6.103_515_6e-5),
            (0x03ff, 6.097_555e-5),
            (0x0001, 5.960_464_5e-8),
            (0x7c00, f32::INFINITY),
        ];
        for (bits, value) in half {
            assert_eq!(f16_to_f32(bits), value, "{bits:#06x}");
        }
        assert!(f16_to_f32(0x8000).is_sign_negative() && f16_to_f32(0x7e00).is_nan());
        assert_eq!((bf16_to_f32(0x3f80), bf16_to_f32(0xc049)), (1.0, -3.140_625));
    }

    /// Neighbours in the encoding are neighbours in value, over all finite positive numbers.
    #[test]
    fn widening_keeps_the_order() {
        assert!((0..0x7c00u16).all(|b| f16_to_f32(b) < f16_to_f32(b + 1)));
    }
}
