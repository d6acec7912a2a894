//! For each key of a scenario, where and how to change it so that one sees what it does.

use crate::support;
use deft::scenario::{Scenario, ScenarioError};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Scenarios that together hold every key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    Emulated,
    PerBlock,
    Fixed,
    Walking,
    Air,
    Training,
    Vendored,
    Domains,
    Checkpoint,
    Searched,
}

use Base::{Air, Checkpoint, Domains, Emulated, Fixed, PerBlock, Searched, Training, Vendored, Walking};

pub const BASES: [Base; 10] =
    [Emulated, PerBlock, Fixed, Walking, Air, Training, Vendored, Domains, Checkpoint, Searched];

impl Base {
    /// Its file, and what is set in it.
    fn recipe(self) -> (&'static str, Vec<(&'static str, Value)>) {
        let few = ("training.final_evaluation_samples", json!(12));
        let tiny = |changes: Vec<(&'static str, Value)>| ("tiny.yaml", [vec![few], changes].concat());
        match self {
            Emulated => ("keys.yaml", vec![]),
            PerBlock => ("keys.yaml", vec![("peft.rank", json!({"blocks": [8, 4, 4, 2, 0, 0]}))]),
            Fixed => {
                let positions_m = json!([[60, 20], [500, 40], [90, -70]]);
                ("keys.yaml", vec![("placement", json!({"kind": "fixed", "positions_m": positions_m}))])
            }
            // So fast that they arrive somewhere within the run.
            Walking => {
                let walk = json!({
                    "kind": "random_waypoint", "min_speed_m_per_s": 100, "max_speed_m_per_s": 200, "pause_s": 0.1,
                });
                ("keys.yaml", vec![("mobility", walk), ("radio.fading", json!({"kind": "rician", "k_factor_db": 6}))])
            }
            Air => {
                let air = json!({"method": "air_comp", "truncation_threshold": 0.1, "average_power_dbm": 10});
                ("keys.yaml", vec![("technique.aggregation", air)])
            }
            Training => tiny(vec![("training.partition", json!({"kind": "dirichlet", "alpha": 0.5}))]),
            Vendored => tiny(vec![("training.dataset", json!("tweets"))]),
            Domains => tiny(vec![
                ("training.dataset", json!({"domains": ["tweets", "nyt", "amazon"]})),
                ("training.partition", json!({"kind": "domain"})),
            ]),
            Checkpoint => tiny(vec![("model.checkpoint", json!({"file": checkpoints()[0]}))]),
            Searched => tiny(vec![(
                "search",
                json!({
                    "sampler": {"kind": "random", "trials": 2},
                    "space": {"technique.split_point": [0, 2, 4]},
                    "objective": {"target_accuracy": 0.01},
                }),
            )]),
        }
    }

    /// The scenario with `changes`.
    pub fn with(self, changes: &[(String, Value)]) -> Result<Scenario, ScenarioError> {
        support::source(self.file()).resolve_with(&self.overrides(changes))
    }

    pub fn file(self) -> &'static str {
        self.recipe().0
    }

    /// All that is set in its file, `changes` last.
    pub fn overrides(self, changes: &[(String, Value)]) -> Vec<(String, Value)> {
        let own = self.recipe().1.into_iter().map(|(key, value)| (key.to_owned(), value));
        own.chain(changes.iter().cloned()).collect()
    }
}

/// What a key changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// What was played.
    Played,
    /// The cost in dollars and nothing else that was played.
    Cost,
    /// The report, and nothing that was played.
    Written,
    /// What a search finds.
    Found,
    /// Others refer to it: with another name, their references lead nowhere.
    Refused,
}

pub struct Row {
    /// List entries as `[*]`; the first one is changed.
    pub key: &'static str,
    pub base: Base,
    pub changes: Vec<(String, Value)>,
    pub effect: Effect,
}

/// Setting `key` to `value`.
fn row(key: &'static str, base: Base, value: Value) -> Row {
    Row { key, base, changes: vec![(key.replace("[*]", "[0]"), value)], effect: Effect::Played }
}

/// A key that can only change together with others.
fn together(key: &'static str, base: Base, changes: &[(&str, Value)]) -> Row {
    let changes = changes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    Row { key, base, changes, effect: Effect::Played }
}

impl Row {
    fn changing(self, effect: Effect) -> Self {
        Self { effect, ..self }
    }
}

pub fn table() -> Vec<Row> {
    [general(), learning(), technique(), devices(), radio(), wires(), search()].into_iter().flatten().collect()
}

fn general() -> Vec<Row> {
    vec![
        row("name", Emulated, json!("renamed")).changing(Effect::Written),
        row("description", Emulated, json!("Quite another text")).changing(Effect::Written),
        row("seed", Emulated, json!(6)),
        row("replications", Emulated, json!(2)),
        row("prices.edge_usd_per_accelerator_hour", Emulated, json!(3)).changing(Effect::Cost),
        row("prices.radio_usd_per_gb", Emulated, json!(0.6)).changing(Effect::Cost),
        row("prices.energy_usd_per_kwh", Emulated, json!(0.3)).changing(Effect::Cost),
    ]
}

fn learning() -> Vec<Row> {
    vec![
        row("model.architecture", Emulated, json!("bert-base")),
        row("model.checkpoint", Training, json!({"file": checkpoints()[0]})),
        row("model.checkpoint.file", Checkpoint, json!(checkpoints()[1])),
        row("model.precision", Emulated, json!("int8")),
        row("model.classes", Emulated, json!(5)),
        row("peft.method", Emulated, json!("head_only")),
        row("peft.rank", Emulated, json!(4)),
        row("peft.rank.blocks[*]", PerBlock, json!(2)),
        row("peft.alpha", Training, json!(64)),
        row("peft.targets[*]", Training, json!("key")),
        row("workload.batch_size", Emulated, json!(32)),
        row("workload.sequence_tokens", Emulated, json!(64)),
        row("training", Training, json!("none")),
        row("training.dataset", Vendored, json!("nyt")),
        row("training.dataset.domains[*]", Domains, json!("movie")),
        row("training.dataset.file", Training, json!(other_table())),
        together("training.partition.kind", Training, &[("training.partition", json!({"kind": "iid"}))]),
        row("training.partition.alpha", Training, json!(100)),
        row("training.learning_rate", Training, json!(0.01)),
        row("training.head_learning_rate", Training, json!(0.1)),
        row("training.weight_decay", Training, json!(5)),
        row("training.evaluate_every_rounds", Training, json!(2)),
        row("training.evaluation_samples", Training, json!(20)),
        row("training.final_evaluation_samples", Training, json!("all")),
        row("training.stop_at_accuracy", Training, json!(0.01)),
    ]
}

fn technique() -> Vec<Row> {
    let air = json!({"method": "air_comp", "truncation_threshold": 0.1, "average_power_dbm": 10});
    vec![
        row("technique.kind", Emulated, json!("federated")),
        row("technique.rounds", Emulated, json!(3)),
        row("technique.local_steps", Emulated, json!(3)),
        row("technique.split_point", Emulated, json!(4)),
        row("technique.devices_per_round", Emulated, json!(3)),
        row("technique.round_deadline_s", Emulated, json!(0.01)),
        together("technique.aggregation.method", Emulated, &[("technique.aggregation", air)]),
        row("technique.aggregation.truncation_threshold", Air, json!(9.5)),
        row("technique.aggregation.average_power_dbm", Air, json!(0)),
    ]
}

fn devices() -> Vec<Row> {
    let fixed = json!({"kind": "fixed", "positions_m": [[60, 20], [500, 40], [90, -70]]});
    vec![
        row("devices[*].name", Emulated, json!("handset")),
        row("devices[*].count", Emulated, json!(3)),
        row("devices[*].hardware", Emulated, json!("apple_a15")),
        row("devices[*].compute_share", Emulated, json!(0.4)),
        row("devices[*].memory_share", Emulated, json!(0.4)),
        row("devices[*].battery_percent", Emulated, json!(70)),
        row("devices[*].data_weight", Training, json!(3)),
        row("devices[*].tx_power_dbm", Emulated, json!(10)),
        together("placement.kind", Emulated, &[("placement", fixed)]),
        row("placement.min_distance_m", Emulated, json!(60)),
        row("placement.max_distance_m", Emulated, json!(150)),
        row("placement.positions_m[*][*]", Fixed, json!(80)),
        row("mobility.kind", Emulated, json!("random_waypoint")),
        row("mobility.min_speed_m_per_s", Walking, json!(50)),
        row("mobility.max_speed_m_per_s", Walking, json!(300)),
        row("mobility.pause_s", Walking, json!(2)),
    ]
}

fn radio() -> Vec<Row> {
    vec![
        row("radio.preset", Emulated, json!("lte")),
        row("radio.carrier_ghz", Emulated, json!(2.6)),
        row("radio.bandwidth_mhz", Emulated, json!(40)),
        row("radio.propagation", Emulated, json!("umi")),
        row("radio.fading.kind", Emulated, json!("none")),
        row("radio.fading.k_factor_db", Walking, json!(12)),
        row("radio.coherence_time_ms", Emulated, json!(50)),
        row("radio.cell_tx_power_dbm", Emulated, json!(20)),
        row("radio.cell_noise_figure_db", Emulated, json!(12)),
        row("radio.device_noise_figure_db", Emulated, json!(15)),
        row("radio.implementation_loss_db", Emulated, json!(6)),
    ]
}

fn wires() -> Vec<Row> {
    let north = ["cells[0].name", "network.links[0].from", "network.links[2].from"].map(|key| (key, json!("north")));
    let close = ["edge_servers[0].name", "network.links[1].to", "network.links[2].to"].map(|key| (key, json!("close")));
    let detour = [
        ("network.routers", json!(["core"])),
        ("network.links", json!([{"from": "gnb", "to": "core"}, {"from": "core", "to": "edge"}])),
    ];
    vec![
        together("cells[*].name", Emulated, &north),
        row("cells[*].position_m[*]", Fixed, json!(30)),
        row("cells[*].antenna_height_m", Emulated, json!(40)),
        together("edge_servers[*].name", Emulated, &close),
        row("edge_servers[*].hardware", Emulated, json!("nvidia_a100_80gb")),
        row("edge_servers[*].accelerators", Emulated, json!(2)),
        together("network.routers", Training, &detour),
        row("network.routers[*]", Emulated, json!("hub")).changing(Effect::Refused),
        row("network.links[*].from", Emulated, json!("east")),
        row("network.links[*].to", Emulated, json!("far")),
        row("network.links[*].rate_gbit_per_s", Emulated, json!(0.1)),
        row("network.links[*].latency_ms", Emulated, json!(0.7)),
        row("network.route_by", Emulated, json!("hops")),
    ]
}

fn search() -> Vec<Row> {
    let rows = vec![
        together("search.sampler.kind", Searched, &[("search.sampler", json!({"kind": "grid"}))]),
        row("search.sampler.trials", Searched, json!(1)),
        row("search.space", Searched, json!({"technique.split_point": [1, 3, 5]})),
        row("search.objective.target_accuracy", Searched, json!(1)),
    ];
    rows.into_iter().map(|row| row.changing(Effect::Found)).collect()
}

/// Two checkpoints that differ a little from the vendored one and from each other, the tokenizer beside each.
fn checkpoints() -> &'static [PathBuf; 2] {
    static MADE: OnceLock<[PathBuf; 2]> = OnceLock::new();
    MADE.get_or_init(|| {
        let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/minilm");
        let vendored =
            std::fs::read(assets.join("model.int8.safetensors")).expect("the weights are part of the sources");
        ["one", "two"].map(|name| {
            let mut bytes = vendored.clone();
            let (some, from) = (bytes.len() / 4, bytes.len() / if name == "one" { 2 } else { 4 });
            // The last bits of 8-bit weights.
            bytes[from..][..some].iter_mut().for_each(|byte| *byte ^= 1);
            std::fs::copy(assets.join("tokenizer.json"), own_file(name, "tokenizer.json")).expect("a copy");
            let path = own_file(name, "model.safetensors");
            std::fs::write(&path, bytes).expect("the checkpoint can be written");
            path
        })
    })
}

/// The tiny data set without its first rows.
fn other_table() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny.tsv");
    let text = std::fs::read_to_string(path).expect("the data set is part of the sources");
    let rows = text.lines().enumerate().filter(|(i, _)| !(1..9).contains(i)).map(|(_, row)| row);
    let path = own_file("table", "other.tsv");
    std::fs::write(&path, rows.collect::<Vec<_>>().join("\n")).expect("the table can be written");
    path
}

/// A place for a file that this test makes.
fn own_file(folder: &str, name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("keys_have_effect").join(folder);
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    folder.join(name)
}
