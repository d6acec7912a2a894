//! Rebuilds a byte-level BPE tokenizer (Radford et al. 2019, section 2.2) from the metadata of a GGUF file.
//!
//! Keys: the section Tokenizer of ggml's `docs/gguf.md`. A rule for cutting text into words goes by a name only; its
//! regular expressions are those of `llama-vocab.cpp` in llama.cpp, put together as the published `tokenizer.json` does.

use super::metadata::Metadata;
use crate::data::excerpt;
use crate::fomo::tokenizer::{Tokenizer, TokenizerError};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::template::{SpecialToken, Template, TemplateProcessing};
use tokenizers::{AddedToken, SplitDelimiterBehavior};

const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";
const TOKENS: &str = "tokenizer.ggml.tokens";
const MERGES: &str = "tokenizer.ggml.merges";
const KINDS: &str = "tokenizer.ggml.token_type";

/// Kinds of tokens that are found in a text before anything else is done with it.
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;

/// Llama 3's words: contractions in either case, letters with one character before them, up to three digits.
const LLAMA3_WORDS: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
/// What llama.cpp cuts out, one after the other, where a file names no rule of its own: runs of punctuation, GPT-2's
/// words, runs of digits, threes of digits.
const DEFAULT_CUTS: [&str; 4] = [
    r"[\p{P}\$\+<=>\^~\|]+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    r"\p{N}+",
    "[0-9][0-9][0-9]",
];

/// How text becomes words, and what Hugging Face's tokenizer does beside.
struct Rule {
    words: Vec<PreTokenizerWrapper>,
    /// A word that is a token as a whole is not merged from its bytes.
    whole_words_first: bool,
    /// Whether a text starts with the BOS token unless the file says otherwise.
    add_bos: bool,
}

/// The rule that files call `name`.
fn rule(name: &str) -> Option<Result<Rule, tokenizers::Error>> {
    let gpt2_words = || ByteLevel::new(false, true, true).into();
    let bytes = || PreTokenizerWrapper::from(ByteLevel::new(false, true, false));
    let plain = |words| Rule { words, whole_words_first: false, add_bos: false };
    Some(match name {
        "gpt-2" => Ok(plain(vec![gpt2_words()])),
        "smollm" => Ok(plain(vec![Digits::new(true).into(), gpt2_words()])),
        "llama-bpe" | "llama-v3" | "llama3" => cuts(&[LLAMA3_WORDS]).map(|mut words| {
            words.push(bytes());
            Rule { words, whole_words_first: true, add_bos: true }
        }),
        "default" => cuts(&DEFAULT_CUTS).map(|mut words| {
            words.push(bytes());
            plain(words)
        }),
        _ => return None,
    })
}

/// Steps that each cut what matches one expression away from what lies around it.
fn cuts(expressions: &[&str]) -> Result<Vec<PreTokenizerWrapper>, tokenizers::Error> {
    let cut = |expression: &&str| {
        let pattern = SplitPattern::Regex((*expression).to_owned());
        Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map(PreTokenizerWrapper::from)
    };
    expressions.iter().map(cut).collect()
}

/// `bytes` is the whole file.
pub fn tokenizer(file: &str, bytes: &[u8], metadata: &Metadata) -> Result<Tokenizer, TokenizerError> {
    let description = Description { file, bytes, metadata };
    if metadata.text(MODEL) != Some("gpt2") {
        return Err(description.unsupported(MODEL, "`gpt2` (byte-level BPE)"));
    }
    // Files from before there was such a key: GPT-2's own have its rule.
    let of_gpt2 = metadata.text("general.architecture") == Some("gpt2") && !metadata.has(PRE);
    let name = if of_gpt2 { "gpt-2" } else { metadata.text(PRE).unwrap_or_default() };
    let rule =
        rule(name).ok_or_else(|| description.unsupported(PRE, "`gpt-2`, `smollm`, `llama-bpe` and `default`"))?;
    let rule = rule.map_err(|e| description.unreadable(e.to_string()))?;

    let tokens = description.list(TOKENS)?;
    let mut inner = tokenizers::Tokenizer::new(description.model(&tokens, rule.whole_words_first)?);
    inner.with_pre_tokenizer(Some(Sequence::new(rule.words)));
    let kinds = metadata.integers(bytes, KINDS).unwrap_or_default();
    let of_kind = |kind| -> Vec<AddedToken> {
        let chosen = tokens.iter().zip(&kinds).filter(|(_, k)| **k == kind);
        chosen.map(|(text, _)| AddedToken::from(*text, kind == CONTROL)).collect()
    };
    inner.add_special_tokens(&of_kind(CONTROL));
    inner.add_tokens(&of_kind(USER_DEFINED));
    let bos = description.added_token("bos", rule.add_bos, &tokens)?;
    let eos = description.added_token("eos", false, &tokens)?;
    if bos.is_some() || eos.is_some() {
        let frame = frame(bos, eos).map_err(|cause| description.unreadable(cause))?;
        inner.with_post_processor(Some(frame));
    }
    Ok(Tokenizer::from_parts(file, inner))
}

/// What the metadata says of a tokenizer.
struct Description<'a> {
    file: &'a str,
    bytes: &'a [u8],
    metadata: &'a Metadata,
}

impl<'a> Description<'a> {
    fn unreadable(&self, cause: String) -> TokenizerError {
        TokenizerError::Unreadable { file: self.file.to_owned(), cause }
    }

    fn unsupported(&self, key: &str, known: &'static str) -> TokenizerError {
        let found = self.metadata.text(key).map_or("absent".into(), |t| format!("`{}`", excerpt(t)));
        TokenizerError::Unsupported { file: self.file.to_owned(), key: key.to_owned(), found, known }
    }

    fn list(&self, key: &str) -> Result<Vec<&'a str>, TokenizerError> {
        let list = self.metadata.texts(self.bytes, key);
        list.ok_or_else(|| self.unreadable(format!("metadata `{key}` is not there, or no list of texts")))
    }

    fn model(&self, tokens: &[&str], whole_words_first: bool) -> Result<BPE, TokenizerError> {
        let vocabulary: Vocab = tokens.iter().map(|token| (*token).to_owned()).zip(0..).collect();
        if vocabulary.len() != tokens.len() {
            return Err(self.unreadable(format!("metadata `{TOKENS}` holds a token twice")));
        }
        let merges = self.list(MERGES)?;
        // The space cannot be part of a token: bytes that are no printable character go by another one.
        let pairs = merges.iter().map(|merge| merge.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())));
        let pairs = pairs.collect::<Option<Vec<_>>>();
        let pairs = pairs.ok_or_else(|| self.unreadable(format!("metadata `{MERGES}` holds one that is no pair")))?;
        let model = BPE::builder().vocab_and_merges(vocabulary, pairs).ignore_merges(whole_words_first).build();
        model.map_err(|e| self.unreadable(e.to_string()))
    }

    /// The token `name` (`bos` or `eos`) if every text gets it.
    fn added_token(&self, name: &str, default: bool, tokens: &[&str]) -> Result<Option<SpecialToken>, TokenizerError> {
        if !self.metadata.flag(&format!("tokenizer.ggml.add_{name}_token")).unwrap_or(default) {
            return Ok(None);
        }
        let key = format!("tokenizer.ggml.{name}_token_id");
        let id = self.metadata.whole(&key).and_then(|id| u32::try_from(id).ok());
        let token = id.and_then(|id| Some((id, *tokens.get(id as usize)?)));
        let (id, text) =
            token.ok_or_else(|| self.unreadable(format!("metadata `{key}` is not the number of a token")))?;
        let token = SpecialToken::new(name.to_owned(), vec![id], vec![text.to_owned()]);
        token.map(Some).map_err(|e| self.unreadable(e.to_string()))
    }
}

/// Puts `bos` before and `eos` behind every text.
fn frame(bos: Option<SpecialToken>, eos: Option<SpecialToken>) -> Result<TemplateProcessing, String> {
    let name = |token: &Option<SpecialToken>, name: &'static str| token.as_ref().map(|_| name);
    let pieces: Vec<&str> = [name(&bos, "bos"), Some("$A"), name(&eos, "eos")].into_iter().flatten().collect();
    let tokens: Vec<SpecialToken> = bos.into_iter().chain(eos).collect();
    let frame = TemplateProcessing::builder().single(Template::try_from(pieces)?).special_tokens(tokens).build();
    frame.map_err(|e| e.to_string())
}
