//! Where the methods of a scenario put trainable parameters.

use super::peft::{PeftMethod, PeftSpec};

impl PeftSpec {
    /// Whether something trains in block `block` of `blocks`.
    pub fn trains_block(&self, block: usize, blocks: usize) -> bool {
        self.methods().any(|method| trains_block(method, block, blocks))
    }

    /// Whether something trains before the first block.
    pub fn trains_input(&self) -> bool {
        self.methods().any(|method| match method {
            PeftMethod::Prompt { .. } | PeftMethod::Full => true,
            PeftMethod::Bitfit(own) | PeftMethod::LayerNorm(own) | PeftMethod::Selective(own) => own.outside_blocks,
            _ => false,
        })
    }
}

fn trains_block(method: &PeftMethod, block: usize, blocks: usize) -> bool {
    match method {
        PeftMethod::Lora(lora) | PeftMethod::Dora(lora) => lora.rank.per_block(&lora.blocks, blocks)[block] > 0,
        PeftMethod::AdaLora(ada) => ada.lora.rank.per_block(&ada.lora.blocks, blocks)[block] > 0,
        PeftMethod::Adapter { bottleneck: adapter, .. } | PeftMethod::ParallelAdapter(adapter) => {
            adapter.bottleneck.per_block(&adapter.blocks, blocks)[block] > 0
        }
        PeftMethod::Prefix { tokens, blocks: chosen } => tokens.per_block(chosen, blocks)[block] > 0,
        PeftMethod::Ia3 { blocks: chosen } => chosen.per_block(blocks)[block],
        PeftMethod::Bitfit(own) | PeftMethod::LayerNorm(own) | PeftMethod::Selective(own) => {
            own.blocks.per_block(blocks)[block]
        }
        PeftMethod::Full => true,
        PeftMethod::Prompt { .. } | PeftMethod::HeadOnly => false,
    }
}
