//! For each key of a scenario, where and how to change it so that one sees what it does.

use crate::key_bases::Base::{self, *};
use crate::key_bases::{ADAPTIVE_SERVER, BUFFERED, MIXED, PRODUCTS, PROXIMAL, UTILITY};
use crate::key_files::{checkpoints, folder_of, other_hardware, other_table, trained_adapter};
use crate::peft_table;
use crate::prompt_table;
use serde_json::{Value, json};

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
        hardware(),
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
        row("model.attention", Emulated, json!("fused")),
        row("workload.batch_size", Emulated, json!(32)),
        row("workload.sequence_tokens", Emulated, json!(64)),
        row("workload.optimizer", Emulated, json!("sgd")),
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

fn hardware() -> Vec<Row> {
    vec![
        row("hardware[*].name", Own("fp16"), json!("yours")).changing(Effect::Refused),
        together("hardware[*].file", Own("fp16"), &[("hardware[0]", json!({"file": other_hardware()}))])
            .changing(Effect::Expanded),
        row("hardware[*].fp32_gflops", Own("fp32"), json!(50)),
        row("hardware[*].fp16_gflops", Own("fp16"), json!(50)),
        row("hardware[*].int8_gops", Own("int8"), json!(50)),
        row("hardware[*].memory_gb", Own("fp16"), json!(3)),
        row("hardware[*].memory_bandwidth_gb_per_s", Own("fp16"), json!(0.5)),
        row("hardware[*].launch_overhead_us", Own("fp16"), json!(500)),
        row("hardware[*].overlap", Own("fp16"), json!(false)),
        row("hardware[*].idle_w", Own("fp16"), json!(0.2)),
        row("hardware[*].active_w", Own("fp16"), json!(9)),
        row("hardware[*].battery_wh", Own("fp16"), json!(3)),
    ]
}

fn devices() -> Vec<Row> {
    let fixed = json!({"kind": "fixed", "positions_m": [[60, 20], [500, 40], [90, -70]]});
    vec![
        row("devices[*].name", Emulated, json!("handset")),
        row("devices[*].count", Emulated, json!(3)),
        row("devices[*].hardware", Emulated, json!("apple_a15")),
        row("devices[*].compute_share", Emulated, json!(0.4)),
        row("devices[*].clock_share", Emulated, json!(0.6)),
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
        row("radio.blockage.blockers_per_m2", Crowded, json!(0.5)),
        row("radio.blockage.speed_m_per_s", Crowded, json!(5)),
        row("radio.blockage.height_m", Crowded, json!(1.9)),
        row("radio.blockage.mean_duration_s", Crowded, json!(5)),
        row("radio.blockage.loss_db", Crowded, json!(7)),
        row("radio.drx.inactivity_ms", Sleeping, json!(10)),
        row("radio.drx.on_duration_ms", Sleeping, json!(1)),
        row("radio.drx.cycle_ms", Sleeping, json!(300)),
        row("radio.drx.listening_w", Sleeping, json!(1)),
        row("radio.drx.sleeping_w", Sleeping, json!(0.1)),
        row("mobility.handover.offset_db", Roaming, json!(8)),
        row("mobility.handover.hysteresis_db", Roaming, json!(7)),
        row("mobility.handover.time_to_trigger_ms", Roaming, json!(3000)),
        row("mobility.handover.measurement_period_ms", Roaming, json!(2000)),
        row("mobility.handover.interruption_ms", Roaming, json!(5000)),
        row("mobility.handover.migrate_state", Roaming, json!(false)),
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
        row("radio.fading.delay_spread_ns", Tapped, json!(30)),
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
        row("radio.neighbours_send", Loaded, json!("with_traffic")),
        row("radio.fidelity", Emulated, json!("slot")),
        row("radio.link_layer", Emulated, json!("expected")),
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
        row("edge_servers[*].sharing", Emulated, json!("processor_sharing")),
        row("edge_servers[*].batch_requests", Stacked, json!(2)),
        row("edge_servers[*].batch_wait_ms", Stacked, json!(1)),
        row("edge_servers[*].clock_share", Emulated, json!(0.7)),
        together("network.routers", Training, &detour),
        row("network.routers[*]", Emulated, json!("hub")).changing(Effect::Refused),
        row("network.links[*].from", Emulated, json!("east")),
        row("network.links[*].to", Emulated, json!("far")),
        row("network.links[*].rate_gbit_per_s", Emulated, json!(0.1)),
        row("network.links[*].latency_ms", Emulated, json!(0.7)),
        row("network.route_by", Emulated, json!("hops")),
        row("network.aggregate_at", Emulated, json!("core")),
        together("network.links[*].outages_s[*][*]", Emulated, &[("network.links[0].outages_s", json!([[0.1, 30]]))]),
        row("network.links[*].mean_time_to_failure_s", Emulated, json!(0.5)),
        together(
            "network.links[*].mean_time_to_repair_s",
            Emulated,
            &[
                ("network.links[0].mean_time_to_failure_s", json!(0.5)),
                ("network.links[0].mean_time_to_repair_s", json!(5)),
            ],
        ),
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
