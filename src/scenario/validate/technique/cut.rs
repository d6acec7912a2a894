//! What happens at the cut, and what it goes with.

use crate::fomo::{Architecture, Family};
use crate::scenario::key_path::KeyPath;
use crate::scenario::raw::{self, CountOrAuto, CutCompressionMethod};
use crate::scenario::schema::{
    CutChannel, CutCompression, CutSpec, DeviceSide, LabelPlace, MinimisedBy, PeftSpec, QuantiserScale, ServerSide,
    SplitObjective, SplitPoint, TechniqueKind, TechniqueSpec,
};
use crate::scenario::validate::check::{Check, above_to, from_to};

/// The section for a split technique, `None` for others.
pub(super) fn cut(c: &mut Check, at: &KeyPath, raw: Option<raw::Cut>, kind: TechniqueKind) -> Option<CutSpec> {
    if !kind.is_split() {
        if raw.is_some() {
            let message = format!("`{}` does not cut the model", kind.name());
            c.conflict(at.clone(), message, "drop the section, or use one of the kinds split and split_federated");
        }
        return None;
    }
    let (raw, plain) = (raw.unwrap_or_default(), CutSpec::default());
    Some(CutSpec {
        compression: compression(c, &at.key("compression"), raw.compression.unwrap_or_default()),
        channel: raw.channel.unwrap_or(plain.channel),
        labels: raw.labels.unwrap_or(plain.labels),
        device_side: raw.device_side.unwrap_or(plain.device_side),
        cache_activations: raw.cache_activations.unwrap_or(plain.cache_activations),
        micro_batches: c.count(at, "micro_batches", raw.micro_batches, plain.micro_batches, 1..=4096),
        server_side: raw.server_side.unwrap_or(plain.server_side),
    })
}

fn compression(c: &mut Check, at: &KeyPath, raw: raw::CutCompression) -> CutCompression {
    let (bits, scale) = (("bits", raw.bits.is_some()), ("scale", raw.scale.is_some()));
    let kept = ("kept_fraction", raw.kept_fraction.is_some());
    let error = ("largest_error", raw.largest_error.is_some());
    let share = |c: &mut Check, usual| c.number(at, "kept_fraction", raw.kept_fraction, usual, above_to(0.0, 1.0));
    let width = |c: &mut Check, usual| c.count(at, "bits", raw.bits, usual, 2..=8) as u32;
    match raw.method.unwrap_or(CutCompressionMethod::None) {
        CutCompressionMethod::None => {
            c.unused(at, &[bits, scale, kept, error], "none", "method");
            CutCompression::None
        }
        CutCompressionMethod::Fp16 => {
            c.unused(at, &[bits, scale, kept, error], "fp16", "method");
            CutCompression::Fp16
        }
        CutCompressionMethod::Quantise => {
            c.unused(at, &[kept, error], "quantise", "method, bits, scale");
            CutCompression::Quantise { bits: width(c, 8), scale: raw.scale.unwrap_or(QuantiserScale::Token) }
        }
        CutCompressionMethod::TopK => {
            c.unused(at, &[bits, scale, error], "top_k", "method, kept_fraction");
            CutCompression::TopK { kept_fraction: share(c, 0.1) }
        }
        CutCompressionMethod::MergeTokens => {
            c.unused(at, &[bits, scale, error], "merge_tokens", "method, kept_fraction");
            CutCompression::MergeTokens { kept_fraction: share(c, 0.5) }
        }
        CutCompressionMethod::SparseQuantised => {
            c.unused(at, &[scale, error], "sparse_quantised", "method, kept_fraction, bits");
            CutCompression::SparseQuantised { kept_fraction: share(c, 0.3), bits: width(c, 4) }
        }
        CutCompressionMethod::Auto => {
            c.unused(at, &[bits, scale, kept], "auto", "method, largest_error");
            let largest_error = c.number(at, "largest_error", raw.largest_error, 0.1, above_to(0.0, 1.0));
            CutCompression::Auto { largest_error }
        }
    }
}

/// Where the model is cut, and what decides it where nobody says.
pub(super) fn split_point(
    c: &mut Check,
    at: &KeyPath,
    written: Option<CountOrAuto>,
    objective: Option<raw::SplitObjective>,
    architecture: Option<&Architecture>,
) -> (SplitPoint, Option<SplitObjective>) {
    if written == Some(CountOrAuto::Auto) {
        let objective = split_objective(c, &at.key("split_objective"), objective.unwrap_or_default());
        return (SplitPoint::Auto, Some(objective));
    }
    if objective.is_some() {
        let message = "the split point is given, so there is nothing to choose";
        c.conflict(at.key("split_objective"), message, "drop the section, or use `split_point: auto`");
    }
    let Some(a) = architecture else { return (SplitPoint::At(0), None) };
    let count = written.and_then(|w| if let CountOrAuto::Count(n) = w { Some(n) } else { None });
    let reason = format!("{} has {} blocks", a.name, a.blocks());
    let third = (a.blocks() as f64 / 3.0).round() as usize;
    (SplitPoint::At(c.count_because(at, "split_point", count, third, 0..=a.blocks(), &reason)), None)
}

fn split_objective(c: &mut Check, at: &KeyPath, raw: raw::SplitObjective) -> SplitObjective {
    let (weight, speed) =
        (("latency_weight", raw.latency_weight.is_some()), ("lowest_edge_speed", raw.lowest_edge_speed.is_some()));
    let minimised = raw.minimise.unwrap_or(MinimisedBy::Latency);
    match minimised {
        MinimisedBy::Latency => c.unused(at, &[weight, speed], "latency", "minimise"),
        MinimisedBy::Energy => c.unused(at, &[weight, speed], "energy", "minimise"),
        MinimisedBy::Weighted => c.unused(at, &[speed], "weighted", "minimise, latency_weight"),
        MinimisedBy::Card => {}
    }
    let latency_weight = c.number(at, "latency_weight", raw.latency_weight, 0.5, from_to(0.0, 1.0));
    let lowest_edge_speed = c.number(at, "lowest_edge_speed", raw.lowest_edge_speed, 0.2, from_to(0.01, 1.0));
    match minimised {
        MinimisedBy::Latency => SplitObjective::Latency,
        MinimisedBy::Energy => SplitObjective::Energy,
        MinimisedBy::Weighted => SplitObjective::Weighted { latency_weight },
        MinimisedBy::Card => SplitObjective::Card { latency_weight, lowest_edge_speed },
    }
}

/// What the cut has to fit beside its own section.
pub(in super::super) struct Beside<'a> {
    pub architecture: Option<&'a Architecture>,
    pub bits: u64,
    pub batch_size: usize,
    pub peft: &'a PeftSpec,
}

/// Notes where the parts of the cut do not go with each other or with the rest of the scenario.
pub(in super::super) fn cut_fits(c: &mut Check, technique: &TechniqueSpec, beside: &Beside) {
    let top = KeyPath::default().key("technique");
    let Some(cut) = &technique.cut else {
        if technique.split_point == SplitPoint::Auto {
            let message = format!("`{}` does not cut the model", technique.kind.name());
            c.conflict(top.key("split_point"), message, "drop the key, or use one of the kinds split, split_federated");
        }
        return;
    };
    let at = top.key("cut");
    compression_fits(c, &at.key("compression").key("method"), cut, beside);
    let analog = cut.channel == CutChannel::Analog;
    let frozen = cut.device_side == DeviceSide::Frozen;
    let shared = cut.server_side == ServerSide::Shared;
    let pieces = cut.micro_batches > 1;
    let compressed = cut.compression != CutCompression::None;
    if analog && compressed {
        let message = "`analog` sends values as they are, and compression makes bits of them";
        c.conflict(at.key("channel"), message, "use `channel: digital`, or `compression: {method: none}`");
    }
    if cut.labels == LabelPlace::Device {
        let others = [(compressed, "compression"), (analog, "channel: analog"), (frozen, "device_side: frozen")];
        let others = others.into_iter().chain([(pieces, "micro_batches"), (shared, "server_side: shared")]);
        for (_, other) in others.filter(|(is, _)| *is) {
            let message = format!("labels on the device make a second cut before the head, which `{other}` leaves out");
            c.conflict(at.key("labels"), message, "use `labels: edge`, or leave the rest of the section as it is");
        }
        if !technique.aggregation.is_plain() {
            let message =
                "the head is on the device with the labels, and only plain digital aggregation counts it there";
            c.conflict(at.key("labels"), message, "use `aggregation: {method: digital}`, or `labels: edge`");
        }
    }
    if cut.cache_activations && (!frozen || compressed || analog || pieces) {
        let message =
            "activations can be kept only if they are the same each time and arrive as they are, in one piece";
        let help = "use it with `device_side: frozen`, without compression, analog channel and micro-batches";
        c.conflict(at.key("cache_activations"), message, help);
    }
    if frozen && beside.peft.prompt_tokens() > 0 {
        let message = "a prompt lies before the first block, on the device's side, where nothing would train";
        c.conflict(at.key("device_side"), message, "use `device_side: trained`, or a method without prompt");
    }
    if pieces && analog {
        let message = "an analog transfer is planned for the whole mini-batch";
        c.conflict(at.key("micro_batches"), message, "use `micro_batches: 1`, or `channel: digital`");
    }
    if cut.micro_batches > beside.batch_size {
        let message = format!("a mini-batch of {} cannot be cut into {}", beside.batch_size, cut.micro_batches);
        c.conflict(at.key("micro_batches"), message, "use at most `workload.batch_size`");
    }
    if shared && technique.kind != TechniqueKind::SplitFederated {
        let message = "under `split` one device after another trains: there is one server side as it is";
        c.conflict(at.key("server_side"), message, "drop the key, or use `kind: split_federated`");
    }
    if shared && analog {
        let message = "batches that come with noise of their own have no place in one shared server side here";
        c.conflict(at.key("server_side"), message, "use `channel: digital`, or `server_side: per_device`");
    }
    if (shared || frozen) && !technique.aggregation.is_plain() {
        let key = if shared { "server_side" } else { "device_side" };
        let message = "only plain digital aggregation keeps the two sides apart in this way";
        c.conflict(at.key(key), message, "use `aggregation: {method: digital}`");
    }
    if technique.split_point == SplitPoint::Auto {
        let rivals = [
            (!technique.aggregation.is_plain(), "any aggregation but the plain digital one"),
            (shared, "a shared server side"),
            (frozen, "a frozen device side"),
            (pieces, "micro-batches"),
            (analog, "an analog channel"),
        ];
        for (_, what) in rivals.into_iter().filter(|(is, _)| *is) {
            let message = format!("devices cut at different places do not go with {what}");
            c.conflict(top.key("split_point"), message, "use a number, or leave that out");
        }
    }
}

fn compression_fits(c: &mut Check, at: &KeyPath, cut: &CutSpec, beside: &Beside) {
    let bits = match cut.compression {
        CutCompression::Fp16 => 16,
        CutCompression::Quantise { bits, .. } | CutCompression::SparseQuantised { bits, .. } => u64::from(bits),
        CutCompression::MergeTokens { .. } => {
            let two_stacks = beside.architecture.is_some_and(|a| a.family == Family::T5);
            if two_stacks {
                let message = "a decoder attends to every token of the encoder: merging them is not defined here";
                c.conflict(at.clone(), message, "use `quantise` or `top_k`");
            }
            return;
        }
        CutCompression::None | CutCompression::TopK { .. } | CutCompression::Auto { .. } => return,
    };
    if bits >= beside.bits {
        let message = format!("values have {} bits as it is (`model.precision`)", beside.bits);
        c.conflict(at.clone(), message, "use fewer bits, `top_k`, or `none`");
    }
}
