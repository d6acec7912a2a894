//! The part of a cell that has no transfers: its place, its terminals and their channels. Every fidelity holds one and
//! asks it the same questions, so that two of them see the same channels.

use super::carrier::{Allocation, Carrier};
use super::config::{CellConfig, Indoor, UeRadio};
use super::link::{Channel, Link};
use super::propagation::Propagation;
use super::{AnalogLink, Direction, LinkId};
use crate::radio::aircomp::{AirInterface, ChannelState};
use crate::radio::error::RadioError;
use crate::radio::fading::{FadingModel, LinkFading};
use crate::radio::geometry::Position;
use crate::radio::link_budget::LinkBudget;
use crate::radio::mobility::Trajectory;
use crate::radio::numerology::SUBCARRIERS_PER_RESOURCE_BLOCK;
use crate::radio::units::{db_to_linear, dbm_to_watts};
use crate::random::Streams;
use crate::sim::SimTime;

/// A base station, the terminals attached to it and the channels between them.
#[derive(Debug)]
pub struct Site {
    name: String,
    streams: Streams,
    pub(super) carrier: Carrier,
    pub(super) surroundings: Propagation,
    pub(super) links: Vec<Link>,
    /// Links with a subband of their own.
    pub(super) reservations: usize,
}

impl Site {
    /// A base station without terminals. Its draws depend on `streams`, on `name` and on the names of its links, on
    /// nothing else.
    ///
    /// # Errors
    /// Whatever [`CellConfig::validate`], the path-loss name or the band refuse.
    pub fn new(name: &str, config: CellConfig, streams: &Streams) -> Result<Self, RadioError> {
        let surroundings = Propagation::new(&config, name, streams)?;
        let carrier = Carrier::new(config)?;
        Ok(Self { name: name.to_owned(), streams: *streams, carrier, surroundings, links: Vec::new(), reservations: 0 })
    }

    /// Connects a terminal. `name` decides its fading: links of one cell need different names to fade differently.
    pub fn attach(&mut self, name: &str, ue: UeRadio, trajectory: Trajectory) -> LinkId {
        let stream = self.streams.counter(&format!("{}/{name}", self.name), "fading");
        let fading = LinkFading::new(&stream, self.carrier.config().fading.doppler_hz);
        let link = Link::new(ue, trajectory, fading, stream);
        let CellConfig { blockage, position, fading, .. } = self.carrier.config();
        let band = (self.carrier.resource_blocks, self.carrier.numerology.resource_block_hz());
        let link = match fading.model {
            FadingModel::TappedDelay { profile, delay_spread_s } => link.selective((profile, delay_spread_s), band),
            _ => link,
        };
        self.links.push(match blockage {
            Some(blockage) => link.blocked_by(*blockage, *position),
            None => link,
        });
        LinkId(self.links.len() - 1)
    }

    /// Large-scale loss to a terminal at `place`, dB: what long measurements of its reference signals differ by.
    pub fn loss_db(&self, place: &Position, indoor: Option<&Indoor>) -> f64 {
        self.surroundings.own_loss_db(place, indoor)
    }

    pub fn config(&self) -> &CellConfig {
        self.carrier.config()
    }

    /// Whether channels change while terminals stand still.
    pub(super) fn channels_vary(&self) -> bool {
        let config = self.carrier.config();
        config.fading.model != FadingModel::None || config.blockage.is_some() || self.surroundings.is_coupled
    }

    pub fn resource_blocks(&self) -> u32 {
        self.carrier.resource_blocks
    }

    /// What a transfer over `link` would get at `now` on `share` of the band (0 < share <= 1), and why.
    pub fn rate_now(
        &mut self,
        now: SimTime,
        link: LinkId,
        direction: Direction,
        share: f64,
    ) -> (Allocation, LinkBudget) {
        let fading = self.carrier.config().fading;
        let link = &mut self.links[link.0];
        let channel = link.channel_in_block(fading.block_at(now), &fading, &self.surroundings);
        let allocation = self.carrier.allocate(&channel, &link.ue, direction, share);
        (allocation, self.carrier.budget(&channel, &link.ue, direction, allocation.used_share))
    }

    /// Gives `link` a subband of its own for its uplink transfers, a `share` of the band, or takes it away. Subbands hold while
    /// everybody on the air has one; otherwise all share equally. Takes effect when rates change next.
    pub fn reserve_uplink(&mut self, link: LinkId, share: Option<f64>) {
        let before = std::mem::replace(&mut self.links[link.0].uplink_reservation, share);
        self.reservations = self.reservations + usize::from(share.is_some()) - usize::from(before.is_some());
    }

    /// The uplink channels at `now`, in the order of `links`, as over-the-air aggregation sees them.
    pub fn air_state(&mut self, links: &[LinkId], now: SimTime) -> Vec<ChannelState> {
        let fading = self.carrier.config().fading;
        let block = fading.block_at(now);
        let mut state = |id: &LinkId| {
            let link = &mut self.links[id.0];
            let channel = link.channel_in_block(block, &fading, &self.surroundings);
            ChannelState {
                fading_power: channel.fading_power,
                law: channel.law,
                path_gain: db_to_linear(self.carrier.coupling_gain_db(&channel, &link.ue)),
                power_watts: dbm_to_watts(link.ue.power_dbm),
            }
        };
        links.iter().map(&mut state).collect()
    }

    /// Small-scale gains (real, imaginary) of the uplinks at `now` at each of `antennas` antennas, in the order of
    /// `links`. The first is the antenna of [`Self::air_state`]; the others fade independently.
    pub fn antenna_gains(&mut self, links: &[LinkId], now: SimTime, antennas: usize) -> Vec<Vec<(f64, f64)>> {
        let fading = self.carrier.config().fading;
        let block = fading.block_at(now);
        let mut gains = |id: &LinkId| {
            let link = &mut self.links[id.0];
            let law = link.channel_in_block(block, &fading, &self.surroundings).law;
            link.antenna_gains(&fading, block, law, antennas)
        };
        links.iter().map(&mut gains).collect()
    }

    /// Width of a subcarrier.
    pub fn subcarrier_hz(&self) -> f64 {
        f64::from(self.carrier.numerology.scs_khz()) * 1e3
    }

    /// The uplink's resource grid, as over-the-air aggregation uses it: the whole band.
    pub fn air_interface(&self) -> AirInterface {
        AirInterface {
            subcarriers: self.carrier.resource_blocks * SUBCARRIERS_PER_RESOURCE_BLOCK,
            symbol_seconds: self.carrier.numerology.symbol_seconds(),
            noise_watts: self.carrier.uplink_noise_watts_per_subcarrier(),
            time_share: self.carrier.time_share(Direction::Uplink),
        }
    }

    /// The link as analog symbols on `share` of the band see it from `now` on.
    pub fn analog_link(&mut self, now: SimTime, link: LinkId, direction: Direction, share: f64) -> AnalogLink {
        let fading = self.carrier.config().fading;
        let link = &mut self.links[link.0];
        let channel = link.channel_in_block(fading.block_at(now), &fading, &self.surroundings);
        let budget = self.carrier.budget(&channel, &link.ue, direction, share);
        let subcarriers = f64::from(self.carrier.resource_blocks * SUBCARRIERS_PER_RESOURCE_BLOCK) * share;
        AnalogLink {
            snr: db_to_linear(budget.snr_db),
            tx_power_watts: if direction == Direction::Uplink { dbm_to_watts(budget.tx_power_dbm) } else { 0.0 },
            grid: AirInterface {
                subcarriers: (subcarriers as u32).max(1),
                time_share: self.carrier.time_share(direction),
                ..self.air_interface()
            },
            budget,
        }
    }

    /// What a transfer over `link` would get on `share` of the band if its fading stood at its mean, from where the terminal is now and
    /// with the share of blocks that the flow model assumes to fail.
    pub(super) fn typical_allocation(
        &mut self,
        now: SimTime,
        link: LinkId,
        direction: Direction,
        share: f64,
    ) -> Allocation {
        let channel = self.typical_channel(now, link);
        self.carrier.allocate(&channel, &self.links[link.0].ue, direction, share)
    }

    /// The channel of `link` at its mean.
    pub(super) fn typical_channel(&mut self, now: SimTime, link: LinkId) -> Channel {
        let fading = self.carrier.config().fading;
        self.links[link.0].channel_in_block(fading.block_at(now), &fading, &self.surroundings).typical()
    }
}
