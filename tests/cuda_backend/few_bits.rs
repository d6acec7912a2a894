//! Frozen matrices that stay in the bits that a checkpoint holds them in: the same losses and gradients, in less memory.

use crate::cuda_device::device;
use crate::cuda_host::Schedule;
use crate::tiny::{MadeUp, architecture, batch, layout, lora, objective, parameters};
use deft::backend::QuantisedMatrix;
use deft::backend::cuda::{Cuda, Purpose};
use deft::fomo::{CheckpointError, Family, TensorSource};
use deft::nn::{
    LoraConfig, LoraVariant, Model, ParameterLayout, PassMemory, PeftMethod, Projection, Selection, SelectiveConfig,
    StackItem,
};

const GROUP: usize = 8;

/// Made-up matrices rounded to few bits, and whether they are handed out so.
struct Rounded {
    bits: u32,
    as_they_are: bool,
}

impl Rounded {
    fn rounded(&self, name: &str, shape: &[usize]) -> Result<Option<QuantisedMatrix>, CheckpointError> {
        let &[_, columns] = shape else { return Ok(None) };
        if columns % GROUP != 0 || !name.starts_with("model.layers") {
            return Ok(None);
        }
        let values = MadeUp.tensor(name, shape)?;
        let levels = if self.bits == 8 { 127.0 } else { 7.0 };
        let scale = |group: &[f32]| group.iter().fold(0.0f32, |most, v| most.max(v.abs())) / levels;
        let scales: Vec<f32> = values.chunks(GROUP).map(scale).collect();
        let whole: Vec<i32> = values.iter().enumerate().map(|(i, v)| (v / scales[i / GROUP]).round() as i32).collect();
        let weights = match self.bits {
            8 => whole.iter().map(|w| *w as u8).collect(),
            _ => whole.as_chunks::<2>().0.iter().map(|[a, b]| (a + 8) as u8 | ((b + 8) as u8) << 4).collect(),
        };
        Ok(Some(QuantisedMatrix { bits: self.bits, columns, group: GROUP, scales, weights }))
    }
}

impl TensorSource for Rounded {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        let Some(matrix) = self.rounded(name, shape)? else { return MadeUp.tensor(name, shape) };
        let whole = |i: usize| match self.bits {
            8 => f32::from(matrix.weights[i] as i8),
            _ => f32::from(matrix.weights[i / 2] >> (4 * (i % 2)) & 15) - 8.0,
        };
        Ok((0..shape[0] * shape[1]).map(|i| matrix.scales[i / GROUP] * whole(i)).collect())
    }

    fn has(&self, name: &str) -> bool {
        MadeUp.has(name)
    }

    fn few_bits(&self, name: &str, shape: [usize; 2]) -> Option<(u32, usize)> {
        self.quantised(name, shape).map(|matrix| (matrix.bits, matrix.group))
    }

    fn quantised(&self, name: &str, shape: [usize; 2]) -> Option<QuantisedMatrix> {
        self.rounded(name, &shape).expect("made up").filter(|_| self.as_they_are)
    }
}

#[test]
fn matrices_in_few_bits_give_the_bits_of_those_in_half_precision() {
    let family = Family::Llama;
    let blocks = architecture(family).blocks();
    let some = lora(&vec![2; blocks], &[Projection::Query, Projection::FfnUp]);
    let full = SelectiveConfig { selection: Selection::Everything, blocks: vec![false, true, true], outside: false };
    for (what, method) in [
        ("lora", PeftMethod::Lora(some.clone())),
        ("dora", PeftMethod::Lora(LoraConfig { variant: LoraVariant::Dora, ..some })),
        ("upper blocks", PeftMethod::Selective(full)),
    ] {
        let layout: ParameterLayout = layout(family, &[method]);
        let (point, batch) = (parameters(&layout, 8), batch(family, &[2, 11, 70], 5));
        for bits in [8, 4] {
            let of = |as_they_are: bool| {
                let cuda = Cuda::new(device(Schedule::default())?, 48 << 20).expect("a little memory");
                let (source, shape) = (Rounded { bits, as_they_are }, architecture(family));
                let model = Model::load(cuda.clone(), &shape, objective(family), &source).expect("the tiny model");
                let item = StackItem { loss_scale: 512.0, ..StackItem::new(&point, &batch) };
                let outcome = model.loss_and_gradients(&layout, &[item]).remove(0);
                Some((outcome, cuda.held_bytes(Purpose::FrozenMatrices)))
            };
            let (Some((few, few_bytes)), Some((half, half_bytes))) = (of(true), of(false)) else { return };
            assert_eq!(few.loss, half.loss, "{what}, {bits} bits");
            assert_eq!(few.gradient, half.gradient, "{what}, {bits} bits");
            assert!(few.gradient.iter().any(|g| *g != 0.0));
            // Memory is rounded up to 256 bytes for each of a block's four matrices and their scales; the estimate knows.
            let estimate = |as_they_are| {
                let source = Rounded { bits, as_they_are };
                PassMemory::new(&architecture(family), 1, None).with_few_bits(&architecture(family), &source).frozen
            };
            let largest = 2 * 24 * 2 * 37;
            let saved = (estimate(false) + largest - estimate(true)) as usize;
            let off = (half_bytes - few_bytes).abs_diff(saved);
            assert!(off <= 256 * 12 * blocks, "{what}, {bits} bits: {few_bytes} of {half_bytes} bytes, {saved} saved");
            assert!(few_bytes < half_bytes && saved > 0);
        }
    }
}
