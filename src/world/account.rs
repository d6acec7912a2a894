//! The books: where seconds, bytes and joules went, a device and a round at a time.

use super::DeviceId;
use super::overlap::{Doing, Span};
use super::underway::{Occupied, Stretch, Token, Underway};
use crate::radio::{LinkBudget, LinkLayer};
use crate::sim::{SimDuration, SimTime};

/// What a transfer carries. A test lists which of these may cross which link under each technique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Content {
    RawData,
    Activations,
    ActivationGradients,
    Adapters,
    AnalogUpdate,
    /// Of SCAFFOLD: as many numbers as there are trainable parameters on the device.
    ControlVariates,
    /// Signs of an update, one analog amplitude each.
    Votes,
    /// An update that was quantised or of which only some entries are sent.
    CompressedUpdate,
    AnalogActivations,
    AnalogGradients,
    Labels,
    LastHidden,
    LastHiddenGradients,
    /// Slices' parts of a layer's output, or of the gradient of its input.
    PartialSums,
    PartialGradients,
    ParameterGradients,
    Slopes,
    /// A tuned prompt, alone or with its head.
    Prompt,
    /// What a prompt was tuned on, as one vector.
    TaskKey,
    Query,
    Answer,
    /// The frozen weights of an emulator.
    Emulator,
}

impl Content {
    pub fn name(self) -> &'static str {
        match self {
            Content::RawData => "raw_data",
            Content::Activations => "activations",
            Content::ActivationGradients => "activation_gradients",
            Content::Adapters => "adapters",
            Content::AnalogUpdate => "analog_update",
            Content::ControlVariates => "control_variates",
            Content::Votes => "votes",
            Content::CompressedUpdate => "compressed_update",
            Content::AnalogActivations => "analog_activations",
            Content::AnalogGradients => "analog_gradients",
            Content::Labels => "labels",
            Content::LastHidden => "last_hidden",
            Content::LastHiddenGradients => "last_hidden_gradients",
            Content::PartialSums => "partial_sums",
            Content::PartialGradients => "partial_gradients",
            Content::ParameterGradients => "parameter_gradients",
            Content::Slopes => "slopes",
            Content::Prompt => "prompt",
            Content::TaskKey => "task_key",
            Content::Query => "query",
            Content::Answer => "answer",
            Content::Emulator => "emulator",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowDirection {
    Uplink,
    Downlink,
    OverTheAir,
    /// From the flow's device to another one.
    Sidelink {
        to: DeviceId,
    },
}

impl FlowDirection {
    pub fn name(self) -> &'static str {
        match self {
            FlowDirection::Uplink => "uplink",
            FlowDirection::Downlink => "downlink",
            FlowDirection::OverTheAir => "over_the_air",
            FlowDirection::Sidelink { .. } => "sidelink",
        }
    }
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowOutcome {
    Delivered,
    /// The link supported no modulation for so long that the radio gave up.
    Outage,
    /// A deadline passed, or the device was lost, while it was on its way.
    CutOff,
}

impl FlowOutcome {
    pub fn name(self) -> &'static str {
        match self {
            FlowOutcome::Delivered => "delivered",
            FlowOutcome::Outage => "outage",
            FlowOutcome::CutOff => "cut_off",
        }
    }
}

/// One transfer that is over, with what made it take as long as it did.
#[derive(Clone, Debug)]
pub struct Flow {
    pub round: usize,
    pub device: DeviceId,
    pub direction: FlowDirection,
    pub content: Content,
    pub outcome: FlowOutcome,
    /// What crossed the air.
    pub bytes: u64,
    /// What of it was in vain, because the transfer did not arrive as a whole.
    pub lost_bytes: u64,
    pub start: SimTime,
    pub end: SimTime,
    pub radio: SimDuration,
    pub wired: SimDuration,
    /// Part of it in which no wires led to the receiver.
    pub no_route: SimDuration,
    pub cell: usize,
    pub server: usize,
    /// The link at the start of the transfer.
    pub budget: LinkBudget,
    pub mean_snr_db: f64,
    pub mean_mcs: Option<f64>,
    pub mean_share: f64,
    pub mean_rate_bit_per_s: f64,
    pub tx_joules: f64,
    pub link_layer: LinkLayer,
}

/// A device's seconds by what it did. Whatever is left of a round it waited, for others or in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Activity {
    pub device_compute: SimDuration,
    pub uplink: SimDuration,
    pub edge_compute: SimDuration,
    pub downlink: SimDuration,
}

impl Activity {
    pub fn total(&self) -> SimDuration {
        self.device_compute + self.uplink + self.edge_compute + self.downlink
    }

    fn add(&mut self, other: &Activity) {
        self.device_compute += other.device_compute;
        self.uplink += other.uplink;
        self.edge_compute += other.edge_compute;
        self.downlink += other.downlink;
    }
}

/// One device's books over a round or a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DeviceTotals {
    pub rounds_taken_part: usize,
    pub rounds_delivered: usize,
    pub activity: Activity,
    pub waiting: SimDuration,
    pub uplink_bytes: u64,
    pub downlink_bytes: u64,
    /// Part of the two in vain: of transfers that did not arrive as a whole.
    pub lost_bytes: u64,
    pub compute_joules: f64,
    pub radio_joules: f64,
    pub peak_memory_bytes: u64,
    /// Sum over uplink transfers, for the mean.
    pub uplink_snr_db_sum: f64,
    pub uplinks: u64,
}

impl DeviceTotals {
    fn add(&mut self, round: &DeviceTotals) {
        self.rounds_taken_part += round.rounds_taken_part;
        self.rounds_delivered += round.rounds_delivered;
        self.activity.add(&round.activity);
        self.waiting += round.waiting;
        self.uplink_bytes += round.uplink_bytes;
        self.downlink_bytes += round.downlink_bytes;
        self.lost_bytes += round.lost_bytes;
        self.compute_joules += round.compute_joules;
        self.radio_joules += round.radio_joules;
        self.peak_memory_bytes = self.peak_memory_bytes.max(round.peak_memory_bytes);
        self.uplink_snr_db_sum += round.uplink_snr_db_sum;
        self.uplinks += round.uplinks;
    }
}

/// The time plane's part of a round's record. Latency parts are means over the participants, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RoundTotals {
    pub round: usize,
    pub start: SimTime,
    pub end: SimTime,
    pub participants: usize,
    pub device_compute_s: f64,
    pub uplink_s: f64,
    pub edge_compute_s: f64,
    pub downlink_s: f64,
    pub waiting_s: f64,
    pub uplink_bytes: u64,
    pub downlink_bytes: u64,
    pub lost_bytes: u64,
    pub device_joules: f64,
    pub edge_joules: f64,
    pub cost_usd: f64,
    pub peak_device_memory_bytes: u64,
}

#[derive(Default)]
pub(super) struct Account {
    pub round_start: SimTime,
    pub participants: Vec<DeviceId>,
    /// This round, by device.
    current: Vec<DeviceTotals>,
    /// All finished rounds, by device.
    total: Vec<DeviceTotals>,
    /// Accelerator time of this round, by server.
    pub edge_busy: Vec<SimDuration>,
    /// Joules of edge servers beyond those of active time at their profile's power.
    pub edge_extra_joules: f64,
    flows: Vec<Flow>,
    /// Devices whose transfers are listed.
    listed: usize,
    /// This round's stretches of time by device, where a device may do several things at once.
    spans: Option<Vec<Vec<Span>>>,
    underway: Underway,
    /// Requests that share the accelerators of a server, and since when there are so many.
    sharing: Vec<(usize, SimTime)>,
}

impl Account {
    /// Books in which what a device does may overlap.
    pub fn with_overlaps(self) -> Self {
        Self { spans: Some(vec![vec![]; self.current.len()]), ..self }
    }

    /// Notes what a device did.
    fn spent(&mut self, device: DeviceId, doing: Doing, start: SimTime, end: SimTime) {
        match &mut self.spans {
            Some(spans) => spans[device.index()].push(Span { doing, start, end }),
            None => self.device(device).activity.spend(doing, end - start),
        }
    }

    /// Closes this round's list of what a device did at once.
    pub fn settle_overlaps(&mut self, device: DeviceId) {
        let spans = self.spans.as_mut().map(|spans| std::mem::take(&mut spans[device.index()]));
        self.device(device).activity.spend_overlapping(&spans.unwrap_or_default());
    }

    /// Books in which the transfers of so many devices are listed one by one, spread evenly over all.
    pub fn listing(self, listed: usize) -> Self {
        Self { listed, ..self }
    }

    /// Notes a transfer that is over.
    pub fn note(&mut self, flow: Flow) {
        if self.lists(flow.device) {
            self.flows.push(flow);
        }
    }

    /// Of n devices with k listed, those are whose number is the whole part of j n / k for some j below k.
    pub fn lists(&self, device: DeviceId) -> bool {
        let (n, k, i) = (self.current.len() as u64, self.listed as u64, u64::from(device.number()));
        let j = (i * k).div_ceil(n.max(1));
        j < k && j * n / k == i
    }

    /// The listed transfers, in the order in which they ended.
    pub fn take_flows(&mut self) -> Vec<Flow> {
        std::mem::take(&mut self.flows)
    }

    pub fn new(devices: usize, servers: usize) -> Self {
        let empty = vec![DeviceTotals::default(); devices];
        let edge_busy = vec![SimDuration::ZERO; servers];
        let sharing = vec![(0, SimTime::ZERO); servers];
        Self { current: empty.clone(), total: empty, edge_busy, listed: devices, sharing, ..Self::default() }
    }

    pub fn begin_round(&mut self, now: SimTime, participants: &[DeviceId]) {
        self.round_start = now;
        self.participants = participants.to_vec();
        self.edge_busy.fill(SimDuration::ZERO);
        self.edge_extra_joules = 0.0;
        self.sharing.iter_mut().for_each(|(_, since)| *since = now);
        for d in participants {
            self.device(*d).rounds_taken_part = 1;
        }
    }

    /// This round's books of one device.
    pub fn device(&mut self, device: DeviceId) -> &mut DeviceTotals {
        &mut self.current[device.index()]
    }

    /// Whether a round is on. What is cut off after the last one is in no round's books.
    pub fn in_a_round(&self) -> bool {
        !self.participants.is_empty()
    }

    /// Notes that something begins; [`Account::end`] takes the answer.
    pub fn begin(&mut self, occupied: Occupied, now: SimTime) -> Token {
        if let Occupied::Share { server, .. } = occupied {
            self.occupied(occupied, now, now);
            self.sharing[server].0 += 1;
        }
        self.underway.begin(occupied, now)
    }

    /// Books what is over now, as far as it was in this round. Returns how long that was.
    pub fn end(&mut self, token: Token, now: SimTime) -> SimDuration {
        let Some(Stretch { occupied, since }) = self.underway.end(token) else { return SimDuration::ZERO };
        self.occupied(occupied, since, now);
        if let Occupied::Share { server, .. } = occupied {
            self.sharing[server].0 -= 1;
        }
        now - since
    }

    /// Books what is under way as far as it has come, where a round ends in the midst of it. Returns which devices computed
    /// for how long.
    pub fn cut_underway(&mut self, now: SimTime) -> Vec<(DeviceId, SimDuration)> {
        let mut computed = vec![];
        for Stretch { occupied, since } in self.underway.cut(now) {
            self.occupied(occupied, since, now);
            if let Occupied::Device(device, Doing::DeviceCompute) = occupied {
                computed.push((device, now - since));
            }
        }
        computed
    }

    fn occupied(&mut self, occupied: Occupied, start: SimTime, end: SimTime) {
        match occupied {
            Occupied::Device(device, doing) => self.spent(device, doing, start, end),
            Occupied::Accelerator { server, extra_watts } => {
                self.edge_busy[server] += end - start;
                self.edge_extra_joules += extra_watts * (end - start).as_seconds();
            }
            // Whichever of those who share ends first books for all: as many accelerators are busy as there are requests.
            Occupied::Share { server, accelerators, extra_watts } => {
                let (requests, since) = self.sharing[server];
                let busy = SimDuration::from_nanos((end - since).as_nanos() * requests.min(accelerators) as u64);
                self.edge_busy[server] += busy;
                self.edge_extra_joules += extra_watts * busy.as_seconds();
                self.sharing[server].1 = end;
            }
        }
    }

    /// Closes the round: what a participant did not spend on anything else it waited. Returns each participant's books.
    pub fn end_round(&mut self, now: SimTime, delivered: &[DeviceId]) -> Vec<DeviceTotals> {
        let length = now - self.round_start;
        for d in delivered {
            self.current[d.index()].rounds_delivered = 1;
        }
        let participants = std::mem::take(&mut self.participants);
        let closed = participants.iter().map(|d| {
            let mut books = std::mem::take(&mut self.current[d.index()]);
            books.waiting = (self.round_start + length) - (self.round_start + books.activity.total());
            self.total[d.index()].add(&books);
            books
        });
        closed.collect()
    }

    pub fn totals(&self) -> &[DeviceTotals] {
        &self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_devices_are_listed_as_asked_for_and_evenly() {
        for devices in [1, 2, 7, 100, 1000] {
            for listed in 0..=devices.min(40) {
                let account = Account::new(devices, 1).listing(listed);
                let chosen: Vec<usize> = (0..devices).filter(|&i| account.lists(DeviceId(i as u32))).collect();
                assert_eq!(chosen.len(), listed, "{listed} of {devices}");
                let gaps = chosen.windows(2).map(|w| w[1] - w[0]);
                assert!(gaps.clone().max().unwrap_or(0) <= gaps.min().unwrap_or(0) + 1);
            }
        }
    }
}
