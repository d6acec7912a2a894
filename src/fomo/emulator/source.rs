//! The tensors of an emulator.

use super::matrix::transposed;
use super::remainder::Remainder;
use super::width::Widths;
use super::{Emulator, quantise};
use crate::fomo::architecture::{Architecture, Family};
use crate::fomo::names::{self, BlockNames};
use crate::fomo::projection::Projection;
use crate::fomo::tensor_source::{CheckpointError, TensorSource};

/// Hands out an emulator's tensors, made from those of the full model. What is pruned is zero, so that shapes stay those of
/// the architecture; sizes and costs count what is left.
pub struct EmulatorSource<'a> {
    emulator: &'a Emulator,
    full: &'a dyn TensorSource,
    blocks: Vec<SourceBlock>,
}

/// A block of the emulator.
struct SourceBlock {
    /// How its tensors' names begin, and those of the block of the full model that it stands for.
    prefix: String,
    full_prefix: String,
    /// The full model's names.
    names: BlockNames,
    /// `None` where it has its full width.
    widths: Option<Widths>,
}

impl<'a> EmulatorSource<'a> {
    pub(super) fn new(emulator: &'a Emulator, full: &'a dyn TensorSource) -> Result<Self, CheckpointError> {
        let mut source = Self { emulator, full, blocks: vec![] };
        for (own, of_full) in emulator.kept.iter().enumerate() {
            let names = BlockNames::new(&emulator.full, *of_full);
            let narrows = emulator.is_compressed(own) && emulator.spec.narrows();
            let weight = |p| source.weight(&names, p);
            let (ffn, heads) = (emulator.spec.ffn_share, emulator.spec.head_share);
            let widths = narrows.then(|| Widths::choose(&emulator.full, ffn, heads, weight)).transpose()?;
            let prefix = BlockNames::new(&emulator.architecture, own).part("");
            let block = SourceBlock { prefix, full_prefix: names.part(""), names, widths };
            source.blocks.push(block);
        }
        Ok(source)
    }

    /// The full model's matrix of a projection, `outputs x inputs`.
    fn weight(&self, names: &BlockNames, projection: Projection) -> Result<Vec<f32>, CheckpointError> {
        let a = &self.emulator.full;
        let (inputs, outputs) = projection.shape(a);
        if let (Some(fused), Some(part)) = (names.fused_qkv(), in_fused(projection)) {
            let values = self.full.tensor(&format!("{fused}.weight"), &[inputs, 3 * outputs])?;
            let all = transposed(&values, inputs, 3 * outputs);
            return Ok(all[part * outputs * inputs..(part + 1) * outputs * inputs].to_vec());
        }
        let name = format!("{}.weight", names.projection(projection));
        match a.family {
            Family::Gpt2 => Ok(transposed(&self.full.tensor(&name, &[inputs, outputs])?, inputs, outputs)),
            _ => self.full.tensor(&name, &[outputs, inputs]),
        }
    }

    /// The emulator's block to which tensor `name` belongs, and what the full model calls the tensor.
    fn place(&self, name: &str) -> (Option<usize>, String) {
        // They belong to a stack of blocks, whichever of its blocks they are stored with.
        let of_stack = [false, true].iter().any(|in_decoder| names::relative_bias(*in_decoder) == name);
        let blocks = self.blocks.iter().enumerate().filter(|_| !of_stack);
        let found = blocks.map(|(own, b)| (own, b, name.strip_prefix(b.prefix.as_str())));
        match found.into_iter().find_map(|(own, b, rest)| Some((own, b, rest?))) {
            Some((own, block, rest)) => (Some(own), format!("{}{rest}", block.full_prefix)),
            None => (None, name.to_owned()),
        }
    }

    /// What becomes of the values of a tensor of block `own`.
    fn of_block(&self, own: usize, full_name: &str, values: Vec<f32>) -> Vec<f32> {
        use Projection::{Key, Query, Value};
        let (block, a) = (&self.blocks[own], &self.emulator.full);
        if let Some(fused) = block.names.fused_qkv().filter(|fused| is_parameter_of(full_name, fused)) {
            return self.of_module(own, full_name, &fused, &[Query, Key, Value], values);
        }
        for projection in Projection::of(a) {
            for module in [block.names.projection(projection), block.names.cross_projection(projection)] {
                if is_parameter_of(full_name, &module) {
                    return self.of_module(own, full_name, &module, &[projection], values);
                }
            }
        }
        values
    }

    /// What becomes of a weight or bias of `module`, which holds these projections one after another.
    fn of_module(
        &self,
        own: usize,
        full_name: &str,
        module: &str,
        projections: &[Projection],
        values: Vec<f32>,
    ) -> Vec<f32> {
        let a = &self.emulator.full;
        let (inputs, outputs) = projections[0].shape(a);
        let all = outputs * projections.len();
        if full_name.strip_prefix(module) == Some(".bias") {
            let parts = values.chunks(outputs).zip(projections);
            return parts.flat_map(|(part, p)| self.of_bias(own, *p, part)).collect();
        }
        let by_outputs = if a.family == Family::Gpt2 { transposed(&values, inputs, all) } else { values };
        let parts = by_outputs.chunks(outputs * inputs).zip(projections);
        let done: Vec<f32> = parts.flat_map(|(part, p)| self.of_matrix(own, *p, part)).collect();
        if a.family == Family::Gpt2 { transposed(&done, all, inputs) } else { done }
    }

    fn of_bias(&self, own: usize, projection: Projection, values: &[f32]) -> Vec<f32> {
        match &self.blocks[own].widths {
            None => values.to_vec(),
            Some(widths) => {
                let left = widths.rows(&self.emulator.full, projection);
                values.iter().zip(left).map(|(value, left)| if left { *value } else { 0.0 }).collect()
            }
        }
    }

    /// Narrower, in two factors, rounded: as far as the emulator's block is.
    fn of_matrix(&self, own: usize, projection: Projection, values: &[f32]) -> Vec<f32> {
        let remainder = self.of_projection(own, projection);
        remainder.tensor(&remainder.of(values))
    }

    /// What is left of a projection's matrix.
    fn of_projection(&self, own: usize, projection: Projection) -> Remainder {
        let (a, spec): (&Architecture, _) = (&self.emulator.full, &self.emulator.spec);
        let (inputs, outputs) = projection.shape(a);
        let (rows, columns) = match &self.blocks[own].widths {
            Some(widths) => (widths.rows(a, projection), widths.columns(a, projection)),
            None => (vec![true; outputs], vec![true; inputs]),
        };
        let rank = spec.rank.filter(|_| self.emulator.is_compressed(own));
        Remainder::new(rows, columns, rank, self.emulator.bits(own))
    }

    /// What is left of the tensor `name` of block `own`, `[rows, columns]`, as the emulator's model is laid out: a matrix a
    /// projection, `[outputs, inputs]`, in every family.
    pub fn remainder(&self, own: usize, name: &str, [rows, columns]: [usize; 2]) -> Remainder {
        let (a, names) = (&self.emulator.full, BlockNames::new(&self.emulator.architecture, own));
        for projection in Projection::of(a) {
            for module in [names.projection(projection), names.cross_projection(projection)] {
                match name.strip_prefix(module.as_str()) {
                    Some(".weight") => return self.of_projection(own, projection),
                    Some(".bias") => {
                        let left = self.blocks[own].widths.as_ref().map(|widths| widths.rows(a, projection));
                        return Remainder::new(vec![true], left.unwrap_or(vec![true; columns]), None, None);
                    }
                    _ => {}
                }
            }
        }
        Remainder::whole(rows, columns)
    }
}

/// Place of a projection where queries, keys and values are in one matrix.
fn in_fused(projection: Projection) -> Option<usize> {
    [Projection::Query, Projection::Key, Projection::Value].iter().position(|p| *p == projection)
}

fn is_parameter_of(name: &str, module: &str) -> bool {
    matches!(name.strip_prefix(module), Some(".weight" | ".bias"))
}

impl TensorSource for EmulatorSource<'_> {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        let (block, full_name) = self.place(name);
        let mut values = self.full.tensor(&full_name, shape)?;
        let is_table = [names::words(self.emulator.full.family), names::OUTPUT].contains(&name);
        match (block, self.emulator.table_bits()) {
            (Some(own), _) if self.emulator.alters(own) => Ok(self.of_block(own, &full_name, values)),
            (None, Some(bits)) if is_table => {
                quantise::round_to_nearest(&mut values, shape.last().copied().unwrap_or(1), bits);
                Ok(values)
            }
            _ => Ok(values),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.full.has(&self.place(name).1)
    }

    fn own_output(&self, words: &str) -> Option<String> {
        self.full.own_output(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fomo::emulator::low_rank;
    use crate::fomo::emulator::{EmulatorSpec, Quantisation, QuantisationScope};
    use crate::fomo::{RandomWeights, preset};
    use crate::random::Streams;

    /// A model of four blocks of the family of `name`, small enough to look at.
    fn small(name: &str) -> Architecture {
        let a = preset(name).expect("a known model");
        let (encoder_layers, decoder_layers) = match (a.encoder_layers, a.decoder_layers) {
            (0, _) => (0, 4),
            (_, 0) => (4, 0),
            _ => (2, 2),
        };
        let heads = Architecture { heads: 4, kv_heads: if a.family == Family::Llama { 2 } else { 4 }, ..a };
        Architecture { hidden: 16, head_dim: 4, ffn: 24, vocabulary: 50, encoder_layers, decoder_layers, ..heads }
    }

    fn weights() -> RandomWeights {
        RandomWeights::new(Streams::new(4, 0))
    }

    /// A projection's matrix in block `own` of the emulator, by way of the emulator's own names.
    fn matrix(emulator: &Emulator, source: &EmulatorSource, own: usize, projection: Projection) -> Vec<f32> {
        let names = BlockNames::new(emulator.architecture(), own);
        let whole = Emulator::new(emulator.architecture(), &EmulatorSpec::whole(emulator.architecture().blocks()));
        let reader = EmulatorSource { emulator: &whole, full: source, blocks: vec![] };
        reader.weight(&names, projection).expect("a matrix")
    }

    #[test]
    fn every_family_gets_narrower_along_whole_paths() {
        for name in ["minilm-l6", "roberta-base", "gpt2", "llama-7b", "vit-b-16", "t5-base"] {
            let a = small(name);
            let head_share = if a.family == Family::T5 { 1.0 } else { 0.5 };
            let emulator = Emulator::new(&a, &EmulatorSpec { ffn_share: 0.25, head_share, ..EmulatorSpec::whole(4) });
            let full = weights();
            let source = emulator.source(&full).expect("random weights have everything");
            for own in 0..4 {
                let zero_rows = |p: Projection| -> Vec<bool> {
                    let (inputs, _) = p.shape(&a);
                    matrix(&emulator, &source, own, p).chunks(inputs).map(|r| r.iter().all(|v| *v == 0.0)).collect()
                };
                let zero_columns = |p: Projection| -> Vec<bool> {
                    let (inputs, outputs) = p.shape(&a);
                    let columns = transposed(&matrix(&emulator, &source, own, p), outputs, inputs);
                    columns.chunks(outputs).map(|c| c.iter().all(|v| *v == 0.0)).collect()
                };
                let zeros = |flags: &[bool]| flags.iter().filter(|z| **z).count();
                let middle = (1..3).contains(&own);
                assert_eq!(zeros(&zero_rows(Projection::FfnUp)), if middle { 18 } else { 0 }, "{name} {own}");
                assert_eq!(zero_rows(Projection::FfnUp), zero_columns(Projection::FfnDown), "{name} {own}");
                assert_eq!(zero_rows(Projection::Query), zero_columns(Projection::AttentionOutput), "{name} {own}");
                let narrower = middle && head_share < 1.0;
                assert_eq!(zeros(&zero_rows(Projection::Query)), if narrower { 8 } else { 0 }, "{name} {own}");
                assert_eq!(zeros(&zero_rows(Projection::Value)), if narrower { a.kv_heads * 2 } else { 0 }, "{name}");
                if a.gated_ffn {
                    assert_eq!(zero_rows(Projection::FfnGate), zero_rows(Projection::FfnUp), "{name} {own}");
                }
            }
        }
    }

    #[test]
    fn the_middle_is_what_svd_and_rounding_make_of_the_models_own_block() {
        for name in ["minilm-l6", "gpt2"] {
            let a = small(name);
            let quantisation = Some(Quantisation { bits: 4, scope: QuantisationScope::Middle });
            let spec = EmulatorSpec { keep_blocks: 3, rank: Some(3), quantisation, ..EmulatorSpec::whole(4) };
            let (emulator, full) = (Emulator::new(&a, &spec), weights());
            let source = emulator.source(&full).expect("random weights have everything");
            assert_eq!(emulator.kept(), [0, 1, 3]);
            let plain = Emulator::new(&a, &EmulatorSpec::whole(4));
            let plain_source = plain.source(&full).expect("random weights have everything");
            for projection in [Projection::Key, Projection::FfnUp, Projection::FfnDown] {
                let (inputs, outputs) = projection.shape(&a);
                let original = matrix(&plain, &plain_source, 1, projection);
                let mut factors = low_rank::truncated_svd(&original, outputs, inputs, 3);
                quantise::round_to_nearest(&mut factors.left, 3, 4);
                quantise::round_to_nearest(&mut factors.right, inputs, 4);
                assert_eq!(matrix(&emulator, &source, 1, projection), factors.product(), "{name} {projection:?}");
                let last = matrix(&plain, &plain_source, 3, projection);
                assert_eq!(matrix(&emulator, &source, 2, projection), last, "{name}: the end stays");
            }
        }
    }

    #[test]
    fn everything_means_tables_and_ends_too() {
        let a = small("minilm-l6");
        let quantisation = Some(Quantisation { bits: 4, scope: QuantisationScope::Everything });
        let (emulator, full) = (Emulator::new(&a, &EmulatorSpec { quantisation, ..EmulatorSpec::whole(4) }), weights());
        let source = emulator.source(&full).expect("random weights have everything");
        let name = names::words(a.family);
        let mut table = full.tensor(name, &[50, 16]).expect("a table");
        quantise::round_to_nearest(&mut table, 16, 4);
        assert_eq!(source.tensor(name, &[50, 16]).expect("a table"), table);
        let values = |s: &dyn TensorSource, name: &str, shape: &[usize]| s.tensor(name, shape).expect("a tensor");
        let (matrix, bias) = ("encoder.layer.0.output.dense.weight", "encoder.layer.0.output.dense.bias");
        assert_ne!(values(&source, matrix, &[16, 24]), values(&full, matrix, &[16, 24]));
        assert_eq!(values(&source, bias, &[16]), values(&full, bias, &[16]));
    }

    #[test]
    fn biases_of_a_stack_stay_with_the_stack() {
        let a = Architecture { encoder_layers: 3, decoder_layers: 3, ..small("t5-base") };
        let emulator = Emulator::new(&a, &EmulatorSpec { keep_blocks: 3, ..EmulatorSpec::whole(6) });
        assert_eq!((emulator.kept(), emulator.architecture().encoder_layers), (&[0, 2, 5][..], 2));
        let full = weights();
        let source = emulator.source(&full).expect("random weights have everything");
        // The decoder's only block is its last; its table is stored with the one that was its first.
        let table = names::relative_bias(true);
        assert_eq!(source.place(&table), (None, table.clone()));
        assert_eq!(
            source.place("decoder.block.0.layer.2.layer_norm.weight").1,
            "decoder.block.2.layer.2.layer_norm.weight"
        );
        assert_eq!(source.place("encoder.block.1.layer.0.SelfAttention.q.weight").0, Some(1));
    }
}
