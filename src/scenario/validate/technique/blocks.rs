//! Which device trains which block.

use crate::fomo::Architecture;
use crate::scenario::key_path::KeyPath;
use crate::scenario::raw;
use crate::scenario::schema::{
    AggregationSpec, BlockAllocation, BlockBandwidth, BlocksSpec, DigitalSpec, PeftSpec, TechniqueKind, TechniqueSpec,
};
use crate::scenario::validate::check::Check;

pub(super) fn blocks(raw: raw::Blocks, cells: usize) -> BlocksSpec {
    let usual = if cells > 1 { BlockBandwidth::Equal } else { BlockBandwidth::Optimal };
    BlocksSpec {
        allocation: raw.allocation.unwrap_or(BlockAllocation::Exact),
        bandwidth: raw.bandwidth.unwrap_or(usual),
    }
}

/// Notes what allocation of blocks cannot go with.
pub(super) fn blocks_fit(
    c: &mut Check,
    technique: &TechniqueSpec,
    peft: &PeftSpec,
    architecture: &Architecture,
    cells: usize,
) {
    let (Some(spec), TechniqueKind::BlockFederated) = (technique.blocks, technique.kind) else { return };
    let at = KeyPath::default().key("technique");
    let blocks = architecture.blocks();
    if !peft.trains_input() && !(0..blocks).any(|block| peft.trains_block(block, blocks)) {
        let message = "`block_federated` deals out the blocks that train, and no block has trainable parameters";
        c.conflict(at.key("kind"), message, "use `peft: {method: lora}`, or `kind: federated`");
    }
    if spec.bandwidth == BlockBandwidth::Optimal && cells > 1 {
        let message = format!("`optimal` cuts one band for all devices, and the scenario has {cells} cells");
        c.conflict(at.key("blocks").key("bandwidth"), message, "use `bandwidth: equal`, or one cell");
    }
    let aggregation = at.key("aggregation");
    match &technique.aggregation {
        AggregationSpec::Digital(spec) if *spec == DigitalSpec::default() => {}
        AggregationSpec::Digital(_) => {
            let message = "`block_federated` sends whole parameters on subbands of its own";
            c.conflict(aggregation, message, "use `aggregation: {method: digital}`, or `kind: federated`");
        }
        AggregationSpec::AirComp(_) | AggregationSpec::OneBit(_) => {
            let name = technique.aggregation.name();
            let message = format!("`{name}` adds up updates of the same parameters, and here each device has others");
            c.conflict(aggregation.key("method"), message, "use `method: digital`, or `kind: federated`");
        }
    }
}
