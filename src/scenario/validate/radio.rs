//! The air interface: what the preset leaves open and what the user overrides.

use super::check::{Check, above_to, from_to};
use crate::scenario::key_path::KeyPath;
use crate::scenario::names::{self, RadioDefaults};
use crate::scenario::raw::{self, FadingKind};
use crate::scenario::schema::{Fading, RadioSpec};

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
    };
    RadioDefaults { spec, ..defaults }
}

fn fading(c: &mut Check, at: &KeyPath, raw: raw::Fading) -> Fading {
    let k = [("k_factor_db", raw.k_factor_db.is_some())];
    match raw.kind.unwrap_or(FadingKind::Rayleigh) {
        FadingKind::None => {
            c.unused(at, &k, "none", "kind");
            Fading::None
        }
        FadingKind::Rayleigh => {
            c.unused(at, &k, "rayleigh", "kind");
            Fading::Rayleigh
        }
        FadingKind::Rician => {
            // TR 38.901 table 7.5-6: the mean K of urban macro cells with line of sight.
            Fading::Rician { k_factor_db: c.number(at, "k_factor_db", raw.k_factor_db, 9.0, from_to(-40.0, 40.0)) }
        }
    }
}
