//! Every technique that a scenario can name, with the setting that asks for it and the paper behind it.

/// One row of `deft list techniques`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What a scenario writes, below `technique`: `kind: federated`.
    pub setting: &'static str,
    pub about: &'static str,
    /// Authors, year and where to find it.
    pub paper: &'static str,
}

const fn row(setting: &'static str, about: &'static str, paper: &'static str) -> Listed {
    Listed { setting, about, paper }
}

/// All of them, protocols first.
pub const TECHNIQUES: &[Listed] = &[
    row("kind: centralized", "raw data is uploaded, the edge trains alone (what privacy forbids)", "baseline"),
    row("kind: on_device", "every device trains for itself", "baseline"),
    row("kind: federated", "devices train, PEFT parameters are averaged", "McMahan et al. 2017, arXiv 1602.05629"),
    row(
        "kind: split",
        "one device after another trains with the edge through a cut",
        "Gupta, Raskar 2018, arXiv 1810.06060",
    ),
    row(
        "kind: split_federated",
        "all devices at once through a cut, both sides averaged",
        "Thapa et al. 2022, arXiv 2004.12088",
    ),
    row(
        "kind: tensor_parallel, connections: {method: air_comp}",
        "devices hold slices of blocks beyond the cut, the channel adds what they make",
        "Zhang, He, Song, Zhang, Letaief 2025, arXiv 2502.12559",
    ),
    row(
        "connections: {method: digital}",
        "slices' sums are sent one by one and added at the edge",
        "Shoeybi et al. 2019, arXiv 1909.08053",
    ),
    row(
        "kind: block_federated",
        "devices hold the whole model, each trains the block that it is allocated",
        "Wu, Chen, Huang 2024, arXiv 2407.09873",
    ),
    row(
        "kind: gradient_download",
        "the edge runs the model, devices own the PEFT parameters and get their gradients",
        "Wu, Chen, Huang 2023, arXiv 2310.18602",
    ),
    row(
        "kind: zeroth_order_federated",
        "devices send one slope a step along a direction that all share",
        "Chen et al. 2025, ZOTA, doi 10.1109/LWC.2025.3585344; Qin et al. 2024, FedKSeed, arXiv 2312.06353",
    ),
    row(
        "kind: prompt_ensemble",
        "devices tune prompts, the edge answers queries with the best ones together",
        "Wu et al. 2023, arXiv 2310.18602; Asai et al. 2022, arXiv 2205.11961",
    ),
    row(
        "kind: prompt_transfer",
        "a device that starts late starts from a neighbour's prompt",
        "Wu et al. 2023, arXiv 2310.18602; Vu et al. 2022, arXiv 2110.07904",
    ),
    row(
        "kind: offsite_tuning",
        "devices tune adapters against a downloaded emulator of the model",
        "Xiao, Lin, Han 2023, arXiv 2302.04870",
    ),
    row(
        "aggregation: {method: digital}",
        "each device sends its parameters, the edge averages",
        "McMahan et al. 2017, arXiv 1602.05629",
    ),
    row(
        "aggregation: {method: air_comp}",
        "devices transmit at once, the channel adds",
        "Zhu, Wang, Huang 2020, arXiv 1812.11494",
    ),
    row(
        "aggregation: {method: air_comp, power_control: optimal}",
        "powers with which the expected error of the sum is least",
        "Cao, Zhu, Xu, Huang 2020, doi:10.1109/TWC.2020.3012287",
    ),
    row(
        "aggregation: {method: air_comp, power_control: uniform_forcing}",
        "several antennas listen, all devices invert what the beam leaves of their channel",
        "Chen, Zhao, Letaief 2018, doi:10.1109/LWC.2018.2840157",
    ),
    row(
        "aggregation: {method: one_bit}",
        "devices transmit signs at once, the majority moves the model",
        "Zhu, Du, Gunduz, Huang 2021, arXiv 2001.05713",
    ),
    row(
        "aggregation: {compression: {kind: qsgd}}",
        "updates are quantised stochastically",
        "Alistarh et al. 2017, arXiv 1610.02132",
    ),
    row(
        "aggregation: {compression: {kind: top_k}}",
        "some entries of updates are sent, the others kept for later (also rand_k)",
        "Stich, Cordonnier, Jaggi 2018, arXiv 1809.07599",
    ),
    row(
        "cut: {compression: {method: quantise}}",
        "activations and gradients are quantised at the cut (also fp16, top_k)",
        "Alistarh et al. 2017, arXiv 1610.02132",
    ),
    row(
        "cut: {compression: {method: merge_tokens}}",
        "neighbouring tokens that are alike cross the cut as one",
        "TSFLora, arXiv 2605.23988",
    ),
    row("cut: {channel: analog}", "activations and gradients cross as raw symbols, with the link's noise", "baseline"),
    row("cut: {labels: device}", "U shape: labels and head stay on the device", "Gupta, Raskar 2018, arXiv 1810.06060"),
    row(
        "cut: {device_side: frozen}",
        "the device runs forward only, nothing comes back",
        "SplitFrozen, Ma et al. 2025, arXiv 2503.18986",
    ),
    row(
        "cut: {micro_batches: n}",
        "computing and transmission overlap, piece by piece",
        "Huang et al. 2019, arXiv 1811.06965",
    ),
    row(
        "cut: {server_side: shared}",
        "one edge side takes the devices' batches as they arrive (SplitFedV2)",
        "Thapa et al. 2022, arXiv 2004.12088",
    ),
    row("split_point: auto", "the best cut for each device, by latency, energy or both", "enumeration"),
    row(
        "split_objective: {minimise: card}",
        "cut and speed of the edge, against its energy",
        "CARD, Li et al. 2024, arXiv 2412.00090",
    ),
    row(
        "local: {proximal_mu: 0.01}",
        "FedProx: local steps are held near the round's start",
        "Li et al. 2020, arXiv 1812.06127",
    ),
    row(
        "local: {correction: scaffold}",
        "control variates against the drift of devices with unlike data",
        "Karimireddy et al. 2020, arXiv 1910.06378",
    ),
    row(
        "server: {optimizer: momentum}",
        "FedAvgM: the server's model has momentum",
        "Hsu et al. 2019, arXiv 1909.06335",
    ),
    row(
        "server: {optimizer: adam}",
        "adaptive steps at the server; also yogi, adagrad",
        "Reddi et al. 2021, arXiv 2003.00295",
    ),
    row(
        "averaging: refactored",
        "the mean of products B A, taken apart again into LoRA pairs",
        "Bai et al. 2024, arXiv 2402.11505",
    ),
    row("devices[*].lora_rank", "devices tune the first ranks of LoRA pairs", "Cho et al. 2024, arXiv 2401.06432"),
    row(
        "synchrony: {kind: semi_asynchronous}",
        "the server waits for a buffer of updates, old ones count less",
        "Nguyen et al. 2022, arXiv 2106.06639",
    ),
    row(
        "synchrony: {kind: asynchronous}",
        "every arrival moves the model",
        "Xie, Koyejo, Gupta 2019, arXiv 1903.03934",
    ),
    row("sampling: {kind: by_channel}", "draws the devices with the strongest uplink", "baseline"),
    row("sampling: {kind: by_data}", "draws devices in proportion to their samples", "baseline"),
    row("sampling: {kind: by_utility}", "draws by samples, loss and speed", "Lai et al. 2021, arXiv 2010.06081 (Oort)"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::TechniqueKind;

    #[test]
    fn every_protocol_is_listed_once() {
        let kinds = TECHNIQUES.iter().filter_map(|t| t.setting.strip_prefix("kind: "));
        let named: Vec<&str> = kinds.map(|k| k.split(',').next().unwrap_or(k)).collect();
        for kind in TechniqueKind::ALL {
            assert_eq!(named.iter().filter(|n| **n == kind.name()).count(), 1, "{}", kind.name());
        }
    }
}
