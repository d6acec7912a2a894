//! The scenarios from which the table of keys starts, one for each part of the format.

use crate::key_files::{checkpoints, folder_of, image_model, image_table, own_hardware};
use crate::peft_table;
use crate::prompt_table::PromptBase;
use crate::support;
use deft::scenario::{Scenario, ScenarioError};
use serde_json::{Value, json};

/// Scenarios that together hold every key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    Emulated,
    Fixed,
    /// Indoors, at millimetre waves, with power control.
    Indoors,
    Walking,
    /// With radios that sleep.
    Sleeping,
    /// Among people who walk through lines of sight.
    Crowded,
    /// Over links that have a response over the band.
    Tapped,
    /// Between cells, with handover.
    Roaming,
    /// Three devices whose requests one server stacks.
    Stacked,
    /// Between cells that disturb each other.
    Loaded,
    /// Devices of hardware that the scenario describes, in this precision.
    Own(&'static str),
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

use Base::*;

pub fn bases() -> Vec<Base> {
    let plain = [
        Emulated, Fixed, Walking, Roaming, Sleeping, Crowded, Tapped, Stacked, Air, Slices, Training, Vendored,
        Domains, Checkpoint, Folder, Images, Momentum,
    ];
    let mut bases =
        [&plain[..], &[ZerothOrder, Offsite, Distilled, Searched, Blocks, GradientDownload, Slopes]].concat();
    bases.extend(peft_table::bases());
    bases.extend(FEDERATED.map(Federated));
    bases.extend([Beams, Quantised, Sparse, NoisyAir, Votes]);
    bases.extend([CutQuantised, CutSparse, CutSparseBits, CutAuto, CutFrozen, CutChosen]);
    bases.extend([Indoors, Slots, Loaded]);
    bases.extend(["fp32", "fp16", "int8"].map(Own));
    bases.extend(PromptBase::ALL.map(Prompts));
    bases
}

/// Settings of `technique` in federated training with plain SGD.
pub const PROXIMAL: &str = r#"{"local": {"proximal_mu": 0.5, "correction": "none"}}"#;
pub const ADAPTIVE_SERVER: &str =
    r#"{"server": {"optimizer": "adam", "learning_rate": 0.01, "beta1": 0.9, "beta2": 0.99, "tau": 0.001}}"#;
pub const PRODUCTS: &str = r#"{"averaging": "refactored"}"#;
pub const BUFFERED: &str = r#"{"synchrony": {"kind": "semi_asynchronous", "buffer": 2}, "rounds": 6}"#;
pub const MIXED: &str = r#"{"synchrony": {"kind": "asynchronous", "mixing": 0.5}, "rounds": 6}"#;
pub const UTILITY: &str = r#"{"sampling": {"kind": "by_utility", "exploration": 0.3, "straggler_penalty": 2},
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
            Loaded => ("keys.yaml", vec![("radio.neighbour_load", json!(0.9))]),
            Own(precision) => {
                let changes = vec![
                    ("model.precision", json!(precision)),
                    ("hardware", json!([own_hardware()])),
                    ("devices[0].hardware", json!("mine")),
                ];
                ("keys.yaml", changes)
            }
            Stacked => {
                let near = json!({
                    "name": "near", "hardware": "nvidia_t4", "sharing": "batched", "batch_requests": 8,
                    "batch_wait_ms": 2000,
                });
                let changes = vec![
                    ("placement", json!({"kind": "fixed", "positions_m": [[60, 20], [50, 40], [90, -70]]})),
                    ("devices", json!([{"name": "phone", "count": 3, "hardware": "snapdragon_8_gen_3"}])),
                    ("technique.devices_per_round", json!(3)),
                    ("edge_servers", json!([near, {"name": "far", "hardware": "nvidia_l4"}])),
                ];
                ("keys.yaml", changes)
            }
            Sleeping => {
                let drx = json!({
                    "inactivity_ms": 20, "on_duration_ms": 5, "cycle_ms": 100, "listening_w": 0.4, "sleeping_w": 0.02,
                });
                ("keys.yaml", vec![("radio.drx", drx)])
            }
            Crowded => {
                let blockage = json!({
                    "blockers_per_m2": 1, "speed_m_per_s": 2, "height_m": 1.7, "mean_duration_s": 1, "loss_db": 30,
                });
                ("keys.yaml", vec![("radio.blockage", blockage), ("radio.line_of_sight", json!("always"))])
            }
            Tapped => {
                let fading = json!({"kind": "tdl_c", "delay_spread_ns": 300});
                ("keys.yaml", vec![("radio.fading", fading)])
            }
            Roaming => {
                let handover = json!({
                    "offset_db": 1, "hysteresis_db": 0.5, "time_to_trigger_ms": 100, "measurement_period_ms": 100,
                    "interruption_ms": 100, "migrate_state": true,
                });
                let walk = json!({
                    "kind": "random_waypoint", "min_speed_m_per_s": 100, "max_speed_m_per_s": 200, "handover": handover,
                });
                let placement = json!({"kind": "uniform", "min_distance_m": 10, "max_distance_m": 700});
                ("keys.yaml", vec![("mobility", walk), ("placement", placement), ("technique.rounds", json!(8))])
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
