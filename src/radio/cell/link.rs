//! One attached terminal and its channel, block by block.

use super::config::UeRadio;
use super::propagation::{LargeScale, Propagation};
use super::response::Response;
use crate::radio::blockage::{Blockage, Blockers};
use crate::radio::fading::{Fading, FadingLaw, LinkFading};
use crate::radio::geometry::Position;
use crate::radio::mobility::Trajectory;
use crate::radio::selectivity::Selectivity;
use crate::radio::tapped_delay::DelayProfile;
use crate::random::CounterStream;
use std::rc::Rc;

/// Children and draws of a link's stream that are not fading's (64 waves) or a further antenna's.
const BLOCK_ERRORS: u64 = 1 << 40;
const REPORT_PHASE: u64 = 1 << 41;
const BLOCKERS: u64 = 1 << 42;
const TAPS: u64 = 1 << 43;

#[derive(Debug)]
pub(super) struct Link {
    pub ue: UeRadio,
    pub trajectory: Trajectory,
    /// Share of the uplink band that is this terminal's own.
    pub uplink_reservation: Option<f64>,
    /// What per-slot link adaptation has learnt from failures of downlinks and uplinks, dB on top of what is measured.
    pub outer_loop_db: [f64; 2],
    /// Transfers begun under per-slot scheduling: each has draws of its own.
    pub transfers: u64,
    fading: LinkFading,
    /// Decides the fading at further antennas.
    stream: CounterStream,
    latest: Option<Snapshot>,
    /// Where the band does not fade as one, it stands for `fading`.
    response: Option<Box<Response>>,
    blockers: Option<Box<Blockers>>,
    /// Gains of neighbours at the latest place, where these send only at times.
    neighbour_gains: Box<[f64]>,
}

/// The channel during one coherence block, the same in both directions.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Channel {
    pub large_scale: LargeScale,
    pub law: FadingLaw,
    /// |h|^2, mean 1; the mean over the band where that is not flat.
    pub fading_power: f64,
    /// What the shape of the response costs; `None` where it is flat.
    pub selectivity: Option<Rc<Selectivity>>,
}

impl Channel {
    /// Without what comes and goes: unfaded, with nobody in the way.
    pub fn typical(self) -> Self {
        Self {
            fading_power: 1.0,
            selectivity: None,
            large_scale: LargeScale { blockage_db: 0.0, ..self.large_scale },
            ..self
        }
    }
}

/// The block last asked for: most questions repeat it, and terminals that stand still keep their large-scale loss.
#[derive(Debug)]
struct Snapshot {
    block: u64,
    position: Position,
    channel: Channel,
}

impl Link {
    pub fn new(ue: UeRadio, trajectory: Trajectory, fading: LinkFading, stream: CounterStream) -> Self {
        let (uplink_reservation, outer_loop_db, transfers) = (None, [0.0; 2], 0);
        Self {
            ue,
            trajectory,
            uplink_reservation,
            outer_loop_db,
            transfers,
            fading,
            stream,
            latest: None,
            response: None,
            blockers: None,
            neighbour_gains: Box::default(),
        }
    }

    /// The same with people who walk through the line to the base station's antenna.
    pub fn blocked_by(mut self, blockage: Blockage, base: Position) -> Self {
        let blockers = Blockers::new(blockage, base, &self.trajectory, self.stream.child(BLOCKERS));
        self.blockers = Some(Box::new(blockers));
        self
    }

    /// The same with a response over the band of (number, width) of resource blocks.
    pub fn selective(mut self, line: (DelayProfile, f64), band: (u32, f64)) -> Self {
        self.response = Some(Box::new(Response::new(line, band, self.stream.child(TAPS))));
        self
    }

    /// The channel in coherence block `block`, seen from where the terminal is when the block begins, under the interference of
    /// now.
    pub fn channel_in_block(&mut self, block: u64, fading: &Fading, surroundings: &Propagation) -> Channel {
        let mut channel = self.undisturbed(block, fading, surroundings);
        if surroundings.is_coupled {
            channel.large_scale.neighbours_gain = surroundings.heard_now(&self.neighbour_gains);
        }
        channel
    }

    fn undisturbed(&mut self, block: u64, fading: &Fading, surroundings: &Propagation) -> Channel {
        if let Some(latest) = self.latest.as_ref().filter(|latest| latest.block == block) {
            return latest.channel.clone();
        }
        let position = self.trajectory.position_at(fading.block_start(block));
        let mut large_scale = match self.latest.as_ref().filter(|latest| latest.position == position) {
            Some(latest) => latest.channel.large_scale,
            None => {
                let indoor = self.ue.indoor.as_ref();
                if surroundings.is_coupled {
                    self.neighbour_gains = surroundings.gains(&position, indoor).collect();
                }
                surroundings.at(&position, indoor)
            }
        };
        if let Some(blockers) = self.blockers.as_mut().filter(|_| large_scale.los && self.ue.indoor.is_none()) {
            large_scale.blockage_db = blockers.loss_db(fading.block_start(block));
        }
        let law = fading.model.law(large_scale.los);
        let (fading_power, selectivity) = match &self.response {
            None => (self.fading.block_power(fading, block, law), None),
            Some(response) => {
                let (mean, shape) = response.in_block(fading, block, large_scale.los);
                (mean, Some(shape))
            }
        };
        let channel = Channel { large_scale, law, fading_power, selectivity };
        self.latest = Some(Snapshot { block, position, channel: channel.clone() });
        channel
    }

    /// Decides which blocks of the next transfer fail.
    pub fn next_draws(&mut self) -> CounterStream {
        self.transfers += 1;
        self.stream.child(BLOCK_ERRORS).child(self.transfers)
    }

    /// A number that tells links apart, for spreading their reports over slots.
    pub fn phase(&self) -> u64 {
        self.stream.bits(REPORT_PHASE)
    }

    /// Complex gains at `antennas` antennas far enough apart to fade on their own, in the middle of block `block`, of a flat band.
    pub fn antenna_gains(&self, fading: &Fading, block: u64, law: FadingLaw, antennas: usize) -> Vec<(f64, f64)> {
        let first = std::iter::once(self.fading.block_gain(fading, block, law));
        let other =
            |n: usize| LinkFading::new(&self.stream.child(n as u64), fading.doppler_hz).block_gain(fading, block, law);
        first.chain((1..antennas).map(other)).collect()
    }
}
