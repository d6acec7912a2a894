//! Reads fields of a JSON object with the strictness that a model's configuration needs.

use super::ConfigError;
use serde_json::{Map, Value};

/// A width or a count of rows larger than any model's: keeps a wrong file from asking for all memory.
pub const LARGEST_SIZE: usize = 1 << 24;
/// More layers, or heads, than any model has.
pub const LARGEST_COUNT: usize = 1 << 12;

/// A JSON object and how messages call it. A field that is `null` counts as absent, as in Hugging Face's configurations.
pub struct Fields<'a> {
    file: &'a str,
    /// Before the names of fields in messages: empty, or the path of a nested object with a dot.
    path: &'static str,
    object: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub fn new(file: &'a str, object: &'a Map<String, Value>) -> Self {
        Self { file, path: "", object }
    }

    /// The object in field `name`; `path` is how messages start the names of its fields.
    pub fn nested(&self, name: &str, path: &'static str) -> Result<Option<Self>, ConfigError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(Self { file: self.file, path, object })),
            Some(_) => Err(self.unsupported(name, "an object")),
        }
    }

    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    pub fn is_empty(&self) -> bool {
        self.object.is_empty()
    }

    pub fn says_the_same_as(&self, other: &Self) -> bool {
        self.object == other.object
    }

    /// Whether the field is there and says `null`.
    pub fn is_null(&self, name: &str) -> bool {
        self.object.get(name).is_some_and(Value::is_null)
    }

    /// The error that field `name` is not as expected.
    pub fn unsupported(&self, name: &str, expected: impl Into<String>) -> ConfigError {
        let found = self.object.get(name).map_or("absent".into(), |value| match value {
            Value::String(text) => format!("`{text}`"),
            other => other.to_string(),
        });
        let (file, field) = (self.file.to_owned(), format!("{}{name}", self.path));
        ConfigError::Unsupported { file, field, found, expected: expected.into() }
    }

    fn missing(&self, name: &str) -> ConfigError {
        ConfigError::Missing { file: self.file.to_owned(), field: format!("{}{name}", self.path) }
    }

    /// A whole number from 1 to `largest`.
    pub fn size(&self, name: &str, largest: usize) -> Result<usize, ConfigError> {
        let value = self.get(name).ok_or_else(|| self.missing(name))?;
        let size = value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| (1..=largest).contains(n));
        size.ok_or_else(|| self.unsupported(name, format!("a whole number from 1 to {largest}")))
    }

    /// A size, or `default` if the field is absent.
    pub fn size_or(&self, name: &str, largest: usize, default: usize) -> Result<usize, ConfigError> {
        if self.get(name).is_none() { Ok(default) } else { self.size(name, largest) }
    }

    /// A finite number above 0, or `default` if the field is absent.
    pub fn positive(&self, name: &str, default: Option<f64>) -> Result<f64, ConfigError> {
        let Some(value) = self.get(name) else { return default.ok_or_else(|| self.missing(name)) };
        let number = value.as_f64().filter(|n| n.is_finite() && *n > 0.0);
        number.ok_or_else(|| self.unsupported(name, "a number above 0"))
    }

    /// The epsilon of a norm.
    pub fn epsilon(&self, name: &str) -> Result<f64, ConfigError> {
        let epsilon = self.positive(name, None)?;
        if epsilon < 1.0 { Ok(epsilon) } else { Err(self.unsupported(name, "a number between 0 and 1")) }
    }

    pub fn flag(&self, name: &str, default: bool) -> Result<bool, ConfigError> {
        self.get(name)
            .map_or(Ok(default), |value| value.as_bool().ok_or_else(|| self.unsupported(name, "`true` or `false`")))
    }

    /// Fails unless the field is absent or has the one value that `deft` computes.
    pub fn only(&self, name: &str, expected: impl Into<Value>) -> Result<(), ConfigError> {
        let expected = expected.into();
        // As numbers, 1 and 1.0 are the same.
        let equal = |value: &Value| *value == expected || value.as_f64().is_some_and(|v| expected.as_f64() == Some(v));
        match self.get(name) {
            Some(value) if !equal(value) => Err(self.unsupported(name, expected.to_string().replace('"', "`"))),
            _ => Ok(()),
        }
    }

    /// Which of the texts in `known` the field holds, `default` standing for an absent field.
    pub fn one_of<T: Copy>(&self, name: &str, default: Option<T>, known: &[(&str, T)]) -> Result<T, ConfigError> {
        let Some(value) = self.get(name) else { return default.ok_or_else(|| self.missing(name)) };
        let found = known.iter().find(|(text, _)| value.as_str() == Some(text));
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let names: Vec<String> = known.iter().map(|(text, _)| format!("`{text}`")).collect();
            self.unsupported(name, names.join(" or "))
        })
    }

    /// The size of one head: `width` in field `width_name`, divided by `heads` in field `name`.
    pub fn divided(&self, name: &str, heads: usize, width_name: &str, width: usize) -> Result<usize, ConfigError> {
        let expected = || format!("a divisor of {width_name}, {width}");
        if width.is_multiple_of(heads) { Ok(width / heads) } else { Err(self.unsupported(name, expected())) }
    }
}
