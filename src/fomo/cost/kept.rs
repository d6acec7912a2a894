//! How many of several things a share of them is.

/// `ceil(fraction of)`, at least one of any.
pub fn kept(fraction: f64, of: u64) -> u64 {
    ((fraction * of as f64).ceil() as u64).clamp(of.min(1), of)
}

#[cfg(test)]
mod tests {
    use super::kept;

    #[test]
    fn a_part_is_rounded_up_and_never_nothing() {
        assert_eq!([kept(0.5, 16), kept(0.5, 17), kept(1e-9, 5), kept(1.0, 7), kept(0.3, 0)], [8, 9, 1, 7, 0]);
    }
}
