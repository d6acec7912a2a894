//! What a run leaves on disk: complete, reproducible, read back without loss, documented.

use deft::experiment::{
    DeviceRecord, FlowRecord, LearningCounts, MeasureRecord, Outcome, Record, ReplicationRecord, RoundRecord,
};
use deft::results::{
    ResultsError, RunDescription, RunFolder, Summary, columns, compare, identity, plots, print_table, write_run,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Numbers without pattern, from SplitMix64, among them some with long decimal expansions.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((z ^ (z >> 27)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn record(replications: u64, rounds: usize, devices: usize, training: bool) -> Record {
    let mut numbers = Numbers(replications + 31 * rounds as u64);
    let replications = (0..replications).map(|r| replication(r, rounds, devices, training, &mut numbers)).collect();
    Record { replications }
}

fn replication(number: u64, rounds: usize, devices: usize, training: bool, x: &mut Numbers) -> ReplicationRecord {
    let mut now = 0.0;
    let mut played = Vec::new();
    for round in 1..=rounds {
        let parts: [f64; 5] = std::array::from_fn(|_| 0.1 + x.next());
        let start_s = now;
        now += parts.iter().sum::<f64>();
        let evaluated = training && (round % 3 == 0 || round == rounds);
        played.push(RoundRecord {
            replication: number,
            round,
            start_s,
            end_s: now,
            participants: devices,
            delivered: devices,
            device_compute_s: parts[0],
            uplink_s: parts[1],
            edge_compute_s: parts[2],
            downlink_s: parts[3],
            waiting_s: parts[4],
            uplink_bytes: 1_234_567,
            downlink_bytes: u64::MAX / 1_000_000,
            lost_bytes: 17,
            device_joules: 30.0 * x.next(),
            edge_joules: 100.0 * x.next(),
            cost_usd: 1e-9 * x.next(),
            peak_device_memory_bytes: 800_000_000 + round as u64,
            train_loss: training.then(|| x.next()),
            test_loss: evaluated.then(|| x.next()),
            accuracy: evaluated.then(|| 0.5 + 0.4 * round as f64 / rounds as f64 + 0.01 * x.next()),
            evaluated_samples: evaluated.then_some(1500),
        });
    }
    let device = |i: usize, x: &mut Numbers| DeviceRecord {
        replication: number,
        device: format!("phone, \"old\"-{i}"),
        group: if i.is_multiple_of(2) { "even" } else { "odd" }.to_owned(),
        device_compute_s: x.next(),
        uplink_s: x.next(),
        waiting_s: x.next(),
        battery_left_percent: i.is_multiple_of(2).then(|| 100.0 * x.next()),
        mean_uplink_snr_db: Some(-x.next()),
        ..DeviceRecord::default()
    };
    let flow = |i: usize, x: &mut Numbers| FlowRecord {
        replication: number,
        round: 1,
        device: format!("phone-{i}"),
        direction: "uplink".to_owned(),
        bytes: i as u64,
        end_s: 1e-17 * x.next(),
        line_of_sight: i % 2 == 1,
        mean_rate_bit_per_s: 1e12 * x.next(),
        ..FlowRecord::default()
    };
    ReplicationRecord {
        replication: number,
        outcome: Outcome::ReachedAccuracy,
        simulated_seconds: now,
        events: 4321,
        digest: 0xfedc_ba98_7654_3210 ^ number,
        initial_accuracy: training.then_some(0.5),
        final_accuracy: played.last().and_then(|r| r.accuracy),
        rounds: played,
        devices: (0..devices).map(|i| device(i, x)).collect(),
        flows: (0..devices).map(|i| flow(i, x)).collect(),
        measures: vec![MeasureRecord { replication: number, measure: "plug_in_accuracy".to_owned(), value: x.next() }],
        learning: LearningCounts { operations_asked: u64::MAX / 1000, operations_computed: number },
    }
}

fn description(name: &str) -> RunDescription<'_> {
    RunDescription {
        scenario_name: name,
        resolved_yaml: "name: test\nseed: 7\n",
        version: "0.1.0",
        seed: 7,
        wall_seconds: 1.5,
        threads: 2,
        backend: "cpu",
        adapters: &[],
    }
}

/// Every file below `folder`, by relative path.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn a_record_reads_back_as_it_was_written() {
    let root = tempfile::tempdir().unwrap();
    for (name, record) in [
        ("several", record(3, 7, 4, true)),
        ("untrained", record(1, 2, 1, false)),
        ("no rounds", record(2, 0, 0, false)),
        ("nothing", Record { replications: vec![] }),
    ] {
        let folder = write_run(root.path(), &description(name), &record, None).unwrap();
        assert_eq!(folder.load().unwrap(), record, "{name}");
        assert_eq!(folder.scenario_yaml().unwrap(), description(name).resolved_yaml);
        assert_eq!(folder.manifest().unwrap().seed, 7);
    }
    let listed = RunFolder::list(root.path()).unwrap();
    let names: Vec<_> = listed.iter().map(|f| f.manifest().unwrap().scenario).collect();
    assert_eq!(names, ["no rounds", "nothing", "several", "untrained"]);
}

#[test]
fn equal_runs_give_equal_bytes_and_only_the_manifest_knows_the_clock() {
    let record = record(2, 4, 3, true);
    let mut trace = |out: &mut dyn std::io::Write| out.write_all(b"{}");
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = write_run(a.path(), &description("same"), &record, Some(&mut trace)).unwrap();
    let slower = RunDescription { wall_seconds: 99.0, threads: 64, ..description("same") };
    // The second run also replaces a result that is already there.
    write_run(b.path(), &slower, &record, None).unwrap();
    let second = write_run(b.path(), &slower, &record, Some(&mut trace)).unwrap();

    assert_eq!(first.path().strip_prefix(a.path()).unwrap(), second.path().strip_prefix(b.path()).unwrap());
    let (first, second) = (files(first.path()), files(second.path()));
    assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>());
    let differing: Vec<_> = first.keys().filter(|name| first[*name] != second[*name]).collect();
    assert_eq!(differing, ["manifest.json"]);
    for name in ["trace.json", "summary.json", "report.html", "flows.csv", "plots/accuracy_vs_time.svg"] {
        assert!(first.contains_key(name), "{name} is missing");
    }
}

#[test]
fn the_id_depends_on_scenario_and_version_alone() {
    let id = identity("seed: 1\n", "0.1.0");
    assert_eq!(id.len(), 12);
    assert_ne!(id, identity("seed: 2\n", "0.1.0"));
    assert_ne!(id, identity("seed: 1\n", "0.1.1"));
    assert_ne!(identity("ab", "c"), identity("b", "ca"));
}

#[test]
fn a_run_that_fails_half_way_leaves_the_old_result_and_no_rubbish() {
    let root = tempfile::tempdir().unwrap();
    let old = record(1, 2, 1, true);
    let folder = write_run(root.path(), &description("x"), &old, None).unwrap();
    let mut broken = |_: &mut dyn std::io::Write| Err(std::io::Error::other("disk full"));
    let error = write_run(root.path(), &description("x"), &record(1, 3, 1, true), Some(&mut broken)).unwrap_err();
    assert!(error.to_string().contains("trace.json") && error.to_string().contains("disk full"), "{error}");
    assert_eq!(folder.load().unwrap(), old);
    assert_eq!(fs::read_dir(folder.path().parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn folders_that_do_not_fit_are_refused_with_their_path() {
    let root = tempfile::tempdir().unwrap();
    assert!(matches!(RunFolder::open(root.path()), Err(ResultsError::Read { .. })));
    assert_eq!(RunFolder::list(&root.path().join("none")).unwrap(), []);
    let folder = write_run(root.path(), &description("x"), &record(2, 2, 1, true), None).unwrap();

    let manifest = folder.path().join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"format_version\": 4", "\"format_version\": 9")).unwrap();
    assert!(matches!(folder.load(), Err(ResultsError::Format { found: 9, .. })));
    fs::write(&manifest, text.replace("fedcba9876543210", "0000000000000001")).unwrap();
    assert!(matches!(folder.load(), Err(ResultsError::Inconsistent { .. })));
    fs::write(&manifest, &text).unwrap();

    let rounds = folder.path().join("rounds.csv");
    fs::write(&rounds, "replication,round\n0,1\n").unwrap();
    let error = folder.load().unwrap_err();
    assert!(matches!(error, ResultsError::ReadTable { .. }) && error.to_string().contains("rounds.csv"), "{error}");
}

#[test]
fn the_summary_is_what_its_definition_says() {
    let record = record(2, 6, 2, true);
    let summary = Summary::of(&record);
    let [a, b] = &record.replications[..] else { panic!("two replications") };
    let joules = |r: &ReplicationRecord| r.rounds.iter().map(|x| x.device_joules).sum::<f64>();
    let estimate = summary.device_joules.unwrap();
    assert!((estimate.mean - (joules(a) + joules(b)) / 2.0).abs() < 1e-12);
    // Two values: std is their distance over sqrt 2, and t(0.975, 1) is 12.7062.
    let distance = (joules(a) - joules(b)).abs();
    assert!((estimate.half_width_95.unwrap() - 12.7062 * distance / 2.0).abs() < 1e-4 * distance);
    let peak = summary.peak_device_memory_bytes.unwrap();
    assert_eq!(peak.mean, 800_000_006.0);
    // Round 3 has an accuracy in [0.70, 0.71), round 6 in [0.90, 0.91); nothing reaches 0.95.
    let times = &summary.time_to_accuracy_s;
    assert_eq!(times["0.50"].unwrap().mean, 0.0);
    assert!((times["0.70"].unwrap().mean - (a.rounds[2].end_s + b.rounds[2].end_s) / 2.0).abs() < 1e-12);
    assert!((times["0.90"].unwrap().mean - (a.rounds[5].end_s + b.rounds[5].end_s) / 2.0).abs() < 1e-12);
    assert_eq!(times["0.95"], None);
}

#[test]
fn plots_are_written_for_what_the_record_has() {
    let names = |record: &Record| {
        let folder = tempfile::tempdir().unwrap();
        let written = plots::draw_all(record, folder.path()).unwrap();
        for path in &written {
            let start: &[u8] = if path.extension().unwrap() == "png" { b"\x89PNG" } else { b"<svg" };
            assert!(fs::read(path).unwrap().starts_with(start), "{}", path.display());
        }
        assert_eq!(files(folder.path()).len(), written.len());
        let svg = written.iter().filter(|p| p.extension().unwrap() == "svg");
        svg.map(|p| p.file_stem().unwrap().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let all = ["accuracy_vs_time", "loss_vs_time", "latency_breakdown", "device_time"];
    assert_eq!(names(&record(3, 5, 3, true)), all);
    assert_eq!(names(&record(1, 1, 1, true)), all);
    assert_eq!(names(&record(1, 45, 41, false)), all[2..]);
    assert_eq!(names(&record(1, 0, 0, false)), all[..0]);
}

#[test]
fn a_pareto_plot_labels_its_front() {
    let folder = tempfile::tempdir().unwrap();
    let point = |i: usize| plots::ParetoPoint {
        label: format!("split {i}"),
        seconds: 10.0 * (i + 1) as f64,
        accuracy: 0.6 + 0.05 * i as f64,
        category: "digital".to_owned(),
    };
    let mut points: Vec<_> = (0..3).map(point).collect();
    points.push(plots::ParetoPoint { seconds: f64::NAN, ..point(9) });
    let options = plots::ParetoOptions { time_label: "Total time".to_owned(), category_label: "method".to_owned() };
    let [svg, _png] = plots::pareto(&points, &options, &folder.path().join("pareto")).unwrap().unwrap();
    let text = fs::read_to_string(svg).unwrap();
    assert!((0..3).all(|i| text.contains(&format!("split {i}"))) && text.contains("Total time (s)"));
    assert!(!text.contains("split 9"));
    assert_eq!(plots::pareto(&points[3..], &options, &folder.path().join("none")).unwrap(), None);
}

#[test]
fn a_comparison_names_runs_and_changes() {
    let root = tempfile::tempdir().unwrap();
    let slow = record(2, 6, 2, true);
    let mut fast = slow.clone();
    for r in &mut fast.replications {
        r.simulated_seconds *= 0.5;
    }
    let other = RunDescription { resolved_yaml: "seed: 8\n", ..description("a") };
    let runs = [
        write_run(root.path(), &description("a"), &slow, None).unwrap(),
        write_run(root.path(), &other, &record(1, 3, 1, false), None).unwrap(),
        write_run(root.path(), &description("b"), &fast, None).unwrap(),
    ];
    let out = root.path().join("compared");
    let comparison = compare(&runs, &out).unwrap();
    assert!(comparison.labels[0].starts_with("a ") && comparison.labels[2] == "b", "{:?}", comparison.labels);
    let line = comparison.table.lines().find(|l| l.starts_with("simulated time")).unwrap();
    assert!(line.contains("(-50.0%)"), "{line}");
    assert_eq!(comparison.written.len(), files(&out).len());
    assert!(matches!(compare(&runs[..1], &out), Err(ResultsError::TooFewRuns { found: 1 })));
}

#[test]
fn the_printed_table_fits_the_screen() {
    for (record, rows) in [(record(3, 200, 8, true), 16), (record(1, 1, 1, false), 1), (record(3, 15, 8, true), 15)] {
        let mut text = Vec::new();
        print_table(&record, Some(Path::new("results/x/123")), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.lines().all(|l| l.chars().count() <= 120), "{text}");
        assert!(text.contains("results/x/123") && text.contains("simulated time"));
        let table: Vec<&str> = text.split("\n\n").next().unwrap().lines().skip(2).collect();
        assert!(table.len() >= rows && table.len() <= 25, "{} lines\n{text}", table.len());
        let trained = record.replications[0].final_accuracy.is_some();
        assert_eq!(text.lines().next().unwrap().contains("accuracy"), trained);
    }
}

#[test]
fn every_column_and_key_is_documented() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let section = |name: &str| {
        let start = page.find(&format!("\n## {name}\n")).unwrap_or_else(|| panic!("no section {name}"));
        let text = &page[start + 1..];
        &text[..text.find("\n## ").unwrap_or(text.len())]
    };
    for (file, columns) in columns().unwrap() {
        for column in columns {
            assert!(
                section(file).contains(&format!("\n| `{column}` |")),
                "{file}: `{column}` is not in docs/metrics.md"
            );
        }
    }
    let summary = serde_json::to_value(Summary::of(&record(2, 3, 1, true))).unwrap();
    for key in summary.as_object().unwrap().keys() {
        assert!(
            section("summary.json").contains(&format!("`{key}`")),
            "summary.json: `{key}` is not in docs/metrics.md"
        );
    }
    let root = tempfile::tempdir().unwrap();
    let folder = write_run(root.path(), &description("x"), &record(1, 1, 1, true), None).unwrap();
    let mut open = vec![serde_json::to_value(folder.manifest().unwrap()).unwrap()];
    while let Some(value) = open.pop() {
        open.extend(value.as_array().into_iter().flatten().cloned());
        for (key, inner) in value.as_object().into_iter().flatten() {
            assert!(section("manifest.json").contains(&format!("`{key}`")), "manifest.json: `{key}` is not documented");
            open.push(inner.clone());
        }
    }
}
