//! Names of places in a scenario: `technique.split_point`, `devices[0].count`.

use std::fmt;

/// One step down: into a map or into a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// A path from the top of the scenario; the empty path is the scenario itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyPath(Vec<Step>);

impl KeyPath {
    /// Reads a dotted key; list entries may be written `devices[0].count` or `devices.0.count`.
    pub fn parse(dotted: &str) -> Option<Self> {
        let mut steps = Vec::new();
        for part in dotted.split('.') {
            let (name, brackets) = match part.find('[') {
                Some(at) => part.split_at(at),
                None => (part, ""),
            };
            match name.parse() {
                Ok(index) if name.bytes().all(|b| b.is_ascii_digit()) => steps.push(Step::Index(index)),
                _ if name.is_empty() => return None,
                _ => steps.push(Step::Key(name.to_owned())),
            }
            let mut rest = brackets;
            while !rest.is_empty() {
                let (index, after) = rest.strip_prefix('[')?.split_once(']')?;
                steps.push(Step::Index(index.parse().ok()?));
                rest = after;
            }
        }
        Some(Self(steps))
    }

    pub fn key(&self, name: &str) -> Self {
        self.then(Step::Key(name.to_owned()))
    }

    pub fn index(&self, index: usize) -> Self {
        self.then(Step::Index(index))
    }

    fn then(&self, step: Step) -> Self {
        let mut steps = Vec::with_capacity(self.0.len() + 1);
        steps.extend_from_slice(&self.0);
        steps.push(step);
        Self(steps)
    }

    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The last key, whatever list indices follow it: `bandwidth_mhz` of `search.space.bandwidth_mhz[2]`.
    pub fn last_key(&self) -> Option<&str> {
        self.0.iter().rev().find_map(|step| match step {
            Step::Key(name) => Some(name.as_str()),
            Step::Index(_) => None,
        })
    }

    /// The path itself, then each place it lies in, up to the root.
    pub fn with_ancestors(&self) -> impl Iterator<Item = Self> + '_ {
        (0..=self.0.len()).rev().map(|n| Self(self.0[..n].to_vec()))
    }

    pub fn starts_with(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(name) if i == 0 => write!(f, "{name}")?,
                Step::Key(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_a_list_entry_name_the_same_place() {
        let place = KeyPath::default().key("devices").index(0).key("count");
        assert_eq!(KeyPath::parse("devices[0].count"), Some(place.clone()));
        assert_eq!(KeyPath::parse("devices.0.count"), Some(place.clone()));
        assert_eq!(place.to_string(), "devices[0].count");
        assert_eq!(KeyPath::parse("positions_m[3][1]").map(|p| p.to_string()).as_deref(), Some("positions_m[3][1]"));
    }

    #[test]
    fn what_names_no_place_is_refused() {
        for bad in ["", "a..b", ".a", "a.", "a[", "a[x]", "a[1", "a]1[", "a[1]b"] {
            assert_eq!(KeyPath::parse(bad), None, "{bad}");
        }
    }
}
