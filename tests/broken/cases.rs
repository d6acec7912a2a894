//! What each file of this folder is refused for.

/// A file of this folder, the line and column that the message must name, and words that it must contain.
pub type Case = (&'static str, (usize, usize), &'static [&'static str]);

pub const CASES: &[Case] = &[
    (
        "air_comp_of_nothing",
        (3, 48),
        &["technique.aggregation.method: `air_comp` adds up devices' updates, and `split`"],
    ),
    ("alias_bomb", (4, 45), &["not valid YAML: aliases stand for more than 10000 values"]),
    ("bad_indentation", (5, 2), &["not valid YAML: while parsing a block mapping, did not find expected key"]),
    (
        "bandwidth_too_narrow",
        (5, 40),
        &["radio.bandwidth_mhz: 0.1 MHz do not fit `nr_fr1`: a bandwidth of 0.1 MHz holds no"],
    ),
    ("dangling_link", (7, 23), &["network.links[0].to: found \"edgy\", allowed edge, gnb", "did you mean `edge`?"]),
    ("deadline_of_nothing", (3, 48), &["technique.round_deadline_s: `on_device` waits for nobody's update: it has no"]),
    ("distances_exchanged", (7, 19), &["placement.min_distance_m: min_distance_m 300 is not below max_distance_m 30"]),
    (
        "domain_without_domains",
        (7, 21),
        &[
            "training.partition.kind: `domain` deals one domain a device, and the data set has",
            "for example: dataset: {domains: [movie, amazon]}",
        ],
    ),
    ("duplicate_device_group", (4, 54), &["devices[1].name: the name \"phone\" is taken by `devices[0].name`"]),
    ("duplicate_key", (6, 1), &["seed: key `seed` is written twice, first in line 5"]),
    ("duplicate_key_nested", (3, 47), &["technique.rounds: key `rounds` is written twice, first in line 3"]),
    ("duplicate_name", (6, 23), &["edge_servers[0].name: the name \"hub\" is taken by `cells[0].name`"]),
    ("five_at_once", (3, 44), &["technique.rounds: found 0, allowed 1..=1000000"]),
    ("fraction_for_count", (3, 44), &["technique.rounds: found 2.5, allowed a whole number, 0 or more"]),
    ("infinite", (6, 21), &["prices.radio_usd_per_gb: found inf, allowed 0 to 1000000"]),
    ("just_a_word", (1, 1), &["found \"broken\", allowed a map with the keys name, description, seed"]),
    (
        "key_in_wrong_section",
        (5, 1),
        &["split_point: unknown key `split_point`", "`split_point` belongs in `technique`"],
    ),
    ("key_of_another_kind", (5, 28), &["placement.positions_m: `uniform` has no such key"]),
    ("key_of_another_method", (7, 29), &["search.space.technique.aggregation[0]: setting"]),
    ("link_to_itself", (5, 58), &["network.links[1].to: a link from \"gnb\" to itself"]),
    ("list_for_map", (3, 12), &["technique: found a list of 1, allowed a map with the keys kind, rounds"]),
    (
        "missing_architecture",
        (2, 1),
        &["model.architecture: this key is missing", "add under `model`, for example: architecture: minilm-l6"],
    ),
    (
        "missing_dataset",
        (5, 1),
        &["training.dataset: this key is missing", "add under `training`, for example: dataset: movie"],
    ),
    (
        "missing_hardware",
        (4, 11),
        &["devices[0].hardware: this key is missing", "add under `devices[0]`, for example: hardware: snapdragon_8_"],
    ),
    ("missing_name", (1, 1), &["name: this key is missing", "add at the top level, for example: name: my_experiment"]),
    ("missing_table", (5, 28), &["training.dataset.file: there is no file"]),
    (
        "missing_technique",
        (1, 1),
        &["technique: this key is missing", "add at the top level, for example: technique: {kind: split_f"],
    ),
    ("negative_count", (4, 32), &["devices[0].count: found -4, allowed a whole number, 0 or more"]),
    ("negative_number", (5, 24), &["radio.bandwidth_mhz: found -20, allowed more than 0, at most 20000"]),
    ("no_cells", (5, 8), &["cells: found an empty list, allowed at least one entry"]),
    ("no_devices", (4, 10), &["devices: found an empty list, allowed at least one group of devices"]),
    ("no_servers", (5, 15), &["edge_servers: found an empty list, allowed at least one entry"]),
    ("not_a_map", (1, 1), &["found a list of 2, allowed a map with the keys name, description, seed"]),
    ("not_a_number", (5, 22), &["radio.carrier_ghz: found NaN, allowed 0.4 to 400"]),
    ("not_quite_all", (3, 55), &["technique.devices_per_round: found \"every\", allowed a whole number, or `all`"]),
    ("number_for_choice", (3, 19), &["technique.kind: found 5, allowed a word: centralized, on_device, federated"]),
    ("number_for_word", (1, 7), &["name: found 2024, allowed a word"]),
    (
        "number_with_unit",
        (6, 18),
        &[
            "radio.bandwidth_mhz: found \"100 MHz\", allowed a number",
            "write a plain number; the unit, MHz, is in the key",
        ],
    ),
    (
        "other_unit",
        (6, 3),
        &["radio.bandwidth_khz: unknown key `bandwidth_khz`", "did you mean `bandwidth_mhz`? Its value is in MHz"],
    ),
    (
        "other_unit_in_list",
        (7, 29),
        &[
            "network.links[0].rate_mbit_per_s: unknown key `rate_mbit_per_s`",
            "did you mean `rate_gbit_per_s`? Its value is in Gbit/s",
        ],
    ),
    ("position_not_a_pair", (5, 33), &["cells[0].position_m: found 3 numbers, allowed a pair [x, y] in metres"]),
    ("positions_mismatch", (5, 39), &["placement.positions_m: found 2 positions, allowed 4, one a device"]),
    (
        "search_empty_list",
        (7, 23),
        &["search.space.technique.rounds: found an empty list, allowed at least one value to"],
    ),
    (
        "search_invalid_value",
        (7, 35),
        &["search.space.technique.split_point[2]: setting technique.split_point fails: found"],
    ),
    ("search_of_search", (5, 39), &["search.space.search.sampler.kind: a search cannot vary itself"]),
    (
        "search_random_without_trials",
        (5, 10),
        &["search.sampler.trials: this key is missing", "add under `search.sampler`, for example: trials: 50"],
    ),
    ("search_unknown_axis", (7, 41), &["search.plots[0].y: found \"final_acuracy\"", "did you mean `final_accuracy`?"]),
    (
        "search_unknown_key",
        (7, 5),
        &["search.space.technique.split_points: unknown key `split_points`", "did you mean `split_point`?"],
    ),
    (
        "search_variant_fails",
        (7, 24),
        &["search.variants[0].set: with these settings technique.split_point fails: found 9, allowed 0..=6"],
    ),
    ("search_variants_alike", (8, 14), &["search.variants[1].name: two variants are called \"a\""]),
    ("several_wrong_kinds", (3, 44), &["technique.rounds: found \"lots\", allowed a whole number, 0 or more"]),
    ("share_above_one", (4, 40), &["devices[0].compute_share: found 1.5, allowed more than 0, at most 1"]),
    (
        "start_from_no_adapter",
        (5, 38),
        &["training.start_from: ", "start_from_no_adapter.yaml", "`deft adapter show FILE`"],
    ),
    ("split_point_out_of_range", (3, 49), &["technique.split_point: found 9, allowed 0..=6 (minilm-l6 has 6 blocks)"]),
    (
        "tab_indentation",
        (4, 2),
        &[
            "not valid YAML: tabs disallowed within this context (block indentation)",
            "indent with spaces; YAML does not take tabs",
        ],
    ),
    ("too_deep", (5, 78), &["not valid YAML: more than 64 levels of nesting"]),
    (
        "too_many_devices_a_round",
        (3, 55),
        &["technique.devices_per_round: found 5, allowed 1..=4 (the scenario has 4 devices)"],
    ),
    ("two_documents", (5, 1), &["not valid YAML: a second document starts here"]),
    ("unclosed_bracket", (5, 1), &["not valid YAML: while parsing a flow mapping, did not find expected ',' or '}'"]),
    (
        "unknown_architecture",
        (2, 23),
        &[
            "model.architecture: found \"minilm\", allowed minilm-l6, bert-base, bert-large",
            "did you mean `minilm-l6`?",
        ],
    ),
    (
        "unknown_dataset",
        (6, 12),
        &["training.dataset: found \"movies\", allowed movie, amazon, tweets, nyt", "did you mean `movie`?"],
    ),
    (
        "unknown_hardware",
        (4, 45),
        &[
            "devices[0].hardware: found \"snapdragon_8_gen_33\", allowed snapdragon_8_gen_3",
            "did you mean `snapdragon_8_gen_3`?",
        ],
    ),
    ("unknown_key_in_list", (4, 25), &["devices[0].cuont: unknown key `cuont`", "did you mean `count`?"]),
    ("unknown_key_nested", (3, 36), &["technique.round: unknown key `round`", "did you mean `rounds`?"]),
    (
        "unknown_key_plural",
        (3, 36),
        &["technique.split_points: unknown key `split_points`", "did you mean `split_point`?"],
    ),
    ("unknown_key_top", (5, 1), &["replicatons: unknown key `replicatons`", "did you mean `replications`?"]),
    (
        "unknown_propagation",
        (5, 22),
        &[
            "radio.propagation: found \"umb\", allowed uma, umi, rma, inh_open, inh_mixed, free_space",
            "did you mean `uma`?",
        ],
    ),
    (
        "unknown_radio_preset",
        (5, 17),
        &["radio.preset: found \"nr_fr3\", allowed lte, nr_fr1, nr_fr2, 6g_fr3, 6g_subthz", "did you mean `nr_fr1`?"],
    ),
    ("unknown_server_hardware", (6, 28), &["edge_servers[0].hardware: found \"abacus\", allowed snapdragon_8_gen_3"]),
    (
        "unknown_technique",
        (3, 19),
        &["technique.kind: found \"splitfed\", allowed centralized, on_device, federated", "did you mean `split`?"],
    ),
    (
        "unreachable_cell",
        (5, 27),
        &[
            "cells[1].name: no path of links leads from \"b\" to an edge server",
            "add a link, for example: network: {links: [{from: gnb, to: e",
        ],
    ),
    (
        "unreachable_server",
        (5, 37),
        &[
            "edge_servers[1].name: no path of links leads from a cell to \"far\"",
            "add a link, for example: network: {links: [{from: gnb, to: e",
        ],
    ),
    ("unsafe_name", (1, 7), &["name: found \"../results\", allowed 1 to 64 letters, digits, `.`, `-` and `_`"]),
    ("walk_without_area", (6, 18), &["mobility.kind: `random_waypoint` walks over the placement's area, and fixed"]),
    ("word_for_list", (4, 10), &["devices: found \"phone\", allowed a list"]),
    ("word_for_number", (3, 44), &["technique.rounds: found \"many\", allowed a whole number, 0 or more"]),
    ("zero_count", (4, 32), &["devices[0].count: found 0, allowed 1..=100000"]),
    ("zero_rounds", (3, 44), &["technique.rounds: found 0, allowed 1..=1000000"]),
    ("zero_speed", (5, 54), &["mobility.min_speed_m_per_s: found 0, allowed more than 0, at most 1000"]),
    (
        "antennas_of_an_inversion",
        (3, 62),
        &["receive_antennas: `truncated_inversion` has no such key", "its keys: power_control, truncation_threshold"],
    ),
    (
        "fraction_of_a_quantiser",
        (3, 70),
        &["compression.fraction: `qsgd` has no such key", "its keys: kind, levels, bucket_entries"],
    ),
    ("strongest_of_more_than_all", (3, 100), &["scheduling.devices: found 9, allowed 1..=4 (a round has 4 devices)"]),
    ("threshold_of_optimal_power", (3, 86), &["truncation_threshold: `optimal` has no such key"]),
    (
        "turns_of_a_split",
        (3, 48),
        &["access: `split` has no round in which all hand in updates together", "federated, split_federated"],
    ),
    ("vote_step_of_a_mean", (3, 62), &["vote_step: `air_comp` has no such key", "its keys: method, power_control"]),
    (
        "asynchronous_deadline",
        (3, 48),
        &[
            "technique.round_deadline_s: `asynchronous` waits for no straggler",
            "drop the key, or use `synchrony: {kind: synchronous}`",
        ],
    ),
    (
        "asynchronous_over_the_air",
        (3, 81),
        &[
            "technique.synchrony.kind: the air needs all devices on the air at once",
            "use `aggregation: {method: digital}`",
        ],
    ),
    (
        "buffer_beyond_devices",
        (3, 75),
        &["technique.synchrony.buffer: found 5, allowed 1..=4 (4 devices train at once)"],
    ),
    (
        "draw_of_all",
        (3, 47),
        &[
            "technique.sampling.kind: `by_channel` draws devices, and all of them take part in every round",
            "set `devices_per_round` below",
        ],
    ),
    (
        "mixing_of_a_buffer",
        (3, 67),
        &["technique.synchrony.mixing: `semi_asynchronous` has no such key", "its keys: kind, buffer, staleness"],
    ),
    (
        "ranks_without_pairs",
        (4, 76),
        &[
            "devices[0].lora_rank: `lora_rank` cuts low-rank pairs, and `peft` has none",
            "drop the key, or use `peft: {method: lora}`",
        ],
    ),
    (
        "refactored_over_the_air",
        (3, 41),
        &["technique.averaging: `refactored` multiplies each device's pairs", "use `averaging: plain`"],
    ),
    (
        "scaffold_over_the_air",
        (3, 50),
        &[
            "technique.local.correction: `scaffold` sends control variates beside updates",
            "use `aggregation: {method: digital}`",
        ],
    ),
    (
        "scaffold_with_adamw",
        (3, 50),
        &[
            "technique.local.correction: `scaffold` reads mean gradients off the way that plain SGD went",
            "add `optimizer: {kind: sgd}`",
        ],
    ),
    (
        "server_of_a_split",
        (3, 34),
        &[
            "technique.server: `server` moves the model along devices' averaged updates, and `split` averages none",
            "use a technique that aggregates",
        ],
    ),
    (
        "tau_of_momentum",
        (3, 60),
        &["technique.server.tau: `momentum` has no such key", "its keys: optimizer, learning_rate, beta1"],
    ),
    (
        "utility_of_nothing",
        (3, 69),
        &[
            "technique.sampling.kind: `by_utility` asks for the losses of devices that serve one model",
            "use a technique that aggregates",
        ],
    ),
];
