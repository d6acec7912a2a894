//! Blocks in slices: which blocks, how many slices, and how their sums are formed.

use crate::fomo::Architecture;
use crate::scenario::key_path::KeyPath;
use crate::scenario::raw;
use crate::scenario::schema::{ConnectionMethod, ConnectionsSpec, ReceiveCombining, TechniqueKind};
use crate::scenario::validate::check::{Check, from_to};

/// What the rest of the technique says.
pub(super) struct Around<'a> {
    pub kind: TechniqueKind,
    pub architecture: Option<&'a Architecture>,
    pub split_point: usize,
    pub devices_per_round: usize,
}

pub(super) fn connections(
    c: &mut Check,
    at: &KeyPath,
    raw: Option<raw::Connections>,
    around: &Around,
) -> Option<ConnectionsSpec> {
    if around.kind != TechniqueKind::TensorParallel {
        if raw.is_some() {
            let message = format!("`{}` keeps every block whole: it has no slices to connect", around.kind.name());
            c.conflict(at.clone(), message, "drop the section, or use `kind: tensor_parallel`");
        }
        return None;
    }
    let raw = raw.unwrap_or_default();
    let architecture = around.architecture?;
    let blocks = blocks(c, at, raw.blocks.as_deref(), architecture, around.split_point);
    let slices = slices(c, at, raw.slices, architecture, around.devices_per_round);
    let method = method(c, at, &raw);
    Some(ConnectionsSpec { blocks, slices, method })
}

fn blocks(
    c: &mut Check,
    at: &KeyPath,
    written: Option<&[u64]>,
    architecture: &Architecture,
    split_point: usize,
) -> Vec<usize> {
    let (key, all) = (at.key("blocks"), architecture.blocks());
    if split_point == all {
        let message =
            format!("with `split_point: {all}` every block runs whole on the device: none is left for slices");
        c.conflict(key, message, &format!("cut at {} or lower", all - 1));
        return vec![];
    }
    let Some(written) = written else { return vec![split_point] };
    let found: Vec<usize> = written.iter().map(|b| usize::try_from(*b).unwrap_or(usize::MAX)).collect();
    if found.is_empty() || !found.is_sorted_by(|a, b| a < b) {
        c.conflict(
            key,
            "blocks in slices are a list, ascending, each once, at least one",
            &format!("for example [{split_point}]"),
        );
        return vec![split_point];
    }
    for (i, block) in found.iter().enumerate() {
        if !(split_point..all).contains(block) {
            let why = if *block < all { "runs whole on the device" } else { "does not exist" };
            let help = format!("slices can be had of blocks {split_point} to {}", all - 1);
            c.conflict(
                key.index(i),
                format!("block {block} {why}: the model has {all} blocks, cut at {split_point}"),
                &help,
            );
        } else if architecture.has_cross_attention(*block) {
            let message = format!("block {block} also attends to the encoder, and that attention has no slices");
            c.conflict(
                key.index(i),
                message,
                &format!("slices can be had of blocks below {}", architecture.encoder_layers),
            );
        }
    }
    found
}

fn slices(c: &mut Check, at: &KeyPath, written: Option<u64>, architecture: &Architecture, devices: usize) -> usize {
    let Architecture { kv_heads, ffn, .. } = *architecture;
    // Nobody shares a head of keys and values; all get equally many columns.
    let fits = |n: usize| n <= devices && kv_heads % n == 0 && ffn % n == 0;
    let near = |n: usize| (1..=kv_heads).filter(|m| fits(*m)).min_by_key(|m| m.abs_diff(n)).unwrap_or(1);
    let Some(written) = written else { return near(2) };
    let n = usize::try_from(written).unwrap_or(usize::MAX);
    if n >= 1 && fits(n) {
        return n;
    }
    let reason = if n == 0 {
        "a block needs at least one slice".to_owned()
    } else if n > kv_heads {
        format!("{n} slices of a block with {kv_heads} heads: a head cannot be cut")
    } else if n > devices {
        format!("{n} slices for {devices} devices a round: each device holds one")
    } else {
        format!("{kv_heads} heads and {ffn} inner columns cannot be dealt evenly to {n} slices")
    };
    c.conflict(at.key("slices"), reason, &format!("the nearest that works: {}", near(n)));
    1
}

fn method(c: &mut Check, at: &KeyPath, raw: &raw::Connections) -> ConnectionMethod {
    match raw.method.unwrap_or(raw::ConnectionMethod::AirComp) {
        raw::ConnectionMethod::Digital => {
            let analog = [
                ("receive_antennas", raw.receive_antennas.is_some()),
                ("transmit_antennas", raw.transmit_antennas.is_some()),
                ("receive_beam", raw.receive_beam.is_some()),
                ("average_power_dbm", raw.average_power_dbm.is_some()),
                ("channel_error", raw.channel_error.is_some()),
                ("test_over_the_air", raw.test_over_the_air.is_some()),
            ];
            c.unused(at, &analog, "digital", "method, blocks, slices");
            ConnectionMethod::Digital
        }
        raw::ConnectionMethod::AirComp => ConnectionMethod::AirComp {
            receive_antennas: c.count(at, "receive_antennas", raw.receive_antennas, 4, 1..=256),
            transmit_antennas: c.count(at, "transmit_antennas", raw.transmit_antennas, 1, 1..=16),
            receive_beam: raw.receive_beam.unwrap_or(ReceiveCombining::MaxMin),
            average_power_dbm: c.number(at, "average_power_dbm", raw.average_power_dbm, 23.0, from_to(-80.0, 50.0)),
            channel_error: c.number(at, "channel_error", raw.channel_error, 0.0, from_to(0.0, 10.0)),
            test_over_the_air: raw.test_over_the_air.unwrap_or(true),
        },
    }
}
