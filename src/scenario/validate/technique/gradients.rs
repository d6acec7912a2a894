//! Gradients that the edge computes for devices.

use crate::fomo::Architecture;
use crate::scenario::key_path::KeyPath;
use crate::scenario::raw;
use crate::scenario::schema::{GradientsSpec, PeftSpec, TechniqueSpec};
use crate::scenario::validate::check::Check;

pub(super) fn gradients(
    c: &mut Check,
    at: &KeyPath,
    raw: raw::Gradients,
    architecture: Option<&Architecture>,
) -> GradientsSpec {
    let most = architecture.map_or(0, Architecture::blocks);
    let reason = architecture.map_or(String::new(), |a| format!("{} has {most} blocks", a.name));
    GradientsSpec {
        device_blocks: c.count_because(at, "device_blocks", raw.device_blocks, 0, 0..=most, &reason),
        projection_dimension: raw
            .projection_dimension
            .map(|written| c.count(at, "projection_dimension", Some(written), 1, 1..=1_000_000_000)),
    }
}

/// Notes where the edge could not compute a gradient that devices need.
pub(super) fn gradients_fit(c: &mut Check, technique: &TechniqueSpec, peft: &PeftSpec, architecture: &Architecture) {
    let Some(spec) = technique.gradients else { return };
    let at = KeyPath::default().key("technique");
    let blocks = architecture.blocks();
    if peft.trains_input() {
        let message = "the edge gets embedded inputs and finds no gradient of what trains before the first block";
        c.conflict(at.key("kind"), message, "use a method that trains blocks, such as `peft: {method: lora}`");
    } else if let Some(lowest) = (0..spec.device_blocks).find(|&block| peft.trains_block(block, blocks)) {
        let message = format!("block {lowest} would run on the device, but it trains and needs its gradient");
        let help = format!("use at most {lowest}, or train later blocks: for example, peft.blocks: {{last: 1}}");
        c.conflict(at.key("gradients").key("device_blocks"), message, &help);
    }
}
