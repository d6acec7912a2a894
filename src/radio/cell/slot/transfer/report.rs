//! What a transfer comes to when it ends.

use super::SlotTransfer;
use crate::radio::cell::slot::timing::Timing;
use crate::radio::cell::{BlockCounts, LinkLayer, Outcome, TransferReport};
use crate::sim::SimTime;

impl SlotTransfer {
    /// The report of a transfer that ends by itself at `end`.
    pub fn report(mut self, end: SimTime, blocks: u32) -> Box<TransferReport> {
        self.close_outage(end);
        let undelivered_bytes = self.undelivered_bytes(0);
        let outcome = if self.is_done() { Outcome::Delivered } else { Outcome::Outage { undelivered_bytes } };
        self.summed_up(end, blocks, outcome)
    }

    /// The report of a transfer that is withdrawn at `end`: a block whose slot has not ended has not arrived.
    pub fn withdraw(mut self, end: SimTime, blocks: u32, timing: &Timing) -> Box<TransferReport> {
        self.close_outage(end);
        let unfinished = timing.start(self.fresh.0 + 1) > end;
        let undelivered_bytes = self.undelivered_bytes(if unfinished { self.fresh.1 } else { 0 });
        self.summed_up(end, blocks, Outcome::Withdrawn { undelivered_bytes })
    }

    fn undelivered_bytes(&self, fresh_bits: u64) -> u64 {
        (self.request.bytes * 8 - (self.decoded_bits - fresh_bits)).div_ceil(8)
    }

    fn summed_up(self, end: SimTime, blocks: u32, outcome: Outcome) -> Box<TransferReport> {
        let t = &self.totals;
        let bytes = self.request.bytes;
        let delivered = match outcome {
            Outcome::Delivered => bytes,
            Outcome::Outage { undelivered_bytes } | Outcome::Withdrawn { undelivered_bytes } => {
                bytes - undelivered_bytes
            }
        };
        let seconds = (end - self.start).as_seconds();
        let mean = |sum: f64| if t.transmissions > 0 { sum / t.transmissions as f64 } else { 0.0 };
        let dealt = (t.slots * u64::from(blocks)).max(1) as f64;
        let counts = BlockCounts {
            blocks: t.first,
            failed_blocks: t.failed_blocks,
            repetitions: t.transmissions - t.first,
            given_up: t.given_up,
        };
        let sent = |mean: f64| (t.transmissions > 0).then_some(mean);
        Box::new(TransferReport {
            link: self.request.link,
            direction: self.request.direction,
            bytes,
            start: self.start,
            end,
            outcome,
            mean_rate_bps: if seconds > 0.0 { delivered as f64 * 8.0 / seconds } else { 0.0 },
            mean_share: t.granted_blocks as f64 / dealt,
            mean_snr_db: if t.transmissions > 0 { mean(t.snr_db) } else { self.channel.1.on(0.0) },
            mean_mcs: (t.transmissions > 0).then(|| mean(t.mcs as f64)),
            budget: self.budget,
            link_layer: LinkLayer {
                cqi: sent(mean(t.cqi as f64)),
                effective_snr_db: sent(mean(t.effective_snr_db)).filter(|_| self.selectivity.is_some()),
                layers: sent(mean(t.layers as f64)),
                resource_blocks: sent(mean(t.used_blocks as f64)),
                block_error_rate: sent(counts.bler()),
                transmissions: sent(t.transmissions as f64 / t.first.max(1) as f64),
                on_air_s: Some(t.on_air_seconds),
                outage_s: Some(t.outage_seconds),
            },
            on_air_seconds: t.on_air_seconds,
            outage_seconds: t.outage_seconds,
            tx_energy_joules: t.joules,
            blocks: Some(counts),
        })
    }
}
