//! What a task is, as one identity.

use crate::fomo::ModelFiles;
use crate::learning::LearningError;
use crate::learning::engine::Rule;
use crate::learning::identity::{Identity, IdentityBuilder};
use crate::learning::library::{BackboneKey, LoadedDataset};
use crate::nn::ParameterLayout;
use crate::random::Streams;
use crate::scenario::Scenario;

/// Whatever the numbers depend on: model, trainable parameters, data and who holds it, optimiser, streams, machine.
pub(super) fn identify(
    scenario: &Scenario,
    backbone: &BackboneKey,
    layout: &ParameterLayout,
    dataset: &LoadedDataset,
    shares: &[Vec<usize>],
    rule: &Rule,
    streams: Streams,
) -> Result<Identity, LearningError> {
    let mut b = IdentityBuilder::new("task")
        .text(&format!("{backbone:?}"))
        .text(&format!("{:?} {:?}", layout.methods(), layout.objective()))
        .text(&format!("{rule:?}"))
        .text(&instruction_set())
        .word(layout.len() as u64)
        .word(scenario.workload.batch_size as u64)
        .word(scenario.technique.devices_per_round as u64)
        .word(streams.seed())
        .word(streams.replication());
    if let Some(path) = backbone.checkpoint.path() {
        // Size and time of its files: enough to notice that a checkpoint was replaced, without reading gigabytes.
        b = b.text(&format!("{:?}", ModelFiles::open(path)?.stamp()));
    }
    for byte in dataset.tokens.digest() {
        b = b.word(u64::from(byte));
    }
    for share in shares {
        b = share.iter().fold(b.word(share.len() as u64), |b, i| b.word(*i as u64));
    }
    Ok(b.finish())
}

/// Matrix products add in an order that depends on the kind of CPU, so a cache that moves between kinds must miss.
fn instruction_set() -> String {
    #[cfg(target_arch = "x86_64")]
    {
        let has =
            [is_x86_feature_detected!("avx512f"), is_x86_feature_detected!("avx2"), is_x86_feature_detected!("fma")];
        format!("x86_64 {has:?}")
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::env::consts::ARCH.to_owned()
}
