//! Whatever is done to a scenario's text, reading it ends with a scenario or a message: no panic, no endless work, no memory
//! without bound. Seeded mutations of every shipped and every broken scenario; `DEFT_MUTATIONS` sets how many of each file.

#[path = "support/meter.rs"]
mod meter;

use deft::random::CounterStream;
use deft::scenario::ScenarioSource;
use meter::peak_of;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Far more than any scenario needs: 100,000 cells with their names and links are some 50 MB.
const MOST_BYTES: isize = 512 << 20;
/// On the processor, in a build without optimisation.
const LONGEST: Duration = Duration::from_secs(30);

/// What this thread has spent on the processor; where the system does not say, what time it is.
fn spent(since: Instant) -> Duration {
    let told = fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|text| text.split_whitespace().next()?.parse().ok());
    nanos.map_or_else(|| since.elapsed(), Duration::from_nanos)
}

/// What mutations put in: syntax, references, extremes, and words that mean something somewhere.
const TOKENS: [&str; 48] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ": ",
    "- ",
    ",",
    "#",
    "|",
    ">",
    "&a ",
    "*a",
    "<<: *a",
    "!!",
    "!!binary x",
    "---\n",
    "...\n",
    "'",
    "\"",
    "?",
    "%YAML 1.1",
    "\t",
    "\u{feff}",
    "\u{0}",
    "\u{85}",
    "é",
    "null",
    "~",
    "true",
    "0",
    "-1",
    "1e308",
    "1e-308",
    "1e999",
    ".nan",
    "-.inf",
    "18446744073709551616",
    "9223372036854775807",
    "100000",
    "0x1F",
    "2026-01-01",
    "auto",
    "all",
    "none",
    "count: 100000",
    "name",
    "kind",
];

struct Draws {
    stream: CounterStream,
    next: u64,
}

impl Draws {
    fn below(&mut self, limit: usize) -> usize {
        self.next += 1;
        (self.stream.bits(self.next) % limit.max(1) as u64) as usize
    }

    /// A place in `text` between two characters.
    fn place(&mut self, text: &str) -> usize {
        let mut at = self.below(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

fn mutate(text: &str, others: &[String], draws: &mut Draws) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let line = draws.below(lines.len());
    match draws.below(12) {
        0 if !lines.is_empty() => drop(lines.remove(line)),
        1 if !lines.is_empty() => lines.insert(line, lines[line].clone()),
        2 if !lines.is_empty() => {
            let other = draws.below(lines.len());
            lines.swap(line, other);
        }
        3 if !lines.is_empty() => {
            let other = &others[draws.below(others.len())];
            let taken: Vec<&str> = other.lines().collect();
            if !taken.is_empty() {
                lines.insert(line, taken[draws.below(taken.len())].to_owned());
            }
        }
        4 if !lines.is_empty() => lines[line].insert_str(0, &" ".repeat(1 + draws.below(6))),
        5 if !lines.is_empty() => lines[line] = lines[line].trim_start().to_owned(),
        6 => return text[..draws.place(text)].to_owned(),
        7 => {
            let (a, b) = (draws.place(text), draws.place(text));
            return format!("{}{}", &text[..a.min(b)], &text[a.max(b)..]);
        }
        8 => {
            let (a, b, at) = (draws.place(text), draws.place(text), draws.place(text));
            return format!("{}{}{}", &text[..at], &text[a.min(b)..a.max(b)], &text[at..]);
        }
        9 => {
            // Another value for a number.
            let numbers: Vec<_> = text.match_indices(|c: char| c.is_ascii_digit()).map(|(at, _)| at).collect();
            if let Some(&at) = numbers.get(draws.below(numbers.len())) {
                return format!("{}{}{}", &text[..at], TOKENS[28 + draws.below(20)], &text[at + 1..]);
            }
        }
        _ => {
            let at = draws.place(text);
            return format!("{}{}{}", &text[..at], TOKENS[draws.below(TOKENS.len())], &text[at..]);
        }
    }
    lines.join("\n")
}

/// Every scenario of the repository, whole and broken.
fn seeds() -> Vec<(PathBuf, String)> {
    let mut folders = vec![];
    for folder in ["scenarios", "tests/data", "tests/broken"] {
        folders.push(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
    }
    let mut found = vec![];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "yaml")
                && let Ok(text) = fs::read_to_string(&path)
            {
                found.push((path, text));
            }
        }
    }
    found.sort();
    found
}

/// Reads `text` as if it stood in `path`; says what went wrong with the reading itself.
fn survives(path: &Path, text: &str) -> Result<(), String> {
    let now = Instant::now();
    let started = spent(now);
    let read = || -> Result<(), String> {
        match ScenarioSource::from_text(path, text).resolve() {
            Err(error) if error.to_string().is_empty() => Err("refused without a word".to_owned()),
            Err(_) => Ok(()),
            Ok(scenario) => {
                let written = scenario.to_yaml();
                let again = ScenarioSource::from_text(path, &*written).resolve();
                match again {
                    Err(error) => Err(format!("its complete form is refused: {error}")),
                    Ok(again) if again.to_yaml() != written => Err("its complete form reads as another".to_owned()),
                    Ok(_) => Ok(()),
                }
            }
        }
    };
    let (outcome, peak) =
        peak_of(|| catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err("panicked".to_owned())));
    let took = spent(now).saturating_sub(started);
    outcome?;
    if peak > MOST_BYTES {
        return Err(format!("took {peak} bytes"));
    }
    if took > LONGEST { Err(format!("took {took:?}")) } else { Ok(()) }
}

#[test]
fn no_mutation_of_a_scenario_breaks_its_reader() {
    let mutations = std::env::var("DEFT_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(12u64);
    let first = std::env::var("DEFT_FIRST_MUTATION").ok().and_then(|n| n.parse().ok()).unwrap_or(0u64);
    let seeds = seeds();
    assert!(seeds.len() > 100, "{} files", seeds.len());
    let texts: Vec<String> = seeds.iter().map(|(_, text)| text.clone()).collect();
    let mut broken = vec![];
    for (number, (path, text)) in seeds.iter().enumerate() {
        for n in first..first + mutations {
            let mut draws = Draws { stream: CounterStream::new(number as u64, 53).child(n), next: 0 };
            let mut mutated = text.clone();
            for _ in 0..=draws.below(4) {
                mutated = mutate(&mutated, &texts, &mut draws);
            }
            if let Err(what) = survives(path, &mutated) {
                broken.push(format!("{} mutation {n}: {what}\n{mutated}\n", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{} of them:\n{}", broken.len(), broken.join("\n"));
}

/// Texts that are small and ask for much.
#[test]
fn what_asks_for_much_is_refused() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/asks_for_much.yaml");
    let head = "name: much\nmodel: {architecture: minilm-l6}\ntechnique: {kind: federated}\n";
    let phones = "devices: [{name: phone, hardware: apple_a15}]\n";
    let many = |entries: usize, entry: &dyn Fn(usize) -> String| (0..entries).map(entry).collect::<String>();
    let texts = [
        ("cells", format!("{head}{phones}cells:\n{}", many(10_000, &|i| format!("- {{name: c{i}, count: 100000}}\n")))),
        (
            "servers",
            format!("{head}{phones}edge_servers:\n{}", many(10_000, &|i| format!("- {{name: s{i}, count: 100000}}\n"))),
        ),
        (
            "devices",
            format!(
                "{head}devices:\n{}",
                many(9_000, &|i| format!("- {{name: d{i}, count: 100000, hardware: apple_a15}}\n"))
            ),
        ),
        (
            "links",
            format!(
                "{head}{phones}cells: [{{name: gnb, count: 100000}}]\nnetwork:\n  links:\n{}",
                many(20_000, &|i| format!("  - {{from: gnb-{i}, to: nowhere}}\n"))
            ),
        ),
        ("depth", format!("{head}{phones}{}", many(100_000, &|_| "[".to_owned()))),
        ("keys", format!("{head}{phones}{}", many(100_000, &|i| format!("k{i}: 1\n")))),
        ("one word", "a".repeat(1 << 20)),
        ("text beyond the limit", "a: b\n".repeat(1 << 18)),
    ];
    for (what, text) in texts {
        survives(&path, &text).unwrap_or_else(|problem| panic!("{what}: {problem}"));
        assert!(ScenarioSource::from_text(&path, &*text).resolve().is_err(), "{what} was accepted");
    }
}
