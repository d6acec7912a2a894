//! How much data a local step sees.

use super::check::Check;
use crate::fomo::Architecture;
use crate::scenario::key_path::KeyPath;
use crate::scenario::raw;
use crate::scenario::schema::Workload;

/// [CLS], one token of text, [SEP].
pub(super) const SHORTEST_SEQUENCE: usize = 3;
const LONGEST_SEQUENCE: usize = 65_536;

pub(super) fn workload(
    c: &mut Check,
    raw: raw::Workload,
    architecture: Option<&Architecture>,
    prompt_tokens: usize,
) -> Workload {
    let at = KeyPath::default().key("workload");
    let optimizer = raw.optimizer;
    let batch_size = c.count(&at, "batch_size", raw.batch_size, 16, 1..=65_536);
    if let Some((a, tokens)) = architecture.and_then(|a| Some((a, a.image_tokens()?))) {
        let reason = format!("an image is {tokens} tokens of {}", a.name);
        let sequence_tokens =
            c.count_because(&at, "sequence_tokens", raw.sequence_tokens, tokens, tokens..=tokens, &reason);
        return Workload { batch_size, sequence_tokens, optimizer };
    }
    let (positions, mut reason) = text_positions(architecture);
    if prompt_tokens > 0 && !reason.is_empty() {
        reason += &format!(", of which a prompt takes {prompt_tokens}");
    }
    let most = positions.saturating_sub(prompt_tokens).max(SHORTEST_SEQUENCE);
    let allowed = SHORTEST_SEQUENCE..=most;
    let default = 64.min(most);
    let sequence_tokens = c.count_because(&at, "sequence_tokens", raw.sequence_tokens, default, allowed, &reason);
    Workload { batch_size, sequence_tokens, optimizer }
}

/// Most tokens that a text may have, and why.
pub(super) fn text_positions(architecture: Option<&Architecture>) -> (usize, String) {
    let learned = architecture.and_then(|a| Some((a, a.text_positions()?)));
    // Relative and rotary positions have no end.
    learned.map_or((LONGEST_SEQUENCE, String::new()), |(a, positions)| {
        (positions, format!("{} has {positions} positions", a.name))
    })
}
