//! Two parts of one transfer as one report: a terminal that changes cells goes on in the next with what is left.

use super::{BlockCounts, LinkLayer, TransferReport};

impl TransferReport {
    /// This part, which was withdrawn, and what `next` did with the rest. Means are over the time of either; the link's budget is
    /// that of the start.
    #[must_use]
    pub fn followed_by(self, next: Self) -> Self {
        let seconds = |r: &Self| (r.end - r.start).as_seconds();
        let usable = |r: &Self| (seconds(r) - r.outage_seconds).max(0.0);
        let mean = |of: &dyn Fn(&Self) -> f64| weighted([(of(&self), seconds(&self)), (of(&next), seconds(&next))]);
        let of_scheme = |of: &dyn Fn(&Self) -> Option<f64>| {
            let parts = [(of(&self), usable(&self)), (of(&next), usable(&next))];
            match parts {
                [(Some(a), w), (Some(b), v)] => Some(weighted([(a, w), (b, v)])),
                [(a, _), (b, _)] => a.or(b),
            }
        };
        let sum = |of: &dyn Fn(&Self) -> Option<f64>| match (of(&self), of(&next)) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        let sent_bytes = self.sent_bytes() + next.sent_bytes();
        let whole_seconds = (next.end - self.start).as_seconds();
        Self {
            link: next.link,
            direction: next.direction,
            bytes: self.sent_bytes() + next.bytes,
            start: self.start,
            end: next.end,
            outcome: next.outcome,
            mean_rate_bps: sent_bytes as f64 * 8.0 / whole_seconds.max(f64::MIN_POSITIVE),
            mean_share: mean(&|r| r.mean_share),
            mean_snr_db: mean(&|r| r.mean_snr_db),
            mean_mcs: of_scheme(&|r| r.mean_mcs),
            budget: self.budget,
            link_layer: LinkLayer {
                cqi: of_scheme(&|r| r.link_layer.cqi),
                effective_snr_db: of_scheme(&|r| r.link_layer.effective_snr_db),
                layers: of_scheme(&|r| r.link_layer.layers),
                resource_blocks: of_scheme(&|r| r.link_layer.resource_blocks),
                block_error_rate: of_scheme(&|r| r.link_layer.block_error_rate),
                transmissions: of_scheme(&|r| r.link_layer.transmissions),
                on_air_s: sum(&|r| r.link_layer.on_air_s),
                outage_s: sum(&|r| r.link_layer.outage_s),
            },
            on_air_seconds: self.on_air_seconds + next.on_air_seconds,
            outage_seconds: self.outage_seconds + next.outage_seconds,
            tx_energy_joules: self.tx_energy_joules + next.tx_energy_joules,
            blocks: match (self.blocks, next.blocks) {
                (Some(a), Some(b)) => Some(BlockCounts {
                    blocks: a.blocks + b.blocks,
                    failed_blocks: a.failed_blocks + b.failed_blocks,
                    repetitions: a.repetitions + b.repetitions,
                    given_up: a.given_up + b.given_up,
                }),
                (a, b) => a.or(b),
            },
        }
    }
}

/// The mean of two values; their plain mean where neither has weight.
fn weighted([(a, w), (b, v)]: [(f64, f64); 2]) -> f64 {
    if w + v > 0.0 { (a * w + b * v) / (w + v) } else { (a + b) / 2.0 }
}
