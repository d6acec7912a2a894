//! Cells, servers and prices.

use super::check::{Check, from_to};
use super::devices::{position, required_name};
use crate::scenario::error::Issue;
use crate::scenario::key_path::KeyPath;
use crate::scenario::names;
use crate::scenario::raw;
use crate::scenario::schema::{CellSpec, EdgeServerSpec, Prices, Propagation};

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

pub(super) fn cells(c: &mut Check, raw: Option<Vec<raw::Cell>>, propagation: Propagation) -> Vec<CellSpec> {
    let at = KeyPath::default().key("cells");
    let height = antenna_height_m(propagation);
    let Some(raw) = raw else {
        return vec![CellSpec { name: "gnb".to_owned(), position_m: [0.0, 0.0], antenna_height_m: height }];
    };
    not_empty(c, &at, raw.len(), "cells: [{name: gnb, position_m: [0, 0]}]");
    let cell = |(i, raw): (usize, raw::Cell)| {
        let at = at.index(i);
        CellSpec {
            name: required_name(c, &at, raw.name, "name: gnb"),
            position_m: raw.position_m.map_or([0.0, 0.0], |p| position(c, at.key("position_m"), &p)),
            antenna_height_m: c.number(&at, "antenna_height_m", raw.antenna_height_m, height, from_to(1.0, 500.0)),
        }
    };
    raw.into_iter().enumerate().map(cell).collect()
}

pub(super) fn edge_servers(c: &mut Check, raw: Option<Vec<raw::EdgeServer>>) -> Vec<EdgeServerSpec> {
    const HARDWARE: &str = "nvidia_a100_80gb";
    let at = KeyPath::default().key("edge_servers");
    let Some(raw) = raw else {
        return vec![EdgeServerSpec { name: "edge".to_owned(), hardware: HARDWARE.to_owned(), accelerators: 1 }];
    };
    not_empty(c, &at, raw.len(), "edge_servers: [{name: edge, hardware: nvidia_a100_80gb}]");
    let server = |(i, raw): (usize, raw::EdgeServer)| {
        let at = at.index(i);
        let hardware = raw.hardware.unwrap_or_else(|| HARDWARE.to_owned());
        c.known(at.key("hardware"), &hardware, &names::hardware(), "`deft list hardware` shows them all");
        EdgeServerSpec {
            name: required_name(c, &at, raw.name, "name: edge"),
            hardware,
            accelerators: c.count(&at, "accelerators", raw.accelerators, 1, 1..=4096),
        }
    };
    raw.into_iter().enumerate().map(server).collect()
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
