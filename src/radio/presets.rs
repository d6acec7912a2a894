//! Generations of radio as data: `presets.csv` says which values are standard and which are assumed.

use super::error::RadioError;
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
