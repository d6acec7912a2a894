//! One cell's part in a superposition: who sends, with what power, and how it arrives. No time passes here.

use super::air::{Arrival, Transmission};
use super::{Device, DeviceId, World};
use crate::radio::LinkId;
use crate::radio::aircomp::beam::{self, Vector};
use crate::radio::aircomp::misalignment::{estimate, phase_slope};
use crate::radio::aircomp::power_control::optimal_power_weighted;
use crate::radio::aircomp::uniform_forcing::uniform_forcing;
use crate::radio::aircomp::{AirInterface, ChannelState, TruncatedInversion, ValuesPerSymbol};
use crate::radio::units::dbm_to_watts;
use crate::scenario::{AirPowerControl, AirScheduling, Beamforming};
use crate::sim::SimDuration;
use nalgebra::{Complex, DVector};

/// One cell's part in a superposition.
pub(super) struct CellSum {
    pub cell: usize,
    pub members: Vec<Member>,
    /// Noise over the received power of a device of weight 1; 0 if nobody sends.
    pub noise_to_power: f64,
    pub subcarriers: u32,
    pub air: SimDuration,
    /// Part of `air` in which the uplink has the carrier.
    pub on_air_seconds: f64,
}

pub(super) struct Member {
    /// In the list of devices asked.
    pub position: usize,
    pub link: LinkId,
    pub arrival: Arrival,
    /// Mean transmit power over the whole band.
    pub tx_watts: f64,
}

/// Devices that are to send, with what they believe of their channels.
struct Scheduled {
    weights: Vec<f64>,
    /// Power and large-scale gain as they are, fading as believed.
    states: Vec<ChannelState>,
    /// Small-scale gains at each antenna.
    channels: Vec<Vector>,
    believed: Vec<Vector>,
}

/// What a power control makes of them: factor on a device's weight (0 if silent), watts a subcarrier, and the noise.
struct Powered {
    intended: Vec<f64>,
    /// How the devices arrive beside what they intended, 1 if they know their channels.
    mismatch: Vec<Complex<f64>>,
    watts_per_subcarrier: Vec<f64>,
    noise_to_power: f64,
}

impl World {
    /// Whether each of `devices` may send now.
    pub(super) fn scheduled(&self, devices: &[DeviceId], scheduling: AirScheduling) -> Vec<bool> {
        let AirScheduling::Strongest { devices: wanted } = scheduling else { return vec![true; devices.len()] };
        let received = |id: &DeviceId| {
            let device = self.device(*id);
            let cell = self.serving_cell(device);
            let link = self.link(device, cell);
            let state = self.cells[cell].air.with(|a| a.site().air_state(&[link], self.now()));
            state.first().map_or(0.0, |s| s.power_watts * s.path_gain * s.fading_power)
        };
        let powers: Vec<f64> = devices.iter().map(received).collect();
        let mut order: Vec<usize> = (0..devices.len()).collect();
        order.sort_by(|&a, &b| powers[b].total_cmp(&powers[a]));
        let mut scheduled = vec![false; devices.len()];
        order.into_iter().take(wanted).for_each(|i| scheduled[i] = true);
        scheduled
    }

    /// Draws how the devices at the positions `here` arrive in `cell` now.
    pub(super) fn realise(
        &self,
        cell: usize,
        here: &[usize],
        devices: &[DeviceId],
        scheduled: &[bool],
        sent: &Transmission,
    ) -> CellSum {
        let links: Vec<LinkId> = here.iter().map(|&i| self.link(self.device(devices[i]), cell)).collect();
        let (air, subcarrier_hz) = self.cells[cell].air.with(|a| (a.site().air_interface(), a.site().subcarrier_hz()));
        let seconds = air.round_seconds(self.demand.device_side_parameters(), ValuesPerSymbol::Two);
        let members = here.iter().zip(&links).map(|(&position, &link)| Member {
            position,
            link,
            arrival: Arrival::default(),
            tx_watts: 0.0,
        });
        let mut sum = CellSum {
            cell,
            members: members.collect(),
            noise_to_power: 0.0,
            subcarriers: air.subcarriers,
            air: SimDuration::from_seconds(seconds),
            on_air_seconds: seconds * air.time_share,
        };
        let active: Vec<usize> =
            (0..here.len()).filter(|&m| scheduled[here[m]] && sent.weights[here[m]] > 0.0).collect();
        if active.is_empty() {
            return sum;
        }
        let who: Vec<&Device> = active.iter().map(|&m| self.device(devices[here[m]])).collect();
        let links: Vec<LinkId> = active.iter().map(|&m| links[m]).collect();
        let weights = active.iter().map(|&m| sent.weights[here[m]]).collect();
        let powered = power(&self.believed(cell, &who, &links, weights, sent), &air, sent.power_control);
        sum.noise_to_power = powered.noise_to_power;
        for (k, &m) in active.iter().enumerate() {
            let intended = powered.intended[k];
            let round = self.round.get() as u64;
            let draw = |purpose: &str| self.streams.counter(&who[k].name, purpose).normal(round);
            let delay = sent.imperfections.timing_error_ns * 1e-9 * draw("timing error");
            let member = &mut sum.members[m];
            member.tx_watts = powered.watts_per_subcarrier[k] * f64::from(air.subcarriers);
            if intended > 0.0 {
                member.arrival = Arrival {
                    sends: true,
                    intended,
                    amplitude: intended * powered.mismatch[k].norm(),
                    radians: powered.mismatch[k].arg() + sent.imperfections.phase_error_rad * draw("phase error"),
                    radians_per_subcarrier: phase_slope(delay, subcarrier_hz),
                };
            }
        }
        sum
    }

    /// The channels of `who`, and what they believe them to be.
    fn believed(
        &self,
        cell: usize,
        who: &[&Device],
        links: &[LinkId],
        weights: Vec<f64>,
        sent: &Transmission,
    ) -> Scheduled {
        let antennas = match sent.power_control {
            AirPowerControl::UniformForcing { receive_antennas, .. } => receive_antennas,
            AirPowerControl::TruncatedInversion { .. } | AirPowerControl::Optimal => 1,
        };
        let (mut states, gains) = self.cells[cell]
            .air
            .with(|a| (a.site().air_state(links, self.now()), a.site().antenna_gains(links, self.now(), antennas)));
        let channels: Vec<Vector> = gains
            .iter()
            .map(|g| DVector::from_iterator(antennas, g.iter().map(|&(re, im)| Complex::new(re, im))))
            .collect();
        let error = sent.imperfections.channel_error;
        let believed: Vec<Vector> = if error > 0.0 {
            let of = |(h, device): (&Vector, &&Device)| {
                let draws = self.streams.counter(&device.name, "channel estimate").child(self.round.get() as u64);
                DVector::from_fn(antennas, |n, _| estimate(h[n], error, &draws, n as u64))
            };
            channels.iter().zip(who).map(of).collect()
        } else {
            channels.clone()
        };
        let limit_watts = dbm_to_watts(sent.average_power_dbm);
        for (state, h) in states.iter_mut().zip(&believed) {
            state.power_watts = state.power_watts.min(limit_watts);
            if error > 0.0 {
                state.fading_power = h[0].norm_sqr();
            }
        }
        Scheduled { weights, states, channels, believed }
    }
}

fn power(devices: &Scheduled, air: &AirInterface, control: AirPowerControl) -> Powered {
    match control {
        AirPowerControl::TruncatedInversion { truncation_threshold } => inverted(devices, air, truncation_threshold),
        AirPowerControl::Optimal => optimal(devices, air),
        AirPowerControl::UniformForcing { beamforming, .. } => forced(devices, air, beamforming),
    }
}

fn nobody(devices: usize) -> Powered {
    Powered {
        intended: vec![0.0; devices],
        mismatch: vec![Complex::from(1.0); devices],
        watts_per_subcarrier: vec![0.0; devices],
        noise_to_power: 0.0,
    }
}

/// Whether a common received power is one at all: a channel that is exactly zero leaves none.
fn heard(eta: f64) -> bool {
    eta.is_finite() && eta > 0.0
}

/// How a device arrives that means to send aligned: `real` over `believed`, exactly 1 where it knows its channel.
fn mismatch(real: Complex<f64>, believed: Complex<f64>) -> Complex<f64> {
    if real == believed { Complex::from(1.0) } else { real / believed }
}

fn first_antenna(devices: &Scheduled) -> Vec<Complex<f64>> {
    devices.channels.iter().zip(&devices.believed).map(|(h, b)| mismatch(h[0], b[0])).collect()
}

fn inverted(devices: &Scheduled, air: &AirInterface, threshold: f64) -> Powered {
    // The reader of scenarios admits positive thresholds only.
    let Ok(scheme) = TruncatedInversion::new(threshold) else { return nobody(devices.states.len()) };
    let s = scheme.realise(&devices.states, air);
    Powered {
        intended: s.participants.iter().map(|p| f64::from(*p)).collect(),
        mismatch: first_antenna(devices),
        noise_to_power: if s.scale > 0.0 { (s.noise_std / s.scale).powi(2) } else { 0.0 },
        watts_per_subcarrier: s.mean_tx_watts,
    }
}

/// Power limits a subcarrier.
fn limits(devices: &Scheduled, air: &AirInterface) -> Vec<f64> {
    devices.states.iter().map(|s| s.power_watts / f64::from(air.subcarriers)).collect()
}

fn optimal(devices: &Scheduled, air: &AirInterface) -> Powered {
    let amplitudes: Vec<f64> = devices.states.iter().map(|s| (s.path_gain * s.fading_power).sqrt()).collect();
    let optimum = optimal_power_weighted(&limits(devices, air), &amplitudes, &devices.weights, air.noise_watts);
    if !heard(optimum.eta) {
        return nobody(amplitudes.len());
    }
    let arrives = |((p, h), a): ((&f64, &f64), &f64)| ((p / optimum.eta).sqrt() * h / a).min(1.0);
    Powered {
        intended: optimum.powers.iter().zip(&amplitudes).zip(&devices.weights).map(arrives).collect(),
        mismatch: first_antenna(devices),
        noise_to_power: air.noise_watts / optimum.eta,
        watts_per_subcarrier: optimum.powers,
    }
}

fn forced(devices: &Scheduled, air: &AirInterface, beamforming: Beamforming) -> Powered {
    let limits = limits(devices, air);
    let attenuated: Vec<Vector> =
        devices.believed.iter().zip(&devices.states).map(|(h, s)| h.scale(s.path_gain.sqrt())).collect();
    // The beam is to be good to those who reach least far for their weight.
    let reach: Vec<Vector> =
        attenuated.iter().zip(&limits).zip(&devices.weights).map(|((h, p), a)| h.scale(p.sqrt() / a)).collect();
    let beam = match beamforming {
        Beamforming::Matched => beam::matched(&reach),
        Beamforming::ZeroForcing => beam::zero_forcing(&reach),
        Beamforming::Optimised => beam::optimised(&reach),
    };
    let sent = uniform_forcing(&limits, &attenuated, &devices.weights, &beam, air.noise_watts);
    if !heard(sent.eta) {
        return nobody(limits.len());
    }
    let left = |(h, b): (&Vector, &Vector)| mismatch(beam.dotc(h), beam.dotc(b));
    Powered {
        intended: vec![1.0; limits.len()],
        mismatch: devices.channels.iter().zip(&devices.believed).map(left).collect(),
        noise_to_power: air.noise_watts / sent.eta,
        watts_per_subcarrier: sent.factors.iter().map(|b| b.norm_sqr()).collect(),
    }
}
