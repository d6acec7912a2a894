//! What the tokenizers library (0.22) takes on trust of a `tokenizer.json`. Where it does not hold the library panics, some of
//! it only when it meets a text, or asks for memory that the file merely claims.

use super::charsmap;
use crate::data::excerpt;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Most special tokens that a frame may put around a text; BERT's are 2. A short file can ask for any number of them.
const MOST_SPECIAL: usize = 1024;

/// The parts with such fields.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Parts {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    model: Prefix,
}

#[derive(Default, Deserialize)]
#[serde(expecting = "an object")]
struct Prefix {
    #[serde(default)]
    continuing_subword_prefix: Value,
}

type Fields = Map<String, Value>;

/// Fails where the library would panic; the error is the cause for a message.
pub fn check(bytes: &[u8]) -> Result<(), String> {
    let parts: Parts = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    each("normalizer", "normalizers", &parts.normalizer, &normalizer)?;
    each("pre_tokenizer", "pretokenizers", &parts.pre_tokenizer, &pre_tokenizer)?;
    each("post_processor", "processors", &parts.post_processor, &template)?;
    match parts.model.continuing_subword_prefix {
        Value::String(prefix) if !prefix.is_empty() => merges(bytes, &prefix),
        _ => Ok(()),
    }
}

/// Calls `check` with `part` and with all parts that it is a sequence of, which the field `list` holds. Old files leave the
/// types of parts out, so that fields are what tells them apart.
fn each(name: &str, list: &str, part: &Value, check: &dyn Fn(&Fields) -> Result<(), String>) -> Result<(), String> {
    match part {
        Value::Null => Ok(()),
        Value::Object(fields) => {
            check(fields).map_err(|cause| format!("`{name}`: {cause}"))?;
            match fields.get(list) {
                Some(Value::Array(parts)) => parts.iter().try_for_each(|part| each(name, list, part, check)),
                _ => Ok(()),
            }
        }
        // The library would take a list for the fields of a part, in their order.
        _ => Err(format!("`{name}` holds something that is neither an object nor null")),
    }
}

fn normalizer(fields: &Fields) -> Result<(), String> {
    let precompiled = fields.get("type").is_some_and(|kind| kind == "Precompiled");
    match fields.get("precompiled_charsmap") {
        None if !precompiled => Ok(()),
        Some(Value::String(map)) => {
            charsmap::check(map).map_err(|cause| format!("`precompiled_charsmap` `{}` {cause}", excerpt(map)))
        }
        _ => Err("`precompiled_charsmap` is no text, expected base64".into()),
    }
}

fn pre_tokenizer(fields: &Fields) -> Result<(), String> {
    match fields.get("length").and_then(Value::as_u64) {
        Some(0) => Err("`length` is 0, expected 1 or more".into()),
        _ => Ok(()),
    }
}

/// The template of a single text. That of a pair is never used.
fn template(fields: &Fields) -> Result<(), String> {
    let Some(single) = fields.get("single") else { return Ok(()) };
    let pieces = single.as_array().ok_or("`single` is not a list")?;
    let (mut texts, mut special) = (0, 0);
    for piece in pieces {
        let id = |kind: &str| piece.get(kind)?.get("id")?.as_str();
        match (id("Sequence"), id("SpecialToken")) {
            (Some("A"), None) => texts += 1,
            (Some(other), None) => {
                return Err(format!("`single` holds the sequence `{}`, expected `A`", excerpt(other)));
            }
            (None, Some(name)) => special += special_tokens(fields.get("special_tokens"), name)?,
            _ => return Err("`single` holds a piece that is neither a `Sequence` nor a `SpecialToken`".into()),
        }
    }
    if texts != 1 {
        return Err(format!("`single` holds the sequence `A` {texts} times, expected once"));
    }
    if special > MOST_SPECIAL {
        return Err(format!("`single` adds {special} special tokens to a text, at most {MOST_SPECIAL} are allowed"));
    }
    Ok(())
}

/// How many tokens the special token `name` stands for.
fn special_tokens(known: Option<&Value>, name: &str) -> Result<usize, String> {
    let token = known.and_then(|known| known.get(name));
    let length = |field: &str| Some(token?.get(field)?.as_array()?.len());
    match (length("ids"), length("tokens")) {
        (Some(ids), Some(tokens)) if ids == tokens => Ok(ids),
        (Some(ids), Some(tokens)) => Err(format!(
            "the special token `{}` has {ids} `ids` and {tokens} `tokens`, expected as many",
            excerpt(name)
        )),
        _ => Err(format!(
            "`single` holds the special token `{}`, which `special_tokens` does not list with `ids` and `tokens`",
            excerpt(name)
        )),
    }
}

/// The library cuts the length of `prefix` off the second part of every merge.
fn merges(bytes: &[u8], prefix: &str) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Whole {
        model: Value,
    }
    let whole: Whole = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let merges = whole.model.get("merges").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for (number, merge) in (1..).zip(merges) {
        let second = match merge {
            Value::String(line) => line.rsplit_once(' ').map(|(_, second)| second),
            pair => pair.get(1).and_then(Value::as_str),
        };
        if let Some(second) = second.filter(|second| second.get(prefix.len()..).is_none()) {
            let (second, prefix) = (excerpt(second), excerpt(prefix));
            return Err(format!(
                "`model`: merge {number} ends in `{second}`, which does not begin with `continuing_subword_prefix` `{prefix}`"
            ));
        }
    }
    Ok(())
}
