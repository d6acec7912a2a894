//! What prompts cost on hardware and network: keys, queries, answers, and passes that only look.

use super::{Demand, DeviceId, Lost, World};
use crate::fomo::BatchShape;
use crate::scenario::QueryForm;

/// UTF-8 of a token of text. Assumed, as for raw data without training.
const TEXT_BYTES_PER_TOKEN: u64 = 2;

impl Demand {
    /// Size on the network of all trainable parameters but the head's.
    pub fn prompt_bytes(&self) -> u64 {
        let below_the_head = self.cost().device_side(self.blocks());
        self.cost().segment_trainable_parameters(&below_the_head) * self.precision().bytes()
    }

    /// Size of a key: one hidden state.
    pub fn key_bytes(&self) -> u64 {
        self.cost().architecture().hidden as u64 * self.precision().bytes()
    }

    /// What one query sends up.
    pub fn query_bytes(&self, form: QueryForm, query: &BatchShape) -> u64 {
        match form {
            QueryForm::Text => TEXT_BYTES_PER_TOKEN * query.tokens,
            QueryForm::Embeddings => self.key_bytes() * query.tokens,
        }
    }

    /// What comes back: the class.
    pub fn answer_bytes(&self, query: &BatchShape) -> u64 {
        self.cost().label_bytes(query)
    }
}

impl World {
    /// A forward pass of the whole model on the device that trains nothing.
    pub async fn infer_on_device(&self, device: DeviceId, batch: &BatchShape) -> Result<(), Lost> {
        let work = self.demand.forward(&self.demand.cost().whole(), batch);
        self.compute_on_device(device, "infer", &[work], self.demand.device_memory_bytes(batch)).await
    }

    /// A forward pass of the whole model at the device's edge server, in its queue.
    pub async fn infer_at_edge(&self, device: DeviceId, batch: &BatchShape) {
        let server = self.device(device).server.get();
        let work = self.demand.forward(&self.demand.cost().whole(), batch);
        self.work_at_edge(server, &[device], &[work]).await;
    }
}
