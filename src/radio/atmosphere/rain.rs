//! Attenuation by rain, ITU-R P.838-3: k R^alpha.

/// a exp(-((log10 f - b) / c)^2), a term of equations 2 and 3.
type Bell = (f64, f64, f64);

/// Bells, slope and offset of one coefficient for one polarisation: tables 1 to 4.
struct Fit {
    bells: &'static [Bell],
    slope: f64,
    offset: f64,
}

const K_HORIZONTAL: Fit = Fit {
    bells: &[
        (-5.33980, -0.10008, 1.13098),
        (-0.35351, 1.26970, 0.45400),
        (-0.23789, 0.86036, 0.15354),
        (-0.94158, 0.64552, 0.16817),
    ],
    slope: -0.18961,
    offset: 0.71147,
};
const K_VERTICAL: Fit = Fit {
    bells: &[
        (-3.80595, 0.56934, 0.81061),
        (-3.44965, -0.22911, 0.51059),
        (-0.39902, 0.73042, 0.11899),
        (0.50167, 1.07319, 0.27195),
    ],
    slope: -0.16398,
    offset: 0.63297,
};
const ALPHA_HORIZONTAL: Fit = Fit {
    bells: &[
        (-0.14318, 1.82442, -0.55187),
        (0.29591, 0.77564, 0.19822),
        (0.32177, 0.63773, 0.13164),
        (-5.37610, -0.96230, 1.47828),
        (16.1721, -3.29980, 3.43990),
    ],
    slope: 0.67849,
    offset: -1.95537,
};
const ALPHA_VERTICAL: Fit = Fit {
    bells: &[
        (-0.07771, 2.33840, -0.76284),
        (0.56727, 0.95545, 0.54039),
        (-0.20238, 1.14520, 0.26809),
        (-48.2991, 0.791669, 0.116226),
        (48.5833, 0.791459, 0.116479),
    ],
    slope: -0.053739,
    offset: 0.83433,
};

impl Fit {
    fn at(&self, log_ghz: f64) -> f64 {
        let bell = |(a, b, c): &Bell| a * (-((log_ghz - b) / c).powi(2)).exp();
        self.bells.iter().map(bell).sum::<f64>() + self.slope * log_ghz + self.offset
    }
}

/// Specific attenuation, dB/km, at 1 to 1,000 GHz, on a path of this elevation with a wave polarised at this tilt from the
/// horizontal (45 degrees: circular).
pub fn loss_db_per_km(carrier_ghz: f64, rain_mm_per_h: f64, elevation_deg: f64, tilt_deg: f64) -> f64 {
    let log_ghz = carrier_ghz.log10();
    let (kh, kv) = (10f64.powf(K_HORIZONTAL.at(log_ghz)), 10f64.powf(K_VERTICAL.at(log_ghz)));
    let (ah, av) = (ALPHA_HORIZONTAL.at(log_ghz), ALPHA_VERTICAL.at(log_ghz));
    let turn = elevation_deg.to_radians().cos().powi(2) * (2.0 * tilt_deg).to_radians().cos();
    let k = (kh + kv + (kh - kv) * turn) / 2.0;
    let alpha = (kh * ah + kv * av + (kh * ah - kv * av) * turn) / (2.0 * k);
    k * rain_mm_per_h.powf(alpha)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn horizontal_waves_lose_more_and_heavier_rain_takes_more() {
        for f in [10.0, 28.0, 60.0] {
            assert!(loss_db_per_km(f, 20.0, 0.0, 0.0) > loss_db_per_km(f, 20.0, 0.0, 90.0));
            assert!(loss_db_per_km(f, 40.0, 0.0, 45.0) > loss_db_per_km(f, 20.0, 0.0, 45.0));
        }
        assert_eq!(loss_db_per_km(28.0, 0.0, 0.0, 45.0), 0.0);
    }
}
