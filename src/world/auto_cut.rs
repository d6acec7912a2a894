//! Where to cut the model for each device, and where that is open in what form activations cross: an estimate of its round
//! for every pair of a split point and a form, and the best of them.
//!
//! The estimate follows a round step by step with the nominal mini-batch, links that do not fade and wires that nobody else
//! uses. Devices that work at once each have an equal part of their cell's band; nobody waits for the edge's queue.

use super::{Demand, DeviceId, World, WorldError};
use crate::compute::{CutChoice, CutCost, CutObjective, best_cut};
use crate::radio::{Allocation, Direction};
use crate::scenario::{CutCompression, LabelPlace, SplitObjective, TechniqueSpec};

impl World {
    /// Gives every device its own cut. Who has memory for none of them gets the one that takes least, and no part in
    /// rounds.
    pub(super) fn choose_cuts(&mut self, technique: &TechniqueSpec) -> Result<(), WorldError> {
        let places = technique.split_point.fixed().map_or(0..=self.blocks(), |s| s..=s);
        let forms = self.demand.admitted_compressions();
        let at = |form: &CutCompression| places.clone().map(|s| self.demand.with_cut(s, *form)).collect::<Vec<_>>();
        self.demands = forms.iter().flat_map(at).collect();
        let objective = match technique.split_objective.unwrap_or(SplitObjective::Latency) {
            SplitObjective::Latency => CutObjective::DeviceEnergy { latency_weight: 1.0 },
            SplitObjective::Energy => CutObjective::DeviceEnergy { latency_weight: 0.0 },
            SplitObjective::Weighted { latency_weight } => CutObjective::DeviceEnergy { latency_weight },
            SplitObjective::Card { latency_weight, lowest_edge_speed } => {
                CutObjective::EdgeEnergy { latency_weight, lowest_speed: lowest_edge_speed }
            }
        };
        let least = |d: &Demand| d.device_memory_bytes(d.nominal_batch());
        let smallest = (0..self.demands.len()).min_by_key(|&s| least(&self.demands[s])).unwrap_or(0);
        let nowhere = CutChoice { number: smallest, edge_speed: 1.0, cost: f64::INFINITY };
        for device in &self.devices {
            let costs = self.cut_costs(device.id, technique.local_steps)?;
            let choice = best_cut(&costs, objective).unwrap_or(nowhere);
            device.cut_plan.set(choice.number);
            device.fits.set(None);
            device.split_point.set(self.demands[choice.number].split_point());
            device.edge_speed.set(choice.edge_speed);
        }
        Ok(())
    }

    /// What a round of the device would take, by cut and form.
    fn cut_costs(&self, id: DeviceId, local_steps: usize) -> Result<Vec<CutCost>, WorldError> {
        let device = self.device(id);
        let (cell, steps) = (device.cell(), local_steps as f64);
        let (link, share) = (self.link(device, cell), self.analog_share(cell));
        let rate = |direction| self.cells[cell].air.with(|a| a.typical_allocation(self.now(), link, direction, share));
        let (up, down) = (rate(Direction::Uplink), rate(Direction::Downlink));
        let uplink_share = self.cells[cell].air.with(|a| a.site().air_interface().time_share);
        let downlink_share = self.cells[cell].air.with(|a| a.site().config().radio.downlink_share);
        let server = &self.servers[device.server.get()];
        let (host, far) = (self.cells[cell].host, server.host);
        let mut costs = vec![];
        for of_all in &self.demands {
            let demand = of_all.of_rank(device.lora_rank);
            let (batch, samples) = (demand.nominal_batch(), demand.nominal_samples());
            let mut device_work = vec![demand.forward_below(batch)];
            if demand.gradient_crosses() {
                device_work.push(demand.backward_below(batch));
            }
            let each_way = demand.device_side_bytes() + demand.control_variate_bytes();
            let mut ups = vec![(demand.smashed_bytes(&samples), steps), (each_way, 1.0)];
            let mut downs = vec![(demand.gradient_bytes(&samples), steps), (each_way, 1.0)];
            if demand.label_place() == LabelPlace::Device {
                device_work.extend(demand.head_on_device(batch));
                ups.push((demand.last_gradient_bytes(&samples), steps));
                downs.push((demand.last_hidden_bytes(&samples), steps));
            }
            let edge = demand.at_edge().unwrap_or_else(|| demand.cost().whole());
            let edge_work = [demand.forward(&edge, batch), demand.backward(&edge, batch)];
            let seconds_of = |w: &_| server.hardware.seconds(w, demand.precision());
            let edge_seconds = steps * edge_work.iter().map(seconds_of).sum::<f64>() / server.clock_share;
            let device_seconds = steps * self.device_seconds(device, &device_work);
            let (up_air, down_air) = (air_seconds(&ups, &up), air_seconds(&downs, &down));
            let mut wired = 0.0;
            for &(bytes, times) in ups.iter().chain(&downs).filter(|(bytes, _)| *bytes > 0) {
                wired += times * self.wires.with(|w| w.idle_seconds(host, far, bytes))?;
            }
            let other_seconds = device_seconds + up_air + down_air + wired;
            let on_air = (up_air * uplink_share, down_air * downlink_share);
            let radio = self.radio_joules(up.tx_power_watts * on_air.0, on_air.0 + on_air.1);
            let hardware = &device.hardware;
            let idle_seconds = other_seconds + edge_seconds - device_seconds;
            let computing = device.computing_watts() * device_seconds + hardware.idle_w * idle_seconds;
            let memory = self.fits_with(device, of_all);
            costs.push(CutCost {
                other_seconds,
                edge_seconds,
                device_joules: radio + computing,
                edge_joules: server.hardware.active_w * server.clock_share.powi(3) * edge_seconds,
                fits: memory,
            });
        }
        Ok(costs)
    }
}

/// Time on the air of so many bytes so many times.
fn air_seconds(transfers: &[(u64, f64)], at: &Allocation) -> f64 {
    let bits: f64 = transfers.iter().map(|(bytes, times)| *bytes as f64 * 8.0 * times).sum();
    if bits > 0.0 { bits / at.rate_bps } else { 0.0 }
}
