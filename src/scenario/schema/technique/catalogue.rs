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
