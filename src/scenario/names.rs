//! What the modules below know by name. The only file of the reader that asks them.

use super::schema::{
    Building, Checkpoint, Fading, GlassLoss, ImageSize, LearningTask, LineOfSight, LinkLayerModel, NeighboursSend,
    Propagation, RadioFidelity, RadioSpec, UplinkPower,
};
use crate::fomo::{self, Architecture};
use crate::radio::Preset;
use crate::radio::numerology::Numerology;
use crate::radio::presets::{Duplex, presets, tdd_shares};
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

/// Whether a checkpoint is of a kind that always says itself what its model looks like.
pub(crate) fn has_configuration(checkpoint: &Checkpoint) -> bool {
    match checkpoint {
        Checkpoint::Vendored | Checkpoint::Random => false,
        Checkpoint::File(path) => path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf")),
        Checkpoint::Folder(_) => true,
    }
}

/// What the checkpoint at `path` says of its model, or why that cannot be told.
pub(crate) fn configured_architecture(path: &Path) -> Result<Architecture, String> {
    let files = fomo::ModelFiles::open(path).map_err(|e| e.to_string())?;
    let own = files.architecture().map_err(|e| e.to_string())?;
    own.ok_or_else(|| format!("{}: there is no config.json that says what the model looks like", path.display()))
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
        shadowing: true,
        line_of_sight: LineOfSight::Drawn,
        power_control: UplinkPower::Full,
        tdd_pattern: None,
        interference_margin_db: 0.0,
        neighbour_load: 0.0,
        gas_absorption: false,
        rain_mm_per_h: 0.0,
        building: Building::LowLoss,
        glass_loss: GlassLoss::Edition19,
        fidelity: RadioFidelity::Flow,
        link_layer: LinkLayerModel::Assumed,
        neighbours_send: NeighboursSend::Always,
        slot: None,
        drx: None,
        blockage: None,
    };
    Some(RadioDefaults { spec, device_tx_power_dbm: preset.ue_power_dbm })
}

/// Why a frame's pattern is refused.
pub(crate) enum BadPattern {
    /// It is no pattern; what one is.
    Shape(&'static str),
    /// The preset's directions do not share a carrier.
    Fdd,
}

/// Whether the preset `name` can follow the pattern of slots.
pub(crate) fn tdd_pattern_fits(name: &str, pattern: &str) -> Result<(), BadPattern> {
    let fdd = Preset::by_name(name).is_ok_and(|preset| preset.duplex == Duplex::Fdd);
    if fdd {
        return Err(BadPattern::Fdd);
    }
    tdd_shares(pattern).map(drop).ok_or(BadPattern::Shape("1 to 20 letters D, S, U with time for both directions"))
}

/// Whether the preset `name` shares one carrier between uplink and downlink in time.
pub(crate) fn is_tdd(name: &str) -> bool {
    Preset::by_name(name).is_ok_and(|preset| preset.duplex == Duplex::Tdd)
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DatasetFacts {
    pub task: LearningTask,
    /// `None` where the task has none.
    pub classes: Option<usize>,
    pub test_samples: usize,
    /// For images only.
    pub image: Option<ImageSize>,
    names: Vec<String>,
}

impl DatasetFacts {
    /// Whether two sets can be joined to one.
    pub fn goes_with(&self, other: &Self) -> bool {
        (self.task, self.image, &self.names) == (other.task, other.image, &other.names)
    }

    fn new(task: data::TaskKind, classes: Vec<String>, test_samples: usize, image: Option<data::ImageSize>) -> Self {
        Self {
            task: match task {
                data::TaskKind::Classification | data::TaskKind::Images => LearningTask::Classification,
                data::TaskKind::Regression => LearningTask::Regression,
                data::TaskKind::LanguageModel => LearningTask::LanguageModel,
                data::TaskKind::SequenceToSequence => LearningTask::SequenceToSequence,
            },
            classes: task.has_classes().then_some(classes.len()),
            test_samples,
            image: image.map(|i| ImageSize { side_px: i.side_px, channels: i.channels }),
            names: classes,
        }
    }
}

/// The vendored set `name` read for `task`, or for what it was made for. The error names what it serves.
pub(crate) fn dataset(name: &str, task: Option<LearningTask>) -> Result<DatasetFacts, String> {
    let set =
        data::VENDORED.iter().find(|set| set.name == name).ok_or_else(|| "nothing: it is not known".to_owned())?;
    let kind = task.map_or(set.task, |task| task.data_kind(set.image.is_some()));
    if !set.tasks().contains(&kind) {
        let served = set.tasks().iter().map(|t| if set.image.is_some() { "classification" } else { t.name() });
        return Err(served.collect::<Vec<_>>().join(", "));
    }
    let classes = if kind.has_classes() { set.classes.iter().map(|c| (*c).to_owned()).collect() } else { Vec::new() };
    Ok(DatasetFacts::new(kind, classes, set.test, set.image))
}

/// How a table is read: file, task, whether it holds images, and their size if that is written.
type TableKey = (PathBuf, LearningTask, bool, Option<ImageSize>);

/// Facts about the user's tables, each read once however often its scenario is resolved.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables(Arc<Mutex<BTreeMap<TableKey, Result<DatasetFacts, String>>>>);

impl Tables {
    /// Facts about the table at `path` read for `task`, or what is wrong with it.
    pub fn facts(
        &self,
        path: &Path,
        task: LearningTask,
        images: bool,
        image: Option<ImageSize>,
    ) -> Result<DatasetFacts, String> {
        // Whoever panicked left whole entries behind.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let read = || {
            let size = image.map(|i| data::ImageSize { side_px: i.side_px, channels: i.channels });
            let options = data::TableOptions { image: size, ..data::TableOptions::for_task(task.data_kind(images)) };
            let table = data::Dataset::from_file(path, &options).map_err(|e| e.to_string())?;
            Ok(DatasetFacts::new(table.task, table.classes, table.test.len(), table.image))
        };
        known.entry((path.to_owned(), task, images, image)).or_insert_with(read).clone()
    }
}
