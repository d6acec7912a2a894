//! Writing a scenario out: whole as YAML, or as a flat list of its keys.

use super::key_path::KeyPath;
use super::schema::Scenario;
use serde_yaml::Value;

impl Scenario {
    /// The scenario as YAML with every default written out; reading it again gives an equal scenario.
    pub fn to_yaml(&self) -> String {
        serde_yaml::to_string(self).expect("scenarios hold UTF-8 text, finite numbers, lists and maps")
    }

    /// Every key with its value, in the order of the file: `("devices[0].count", 3)`. Empty lists and maps count as
    /// values; the search section is left out.
    pub fn keys(&self) -> Vec<(String, serde_json::Value)> {
        let trial = Self { search: None, ..self.clone() };
        let value = serde_yaml::to_value(trial).expect("scenarios hold UTF-8 text, finite numbers, lists and maps");
        let mut leaves = Vec::new();
        collect(&KeyPath::default(), &value, &mut leaves);
        leaves
    }
}

fn collect(path: &KeyPath, value: &Value, leaves: &mut Vec<(String, serde_json::Value)>) {
    match value {
        Value::Mapping(map) if !map.is_empty() => {
            for (key, inner) in map {
                collect(&path.key(key.as_str().unwrap_or_default()), inner, leaves);
            }
        }
        Value::Sequence(entries) if !entries.is_empty() => {
            for (i, inner) in entries.iter().enumerate() {
                collect(&path.index(i), inner, leaves);
            }
        }
        leaf => leaves.push((path.to_string(), serde_json::to_value(leaf).unwrap_or_default())),
    }
}
