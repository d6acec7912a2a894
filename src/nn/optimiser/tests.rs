//! Steps against hand-computed numbers, AdaLoRA's budget, the loss scale, and the stored form.

use super::super::{
    AdaptiveRanks, LoraConfig, LoraScaling, LoraVariant, ParameterLayout, PeftMethod, Selection, SelectiveConfig,
};
use super::{AdamW, LossScale, Moments, Optimizer, Sgd};
use crate::backend::Numbers;
use crate::data::Objective;
use crate::fomo::{Architecture, Projection, preset};
use crate::random::CounterStream;

fn tiny() -> Architecture {
    let bert = preset("minilm-l6").expect("a preset");
    Architecture { encoder_layers: 2, hidden: 6, heads: 1, kv_heads: 1, head_dim: 6, ffn: 10, ..bert }
}

fn layout(method: PeftMethod) -> ParameterLayout {
    ParameterLayout::new(&tiny(), &[method], Objective::Regression).expect("a method that fits")
}

/// The embedding norm's shift (6 values of the model), and a head of 6 + 1.
fn norm_and_head() -> ParameterLayout {
    let selection = SelectiveConfig { selection: Selection::Biases, blocks: vec![false; 2], outside: true };
    layout(PeftMethod::Selective(selection))
}

fn adaptive(ranks: AdaptiveRanks) -> ParameterLayout {
    layout(PeftMethod::Lora(LoraConfig {
        rank_per_block: vec![4, 2],
        alpha: 8.0,
        targets: vec![Projection::Query, Projection::FfnUp],
        scaling: LoraScaling::Rank,
        dropout: 0.0,
        variant: LoraVariant::Adaptive(ranks),
    }))
}

const SGD: Sgd = Sgd { learning_rate: 0.1, head_learning_rate: 0.1, momentum: 0.0, weight_decay: 0.0 };

/// Parameter 0 (of the model) and the last one (of the head) after steps along these gradients from 1.
fn play(optimizer: Optimizer, gradients: &[f32]) -> (f32, f32) {
    let layout = norm_and_head();
    let (mut parameters, mut moments) = (vec![1.0; layout.len()], Moments::default());
    for &g in gradients {
        optimizer.update(&layout, &mut parameters, &vec![g; layout.len()], &mut moments);
    }
    assert_eq!(moments.step as usize, gradients.len());
    (parameters[0], parameters[layout.len() - 1])
}

fn close(found: (f32, f32), expected: (f32, f32)) {
    let far = |x: f32, y: f32| (x - y).abs() > 2e-6;
    assert!(!far(found.0, expected.0) && !far(found.1, expected.1), "{found:?}, not {expected:?}");
}

#[test]
fn adamw_by_hand() {
    let (learning_rate, head_learning_rate) = (0.1, 0.2);
    let rule = AdamW { learning_rate, head_learning_rate, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 };
    // Step 1: the corrected mean over its deviation is 1. Decay 0.999 and 0.998 come first.
    close(play(Optimizer::AdamW(rule), &[0.5]), (0.899, 0.798));
    // Step 2: m = 0.02, v = 3.1225e-4; m / 0.19 over sqrt(v / 0.001999) is 0.2663370.
    close(play(Optimizer::AdamW(rule), &[0.5, -0.25]), (0.871_467_3, 0.743_136_6));
}

#[test]
fn sgd_by_hand() {
    let rule = Sgd { head_learning_rate: 0.2, momentum: 0.9, weight_decay: 0.1, ..SGD };
    close(play(Optimizer::Sgd(rule), &[0.5]), (0.94, 0.88));
    // Model: g = -0.25 + 0.094, velocity 0.54 - 0.156 = 0.384. Head: g = -0.25 + 0.088, velocity 0.378.
    close(play(Optimizer::Sgd(rule), &[0.5, -0.25]), (0.9016, 0.8044));
    // Without momentum nothing is remembered.
    let layout = norm_and_head();
    let (mut parameters, mut moments) = (vec![1.0; layout.len()], Moments::default());
    Optimizer::Sgd(SGD).update(&layout, &mut parameters, &vec![0.5; layout.len()], &mut moments);
    assert_eq!((parameters[0], moments), (0.95, Moments { step: 1, run_step: 1, ..Moments::default() }));
}

const RANKS: AdaptiveRanks = AdaptiveRanks { target_rank: 1, warmup_steps: 3, final_step: 11, orthogonality: 0.0 };

/// Entries of `E` that are not zero.
fn alive(layout: &ParameterLayout, parameters: &[f32]) -> Vec<usize> {
    let entries = layout.tensors().iter().filter(|t| t.name.ends_with("lora_E")).flat_map(|t| t.range());
    entries.filter(|&e| parameters[e] != 0.0).collect()
}

fn noise(key: u64, len: usize) -> Vec<f32> {
    let stream = CounterStream::new(key, 1);
    (0..len as u64).map(|n| stream.normal(n) as f32).collect()
}

#[test]
fn adalora_shrinks_to_its_budget_and_keeps_it() {
    let layout = adaptive(RANKS);
    let rule = AdamW {
        learning_rate: 0.01,
        head_learning_rate: 0.01,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.0,
    };
    let (mut parameters, mut moments) = (noise(0, layout.len()), Moments::default());
    let mut at_the_end = None;
    for step in 1..=20u32 {
        Optimizer::AdamW(rule).update(&layout, &mut parameters, &noise(step.into(), layout.len()), &mut moments);
        // 4 terms with 4 + 4 + 2 + 2 triplets, of which 4 remain.
        let left = (1.0 - f64::from(step.clamp(3, 11) - 3) / 8.0).powi(3);
        let alive = alive(&layout, &parameters);
        assert_eq!(alive.len(), 4 + (8.0 * left) as usize, "after step {step}");
        if step >= RANKS.final_step {
            assert_eq!(*at_the_end.get_or_insert(alive.clone()), alive, "what is pruned at the end stays pruned");
        }
    }
}

#[test]
fn adalora_prunes_a_mean_of_models_back_to_its_budget() {
    let layout = adaptive(RANKS);
    let (mut parameters, mut moments) = (noise(0, layout.len()), Moments::anew(30));
    let zeroed = alive(&layout, &parameters)[0];
    parameters[zeroed] = 0.0;
    Optimizer::Sgd(SGD).update(&layout, &mut parameters, &noise(1, layout.len()), &mut moments);
    let alive = alive(&layout, &parameters);
    assert!(alive.len() == 4 && !alive.contains(&zeroed), "{alive:?} of a run after its final step");
    assert_eq!((moments.step, moments.run_step), (1, 31));
}

#[test]
fn adalora_keeps_the_triplets_that_matter() {
    let layout = adaptive(RANKS);
    let (mut parameters, mut moments) = (noise(0, layout.len()), Moments::default());
    let favoured = layout.tensors().iter().rfind(|t| t.name.ends_with("query.lora_E")).expect("block 1's").range();
    for step in 1..=11u64 {
        let mut gradient: Vec<f32> = noise(step, layout.len()).iter().map(|g| 1e-3 * g).collect();
        gradient[favoured.clone()].iter_mut().for_each(|g| *g *= 1e3);
        Optimizer::Sgd(SGD).update(&layout, &mut parameters, &gradient, &mut moments);
    }
    let alive = alive(&layout, &parameters);
    assert!(favoured.clone().all(|e| alive.contains(&e)), "{alive:?} lacks one of {favoured:?}");
}

#[test]
fn adalora_by_hand() {
    let layout = adaptive(AdaptiveRanks { target_rank: 1, warmup_steps: 0, final_step: 1, orthogonality: 0.0 });
    let tensor = |block: usize, part: &str| {
        let name = format!("encoder.layer.{block}.attention.self.query.lora_{part}");
        layout.tensors().iter().find(|t| t.name == name).expect("a tensor")
    };
    let (mut parameters, mut gradient) = (vec![1.0; layout.len()], vec![0.0; layout.len()]);
    let row = |block, i: usize| tensor(block, "A").offset + 6 * i..tensor(block, "A").offset + 6 * (i + 1);
    // At parameters of 1 a gradient g adds 0.15 * 0.15 * 0.85 g^2. In that unit: a mean of 100 / 6 over one row of A,
    // 3.5^2 of E, 3.2^2 of a column of B, 3.1^2 of a row; and 3^2, 2.9^2, which the budget of four leaves out.
    gradient[row(0, 0).start] = 10.0;
    gradient[tensor(0, "E").offset + 1] = 3.5;
    tensor(0, "B").range().skip(2).step_by(4).for_each(|i| gradient[i] = 3.2);
    gradient[row(0, 3)].fill(3.1);
    gradient[row(1, 0)].fill(3.0);
    gradient[tensor(1, "E").offset + 1] = 2.9;
    let (rule, mut moments) = (Sgd { learning_rate: 0.0, head_learning_rate: 0.0, ..SGD }, Moments::default());
    Optimizer::Sgd(rule).update(&layout, &mut parameters, &gradient, &mut moments);
    assert_eq!(alive(&layout, &parameters), tensor(0, "E").range().collect::<Vec<_>>());
    let at = row(0, 0).start;
    let near = |found: f32, expected: f32| assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
    near(moments.sensitivity[at], 1.5);
    near(moments.uncertainty[at], 0.15 * 8.5);
    Optimizer::Sgd(rule).update(&layout, &mut parameters, &vec![0.0; layout.len()], &mut moments);
    near(moments.sensitivity[at], 0.85 * 1.5);
    near(moments.uncertainty[at], 0.85 * 0.15 * 8.5 + 0.15 * 0.85 * 1.5);
}

#[test]
fn adalora_follows_the_gradient_of_its_penalty() {
    let weight = 0.3;
    let layout = adaptive(AdaptiveRanks { orthogonality: weight, warmup_steps: 100, final_step: 200, ..RANKS });
    let start = noise(7, layout.len());
    let penalty = |parameters: &[f32]| -> f64 {
        let of = |rows: Vec<Vec<f64>>| -> f64 {
            let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(a, b)| a * b).sum::<f64>();
            let excess = |i: usize, k: usize| (dot(&rows[i], &rows[k]) - if i == k { 1.0 } else { 0.0 }).powi(2);
            let pairs = (0..rows.len()).flat_map(|i| (0..rows.len()).map(move |k| (i, k)));
            pairs.map(|(i, k)| excess(i, k)).sum::<f64>().sqrt()
        };
        let matrix = |t: &super::super::TensorSpec| -> Vec<Vec<f64>> {
            let row = |r: &[f32]| r.iter().map(|&x| f64::from(x)).collect();
            parameters[t.range()].chunks(t.shape[1]).map(row).collect()
        };
        let transpose = |m: Vec<Vec<f64>>| (0..m[0].len()).map(|c| m.iter().map(|r| r[c]).collect()).collect();
        let term = |t: &super::super::TensorSpec| match t.name.rsplit('.').next() {
            Some("lora_A") => of(matrix(t)),
            Some("lora_B") => of(transpose(matrix(t))),
            _ => 0.0,
        };
        // Two blocks, two targets, two factors.
        weight / 8.0 * layout.tensors().iter().map(term).sum::<f64>()
    };
    let mut moved = start.clone();
    let rule = Sgd { learning_rate: 1.0, head_learning_rate: 1.0, ..SGD };
    Optimizer::Sgd(rule).update(&layout, &mut moved, &vec![0.0; layout.len()], &mut Moments::default());
    for i in 0..layout.len() {
        let at = |shift: f32| {
            let mut point = start.clone();
            point[i] += shift;
            penalty(&point)
        };
        let slope = (at(1.0 / 128.0) - at(-1.0 / 128.0)) * 64.0;
        let found = f64::from(start[i] - moved[i]);
        assert!((found - slope).abs() < 1e-3 * (1.0 + slope.abs()), "parameter {i}: {found}, not {slope}");
    }
}

#[test]
fn the_loss_scale_halves_on_overflow_and_doubles_after_two_thousand_good_steps() {
    let mut scale = LossScale::default();
    let mut gradient = vec![65_536.0, -32_768.0];
    assert!(scale.unscale(&mut gradient));
    assert_eq!((&gradient[..], scale), (&[1.0, -0.5][..], LossScale { scale: 65_536.0, good_steps: 1 }));
    assert!(!scale.unscale(&mut [1.0, f32::INFINITY]));
    assert_eq!(scale, LossScale { scale: 32_768.0, good_steps: 0 });
    assert!(!scale.unscale(&mut [f32::NAN]));
    assert_eq!(scale.scale, 16_384.0);
    for _ in 0..1_999 {
        assert!(scale.unscale(&mut [1.0]));
    }
    assert_eq!(scale, LossScale { scale: 16_384.0, good_steps: 1_999 });
    assert!(scale.unscale(&mut [1.0]));
    assert_eq!(scale, LossScale { scale: 32_768.0, good_steps: 0 });
}

#[test]
fn moments_survive_the_flat_form_and_nothing_else_passes_for_it() {
    let [m, v, sensitivity, uncertainty] = [vec![0.5, -1.0], vec![2.0, 3.0], vec![0.25], vec![]].map(Numbers::from);
    let loss_scale = LossScale { scale: 1024.0, good_steps: 9 };
    let moments = Moments { m, v, sensitivity, uncertainty, step: 7, run_step: 19, loss_scale };
    let bytes = moments.to_bytes();
    assert_eq!(Moments::from_bytes(&bytes), Some(moments));
    for cut in 0..bytes.len() {
        assert_eq!(Moments::from_bytes(&bytes[..cut]), None, "cut at {cut}");
    }
    assert_eq!(Moments::from_bytes(&[&bytes[..], &[0]].concat()), None);
    let mut lying = bytes;
    lying[16..24].fill(0xFF);
    assert_eq!(Moments::from_bytes(&lying), None);
}
