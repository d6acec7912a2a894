//! Pairs of low rank beside products, plain and with extras.
//!
//! A pair beside a product of `inputs` x `outputs` has rank x (inputs + outputs) parameters, each used in one multiply-add
//! a token. Attention targets of a decoder block stand beside its cross-attention too, whose keys and values read the
//! encoder's output.

use super::peft_shape::{BlockPeft, PeftShape, Rates};
use super::stage::Stage;
use crate::fomo::architecture::Architecture;
use crate::fomo::projection::Projection;

/// What a pair has beyond its two factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extra {
    None,
    /// One number an output (DoRA).
    Magnitudes,
    /// One number a rank (AdaLoRA).
    SingularValues,
}

pub(super) fn shape(a: &Architecture, ranks: &[usize], targets: &[Projection], extra: Extra) -> PeftShape {
    let block = |(i, rank): (usize, &usize)| Pairs { a, rank: *rank as u64, extra }.block(i, targets);
    PeftShape { blocks: ranks.iter().enumerate().map(block).collect(), ..PeftShape::default() }
}

/// What dropout before the pairs costs: each reads the inputs and writes what is left of them, and again in either gradient,
/// for masks are drawn anew, not kept. A forward pass of inference would not; where pairs drop, all are of training.
pub(super) fn dropout(a: &Architecture, ranks: &[usize], targets: &[Projection]) -> PeftShape {
    use Projection::{AttentionOutput, Key, Query, Value};
    let dropped = |targets: &[&Projection]| Rates {
        elements: targets.iter().map(|target| 2 * target.shape(a).0 as u64).sum(),
        ..Rates::default()
    };
    let block = |(i, rank): (usize, &usize)| {
        if *rank == 0 {
            return BlockPeft::default();
        }
        let mut own: Vec<&Projection> = targets.iter().collect();
        let mut of_source = vec![];
        if a.has_cross_attention(i) {
            own.extend(targets.iter().filter(|p| matches!(p, Query | AttentionOutput)));
            of_source.extend(targets.iter().filter(|p| matches!(p, Key | Value)));
        }
        let kernels = (own.len() + of_source.len()) as u32;
        let (per_token, per_source_token) = (dropped(&own), dropped(&of_source));
        BlockPeft { per_token, per_source_token, kernels, ..BlockPeft::default() }
    };
    PeftShape { blocks: ranks.iter().enumerate().map(block).collect(), ..PeftShape::default() }
}

struct Pairs<'a> {
    a: &'a Architecture,
    rank: u64,
    extra: Extra,
}

impl Pairs<'_> {
    fn block(&self, index: usize, targets: &[Projection]) -> BlockPeft {
        use Projection::{AttentionOutput, FfnDown, FfnGate, FfnUp, Key, Query, Value};
        let mut block = BlockPeft::default();
        if self.rank == 0 {
            return block;
        }
        let targeted = |group: &[Projection]| -> Vec<Projection> {
            group.iter().copied().filter(|p| targets.contains(p)).collect()
        };
        // One entry for each matrix of activations that pairs read: it is kept once, however many read it.
        let own = [
            (Stage::QueryKeyValue, &[Query, Key, Value][..]),
            (Stage::AttentionOutput, &[AttentionOutput]),
            (Stage::FfnUp, &[FfnGate, FfnUp]),
            (Stage::FfnDown, &[FfnDown]),
        ];
        let cross = [(Stage::CrossQueryKeyValue, &[Query][..]), (Stage::CrossOutput, &[AttentionOutput])];
        let crossing = self.a.has_cross_attention(index);
        for (stage, group) in own.into_iter().chain(cross.into_iter().filter(|_| crossing)) {
            let product = self.outputs(group);
            let group = targeted(group);
            if !group.is_empty() && (block.added == 0 || stage < block.lowest) {
                block.lowest = stage;
            }
            block.per_token = block.per_token.plus(self.beside(&mut block, &group, product));
            block.input_flops[stage] += self.input_flops(&group);
            if stage != Stage::FfnDown {
                block.shared_inputs[0] += self.input(&group);
            }
        }
        if crossing {
            let group = targeted(&[Key, Value]);
            block.per_source_token = self.beside(&mut block, &group, self.outputs(&[Key, Value]));
            block.source_input_flops = self.input_flops(&group);
            block.shared_inputs[1] = self.input(&group);
        }
        block.trainable = block.added;
        block
    }

    /// FLOPs a token of the gradient of what the pairs beside `targets` read.
    fn input_flops(&self, targets: &[Projection]) -> f64 {
        targets.iter().map(|target| (2 * self.rank * target.shape(self.a).0 as u64) as f64).sum()
    }

    /// Width of what the pairs beside `targets` read, if there are any.
    fn input(&self, targets: &[Projection]) -> u64 {
        targets.first().map_or(0, |target| target.shape(self.a).0 as u64)
    }

    /// Width of the product that those of `group` share which the architecture has.
    fn outputs(&self, group: &[Projection]) -> u64 {
        let has = |target: &&Projection| self.a.gated_ffn || **target != Projection::FfnGate;
        group.iter().filter(has).map(|target| target.shape(self.a).1 as u64).sum()
    }

    /// Puts a pair beside each of `targets`, which read the same input and share a product `product` wide; what that costs a
    /// token.
    fn beside(&self, block: &mut BlockPeft, targets: &[Projection], product: u64) -> Rates {
        let rank = self.rank;
        let mut rates = Rates::default();
        for target in targets {
            let (inputs, outputs) = target.shape(self.a);
            let (inputs, outputs) = (inputs as u64, outputs as u64);
            let pair = rank * (inputs + outputs);
            block.added += pair;
            block.kernels += 2;
            // The second product adds to what is there.
            rates = rates.plus(Rates {
                flops: (2 * pair) as f64,
                elements: inputs + 2 * rank + 2 * outputs,
                reduced: 0,
                stored: rank,
            });
            match self.extra {
                Extra::None => {}
                Extra::Magnitudes => {
                    block.added += outputs;
                    // The product of the factors, its sum with the weights, the norms of its rows, their use.
                    block.kernels += 4;
                    block.flops_per_pass += (2 * rank * inputs * outputs) as f64;
                    block.weights_per_pass += inputs * outputs;
                    let used = Rates { flops: 0.0, elements: 2 * outputs, reduced: 2 * outputs, stored: 0 };
                    rates = rates.plus(used);
                }
                Extra::SingularValues => {
                    block.added += rank;
                    block.kernels += 1;
                    rates = rates.plus(Rates { flops: 0.0, elements: 2 * rank, reduced: 2 * rank, stored: rank });
                }
            }
        }
        rates.stored += self.input(targets);
        if self.extra == Extra::Magnitudes && !targets.is_empty() {
            rates.stored += product;
        }
        rates
    }
}
