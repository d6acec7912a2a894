//! Ticks at round numbers, and the unit in which a time axis reads well.

/// Tick positions and the decimals their labels need.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ticks {
    pub values: Vec<f64>,
    decimals: usize,
    /// Words in place of the numbers; empty for none.
    names: Vec<String>,
}

impl Ticks {
    /// About `count` multiples of 1, 2 or 5 times a power of ten that lie within `[min, max]`.
    pub fn within(min: f64, max: f64, count: usize) -> Self {
        let step = round_step((max - min) / count.max(1) as f64);
        let (first, last) = ((min / step - 1e-9).ceil() as i64, (max / step + 1e-9).floor() as i64);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        Self { values: (first..=last).map(|k| k as f64 * step).collect(), decimals, names: vec![] }
    }

    /// Whole numbers only, for counts such as rounds.
    pub fn whole(min: f64, max: f64, count: usize) -> Self {
        let fine = Self::within(min, max, count);
        if fine.decimals == 0 && fine.values.len() > 1 {
            return fine;
        }
        Self {
            values: (min.ceil() as i64..=max.floor() as i64).map(|v| v as f64).collect(),
            decimals: 0,
            names: vec![],
        }
    }

    /// Words at the places 0, 1, ...
    pub fn named(names: Vec<String>) -> Self {
        Self { values: (0..names.len()).map(|k| k as f64).collect(), decimals: 0, names }
    }

    /// Of an axis of decimal logarithms from `min` to `max`: powers of ten, or 1, 2, 5 times them where there are few.
    pub fn powers(min: f64, max: f64) -> Self {
        let factors: &[f64] = if max - min > 2.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let (first, last) = (min.floor() as i32, max.ceil() as i32);
        let all = (first..=last).flat_map(|p| factors.iter().map(move |f| f * 10f64.powi(p)));
        let inside: Vec<f64> = all.filter(|v| (min..=max).contains(&v.log10())).collect();
        let names = inside.iter().map(|v| format!("{v}")).collect();
        Self { values: inside.iter().map(|v| v.log10()).collect(), decimals: 0, names }
    }

    pub fn labels(&self) -> Vec<String> {
        if !self.names.is_empty() {
            return self.names.clone();
        }
        self.values.iter().map(|v| format!("{v:.*}", self.decimals).replace("-", "\u{2212}")).collect()
    }
}

/// The smallest of 1, 2, 5 times a power of ten that is not below `raw` > 0.
fn round_step(raw: f64) -> f64 {
    let power = 10f64.powf(raw.max(f64::MIN_POSITIVE).log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|f| f * power >= raw * (1.0 - 1e-9)).unwrap_or(10.0);
    factor * power
}

/// `[low, high]` widened by `share` of its length on each side, and to some length where it has none.
pub(super) fn padded(low: f64, high: f64, share: f64) -> (f64, f64) {
    let length = if high > low { high - low } else { low.abs().max(1e-3) * 0.2 };
    (low - share * length, high + share * length)
}

/// A unit and how many of the base unit it is.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::results) struct Unit {
    pub name: String,
    pub size: f64,
}

/// The unit for an axis that ends at `seconds`.
pub(in crate::results) fn time_unit(seconds: f64) -> Unit {
    let units = [("d", 86_400.0, 4.0), ("h", 3600.0, 3.0), ("min", 60.0, 10.0), ("s", 1.0, 0.5), ("ms", 1e-3, 0.5)];
    let fitting = units.into_iter().find(|(_, size, least)| seconds >= size * least);
    let (name, size) = fitting.map_or(("\u{b5}s", 1e-6), |(name, size, _)| (name, size));
    Unit { name: name.to_owned(), size }
}

/// The decimal prefix for an axis of `unit`s (`"B"`, `"J"`) that ends at `value`.
pub(in crate::results) fn prefixed_unit(value: f64, unit: &str) -> Unit {
    let prefixes = [("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0), ("m", 1e-3)];
    let fitting = prefixes.into_iter().find(|(_, size)| value >= 0.8 * size).unwrap_or(("", 1.0));
    Unit { name: format!("{}{unit}", fitting.0), size: fitting.1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let ticks = Ticks::within(0.48, 0.83, 5);
        assert_eq!(ticks.labels(), ["0.5", "0.6", "0.7", "0.8"]);
        assert_eq!(Ticks::within(0.0, 100.0, 5).labels(), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(Ticks::within(0.0, 0.012, 4).labels(), ["0.000", "0.005", "0.010"]);
        assert_eq!(Ticks::whole(1.0, 3.0, 8).labels(), ["1", "2", "3"]);
        assert_eq!(Ticks::whole(0.4, 1.6, 12).labels(), ["1"]);
    }

    #[test]
    fn an_interval_without_length_is_given_one() {
        let (low, high) = padded(0.5, 0.5, 0.1);
        assert!(low < 0.5 && high > 0.5);
        assert!(padded(0.0, 0.0, 0.1).1 > 0.0);
    }

    #[test]
    fn units_follow_the_magnitude() {
        assert_eq!(time_unit(45.0).name, "s");
        assert_eq!(time_unit(0.02).name, "ms");
        assert_eq!(time_unit(1200.0).name, "min");
        assert_eq!(time_unit(20_000.0).name, "h");
        assert_eq!(prefixed_unit(2.5e7, "B"), Unit { name: "MB".to_owned(), size: 1e6 });
    }
}
