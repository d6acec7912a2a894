//! How slots are played.

use super::check::{Check, from_to};
use crate::scenario::key_path::KeyPath;
use crate::scenario::raw::{self, SlotSchedulerKind};
use crate::scenario::schema::{HarqCombining, LinkLayerModel, RadioFidelity, SlotScheduler, SlotSpec};

/// What the flow model assumes of the link layer; slots have one.
pub(super) fn link_layer(
    c: &mut Check,
    radio: &KeyPath,
    fidelity: RadioFidelity,
    written: Option<LinkLayerModel>,
) -> LinkLayerModel {
    if fidelity == RadioFidelity::Slot && written.is_some() {
        let help = "leave it out, or set `fidelity: flow`";
        c.conflict(radio.key("link_layer"), "`fidelity: slot` plays the link layer, it assumes none", help);
    }
    written.unwrap_or_default()
}

pub(super) fn slot(
    c: &mut Check,
    radio: &KeyPath,
    (fidelity, link_layer): (RadioFidelity, LinkLayerModel),
    raw: Option<raw::Slot>,
    tdd: bool,
) -> Option<SlotSpec> {
    let at = radio.key("slot");
    let expected = link_layer == LinkLayerModel::Expected && fidelity == RadioFidelity::Flow;
    if fidelity == RadioFidelity::Flow && !expected {
        if raw.is_some() {
            let help = "set `fidelity: slot`, or `link_layer: expected`, or leave `slot` out";
            c.conflict(at, "`fidelity: flow` plays no slots", help);
        }
        return None;
    }
    let raw = raw.unwrap_or_default();
    if expected && raw.scheduler.as_ref().is_some_and(|s| s.kind.is_some_and(|k| k != SlotSchedulerKind::RoundRobin)) {
        let message = "`link_layer: expected` shares the band equally, as round robin does";
        c.conflict(at.key("scheduler"), message, "set `fidelity: slot` for other schedulers");
    }
    let mut count = |key: &str, written, default, allowed| c.count(&at, key, written, default, allowed) as u32;
    let cqi_period_slots = count("cqi_period_slots", raw.cqi_period_slots, 5, 1..=640);
    let cqi_delay_slots = count("cqi_delay_slots", raw.cqi_delay_slots, 4, 0..=640);
    // TS 38.214 clause 5.1 and TS 36.213 table 7-1: up to 16 processes; 8 in LTE with FDD.
    let harq_processes = count("harq_processes", raw.harq_processes, if tdd { 16 } else { 8 }, 1..=32);
    let harq_round_trip_slots = count("harq_round_trip_slots", raw.harq_round_trip_slots, 8, 1..=64);
    let max_transmissions = count("max_transmissions", raw.max_transmissions, 4, 1..=16);
    if expected && harq_processes < harq_round_trip_slots {
        let written = if raw.harq_processes.is_some() { "harq_processes" } else { "harq_round_trip_slots" };
        let message = format!(
            "`link_layer: expected` never waits for a process, and {harq_processes} are too few for a round trip of \
             {harq_round_trip_slots} slots"
        );
        let help = "set no fewer `harq_processes` than `harq_round_trip_slots`, or `fidelity: slot`";
        c.conflict(at.key(written), message, help);
    }
    Some(SlotSpec {
        scheduler: scheduler(c, &at.key("scheduler"), raw.scheduler.unwrap_or_default()),
        cqi_period_slots,
        cqi_delay_slots,
        target_bler: c.number(&at, "target_bler", raw.target_bler, 0.1, from_to(0.001, 0.9)),
        outer_loop_step_db: c.number(&at, "outer_loop_step_db", raw.outer_loop_step_db, 0.5, from_to(0.0, 10.0)),
        harq_processes,
        harq_round_trip_slots,
        max_transmissions,
        harq_combining: raw.harq_combining.unwrap_or(HarqCombining::IncrementalRedundancy),
    })
}

fn scheduler(c: &mut Check, at: &KeyPath, raw: raw::SlotScheduler) -> SlotScheduler {
    let window = [("window_slots", raw.window_slots.is_some())];
    match raw.kind.unwrap_or(SlotSchedulerKind::RoundRobin) {
        SlotSchedulerKind::RoundRobin => {
            c.unused(at, &window, "round_robin", "kind");
            SlotScheduler::RoundRobin
        }
        SlotSchedulerKind::MaxRate => {
            c.unused(at, &window, "max_rate", "kind");
            SlotScheduler::MaxRate
        }
        SlotSchedulerKind::ProportionalFair => {
            let window_slots = c.number(at, "window_slots", raw.window_slots, 100.0, from_to(1.0, 1e6));
            SlotScheduler::ProportionalFair { window_slots }
        }
    }
}
