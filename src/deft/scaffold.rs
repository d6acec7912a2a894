//! Control variates that cross out the drift of clients with unlike data.
//!
//! Karimireddy, Kale, Mohri, Reddi, Stich, Suresh 2020 (arXiv 1910.06378, SCAFFOLD), algorithm 1 with option II and a
//! server step of 1. A device adds c - c_i to each local gradient. When it has gone from x to y_i in K steps it keeps
//! c_i' = c_i - c + (x - y_i) / (K eta), and the server moves c by the changes, each with weight 1 / N of N devices. All
//! start at zero, so the first round is that of plain averaging. A device whose update is lost keeps its old c_i.

use super::Run;
use crate::aggregation::Delivery;
use crate::learning::{Combination, StateHandle};
use crate::world::DeviceId;

/// c and, by device, c_i.
pub(super) struct ControlVariates {
    server: StateHandle,
    own: Vec<StateHandle>,
}

impl ControlVariates {
    pub fn new(run: &Run<'_>) -> Self {
        let zeros = run.learn.zeros();
        let own = vec![zeros; run.world.device_count()];
        own.iter().for_each(|c| run.learn.hold(*c));
        Self { server: zeros, own }
    }

    /// The states that a corrected step of `device` asks for.
    pub fn of(&self, device: DeviceId) -> [StateHandle; 2] {
        [self.own[device.index()], self.server]
    }

    /// After a round in which the `delivered` went from `start` to their states.
    pub fn refresh(&mut self, run: &Run<'_>, start: StateHandle, delivered: &[Delivery]) {
        let each = 1.0 / self.own.len() as f64;
        let (mut states, mut weights) = (vec![self.server], vec![1.0]);
        for update in delivered {
            let own = &mut self.own[update.device.index()];
            let next = run.learn.control_variate(*own, self.server, update.steps.len() as u64, [start, update.state]);
            states.extend([next, *own]);
            weights.extend([each, -each]);
            run.learn.hold(next);
            run.learn.release(*own);
            *own = next;
        }
        let moved = Combination::Mean { weights };
        self.server = run.learn.combine(self.server, &states, None, moved.clone(), moved);
    }
}
