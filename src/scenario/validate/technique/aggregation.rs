//! How updates become one.

use crate::scenario::key_path::KeyPath;
use crate::scenario::raw::{self, AggregationMethod, AirSchedulingKind, UpdateCompressionKind};
use crate::scenario::schema::{
    AggregationSpec, AirCompSpec, AirImperfections, AirPowerControl, AirScheduling, DigitalSpec, OneBitSpec,
    TechniqueKind, UpdateCompression, UplinkAccess,
};
use crate::scenario::validate::check::{Check, above_to, from_to};

/// More antennas than base stations have.
const MOST_ANTENNAS: usize = 1024;
/// Levels and buckets beyond which nothing is quantised any more.
const MOST_LEVELS: usize = 1 << 20;
const MOST_BUCKET_ENTRIES: usize = 1 << 24;

pub(super) fn aggregation(
    c: &mut Check,
    at: &KeyPath,
    raw: raw::Aggregation,
    devices_per_round: usize,
) -> AggregationSpec {
    let method = raw.method.unwrap_or(AggregationMethod::Digital);
    unused(c, at, method, &raw);
    match method {
        AggregationMethod::Digital => AggregationSpec::Digital(DigitalSpec {
            access: raw.access.unwrap_or_default(),
            compression: compression(c, &at.key("compression"), raw.compression.unwrap_or_default()),
        }),
        AggregationMethod::AirComp => AggregationSpec::AirComp(AirCompSpec {
            power_control: power_control(c, at, &raw),
            average_power_dbm: average_power_dbm(c, at, &raw),
            normalisation: raw.normalisation.unwrap_or_default(),
            imperfections: imperfections(c, at, &raw),
            error_feedback: raw.error_feedback.unwrap_or(false),
            scheduling: scheduling(c, &at.key("scheduling"), raw.scheduling.unwrap_or_default(), devices_per_round),
        }),
        AggregationMethod::OneBit => AggregationSpec::OneBit(OneBitSpec {
            vote_step: c.number(at, "vote_step", raw.vote_step, 1e-3, above_to(0.0, 1.0)),
            truncation_threshold: truncation_threshold(c, at, &raw),
            average_power_dbm: average_power_dbm(c, at, &raw),
            imperfections: imperfections(c, at, &raw),
            scheduling: scheduling(c, &at.key("scheduling"), raw.scheduling.unwrap_or_default(), devices_per_round),
        }),
    }
}

/// Notes what a protocol that aggregates nothing cannot use.
pub(super) fn without_aggregation(c: &mut Check, at: &KeyPath, kind: TechniqueKind, spec: &AggregationSpec) {
    let at = at.key("aggregation");
    match spec {
        AggregationSpec::AirComp(_) | AggregationSpec::OneBit(_) => {
            let (method, name) = (spec.name(), kind.name());
            let message = format!("`{method}` adds up devices' updates, and `{name}` aggregates nothing");
            let help = "use `method: digital`, or a technique that aggregates: federated, split_federated";
            c.conflict(at.key("method"), message, help);
        }
        AggregationSpec::Digital(digital) => {
            let help = "drop the key, or use a technique that aggregates: federated, split_federated";
            if digital.access != UplinkAccess::Cell {
                let message = format!("`{}` has no round in which all hand in updates together", kind.name());
                c.conflict(at.key("access"), message, help);
            }
            if digital.compression != UpdateCompression::None {
                let message = format!("`{}` has no updates to compress: it aggregates nothing", kind.name());
                c.conflict(at.key("compression").key("kind"), message, help);
            }
        }
    }
}

fn unused(c: &mut Check, at: &KeyPath, method: AggregationMethod, raw: &raw::Aggregation) {
    use AggregationMethod::{AirComp, Digital, OneBit};
    let users: [(&str, bool, &[AggregationMethod]); 14] = [
        ("access", raw.access.is_some(), &[Digital]),
        ("compression", raw.compression.is_some(), &[Digital]),
        ("power_control", raw.power_control.is_some(), &[AirComp]),
        ("truncation_threshold", raw.truncation_threshold.is_some(), &[AirComp, OneBit]),
        ("receive_antennas", raw.receive_antennas.is_some(), &[AirComp]),
        ("beamforming", raw.beamforming.is_some(), &[AirComp]),
        ("average_power_dbm", raw.average_power_dbm.is_some(), &[AirComp, OneBit]),
        ("normalisation", raw.normalisation.is_some(), &[AirComp]),
        ("channel_error", raw.channel_error.is_some(), &[AirComp, OneBit]),
        ("phase_error_rad", raw.phase_error_rad.is_some(), &[AirComp, OneBit]),
        ("timing_error_ns", raw.timing_error_ns.is_some(), &[AirComp, OneBit]),
        ("error_feedback", raw.error_feedback.is_some(), &[AirComp]),
        ("vote_step", raw.vote_step.is_some(), &[OneBit]),
        ("scheduling", raw.scheduling.is_some(), &[AirComp, OneBit]),
    ];
    let own = |users: &[AggregationMethod]| users.contains(&method);
    let name = match method {
        Digital => "digital",
        AirComp => "air_comp",
        OneBit => "one_bit",
    };
    let known = users.iter().filter(|(_, _, users)| own(users)).map(|(key, ..)| *key);
    let keys = std::iter::once("method").chain(known).collect::<Vec<&str>>().join(", ");
    let foreign = users.iter().filter(|(_, _, users)| !own(users));
    let foreign: Vec<(&str, bool)> = foreign.map(|(key, written, _)| (*key, *written)).collect();
    c.unused(at, &foreign, name, &keys);
}

fn power_control(c: &mut Check, at: &KeyPath, raw: &raw::Aggregation) -> AirPowerControl {
    let threshold = ("truncation_threshold", raw.truncation_threshold.is_some());
    let beams = [("receive_antennas", raw.receive_antennas.is_some()), ("beamforming", raw.beamforming.is_some())];
    match raw.power_control.unwrap_or(raw::AirPowerControl::TruncatedInversion) {
        raw::AirPowerControl::TruncatedInversion => {
            c.unused(at, &beams, "truncated_inversion", "power_control, truncation_threshold");
            AirPowerControl::TruncatedInversion { truncation_threshold: truncation_threshold(c, at, raw) }
        }
        raw::AirPowerControl::Optimal => {
            c.unused(at, &[&[threshold], &beams[..]].concat(), "optimal", "power_control");
            AirPowerControl::Optimal
        }
        raw::AirPowerControl::UniformForcing => {
            c.unused(at, &[threshold], "uniform_forcing", "power_control, receive_antennas, beamforming");
            AirPowerControl::UniformForcing {
                receive_antennas: c.count(at, "receive_antennas", raw.receive_antennas, 4, 1..=MOST_ANTENNAS),
                beamforming: raw.beamforming.unwrap_or_default(),
            }
        }
    }
}

fn truncation_threshold(c: &mut Check, at: &KeyPath, raw: &raw::Aggregation) -> f64 {
    // Zero would ask for unbounded power; at 10 a Rayleigh channel (mean gain 1) is open once in 22,000 blocks.
    c.number(at, "truncation_threshold", raw.truncation_threshold, 0.1, above_to(0.0, 10.0))
}

fn average_power_dbm(c: &mut Check, at: &KeyPath, raw: &raw::Aggregation) -> f64 {
    c.number(at, "average_power_dbm", raw.average_power_dbm, 23.0, from_to(-40.0, 50.0))
}

fn imperfections(c: &mut Check, at: &KeyPath, raw: &raw::Aggregation) -> AirImperfections {
    AirImperfections {
        channel_error: c.number(at, "channel_error", raw.channel_error, 0.0, from_to(0.0, 10.0)),
        phase_error_rad: c.number(at, "phase_error_rad", raw.phase_error_rad, 0.0, from_to(0.0, 10.0)),
        // A cyclic prefix takes up to 4.7 us; beyond it symbols run into one another, which is not modelled.
        timing_error_ns: c.number(at, "timing_error_ns", raw.timing_error_ns, 0.0, from_to(0.0, 1000.0)),
    }
}

fn scheduling(c: &mut Check, at: &KeyPath, raw: raw::AirScheduling, devices_per_round: usize) -> AirScheduling {
    match raw.kind.unwrap_or(AirSchedulingKind::All) {
        AirSchedulingKind::All => {
            c.unused(at, &[("devices", raw.devices.is_some())], "all", "kind");
            AirScheduling::All
        }
        AirSchedulingKind::Strongest => {
            c.required(at, "devices", raw.devices, "devices: 4");
            // Without devices there is nothing to compare with, and that is noted elsewhere.
            let most = devices_per_round.max(1);
            let reason = format!("a round has {most} devices");
            AirScheduling::Strongest { devices: c.count_because(at, "devices", raw.devices, 1, 1..=most, &reason) }
        }
    }
}

fn compression(c: &mut Check, at: &KeyPath, raw: raw::UpdateCompression) -> UpdateCompression {
    let kind = raw.kind.unwrap_or(UpdateCompressionKind::None);
    let quantiser = [("levels", raw.levels.is_some()), ("bucket_entries", raw.bucket_entries.is_some())];
    let fraction = [("fraction", raw.fraction.is_some())];
    let feedback = [("error_feedback", raw.error_feedback.is_some())];
    let error_feedback = raw.error_feedback.unwrap_or(false);
    let share = |c: &mut Check, name| {
        c.unused(at, &quantiser, name, "kind, fraction, error_feedback");
        c.number(at, "fraction", raw.fraction, 0.1, above_to(0.0, 1.0))
    };
    match kind {
        UpdateCompressionKind::None => {
            c.unused(at, &[&quantiser[..], &fraction, &feedback].concat(), "none", "kind");
            UpdateCompression::None
        }
        UpdateCompressionKind::Qsgd => {
            c.unused(at, &fraction, "qsgd", "kind, levels, bucket_entries, error_feedback");
            let levels = c.count(at, "levels", raw.levels, 15, 1..=MOST_LEVELS);
            UpdateCompression::Qsgd {
                levels: u32::try_from(levels).unwrap_or(1),
                bucket_entries: c.count(at, "bucket_entries", raw.bucket_entries, 512, 1..=MOST_BUCKET_ENTRIES),
                error_feedback,
            }
        }
        UpdateCompressionKind::TopK => UpdateCompression::TopK { fraction: share(c, "top_k"), error_feedback },
        UpdateCompressionKind::RandK => UpdateCompression::RandK { fraction: share(c, "rand_k"), error_feedback },
    }
}
