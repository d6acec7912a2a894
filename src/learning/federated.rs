//! Federated servers: control variates, and optimisers that take a round's update for a gradient.

use super::operation::Operation;
use super::plane::{Learning, StateHandle};
use super::value::State;
use crate::backend::Numbers;
use crate::nn::{Group, ParameterLayout};
use crate::scenario::ServerSpec;

impl Learning {
    /// Parameters that are all zero.
    pub fn zeros(&self) -> StateHandle {
        StateHandle(self.add(Operation::Zeros, vec![]))
    }

    /// SCAFFOLD's next control variate of a device whose `own` and whose server's control were these while `steps` local
    /// steps led from `start` to `end`.
    pub fn control_variate(
        &self,
        own: StateHandle,
        server: StateHandle,
        steps: u64,
        [start, end]: [StateHandle; 2],
    ) -> StateHandle {
        let inputs = [own, server, start, end].map(|s| s.0).to_vec();
        StateHandle(self.add(Operation::ControlVariate { steps }, inputs))
    }

    /// `state` as a device knows it that holds the first `rank` ranks of each low-rank pair: the others are zero, and no
    /// gradient reaches them.
    pub fn first_ranks(&self, state: StateHandle, rank: usize) -> StateHandle {
        StateHandle(self.add(Operation::FirstRanks { rank }, vec![state.0]))
    }

    /// The next global model: the server's optimiser goes from `reference` along what `combined` says.
    pub fn server_step(&self, reference: StateHandle, combined: StateHandle, rule: ServerSpec) -> StateHandle {
        match rule {
            ServerSpec::Mean => combined,
            _ => StateHandle(self.add(Operation::ServerStep { rule }, vec![reference.0, combined.0])),
        }
    }
}

/// The device's next control variate, SCAFFOLD's option II (Karimireddy et al. 2020, arXiv 1910.06378, algorithm 1,
/// line 12): `c_i - c + (x - y_i) / (K eta_l)`, entry by entry, with the learning rate of the entry's group.
///
/// `start` is x, `end` is y_i, where `steps` = K local steps led.
pub(super) fn control_variate(
    layout: &ParameterLayout,
    rates: LearningRates,
    steps: u64,
    [own, server, start, end]: [&State; 4],
) -> State {
    let mut parameters = vec![0.0; layout.len()];
    for tensor in layout.tensors() {
        let way = steps as f64 * rates.of(tensor.group);
        for i in tensor.range() {
            let at = |s: &State| f64::from(s.parameters[i]);
            parameters[i] = (at(own) - at(server) + (at(start) - at(end)) / way) as f32;
        }
    }
    State { parameters, moments: None, loss: None }
}

/// Learning rates of local steps.
#[derive(Clone, Copy)]
pub(super) struct LearningRates {
    pub peft: f64,
    pub head: f64,
}

impl LearningRates {
    fn of(self, group: Group) -> f64 {
        match group {
            Group::Peft => self.peft,
            Group::Head => self.head,
        }
    }
}

/// The next global model: a step of the server's optimiser from `reference` along `combined - reference`.
///
/// Reddi et al. 2021 (arXiv 2003.00295), algorithm 2, with D = combined - reference, m = 0 and v = tau^2 at the start
/// and no bias correction: m = b1 m + (1 - b1) D; v = v + D^2 (Adagrad), b2 v + (1 - b2) D^2 (Adam) or
/// v - (1 - b2) D^2 sign(v - D^2) (Yogi); x = reference + lr m / (sqrt(v) + tau). Momentum is that of Hsu et al. 2019
/// (arXiv 1909.06335): m = b1 m + D; x = reference + lr m, which with b1 = 0 and lr = 1 is `combined` to the last bit.
///
/// The server's memory is the moments of the reference, and goes on as those of the result.
pub(super) fn server_step(rule: &ServerSpec, reference: &State, combined: &State) -> State {
    let len = reference.parameters.len();
    let mut moments = reference.moments.clone().unwrap_or_default();
    moments.step += 1;
    let first = moments.step == 1;
    let mut m = memory(&mut moments.m, len, 0.0);
    let mut parameters = Vec::with_capacity(len);
    let updates = reference.parameters.iter().zip(&combined.parameters).map(|(x, c)| (f64::from(*x), f64::from(*c)));
    match *rule {
        ServerSpec::Mean => parameters.clone_from(&combined.parameters),
        ServerSpec::Momentum { learning_rate, beta1 } => {
            for ((x, c), m) in updates.zip(&mut m) {
                let update = c - x;
                let velocity = beta1 * f64::from(*m) + update;
                parameters.push((c + (learning_rate * velocity - update)) as f32);
                *m = velocity as f32;
            }
        }
        ServerSpec::Adam { learning_rate, beta1, tau, .. }
        | ServerSpec::Yogi { learning_rate, beta1, tau, .. }
        | ServerSpec::Adagrad { learning_rate, beta1, tau } => {
            let mut v = memory(&mut moments.v, len, if first { (tau * tau) as f32 } else { 0.0 });
            for (((x, c), m), v) in updates.zip(&mut m).zip(&mut v) {
                let update = c - x;
                let mean = beta1 * f64::from(*m) + (1.0 - beta1) * update;
                let second = second_moment(rule, f64::from(*v), update * update);
                parameters.push((x + learning_rate * mean / (second.sqrt() + tau)) as f32);
                (*m, *v) = (mean as f32, second as f32);
            }
            moments.v = v.into();
        }
    }
    moments.m = m.into();
    State { parameters, moments: Some(moments), loss: None }
}

/// The vector, taken out; `len` entries of `initial` if it is empty.
fn memory(vector: &mut Numbers, len: usize, initial: f32) -> Vec<f32> {
    let vector = std::mem::take(vector.make_mut());
    if vector.is_empty() { vec![initial; len] } else { vector }
}

fn second_moment(rule: &ServerSpec, v: f64, square: f64) -> f64 {
    match *rule {
        ServerSpec::Adam { beta2, .. } => beta2 * v + (1.0 - beta2) * square,
        ServerSpec::Yogi { beta2, .. } => {
            let sign = if v > square {
                1.0
            } else if v < square {
                -1.0
            } else {
                0.0
            };
            v - (1.0 - beta2) * square * sign
        }
        _ => v + square,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(parameters: &[f32]) -> State {
        State { parameters: parameters.to_vec(), moments: None, loss: None }
    }

    fn close(state: &State, expected: &[f64]) {
        for (a, b) in state.parameters.iter().zip(expected) {
            assert!((f64::from(*a) - b).abs() < 1e-6, "{:?} {expected:?}", state.parameters);
        }
    }

    /// Two steps of each rule, worked out by hand: from x = 1 towards 1.5 (D = 0.5), then towards 0.1 below (D = -0.1).
    #[test]
    fn rules_follow_their_papers() {
        let two = |rule: ServerSpec| {
            let first = server_step(&rule, &state(&[1.0]), &state(&[1.5]));
            let goal = state(&[first.parameters[0] - 0.1]);
            let second = server_step(&rule, &first, &goal);
            [f64::from(first.parameters[0]), f64::from(second.parameters[0])]
        };
        let near = |[a, b]: [f64; 2], [x, y]: [f64; 2]| {
            assert!((a - x).abs() < 1e-5 && (b - y).abs() < 1e-5, "{a} {b}, expected {x} {y}");
        };
        // m: 0.5, then 0.45 - 0.1 = 0.35.
        near(two(ServerSpec::Momentum { learning_rate: 0.1, beta1: 0.9 }), [1.05, 1.085]);
        let (learning_rate, beta1, beta2, tau) = (0.1, 0.5, 0.75, 0.2);
        // m: 0.25, then 0.125 - 0.05 = 0.075.
        // v: 0.75 * 0.04 + 0.25 * 0.25 = 0.0925, then 0.069375 + 0.0025 = 0.071875.
        let adam = two(ServerSpec::Adam { learning_rate, beta1, beta2, tau });
        let first = 1.0 + 0.1 * 0.25 / (0.0925f64.sqrt() + 0.2);
        near(adam, [first, first + 0.1 * 0.075 / (0.071875f64.sqrt() + 0.2)]);
        // v: 0.04 < 0.25, so 0.04 + 0.0625 = 0.1025; then 0.1025 > 0.01, so 0.1025 - 0.0025 = 0.1.
        let yogi = two(ServerSpec::Yogi { learning_rate, beta1, beta2, tau });
        let first = 1.0 + 0.1 * 0.25 / (0.1025f64.sqrt() + 0.2);
        near(yogi, [first, first + 0.1 * 0.075 / (0.1f64.sqrt() + 0.2)]);
        // v: 0.04 + 0.25 = 0.29, then 0.3.
        let adagrad = two(ServerSpec::Adagrad { learning_rate, beta1, tau });
        let first = 1.0 + 0.1 * 0.25 / (0.29f64.sqrt() + 0.2);
        near(adagrad, [first, first + 0.1 * 0.075 / (0.3f64.sqrt() + 0.2)]);
    }

    #[test]
    fn momentum_without_memory_is_the_mean_to_the_last_bit() {
        let (reference, combined) = (state(&[1.0, -3.0e-7, 1e20, 0.3]), state(&[1e-12, 5.0, -7.0, 0.1]));
        let rule = ServerSpec::Momentum { learning_rate: 1.0, beta1: 0.0 };
        let first = server_step(&rule, &reference, &combined);
        assert_eq!(first.parameters, combined.parameters);
        assert_eq!(server_step(&rule, &first, &reference).parameters, reference.parameters);
    }

    #[test]
    fn a_control_variate_is_the_mean_gradient_of_plain_steps() {
        use crate::fomo::preset;
        let architecture = preset("minilm-l6").expect("a preset");
        let objective = crate::data::Objective::Classification { classes: 2 };
        let layout = ParameterLayout::new(&architecture, &[], objective).expect("a head alone");
        // Two steps along gradients 3 and 5 at rate 0.1, corrected by c - c_i = 0.5 - 2 each.
        let (own, server, start) = (2.0f32, 0.5f32, 1.0f32);
        let end = start - 0.1 * (3.0 - own + server) - 0.1 * (5.0 - own + server);
        let filled = |x: f32| state(&vec![x; layout.len()]);
        let rates = LearningRates { peft: 7.0, head: 0.1 };
        let states = [own, server, start, end].map(filled);
        let next = control_variate(&layout, rates, 2, states.each_ref());
        close(&next, &vec![4.0; layout.len()]);
    }
}
