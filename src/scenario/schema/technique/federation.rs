//! How federated devices train, how their updates move the model, and who waits for whom.

use serde::{Deserialize, Serialize};

/// What bends a device's local steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LocalSpec {
    /// FedProx: weight mu of the proximal term mu / 2 |w - w_global|^2; 0 for none.
    pub proximal_mu: f64,
    pub correction: Correction,
}

/// What is added to local gradients against the drift of clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    #[default]
    None,
    /// Control variates (Karimireddy et al. 2020, option II).
    Scaffold,
}

/// What the mean of several devices' low-rank pairs is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Averaging {
    /// The mean of each factor alone.
    #[default]
    Plain,
    /// The mean of the products B A, taken apart again into factors of the rank that they had.
    Refactored,
}

/// The optimiser at the server, for which the round's combined update is a gradient (Reddi et al. 2021).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "optimizer")]
pub enum ServerSpec {
    /// The combined model is the next one.
    #[default]
    Mean,
    /// FedAvgM (Hsu et al. 2019).
    Momentum {
        learning_rate: f64,
        beta1: f64,
    },
    Adam {
        learning_rate: f64,
        beta1: f64,
        beta2: f64,
        /// Adaptivity: added to the root of the second moment.
        tau: f64,
    },
    Yogi {
        learning_rate: f64,
        beta1: f64,
        beta2: f64,
        tau: f64,
    },
    Adagrad {
        learning_rate: f64,
        beta1: f64,
        tau: f64,
    },
}

/// Who waits for whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum SynchronySpec {
    /// The server waits for all devices of a round.
    #[default]
    Synchronous,
    /// The server waits for `buffer` updates, whichever come first (FedBuff, Nguyen et al. 2022).
    SemiAsynchronous { buffer: usize, staleness: StalenessSpec },
    /// Every arrival moves the model (FedAsync, Xie et al. 2019).
    Asynchronous {
        /// Share of a fresh update in the next model, in (0, 1].
        mixing: f64,
        staleness: StalenessSpec,
    },
}

/// Weight s(t) of an update that started t server updates ago.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum StalenessSpec {
    /// 1 at any age.
    Constant,
    /// (1 + t)^-exponent.
    Polynomial { exponent: f64 },
}

impl SynchronySpec {
    /// As scenarios write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Synchronous => "synchronous",
            Self::SemiAsynchronous { .. } => "semi_asynchronous",
            Self::Asynchronous { .. } => "asynchronous",
        }
    }

    /// Updates that move the model once, of `devices` at work.
    pub fn updates_a_round(&self, devices: usize) -> usize {
        match self {
            Self::Synchronous => devices,
            Self::SemiAsynchronous { buffer, .. } => *buffer,
            Self::Asynchronous { .. } => 1,
        }
    }

    pub fn is_synchronous(&self) -> bool {
        *self == Self::Synchronous
    }
}

impl StalenessSpec {
    /// The weight of an update that started `age` server updates ago; 1 for a fresh one.
    pub fn weight(&self, age: usize) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Polynomial { exponent } => (1.0 + age as f64).powf(-exponent),
        }
    }
}

/// Whether a section says nothing: such a one is not written out.
pub(super) fn is_default<T: Default + PartialEq>(section: &T) -> bool {
    *section == T::default()
}
