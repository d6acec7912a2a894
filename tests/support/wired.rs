//! Playing transfers on a wired network.

use deft::network::{Report, Request, WiredNetwork};
use deft::sim::{FluidModel, SimTime};

/// Runs transfers that start at given times, all alone, and returns their reports in the order of `arrivals`.
pub fn play(network: &mut WiredNetwork, arrivals: &[(SimTime, Request)]) -> Vec<Report> {
    let mut order: Vec<usize> = (0..arrivals.len()).collect();
    order.sort_by_key(|i| arrivals[*i].0);
    let mut waiting = order.into_iter().peekable();
    let (mut keys, mut reports) = (vec![None; arrivals.len()], vec![None; arrivals.len()]);
    loop {
        let arrival = waiting.peek().map(|i| arrivals[*i].0);
        let Some(now) = [arrival, network.next_event()].into_iter().flatten().min() else { break };
        for (key, report) in network.advance(now) {
            let flow = keys.iter().position(|k| *k == Some(key)).unwrap();
            assert_eq!(report.end, now);
            reports[flow] = Some(report);
        }
        while let Some(i) = waiting.next_if(|i| arrivals[*i].0 == now) {
            let key = network.start(now, arrivals[i].1);
            assert!(!keys.contains(&Some(key)), "keys are unique");
            keys[i] = Some(key);
        }
    }
    reports.into_iter().map(|r| r.expect("every transfer completes")).collect()
}
