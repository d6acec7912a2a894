//! Neural connections over the air: devices hold slices of blocks, and the sums that their layers need form in the air.
//!
//! Tensor parallelism (Shoeybi et al. 2019, arXiv 1909.08053, section 3) among devices, with its all-reduce done by
//! superposition (Zhang, He, Song, Zhang and Letaief 2025, arXiv 2502.12559), here in training too, as the DEFT framework
//! names it (arXiv 2310.18602). As under `split`, one device after another trains with the edge through the cut; of the
//! chosen blocks beyond it, S devices hold a slice each: some attention heads and some columns of the feed-forward layer.
//! For each half of such a block, forward and backward:
//!
//! 1. the edge broadcasts the half's input (backward: the gradient of its output), digitally;
//! 2. every device computes its slice's term;
//! 3. all send at once, and the edge hears their sum with a noise that depends on power, channels and antennas, or each
//!    sends its term over the digital uplink and the edge adds.
//!
//! Norms, residuals and all other blocks stay at the edge.

use super::{Measured, Run};
use crate::aggregation::{Delivery, client_of};
use crate::learning::{EvaluationOptions, LearningError, StateHandle, StepOptions};
use crate::nn::SumChannel;
use crate::random::CounterStream;
use crate::scenario::{ConnectionMethod, ConnectionsSpec};
use crate::sim::join_all;
use crate::world::{Content, DeviceId, Lost, SliceAir, SliceSum};

pub(super) async fn play(run: &Run<'_>) -> Result<(), LearningError> {
    let Some(plan) = &run.plan.connections else { return Ok(()) };
    let mut model = run.learn.initial();
    for round in 0..run.plan.rounds {
        let Some(devices) = run.begin_round(round) else { break };
        let mut delivered = vec![];
        // Fewer devices than slices cannot hold the blocks: such a round delivers nothing.
        if let Some(holders) = devices.get(..plan.slices) {
            let cluster = Cluster::sound(run, plan, holders);
            for &device in &devices {
                // A turn that is cut short leaves no trace in the model.
                if let Ok(turn) = cluster.turn(run, round, device, model).await {
                    model = turn.state;
                    delivered.push(turn);
                }
            }
            let connections = cluster.heard_in_tests(run);
            run.test_with(EvaluationOptions { connections, ..EvaluationOptions::default() });
        }
        if run.end_round(round, &[model], &delivered)?.is_last() {
            break;
        }
    }
    if let Some(samples) = run.final_samples() {
        run.measure("connection_exact_accuracy", Measured::Accuracy(run.learn.evaluate(model, samples, false)));
    }
    Ok(())
}

/// The devices that hold the slices in a round, and how their sums are heard; `sum` is absent where they arrive digitally.
struct Cluster<'a> {
    plan: &'a ConnectionsSpec,
    holders: &'a [DeviceId],
    sum: Option<SliceSum>,
}

impl<'a> Cluster<'a> {
    fn sound(run: &Run<'_>, plan: &'a ConnectionsSpec, holders: &'a [DeviceId]) -> Self {
        let sum = match plan.method {
            ConnectionMethod::Digital => None,
            ConnectionMethod::AirComp {
                receive_antennas,
                transmit_antennas,
                receive_beam,
                average_power_dbm,
                channel_error,
                ..
            } => {
                let air =
                    SliceAir { receive_antennas, transmit_antennas, receive_beam, average_power_dbm, channel_error };
                Some(run.world.sound(holders, air))
            }
        };
        let cluster = Self { plan, holders, sum };
        if let Some(sum) = &cluster.sum {
            run.measure("connection_snr_db", Measured::Number(10.0 * sum.snr.log10()));
            run.measure("connection_noise", Measured::Number(cluster.relative_noise(sum)));
        }
        cluster
    }

    /// Terms of different slices are taken to be uncorrelated and equally strong: their sum is sqrt(S) times as strong as
    /// each, whose strength is the unit of the noise.
    fn relative_noise(&self, sum: &SliceSum) -> f64 {
        sum.noise_std / (self.plan.slices as f64).sqrt()
    }

    /// What the air does to the numbers; `None` where it does nothing.
    fn channel(&self, noise: CounterStream) -> Option<SumChannel> {
        let sum = self.sum.as_ref()?;
        let (blocks, gains) = (self.plan.blocks.clone(), sum.gains.clone());
        let channel = SumChannel { blocks, gains, noise_std: self.relative_noise(sum), noise };
        (!channel.is_exact()).then_some(channel)
    }

    fn heard_in_tests(&self, run: &Run<'_>) -> Option<SumChannel> {
        let wanted = matches!(self.plan.method, ConnectionMethod::AirComp { test_over_the_air: true, .. });
        self.channel(run.world.connection_noise("tests")).filter(|_| wanted)
    }

    /// The turn of `device`: its local steps through the cut and through the slices.
    async fn turn(&self, run: &Run<'_>, round: usize, device: DeviceId, model: StateHandle) -> Result<Delivery, Lost> {
        let (world, client) = (run.world, client_of(device));
        let (device_side, of_slice) = (world.demand().device_side_bytes(), world.demand().slice_parameter_bytes());
        world.download(device, device_side, Content::Adapters).await?;
        all(self.holders.iter().map(|d| world.download(*d, of_slice, Content::Adapters))).await?;
        let mut update = Delivery::starting_from(device, model);
        let options =
            StepOptions { connections: self.channel(world.connection_noise("training")), ..StepOptions::default() };
        for step in run.steps_of(round) {
            self.step(run, device, step).await?;
            update.step_with(run.learn, client, step, options.clone());
        }
        world.upload(device, device_side, Content::Adapters).await?;
        all(self.holders.iter().map(|d| world.upload(*d, of_slice, Content::Adapters))).await?;
        Ok(update)
    }

    /// Time and traffic of one training step of `device`.
    async fn step(&self, run: &Run<'_>, device: DeviceId, step: u64) -> Result<(), Lost> {
        let (world, demand) = (run.world, run.world.demand());
        let batch = &run.learn.batch_shape(client_of(device), step);
        let samples = &run.learn.batch_lengths(client_of(device), step);
        world.forward_on_device(device, batch, batch).await?;
        world.upload(device, demand.smashed_bytes(samples), Content::Activations).await?;
        for &block in demand.sliced_blocks() {
            let size = (demand.sum_values(block, batch), demand.sum_bytes(block, batch));
            for _half in ["attention", "feed-forward"] {
                world.broadcast(self.holders, device, size.1, Content::Activations).await?;
                world.compute_slices(self.holders, "slice forward", demand.slice_forward(block, batch), batch).await?;
                self.add_up(run, device, size, Content::PartialSums).await?;
            }
        }
        world.train_edge_rest(device, batch).await;
        for &block in demand.sliced_blocks().iter().rev() {
            let size = (demand.sum_values(block, batch), demand.sum_bytes(block, batch));
            let (goes_back, goes_below) = demand.backward_through(block);
            // Nothing below the attention asks for its input's gradient where nothing below trains.
            for wants_sum in [true, goes_below].into_iter().filter(|_| goes_back) {
                world.broadcast(self.holders, device, size.1, Content::ActivationGradients).await?;
                world
                    .compute_slices(self.holders, "slice backward", demand.slice_backward(block, batch), batch)
                    .await?;
                if wants_sum {
                    self.add_up(run, device, size, Content::PartialGradients).await?;
                }
            }
        }
        if demand.gradient_bytes(samples) > 0 {
            world.download(device, demand.gradient_bytes(samples), Content::ActivationGradients).await?;
            world.backward_on_device(device, batch, batch).await?;
        }
        Ok(())
    }

    /// The slices' terms become their sum at the edge server of `owner`.
    async fn add_up(&self, run: &Run<'_>, owner: DeviceId, size: (u64, u64), content: Content) -> Result<(), Lost> {
        match &self.sum {
            Some(sum) => run.world.superpose_slices(sum, self.holders, owner, size, content).await,
            None => all(self.holders.iter().map(|d| run.world.upload(*d, size.1, content))).await,
        }
    }
}

/// All transfers at once; lost if one is.
async fn all(transfers: impl Iterator<Item = impl Future<Output = Result<(), Lost>>>) -> Result<(), Lost> {
    join_all(transfers).await.into_iter().collect()
}
