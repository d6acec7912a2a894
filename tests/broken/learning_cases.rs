//! What the files of this folder about models, methods and tasks are refused for.

use super::cases::Case;

pub const LEARNING_CASES: &[Case] = &[
    (
        "accuracy_of_a_regression",
        (5, 54),
        &["training.stop_at_accuracy: a regression has no accuracy that could reach 0.9", "drop the key"],
    ),
    (
        "ada_lora_block_by_block",
        (5, 16),
        &[
            "peft.method: `ada_lora` moves ranks between all blocks, and a device of `block_federated` trains some",
            "use `method: lora`, or `technique: {kind: federated}`",
        ],
    ),
    (
        "ada_lora_grows",
        (5, 48),
        &["peft.target_rank: found 12, allowed 1..=8 (the mean of the ranks it starts with is 8)"],
    ),
    (
        "ada_lora_out_of_step",
        (5, 16),
        &[
            "peft.method: `ada_lora` prunes by one schedule, and devices that do not wait are at different steps of it",
            "use `method: lora`, or `synchrony: {kind: synchronous}`",
        ],
    ),
    (
        "ada_lora_over_the_air",
        (5, 16),
        &[
            "peft.method: `ada_lora` prunes entries to zero, and what `air_comp` adds up is never zero",
            "use `method: lora`, or `aggregation: {method: digital}`",
        ],
    ),
    (
        "ada_lora_without_gradients",
        (5, 16),
        &[
            "peft.method: `ada_lora` weighs ranks by their gradients, and `zeroth_order` computes none",
            "use `method: lora`, or another optimizer",
        ],
    ),
    (
        "ada_lora_without_time",
        (5, 40),
        &["peft.warmup_steps: warmup_steps 9 is not below final_step 5", "leave steps in which ranks can go"],
    ),
    ("adapter_too_wide", (5, 37), &["peft.bottleneck: found 500, allowed 0..=384 (minilm-l6 is 384 wide)"]),
    (
        "all_bottlenecks_zero",
        (5, 46),
        &[
            "peft.bottleneck: all bottlenecks are 0, so `parallel_adapter` has nothing to train",
            "raise at least one of them, or write `method: head_only`",
        ],
    ),
    ("all_ranks_zero", (5, 14), &["peft.rank: all ranks are 0, so `lora` has nothing to train"]),
    (
        "biases_of_none",
        (5, 16),
        &["peft.method: `bitfit` trains biases, and llama-3.2-1b has none", "for example: method: layer_norm"],
    ),
    (
        "block_beyond_last",
        (5, 33),
        &["peft.blocks[1]: found 6, allowed 0..=5 (minilm-l6 has 6 blocks, counted from 0)"],
    ),
    ("block_twice", (5, 33), &["peft.blocks[1]: this block is listed twice", "keep one of the two"]),
    (
        "blocks_both_ends",
        (5, 16),
        &[
            "peft.blocks: found a map with both or neither, allowed one of the keys first and last",
            "for example: blocks: {last: 2}",
        ],
    ),
    (
        "blocks_empty",
        (5, 35),
        &["peft.blocks: found an empty list, allowed at least one block", "for example: blocks: [4, 5]"],
    ),
    ("blocks_too_many", (5, 23), &["peft.blocks.last: found 7, allowed 1..=6 (minilm-l6 has 6 blocks)"]),
    (
        "blocks_word",
        (5, 16),
        &["peft.blocks: found \"some\", allowed `all`, {first: 2}, {last: 2}, or a list of blocks"],
    ),
    (
        "checkpoint_of_nothing",
        (2, 46),
        &[
            "model.checkpoint: found a map with both or neither, allowed one of the keys file and folder",
            "for example: checkpoint: {file: model.safetensors}",
        ],
    ),
    ("classes_against_data", (2, 43), &["model.classes: found 5, allowed 2, as many as the data set has"]),
    ("classes_of_a_regression", (2, 43), &["model.classes: `task: regression` has no classes", "drop the key"]),
    (
        "classes_of_t5",
        (5, 1),
        &[
            "training.task: `t5-small` answers in text only and has no head for classification",
            "write it as text to text: task: sequence_to_sequence",
        ],
    ),
    (
        "combined_in_turn",
        (5, 51),
        &["peft.combine_with[0].combine_with: unknown key `combine_with`", "`combine_with` belongs in `peft`"],
    ),
    (
        "combined_own_parameters",
        (5, 48),
        &[
            "peft.combine_with[0].method: `bitfit` and `layer_norm` both choose among the model's own parameters:",
            "combine methods that train different parameters",
        ],
    ),
    (
        "combined_twice",
        (5, 46),
        &[
            "peft.combine_with[0].method: `lora` and `dora` both put low-rank pairs beside the weights: there can",
            "combine methods that train different parameters",
        ],
    ),
    (
        "combined_with_full",
        (5, 46),
        &[
            "peft.combine_with[0].method: `full` trains the whole model: it leaves nothing to `prefix`",
            "combine methods that train different parameters",
        ],
    ),
    (
        "combined_with_head",
        (5, 46),
        &[
            "peft.combine_with[0].method: `head_only` trains nothing but the head, which every other method",
            "combine methods that train different parameters",
        ],
    ),
    (
        "combined_without_method",
        (5, 37),
        &[
            "peft.combine_with[0].method: this key is missing",
            "add under `peft.combine_with[0]`, for example: method: bitfit",
        ],
    ),
    (
        "domains_of_other_kinds",
        (5, 39),
        &[
            "training.dataset.domains[1]: \"movie_ratings\" is of another kind than \"movie\"",
            "join sets of the same task and classes",
        ],
    ),
    ("dropout_of_everything", (5, 17), &["peft.dropout: found 1, allowed 0 to 0.9"]),
    (
        "empty_targets",
        (5, 17),
        &["peft.targets: an empty list: `lora` has nothing to train", "for example: targets: [query, value]"],
    ),
    (
        "gate_of_none",
        (5, 25),
        &["peft.targets[1]: the feed-forward layers of minilm-l6 have no gate", "use ffn_up and ffn_down"],
    ),
    (
        "image_in_tokens",
        (5, 29),
        &["workload.sequence_tokens: found 64, allowed 197..=197 (an image is 197 tokens of vit-b-16)"],
    ),
    ("image_of_domains", (5, 48), &["training.dataset.image: `domains` has no such key", "its keys: domains"]),
    (
        "images_for_text",
        (5, 21),
        &["training.dataset: `minilm-l6` reads text, and these are images", "take a vit architecture"],
    ),
    (
        "images_of_other_size",
        (5, 21),
        &[
            "training.dataset: `vit-b-16` reads images of 224 px and 3 channels, and these have 8 px and 1",
            "give images of that size, or a checkpoint folder of a model for these",
        ],
    ),
    ("missing_checkpoint", (2, 53), &["model.checkpoint.file: there is no file"]),
    (
        "missing_folder",
        (2, 30),
        &["model.checkpoint.folder: there is no folder", "a relative path starts at the folder of the scenario file"],
    ),
    ("momentum_of_adamw", (5, 40), &["training.optimizer.momentum: `adamw` has no such key", "its keys: kind"]),
    (
        "next_token_of_nothing",
        (5, 16),
        &[
            "peft.method: next tokens are predicted with the model's own output matrix: there is no task",
            "for example: method: lora",
        ],
    ),
    (
        "next_token_without_decoder",
        (5, 34),
        &[
            "training.task: `minilm-l6` sees the tokens that it should predict: `language_model` needs a",
            "take a gpt2 or llama architecture, or another task",
        ],
    ),
    ("peft_key_of_another_method", (5, 24), &["peft.rank: `prefix` has no such key", "its keys: blocks, tokens"]),
    ("peft_key_of_nothing", (5, 22), &["peft.blocks: `full` has no such key", "its keys: method"]),
    ("perturbation_of_nothing", (5, 74), &["training.optimizer.perturbation: found 0, allowed more than 0, at most 1"]),
    (
        "prompt_leaves_no_room",
        (6, 29),
        &["workload.sequence_tokens: found 500, allowed 3..=492 (minilm-l6 has 512 positions, of which a"],
    ),
    (
        "prompt_of_blocks",
        (5, 32),
        &[
            "peft.tokens: found a map, allowed a whole number",
            "a prompt stands before the first block, once; `prefix` has blocks",
        ],
    ),
    ("rank_beyond_target", (5, 14), &["peft.rank: found 200, allowed 0..=192 (key of smollm2-135m is 576 x 192)"]),
    (
        "ranks_and_blocks",
        (5, 52),
        &[
            "peft.blocks: `peft.rank.blocks` gives every block a size of its own, 0 for none: nothing is",
            "write one number for all chosen blocks, or drop this key",
        ],
    ),
    ("ranks_of_wrong_length", (5, 23), &["peft.rank.blocks: found 3 sizes, allowed 6, one a block of minilm-l6"]),
    ("sequence_too_long", (5, 29), &["workload.sequence_tokens: found 1000, allowed 3..=512 (minilm-l6 has 512"]),
    (
        "skew_without_classes",
        (5, 54),
        &[
            "training.partition.kind: `dirichlet` skews shares of classes, and `task: regression` has none",
            "use `iid`, or `domain` with several data sets",
        ],
    ),
    (
        "task_of_other_data",
        (5, 21),
        &[
            "training.dataset: data set \"movie\" cannot be read for `regression`",
            "it serves classification, language_model, sequence_to_sequence",
        ],
    ),
    (
        "text_for_images",
        (5, 21),
        &["training.dataset: `vit-b-16` reads images, and this is text", "for example: digits"],
    ),
    (
        "text_to_text_without_decoder",
        (5, 34),
        &[
            "training.task: `minilm-l6` is no encoder-decoder, which `sequence_to_sequence` needs",
            "take a t5 architecture, or another task",
        ],
    ),
    (
        "trained_twice",
        (5, 70),
        &[
            "peft.combine_with[0].method: `selective` trains all of block 4: nothing there is left frozen",
            "combine methods that train different parameters",
        ],
    ),
    (
        "training_in_bf16",
        (2, 45),
        &[
            "model.precision: training runs in fp32 or fp16 only",
            "drop the key to train in fp32, or write `training: none` to emulate time alone",
        ],
    ),
    (
        "training_without_weights",
        (2, 23),
        &[
            "model.architecture: training `bert-base` needs weights, and only those of `minilm-l6` are",
            "give `checkpoint: {file: model.safetensors}` or {folder: ...}, train from `random` ones, or",
        ],
    ),
    (
        "unknown_method",
        (5, 16),
        &[
            "peft.method: found \"lorra\", allowed lora, dora, ada_lora, adapter, parallel_adapter, prefix,",
            "did you mean `lora`?",
        ],
    ),
    (
        "unknown_target",
        (5, 25),
        &["peft.targets[1]: found \"values\", allowed query, key, value, attention_output", "did you mean `value`?"],
    ),
    (
        "zeroth_order_of_a_split",
        (5, 46),
        &[
            "training.optimizer.kind: `zeroth_order` compares losses of the whole model on a device, and",
            "use `training: {optimizer: {kind: adamw}}`, or one of the techniques on_device, federated and offsite_tuning",
        ],
    ),
    (
        "emulated_optimizer_of_training",
        (6, 23),
        &[
            "workload.optimizer: where the model is trained, `training.optimizer` says how",
            "drop the key, or use `training: {optimizer: {kind: sgd}}`",
        ],
    ),
    (
        "emulated_zeroth_order_of_a_split",
        (5, 23),
        &[
            "workload.optimizer: `zeroth_order` compares losses of the whole model on a device, and",
            "use `workload: {optimizer: adamw}`, or one of the techniques on_device",
        ],
    ),
    (
        "zeroth_order_over_the_air",
        (5, 46),
        &[
            "training.optimizer.kind: under `zeroth_order` devices send a few scalars, and `air_comp` adds",
            "use `aggregation: {method: digital}`, or `training: {optimizer: {kind: adamw}}`",
        ],
    ),
    (
        "zeroth_order_compressed",
        (5, 46),
        &[
            "training.optimizer.kind: under `zeroth_order` devices send a few scalars: there is no update",
            "use `compression: {kind: none}`, or `training: {optimizer: {kind: adamw}}`",
        ],
    ),
    (
        "zeroth_order_with_dropout",
        (5, 31),
        &[
            "peft.dropout: `zeroth_order` compares two losses of one model, so that nothing may be dropped",
            "drop the key, or use another optimizer",
        ],
    ),
    (
        "zeroth_order_with_decay",
        (5, 75),
        &[
            "training.weight_decay: steps of `zeroth_order` go along one random direction, without decay",
            "drop the key, or use another optimizer",
        ],
    ),
];
