//! Setting single keys of a scenario from outside its file.

use super::error::{Complaint, Issue};
use super::key_path::{KeyPath, Step};
use serde_yaml::{Mapping, Value};

/// Sets the place `path` inside `root` to `value`. Maps on the way are made where they are missing; a list must
/// exist and hold the index.
///
/// # Errors
/// What is in the way.
pub(super) fn set(root: &mut Value, path: &KeyPath, value: Value) -> Result<(), Issue> {
    let mut place = root;
    let mut done = KeyPath::default();
    for step in path.steps() {
        match step {
            Step::Key(name) => {
                // `training: none` gives way to `training.dataset`, `peft.rank: 8` to `peft.rank.blocks`.
                if !place.is_mapping() && !place.is_sequence() {
                    *place = Value::Mapping(Mapping::new());
                }
                let Value::Mapping(map) = place else {
                    let message = format!("`{done}` is a list; name an entry, as in `{done}[0].{name}`");
                    return Err(Issue::conflict(path.clone(), message));
                };
                place = map.entry(Value::String(name.clone())).or_insert(Value::Null);
                done = done.key(name);
            }
            Step::Index(index) => {
                let found = match &*place {
                    Value::Sequence(entries) => format!("a list of {}", entries.len()),
                    _ => "no list".to_owned(),
                };
                let Some(entry) = place.as_sequence_mut().and_then(|entries| entries.get_mut(*index)) else {
                    let message = format!("there is no entry {index}: `{done}` is {found}, and entries count from 0");
                    return Err(Issue::conflict(path.clone(), message));
                };
                place = entry;
                done = done.index(*index);
            }
        }
    }
    *place = value;
    Ok(())
}

/// The list that `path` leads into at `root` but finds missing there, if any.
pub(super) fn missing_list(root: &Value, path: &KeyPath) -> Option<KeyPath> {
    let mut place = Some(root);
    let mut done = KeyPath::default();
    for step in path.steps() {
        match step {
            Step::Index(_) if place.is_none_or(Value::is_null) => return Some(done),
            Step::Index(index) => {
                place = place.and_then(|value| value.get(*index));
                done = done.index(*index);
            }
            Step::Key(name) => {
                place = place.and_then(|value| value.get(name.as_str()));
                done = done.key(name);
            }
        }
    }
    None
}

/// Reads a dotted key.
///
/// # Errors
/// That it names no place.
pub(super) fn parse_key(dotted: &str) -> Result<KeyPath, Issue> {
    KeyPath::parse(dotted).ok_or_else(|| {
        let complaint = Complaint::Unreadable(format!("\"{dotted}\" names no key"));
        let help = "write keys with dots and list entries with brackets: technique.rounds, devices[0].count";
        Issue::new(KeyPath::default(), complaint).help(help.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str, key: &str, value: &str) -> Result<Value, Issue> {
        let mut root: Value = serde_yaml::from_str(text).expect("YAML");
        set(&mut root, &parse_key(key)?, serde_yaml::from_str(value).expect("YAML"))?;
        Ok(root)
    }

    #[test]
    fn maps_on_the_way_are_made_and_plain_values_give_way() {
        let expect = |text: &str| serde_yaml::from_str::<Value>(text).expect("YAML");
        assert_eq!(after("{}", "a.b.c", "1").expect("set"), expect("a: {b: {c: 1}}"));
        assert_eq!(after("a: none", "a.b", "1").expect("set"), expect("a: {b: 1}"));
        assert_eq!(after("a: [{x: 1}, {x: 2}]", "a[1].x", "3").expect("set"), expect("a: [{x: 1}, {x: 3}]"));
        assert_eq!(after("a: [{x: 1}, {x: 2}]", "a.1.x", "3").expect("set"), expect("a: [{x: 1}, {x: 3}]"));
    }

    #[test]
    fn a_place_outside_a_list_is_refused() {
        for key in ["a[2].x", "a.x", "b[0]", "a[]"] {
            assert!(after("a: [{x: 1}, {x: 2}]\nb: {}", key, "3").is_err(), "{key}");
        }
    }
}
