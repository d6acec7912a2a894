//! Hardware of the scenario's own, written out or in a file that `deft calibrate` wrote.

use super::check::{Check, above_to, from_to};
use super::devices::{required_name, unique};
use crate::scenario::error::Issue;
use crate::scenario::key_path::KeyPath;
use crate::scenario::names;
use crate::scenario::raw;
use crate::scenario::schema::OwnHardware;
use std::collections::BTreeMap;
use std::path::Path;

/// A profile is a dozen lines.
const MOST_BYTES: u64 = 1 << 16;
const MOST: usize = 1000;
/// From a microcontroller to more than any accelerator.
const MOST_RATE: f64 = 1e9;

pub(super) fn hardware(c: &mut Check, raw: Option<Vec<raw::Hardware>>, folder: &Path) -> Vec<OwnHardware> {
    let at = KeyPath::default().key("hardware");
    let raw = raw.unwrap_or_default();
    if raw.len() > MOST {
        c.issues.push(Issue::value(at.clone(), format!("{} entries", raw.len()), format!("at most {MOST}")));
        return vec![];
    }
    let mut firsts = BTreeMap::new();
    let mut own = vec![];
    for (i, entry) in raw.into_iter().enumerate() {
        let at = at.index(i);
        let Some(entry) = from_file(c, &at, entry, folder) else { continue };
        let profile = profile(c, &at, entry);
        unique(c, &mut firsts, &profile.name, at.key("name"));
        if names::hardware().contains(&profile.name.as_str()) {
            let message = format!("\"{}\" is in the table of `deft list hardware`", profile.name);
            c.conflict(at.key("name"), message, "give it a name of its own");
        }
        own.push(profile);
    }
    own
}

/// The entry itself, or what its file holds.
fn from_file(c: &mut Check, at: &KeyPath, entry: raw::Hardware, folder: &Path) -> Option<raw::Hardware> {
    let Some(file) = &entry.file else { return Some(entry) };
    let keys = [
        ("name", entry.name.is_some()),
        ("fp32_gflops", entry.fp32_gflops.is_some()),
        ("fp16_gflops", entry.fp16_gflops.is_some()),
        ("int8_gops", entry.int8_gops.is_some()),
        ("memory_gb", entry.memory_gb.is_some()),
        ("memory_bandwidth_gb_per_s", entry.memory_bandwidth_gb_per_s.is_some()),
        ("launch_overhead_us", entry.launch_overhead_us.is_some()),
        ("overlap", entry.overlap.is_some()),
        ("idle_w", entry.idle_w.is_some()),
        ("active_w", entry.active_w.is_some()),
        ("battery_wh", entry.battery_wh.is_some()),
    ];
    for (key, _) in keys.iter().filter(|(_, written)| *written) {
        c.conflict(at.key(key), "the file says that", "change it there, or copy the file's keys in place of `file`");
    }
    let path = folder.join(file);
    let refuse = |c: &mut Check, reason: String| {
        let help = "`deft calibrate --out FILE` writes such a file; a relative path starts at the scenario's folder";
        c.conflict(at.key("file"), format!("{}: {reason}", path.display()), help);
        None
    };
    match std::fs::metadata(&path) {
        Err(e) => return refuse(c, e.to_string()),
        Ok(meta) if !meta.is_file() => return refuse(c, "is not a file".to_owned()),
        Ok(meta) if meta.len() > MOST_BYTES => return refuse(c, format!("has {} bytes, too many", meta.len())),
        Ok(_) => {}
    }
    let read = std::fs::read_to_string(&path).map_err(|e| e.to_string());
    match read.and_then(|text| serde_yaml::from_str::<raw::Hardware>(&text).map_err(|e| e.to_string())) {
        Ok(held) if held.file.is_some() => refuse(c, "names another file".to_owned()),
        Ok(held) => Some(held),
        Err(reason) => refuse(c, reason),
    }
}

fn profile(c: &mut Check, at: &KeyPath, raw: raw::Hardware) -> OwnHardware {
    let name = required_name(c, at, raw.name, "name: my_server");
    let mut needed = |key: &str, written: Option<f64>, example: &str| {
        c.required(at, key, written, example);
        c.number(at, key, written, 1.0, above_to(0.0, MOST_RATE))
    };
    let fp32_gflops = needed("fp32_gflops", raw.fp32_gflops, "fp32_gflops: 100");
    let memory_gb = needed("memory_gb", raw.memory_gb, "memory_gb: 16");
    let bandwidth = raw.memory_bandwidth_gb_per_s;
    let memory_bandwidth_gb_per_s = needed("memory_bandwidth_gb_per_s", bandwidth, "memory_bandwidth_gb_per_s: 20");
    let rate = above_to(0.0, MOST_RATE);
    let fp16_gflops = c.number(at, "fp16_gflops", raw.fp16_gflops, fp32_gflops, rate);
    let idle_w = c.number(at, "idle_w", raw.idle_w, 10.0, from_to(0.0, 1e6));
    let active_w = c.number(at, "active_w", raw.active_w, (10.0 * idle_w).max(1.0), from_to(0.0, 1e6));
    if idle_w > active_w {
        let key = if raw.active_w.is_some() { "active_w" } else { "idle_w" };
        c.conflict(at.key(key), format!("idle_w {idle_w} is above active_w {active_w}"), "exchange the two");
    }
    OwnHardware {
        name,
        fp32_gflops,
        fp16_gflops,
        int8_gops: c.number(at, "int8_gops", raw.int8_gops, fp16_gflops, rate),
        memory_gb,
        memory_bandwidth_gb_per_s,
        launch_overhead_us: c.number(at, "launch_overhead_us", raw.launch_overhead_us, 10.0, from_to(0.0, 1e6)),
        overlap: raw.overlap.unwrap_or(true),
        idle_w,
        active_w,
        battery_wh: raw.battery_wh.map(|wh| c.number(at, "battery_wh", Some(wh), 1.0, above_to(0.0, 1e6))),
    }
}
