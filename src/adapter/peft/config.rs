//! `adapter_config.json`, field by field: what a method asks for is checked, what is not there has `peft`'s default.

use super::super::AdapterError;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::path::Path;

/// Characters that make a pattern more than the end of a path.
const REGEX: [char; 13] = ['\\', '*', '+', '?', '[', ']', '(', ')', '{', '}', '|', '^', '$'];

pub(super) struct Config {
    file: String,
    fields: Map<String, Value>,
}

impl Config {
    /// # Errors
    /// If the file cannot be read or holds no JSON object.
    pub fn read(path: &Path) -> Result<Self, AdapterError> {
        let file = path.display().to_string();
        let unreadable = |cause: String| AdapterError::Unreadable { file: file.clone(), cause };
        let text = std::fs::read_to_string(path).map_err(|e| unreadable(e.to_string()))?;
        let fields = serde_json::from_str(&text).map_err(|e| unreadable(format!("it is no JSON object: {e}")))?;
        Ok(Self { file, fields })
    }

    /// The field; `None` if it is absent or null.
    ///
    /// # Errors
    /// If it is of another type.
    pub fn get<T: DeserializeOwned>(&self, field: &str) -> Result<Option<T>, AdapterError> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match T::deserialize(value) {
                Ok(value) => Ok(Some(value)),
                Err(e) => Err(self.refuse(field, e.to_string())),
            },
        }
    }

    /// The field, which must be there.
    pub fn require<T: DeserializeOwned>(&self, field: &str) -> Result<T, AdapterError> {
        self.get(field)?.ok_or_else(|| self.refuse(field, "is missing; is this a folder of peft?".into()))
    }

    /// What is wrong with a field.
    pub fn refuse(&self, field: &str, cause: String) -> AdapterError {
        AdapterError::Config { file: self.file.clone(), field: field.to_owned(), cause }
    }

    /// `error` as a complaint about this file, where it names none.
    pub fn at_fault(&self, error: AdapterError) -> AdapterError {
        match error {
            AdapterError::Nn(cause) => AdapterError::Settings { file: self.file.clone(), cause: cause.to_string() },
            other => other,
        }
    }

    /// # Errors
    /// If one of the fields asks for something: is there and neither null, false, "none" nor empty.
    pub fn must_be_off(&self, fields: &[&str]) -> Result<(), AdapterError> {
        let off = |value: &Value| match value {
            Value::Null => true,
            Value::Bool(on) => !on,
            Value::Number(n) => n.as_f64() == Some(0.0),
            Value::String(text) => text.is_empty() || text == "none",
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
        };
        match fields.iter().find_map(|f| self.fields.get(*f).filter(|v| !off(v)).map(|v| (f, v))) {
            Some((field, value)) => Err(self.refuse(field, format!("is {value}, which deft does not compute"))),
            None => Ok(()),
        }
    }

    /// What a pattern, such as `rank_pattern`, says about the module at `path`.
    ///
    /// # Errors
    /// If its keys are regular expressions beyond the end of a path, or disagree.
    pub fn pattern<T: DeserializeOwned + PartialEq>(&self, field: &str, path: &str) -> Result<Option<T>, AdapterError> {
        let pattern: Map<String, Value> = self.get(field)?.unwrap_or_default();
        let mut found = None;
        for (key, value) in pattern {
            if key.contains(REGEX) {
                let cause = format!("its key `{key}` is a regular expression; write out the modules' paths");
                return Err(self.refuse(field, cause));
            }
            if !is_end_of(&key, path) {
                continue;
            }
            let value = T::deserialize(&value).map_err(|e| self.refuse(field, format!("`{key}`: {e}")))?;
            if found.replace(value).is_some_and(|other| found.as_ref() != Some(&other)) {
                return Err(self.refuse(field, format!("several of its keys fit `{path}` and disagree")));
            }
        }
        Ok(found)
    }
}

/// Whether `end` is the path or its last parts, as `peft` matches modules.
pub(super) fn is_end_of(end: &str, path: &str) -> bool {
    path.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
