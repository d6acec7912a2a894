//! Numbers for people: a few significant digits, decimal prefixes (1 MB is 1,000,000 bytes).

/// `value` with `digits` significant digits, in plain notation between 0.001 and 10^7.
pub fn significant(value: f64, digits: usize) -> String {
    let plain = (1e-3..1e7).contains(&value.abs()) || !value.is_finite() || value == 0.0;
    if plain { format!("{value:.*}", decimals_for(value, digits)) } else { format!("{value:.1e}") }
}

/// What a number measures, which decides how it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    Seconds,
    Bytes,
    Joules,
    UsDollars,
    /// A share of 1.
    Accuracy,
    Count,
}

impl Quantity {
    /// `value` with its unit: `12.34 s`, `1.23 MB`, `0.812`.
    pub fn show(self, value: f64) -> String {
        self.show_with_half_width(value, None)
    }

    /// `mean ± half-width unit`, both with the mean's prefix and decimals; the mean alone without a half-width.
    pub fn show_with_half_width(self, mean: f64, half_width: Option<f64>) -> String {
        let (size, unit) = match self {
            Self::Seconds => (1.0, " s".to_owned()),
            Self::Bytes => prefix(mean, "B"),
            Self::Joules => prefix(mean, "J"),
            Self::UsDollars => (1.0, " USD".to_owned()),
            Self::Accuracy | Self::Count => (1.0, String::new()),
        };
        let mean = mean / size;
        let decimals = match self {
            Self::Accuracy => 4,
            Self::Count | Self::Bytes if mean.fract() == 0.0 => 0,
            Self::Seconds => decimals_for(mean, 4),
            _ => decimals_for(mean, 3),
        };
        let number = |v: f64| if decimals > 6 { format!("{v:.2e}") } else { format!("{v:.decimals$}") };
        match half_width {
            Some(h) => format!("{} ± {}{unit}", number(mean), number(h / size)),
            None => number(mean) + &unit,
        }
    }
}

/// Decimals after which a number of `value`'s magnitude has `digits` significant digits.
pub fn decimals_for(value: f64, digits: usize) -> usize {
    if value == 0.0 || !value.is_finite() {
        return 0;
    }
    // Rounding first decides the magnitude: 9.9996 is 10.00.
    let rounded: f64 = format!("{value:.*e}", digits.saturating_sub(1)).parse().unwrap_or(value);
    let magnitude = rounded.abs().log10().floor() as i32;
    usize::try_from(digits as i32 - 1 - magnitude).unwrap_or(0)
}

/// The decimal prefix that leaves one to three digits before the point, as its size and the unit with it.
fn prefix(value: f64, unit: &str) -> (f64, String) {
    const PREFIXES: [&str; 6] = ["", "k", "M", "G", "T", "P"];
    let rounded: f64 = format!("{:.2e}", value.abs()).parse().unwrap_or(0.0);
    let step = if rounded < 1000.0 { 0 } else { (rounded.log10() / 3.0 + 1e-9).floor() as usize };
    let step = step.min(PREFIXES.len() - 1);
    (1000f64.powi(step as i32), format!(" {}{unit}", PREFIXES[step]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_significant_and_prefixes_decimal() {
        assert_eq!(significant(0.0, 4), "0");
        assert_eq!(significant(9.99996, 4), "10.00");
        assert_eq!(significant(123456.7, 4), "123457");
        assert_eq!(significant(0.0123456, 4), "0.01235");
        assert_eq!(significant(4.2e-6, 4), "4.2e-6");
        assert_eq!(significant(f64::NAN, 4), "NaN");
        assert_eq!(Quantity::Bytes.show(999.0), "999 B");
        assert_eq!(Quantity::Bytes.show(999_999.0), "1.00 MB");
        assert_eq!(Quantity::Bytes.show(1_234_567.0), "1.23 MB");
        assert_eq!(Quantity::Joules.show(0.25), "0.250 J");
        assert_eq!(Quantity::Joules.show(52_300.0), "52.3 kJ");
        assert_eq!(Quantity::Count.show(15.0), "15");
    }

    #[test]
    fn a_half_width_takes_unit_and_decimals_of_its_mean() {
        assert_eq!(Quantity::Joules.show_with_half_width(7100.0, Some(8.23)), "7.10 ± 0.01 kJ");
        assert_eq!(Quantity::Seconds.show_with_half_width(82.6675, Some(2.4376)), "82.67 ± 2.44 s");
        assert_eq!(Quantity::Accuracy.show_with_half_width(0.81234, None), "0.8123");
    }
}
