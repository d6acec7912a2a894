//! Generations of radio as data: `presets.csv` says which values are standard and which are assumed.

use super::error::RadioError;
use super::numerology::SYMBOLS_PER_SLOT;
use super::tables::{FrequencyRange, ModulationTable, read_embedded};
use serde::Deserialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Duplex {
    Fdd,
    Tdd,
}

/// One row of `presets.csv`. Powers are totals over the band, gains are those of the whole antenna towards the peer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Preset {
    pub name: String,
    pub range: FrequencyRange,
    pub carrier_ghz: f64,
    /// Of each direction's carrier (FDD) or of the common one (TDD).
    pub bandwidth_mhz: f64,
    pub scs_khz: u32,
    pub duplex: Duplex,
    /// Share of time in which the direction has the carrier; both are 1 in FDD.
    pub downlink_share: f64,
    pub uplink_share: f64,
    pub gnb_power_dbm: f64,
    pub gnb_antenna_gain_dbi: f64,
    pub gnb_noise_figure_db: f64,
    pub gnb_height_m: f64,
    pub ue_power_dbm: f64,
    pub ue_antenna_gain_dbi: f64,
    pub ue_noise_figure_db: f64,
    pub ue_height_m: f64,
    pub downlink_layers: u32,
    pub uplink_layers: u32,
    pub path_loss: String,
    pub modulation: ModulationTable,
    pub downlink_overhead: f64,
    pub uplink_overhead: f64,
    /// What the row rests on.
    pub basis: String,
}

/// Symbols of downlink and uplink in a special slot; the other two are the gap.
const SPECIAL_SLOT: (u32, u32) = (10, 2);
const LONGEST_PATTERN: usize = 20;

/// Shares of time (downlink, uplink) of a pattern of slots: `D`, `U`, or `S` with 10 symbols of downlink, a gap of 2 and
/// 2 of uplink (assumed). `None` if it has other letters, more than 20, or no time for one of the directions.
pub fn tdd_shares(pattern: &str) -> Option<(f64, f64)> {
    let symbols = f64::from(SYMBOLS_PER_SLOT);
    let (mut down, mut up) = (0, 0);
    for slot in pattern.chars() {
        let (d, u) = match slot {
            'D' => (SYMBOLS_PER_SLOT, 0),
            'U' => (0, SYMBOLS_PER_SLOT),
            'S' => SPECIAL_SLOT,
            _ => return None,
        };
        (down, up) = (down + d, up + u);
    }
    let slots = pattern.len() as f64;
    let share = |n: u32| f64::from(n) / (slots * symbols);
    (pattern.len() <= LONGEST_PATTERN && down > 0 && up > 0).then(|| (share(down), share(up)))
}

/// All presets, oldest generation first.
pub fn presets() -> Vec<Preset> {
    read_embedded(include_str!("presets.csv"))
}

impl Preset {
    /// # Errors
    /// [`RadioError::UnknownName`] lists the presets.
    pub fn by_name(name: &str) -> Result<Self, RadioError> {
        let known = || presets().into_iter().map(|p| p.name).collect::<Vec<_>>().join(", ");
        presets().into_iter().find(|p| p.name == name).ok_or_else(|| RadioError::UnknownName {
            kind: "radio preset",
            name: name.to_owned(),
            known: known(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::numerology::Numerology;
    use crate::radio::pathloss;
    use crate::radio::tables::transmission_bandwidths;

    #[test]
    fn patterns_share_time() {
        let (down, up) = tdd_shares("DDDSU").unwrap();
        let fr1 = Preset::by_name("nr_fr1").unwrap();
        assert!((down - fr1.downlink_share).abs() < 1e-9 && (up - fr1.uplink_share).abs() < 1e-9);
        assert_eq!(tdd_shares("DU"), Some((0.5, 0.5)));
        for wrong in ["", "D", "UU", "DXU", "du", "DDDDDDDDDDDDDDDDDDDDU"] {
            assert_eq!(tdd_shares(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn rows_are_complete_and_on_a_standard_grid() {
        let names: Vec<String> = presets().into_iter().map(|p| p.name).collect();
        assert_eq!(names, ["lte", "nr_fr1", "nr_fr2", "6g_fr3", "6g_subthz"]);
        for p in presets() {
            assert!(pathloss::by_name(&p.path_loss).is_ok() && Numerology::from_scs_khz(p.scs_khz).is_ok());
            assert!(
                transmission_bandwidths().iter().any(|row| row.range == p.range
                    && row.scs_khz == p.scs_khz
                    && row.bandwidth_mhz == p.bandwidth_mhz),
                "{}",
                p.name
            );
            let total = p.downlink_share + p.uplink_share;
            assert!(if p.duplex == Duplex::Tdd { total <= 1.0 } else { total == 2.0 });
            assert!(!p.basis.is_empty());
        }
        assert!(Preset::by_name("5g").unwrap_err().to_string().contains("nr_fr1"));
    }
}
