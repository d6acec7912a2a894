//! What the modules below know by name. The only file of the reader that asks them.

use super::schema::{Fading, Propagation, RadioSpec};
use crate::fomo::{self, Architecture};
use crate::radio::Preset;
use crate::radio::numerology::Numerology;
use crate::radio::presets::presets;
use crate::{compute, data};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) fn hardware() -> Vec<&'static str> {
    compute::names()
}

pub(crate) fn architectures() -> Vec<&'static str> {
    fomo::preset_names()
}

pub(crate) fn architecture(name: &str) -> Option<Architecture> {
    fomo::preset(name)
}

/// The architecture whose weights are part of the program.
pub(crate) const VENDORED_ARCHITECTURE: &str = "minilm-l6";

pub(crate) fn radio_presets() -> Vec<String> {
    presets().into_iter().map(|p| p.name).collect()
}

/// What a radio preset fills in.
pub(crate) struct RadioDefaults {
    pub spec: RadioSpec,
    pub device_tx_power_dbm: f64,
}

/// The defaults of the preset `name`. Fading, coherence time and implementation loss do not depend on it.
pub(crate) fn radio_preset(name: &str) -> Option<RadioDefaults> {
    let preset = Preset::by_name(name).ok()?;
    let propagation = match preset.path_loss.as_str() {
        "umi" => Propagation::Umi,
        "rma" => Propagation::Rma,
        "inh_open" => Propagation::InhOpen,
        "inh_mixed" => Propagation::InhMixed,
        "free_space" => Propagation::FreeSpace,
        _ => Propagation::Uma,
    };
    let spec = RadioSpec {
        preset: preset.name,
        carrier_ghz: preset.carrier_ghz,
        bandwidth_mhz: preset.bandwidth_mhz,
        propagation,
        fading: Fading::Rayleigh,
        // 0.423 c / (v f) at 2 m/s and 3.5 GHz, rounded (Rappaport 2002, equation 5.40.c).
        coherence_time_ms: 20.0,
        cell_tx_power_dbm: preset.gnb_power_dbm,
        cell_noise_figure_db: preset.gnb_noise_figure_db,
        device_noise_figure_db: preset.ue_noise_figure_db,
        implementation_loss_db: 3.0,
    };
    Some(RadioDefaults { spec, device_tx_power_dbm: preset.ue_power_dbm })
}

/// Whether a carrier of the preset `name` has at least one resource block in `bandwidth_mhz`; else the reason.
pub(crate) fn bandwidth_fits(name: &str, bandwidth_mhz: f64) -> Result<(), String> {
    let preset = Preset::by_name(name).map_err(|e| e.to_string())?;
    let numerology = Numerology::from_scs_khz(preset.scs_khz).map_err(|e| e.to_string())?;
    numerology.resource_blocks(preset.range, bandwidth_mhz).map(drop).map_err(|e| e.to_string())
}

pub(crate) fn datasets() -> Vec<&'static str> {
    data::VENDORED.iter().map(|set| set.name).collect()
}

/// What the reader has to know of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DatasetFacts {
    pub classes: usize,
    pub test_samples: usize,
}

/// Vendored sets hold sentences with the sign of their sentiment.
pub(crate) fn dataset(name: &str) -> Option<DatasetFacts> {
    let set = data::VENDORED.iter().find(|set| set.name == name)?;
    Some(DatasetFacts { classes: 2, test_samples: set.test })
}

/// Facts about the user's tables, each read once however often its scenario is resolved.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables(Arc<Mutex<BTreeMap<PathBuf, Result<DatasetFacts, String>>>>);

impl Tables {
    /// Facts about the table at `path`, or what is wrong with it.
    pub fn facts(&self, path: &Path) -> Result<DatasetFacts, String> {
        // Whoever panicked left whole entries behind.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let read = || match data::Dataset::from_file(path, &data::TableOptions::default()) {
            Ok(table) => Ok(DatasetFacts { classes: table.classes.len(), test_samples: table.test.len() }),
            Err(e) => Err(e.to_string()),
        };
        known.entry(path.to_owned()).or_insert_with(read).clone()
    }
}
