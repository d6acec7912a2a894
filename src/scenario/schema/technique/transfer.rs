//! Prompts that go from device to device.

use super::ensemble::KeyLayer;
use crate::radio::sidelink::{Environment, SidelinkConfig};
use crate::radio::{Preset, RadioError};
use crate::scenario::schema::RadioSpec;
use serde::{Deserialize, Serialize};

/// `technique.transfer` of `prompt_transfer`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TransferSpec {
    /// Rounds in which the donors tune, before the newcomers start.
    pub donor_rounds: usize,
    /// Numbers of the devices that start late, ascending; the rest are donors.
    pub newcomers: Vec<usize>,
    pub choose: DonorChoice,
    /// `None` without a donor, as is `sidelink`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carries: Option<Carried>,
    /// Where tasks' keys are read; for the choices by similarity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyLayer>,
    /// Training samples behind a key; for the choices by similarity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_samples: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sidelink: Option<SidelinkSpec>,
    /// Accuracy of the newcomers up to which rounds, seconds and joules are compared with a cold start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_accuracy: Option<f64>,
}

/// Whose prompt a newcomer starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DonorChoice {
    /// The neighbour whose task's key is nearest to one's own.
    MostSimilar,
    /// The farthest: what transfer can harm.
    LeastSimilar,
    /// The neighbour next door.
    Nearest,
    Random,
    /// Nobody's: a cold start.
    None,
}

impl DonorChoice {
    /// Whether neighbours' keys decide.
    pub fn reads_keys(self) -> bool {
        matches!(self, Self::MostSimilar | Self::LeastSimilar)
    }
}

/// What a donor sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Carried {
    /// The newcomer keeps a head of its own, untrained.
    Prompt,
    PromptAndHead,
}

/// Radio between devices, TR 37.885. Powers, noise figures, fading and receivers are those of `devices` and `radio`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SidelinkSpec {
    pub environment: SidelinkEnvironment,
    pub carrier_ghz: f64,
    pub bandwidth_mhz: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SidelinkEnvironment {
    Urban,
    Highway,
}

impl SidelinkSpec {
    /// The same in the terms of the radio plane, with the receivers of `radio`.
    ///
    /// # Errors
    /// If the radio's preset is not known.
    pub fn config(&self, radio: &RadioSpec) -> Result<SidelinkConfig, RadioError> {
        Ok(SidelinkConfig {
            environment: self.environment.of_radio(),
            carrier_ghz: self.carrier_ghz,
            bandwidth_mhz: self.bandwidth_mhz,
            antenna_gain_dbi: Preset::by_name(&radio.preset)?.ue_antenna_gain_dbi,
            noise_figure_db: radio.device_noise_figure_db,
            implementation_loss_db: radio.implementation_loss_db,
        })
    }
}

impl SidelinkEnvironment {
    /// The same in the terms of the radio plane.
    pub fn of_radio(self) -> Environment {
        match self {
            Self::Urban => Environment::Urban,
            Self::Highway => Environment::Highway,
        }
    }
}
