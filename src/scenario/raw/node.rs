//! Hands a YAML value to serde's derived code, and notes every mistake with its path instead of stopping at the first.
//!
//! A value of the wrong kind is noted and replaced by an empty one of the right kind so that reading can go on; who
//! reads must throw the result away when anything was noted ([`read`] does).

use crate::scenario::error::{Complaint, Issue};
use crate::scenario::key_path::KeyPath;
use crate::scenario::suggest;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, VariantAccess, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_yaml::Value;
use std::cell::RefCell;
use std::fmt;

/// Finding close names and lines for more would only cost time.
const MOST_ISSUES: usize = 100;

/// What a user may write plainly (`rank: 8`) or as a map (`rank: {blocks: [8, 0]}`); the value's kind decides.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename = "PlainOrMap")]
pub(crate) enum PlainOrMap<P, M> {
    Plain(P),
    Map(M),
}

/// Reads `value` as a `T`.
///
/// # Errors
/// Everything that is misspelt or of the wrong kind.
pub(crate) fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Vec<Issue>> {
    let issues = RefCell::new(Vec::new());
    let read = T::deserialize(Node { value, path: KeyPath::default(), issues: &issues });
    let mut issues = issues.into_inner();
    match read {
        Ok(raw) if issues.is_empty() => Ok(raw),
        Err(Halt::Unexpected(allowed)) => {
            issues.push(Issue::value(KeyPath::default(), describe(value), allowed));
            Err(issues)
        }
        _ => Err(issues),
    }
}

/// Ends the reading of a value that cannot be replaced by an empty one.
#[derive(Debug)]
enum Halt {
    /// Already among the issues.
    Noted,
    /// Not yet: what would be allowed, in words.
    Unexpected(String),
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Noted => f.write_str("noted"),
            Self::Unexpected(allowed) => f.write_str(allowed),
        }
    }
}

impl std::error::Error for Halt {}

impl de::Error for Halt {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Unexpected(message.to_string())
    }

    fn invalid_type(_: de::Unexpected, expected: &dyn de::Expected) -> Self {
        Self::Unexpected(expected.to_string())
    }

    fn invalid_value(_: de::Unexpected, expected: &dyn de::Expected) -> Self {
        Self::Unexpected(expected.to_string())
    }
}

/// A value and how one gets to it.
#[derive(Clone)]
struct Node<'a> {
    value: &'a Value,
    path: KeyPath,
    issues: &'a RefCell<Vec<Issue>>,
}

impl<'a> Node<'a> {
    /// Whether there are so many issues that nobody reads one more.
    fn is_hopeless(&self) -> bool {
        self.issues.borrow().len() >= MOST_ISSUES
    }

    fn note(&self, issue: Issue) {
        self.issues.borrow_mut().push(issue);
    }

    fn note_value(&self, allowed: &str) {
        if self.is_hopeless() {
            return;
        }
        let issue = Issue::value(self.path.clone(), describe(self.value), allowed);
        let unit = self.path.last_key().and_then(suggest::unit);
        let help = match (self.value, unit) {
            (Value::String(s), Some(unit)) if s.starts_with(|c: char| c.is_ascii_digit()) => {
                Some(format!("write a plain number; the unit, {unit}, is in the key"))
            }
            (Value::String(s), None) if s.starts_with(|c: char| c.is_ascii_digit()) => {
                Some("write a plain number, without quotes, units or leading zeros".to_owned())
            }
            (Value::Number(_) | Value::Bool(_), _) if allowed == "a word" => {
                Some("put it in quotes to make it a word".to_owned())
            }
            _ => None,
        };
        self.note(issue.help(help));
    }

    fn child(&self, path: KeyPath, value: &'a Value) -> Self {
        Self { value, path, issues: self.issues }
    }

    /// Visits a list, or notes that there is none and visits an empty one.
    fn visit_list<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Halt> {
        let entries: &[Value] = match self.value {
            Value::Sequence(entries) => entries,
            _ => {
                self.note_value("a list");
                &[]
            }
        };
        let nodes = entries.iter().enumerate().map(|(i, v)| self.child(self.path.index(i), v));
        visitor.visit_seq(de::value::SeqDeserializer::new(nodes))
    }

    /// Visits a map's entries with keys among `known` (`None`: any), and notes the other keys.
    fn visit_entries<V: Visitor<'a>>(self, known: Option<&[&str]>, visitor: V) -> Result<V::Value, Halt> {
        let mut entries = Vec::new();
        match self.value {
            Value::Mapping(mapping) => {
                for (key, value) in mapping {
                    let name = key_text(key);
                    match known {
                        Some(known) if !known.contains(&name.as_str()) => self.note_unknown(&name, known),
                        _ => entries.push((name.clone(), self.child(self.path.key(&name), value))),
                    }
                }
            }
            _ => self.note_value(&match known {
                Some(known) => format!("a map with the keys {}", known.join(", ")),
                None => "a map".to_owned(),
            }),
        }
        visitor.visit_map(de::value::MapDeserializer::new(entries.into_iter()))
    }

    fn note_unknown(&self, name: &str, known: &[&str]) {
        if self.is_hopeless() {
            return;
        }
        let help = suggest::for_key(name, known)
            .or_else(|| super::section_of(name).map(|section| format!("`{name}` belongs in {section}")))
            .unwrap_or_else(|| format!("keys here: {}", known.join(", ")));
        self.note(Issue::new(self.path.key(name), Complaint::UnknownKey(name.to_owned())).help(help));
    }

    /// The value as a whole number; `3.0` and `1e3` count.
    fn whole(&self) -> Option<u64> {
        let Value::Number(number) = self.value else { return None };
        // Beyond 2^53 a float stands for several integers.
        let exact = |f: &f64| f.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(f);
        number.as_u64().or_else(|| number.as_f64().filter(exact).map(|f| f as u64))
    }
}

impl<'de> IntoDeserializer<'de, Halt> for Node<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Node<'de> {
    type Error = Halt;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Halt> {
        let node = self.clone();
        let visited = match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(b) => visitor.visit_bool(*b),
            Value::String(s) => visitor.visit_str(s),
            Value::Sequence(_) => self.visit_list(visitor),
            Value::Mapping(_) => self.visit_entries(None, visitor),
            Value::Number(n) => match (self.whole(), n.as_i64(), n.as_f64()) {
                (Some(whole), _, _) => visitor.visit_u64(whole),
                (_, Some(negative), _) => visitor.visit_i64(negative),
                (_, _, Some(f)) if f.is_finite() => visitor.visit_f64(f),
                _ => Err(Halt::Unexpected("a finite number".to_owned())),
            },
            Value::Tagged(_) => Err(Halt::Unexpected("a value without a `!tag`".to_owned())),
        };
        visited.map_err(|halt| {
            if let Halt::Unexpected(allowed) = halt {
                node.note_value(&allowed);
            }
            Halt::Noted
        })
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Halt> {
        match self.whole() {
            Some(n) => visitor.visit_u64(n),
            None => {
                self.note_value("a whole number, 0 or more");
                visitor.visit_u64(0)
            }
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Halt> {
        match self.value.as_f64() {
            Some(f) => visitor.visit_f64(f),
            None => {
                self.note_value("a number");
                visitor.visit_f64(0.0)
            }
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Halt> {
        match self.value {
            Value::String(s) => visitor.visit_str(s),
            _ => {
                self.note_value("a word");
                visitor.visit_str("")
            }
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Halt> {
        self.deserialize_str(visitor)
    }

    /// A key without a value counts as not written.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Halt> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Halt> {
        self.visit_list(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Halt> {
        self.visit_entries(None, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Halt> {
        self.visit_entries(Some(fields), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Halt> {
        if name == "PlainOrMap" {
            return visitor.visit_enum(ByKind(self));
        }
        let word = match self.value {
            Value::String(word) if variants.contains(&word.as_str()) => word,
            Value::String(word) => {
                let issue = Issue::value(self.path.clone(), describe(self.value), variants.join(", "));
                self.note(issue.help(suggest::for_word(word, variants.iter().copied())));
                variants[0]
            }
            _ => {
                self.note_value(&format!("a word: {}", variants.join(", ")));
                variants[0]
            }
        };
        visitor.visit_enum(word.into_deserializer())
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 char bytes byte_buf unit unit_struct newtype_struct tuple
        tuple_struct identifier ignored_any
    }
}

/// Chooses the variant of a [`PlainOrMap`].
struct ByKind<'a>(Node<'a>);

impl<'de> EnumAccess<'de> for ByKind<'de> {
    type Error = Halt;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Halt> {
        let variant = if self.0.value.is_mapping() { "Map" } else { "Plain" };
        let chosen: de::value::StrDeserializer<Halt> = variant.into_deserializer();
        Ok((seed.deserialize(chosen)?, self))
    }
}

impl<'de> VariantAccess<'de> for ByKind<'de> {
    type Error = Halt;

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Halt> {
        seed.deserialize(self.0)
    }

    fn unit_variant(self) -> Result<(), Halt> {
        Ok(())
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Halt> {
        self.0.visit_list(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], v: V) -> Result<V::Value, Halt> {
        self.0.visit_entries(Some(fields), v)
    }
}

/// A key as the position index spells it.
fn key_text(key: &Value) -> String {
    match key {
        Value::String(s) => s.clone(),
        Value::Number(n) => n.to_string(),
        Value::Bool(b) => b.to_string(),
        other => describe(other),
    }
}

/// A value as a message names it.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(b) => format!("{b}"),
        Value::Number(n) => match n.as_f64() {
            Some(f) if !f.is_finite() => f.to_string(),
            _ => n.to_string(),
        },
        Value::String(s) if s.chars().count() > 60 => format!("\"{}...\"", s.chars().take(57).collect::<String>()),
        Value::String(s) => format!("\"{s}\""),
        Value::Sequence(entries) => format!("a list of {}", entries.len()),
        Value::Mapping(_) => "a map".to_owned(),
        Value::Tagged(tagged) => format!("a value tagged {}", tagged.tag),
    }
}
