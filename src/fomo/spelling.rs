//! The spellings of a tensor's name in published checkpoints.

/// The attribute that holds the base model inside a model with a head, such as `BertForMaskedLM.bert`; a checkpoint
/// saved from one or the other has it or lacks it. Tried in this order.
const WRAPPERS: [&str; 5] = ["bert.", "roberta.", "transformer.", "vit.", "model."];

/// Names of a norm's parameters now, and in the TensorFlow checkpoints from which BERT's were converted.
const NORM_PARAMETERS: [(&str, &str); 2] =
    [("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta")];

/// `name` without its wrapper, if it has one.
pub(super) fn bare(name: &str) -> &str {
    WRAPPERS.iter().find_map(|w| name.strip_prefix(w)).unwrap_or(name)
}

/// All names under which a checkpoint may hold `name`, the most likely first: as asked, without a wrapper, with each.
pub(super) fn spellings(name: &str) -> impl Iterator<Item = String> {
    let bare = bare(name);
    let wrapped = WRAPPERS.iter().map(move |w| format!("{w}{bare}"));
    [name.to_owned(), bare.to_owned()].into_iter().chain(wrapped).flat_map(|spelling| {
        let old = NORM_PARAMETERS.iter().find_map(|(new, old)| Some(format!("{}{old}", spelling.strip_suffix(new)?)));
        std::iter::once(spelling).chain(old)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_as_asked_comes_first() {
        let all: Vec<String> = spellings("embeddings.LayerNorm.bias").collect();
        assert_eq!(all[..2], ["embeddings.LayerNorm.bias", "embeddings.LayerNorm.beta"]);
        assert!(all.contains(&"bert.embeddings.LayerNorm.beta".to_owned()));
        let all: Vec<String> = spellings("model.norm.weight").collect();
        assert_eq!(all[..3], ["model.norm.weight", "norm.weight", "bert.norm.weight"]);
        assert!(spellings("h.0.ln_1.weight").any(|s| s == "transformer.h.0.ln_1.weight"));
    }
}
