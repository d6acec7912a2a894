//! For each key of a scenario, where and how to change it so that one sees what it does.

use crate::peft_table;
use crate::prompt_table::{self, PromptBase};
use crate::support;
use deft::experiment::{self, Options, WhenToCompute};
use deft::learning::Store;
use deft::scenario::{Scenario, ScenarioError};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Scenarios that together hold every key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    Emulated,
    Fixed,
    /// Indoors, at millimetre waves, with power control.
    Indoors,
    Walking,
    Air,
    /// Blocks in slices, trained.
    Slices,
    /// Federated settings, each beside those that it goes with.
    Federated(&'static str),
    Training,
    Vendored,
    Domains,
    Checkpoint,
    Folder,
    Images,
    Momentum,
    ZerothOrder,
    /// Tuning against an emulator.
    Offsite,
    /// Against one that was distilled.
    Distilled,
    /// An emulation with this method of `peft_table`.
    Method(&'static str),
    /// The same with another method first, and this one combined with it.
    Beside(&'static str),
    /// Real training with this method.
    TrainedMethod(&'static str),
    TrainedBeside(&'static str),
    Searched,
    /// Emulations with other ways of aggregating, and short trainings with them.
    Beams,
    Quantised,
    Sparse,
    NoisyAir,
    Votes,
    /// Other ways through the cut.
    CutQuantised,
    CutSparse,
    CutSparseBits,
    CutAuto,
    CutFrozen,
    CutChosen,
    Blocks,
    GradientDownload,
    Slopes,
    /// Three devices at once in one cell whose slots are played.
    Slots,
    /// Of `prompt_table`.
    Prompts(PromptBase),
}

use Base::{
    Air, Beside, Checkpoint, Distilled, Domains, Emulated, Federated, Fixed, Folder, Images, Method, Momentum, Offsite,
    Prompts, Searched, Slices, TrainedBeside, TrainedMethod, Training, Vendored, Walking, ZerothOrder,
};
use Base::{Beams, NoisyAir, Quantised, Sparse, Votes};
use Base::{CutAuto, CutChosen, CutFrozen, CutQuantised, CutSparse, CutSparseBits};

use Base::{Blocks, GradientDownload, Indoors, Slopes, Slots};

pub fn bases() -> Vec<Base> {
    let plain =
        [Emulated, Fixed, Walking, Air, Slices, Training, Vendored, Domains, Checkpoint, Folder, Images, Momentum];
    let mut bases =
        [&plain[..], &[ZerothOrder, Offsite, Distilled, Searched, Blocks, GradientDownload, Slopes]].concat();
    bases.extend(peft_table::bases());
    bases.extend(FEDERATED.map(Federated));
    bases.extend([Beams, Quantised, Sparse, NoisyAir, Votes]);
    bases.extend([CutQuantised, CutSparse, CutSparseBits, CutAuto, CutFrozen, CutChosen]);
    bases.extend([Indoors, Slots]);
    bases.extend(PromptBase::ALL.map(Prompts));
    bases
}

/// Settings of `technique` in federated training with plain SGD.
const PROXIMAL: &str = r#"{"local": {"proximal_mu": 0.5, "correction": "none"}}"#;
const ADAPTIVE_SERVER: &str =
    r#"{"server": {"optimizer": "adam", "learning_rate": 0.01, "beta1": 0.9, "beta2": 0.99, "tau": 0.001}}"#;
const PRODUCTS: &str = r#"{"averaging": "refactored"}"#;
const BUFFERED: &str = r#"{"synchrony": {"kind": "semi_asynchronous", "buffer": 2}, "rounds": 6}"#;
const MIXED: &str = r#"{"synchrony": {"kind": "asynchronous", "mixing": 0.5}, "rounds": 6}"#;
const UTILITY: &str = r#"{"sampling": {"kind": "by_utility", "exploration": 0.3, "straggler_penalty": 2},
    "devices_per_round": 2, "rounds": 8}"#;
const FEDERATED: [&str; 6] = [PROXIMAL, ADAPTIVE_SERVER, PRODUCTS, BUFFERED, MIXED, UTILITY];

/// Settings of a JSON map below `technique`.
fn below_technique(settings: &str) -> Vec<(&'static str, Value)> {
    let map: serde_json::Map<String, Value> = serde_json::from_str(settings).expect("a map in JSON");
    map.into_iter().map(|(key, value)| (&*String::leak(format!("technique.{key}")), value)).collect()
}

impl Base {
    /// Its file, and what is set in it.
    fn recipe(self) -> (&'static str, Vec<(&'static str, Value)>) {
        let few = ("training.final_evaluation_samples", json!(12));
        let slices = json!({
            "method": "air_comp", "blocks": [2], "slices": 2, "receive_antennas": 2, "transmit_antennas": 1,
            "receive_beam": "max_min", "average_power_dbm": -50, "channel_error": 0.1, "test_over_the_air": true,
        });
        let tiny = |changes: Vec<(&'static str, Value)>| ("tiny.yaml", [vec![few], changes].concat());
        match self {
            Emulated => ("keys.yaml", vec![]),
            Fixed => {
                let positions_m = json!([[60, 20], [500, 40], [90, -70]]);
                ("keys.yaml", vec![("placement", json!({"kind": "fixed", "positions_m": positions_m}))])
            }
            Indoors => {
                let power_control = json!({"kind": "fractional", "p0_dbm": -90, "alpha": 0.7});
                let changes = vec![
                    ("devices[0].indoor_share", json!(1)),
                    ("radio.carrier_ghz", json!(28)),
                    ("radio.propagation", json!("umi")),
                    ("radio.building", json!("high_loss")),
                    ("radio.cell_tx_power_dbm", json!(60)),
                    ("radio.power_control", power_control),
                ];
                ("keys.yaml", changes)
            }
            Slots => {
                let fair = json!({"kind": "proportional_fair", "window_slots": 50});
                let positions_m = json!([[120, 20], [150, 40], [90, -170]]);
                let changes = vec![
                    ("placement", json!({"kind": "fixed", "positions_m": positions_m})),
                    ("technique.devices_per_round", json!(3)),
                    ("radio.fidelity", json!("slot")),
                    ("radio.slot", json!({"scheduler": fair})),
                ];
                ("keys.yaml", changes)
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
            Federated(settings) => {
                let mut set = below_technique(settings);
                set.push(("technique.kind", json!("federated")));
                set.push(("training.optimizer", json!({"kind": "sgd"})));
                tiny(set)
            }
            Beams => {
                let scheduling = json!({"kind": "strongest", "devices": 3});
                let air = json!({"method": "air_comp", "power_control": "uniform_forcing", "scheduling": scheduling});
                ("keys.yaml", vec![("technique.devices_per_round", json!(3)), ("technique.aggregation", air)])
            }
            Quantised => ("keys.yaml", vec![("technique.aggregation", json!({"compression": {"kind": "qsgd"}}))]),
            Sparse => ("keys.yaml", vec![("technique.aggregation", json!({"compression": {"kind": "top_k"}}))]),
            CutQuantised => {
                ("keys.yaml", vec![("technique.cut", json!({"compression": {"method": "quantise", "bits": 8}}))])
            }
            CutSparse => ("keys.yaml", vec![("technique.cut", json!({"compression": {"method": "top_k"}}))]),
            CutSparseBits => {
                let compression = json!({"method": "sparse_quantised", "kept_fraction": 0.3, "bits": 4});
                ("keys.yaml", vec![("technique.cut", json!({"compression": compression}))])
            }
            CutAuto => {
                let compression = json!({"method": "auto", "largest_error": 0.1});
                ("keys.yaml", vec![("technique.cut", json!({"compression": compression}))])
            }
            CutFrozen => ("keys.yaml", vec![("technique.cut", json!({"device_side": "frozen"}))]),
            CutChosen => {
                let card = json!({"minimise": "card", "latency_weight": 0.02, "lowest_edge_speed": 0.1});
                let auto = ("technique.split_point", json!("auto"));
                ("keys.yaml", vec![auto, ("technique.split_objective", card)])
            }
            NoisyAir => {
                let air = json!({"method": "air_comp", "average_power_dbm": -30});
                tiny(vec![("technique.aggregation", air)])
            }
            Votes => tiny(vec![("technique.aggregation", json!({"method": "one_bit"}))]),
            Slices => tiny(vec![("technique.kind", json!("tensor_parallel")), ("technique.connections", slices)]),
            Training => tiny(vec![("training.partition", json!({"kind": "dirichlet", "alpha": 0.5}))]),
            Vendored => tiny(vec![("training.dataset", json!("tweets"))]),
            Domains => tiny(vec![
                ("training.dataset", json!({"domains": ["tweets", "nyt", "amazon"]})),
                ("training.partition", json!({"kind": "domain"})),
            ]),
            Checkpoint => tiny(vec![("model.checkpoint", json!({"file": checkpoints()[0]}))]),
            Folder => tiny(vec![("model", json!({"checkpoint": {"folder": folder_of(&checkpoints()[0])}}))]),
            Images => tiny(vec![
                ("model", json!({"checkpoint": {"folder": image_model()}})),
                ("training.dataset", json!({"file": image_table(), "image": {"side_px": 8, "channels": 1}})),
                ("workload", json!({"batch_size": 4})),
            ]),
            Momentum => tiny(vec![("training.optimizer", json!({"kind": "sgd", "momentum": 0.5}))]),
            ZerothOrder => tiny(vec![
                ("technique.kind", json!("federated")),
                ("training.optimizer", json!({"kind": "zeroth_order", "perturbation": 0.001})),
            ]),
            Blocks => tiny(vec![("technique.kind", json!("block_federated"))]),
            GradientDownload => tiny(vec![
                ("peft", json!({"method": "head_only"})),
                ("technique.kind", json!("gradient_download")),
                ("technique.gradients", json!({"device_blocks": 2, "projection_dimension": 50})),
            ]),
            Slopes => tiny(vec![
                ("technique.kind", json!("zeroth_order_federated")),
                ("technique.aggregation", json!({"method": "air_comp", "average_power_dbm": -20})),
                ("technique.zeroth_order", json!({"slope_limit": 5, "repetitions": 10})),
            ]),
            Offsite => (
                "keys.yaml",
                vec![
                    ("technique.kind", json!("offsite_tuning")),
                    (
                        "technique.emulator",
                        json!({"keep_blocks": 5, "rank": 64, "quantisation": {"bits": 8, "scope": "middle"}}),
                    ),
                ],
            ),
            Distilled => {
                let distillation = json!({"dataset": "amazon", "steps": 2, "learning_rate": 1e-3, "batch_size": 2});
                let emulator = json!({"keep_blocks": 3, "distillation": distillation});
                let ends = ("peft.blocks", json!([0, 5]));
                tiny(vec![ends, ("technique.kind", json!("offsite_tuning")), ("technique.emulator", emulator)])
            }
            Method(method) => ("keys.yaml", vec![("peft", peft_table::first(method))]),
            Beside(method) => ("keys.yaml", vec![("peft", peft_table::combined(method))]),
            TrainedMethod(method) => tiny(vec![("peft", peft_table::first(method))]),
            TrainedBeside(method) => tiny(vec![("peft", peft_table::combined(method))]),
            Prompts(base) => base.recipe(),
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
    /// What was played, through the entries that it stands for: the complete scenario lists those in its place.
    Expanded,
    /// What a search finds.
    Found,
    /// Something else must fit it, and does not fit the new value.
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
pub fn row(key: &'static str, base: Base, value: Value) -> Row {
    Row { key, base, changes: vec![(key.replace("[*]", "[0]"), value)], effect: Effect::Played }
}

/// A key that can only change together with others.
pub fn together(key: &'static str, base: Base, changes: &[(&str, Value)]) -> Row {
    let changes = changes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    Row { key, base, changes, effect: Effect::Played }
}

impl Row {
    fn changing(self, effect: Effect) -> Self {
        Self { effect, ..self }
    }
}

pub fn table() -> Vec<Row> {
    [
        general(),
        learning(),
        peft_table::rows(),
        prompt_table::rows(),
        technique(),
        devices(),
        radio(),
        wires(),
        search(),
    ]
    .into_iter()
    .flatten()
    .collect()
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
        row("model.checkpoint.folder", Folder, json!(folder_of(&checkpoints()[1]))),
        row("model.precision", Emulated, json!("int8")),
        row("model.classes", Emulated, json!(5)),
        row("workload.batch_size", Emulated, json!(32)),
        row("workload.sequence_tokens", Emulated, json!(64)),
        row("training", Training, json!("none")),
        row("training.task", Training, json!("regression")).changing(Effect::Refused),
        row("training.dataset", Vendored, json!("nyt")),
        row("training.dataset.domains[*]", Domains, json!("movie")),
        row("training.dataset.file", Training, json!(other_table())),
        row("training.dataset.image.side_px", Images, json!(16)).changing(Effect::Refused),
        row("training.dataset.image.channels", Images, json!(3)).changing(Effect::Refused),
        together("training.optimizer.kind", Training, &[("training.optimizer", json!({"kind": "sgd"}))]),
        row("training.optimizer.momentum", Momentum, json!(0.9)),
        row("training.optimizer.perturbation", ZerothOrder, json!(0.1)),
        together("training.partition.kind", Training, &[("training.partition", json!({"kind": "iid"}))]),
        row("training.samples_per_device", Training, json!(3)),
        row("training.partition.alpha", Training, json!(100)),
        row("training.learning_rate", Training, json!(0.01)),
        row("training.head_learning_rate", Training, json!(0.1)),
        row("training.weight_decay", Training, json!(5)),
        row("training.evaluate_every_rounds", Training, json!(2)),
        row("training.evaluation_samples", Training, json!(20)),
        row("training.final_evaluation_samples", Training, json!("all")),
        row("training.stop_at_accuracy", Training, json!(0.01)),
        row("training.start_from", Training, json!(trained_adapter())),
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
        together("technique.connections.method", Slices, &[("technique.connections", json!({"method": "digital"}))]),
        row("technique.connections.blocks[*]", Slices, json!(4)),
        row("technique.connections.slices", Slices, json!(3)),
        row("technique.connections.receive_antennas", Slices, json!(8)),
        row("technique.connections.transmit_antennas", Slices, json!(4)),
        row("technique.connections.receive_beam", Slices, json!("antenna_selection")),
        row("technique.connections.average_power_dbm", Slices, json!(-40)),
        row("technique.connections.channel_error", Slices, json!(0.5)),
        row("technique.connections.test_over_the_air", Slices, json!(false)),
        row("technique.aggregation.truncation_threshold", Air, json!(9.5)),
        row("technique.aggregation.average_power_dbm", Air, json!(0)),
        row("technique.blocks.allocation", Blocks, json!("uniform")),
        row("technique.blocks.bandwidth", Blocks, json!("equal")),
        row("technique.gradients.device_blocks", GradientDownload, json!(1)),
        row("technique.gradients.projection_dimension", GradientDownload, json!(60)),
        row("technique.zeroth_order.slope_limit", Slopes, json!(0.001)),
        row("technique.zeroth_order.repetitions", Slopes, json!(1000)),
        row("technique.emulator.tuned_blocks", Offsite, json!(2)),
        row("technique.emulator.keep_blocks", Offsite, json!(3)),
        row("technique.emulator.ffn_share", Offsite, json!(0.5)),
        row("technique.emulator.head_share", Offsite, json!(0.5)),
        row("technique.emulator.rank", Offsite, json!(32)),
        row("technique.emulator.distillation.dataset", Distilled, json!("nyt")),
        row("technique.emulator.distillation.steps", Distilled, json!(1)),
        row("technique.emulator.distillation.learning_rate", Distilled, json!(3e-3)),
        row("technique.emulator.distillation.batch_size", Distilled, json!(3)),
        row("technique.emulator.quantisation.bits", Offsite, json!(4)),
        row("technique.emulator.quantisation.scope", Offsite, json!("everything")),
        row("technique.local.proximal_mu", Federated(PROXIMAL), json!(1)),
        row("technique.local.correction", Federated(PROXIMAL), json!("scaffold")),
        row("technique.server.optimizer", Federated(ADAPTIVE_SERVER), json!("yogi")),
        row("technique.server.learning_rate", Federated(ADAPTIVE_SERVER), json!(0.02)),
        row("technique.server.beta1", Federated(ADAPTIVE_SERVER), json!(0.5)),
        row("technique.server.beta2", Federated(ADAPTIVE_SERVER), json!(0.9)),
        row("technique.server.tau", Federated(ADAPTIVE_SERVER), json!(0.01)),
        row("technique.averaging", Federated(PRODUCTS), json!("plain")),
        together(
            "technique.synchrony.kind",
            Federated(BUFFERED),
            &[("technique.synchrony", json!({"kind": "asynchronous"}))],
        ),
        row("technique.synchrony.buffer", Federated(BUFFERED), json!(1)),
        row("technique.synchrony.mixing", Federated(MIXED), json!(0.9)),
        together(
            "technique.synchrony.staleness.kind",
            Federated(MIXED),
            &[("technique.synchrony.staleness", json!({"kind": "constant"}))],
        ),
        row("technique.synchrony.staleness.exponent", Federated(MIXED), json!(2)),
        together(
            "technique.sampling.kind",
            Federated(UTILITY),
            &[("technique.sampling", json!({"kind": "by_channel"}))],
        ),
        row("technique.sampling.exploration", Federated(UTILITY), json!(0)),
        row("technique.sampling.straggler_penalty", Federated(UTILITY), json!(0)),
    ]
    .into_iter()
    .chain(aggregation())
    .chain(cut())
    .collect()
}

fn cut() -> Vec<Row> {
    let objective = [("technique.split_objective", json!({"minimise": "energy"}))];
    vec![
        together(
            "technique.cut.compression.method",
            Emulated,
            &[("technique.cut.compression", json!({"method": "merge_tokens"}))],
        ),
        row("technique.cut.compression.bits", CutQuantised, json!(4)),
        row("technique.cut.compression.scale", CutQuantised, json!("sample")),
        row("technique.cut.compression.kept_fraction", CutSparse, json!(0.3)),
        row("technique.cut.compression.largest_error", CutAuto, json!(0.01)),
        row("technique.cut.channel", Emulated, json!("analog")),
        row("technique.cut.labels", Emulated, json!("device")),
        row("technique.cut.device_side", Emulated, json!("frozen")),
        row("technique.cut.cache_activations", CutFrozen, json!(true)),
        row("technique.cut.micro_batches", Emulated, json!(4)),
        row("technique.cut.server_side", Training, json!("shared")),
        together("technique.split_objective.minimise", CutChosen, &objective),
        row("technique.split_objective.latency_weight", CutChosen, json!(0.9)),
        row("technique.split_objective.lowest_edge_speed", CutChosen, json!(0.5)),
    ]
}

fn aggregation() -> Vec<Row> {
    let optimal = json!({"method": "air_comp", "power_control": "optimal", "average_power_dbm": 10});
    let compression = json!({"kind": "rand_k"});
    let scheduling = json!({"kind": "strongest", "devices": 1});
    vec![
        row("technique.aggregation.access", Emulated, json!("fdma_optimal")),
        together(
            "technique.aggregation.compression.kind",
            Emulated,
            &[("technique.aggregation.compression", compression)],
        ),
        row("technique.aggregation.compression.levels", Quantised, json!(3)),
        row("technique.aggregation.compression.bucket_entries", Quantised, json!(16)),
        row("technique.aggregation.compression.fraction", Sparse, json!(0.5)),
        row("technique.aggregation.compression.error_feedback", Sparse, json!(true)),
        together("technique.aggregation.power_control", Air, &[("technique.aggregation", optimal)]),
        row("technique.aggregation.receive_antennas", Beams, json!(8)),
        row("technique.aggregation.beamforming", Beams, json!("matched")),
        row("technique.aggregation.normalisation", NoisyAir, json!("global")),
        row("technique.aggregation.channel_error", Air, json!(0.3)),
        row("technique.aggregation.phase_error_rad", Air, json!(0.3)),
        row("technique.aggregation.timing_error_ns", Air, json!(50)),
        row("technique.aggregation.error_feedback", Air, json!(true)),
        together("technique.aggregation.scheduling.kind", Air, &[("technique.aggregation.scheduling", scheduling)]),
        row("technique.aggregation.scheduling.devices", Beams, json!(1)),
        row("technique.aggregation.vote_step", Votes, json!(0.01)),
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
        row("devices[*].lora_rank", Emulated, json!(2)),
        row("devices[*].indoor_share", Emulated, json!(1)),
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
        row("radio.shadowing", Emulated, json!(false)),
        row("radio.line_of_sight", Emulated, json!("never")),
        together("radio.power_control.kind", Indoors, &[("radio.power_control", json!({"kind": "full"}))]),
        row("radio.power_control.p0_dbm", Indoors, json!(-115)),
        row("radio.power_control.alpha", Indoors, json!(0.5)),
        row("radio.tdd_pattern", Emulated, json!("DSUU")),
        row("radio.interference_margin_db", Emulated, json!(6)),
        row("radio.neighbour_load", Emulated, json!(0.8)),
        row("radio.gas_absorption", Emulated, json!(true)),
        row("radio.rain_mm_per_h", Indoors, json!(50)),
        row("radio.building", Indoors, json!("low_loss")),
        row("radio.glass_loss", Indoors, json!("edition_16_1")),
        row("radio.fidelity", Emulated, json!("slot")),
        together("radio.slot.scheduler.kind", Slots, &[("radio.slot.scheduler", json!({"kind": "max_rate"}))]),
        row("radio.slot.scheduler.window_slots", Slots, json!(1)),
        row("radio.slot.cqi_period_slots", Slots, json!(40)),
        row("radio.slot.cqi_delay_slots", Slots, json!(20)),
        row("radio.slot.target_bler", Slots, json!(0.3)),
        row("radio.slot.outer_loop_step_db", Slots, json!(0)),
        row("radio.slot.harq_processes", Slots, json!(2)),
        row("radio.slot.harq_round_trip_slots", Slots, json!(16)),
        row("radio.slot.max_transmissions", Slots, json!(1)),
        row("radio.slot.harq_combining", Slots, json!("none")),
    ]
}

fn wires() -> Vec<Row> {
    let north = ["cells[0].name", "network.links[0].from", "network.links[2].from"].map(|key| (key, json!("north")));
    let close = ["edge_servers[0].name", "network.links[1].to", "network.links[2].to"].map(|key| (key, json!("close")));
    let detour = [
        ("network.routers", json!(["core"])),
        ("network.links", json!([{"from": "gnb", "to": "core"}, {"from": "core", "to": "edge"}])),
    ];
    let cells = |cells: Value| [("cells", cells)];
    let many = [
        ("cells", json!([{"name": "gnb", "count": 3, "spacing_m": 900}])),
        ("edge_servers", json!([{"name": "edge", "count": 2}])),
    ];
    vec![
        row("results.flow_devices", Emulated, json!(1)),
        together("cells[*].count", Training, &cells(json!([{"name": "gnb", "count": 3}]))).changing(Effect::Expanded),
        together("cells[*].spacing_m", Training, &cells(json!([{"name": "gnb", "count": 3, "spacing_m": 900}])))
            .changing(Effect::Expanded),
        together("edge_servers[*].count", Training, &many).changing(Effect::Expanded),
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
        row("search.variants", Searched, json!([{"name": "on_device", "set": {"technique.kind": "on_device"}}])),
        row("search.plots", Searched, json!([{"x": "technique.split_point", "y": "final_accuracy"}])),
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
            for file in ["tokenizer.json", "config.json"] {
                std::fs::copy(assets.join(file), own_file(name, file)).expect("a copy");
            }
            let path = own_file(name, "model.safetensors");
            std::fs::write(&path, bytes).expect("the checkpoint can be written");
            path
        })
    })
}

fn folder_of(file: &Path) -> PathBuf {
    file.parent().expect("a file lies in a folder").to_owned()
}

/// What a run of the tiny scenario without a partition of its own ends with.
fn trained_adapter() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let options = Options { when: WhenToCompute::AtTheEnd, trace: false, watch: &|_, _| {} };
        let store = Arc::new(Store::open(None).expect("a store in memory"));
        let trial = experiment::run(&support::scenario::<&str>("tiny.yaml", &[]), &store, &options).expect("a run");
        let adapters = trial.models.expect("something was trained").adapters().expect("the last state");
        let path = own_file("adapter", "global.safetensors");
        std::fs::write(&path, adapters[0].1.to_bytes()).expect("the adapter can be written");
        path
    })
}

/// A folder with an untrained vision transformer for grey images of 8 x 8 pixels.
fn image_model() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let (hidden, inner, patches) = (16, 32, 4);
        let config = json!({
            "model_type": "vit", "hidden_size": hidden, "num_hidden_layers": 6, "num_attention_heads": 2,
            "intermediate_size": inner, "image_size": 8, "patch_size": 4, "num_channels": 1, "layer_norm_eps": 1e-6,
            "hidden_act": "gelu", "qkv_bias": true,
        });
        std::fs::write(own_file("images", "config.json"), config.to_string()).expect("a file can be written");
        let mut shapes = vec![
            ("embeddings.cls_token".to_owned(), vec![1, 1, hidden]),
            ("embeddings.position_embeddings".to_owned(), vec![1, patches + 1, hidden]),
            ("embeddings.patch_embeddings.projection.weight".to_owned(), vec![hidden, 1, 4, 4]),
            ("embeddings.patch_embeddings.projection.bias".to_owned(), vec![hidden]),
        ];
        let mut layer = |name: String, outputs: usize, inputs: usize| {
            shapes.push((format!("{name}.weight"), if inputs > 0 { vec![outputs, inputs] } else { vec![outputs] }));
            shapes.push((format!("{name}.bias"), vec![outputs]));
        };
        for i in 0..6 {
            let block = |part: &str| format!("encoder.layer.{i}.{part}");
            for part in ["attention.attention.query", "attention.attention.key", "attention.attention.value"] {
                layer(block(part), hidden, hidden);
            }
            layer(block("attention.output.dense"), hidden, hidden);
            layer(block("intermediate.dense"), inner, hidden);
            layer(block("output.dense"), hidden, inner);
            layer(block("layernorm_before"), hidden, 0);
            layer(block("layernorm_after"), hidden, 0);
        }
        layer("layernorm".to_owned(), hidden, 0);
        let path = own_file("images", "model.safetensors");
        std::fs::write(&path, safetensors(&shapes)).expect("the checkpoint can be written");
        folder_of(&path)
    })
}

/// A safetensors file with tensors of these shapes, whose values wander between -0.5 and 0.5.
fn safetensors(shapes: &[(String, Vec<usize>)]) -> Vec<u8> {
    let (mut header, mut values) = (serde_json::Map::new(), Vec::<u8>::new());
    for (name, shape) in shapes {
        let from = values.len();
        for n in 0..shape.iter().product::<usize>() {
            values.extend((((from + 7 * n) as f32).sin() / 2.0).to_le_bytes());
        }
        header.insert(name.clone(), json!({"dtype": "F32", "shape": shape, "data_offsets": [from, values.len()]}));
    }
    let header = serde_json::to_vec(&header).expect("a header");
    [&(header.len() as u64).to_le_bytes()[..], &header, &values].concat()
}

/// Bright and dark images.
fn image_table() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let pixels = |pixel: &dyn Fn(usize) -> String| (0..64).map(pixel).collect::<Vec<_>>().join(",");
        let mut table = format!("label,split,{}\n", pixels(&|p| format!("p{p}")));
        for i in 0..48 {
            let (label, split) = (i % 2, if i < 36 { "train" } else { "test" });
            table +=
                &format!("{label},{split},{}\n", pixels(&|p| (40 + 120 * label + (i * 31 + p * 17) % 90).to_string()));
        }
        let path = own_file("images", "images.csv");
        std::fs::write(&path, table).expect("the table can be written");
        path
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
