//! Any bytes at all, read as a scenario: it is resolved or refused, without a panic, without end or without bound. What is
//! resolved is written and read again, and must come back as it was.
#![no_main]

use deft::scenario::ScenarioSource;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(scenario) = ScenarioSource::from_text("fuzzed", text).resolve() else { return };
    let again = ScenarioSource::from_text("written", scenario.to_yaml()).resolve().expect("what was written is a scenario");
    assert!(scenario == again, "a scenario that was written came back as another");
});
