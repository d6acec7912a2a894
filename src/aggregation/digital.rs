//! Digital aggregation: each device's parameters arrive without error, the edge takes their weighted mean.
//!
//! McMahan et al. 2017 (arXiv 1602.05629), eq. of algorithm 1: w = sum_k n_k / n w_k, n_k the samples of device k.
//! Low-rank pairs may be averaged as products instead of factor by factor.

use super::{Delivery, client_of};
use crate::learning::{Combination, Learning};
use crate::scenario::Averaging;

pub(super) fn weighted_mean(learn: &Learning, averaging: Averaging, updates: &[Delivery]) -> Combination {
    let samples: Vec<f64> = updates.iter().map(|u| learn.samples(client_of(u.device))).collect();
    let total: f64 = samples.iter().sum();
    let weights = samples.iter().map(|n| n / total).collect();
    match averaging {
        Averaging::Plain => Combination::Mean { weights },
        Averaging::Refactored => Combination::MeanOfProducts { weights },
    }
}
