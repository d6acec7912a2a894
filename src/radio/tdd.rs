//! Which symbols of which slot belong to the downlink, to the uplink and to the gap between them.

use super::cell::Direction;
use super::error::RadioError;
use super::numerology::SYMBOLS_PER_SLOT;
use super::presets::Duplex;

/// A repeating pattern of downlink (D), special (S) and uplink (U) slots: TDD-UL-DL-Pattern of TS 38.213 clause 11.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TddPattern {
    slots: Vec<[u32; 2]>,
}

/// How the symbols of a special slot are split; what is left of 14 is the gap in which terminals turn round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialSlot {
    pub downlink_symbols: u32,
    pub uplink_symbols: u32,
}

impl Default for SpecialSlot {
    /// 10 : 2 : 2.
    fn default() -> Self {
        Self { downlink_symbols: 10, uplink_symbols: 2 }
    }
}

impl Default for TddPattern {
    /// DDDSU with 10, 2 and 2 symbols of downlink, gap and uplink in S: what the presets' shares of time come from.
    fn default() -> Self {
        let special = SpecialSlot::default();
        let whole = [SYMBOLS_PER_SLOT, 0];
        let s = [special.downlink_symbols, special.uplink_symbols];
        Self { slots: vec![whole, whole, whole, s, [0, SYMBOLS_PER_SLOT]] }
    }
}

impl TddPattern {
    /// # Errors
    /// [`RadioError::TddPattern`] for another letter, a pattern without symbols of both directions, or a special slot
    /// of more than 14 symbols.
    pub fn new(letters: &str, special: SpecialSlot) -> Result<Self, RadioError> {
        let refused = |reason: &str| RadioError::TddPattern { pattern: letters.to_owned(), reason: reason.to_owned() };
        if special.downlink_symbols + special.uplink_symbols > SYMBOLS_PER_SLOT {
            return Err(refused("a special slot has 14 symbols in all"));
        }
        let of = |letter: char| match letter {
            'D' => Ok([SYMBOLS_PER_SLOT, 0]),
            'S' => Ok([special.downlink_symbols, special.uplink_symbols]),
            'U' => Ok([0, SYMBOLS_PER_SLOT]),
            _ => Err(refused("write one letter a slot: D, S or U")),
        };
        let slots = letters.chars().map(of).collect::<Result<Vec<_>, _>>()?;
        let has = |way: usize| slots.iter().any(|slot| slot[way] > 0);
        if !(has(0) && has(1)) {
            return Err(refused("both directions need symbols"));
        }
        Ok(Self { slots })
    }

    pub fn symbols(&self, slot: u64, direction: Direction) -> u32 {
        let symbols = self.slots[(slot % self.slots.len() as u64) as usize];
        symbols[usize::from(direction == Direction::Uplink)]
    }

    /// Share of all symbols that are the direction's.
    pub fn share(&self, direction: Direction) -> f64 {
        let of_pattern: u32 = (0..self.slots.len() as u64).map(|slot| self.symbols(slot, direction)).sum();
        f64::from(of_pattern) / (self.slots.len() as f64 * f64::from(SYMBOLS_PER_SLOT))
    }
}

/// The frame of a carrier: every slot in both directions (FDD), or a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Fdd,
    Tdd(TddPattern),
}

impl Frame {
    pub fn of(duplex: Duplex) -> Self {
        match duplex {
            Duplex::Fdd => Self::Fdd,
            Duplex::Tdd => Self::Tdd(TddPattern::default()),
        }
    }

    /// Symbols that `direction` has in slot number `slot`.
    pub fn symbols(&self, slot: u64, direction: Direction) -> u32 {
        match self {
            Self::Fdd => SYMBOLS_PER_SLOT,
            Self::Tdd(pattern) => pattern.symbols(slot, direction),
        }
    }

    /// Slots after which it repeats.
    pub fn period(&self) -> u64 {
        match self {
            Self::Fdd => 1,
            Self::Tdd(pattern) => pattern.slots.len() as u64,
        }
    }

    /// The first slot from `slot` on in which `direction` has symbols.
    pub fn next_slot(&self, slot: u64, direction: Direction) -> u64 {
        let mut slot = slot;
        while self.symbols(slot, direction) == 0 {
            slot += 1;
        }
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::presets::presets;

    #[test]
    fn the_default_pattern_has_the_presets_shares() {
        for preset in presets().iter().filter(|p| p.duplex == Duplex::Tdd) {
            let pattern = TddPattern::default();
            assert_eq!(pattern, TddPattern::new("DDDSU", SpecialSlot::default()).unwrap());
            assert!((pattern.share(Direction::Downlink) - preset.downlink_share).abs() < 1e-11);
            assert!((pattern.share(Direction::Uplink) - preset.uplink_share).abs() < 1e-11);
        }
    }

    #[test]
    fn patterns_that_are_none_are_refused() {
        let refused = |letters: &str, downlink_symbols, uplink_symbols| {
            TddPattern::new(letters, SpecialSlot { downlink_symbols, uplink_symbols }).unwrap_err().to_string()
        };
        assert!(refused("DDXU", 10, 2).contains("D, S or U"));
        assert!(refused("DDDD", 10, 2).contains("both directions"));
        assert!(refused("DDDS", 10, 0).contains("both directions"));
        assert!(refused("DSU", 10, 6).contains("14 symbols"));
        assert!(refused("", 10, 2).contains("both directions"));
    }

    #[test]
    fn the_next_slot_of_a_direction_is_found() {
        let frame = Frame::Tdd(TddPattern::default());
        let next = |slot| (frame.next_slot(slot, Direction::Downlink), frame.next_slot(slot, Direction::Uplink));
        assert_eq!([next(0), next(3), next(4)], [(0, 3), (3, 3), (5, 4)]);
        assert_eq!(Frame::Fdd.next_slot(7, Direction::Uplink), 7);
    }
}
