//! Slot fidelity: every slot with traffic is played: reports of channel quality, a scheduler, transport blocks that
//! fail or not, HARQ. Slots without traffic cost nothing, nor do those in which nothing can change.
//!
//! A request is served from the first slot that begins after it. Everything that a slot carries is decided at its
//! beginning and has arrived at its end. Start at [`SlotCell::play`].

mod air;
mod config;
mod expected;
mod ladder;
#[cfg(test)]
mod tests;
mod timing;
mod transfer;

pub use config::{SchedulerKind, SlotConfig};
pub(super) use expected::{Expectation, ExpectedLinkLayer, LinkState};

use super::site::Site;
use super::{Allocation, Direction, LinkId, TransferReport, TransferRequest, UeRadio};
use crate::radio::error::RadioError;
use crate::radio::scheduling::{Candidate, Scheduler};
use crate::sim::{FluidModel, SimTime};
use air::Air;
use timing::Timing;
use transfer::{Slot, SlotTransfer};

const DIRECTIONS: [Direction; 2] = [Direction::Downlink, Direction::Uplink];

/// A cell whose slots are played one by one.
#[derive(Debug)]
pub struct SlotCell {
    site: Site,
    config: SlotConfig,
    timing: Timing,
    /// One a direction and number of layers.
    airs: Vec<Air>,
    lanes: [Lane; 2],
    arriving: Vec<(u64, SimTime, TransferRequest)>,
    next_key: u64,
    /// The beginning of the next slot in which something can happen.
    next: Option<SimTime>,
    /// What plans expect of it.
    expected: Box<ExpectedLinkLayer>,
}

/// The transfers of one direction, in the order in which they were admitted.
#[derive(Debug)]
struct Lane {
    direction: Direction,
    scheduler: Box<dyn Scheduler>,
    transfers: Vec<SlotTransfer>,
    /// The next slot in which one of them can send.
    wakes: u64,
    ready: Vec<Candidate>,
    /// Where the candidates stand among the transfers.
    positions: Vec<usize>,
    /// Whose repetition found no room in the last slot.
    waits_first: u64,
    /// Ends that the next boundary reports.
    finishing: bool,
}

impl SlotCell {
    /// # Errors
    /// [`SlotConfig::validate`]'s.
    pub fn new(site: Site, config: SlotConfig) -> Result<Self, RadioError> {
        let timing = Timing::new(&site, &config);
        let lanes = DIRECTIONS.map(|direction| Lane::new(direction, config.scheduler.build()));
        let expected = Box::new(ExpectedLinkLayer::new(&site, config.clone())?);
        Ok(Self { site, config, timing, airs: vec![], lanes, arriving: vec![], next_key: 0, next: None, expected })
    }

    pub fn site(&mut self) -> &mut Site {
        &mut self.site
    }

    /// What a transfer would get if its fading stood at its mean.
    pub fn typical_allocation(&mut self, now: SimTime, link: LinkId, direction: Direction, share: f64) -> Allocation {
        self.expected.typical_allocation(&mut self.site, now, link, direction, share)
    }

    /// Plays the slot that begins at `start`, and sets when to come back.
    fn play(&mut self, start: SimTime, finished: &mut Vec<(u64, Box<TransferReport>)>) {
        let number = start.as_nanos() / self.timing.slot.as_nanos();
        let blocks = self.site.carrier.resource_blocks;
        let coherence_block = self.site.carrier.config().fading.block_at(start);
        let before = finished.len();
        for lane in &mut self.lanes {
            lane.take_finished(start, blocks, finished);
        }
        finished[before..].sort_by_key(|(key, _)| *key);
        self.admit(number, start);
        for (way, lane) in self.lanes.iter_mut().enumerate() {
            let symbols = self.config.frame.symbols(number, lane.direction);
            if lane.wakes > number || symbols == 0 || lane.transfers.is_empty() {
                continue;
            }
            let slot = Slot { number, symbols, start, coherence_block };
            let again = lane.run(&slot, &mut self.site, &self.airs, &self.config, &self.timing, way);
            lane.wakes = again.map_or(u64::MAX, |slot| self.config.frame.next_slot(slot, lane.direction));
        }
        self.site.carrier.config().sending.set(!self.lanes[0].transfers.is_empty());
        let wakes = |lane: &Lane| match (lane.finishing, lane.transfers.is_empty()) {
            (true, _) => Some(number + 1),
            (false, true) => None,
            (false, false) => (lane.wakes < u64::MAX).then(|| lane.wakes.max(number + 1)),
        };
        let lanes = self.lanes.iter().filter_map(wakes).min().map(|slot| self.timing.start(slot));
        let arrivals = self.arriving.iter().map(|(_, asked, _)| self.boundary_after(*asked)).min();
        self.next = lanes.into_iter().chain(arrivals).min();
    }

    /// Lets in whoever asked before this slot began.
    fn admit(&mut self, number: u64, start: SimTime) {
        let arriving = std::mem::take(&mut self.arriving);
        let coming =
            |direction| arriving.iter().filter(|(_, asked, r)| *asked < start && r.direction == direction).count();
        let counts = [0, 1].map(|way| self.lanes[way].transfers.len() + coming(DIRECTIONS[way]));
        for (key, asked, request) in arriving {
            if asked >= start {
                self.arriving.push((key, asked, request));
                continue;
            }
            let way = usize::from(request.direction == Direction::Uplink);
            let ue = self.site.links[request.link.0].ue;
            let air = air_for(&mut self.airs, &self.site, &ue, request.direction);
            let share = 1.0 / counts[way] as f64;
            let (site, lane) = (&mut self.site, &mut self.lanes[way]);
            let air = (&self.airs[air], air);
            let arrival = (key, asked, request);
            let transfer = SlotTransfer::new(arrival, (number, share), site, air, &self.config, &self.timing);
            lane.finishing |= transfer.is_done();
            lane.transfers.push(transfer);
            lane.wakes = lane.wakes.min(self.config.frame.next_slot(number, lane.direction));
        }
    }

    /// The first boundary after `now`.
    fn boundary_after(&self, now: SimTime) -> SimTime {
        self.timing.start(now.as_nanos() / self.timing.slot.as_nanos() + 1)
    }
}

/// The number of what terminals with the layers of `ue` have in common, made when the first of them asks.
fn air_for(airs: &mut Vec<Air>, site: &Site, ue: &UeRadio, direction: Direction) -> usize {
    let layers = match direction {
        Direction::Uplink => ue.uplink_layers,
        Direction::Downlink => ue.downlink_layers.min(site.carrier.config().radio.downlink_layers),
    };
    let same = |air: &Air| (air.direction, air.max_layers) == (direction, layers);
    airs.iter().position(same).unwrap_or_else(|| {
        airs.push(Air::new(site, direction, layers));
        airs.len() - 1
    })
}

impl Lane {
    fn new(direction: Direction, scheduler: Box<dyn Scheduler>) -> Self {
        Self {
            direction,
            scheduler,
            transfers: vec![],
            wakes: u64::MAX,
            ready: vec![],
            positions: vec![],
            waits_first: 0,
            finishing: false,
        }
    }

    fn take_finished(&mut self, now: SimTime, blocks: u32, finished: &mut Vec<(u64, Box<TransferReport>)>) {
        if !std::mem::take(&mut self.finishing) {
            return;
        }
        let mut i = 0;
        while i < self.transfers.len() {
            if self.transfers[i].ends() {
                let transfer = self.transfers.remove(i);
                finished.push((transfer.key, transfer.report(now, blocks)));
            } else {
                i += 1;
            }
        }
    }

    /// One slot: what is known, repetitions first, then new blocks. Returns the first slot that may differ, if any.
    fn run(
        &mut self,
        slot: &Slot,
        site: &mut Site,
        airs: &[Air],
        config: &SlotConfig,
        timing: &Timing,
        way: usize,
    ) -> Option<u64> {
        let limit = site.carrier.config().outage_limit;
        let mut on_air = false;
        for t in &mut self.transfers {
            let air = &airs[t.air];
            t.slot_bits = 0.0;
            t.observe(slot, site, air, timing);
            t.hear(slot, &mut site.links[t.request.link.0].outer_loop_db[way], config);
            self.finishing |= t.watch_outage(slot, limit);
        }
        let blocks = site.carrier.resource_blocks;
        let left = self.repeat(slot, blocks, site, airs, config, way);
        on_air |= left < blocks;
        on_air |= self.send(slot, left, site, airs, config, way);
        if let Some(window) = self.scheduler.window_slots() {
            for t in &mut self.transfers {
                t.average_bits += (t.slot_bits - t.average_bits) / window;
            }
        }
        if on_air {
            for t in &mut self.transfers {
                t.note_slot();
                self.finishing |= t.is_done();
            }
            return Some(slot.number + 1);
        }
        let outage_ends = |t: &SlotTransfer| {
            let end = t.outage_ends_at(limit)?;
            Some(end.as_nanos().div_ceil(timing.slot.as_nanos()).max(slot.number + 1))
        };
        let each = |t: &SlotTransfer| t.wakes(slot, timing).into_iter().chain(outage_ends(t)).min();
        self.transfers.iter().filter_map(each).min()
    }

    /// Sends due blocks again, in turn from whoever found no room last time. Returns the blocks that are left.
    fn repeat(
        &mut self,
        slot: &Slot,
        blocks: u32,
        site: &mut Site,
        airs: &[Air],
        config: &SlotConfig,
        way: usize,
    ) -> u32 {
        let count = self.transfers.len();
        let first = self.transfers.partition_point(|t| t.key < self.waits_first);
        let (mut left, mut waits) = (blocks, None);
        for turn in 0..count {
            let t = &mut self.transfers[(first + turn) % count];
            let Some(needed) = t.repetition_blocks(slot) else { continue };
            if needed > left {
                waits.get_or_insert(t.key);
                continue;
            }
            left -= needed;
            let outer_loop_db = &mut site.links[t.request.link.0].outer_loop_db[way];
            t.repeat(slot, &airs[t.air], needed, config, outer_loop_db);
        }
        self.waits_first = waits.unwrap_or(self.waits_first);
        left
    }

    /// Deals `blocks` among transfers with new data; whether there are any.
    fn send(
        &mut self,
        slot: &Slot,
        blocks: u32,
        site: &mut Site,
        airs: &[Air],
        config: &SlotConfig,
        way: usize,
    ) -> bool {
        self.positions.clear();
        self.ready.clear();
        for (i, t) in self.transfers.iter().enumerate() {
            if t.is_ready(slot) {
                self.positions.push(i);
            }
        }
        if self.positions.is_empty() {
            return false;
        }
        let even = (blocks / self.positions.len() as u32).max(1);
        for &i in &self.positions {
            let t = &self.transfers[i];
            let (air, link) = (&airs[t.air], &site.links[t.request.link.0]);
            let bits_per_block = match self.scheduler.weighs_rates() {
                true => t.expected_bits(air, link.outer_loop_db[way], even, slot.symbols),
                false => 0.0,
            };
            let reserved_share = link.uplink_reservation.filter(|_| self.direction == Direction::Uplink);
            self.ready.push(Candidate { key: t.key, bits_per_block, average_bits: t.average_bits, reserved_share });
        }
        let Self { scheduler, transfers, ready, positions, .. } = self;
        scheduler.deal(blocks, ready, &mut |candidate, granted| {
            let t = &mut transfers[positions[candidate]];
            let outer_loop_db = site.links[t.request.link.0].outer_loop_db[way];
            t.send(slot, &airs[t.air], granted, config, outer_loop_db)
        });
        true
    }
}

impl FluidModel for SlotCell {
    type Request = TransferRequest;
    type Report = Box<TransferReport>;

    fn start(&mut self, now: SimTime, request: TransferRequest) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        self.arriving.push((key, now, request));
        let boundary = self.boundary_after(now);
        self.next = Some(self.next.map_or(boundary, |next| next.min(boundary)));
        key
    }

    fn cancel(&mut self, now: SimTime, key: u64) -> Option<Box<TransferReport>> {
        self.arriving.retain(|(arriving, _, _)| *arriving != key);
        let blocks = self.site.carrier.resource_blocks;
        self.lanes.iter_mut().find_map(|lane| {
            let position = lane.transfers.iter().position(|t| t.key == key)?;
            Some(lane.transfers.remove(position).withdraw(now, blocks, &self.timing))
        })
    }

    fn next_event(&self) -> Option<SimTime> {
        self.next
    }

    fn advance(&mut self, now: SimTime) -> Vec<(u64, Box<TransferReport>)> {
        let mut finished = Vec::new();
        while let Some(start) = self.next.filter(|start| *start <= now) {
            self.play(start, &mut finished);
        }
        finished
    }
}
