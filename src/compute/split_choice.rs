//! The best place to cut a model, by trying all of them: exact, because a model has few blocks.
//!
//! With a choice of the edge's speed (CARD, Li et al. 2024, arXiv 2412.00090; their abstract names the two decisions, the
//! forms below are ours): at the share phi of its profile's clock the edge takes t / phi seconds and, since dynamic power
//! follows the clock's cube, e phi^2 joules. For a given cut the cost
//!
//!   J(phi) = w (a + t / phi) / T0 + (1 - w) e phi^2 / E0
//!
//! is convex and smallest at phi^3 = w t E0 / (2 (1 - w) e T0), clamped to what the edge can do.

/// What a device's round takes when the model is cut in one place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CutCost {
    /// Seconds in which the edge does not compute.
    pub other_seconds: f64,
    /// Seconds in which the edge computes at full speed.
    pub edge_seconds: f64,
    /// Joules of the device.
    pub device_joules: f64,
    /// Joules of the edge at full speed.
    pub edge_joules: f64,
    /// Whether device and edge have the memory.
    pub fits: bool,
}

/// What is to be small: a weighted sum, each part over its own smallest value, so that neither has a unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CutObjective {
    /// Seconds with this weight, the device's joules with the rest to 1.
    DeviceEnergy { latency_weight: f64 },
    /// Seconds with this weight, the edge's joules with the rest, by the edge's speed too.
    EdgeEnergy { latency_weight: f64, lowest_speed: f64 },
}

/// The best cut, and the best speed of the edge for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CutChoice {
    /// Among the costs that were compared.
    pub number: usize,
    pub edge_speed: f64,
    /// The objective's value.
    pub cost: f64,
}

/// The cheapest of `costs`, the first of equals. `None` if none fits.
pub fn best_cut(costs: &[CutCost], objective: CutObjective) -> Option<CutChoice> {
    let fitting = || costs.iter().enumerate().filter(|(_, c)| c.fits);
    let smallest = |of: &dyn Fn(&CutCost) -> f64| fitting().map(|(_, c)| of(c)).fold(f64::INFINITY, f64::min);
    let scale = |smallest: f64| if smallest > 0.0 { smallest } else { 1.0 };
    let seconds = scale(smallest(&|c| c.other_seconds + c.edge_seconds));
    let choice = |(number, c): (usize, &CutCost)| match objective {
        CutObjective::DeviceEnergy { latency_weight: w } => {
            let joules = scale(smallest(&|c| c.device_joules));
            let cost = w * (c.other_seconds + c.edge_seconds) / seconds + (1.0 - w) * c.device_joules / joules;
            CutChoice { number, edge_speed: 1.0, cost }
        }
        CutObjective::EdgeEnergy { latency_weight: w, lowest_speed } => {
            let joules = scale(smallest(&|c| c.edge_joules));
            let edge_speed = best_speed(c, w, seconds, joules).clamp(lowest_speed, 1.0);
            let cost = w * (c.other_seconds + c.edge_seconds / edge_speed) / seconds
                + (1.0 - w) * c.edge_joules * edge_speed.powi(2) / joules;
            CutChoice { number, edge_speed, cost }
        }
    };
    fitting().map(choice).reduce(|best, next| if next.cost < best.cost { next } else { best })
}

/// Where the derivative of the cost by the speed is zero.
fn best_speed(c: &CutCost, latency_weight: f64, seconds: f64, joules: f64) -> f64 {
    let (w, slow, hungry) = (latency_weight, c.edge_seconds / seconds, c.edge_joules / joules);
    let against = 2.0 * (1.0 - w) * hungry;
    if against > 0.0 { (w * slow / against).cbrt() } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::CounterStream;

    fn costs(seed: u64) -> Vec<CutCost> {
        let draw = CounterStream::new(seed, 4);
        let cost = |i: u64| CutCost {
            other_seconds: 5.0 * draw.uniform(5 * i),
            edge_seconds: 3.0 * draw.uniform(5 * i + 1),
            device_joules: 20.0 * draw.uniform(5 * i + 2),
            edge_joules: 400.0 * draw.uniform(5 * i + 3),
            fits: draw.uniform(5 * i + 4) > 0.2,
        };
        (0..7).map(cost).collect()
    }

    /// The cost of a cut and a speed, written out anew.
    fn price(all: &[CutCost], s: usize, phi: f64, w: f64, edge: bool) -> f64 {
        let least = |of: fn(&CutCost) -> f64| {
            all.iter().filter(|c| c.fits).map(of).min_by(f64::total_cmp).expect("some cut fits")
        };
        let (c, t0) = (&all[s], least(|c| c.other_seconds + c.edge_seconds));
        let joules = if edge {
            c.edge_joules * phi * phi / least(|c| c.edge_joules)
        } else {
            c.device_joules / least(|c| c.device_joules)
        };
        w * (c.other_seconds + c.edge_seconds / phi) / t0 + (1.0 - w) * joules
    }

    #[test]
    fn no_cut_and_no_speed_is_cheaper() {
        for seed in 0..200 {
            let all = costs(seed);
            for w in [0.0, 0.2, 0.5, 0.9, 1.0] {
                let own = best_cut(&all, CutObjective::DeviceEnergy { latency_weight: w });
                let lowest_speed = 0.3;
                let card = best_cut(&all, CutObjective::EdgeEnergy { latency_weight: w, lowest_speed });
                let (Some(own), Some(card)) = (own, card) else {
                    assert!(all.iter().all(|c| !c.fits));
                    continue;
                };
                assert!((own.cost - price(&all, own.number, 1.0, w, false)).abs() < 1e-12);
                assert!((card.cost - price(&all, card.number, card.edge_speed, w, true)).abs() < 1e-12);
                for s in (0..all.len()).filter(|&s| all[s].fits) {
                    assert!(own.cost <= price(&all, s, 1.0, w, false) + 1e-12);
                    for step in 0..=700 {
                        let phi = lowest_speed + f64::from(step) * 1e-3;
                        assert!(card.cost <= price(&all, s, phi, w, true) + 1e-12, "{seed} {w} {s} {phi}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_not_chosen() {
        let mut all = costs(1);
        all.iter_mut().for_each(|c| c.fits = false);
        assert_eq!(best_cut(&all, CutObjective::DeviceEnergy { latency_weight: 1.0 }), None);
        all[3].fits = true;
        let only = best_cut(&all, CutObjective::DeviceEnergy { latency_weight: 1.0 });
        assert_eq!(only.map(|c| c.number), Some(3));
    }
}
