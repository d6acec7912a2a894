//! What a misspelt word or key was probably meant to be.

/// Units that end a key, as messages write them. Longer endings come before those they end in.
const UNITS: [(&str, &str); 16] = [
    ("_usd_per_accelerator_hour", "US dollars per accelerator and hour"),
    ("_usd_per_gb", "US dollars per GB"),
    ("_usd_per_kwh", "US dollars per kWh"),
    ("_gbit_per_s", "Gbit/s"),
    ("_mm_per_h", "mm/h"),
    ("_m_per_s", "m/s"),
    ("_percent", "percent"),
    ("_tokens", "tokens"),
    ("_px", "pixels"),
    ("_ghz", "GHz"),
    ("_mhz", "MHz"),
    ("_dbm", "dBm"),
    ("_db", "dB"),
    ("_ms", "ms"),
    ("_s", "s"),
    ("_m", "m"),
];

/// Endings that people write for units that scenarios do not use.
const OTHER_UNITS: [&str; 22] = [
    "_mbit_per_s",
    "_kbit_per_s",
    "_bit_per_s",
    "_km_per_h",
    "_gbps",
    "_mbps",
    "_kbps",
    "_bps",
    "_khz",
    "_hz",
    "_seconds",
    "_minutes",
    "_sec",
    "_min",
    "_us",
    "_ns",
    "_km",
    "_cm",
    "_mw",
    "_w",
    "_kmh",
    "_meters",
];

/// The unit that `key` names: `bandwidth_mhz` is in MHz.
pub(crate) fn unit(key: &str) -> Option<&'static str> {
    UNITS.iter().find(|(ending, _)| key.ends_with(ending)).map(|(_, unit)| *unit)
}

/// Help for an unknown key among the keys that its section knows.
pub(crate) fn for_key(found: &str, known: &[&str]) -> Option<String> {
    let other_unit = known.iter().find(|key| unit(key).is_some() && without_unit(found) == without_unit(key));
    if let Some(key) = other_unit {
        return Some(format!("did you mean `{key}`? Its value is in {}", unit(key).unwrap_or_default()));
    }
    closest(found, known.iter().copied()).map(|key| format!("did you mean `{key}`?"))
}

fn without_unit(key: &str) -> &str {
    let endings = UNITS.iter().map(|(ending, _)| *ending).chain(OTHER_UNITS);
    endings.filter_map(|ending| key.strip_suffix(ending)).min_by_key(|stem| stem.len()).unwrap_or(key)
}

/// Help for an unknown word among `known` ones.
pub(crate) fn for_word<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    closest(found, known).map(|word| format!("did you mean `{word}`?"))
}

/// The most similar name, if any is similar enough to be a slip; case, `-` and `_` do not count.
fn closest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A longer word is no slip of a key, and comparing costs time in its length.
    if found.len() > 64 {
        return None;
    }
    let plain = |s: &str| s.to_lowercase().replace(['-', '_', ' '], "");
    let found = plain(found);
    let mut best = None;
    for name in known {
        let other = plain(name);
        let edits = strsim::normalized_damerau_levenshtein(&found, &other);
        let prefix = strsim::jaro_winkler(&found, &other);
        let score = edits.max(if prefix >= 0.88 { prefix } else { 0.0 });
        if score >= 0.6 && best.is_none_or(|(s, _)| score > s) {
            best = Some((score, name));
        }
    }
    best.map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_another_unit_is_recognised() {
        let known = ["carrier_ghz", "bandwidth_mhz", "coherence_time_ms"];
        let help = for_key("bandwidth_khz", &known).expect("a suggestion");
        assert!(help.contains("`bandwidth_mhz`") && help.contains("MHz"), "{help}");
        assert!(for_key("coherence_time", &known).expect("a suggestion").contains("coherence_time_ms"));
        assert!(for_key("rate_mbit_per_s", &["rate_gbit_per_s"]).expect("a suggestion").contains("Gbit/s"));
    }

    #[test]
    fn slips_are_mended_and_strangers_left_alone() {
        assert_eq!(closest("AirComp", ["digital", "air_comp"]), Some("air_comp"));
        assert_eq!(closest("split_points", ["rounds", "split_point"]), Some("split_point"));
        assert_eq!(closest("minilm", ["bert-base", "minilm-l6"]), Some("minilm-l6"));
        assert_eq!(closest("wombat", ["digital", "air_comp"]), None);
    }
}
