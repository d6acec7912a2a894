//! What a model answers with an adapter to given tokens or images, in full, so that another program's answer can be compared.

mod ends;
mod query;

pub use query::Query;

use super::{AdapterError, AdapterFile, NamedModel};
use crate::backend::Cpu;
use crate::nn::{Model, Share};
use ends::Ends;
use serde::Serialize;

/// The answer to one query. The rows of a prompt are left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// The text; empty for an image.
    pub tokens: Vec<u32>,
    /// What the decoder of an encoder-decoder had written, its start token left out; `None` for other models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<Vec<u32>>,
    /// Mean of the last hidden states, `[hidden]`, behind the final norm where the model has one: of all tokens, of those that an
    /// encoder-decoder has written (its start token included), of an image's class token and patches.
    pub hidden_mean: Vec<f64>,
    /// Last hidden state of the last token, `[hidden]`; of an image's class token.
    pub hidden_last: Vec<f64>,
    /// What the adapter's head makes of them, `[outputs]`; for a model that predicts tokens, what it says comes after the last
    /// token, `[vocabulary]`; `None` for an adapter without a head.
    pub logits: Option<Vec<f64>>,
}

/// Answers to `queries` of the model with `adapter`, which was read from `file`.
///
/// # Errors
/// If the adapter does not fit the model, the queries are not of the kind that the model reads, or one is empty, too long or of
/// another vocabulary.
pub fn probe(
    file: &str,
    adapter: &AdapterFile,
    model: &NamedModel,
    queries: &[Query],
) -> Result<Vec<Answer>, AdapterError> {
    let architecture = &model.architecture;
    let layout = adapter.layout_for(file, architecture)?;
    let batch = query::batch(queries, architecture, layout.objective())?;
    let loaded = Model::load(Cpu::<f32>::new(), architecture, layout.objective(), model.weights())?;
    loaded.check_batch(&layout, &batch)?;
    let mut pass = loaded.pass(&layout, &[Share::whole(adapter.parameters(), &batch)], false);
    pass.embed();
    pass.forward_blocks(0..architecture.blocks());
    let (hidden, offsets) = (pass.hidden(), pass.answering_offsets());
    // A prompt is no part of the answer. It stands before what an encoder-decoder reads, not before what it writes.
    let prompt = if batch.decoder.is_some() { 0 } else { layout.prompt_tokens() };
    let ends = Ends { adapter, architecture, source: model.weights() };
    let (normed, width) = (ends.final_norm(&hidden)?, architecture.hidden);
    let output = if ends.predicts_tokens() { Some(ends.output()?) } else { None };
    let mut answers = Vec::with_capacity(queries.len());
    for (query, rows) in queries.iter().zip(offsets.windows(2)) {
        let rows = &normed[(rows[0] + prompt) * width..rows[1] * width];
        let telling = if architecture.image.is_some() { 0 } else { rows.len() - width };
        let (hidden_mean, hidden_last) = (mean_row(rows, width), rows[telling..telling + width].to_vec());
        let logits = match &output {
            Some(output) => Some(ends.token_logits(output, &hidden_last)),
            None => ends.head(&hidden_mean, &hidden_last),
        };
        let (tokens, written) = query.tokens(architecture);
        answers.push(Answer { tokens, written, hidden_mean, hidden_last, logits });
    }
    Ok(answers)
}

fn mean_row(rows: &[f64], width: usize) -> Vec<f64> {
    let count = (rows.len() / width) as f64;
    (0..width).map(|c| rows.iter().skip(c).step_by(width).sum::<f64>() / count).collect()
}
