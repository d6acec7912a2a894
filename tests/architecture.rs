//! The layering of the sources: arrows point down only.
//!
//! Reads the `use` lines and paths of every file under `src/` and fails on one that names a module above its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules from the bottom up. Those that share a rank do not know each other.
const RANKS: [&[&str]; 17] = [
    &["random"],
    &["sim"],
    &["radio", "network", "compute"],
    &["backend"],
    &["data"],
    &["fomo"],
    &["nn"],
    &["adapter"],
    &["scenario"],
    &["world"],
    &["learning"],
    &["aggregation"],
    &["deft"],
    &["experiment"],
    &["results"],
    &["search"],
    &["cli"],
];

/// Arrows that point down but would join the planes: the learning plane never looks at a clock, the time plane never
/// touches a tensor.
const FORBIDDEN: [(&str, &[&str]); 10] = [
    ("backend", &["sim", "radio", "network", "compute"]),
    ("data", &["sim", "radio", "network", "compute"]),
    ("nn", &["sim", "radio", "network", "compute"]),
    ("adapter", &["sim", "radio", "network", "compute"]),
    ("fomo", &["sim", "radio", "network"]),
    ("learning", &["sim", "radio", "network", "compute", "world"]),
    ("world", &["backend", "data", "nn"]),
    ("scenario", &["sim"]),
    ("results", &["world", "learning", "radio", "network", "nn"]),
    ("cli", &["world", "nn", "backend", "sim"]),
];

fn rank(module: &str) -> Option<usize> {
    RANKS.iter().position(|names| names.contains(&module))
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("src can be listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// Modules of this crate named in `text` as `crate::module`, with the line of the first mention.
fn named_modules(text: &str) -> BTreeMap<String, usize> {
    let mut named = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for rest in code.split("crate::").skip(1) {
            let list = match rest.strip_prefix('{') {
                Some(inside) => inside.split([',', '}']).map(str::trim).collect(),
                None => vec![rest],
            };
            for item in list {
                let name: String = item.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if rank(&name).is_some() {
                    named.entry(name).or_insert(number + 1);
                }
            }
        }
    }
    named
}

fn violations() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![];
    sources(&root, &mut files);
    files.sort();
    let mut found = vec![];
    for file in files {
        let inside = file.strip_prefix(&root).expect("below src");
        let module = inside.components().next().expect("a name").as_os_str().to_string_lossy().replace(".rs", "");
        let Some(own) = rank(&module) else {
            if !["lib", "main"].contains(&module.as_str()) {
                found.push(format!("{}: module `{module}` has no place in the layers", inside.display()));
            }
            continue;
        };
        let text = fs::read_to_string(&file).expect("a readable source");
        for (name, line) in named_modules(&text) {
            if name == module {
                continue;
            }
            let other = rank(&name).expect("named modules have ranks");
            let forbidden = FORBIDDEN.iter().any(|(from, to)| *from == module && to.contains(&name.as_str()));
            if other >= own || forbidden {
                found.push(format!("{}:{line}: `{module}` must not use `{name}`", inside.display()));
            }
        }
        if module != "scenario" && text.contains("serde_yaml") {
            found.push(format!("{}: only `scenario` may know YAML", inside.display()));
        }
    }
    found
}

#[test]
fn arrows_point_down() {
    let found = violations();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_reader_of_use_lines_sees_every_form() {
    let text = "use crate::sim::SimTime;\nlet x = crate::world::World; // crate::cli\nuse crate::{data, nn::Model};";
    let names: Vec<String> = named_modules(text).into_keys().collect();
    assert_eq!(names, ["data", "nn", "sim", "world"]);
}
