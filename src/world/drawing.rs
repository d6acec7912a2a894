//! Who is drawn for a round, among those that can take part.

use super::{DeviceId, World};
use crate::radio::Direction;
use rand::RngExt as _;
use rand::seq::SliceRandom as _;

/// A way to draw. Vectors have an entry a device of the world.
#[derive(Clone, Debug, PartialEq)]
pub enum Draw {
    /// All with equal probability.
    Uniform,
    /// Those whose uplink has the highest mean SNR over fading, from where they are now.
    StrongestChannel,
    /// One after another, each with probability in proportion to its weight among those left.
    Weighted(Vec<f64>),
    /// `exploration` of the places go to devices without a utility, drawn uniformly; the rest to the highest utilities.
    Best { utilities: Vec<Option<f64>>, exploration: f64 },
}

impl World {
    /// `wanted` of `able`, in ascending order; all if there are no more.
    pub(super) fn draw(&self, round: usize, wanted: usize, mut able: Vec<DeviceId>, draw: &Draw) -> Vec<DeviceId> {
        if wanted >= able.len() {
            return able;
        }
        let mut stream = self.streams.stream("edge", &format!("participants of round {round}"));
        match draw {
            Draw::Uniform => able.shuffle(&mut stream),
            Draw::StrongestChannel => by_score(&mut able, |d| self.mean_uplink_snr_db(d)),
            // The largest of u^(1 / w) are such a draw (Efraimidis and Spirakis 2006).
            Draw::Weighted(weights) => {
                let scores: Vec<f64> =
                    weights.iter().map(|w| stream.random::<f64>().max(f64::MIN_POSITIVE).ln() / w).collect();
                by_score(&mut able, |d| scores[d.index()]);
            }
            Draw::Best { utilities, exploration } => {
                able.shuffle(&mut stream);
                let places = (exploration * wanted as f64).round() as usize;
                let (mut known, mut fresh): (Vec<DeviceId>, Vec<DeviceId>) =
                    able.iter().partition(|d| utilities[d.index()].is_some());
                by_score(&mut known, |d| utilities[d.index()].unwrap_or(0.0));
                let explored = places.max(wanted.saturating_sub(known.len())).min(fresh.len());
                let left = fresh.split_off(explored);
                able = [fresh, known, left].concat();
            }
        }
        able.truncate(wanted);
        able.sort_unstable();
        able
    }

    /// SNR over the whole band at full power, fast fading aside: that changes many times in a round.
    fn mean_uplink_snr_db(&self, id: DeviceId) -> f64 {
        let device = self.device(id);
        let cell = self.serving_cell(device);
        let link = self.link(device, cell);
        let (allocation, budget) =
            self.cells[cell].air.with(|air| air.site().rate_now(self.now(), link, Direction::Uplink, 1.0));
        allocation.snr_db - budget.fading_db
    }
}

/// Highest first; equal ones keep their order.
fn by_score(devices: &mut [DeviceId], score: impl Fn(DeviceId) -> f64) {
    devices.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
}
