//! The flows that are being transmitted, where a change touches only what it can reach.
//!
//! `filling` has the rates, this the progress at these rates. `live_flows` fills everything anew, gives the same to the bit,
//! and is what the tests compare with.

use super::filling::Filling;
use super::finish_tree::FinishTree;
use super::live_flows::Flow;
use super::routing::Route;
use crate::sim::SimTime;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub(super) struct ReachedFlows {
    filling: Filling,
    /// By the slot that it has in the filling.
    flows: Vec<Option<Flow>>,
    by_key: HashMap<u64, u32>,
    finishes: FinishTree,
    stale: bool,
    // What sharing out needs, kept for its memory.
    stopped: Vec<(u32, u32, f64)>,
    moved: Vec<(SimTime, u32)>,
}

impl ReachedFlows {
    pub fn new(capacities: Vec<f64>) -> Self {
        Self {
            filling: Filling::new(&capacities),
            flows: vec![],
            by_key: HashMap::new(),
            finishes: FinishTree::default(),
            stale: false,
            stopped: vec![],
            moved: vec![],
        }
    }

    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    pub fn is_stale(&self) -> bool {
        self.stale
    }

    pub fn admit(&mut self, flow: Flow) {
        let slot = self.filling.admit(&flow.route.channels);
        if self.flows.len() <= slot as usize {
            self.flows.resize(slot as usize + 1, None);
        }
        self.by_key.insert(flow.key, slot);
        self.flows[slot as usize] = Some(flow);
        self.stale = true;
    }

    /// Takes the flow out, if it is here, as it was when its rate last changed.
    pub fn withdraw(&mut self, key: u64) -> Option<Flow> {
        let slot = *self.by_key.get(&key)?;
        self.take(slot)
    }

    /// Each flow's key and route, in the order of admission.
    pub fn routes(&self) -> Vec<(u64, Arc<Route>)> {
        let mut routes: Vec<_> = self.flows.iter().flatten().map(|flow| (flow.key, flow.route.clone())).collect();
        routes.sort_unstable_by_key(|(key, _)| *key);
        routes
    }

    /// The earliest finish, after sharing out the rates as of `now` if they are stale.
    pub fn next_finish(&mut self, now: SimTime) -> Option<SimTime> {
        if self.stale {
            self.share_out(now);
        }
        self.finishes.first().map(|(finish, _)| finish)
    }

    /// Takes out the flows that have sent everything by `now`, in the order of admission.
    pub fn retire(&mut self, now: SimTime) -> Vec<Flow> {
        let mut finished = Vec::new();
        while let Some((finish, slot)) = self.finishes.first()
            && finish <= now
        {
            finished.extend(self.take(slot));
        }
        finished.sort_unstable_by_key(|flow| flow.key);
        finished.iter_mut().for_each(|flow| flow.settle(now));
        finished
    }

    fn take(&mut self, slot: u32) -> Option<Flow> {
        self.finishes.remove(slot);
        let flow = self.flows[slot as usize].take()?;
        self.by_key.remove(&flow.key);
        self.filling.remove(slot);
        self.stale = true;
        Some(flow)
    }

    fn share_out(&mut self, now: SimTime) {
        self.stale = false;
        let Self { filling, flows, finishes, stopped, moved, .. } = self;
        stopped.clear();
        moved.clear();
        filling.fill(|slot, link, rate| stopped.push((slot, link, rate)));
        for &(slot, link, rate) in &*stopped {
            let flow = flows[slot as usize].as_mut().expect("only flows that are here are given rates");
            if flow.limit(link as usize, rate, now) {
                moved.push((flow.finish, slot));
            }
        }
        finishes.set_all(moved);
    }
}
