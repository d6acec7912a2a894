//! Tokens a second of the learning plane on MiniLM's geometry with made-up weights: `cargo bench --bench lora_step`.
//!
//! Each line is the median of several timed repetitions after one to warm up. A stack of 8 clients of 16 sequences of
//! 24 tokens each is the federated case; 32 sequences of 64 tokens is what `docs/learning_arithmetic.md` compares.

use deft::backend::Cpu;
use deft::data::PackedBatch;
use deft::fomo::{Architecture, CheckpointError, Family, TensorSource};
use deft::nn::{LoraConfig, Model, ParameterLayout, PeftMethod, Projection, StackItem};
use deft::random::Streams;
use std::time::Instant;

struct MadeUp;

impl TensorSource for MadeUp {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        let stream = Streams::new(1, 0).counter(name, "weights");
        let (centre, spread) = if name.ends_with("LayerNorm.weight") { (1.0, 0.0) } else { (0.0, 0.08) };
        let len = shape.iter().product::<usize>() as u64;
        Ok((0..len).map(|i| (centre + spread * (stream.uniform(i) - 0.5)) as f32).collect())
    }
}

fn minilm() -> Architecture {
    Architecture {
        name: "all-MiniLM-L6-v2".into(),
        family: Family::Bert,
        encoder_layers: 6,
        decoder_layers: 0,
        hidden: 384,
        heads: 12,
        kv_heads: 12,
        head_dim: 32,
        ffn: 1536,
        gated_ffn: false,
        vocabulary: 30_522,
        positions: 512,
        token_types: 2,
        image: None,
        norm_eps: 1e-12,
        activation: deft::backend::Activation::Gelu,
        rotary: None,
        relative_positions: None,
        tied_output: false,
    }
}

fn batch(sequences: usize, tokens: usize, seed: u64) -> PackedBatch {
    let stream = Streams::new(seed, 0).counter("bench", "tokens");
    let ids: Vec<u32> = (0..(sequences * tokens) as u64).map(|i| (stream.bits(i) % 30_522) as u32).collect();
    PackedBatch::pack(ids.chunks_exact(tokens).enumerate().map(|(i, s)| (s, (i % 2) as u32)))
}

fn median_seconds(repetitions: usize, mut work: impl FnMut()) -> f64 {
    work();
    let mut times: Vec<f64> = (0..repetitions)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[repetitions / 2]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let architecture = minilm();
    let model = Model::load(Cpu::<f32>::new(), &architecture, &MadeUp)?;
    let lora =
        LoraConfig { rank_per_block: vec![8; 6], alpha: 16.0, targets: vec![Projection::Query, Projection::Value] };
    let layout = ParameterLayout::new(&architecture, &PeftMethod::Lora(lora), 2)?;
    let parameters = layout.initial(&Streams::new(1, 0));

    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
        for (clients, sequences, tokens) in [(8, 16, 24), (1, 32, 64), (1, 16, 24)] {
            let batches: Vec<PackedBatch> = (0..clients).map(|c| batch(sequences, tokens, c)).collect();
            let stack: Vec<StackItem> =
                batches.iter().map(|batch| StackItem { parameters: &parameters, batch }).collect();
            let total = (clients as usize * sequences * tokens) as f64;
            let train = median_seconds(7, || {
                pool.install(|| model.loss_and_gradients(&layout, &stack));
            });
            let forward = median_seconds(7, || {
                pool.install(|| batches.iter().for_each(|b| drop(model.evaluate(&layout, &parameters, b))));
            });
            println!(
                "{threads} threads, {clients} x {sequences} x {tokens}: train {:.0} tokens/s, forward {:.0} tokens/s",
                total / train,
                total / forward
            );
        }
    }
    Ok(())
}
