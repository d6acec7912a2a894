//! Labelled texts with a fixed split into train and test.

use super::error::list;
use super::{DataError, TableOptions, table, vendored};
use std::ops::Range;
use std::path::Path;

/// One text and the index of its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    pub text: String,
    pub label: u32,
}

/// Where a data set's examples come from: the part of `train` and of `test` that one source contributed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    pub name: String,
    pub train: Range<usize>,
    pub test: Range<usize>,
}

/// A text classification data set. `train` and `test` are both non-empty, labels are below `classes.len()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    pub name: String,
    pub classes: Vec<String>,
    pub train: Vec<Example>,
    pub test: Vec<Example>,
    /// One entry for a plain data set, one per part for a joined one; they cover `train` and `test` in order.
    pub domains: Vec<Domain>,
}

impl Dataset {
    /// The data set of this name among [`VENDORED`](super::VENDORED): decompressed from the binary, no file is read.
    pub fn vendored(name: &str) -> Result<Self, DataError> {
        vendored::load(name)
    }

    /// Reads a user's table: see [`TableOptions`] for its columns. The file's name decides how it is read: `.tsv`
    /// (tabs, no quoting) or `.csv` (RFC 4180), each optionally followed by `.gz`. The data set's name is the file's
    /// stem.
    pub fn from_file(path: &Path, options: &TableOptions) -> Result<Self, DataError> {
        table::read(path, options)
    }

    /// Puts data sets with equal classes end to end, one [`Domain`] each: the natural non-IID setting of
    /// [`Partition::Domain`](super::Partition::Domain). Domains of parts that are joined sets themselves stay apart.
    pub fn join(name: &str, parts: Vec<Dataset>) -> Result<Self, DataError> {
        let mut parts = parts.into_iter();
        let mut whole = parts.next().ok_or(DataError::NothingToJoin)?;
        for part in parts {
            if part.classes != whole.classes {
                return Err(DataError::ClassesDiffer {
                    first: whole.name,
                    first_classes: list(&whole.classes),
                    other: part.name,
                    other_classes: list(&part.classes),
                });
            }
            let (train, test) = (whole.train.len(), whole.test.len());
            whole.domains.extend(part.domains.into_iter().map(|d| Domain {
                name: d.name,
                train: d.train.start + train..d.train.end + train,
                test: d.test.start + test..d.test.end + test,
            }));
            whole.train.extend(part.train);
            whole.test.extend(part.test);
        }
        whole.name = name.to_owned();
        Ok(whole)
    }

    /// A set of one domain. The caller has checked the labels and that neither half is empty.
    pub(super) fn single(name: String, classes: Vec<String>, train: Vec<Example>, test: Vec<Example>) -> Self {
        let domains = vec![Domain { name: name.clone(), train: 0..train.len(), test: 0..test.len() }];
        Self { name, classes, train, test, domains }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny(name: &str, classes: [&str; 2], train: usize) -> Dataset {
        let example = |i: usize| Example { text: format!("{name} {i}"), label: (i % 2) as u32 };
        let examples = |n: usize| (0..n).map(example).collect();
        Dataset::single(name.into(), classes.map(String::from).to_vec(), examples(train), examples(2))
    }

    #[test]
    fn joined_domains_point_at_their_own_examples() {
        let parts = vec![tiny("a", ["no", "yes"], 3), tiny("b", ["no", "yes"], 5), tiny("c", ["no", "yes"], 2)];
        let inner = Dataset::join("bc", parts[1..].to_vec()).unwrap();
        let all = Dataset::join("abc", vec![parts[0].clone(), inner]).unwrap();
        assert_eq!((all.train.len(), all.test.len(), all.domains.len()), (10, 6, 3));
        for (domain, part) in all.domains.iter().zip(&parts) {
            assert_eq!(domain.name, part.name);
            assert_eq!(all.train[domain.train.clone()], part.train);
            assert_eq!(all.test[domain.test.clone()], part.test);
        }
    }

    #[test]
    fn sets_with_other_classes_do_not_join() {
        let parts = vec![tiny("a", ["no", "yes"], 3), tiny("b", ["yes", "no"], 3)];
        let message = Dataset::join("ab", parts).unwrap_err().to_string();
        assert!(message.contains("`a` has the classes `no`, `yes`"), "{message}");
        assert!(matches!(Dataset::join("none", vec![]), Err(DataError::NothingToJoin)));
    }
}
