//! Block allocation: devices hold the whole model, each trains one block of it.
//!
//! Wu, Chen, Huang 2024 (arXiv 2407.09873; abstract only). Every device runs the whole forward pass, but its gradient
//! travels only from the head down to the block that it was allocated: who is slow, short of memory or far from the
//! cell gets a block near the output. Blocks and uplink bandwidth are dealt out together, each round anew. The head, where
//! every gradient passes, is trained by all. Crosses the air: the parameters of a device's block and of the head, and
//! down whatever changed since the device last took part.

use super::block_allocation::{self, Problem};
use super::{Measured, Run};
use crate::aggregation::{Delivery, client_of};
use crate::fomo::Part;
use crate::learning::{Combination, LearningError, StateHandle, StepOptions};
use crate::nn::{Owner, ParameterLayout};
use crate::world::{Content, DeviceId, Lost};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

pub(super) async fn play(run: &Run<'_>) -> Result<(), LearningError> {
    let Some(spec) = run.plan.blocks else { return Ok(()) };
    let blocks = run.world.demand().trainable_blocks();
    let copies = RefCell::new(Copies::new(run, &blocks));
    let mut global = run.learn.initial();
    for round in 0..run.plan.rounds {
        let Some(devices) = run.begin_round(round) else { break };
        let problem = problem(run, round, &devices, &blocks);
        let mut draw = run.world.round_stream("blocks");
        let plan = block_allocation::allocate(&problem, spec.allocation, spec.bandwidth, round, &mut draw);
        let mut allocated = BTreeMap::new();
        for (i, &device) in devices.iter().enumerate() {
            let Some(depth) = plan.depths[i] else { continue };
            allocated.insert(device, blocks[depth]);
            run.world.reserve_uplink(device, Some(share(run, &devices, device, plan.parts[i], problem.parts())));
        }
        run.measure("planned_round_seconds", Measured::Number(plan.seconds));
        let updates = run
            .gather(&devices, |device| {
                device_round(run, round, device, allocated.get(&device).copied(), &copies, global)
            })
            .await;
        devices.iter().for_each(|device| run.world.reserve_uplink(*device, None));
        run.world.synchronise_servers().await;
        global = combine(run, global, &updates, &allocated);
        let trained: Vec<Part> = updates.iter().map(|u| allocated[&u.device]).collect();
        let changed = blocks.iter().filter(|block| trained.contains(block)).count();
        run.measure("blocks_trained", Measured::Number(changed as f64));
        copies.borrow_mut().note_change(&trained);
        if run.end_round(round, &[global], &updates)?.is_last() {
            break;
        }
    }
    Ok(())
}

/// What the allocation of a round depends on. Channels count as they are without fading, which no plan can foresee.
fn problem(run: &Run<'_>, round: usize, devices: &[DeviceId], blocks: &[Part]) -> Problem {
    let (world, demand) = (run.world, run.world.demand());
    let parts = world.uplink_resource_blocks().max(devices.len());
    let compute = |device: DeviceId, block: Part| {
        if !world.block_fits(device, block) {
            return f64::INFINITY;
        }
        let batches = run.steps_of(round).map(|step| run.learn.batch_shape(client_of(device), step));
        batches.map(|batch| world.block_step_seconds(device, block, &batch)).sum()
    };
    let rates = |device: DeviceId| {
        // Link adaptation may lose a little to a wider band; whoever has it can leave some of it empty.
        let mut best = 0.0;
        let mut at_best = |n| {
            best = f64::max(best, world.typical_uplink_rate(device, share(run, devices, device, n, parts)));
            best
        };
        (1..=parts).map(&mut at_best).collect()
    };
    Problem {
        compute_seconds: devices.iter().map(|&d| blocks.iter().map(|&b| compute(d, b)).collect()).collect(),
        update_bits: blocks.iter().map(|&b| 8.0 * demand.block_update_bytes(b) as f64).collect(),
        rates: devices.iter().map(|&d| rates(d)).collect(),
    }
}

/// The share of its cell's band that `part` of `parts` is: with several cells each is cut among its own devices.
fn share(run: &Run<'_>, devices: &[DeviceId], device: DeviceId, part: usize, parts: usize) -> f64 {
    let crowd = devices.len() as f64 / run.world.sharers_of_cell(device, devices) as f64;
    (part as f64 / parts as f64 * crowd).min(1.0)
}

async fn device_round(
    run: &Run<'_>,
    round: usize,
    device: DeviceId,
    block: Option<Part>,
    copies: &RefCell<Copies>,
    global: StateHandle,
) -> Result<Delivery, Lost> {
    // Who cannot send on all of the band gets no block.
    let block = block.ok_or(Lost::LinkOutage)?;
    let stale = copies.borrow().stale_bytes(run, device);
    run.world.download(device, stale, Content::Adapters).await?;
    copies.borrow_mut().note_copy(device);
    let options = StepOptions { trained: trained(run, block), ..StepOptions::default() };
    let mut update = Delivery::starting_from(device, global);
    for step in run.steps_of(round) {
        run.world.train_block_on_device(device, block, &run.learn.batch_shape(client_of(device), step)).await?;
        update.step_with(run.learn, client_of(device), step, options.clone());
    }
    run.world.upload(device, run.world.demand().block_update_bytes(block), Content::Adapters).await?;
    Ok(update)
}

/// What changes on a device that trains `block`; `None` where that is all there is.
fn trained(run: &Run<'_>, block: Part) -> Option<Vec<Range<usize>>> {
    let layout = run.learn.layout()?;
    let trained = ranges(layout, &[block, Part::Head]);
    (trained.iter().map(Range::len).sum::<usize>() < layout.len()).then_some(trained)
}

/// Each block becomes the mean of those that trained it, the head the mean of all, weighted by samples; the rest stays.
fn combine(
    run: &Run<'_>,
    global: StateHandle,
    updates: &[Delivery],
    allocated: &BTreeMap<DeviceId, Part>,
) -> StateHandle {
    let (Some(layout), false) = (run.learn.layout(), updates.is_empty()) else { return global };
    let mean_of = |counts: &dyn Fn(DeviceId) -> bool| {
        let samples = |u: &Delivery| if counts(u.device) { run.learn.samples(client_of(u.device)) } else { 0.0 };
        let total: f64 = updates.iter().map(samples).sum();
        Combination::Mean { weights: updates.iter().map(|u| samples(u) / total).collect() }
    };
    let mut trained: Vec<Part> = updates.iter().map(|u| allocated[&u.device]).collect();
    trained.sort_unstable();
    trained.dedup();
    let mut parts = vec![];
    // Where all trained the same, block and head are combined alike.
    if let &[block] = &trained[..] {
        parts.push((ranges(layout, &[block, Part::Head]), mean_of(&|_| true)));
    } else {
        let of_block = |&block: &Part| (ranges(layout, &[block]), mean_of(&|device| allocated[&device] == block));
        parts.extend(trained.iter().map(of_block));
        parts.push((ranges(layout, &[Part::Head]), mean_of(&|_| true)));
    }
    parts.retain(|(ranges, _)| !ranges.is_empty());
    let states: Vec<StateHandle> = updates.iter().map(|u| u.state).collect();
    run.learn.combine_parts(global, &states, parts)
}

/// Where the parameters of `parts` lie.
fn ranges(layout: &ParameterLayout, parts: &[Part]) -> Vec<Range<usize>> {
    let part_of = |owner| match owner {
        Owner::Input => Part::Embedding,
        Owner::Block(block) => Part::Block(block),
        Owner::Head => Part::Head,
    };
    layout.ranges_of(|owner| parts.contains(&part_of(owner)))
}

/// Which version of each part the edge has, and up to which each device has them.
struct Copies {
    version: u64,
    changed: BTreeMap<Part, u64>,
    held: Vec<u64>,
}

impl Copies {
    /// Nobody has the initial parameters.
    fn new(run: &Run<'_>, blocks: &[Part]) -> Self {
        let changed = blocks.iter().chain(&[Part::Head]).map(|part| (*part, 1)).collect();
        Self { version: 1, changed, held: vec![0; run.world.device_count()] }
    }

    /// Bytes of what changed since `device` last got a copy.
    fn stale_bytes(&self, run: &Run<'_>, device: DeviceId) -> u64 {
        let stale = self.changed.iter().filter(|(_, version)| **version > self.held[device.index()]);
        stale.map(|(part, _)| run.world.demand().part_bytes(*part)).sum()
    }

    fn note_copy(&mut self, device: DeviceId) {
        self.held[device.index()] = self.version;
    }

    /// The blocks `trained` have changed, and the head with them.
    fn note_change(&mut self, trained: &[Part]) {
        self.version += 1;
        for part in trained.iter().chain((!trained.is_empty()).then_some(&Part::Head)) {
            self.changed.insert(*part, self.version);
        }
    }
}
