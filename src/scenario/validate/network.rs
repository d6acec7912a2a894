//! Cells, servers, prices, and what the tables hold of them.

use super::check::{Check, above_to, from_to};
use super::devices::{known_hardware, position, required_name};
use crate::scenario::error::Issue;
use crate::scenario::key_path::KeyPath;
use crate::scenario::raw::{self, CountOrAll, EdgeSharingKind};
use crate::scenario::schema::{
    CellSpec, EdgeServerSpec, EdgeSharing, OwnHardware, Prices, Propagation, ResultsSpec, SplitObjective, TechniqueSpec,
};

/// Antenna heights of TR 38.901 tables 7.2-1 to 7.2-3 and 7.4.1-1.
fn antenna_height_m(propagation: Propagation) -> f64 {
    match propagation {
        Propagation::Uma | Propagation::FreeSpace => 25.0,
        Propagation::Umi => 10.0,
        Propagation::Rma => 35.0,
        Propagation::InhOpen | Propagation::InhMixed => 3.0,
        // Among clutter of 2 or 6 m, or above it.
        Propagation::InfSl | Propagation::InfDl => 1.5,
        Propagation::InfSh | Propagation::InfDh => 8.0,
    }
}

/// More of a kind than this are a typing slip.
const MOST_OF_A_KIND: usize = 100_000;
/// Distance between neighbouring sites of an urban macro network (TR 38.901 table 7.2-1).
const SPACING_M: f64 = 500.0;

/// What an entry of a list, or several of equal kind, came to.
pub(super) struct Listed<T> {
    pub specs: Vec<T>,
    /// The entry of each.
    pub entries: Vec<usize>,
}

impl<T> Listed<T> {
    fn one(spec: T) -> Self {
        Self { specs: vec![spec], entries: vec![0] }
    }

    fn extend(&mut self, entry: usize, specs: impl IntoIterator<Item = T>) {
        self.specs.extend(specs);
        self.entries.resize(self.specs.len(), entry);
    }
}

/// How many cells a scenario has; what is wrong with a count is noted where cells are read.
pub(super) fn cell_count(raw: Option<&[raw::Cell]>) -> usize {
    let of_entry = |cell: &raw::Cell| cell.count.map_or(1, |n| (n as usize).clamp(1, MOST_OF_A_KIND));
    raw.map_or(1, |cells| cells.iter().map(of_entry).sum())
}

/// The names of what an entry stands for: its own, or numbered from 0 where the entry has a count.
fn names_of(name: &str, counted: Option<usize>) -> Vec<String> {
    match counted {
        None => vec![name.to_owned()],
        Some(count) => (0..count).map(|i| format!("{name}-{i}")).collect(),
    }
}

/// Offsets of the sites of a hexagonal grid from its centre, in units of their spacing, ring by ring.
fn hexagonal_sites() -> impl Iterator<Item = [f64; 2]> {
    let turn = |sixths: usize| std::f64::consts::FRAC_PI_3 * sixths as f64;
    // From each corner of a ring, as many steps towards the next one as the ring has number.
    let ring = move |n: usize| {
        (0..6 * n).map(move |i| {
            let (corner, steps) = (i / n, (i % n) as f64);
            let [from, towards] = [turn(corner), turn(corner + 2)];
            [n as f64 * from.cos() + steps * towards.cos(), n as f64 * from.sin() + steps * towards.sin()]
        })
    };
    std::iter::once([0.0, 0.0]).chain((1..).flat_map(ring))
}

pub(super) fn cells(c: &mut Check, raw: Option<Vec<raw::Cell>>, propagation: Propagation) -> Listed<CellSpec> {
    let at = KeyPath::default().key("cells");
    let height = antenna_height_m(propagation);
    let Some(raw) = raw else {
        let cell = CellSpec { name: "gnb".to_owned(), position_m: [0.0, 0.0], antenna_height_m: height };
        return Listed::one(cell);
    };
    not_empty(c, &at, raw.len(), "cells: [{name: gnb, position_m: [0, 0]}]");
    let too_many = too_many(c, &at, raw.iter().map(|cell| cell.count));
    let mut listed = Listed { specs: vec![], entries: vec![] };
    for (i, raw) in raw.into_iter().enumerate() {
        let at = at.index(i);
        let name = required_name(c, &at, raw.name, "name: gnb");
        let [x, y] = raw.position_m.map_or([0.0, 0.0], |p| position(c, at.key("position_m"), &p));
        let antenna_height_m = c.number(&at, "antenna_height_m", raw.antenna_height_m, height, from_to(1.0, 500.0));
        let counted = raw.count.map(|n| c.count(&at, "count", Some(n), 1, 1..=MOST_OF_A_KIND));
        if raw.spacing_m.is_some() && counted.is_none() {
            c.conflict(at.key("spacing_m"), "a spacing of one cell", "give a `count` of cells, or drop the key");
        }
        let spacing = c.number(&at, "spacing_m", raw.spacing_m, SPACING_M, above_to(0.0, 1e5));
        let cell = |(name, [east, north]): (String, [f64; 2])| CellSpec {
            name,
            position_m: [x + spacing * east, y + spacing * north],
            antenna_height_m,
        };
        let counted = counted.filter(|_| !too_many);
        listed.extend(i, names_of(&name, counted).into_iter().zip(hexagonal_sites()).map(cell));
    }
    listed
}

pub(super) fn edge_servers(
    c: &mut Check,
    raw: Option<Vec<raw::EdgeServer>>,
    own: &[OwnHardware],
) -> Listed<EdgeServerSpec> {
    const HARDWARE: &str = "nvidia_a100_80gb";
    let at = KeyPath::default().key("edge_servers");
    let Some(raw) = raw else {
        let server = EdgeServerSpec {
            name: "edge".to_owned(),
            hardware: HARDWARE.to_owned(),
            accelerators: 1,
            sharing: EdgeSharing::Fifo,
            clock_share: 1.0,
        };
        return Listed::one(server);
    };
    not_empty(c, &at, raw.len(), "edge_servers: [{name: edge, hardware: nvidia_a100_80gb}]");
    let too_many = too_many(c, &at, raw.iter().map(|server| server.count));
    let mut listed = Listed { specs: vec![], entries: vec![] };
    for (i, raw) in raw.into_iter().enumerate() {
        let at = at.index(i);
        let hardware = raw.hardware.unwrap_or_else(|| HARDWARE.to_owned());
        known_hardware(c, at.key("hardware"), &hardware, own);
        let name = required_name(c, &at, raw.name, "name: edge");
        let accelerators = c.count(&at, "accelerators", raw.accelerators, 1, 1..=4096);
        let counted = raw.count.map(|n| c.count(&at, "count", Some(n), 1, 1..=MOST_OF_A_KIND));
        let sharing = sharing(c, &at, raw.sharing, raw.batch_requests, raw.batch_wait_ms);
        let clock_share = c.number(&at, "clock_share", raw.clock_share, 1.0, from_to(0.01, 1.0));
        let server = |name| EdgeServerSpec { name, hardware: hardware.clone(), accelerators, sharing, clock_share };
        let counted = counted.filter(|_| !too_many);
        listed.extend(i, names_of(&name, counted).into_iter().map(server));
    }
    listed
}

fn sharing(
    c: &mut Check,
    at: &KeyPath,
    kind: Option<EdgeSharingKind>,
    batch_requests: Option<u64>,
    batch_wait_ms: Option<f64>,
) -> EdgeSharing {
    let kind = kind.unwrap_or(EdgeSharingKind::Fifo);
    if kind != EdgeSharingKind::Batched {
        let keys = [("batch_requests", batch_requests.is_some()), ("batch_wait_ms", batch_wait_ms.is_some())];
        let name = if kind == EdgeSharingKind::Fifo { "fifo" } else { "processor_sharing" };
        c.unused(at, &keys, name, "sharing; set `sharing: batched` to stack requests");
    }
    match kind {
        EdgeSharingKind::Fifo => EdgeSharing::Fifo,
        EdgeSharingKind::ProcessorSharing => EdgeSharing::ProcessorSharing,
        EdgeSharingKind::Batched => EdgeSharing::Batched {
            batch_requests: c.count(at, "batch_requests", batch_requests, 8, 2..=4096),
            batch_wait_ms: c.number(at, "batch_wait_ms", batch_wait_ms, 0.0, from_to(0.0, 1e6)),
        },
    }
}

/// A speed for each device is that of an accelerator which it has to itself.
pub(super) fn sharing_fits(c: &mut Check, servers: &Listed<EdgeServerSpec>, technique: &TechniqueSpec) {
    if !matches!(technique.split_objective, Some(SplitObjective::Card { .. })) {
        return;
    }
    for (server, &entry) in servers.specs.iter().zip(&servers.entries) {
        if !server.sharing.is_fifo() {
            let at = KeyPath::default().key("edge_servers").index(entry).key("sharing");
            let message = "`split_objective: {minimise: card}` sets the clock for each device alone";
            c.conflict(at, message, "use `fifo`, or another objective");
            return;
        }
    }
}

/// Notes a list whose entries stand for more than there can be; they then count as one each, so that a few words cannot ask
/// for any amount of memory.
fn too_many(c: &mut Check, at: &KeyPath, counts: impl Iterator<Item = Option<u64>>) -> bool {
    let total = counts.map(|n| n.unwrap_or(1).min(MOST_OF_A_KIND as u64)).sum::<u64>();
    let too_many = total > MOST_OF_A_KIND as u64;
    if too_many {
        let found = format!("entries that stand for {total}");
        c.issues.push(Issue::value(at.clone(), found, format!("at most {MOST_OF_A_KIND} in all")));
    }
    too_many
}

fn not_empty(c: &mut Check, at: &KeyPath, entries: usize, example: &str) {
    if entries == 0 {
        let issue = Issue::value(at.clone(), "an empty list", "at least one entry");
        c.issues.push(issue.help(format!("leave the key out for the default, or write: {example}")));
    }
}

/// Assumed round figures of 2025: an on-demand A100, mobile data bought in bulk, household electricity in the USA.
const PRICES: Prices = Prices { edge_usd_per_accelerator_hour: 2.5, radio_usd_per_gb: 0.5, energy_usd_per_kwh: 0.15 };

pub(super) fn prices(c: &mut Check, raw: raw::Prices) -> Prices {
    let at = KeyPath::default().key("prices");
    let mut price = |key, written, default| c.number(&at, key, written, default, from_to(0.0, 1e6));
    Prices {
        edge_usd_per_accelerator_hour: price(
            "edge_usd_per_accelerator_hour",
            raw.edge_usd_per_accelerator_hour,
            PRICES.edge_usd_per_accelerator_hour,
        ),
        radio_usd_per_gb: price("radio_usd_per_gb", raw.radio_usd_per_gb, PRICES.radio_usd_per_gb),
        energy_usd_per_kwh: price("energy_usd_per_kwh", raw.energy_usd_per_kwh, PRICES.energy_usd_per_kwh),
    }
}

/// Transfers of so many devices fit memory and disk whatever the rounds.
const FLOW_DEVICES: usize = 1000;

pub(super) fn results(c: &mut Check, raw: &raw::Results, device_count: usize) -> ResultsSpec {
    let at = KeyPath::default().key("results");
    let flow_devices = match raw.flow_devices {
        None => FLOW_DEVICES.min(device_count),
        Some(CountOrAll::All) => device_count,
        // Without devices there is nothing to compare with, and that is noted elsewhere.
        Some(CountOrAll::Count(_)) if device_count == 0 => 0,
        Some(CountOrAll::Count(n)) => {
            let reason = format!("the scenario has {device_count} devices");
            c.count_because(&at, "flow_devices", Some(n), device_count, 0..=device_count, &reason)
        }
    };
    ResultsSpec { flow_devices }
}

#[cfg(test)]
mod tests {
    use super::hexagonal_sites;

    #[test]
    fn sites_are_as_far_apart_as_their_spacing() {
        let sites: Vec<[f64; 2]> = hexagonal_sites().take(1 + 6 + 12 + 18).collect();
        let distance = |a: &[f64; 2], b: &[f64; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
        for (i, a) in sites.iter().enumerate() {
            let others = sites.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, b)| distance(a, b));
            assert!((others.fold(f64::INFINITY, f64::min) - 1.0).abs() < 1e-9);
        }
        // Each site of the inner rings has six neighbours.
        for a in &sites[..19] {
            assert_eq!(sites.iter().filter(|b| (distance(a, b) - 1.0).abs() < 1e-9).count(), 6);
        }
    }
}
