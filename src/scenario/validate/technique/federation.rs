//! Local steps, the server's optimiser and synchrony, and what they go with.

use crate::scenario::key_path::KeyPath;
use crate::scenario::raw::{self, OptimizerKind, ServerOptimizer, StalenessKind, SynchronyKind};
use crate::scenario::schema::{
    AggregationSpec, Averaging, Correction, DeviceGroup, DigitalSpec, LocalSpec, Optimizer, PeftMethod, PeftSpec,
    ServerSide, ServerSpec, StalenessSpec, SynchronySpec, TechniqueKind, TechniqueSpec,
};
use crate::scenario::validate::check::{Check, above_to, from_to};
use crate::scenario::validate::steps::Steps;

const AVERAGING: &str =
    "drop the key, or use a technique that averages models: federated, split_federated, gradient_download";

pub(super) fn local(c: &mut Check, at: &KeyPath, raw: raw::Local) -> LocalSpec {
    LocalSpec {
        proximal_mu: c.number(at, "proximal_mu", raw.proximal_mu, 0.0, from_to(0.0, 1e6)),
        correction: raw.correction.unwrap_or_default(),
    }
}

pub(super) fn server(c: &mut Check, at: &KeyPath, raw: raw::Server) -> ServerSpec {
    let (beta2, tau) = (("beta2", raw.beta2.is_some()), ("tau", raw.tau.is_some()));
    let below_one = from_to(0.0, 0.999_999);
    let learning_rate =
        |c: &mut Check, default| c.number(at, "learning_rate", raw.learning_rate, default, above_to(0.0, 1e3));
    // Starting points of Reddi et al. 2021; they tune the learning rate over decades.
    let beta1 = |c: &mut Check, default| c.number(at, "beta1", raw.beta1, default, below_one);
    let second = |c: &mut Check| c.number(at, "beta2", raw.beta2, 0.99, below_one);
    let adaptivity = |c: &mut Check| c.number(at, "tau", raw.tau, 1e-3, above_to(0.0, 1e3));
    match raw.optimizer.unwrap_or(ServerOptimizer::Mean) {
        ServerOptimizer::Mean => {
            let rates = [("learning_rate", raw.learning_rate.is_some()), ("beta1", raw.beta1.is_some()), beta2, tau];
            c.unused(at, &rates, "mean", "optimizer");
            ServerSpec::Mean
        }
        ServerOptimizer::Momentum => {
            c.unused(at, &[beta2, tau], "momentum", "optimizer, learning_rate, beta1");
            ServerSpec::Momentum { learning_rate: learning_rate(c, 1.0), beta1: beta1(c, 0.9) }
        }
        ServerOptimizer::Adam => ServerSpec::Adam {
            learning_rate: learning_rate(c, 1e-2),
            beta1: beta1(c, 0.9),
            beta2: second(c),
            tau: adaptivity(c),
        },
        ServerOptimizer::Yogi => ServerSpec::Yogi {
            learning_rate: learning_rate(c, 1e-2),
            beta1: beta1(c, 0.9),
            beta2: second(c),
            tau: adaptivity(c),
        },
        ServerOptimizer::Adagrad => {
            c.unused(at, &[beta2], "adagrad", "optimizer, learning_rate, beta1, tau");
            ServerSpec::Adagrad { learning_rate: learning_rate(c, 1e-2), beta1: beta1(c, 0.0), tau: adaptivity(c) }
        }
    }
}

pub(super) fn synchrony(c: &mut Check, at: &KeyPath, raw: raw::Synchrony, devices_per_round: usize) -> SynchronySpec {
    let (buffer, mixing) = (("buffer", raw.buffer.is_some()), ("mixing", raw.mixing.is_some()));
    match raw.kind.unwrap_or(SynchronyKind::Synchronous) {
        SynchronyKind::Synchronous => {
            c.unused(at, &[buffer, mixing, ("staleness", raw.staleness.is_some())], "synchronous", "kind");
            SynchronySpec::Synchronous
        }
        SynchronyKind::SemiAsynchronous => {
            c.unused(at, &[mixing], "semi_asynchronous", "kind, buffer, staleness");
            let most = devices_per_round.max(1);
            let reason = format!("{most} devices train at once");
            SynchronySpec::SemiAsynchronous {
                buffer: c.count_because(at, "buffer", raw.buffer, most.div_ceil(2), 1..=most, &reason),
                staleness: staleness(c, &at.key("staleness"), raw.staleness.unwrap_or_default()),
            }
        }
        SynchronyKind::Asynchronous => {
            c.unused(at, &[buffer], "asynchronous", "kind, mixing, staleness");
            SynchronySpec::Asynchronous {
                mixing: c.number(at, "mixing", raw.mixing, 0.6, above_to(0.0, 1.0)),
                staleness: staleness(c, &at.key("staleness"), raw.staleness.unwrap_or_default()),
            }
        }
    }
}

/// The default exponent is FedBuff's and one of FedAsync's.
fn staleness(c: &mut Check, at: &KeyPath, raw: raw::Staleness) -> StalenessSpec {
    match raw.kind.unwrap_or(StalenessKind::Polynomial) {
        StalenessKind::Constant => {
            c.unused(at, &[("exponent", raw.exponent.is_some())], "constant", "kind");
            StalenessSpec::Constant
        }
        StalenessKind::Polynomial => {
            StalenessSpec::Polynomial { exponent: c.number(at, "exponent", raw.exponent, 0.5, above_to(0.0, 100.0)) }
        }
    }
}

/// Notes which of the sections do not go with the technique or with each other.
pub(super) fn goes_together(c: &mut Check, at: &KeyPath, technique: &TechniqueSpec) {
    let TechniqueSpec { kind, local, server, averaging, synchrony, .. } = technique;
    let sections = [
        ("local", *local != LocalSpec::default(), "bends the steps of devices whose updates are averaged"),
        ("server", *server != ServerSpec::Mean, "moves the model along devices' averaged updates"),
        ("averaging", *averaging != Averaging::Plain, "says what the mean of devices' low-rank pairs is"),
        ("synchrony", !synchrony.is_synchronous(), "says when the server stops to wait for devices' updates"),
    ];
    if !kind.averages_models() {
        let instead = match kind {
            TechniqueKind::BlockFederated => "averages each block among those to whom it was dealt",
            TechniqueKind::ZerothOrderFederated => "moves its model by scalars of whole rounds",
            TechniqueKind::OffsiteTuning => "compares an emulator with the full model, both by plain averaging",
            _ => "averages none",
        };
        for (key, _, what) in sections.iter().filter(|(_, written, _)| *written) {
            c.conflict(at.key(key), format!("`{key}` {what}, and `{}` {instead}", kind.name()), AVERAGING);
        }
        return;
    }
    beside_shared_server(c, at, technique);
    let air = !matches!(technique.aggregation, AggregationSpec::Digital(_));
    let alone = technique.aggregation == AggregationSpec::Digital(DigitalSpec::default());
    if local.correction == Correction::Scaffold {
        let at = at.key("local").key("correction");
        if air {
            let message = "`scaffold` sends control variates beside updates, and the air adds up the updates alone";
            c.conflict(at, message, "use `aggregation: {method: digital}`, or `local: {proximal_mu: 0.01}`");
        } else if !synchrony.is_synchronous() {
            let message =
                format!("`scaffold` corrects by the round's common start, and `{}` has none", synchrony.name());
            c.conflict(at, message, "use `synchrony: {kind: synchronous}`, or `local: {proximal_mu: 0.01}`");
        }
    }
    if *averaging == Averaging::Refactored {
        let at = at.key("averaging");
        if air {
            let message =
                "`refactored` multiplies each device's pairs, and the air lets the server hear their sum alone";
            c.conflict(at, message, "use `averaging: plain`, or `aggregation: {method: digital}`");
        } else if !synchrony.is_synchronous() {
            let message = format!(
                "`refactored` averages pairs that start from one model, and `{}` mixes several",
                synchrony.name()
            );
            c.conflict(at, message, "use `averaging: plain`, or `synchrony: {kind: synchronous}`");
        }
    }
    if !synchrony.is_synchronous() {
        if air {
            let message = "the air needs all devices on the air at once, and here each sends when it is done";
            let help = "use `aggregation: {method: digital}`, or `synchrony: {kind: synchronous}`";
            c.conflict(at.key("synchrony").key("kind"), message, help);
        }
        if !air && !alone {
            let message = "updates that share a dedicated uplink or are compressed are handed in together, in rounds";
            let help = "use `aggregation: {method: digital}` without further keys, or `synchrony: {kind: synchronous}`";
            c.conflict(at.key("synchrony").key("kind"), message, help);
        }
        if matches!(synchrony, SynchronySpec::Asynchronous { .. }) && technique.round_deadline_s.is_some() {
            let message = "`asynchronous` waits for no straggler: every arrival ends a round";
            let help = "drop the key, or use `synchrony: {kind: semi_asynchronous}`";
            c.conflict(at.key("round_deadline_s"), message, help);
        }
    }
}

/// Notes what asks for an edge side of each device's own where there is one for all.
fn beside_shared_server(c: &mut Check, at: &KeyPath, technique: &TechniqueSpec) {
    if technique.cut.as_ref().is_none_or(|cut| cut.server_side != ServerSide::Shared) {
        return;
    }
    let asked = [
        (
            at.key("server").key("optimizer"),
            technique.server != ServerSpec::Mean,
            "the server's optimiser follows averaged updates, and a shared edge side is trained batch by batch",
        ),
        (
            at.key("local").key("correction"),
            technique.local.correction != Correction::None,
            "a control variate is the mean gradient of one device, and all train a shared edge side",
        ),
        (
            at.key("synchrony").key("kind"),
            !technique.synchrony.is_synchronous(),
            "a shared edge side belongs to a round: whoever goes on beside the next one would train the last one's",
        ),
    ];
    for (key, _, message) in asked.into_iter().filter(|(_, asked, _)| *asked) {
        c.conflict(key, message, "drop the key, or use `cut: {server_side: per_device}`");
    }
}

/// Notes where what is said about low-rank pairs does not go with the method or the technique.
pub(in crate::scenario::validate) fn pairs_fit(
    c: &mut Check,
    peft: &PeftSpec,
    technique: &TechniqueSpec,
    steps: Option<Steps>,
    devices: &[DeviceGroup],
) {
    let at = KeyPath::default();
    let averaging = at.key("technique").key("averaging");
    let pairs = peft.methods().any(|m| matches!(m, PeftMethod::Lora(_) | PeftMethod::Dora(_)));
    if technique.averaging == Averaging::Refactored && !pairs {
        let message = "`refactored` takes products of low-rank pairs apart, and `peft` has none that stay as they are";
        c.conflict(averaging, message, "use `averaging: plain`, or `peft: {method: lora}`");
    }
    let Some(group) = devices.iter().position(|g| g.lora_rank.is_some()) else { return };
    let at = at.key("devices").index(group).key("lora_rank");
    let refusal = if !pairs {
        Some(("`lora_rank` cuts low-rank pairs, and `peft` has none that stay as they are", "peft: {method: lora}"))
    } else if !technique.kind.averages_models() {
        Some(("pairs of several ranks meet where models are averaged, and none are here", "kind: federated"))
    } else if technique.aggregation != AggregationSpec::Digital(DigitalSpec::default()) {
        Some(("pairs of several ranks are sent as they are, each device its own", "aggregation: {method: digital}"))
    } else if !technique.synchrony.is_synchronous() {
        Some(("pairs of several ranks are averaged in rounds", "synchrony: {kind: synchronous}"))
    } else if technique.local.correction == Correction::Scaffold {
        Some((
            "control variates are as long as the server's, and pairs of several ranks are not",
            "local: {proximal_mu: 0.01}",
        ))
    } else if steps.is_some_and(|s| s.are_zeroth_order()) {
        Some((
            "a step of `zeroth_order` moves the ranks that the device does not hold",
            "training: {optimizer: {kind: adamw}}",
        ))
    } else if technique.cut.as_ref().is_some_and(|cut| cut.server_side == ServerSide::Shared) {
        Some(("a shared edge side has all ranks", "cut: {server_side: per_device}"))
    } else if technique.gradients.is_some_and(|g| g.projection_dimension.is_some()) {
        Some((
            "a projected gradient reaches the ranks that the device does not hold",
            "gradients: {}`, without `projection_dimension",
        ))
    } else {
        None
    };
    if let Some((message, works)) = refusal {
        c.conflict(at, message, &format!("drop the key, or use `{works}`"));
    }
}

/// Notes where local steps or the server do not go with the optimiser on the devices.
pub(in crate::scenario::validate) fn local_steps_fit(c: &mut Check, steps: Steps, technique: &TechniqueSpec) {
    let at = KeyPath::default().key("technique");
    let plain_sgd = matches!(steps.optimizer, Optimizer::Sgd { momentum } if momentum == 0.0);
    if technique.local.correction == Correction::Scaffold && !plain_sgd {
        let message =
            "`scaffold` reads mean gradients off the way that plain SGD went, and another optimizer is chosen";
        let sgd = steps.instead(OptimizerKind::Sgd);
        let help = format!("use {sgd}, without momentum, or `local: {{proximal_mu: 0.01}}`");
        c.conflict(at.key("local").key("correction"), message, &help);
    }
    if !steps.are_zeroth_order() || !technique.kind.averages_models() {
        return;
    }
    let help = "use another `optimizer`, or drop the key";
    if technique.local.proximal_mu > 0.0 {
        let message = "the proximal term is part of a gradient, and `zeroth_order` computes none";
        c.conflict(at.key("local").key("proximal_mu"), message, help);
    }
    // Devices rebuild the mean of a round from everybody's scalars: they know of nothing else.
    let rebuilt = "under `zeroth_order` devices follow the model by the scalars of whole rounds";
    if technique.server != ServerSpec::Mean {
        c.conflict(at.key("server").key("optimizer"), format!("{rebuilt}, as their mean moves it"), help);
    }
    if technique.averaging != Averaging::Plain {
        c.conflict(at.key("averaging"), format!("{rebuilt}, and no pairs cross the air"), help);
    }
    if !technique.synchrony.is_synchronous() {
        c.conflict(at.key("synchrony").key("kind"), rebuilt, help);
    }
}
