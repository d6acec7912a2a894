//! Devices, where they stand and how they move.

use super::check::{Check, above_to, from_to};
use crate::scenario::error::Issue;
use crate::scenario::key_path::KeyPath;
use crate::scenario::names::{self, RadioDefaults};
use crate::scenario::raw::{self, MobilityKind, PlacementKind};
use crate::scenario::schema::{DeviceGroup, HandoverSpec, Mobility, OwnHardware, Placement};
use std::collections::BTreeMap;

/// More devices than this are a typing slip, and their tables would not fit a disk.
const MOST_DEVICES: usize = 100_000;
const FARTHEST_M: f64 = 1e6;
/// The order of keys in docs/scenario.md.
const UNIFORM_KEYS: &str = "min_distance_m, max_distance_m";

pub(super) fn devices(
    c: &mut Check,
    at: &KeyPath,
    raw: Option<Vec<raw::DeviceGroup>>,
    (own, radio): (&[OwnHardware], &RadioDefaults),
) -> Vec<DeviceGroup> {
    let example = "devices: [{name: phone, count: 8, hardware: snapdragon_8_gen_3}]";
    let raw = c.required(&KeyPath::default(), "devices", raw, example).unwrap_or_default();
    if raw.is_empty() && !c.issues.iter().any(|issue| issue.path == *at) {
        c.issues
            .push(Issue::value(at.clone(), "an empty list", "at least one group of devices").help(example.to_owned()));
    }
    let mut firsts = BTreeMap::new();
    let groups: Vec<DeviceGroup> =
        raw.into_iter().enumerate().map(|(i, g)| group(c, &at.index(i), g, own, radio)).collect();
    for (i, group) in groups.iter().enumerate() {
        unique(c, &mut firsts, &group.name, at.index(i).key("name"));
    }
    let total = groups.iter().map(|group| group.count).sum::<usize>();
    if total > MOST_DEVICES {
        c.issues.push(Issue::value(at.clone(), format!("{total} devices"), format!("at most {MOST_DEVICES}")));
    }
    groups
}

fn group(
    c: &mut Check,
    at: &KeyPath,
    raw: raw::DeviceGroup,
    own: &[OwnHardware],
    radio: &RadioDefaults,
) -> DeviceGroup {
    let name = required_name(c, at, raw.name, "name: phone");
    let hardware = c.required(at, "hardware", raw.hardware, "hardware: snapdragon_8_gen_3").unwrap_or_default();
    if !hardware.is_empty() {
        known_hardware(c, at.key("hardware"), &hardware, own);
    }
    let indoor_share = c.number(at, "indoor_share", raw.indoor_share, 0.0, from_to(0.0, 1.0));
    if indoor_share > 0.0 && !radio.spec.propagation.has_outside() {
        let message = "the propagation model has no outside: everybody is indoors or nobody";
        c.conflict(at.key("indoor_share"), message, "use `radio: {propagation: umi}`, `uma` or `rma`, or leave it out");
    }
    DeviceGroup {
        name,
        count: c.count(at, "count", raw.count, 1, 1..=MOST_DEVICES),
        hardware,
        compute_share: c.number(at, "compute_share", raw.compute_share, 0.5, above_to(0.0, 1.0)),
        clock_share: c.number(at, "clock_share", raw.clock_share, 1.0, from_to(0.01, 1.0)),
        memory_share: c.number(at, "memory_share", raw.memory_share, 0.5, above_to(0.0, 1.0)),
        battery_percent: c.number(at, "battery_percent", raw.battery_percent, 100.0, above_to(0.0, 100.0)),
        data_weight: c.number(at, "data_weight", raw.data_weight, 1.0, above_to(0.0, 1e6)),
        tx_power_dbm: c.number(at, "tx_power_dbm", raw.tx_power_dbm, radio.device_tx_power_dbm, from_to(-40.0, 50.0)),
        lora_rank: raw.lora_rank.map(|rank| c.count(at, "lora_rank", Some(rank), 1, 1..=65_536)),
        indoor_share,
    }
}

/// Notes hardware that neither the scenario nor the table has.
pub(super) fn known_hardware(c: &mut Check, at: KeyPath, name: &str, own: &[OwnHardware]) {
    let known: Vec<&str> = own.iter().map(|h| h.name.as_str()).chain(names::hardware()).collect();
    c.known(at, name, &known, "`deft list hardware` shows them all; `hardware` adds more");
}

/// The name at `at`.name, checked; empty where it is missing, which is noted.
pub(super) fn required_name(c: &mut Check, at: &KeyPath, raw: Option<String>, example: &str) -> String {
    match c.required(at, "name", raw, example) {
        Some(name) => {
            c.name(at.key("name"), &name);
            name
        }
        None => String::new(),
    }
}

/// Notes `name` if something else already has it.
pub(super) fn unique(c: &mut Check, firsts: &mut BTreeMap<String, KeyPath>, name: &str, at: KeyPath) {
    if name.is_empty() {
        return;
    }
    match firsts.get(name) {
        Some(first) => c.conflict(at, format!("the name \"{name}\" is taken by `{first}`"), "give each its own name"),
        None => drop(firsts.insert(name.to_owned(), at)),
    }
}

pub(super) fn placement(c: &mut Check, raw: raw::Placement, device_count: usize) -> Placement {
    let at = KeyPath::default().key("placement");
    match raw.kind.unwrap_or(PlacementKind::Uniform) {
        PlacementKind::Uniform => {
            c.unused(&at, &[("positions_m", raw.positions_m.is_some())], "uniform", UNIFORM_KEYS);
            let range = from_to(0.0, FARTHEST_M);
            let min_distance_m = c.number(&at, "min_distance_m", raw.min_distance_m, 35.0, range);
            let max_distance_m = c.number(&at, "max_distance_m", raw.max_distance_m, 250.0, range);
            if min_distance_m >= max_distance_m {
                let key = if raw.min_distance_m.is_some() { "min_distance_m" } else { "max_distance_m" };
                let message = format!("min_distance_m {min_distance_m} is not below max_distance_m {max_distance_m}");
                c.conflict(at.key(key), message, "leave a ring for devices to stand in");
            }
            Placement::Uniform { min_distance_m, max_distance_m }
        }
        PlacementKind::Fixed => {
            let distances =
                [("min_distance_m", raw.min_distance_m.is_some()), ("max_distance_m", raw.max_distance_m.is_some())];
            c.unused(&at, &distances, "fixed", "positions_m");
            let example = "positions_m: [[50, 0], [0, 80]]";
            let Some(written) = c.required(&at, "positions_m", raw.positions_m, example) else {
                return Placement::Fixed { positions_m: Vec::new() };
            };
            let list = at.key("positions_m");
            if written.len() != device_count {
                let allowed = format!("{device_count}, one a device");
                c.issues.push(Issue::value(list.clone(), format!("{} positions", written.len()), allowed));
            }
            let positions_m = written.iter().enumerate().map(|(i, p)| position(c, list.index(i), p)).collect();
            Placement::Fixed { positions_m }
        }
    }
}

/// A pair of coordinates.
pub(super) fn position(c: &mut Check, at: KeyPath, written: &[f64]) -> [f64; 2] {
    match *written {
        [x, y] if x.abs() <= FARTHEST_M && y.abs() <= FARTHEST_M => [x, y],
        [x, y] => {
            c.issues.push(Issue::value(at, format!("[{x}, {y}]"), format!("coordinates of at most {FARTHEST_M} m")));
            [0.0, 0.0]
        }
        _ => {
            let found = format!("{} numbers", written.len());
            c.issues.push(Issue::value(at, found, "a pair [x, y] in metres"));
            [0.0, 0.0]
        }
    }
}

pub(super) fn mobility(c: &mut Check, raw: raw::Mobility, placement: &Placement) -> Mobility {
    let at = KeyPath::default().key("mobility");
    match raw.kind.unwrap_or(MobilityKind::Static) {
        MobilityKind::Static => {
            let walking = [
                ("min_speed_m_per_s", raw.min_speed_m_per_s.is_some()),
                ("max_speed_m_per_s", raw.max_speed_m_per_s.is_some()),
                ("pause_s", raw.pause_s.is_some()),
                ("handover", raw.handover.is_some()),
            ];
            c.unused(&at, &walking, "static", "kind");
            Mobility::Static
        }
        MobilityKind::RandomWaypoint => {
            if matches!(placement, Placement::Fixed { .. }) {
                let message = "`random_waypoint` walks over the placement's area, and fixed positions have none";
                c.conflict(at.key("kind"), message, "use `placement: {kind: uniform}` or `mobility: {kind: static}`");
            }
            // A walker whose speed may be 0 slows down for ever (Yoon, Liu, Noble 2003).
            let speed = above_to(0.0, 1000.0);
            let min_speed_m_per_s = c.number(&at, "min_speed_m_per_s", raw.min_speed_m_per_s, 0.5, speed);
            let max_speed_m_per_s = c.number(&at, "max_speed_m_per_s", raw.max_speed_m_per_s, 1.5, speed);
            if min_speed_m_per_s > max_speed_m_per_s {
                let key = if raw.min_speed_m_per_s.is_some() { "min_speed_m_per_s" } else { "max_speed_m_per_s" };
                let message =
                    format!("min_speed_m_per_s {min_speed_m_per_s} is above max_speed_m_per_s {max_speed_m_per_s}");
                c.conflict(at.key(key), message, "exchange the two");
            }
            let pause_s = c.number(&at, "pause_s", raw.pause_s, 0.0, from_to(0.0, 1e6));
            let handover = raw.handover.map(|raw| handover(c, &at.key("handover"), &raw));
            Mobility::RandomWaypoint { min_speed_m_per_s, max_speed_m_per_s, pause_s, handover }
        }
    }
}

/// Customary values of event A3; the interruption is assumed.
fn handover(c: &mut Check, at: &KeyPath, raw: &raw::Handover) -> HandoverSpec {
    HandoverSpec {
        offset_db: c.number(at, "offset_db", raw.offset_db, 3.0, from_to(-15.0, 15.0)),
        hysteresis_db: c.number(at, "hysteresis_db", raw.hysteresis_db, 1.0, from_to(0.0, 15.0)),
        time_to_trigger_ms: c.number(at, "time_to_trigger_ms", raw.time_to_trigger_ms, 160.0, from_to(0.0, 5120.0)),
        measurement_period_ms: c.number(
            at,
            "measurement_period_ms",
            raw.measurement_period_ms,
            200.0,
            from_to(1.0, 1e5),
        ),
        interruption_ms: c.number(at, "interruption_ms", raw.interruption_ms, 50.0, from_to(0.0, 1e5)),
        migrate_state: raw.migrate_state.unwrap_or(true),
    }
}

/// Notes a handover where there is but one cell.
pub(super) fn handover_fits(c: &mut Check, mobility: &Mobility, cell_count: usize) {
    if cell_count == 1 && matches!(mobility, Mobility::RandomWaypoint { handover: Some(_), .. }) {
        let at = KeyPath::default().key("mobility").key("handover");
        c.conflict(at, "the only cell has no other to hand over to", "add `cells`, or leave it out");
    }
}
