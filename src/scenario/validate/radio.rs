//! The air interface: what the preset leaves open and what the user overrides.

use super::check::{Check, above_to, from_to};
use super::slots;
use crate::scenario::error::Issue;
use crate::scenario::key_path::KeyPath;
use crate::scenario::names::{self, RadioDefaults};
use crate::scenario::raw::{self, FadingKind, PowerControlKind};
use crate::scenario::schema::{
    AggregationSpec, BlockageSpec, ConnectionMethod, ConnectionsSpec, CutChannel, DrxSpec, Fading, LineOfSight,
    NeighboursSend, RadioSpec, TechniqueSpec, UplinkAccess, UplinkPower,
};

const PRESET: &str = "nr_fr1";
/// Below lie no carriers of the presets' kind; TR 38.901 ends at 100 GHz, what lies above is extrapolated.
const CARRIER_GHZ: (f64, f64) = (0.4, 400.0);

/// The radio, and the default of `devices[].tx_power_dbm`.
pub(super) fn radio(c: &mut Check, raw: raw::Radio) -> RadioDefaults {
    let at = KeyPath::default().key("radio");
    let name = raw.preset.unwrap_or_else(|| PRESET.to_owned());
    let known = c.known(at.key("preset"), &name, &names::radio_presets(), "`deft list radios` shows them");
    let preset = names::radio_preset(if known { &name } else { PRESET });
    let defaults = preset.expect("the presets are part of the program");
    let d = &defaults.spec;

    let bandwidth_mhz = c.number(&at, "bandwidth_mhz", raw.bandwidth_mhz, d.bandwidth_mhz, above_to(0.0, 20_000.0));
    if let Err(reason) = names::bandwidth_fits(&d.preset, bandwidth_mhz) {
        c.conflict(
            at.key("bandwidth_mhz"),
            format!("{bandwidth_mhz} MHz do not fit `{}`: {reason}", d.preset),
            "raise it",
        );
    }
    let (low, high) = CARRIER_GHZ;
    let raw_line_of_sight = raw.line_of_sight.unwrap_or(d.line_of_sight);
    let spec = RadioSpec {
        preset: name,
        carrier_ghz: c.number(&at, "carrier_ghz", raw.carrier_ghz, d.carrier_ghz, from_to(low, high)),
        bandwidth_mhz,
        propagation: raw.propagation.unwrap_or(d.propagation),
        fading: raw.fading.map_or(d.fading.clone(), |fading| self::fading(c, &at.key("fading"), fading)),
        coherence_time_ms: c.number(
            &at,
            "coherence_time_ms",
            raw.coherence_time_ms,
            d.coherence_time_ms,
            from_to(0.1, 1e6),
        ),
        cell_tx_power_dbm: c.number(
            &at,
            "cell_tx_power_dbm",
            raw.cell_tx_power_dbm,
            d.cell_tx_power_dbm,
            from_to(-40.0, 80.0),
        ),
        cell_noise_figure_db: c.number(
            &at,
            "cell_noise_figure_db",
            raw.cell_noise_figure_db,
            d.cell_noise_figure_db,
            from_to(0.0, 40.0),
        ),
        device_noise_figure_db: c.number(
            &at,
            "device_noise_figure_db",
            raw.device_noise_figure_db,
            d.device_noise_figure_db,
            from_to(0.0, 40.0),
        ),
        implementation_loss_db: c.number(
            &at,
            "implementation_loss_db",
            raw.implementation_loss_db,
            d.implementation_loss_db,
            from_to(0.0, 40.0),
        ),
        shadowing: raw.shadowing.unwrap_or(d.shadowing),
        line_of_sight: raw.line_of_sight.unwrap_or(d.line_of_sight),
        power_control: power_control(c, &at.key("power_control"), raw.power_control.unwrap_or_default()),
        tdd_pattern: raw.tdd_pattern.and_then(|pattern| tdd_pattern(c, &at.key("tdd_pattern"), &d.preset, pattern)),
        interference_margin_db: c.number(
            &at,
            "interference_margin_db",
            raw.interference_margin_db,
            d.interference_margin_db,
            from_to(0.0, 60.0),
        ),
        neighbour_load: c.number(&at, "neighbour_load", raw.neighbour_load, d.neighbour_load, from_to(0.0, 1.0)),
        neighbours_send: neighbours_send(c, &at, raw.neighbours_send, raw.neighbour_load.unwrap_or(d.neighbour_load)),
        gas_absorption: raw.gas_absorption.unwrap_or(d.gas_absorption),
        rain_mm_per_h: c.number(&at, "rain_mm_per_h", raw.rain_mm_per_h, d.rain_mm_per_h, from_to(0.0, 200.0)),
        building: raw.building.unwrap_or(d.building),
        glass_loss: raw.glass_loss.unwrap_or(d.glass_loss),
        fidelity: raw.fidelity.unwrap_or(d.fidelity),
        drx: raw.drx.map(|raw| drx(c, &at.key("drx"), &raw)),
        blockage: raw.blockage.map(|raw| blockage(c, &at, &raw, raw_line_of_sight)),
        link_layer: slots::link_layer(c, &at, raw.fidelity.unwrap_or(d.fidelity), raw.link_layer),
        slot: slots::slot(
            c,
            &at,
            (raw.fidelity.unwrap_or(d.fidelity), raw.link_layer.unwrap_or_default()),
            raw.slot,
            names::is_tdd(&d.preset),
        ),
    };
    RadioDefaults { spec, ..defaults }
}

fn neighbours_send(c: &mut Check, at: &KeyPath, written: Option<NeighboursSend>, load: f64) -> NeighboursSend {
    if written == Some(NeighboursSend::WithTraffic) && load == 0.0 {
        let message = "neighbours with a `neighbour_load` of 0 never send";
        c.conflict(
            at.key("neighbours_send"),
            message,
            "set neighbour_load to the share of resource blocks they use: 1",
        );
    }
    written.unwrap_or_default()
}

/// Density and loss are assumed.
fn blockage(c: &mut Check, radio: &KeyPath, raw: &raw::Blockage, line_of_sight: LineOfSight) -> BlockageSpec {
    let at = &radio.key("blockage");
    if line_of_sight == LineOfSight::Never {
        let message = "people block lines of sight, and no link has one under `line_of_sight: never`";
        c.conflict(at.clone(), message, "drop the section, or use `line_of_sight: drawn`");
    }
    BlockageSpec {
        blockers_per_m2: c.number(at, "blockers_per_m2", raw.blockers_per_m2, 0.01, above_to(0.0, 10.0)),
        speed_m_per_s: c.number(at, "speed_m_per_s", raw.speed_m_per_s, 1.0, above_to(0.0, 50.0)),
        height_m: c.number(at, "height_m", raw.height_m, 1.7, above_to(0.0, 10.0)),
        mean_duration_s: c.number(at, "mean_duration_s", raw.mean_duration_s, 0.5, from_to(0.001, 3600.0)),
        loss_db: c.number(at, "loss_db", raw.loss_db, 20.0, above_to(0.0, 100.0)),
    }
}

/// Powers are assumed: listening draws what the radio draws beside its amplifier.
fn drx(c: &mut Check, at: &KeyPath, raw: &raw::Drx) -> DrxSpec {
    let cycle_ms = c.number(at, "cycle_ms", raw.cycle_ms, 160.0, from_to(1.0, 10_240.0));
    let on_duration_ms =
        c.number(at, "on_duration_ms", raw.on_duration_ms, 10.0_f64.min(cycle_ms), above_to(0.0, 1600.0));
    if on_duration_ms > cycle_ms {
        let message = format!("on_duration_ms {on_duration_ms} is longer than the cycle_ms {cycle_ms} it begins");
        c.conflict(at.key("on_duration_ms"), message, "shorten it, or lengthen the cycle");
    }
    DrxSpec {
        inactivity_ms: c.number(at, "inactivity_ms", raw.inactivity_ms, 100.0, from_to(0.0, 1e5)),
        on_duration_ms,
        cycle_ms,
        listening_w: c.number(at, "listening_w", raw.listening_w, 0.5, from_to(0.0, 100.0)),
        sleeping_w: c.number(at, "sleeping_w", raw.sleeping_w, 0.01, from_to(0.0, 100.0)),
    }
}

/// Power of devices; the defaults are a usual operating point of macro cells (assumed).
fn power_control(c: &mut Check, at: &KeyPath, raw: raw::PowerControl) -> UplinkPower {
    match raw.kind.unwrap_or(PowerControlKind::Full) {
        PowerControlKind::Full => {
            let keys = [("p0_dbm", raw.p0_dbm.is_some()), ("alpha", raw.alpha.is_some())];
            c.unused(at, &keys, "full", "kind");
            UplinkPower::Full
        }
        PowerControlKind::Fractional => UplinkPower::Fractional {
            p0_dbm: c.number(at, "p0_dbm", raw.p0_dbm, -80.0, from_to(-202.0, 24.0)),
            alpha: c.number(at, "alpha", raw.alpha, 0.8, from_to(0.0, 1.0)),
        },
    }
}

/// A pattern in which both directions come up, on a carrier that both share.
fn tdd_pattern(c: &mut Check, at: &KeyPath, preset: &str, pattern: String) -> Option<String> {
    if let Err(reason) = names::tdd_pattern_fits(preset, &pattern) {
        match reason {
            names::BadPattern::Shape(allowed) => {
                c.issues.push(Issue::value(at.clone(), format!("{pattern:?}"), allowed))
            }
            names::BadPattern::Fdd => {
                let message = format!("`{preset}` has a carrier for each direction: they do not take turns");
                c.conflict(at.clone(), message, "leave it out, or use a preset such as `nr_fr1`");
            }
        }
        return None;
    }
    Some(pattern)
}

fn fading(c: &mut Check, at: &KeyPath, raw: raw::Fading) -> Fading {
    let k = ("k_factor_db", raw.k_factor_db.is_some());
    let spread = ("delay_spread_ns", raw.delay_spread_ns.is_some());
    // TR 38.901 table 7.7.3-1 (from memory): nominal; 10 is very short, 1,000 very long.
    let delay_spread_ns =
        |c: &mut Check| c.number(at, "delay_spread_ns", raw.delay_spread_ns, 100.0, from_to(1.0, 10_000.0));
    let (kind, foreign) = match raw.kind.unwrap_or(FadingKind::Rayleigh) {
        FadingKind::None => (Fading::None, vec![k, spread]),
        FadingKind::Rayleigh => (Fading::Rayleigh, vec![k, spread]),
        FadingKind::Rician => {
            // TR 38.901 table 7.5-6: the mean K of urban macro cells with line of sight.
            let k_factor_db = c.number(at, "k_factor_db", raw.k_factor_db, 9.0, from_to(-40.0, 40.0));
            (Fading::Rician { k_factor_db }, vec![spread])
        }
        FadingKind::TdlA => (Fading::TdlA { delay_spread_ns: delay_spread_ns(c) }, vec![k]),
        FadingKind::TdlC => (Fading::TdlC { delay_spread_ns: delay_spread_ns(c) }, vec![k]),
        FadingKind::TdlD => (Fading::TdlD { delay_spread_ns: delay_spread_ns(c) }, vec![k]),
    };
    c.unused(at, &foreign, kind.name(), "kind");
    kind
}

/// What is sent otherwise than in coded blocks knows one gain for the whole band.
pub(super) fn fading_fits(c: &mut Check, radio: &RadioSpec, technique: &TechniqueSpec) {
    if !radio.fading.is_selective() {
        return;
    }
    let access = match &technique.aggregation {
        AggregationSpec::Digital(digital) => digital.access,
        _ => UplinkAccess::Cell,
    };
    let over_the_air = |spec: &ConnectionsSpec| matches!(spec.method, ConnectionMethod::AirComp { .. });
    let (what, help) = if technique.aggregation.is_over_the_air() {
        ("sums over the air (`technique.aggregation`)", "`aggregation: {method: digital}`")
    } else if access != UplinkAccess::Cell {
        ("a shared uplink (`technique.aggregation.access`)", "`access: cell`")
    } else if technique.connections.as_ref().is_some_and(over_the_air) {
        ("sums over the air (`technique.connections`)", "`connections: {method: digital}`")
    } else if technique.cut.as_ref().is_some_and(|cut| cut.channel == CutChannel::Analog) {
        ("analog symbols (`technique.cut.channel`)", "`cut: {channel: digital}`")
    } else if technique.transfer.as_ref().is_some_and(|t| t.sidelink.is_some()) {
        ("the sidelink (`technique.transfer`)", "another technique")
    } else {
        return;
    };
    let name = radio.fading.name();
    let message =
        format!("`{name}` fades each part of the band on its own, and the model of {what} has one gain for all");
    let at = KeyPath::default().key("radio").key("fading").key("kind");
    c.conflict(at, message, &format!("use `fading: {{kind: rayleigh}}`, or {help}"));
}
