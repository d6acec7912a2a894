//! One training step of a device with the edge through the cut layer, in each of the shapes that a cut can have.
//!
//! Plain (Gupta and Raskar 2018, arXiv 1810.06060): activations and labels up, gradient down. The same authors' U shape
//! keeps labels and head on the device. With a frozen device side nothing comes back (Ma et al. 2025, SplitFrozen, arXiv
//! 2503.18986); then the edge may also keep activations, so that a sample's cross once. Micro-batches overlap computing
//! and transmission. What compression or an analog channel does to the numbers is returned as options of the local step.

use super::{Measured, Run};
use crate::aggregation::client_of;
use crate::fomo::BatchShape;
use crate::learning::{Cut, Distortion, StepOptions};
use crate::scenario::{
    CutChannel, CutCompression, CutSpec, DeviceSide, LabelPlace, QuantiserScale, ServerSide, SplitPoint,
};
use crate::sim::channel::{Receiver, Sender, unbounded};
use crate::sim::join;
use crate::world::{Content, DeviceId, EdgePasses, Lengths, Lost};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// A scenario's cut, and what the edge has kept of it.
pub(super) struct CutLayer {
    spec: CutSpec,
    /// Devices and samples whose activations the edge has.
    kept: RefCell<BTreeSet<(DeviceId, usize)>>,
}

impl CutLayer {
    pub fn new(run: &Run<'_>) -> Self {
        if run.plan.split_point == SplitPoint::Auto {
            for device in run.world.devices() {
                run.measure("split_point", Measured::Number(device.split_point.get() as f64));
                run.measure("edge_speed", Measured::Number(device.edge_speed.get()));
            }
        }
        if matches!(run.plan.cut, Some(CutSpec { compression: CutCompression::Auto { .. }, .. })) {
            for device in run.world.devices() {
                let form = run.world.demand_of(device.id).cut_form();
                run.measure("cut_kept_share", Measured::Number(form.kept_share));
                run.measure("cut_bits", Measured::Number(form.bits as f64));
                run.measure("cut_error", Measured::Number(form.expected_error));
            }
        }
        Self { spec: run.plan.cut.clone().unwrap_or_default(), kept: RefCell::default() }
    }

    pub fn has_shared_server_side(&self) -> bool {
        self.spec.server_side == ServerSide::Shared
    }

    /// Plays step number `step` of `device`: time, traffic and energy. Returns how it bends the numbers.
    pub async fn step(&self, run: &Run<'_>, device: DeviceId, step: u64) -> Result<StepOptions, Lost> {
        self.step_telling(run, device, step, &|| {}).await
    }

    /// [`CutLayer::step`]; calls `trained` at the moment when the edge is through with the batch. Under a U shape or an
    /// analog channel it never does: neither goes with a shared edge side.
    pub async fn step_telling(
        &self,
        run: &Run<'_>,
        device: DeviceId,
        step: u64,
        trained: &dyn Fn(),
    ) -> Result<StepOptions, Lost> {
        let samples = run.learn.batch_lengths(client_of(device), step);
        // All but the plain shape lie elsewhere: a future is as large as its largest branch, and there is one a device.
        let snr = match &self.spec {
            CutSpec { labels: LabelPlace::Device, .. } => {
                Box::pin(u_shaped(run, device, &samples)).await.map(|()| None)?
            }
            CutSpec { channel: CutChannel::Analog, .. } => Some(Box::pin(analog(run, device, &samples)).await?),
            CutSpec { micro_batches, .. } if *micro_batches > 1 => {
                Box::pin(pipelined(run, device, &samples, *micro_batches, trained)).await.map(|()| None)?
            }
            CutSpec { cache_activations: true, .. } => {
                Box::pin(self.with_kept_activations(run, device, step, &samples, trained)).await.map(|()| None)?
            }
            _ => plain(run, device, &samples, trained).await.map(|()| None)?,
        };
        Ok(self.options(run, device, snr))
    }

    /// What the way through the cut does to the numbers; `snr` of an analog channel, up and down.
    pub fn options(&self, run: &Run<'_>, device: DeviceId, snr: Option<[f64; 2]>) -> StepOptions {
        let block = run.world.demand_of(device).split_point();
        let packed = match run.world.demand_of(device).cut_compression() {
            CutCompression::None => Distortion::None,
            CutCompression::Fp16 => Distortion::Half,
            CutCompression::Quantise { bits, scale } => {
                Distortion::Quantise { bits, per_token: scale == QuantiserScale::Token }
            }
            CutCompression::TopK { kept_fraction } => Distortion::TopK { kept_fraction },
            CutCompression::MergeTokens { kept_fraction } => Distortion::MergeTokens { kept_fraction },
            CutCompression::SparseQuantised { kept_fraction, bits } => {
                Distortion::SparseQuantise { kept_fraction, bits }
            }
            CutCompression::Auto { .. } => unreachable!("every device was given a form when the world was built"),
        };
        let [up, down] = snr.map_or([packed; 2], |both| both.map(|snr| Distortion::Noise { snr }));
        let plain = up == Distortion::None && down == Distortion::None;
        StepOptions {
            trained: match self.spec.device_side {
                DeviceSide::Trained => None,
                DeviceSide::Frozen => run.learn.edge_side(block),
            },
            cut: (!plain).then_some(Cut { block, up, down }),
            ..StepOptions::default()
        }
    }

    /// Only samples that the edge has not seen run on the device and cross.
    async fn with_kept_activations(
        &self,
        run: &Run<'_>,
        device: DeviceId,
        step: u64,
        samples: &[Lengths],
        trained: &dyn Fn(),
    ) -> Result<(), Lost> {
        let names = run.learn.sample_names(client_of(device), step);
        let new = |name: &usize| !self.kept.borrow().contains(&(device, *name));
        let fresh: Vec<Lengths> = names.iter().zip(samples).filter(|(name, _)| new(name)).map(|(_, s)| *s).collect();
        let (batch, world) = (shape(samples), run.world);
        if !fresh.is_empty() {
            world.forward_on_device(device, &shape(&fresh), &batch).await?;
            world.upload(device, world.demand_of(device).smashed_bytes(&fresh), Content::Activations).await?;
            self.kept.borrow_mut().extend(names.into_iter().map(|name| (device, name)));
        }
        world.compute_edge_side(device, EdgePasses::Both, &batch).await;
        trained();
        Ok(())
    }
}

fn shape(samples: &[Lengths]) -> BatchShape {
    BatchShape::from_length_pairs(samples.iter().copied())
}

async fn plain(run: &Run<'_>, device: DeviceId, samples: &[Lengths], trained: &dyn Fn()) -> Result<(), Lost> {
    let (world, batch) = (run.world, shape(samples));
    let demand = world.demand_of(device);
    world.forward_on_device(device, &batch, &batch).await?;
    world.upload(device, demand.smashed_bytes(samples), Content::Activations).await?;
    world.compute_edge_side(device, EdgePasses::Both, &batch).await;
    trained();
    if demand.gradient_crosses() {
        world.download(device, demand.gradient_bytes(samples), Content::ActivationGradients).await?;
        world.backward_on_device(device, &batch, &batch).await?;
    }
    Ok(())
}

/// Labels never leave: the last hidden states come down to the head, their gradient goes up again.
async fn u_shaped(run: &Run<'_>, device: DeviceId, samples: &[Lengths]) -> Result<(), Lost> {
    let (world, batch) = (run.world, shape(samples));
    let demand = world.demand_of(device);
    world.forward_on_device(device, &batch, &batch).await?;
    world.upload(device, demand.smashed_bytes(samples), Content::Activations).await?;
    world.compute_edge_side(device, EdgePasses::Forward, &batch).await;
    world.download(device, demand.last_hidden_bytes(samples), Content::LastHidden).await?;
    world.train_head_on_device(device, &batch).await?;
    if demand.last_gradient_bytes(samples) > 0 {
        world.upload(device, demand.last_gradient_bytes(samples), Content::LastHiddenGradients).await?;
        world.compute_edge_side(device, EdgePasses::Backward, &batch).await;
    }
    if demand.gradient_crosses() {
        world.download(device, demand.gradient_bytes(samples), Content::ActivationGradients).await?;
        world.backward_on_device(device, &batch, &batch).await?;
    }
    Ok(())
}

/// Labels and scales cross as bits, values as amplitudes. Returns the SNR of both ways.
async fn analog(run: &Run<'_>, device: DeviceId, samples: &[Lengths]) -> Result<[f64; 2], Lost> {
    let (world, batch) = (run.world, shape(samples));
    let demand = world.demand_of(device);
    let (values, scales) = (demand.smashed_values(samples), demand.analog_scale_bytes(samples));
    world.forward_on_device(device, &batch, &batch).await?;
    world.upload(device, demand.label_bytes(samples) + scales, Content::Labels).await?;
    let up = world.analog_upload(device, values, Content::AnalogActivations).await?;
    world.compute_edge_side(device, EdgePasses::Both, &batch).await;
    let mut down = f64::INFINITY;
    if demand.gradient_crosses() {
        world.download(device, scales, Content::ActivationGradients).await?;
        down = world.analog_download(device, values, Content::AnalogGradients).await?;
        world.backward_on_device(device, &batch, &batch).await?;
    }
    Ok([up, down])
}

/// The batch in `pieces`: the device runs all of them forward, then backward as their gradients arrive (the schedule of
/// Huang et al. 2019, GPipe, arXiv 1811.06965). Device, uplink, edge and downlink each work on one piece at a time.
async fn pipelined(
    run: &Run<'_>,
    device: DeviceId,
    samples: &[Lengths],
    pieces: usize,
    trained: &dyn Fn(),
) -> Result<(), Lost> {
    let (world, whole) = (run.world, shape(samples));
    let demand = world.demand_of(device);
    let back = demand.gradient_crosses();
    let pieces: Vec<(&[Lengths], BatchShape)> = cut_evenly(samples, pieces).map(|s| (s, shape(s))).collect();
    let (computed, for_uplink) = unbounded::<usize>();
    let (uploaded, for_edge) = unbounded();
    let (passed, for_downlink) = unbounded();
    let (returned, for_device) = unbounded::<usize>();

    let on_device = async {
        let (computed, mut for_device) = (computed, for_device);
        for (number, (_, piece)) in pieces.iter().enumerate() {
            world.forward_on_device(device, piece, &whole).await?;
            hand_on(&computed, number);
        }
        drop(computed);
        while let Some(number) = for_device.recv().await {
            world.backward_on_device(device, &pieces[number].1, &whole).await?;
        }
        Ok(())
    };
    let uplink = stage(for_uplink, uploaded, async |number: usize| {
        world.upload(device, demand.smashed_bytes(pieces[number].0), Content::Activations).await
    });
    let edge = stage(for_edge, passed, async |number: usize| {
        world.compute_edge_side(device, EdgePasses::Both, &pieces[number].1).await;
        if number + 1 == pieces.len() {
            trained();
        }
        Ok(())
    });
    let downlink = async {
        if !back {
            drop((for_downlink, returned));
            return Ok(());
        }
        stage(for_downlink, returned, async |number: usize| {
            world.download(device, demand.gradient_bytes(pieces[number].0), Content::ActivationGradients).await
        })
        .await
    };
    let ((a, b), (c, d)) = join(join(on_device, uplink), join(edge, downlink)).await;
    // A stage that ends early closes its channels, so that the others end too: the first loss is the step's.
    a.and(b).and(c).and(d)
}

/// Works on one piece after another until no more come.
async fn stage<F: AsyncFn(usize) -> Result<(), Lost>>(
    mut arriving: Receiver<usize>,
    next: Sender<usize>,
    work: F,
) -> Result<(), Lost> {
    while let Some(number) = arriving.recv().await {
        work(number).await?;
        hand_on(&next, number);
    }
    Ok(())
}

/// Whoever has gone already needs no more pieces.
fn hand_on(next: &Sender<usize>, number: usize) {
    let _ = next.send(number);
}

/// `items` in so many runs whose lengths differ by one at most; fewer if there are not so many items.
fn cut_evenly<T>(items: &[T], pieces: usize) -> impl Iterator<Item = &[T]> {
    let pieces = pieces.min(items.len()).max(1);
    let start = move |piece: usize| piece * items.len() / pieces;
    (0..pieces).map(move |piece| &items[start(piece)..start(piece + 1)])
}

#[cfg(test)]
mod tests {
    use super::cut_evenly;

    #[test]
    fn pieces_cover_the_batch_in_order() {
        let items: Vec<u32> = (0..10).collect();
        let sizes = |pieces| cut_evenly(&items, pieces).map(<[u32]>::len).collect::<Vec<_>>();
        assert_eq!(sizes(3), [3, 3, 4]);
        assert_eq!(sizes(1), [10]);
        assert_eq!(sizes(40), [1; 10]);
        assert_eq!(cut_evenly(&items, 4).flatten().copied().collect::<Vec<_>>(), items);
    }
}
