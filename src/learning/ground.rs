//! What a step or a test runs on: the model itself, or an emulator of it.
//!
//! States are those of the full model throughout. An emulator has exactly its trainable tensors, in the same order, so a
//! state is tuned against the emulator and plugged into the model as it is; [`emulated_layout`] makes sure of that.

use super::LearningError;
use super::backbone::Backbone;
use super::emulated::Emulated;
use super::library::{BackboneKey, DatasetKey, Library, Prefixes};
use crate::fomo::Emulator;
use crate::nn::{Owner, ParameterLayout, PeftMethod, TensorSpec};
use std::sync::Arc;

/// Frozen weights, and where each trainable tensor that goes with them lies in a state.
#[derive(Clone)]
pub(super) struct Ground {
    pub backbone: Arc<Backbone>,
    pub layout: Arc<ParameterLayout>,
    prefixes: Arc<Option<Prefixes>>,
}

impl Ground {
    /// The model of `key`, whose trainable parameters are those of `full`, or its emulator.
    pub fn load(
        library: &Library,
        key: &BackboneKey,
        dataset: &DatasetKey,
        full: &ParameterLayout,
        emulated: Option<&Emulated>,
    ) -> Result<Self, LearningError> {
        let layout = match emulated {
            Some(emulated) => emulated_layout(full, emulated.emulator())?,
            None => full.clone(),
        };
        let backbone = library.model(key, emulated)?;
        let prefixes = library.prefixes(key, emulated, dataset, &layout)?;
        Ok(Self { backbone, layout: Arc::new(layout), prefixes })
    }

    /// Hidden states below the lowest trainable tensor, where any are kept.
    pub fn prefixes(&self) -> Option<&Prefixes> {
        self.prefixes.as_ref().as_ref()
    }
}

/// The layout of the emulator's trainable parameters, which is entry by entry that of the full model: a tensor in block
/// `kept[e]` of the model is the one in block `e` of the emulator.
///
/// # Errors
/// If a tensor of the one has no counterpart at the same place in the other.
pub(super) fn emulated_layout(full: &ParameterLayout, emulator: &Emulator) -> Result<ParameterLayout, LearningError> {
    let methods: Vec<PeftMethod> = full.methods().iter().map(|m| m.on_blocks(emulator.kept())).collect();
    let emulated = ParameterLayout::new(emulator.architecture(), &methods, full.objective())?;
    let in_full = |owner| match owner {
        Owner::Block(own) => Owner::Block(emulator.kept()[own]),
        outside => outside,
    };
    let same = |(f, e): (&TensorSpec, &TensorSpec)| {
        (f.shape, f.offset, f.group, f.owner) == (e.shape, e.offset, e.group, in_full(e.owner))
    };
    let differing = full.tensors().iter().zip(emulated.tensors()).find(|pair| !same(*pair));
    if let Some((tensor, _)) = differing {
        return Err(LearningError::EmulatorLayout { cause: format!("`{}` is not in the emulator", tensor.name) });
    }
    if full.len() != emulated.len() {
        let cause = format!("{} parameters and {}", emulated.len(), full.len());
        return Err(LearningError::EmulatorLayout { cause });
    }
    Ok(emulated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Objective;
    use crate::fomo::{EmulatorSpec, preset};
    use crate::nn::{Selection, SelectiveConfig};

    fn selective(blocks: &[usize], outside: bool) -> PeftMethod {
        let blocks = (0..6).map(|b| blocks.contains(&b)).collect();
        PeftMethod::Selective(SelectiveConfig { selection: Selection::Everything, blocks, outside })
    }

    fn layout_of(methods: &[PeftMethod]) -> (ParameterLayout, Emulator) {
        let minilm = preset("minilm-l6").expect("a known model");
        let layout = ParameterLayout::new(&minilm, methods, Objective::Classification { classes: 2 });
        let spec = EmulatorSpec { keep_blocks: 4, ..EmulatorSpec::whole(6) };
        (layout.expect("it fits"), Emulator::new(&minilm, &spec))
    }

    #[test]
    fn each_tensor_of_the_model_is_at_its_place_in_the_emulator() {
        let (full, emulator) = layout_of(&[selective(&[0, 4, 5], true)]);
        let emulated = emulated_layout(&full, &emulator).expect("blocks 0, 4 and 5 are kept");
        assert_eq!(emulator.kept(), [0, 1, 4, 5]);
        assert_eq!(emulated.len(), full.len());
        let names: Vec<&str> = full.tensors().iter().map(|t| t.name.as_str()).collect();
        let mapped = emulated.tensors().iter().map(|t| match t.name.strip_prefix("encoder.layer.") {
            Some(rest) => {
                let (block, part) = rest.split_once('.').expect("a block and a part");
                format!("encoder.layer.{}.{part}", emulator.kept()[block.parse::<usize>().expect("a number")])
            }
            None => t.name.clone(),
        });
        assert_eq!(mapped.collect::<Vec<_>>(), names);
    }

    #[test]
    fn what_trains_in_a_dropped_block_is_refused() {
        let (full, emulator) = layout_of(&[selective(&[0, 2, 5], false)]);
        let refused = emulated_layout(&full, &emulator).expect_err("block 2 is dropped");
        assert!(refused.to_string().contains("encoder.layer.2."), "{refused}");
    }
}
