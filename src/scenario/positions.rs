//! Where each key and value of a YAML text stands, and whether the text has a shape that is worth reading at all.
//!
//! The values themselves are read by `serde_yaml`, which keeps no positions and reports a duplicate key at 1:1. This
//! module walks the same text once more with a parser that does keep them. It knows nothing of scenarios.

use super::error::{Complaint, Issue, Side};
use super::key_path::{KeyPath, Step};
use saphyr_parser::{Event, Marker, Parser, Span, StrInput};
use std::collections::{BTreeMap, HashMap};

/// No scenario needs more levels; parsers recurse on them.
const DEPTH_LIMIT: usize = 64;
/// Values that aliases (`*name`) may add up to, so that a few lines cannot stand for millions.
const ALIASED_VALUES_LIMIT: usize = 10_000;

/// One of 100,000 cells and as many servers has two million when its links are written out; each takes some hundred bytes
/// while it is read.
const VALUES_LIMIT: usize = 3_000_000;

/// A position in the text, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub line: usize,
    pub column: usize,
}

impl From<Marker> for Mark {
    fn from(m: Marker) -> Self {
        Self { line: m.line(), column: m.col() + 1 }
    }
}

/// Positions of one value, of its key if it lies in a map, and of everything inside.
#[derive(Clone, Debug)]
pub(crate) struct Spot {
    pub key: Option<Mark>,
    pub value: Mark,
    inside: Inside,
    /// This value and all below it.
    size: usize,
}

#[derive(Clone, Debug)]
enum Inside {
    Nothing,
    List(Vec<Spot>),
    Map(Vec<(String, Spot)>),
}

impl Spot {
    pub fn find(&self, path: &KeyPath) -> Option<&Spot> {
        path.steps().iter().try_fold(self, |spot, step| match (&spot.inside, step) {
            (Inside::Map(entries), Step::Key(name)) => entries.iter().find(|(key, _)| key == name).map(|(_, s)| s),
            (Inside::List(entries), Step::Index(i)) => entries.get(*i),
            _ => None,
        })
    }
}

/// Positions of the one document in `text`; `None` if the text holds nothing but blanks and comments.
///
/// # Errors
/// The first syntax error, or every duplicate key, or the first excess of depth, values, aliases or documents.
pub(crate) fn index(text: &str) -> Result<Option<Spot>, Vec<Issue>> {
    index_at_most(VALUES_LIMIT, text)
}

fn index_at_most(values: usize, text: &str) -> Result<Option<Spot>, Vec<Issue>> {
    let parser = Parser::new_from_str(text);
    let mut indexer = Indexer { parser, anchors: BTreeMap::new(), aliased: 0, values, duplicates: Vec::new() };
    let spot = indexer.document().map_err(|issue| vec![issue])?;
    if indexer.duplicates.is_empty() { Ok(spot) } else { Err(indexer.duplicates) }
}

struct Indexer<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: BTreeMap<usize, Spot>,
    aliased: usize,
    /// So many more may come.
    values: usize,
    duplicates: Vec<Issue>,
}

impl<'a> Indexer<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Issue> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(e)) => Err(syntax((*e.marker()).into(), e.info())),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn document(&mut self) -> Result<Option<Spot>, Issue> {
        let mut found = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(found),
                Event::DocumentStart(_) if found.is_some() => {
                    let issue = syntax(span.start.into(), "a second document starts here");
                    return Err(issue.help("a scenario file holds one document: drop the `---` line".to_owned()));
                }
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                event => found = Some(self.node(event, span, &KeyPath::default(), 0)?),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, path: &KeyPath, depth: usize) -> Result<Spot, Issue> {
        let value = Mark::from(span.start);
        if depth > DEPTH_LIMIT {
            return Err(syntax(value, &format!("more than {DEPTH_LIMIT} levels of nesting")));
        }
        let Some(left) = self.values.checked_sub(1) else {
            let issue = syntax(value, &format!("more than {VALUES_LIMIT} values"));
            return Err(issue.help("give entries of one kind a `count` instead of listing them".to_owned()));
        };
        self.values = left;
        let (inside, anchor) = match event {
            Event::Alias(id) => return self.alias(id, value),
            Event::SequenceStart(anchor, _) => (self.list(path, depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.map(path, depth)?, anchor),
            Event::Scalar(_, _, anchor, _) => (Inside::Nothing, anchor),
            _ => (Inside::Nothing, 0),
        };
        let size = 1 + match &inside {
            Inside::Nothing => 0,
            Inside::List(entries) => entries.iter().map(|s| s.size).sum::<usize>(),
            Inside::Map(entries) => entries.iter().map(|(_, s)| s.size).sum(),
        };
        let spot = Spot { key: None, value, inside, size };
        if anchor != 0 {
            // Who refers to more than an alias may stand for is told so by the size alone.
            let known = if size > ALIASED_VALUES_LIMIT {
                Spot { key: None, value, inside: Inside::Nothing, size }
            } else {
                spot.clone()
            };
            self.anchors.insert(anchor, known);
        }
        Ok(spot)
    }

    fn list(&mut self, path: &KeyPath, depth: usize) -> Result<Inside, Issue> {
        let mut entries = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(Inside::List(entries));
            }
            entries.push(self.node(event, span, &path.index(entries.len()), depth + 1)?);
        }
    }

    fn map(&mut self, path: &KeyPath, depth: usize) -> Result<Inside, Issue> {
        let mut entries: Vec<(String, Spot)> = Vec::new();
        let mut first_lines = HashMap::new();
        loop {
            let (event, span) = self.next()?;
            let mark = Mark::from(span.start);
            let key = match event {
                Event::MappingEnd => return Ok(Inside::Map(entries)),
                Event::Scalar(name, ..) => name.into_owned(),
                _ => return Err(syntax(mark, "a key must be one word")),
            };
            let inner = path.key(&key);
            if let Some(&first_line) = first_lines.get(&key) {
                let issue = Issue::new(inner.clone(), Complaint::DuplicateKey { key: key.clone(), first_line });
                self.duplicates.push(issue.at(mark).help("keep one of the two".to_owned()));
            }
            first_lines.entry(key.clone()).or_insert(mark.line);
            let (event, span) = self.next()?;
            let spot = self.node(event, span, &inner, depth + 1)?;
            entries.push((key, Spot { key: Some(mark), ..spot }));
        }
    }

    fn alias(&mut self, id: usize, mark: Mark) -> Result<Spot, Issue> {
        let Some(target) = self.anchors.get(&id) else {
            return Err(syntax(mark, "an alias that stands for a value around itself"));
        };
        self.aliased += target.size;
        if self.aliased > ALIASED_VALUES_LIMIT {
            let issue = syntax(mark, &format!("aliases stand for more than {ALIASED_VALUES_LIMIT} values"));
            return Err(issue.help("write the values out".to_owned()));
        }
        Ok(target.clone())
    }
}

/// A syntax error at `mark`, with the commonest cure where the parser's words hint at it.
pub(crate) fn syntax(mark: Mark, message: &str) -> Issue {
    let help = if message.contains("tab") {
        Some("indent with spaces; YAML does not take tabs".to_owned())
    } else if message.contains("simple key") || message.contains("block") || message.contains("expected ':'") {
        Some("check the indentation: keys of one section start in one column, and `: ` follows each key".to_owned())
    } else if message.contains("flow") {
        Some("check that every `[` and `{` is closed and that commas stand between entries".to_owned())
    } else {
        None
    };
    Issue {
        path: KeyPath::default(),
        side: Side::Value,
        mark: Some(mark),
        complaint: Box::new(Complaint::Syntax(message.to_owned())),
        help,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(text: &str, path: &str) -> (Option<(usize, usize)>, (usize, usize)) {
        let spots = index(text).expect("valid YAML").expect("not empty");
        let spot = spots.find(&KeyPath::parse(path).expect("a path")).expect("the path exists");
        (spot.key.map(|m| (m.line, m.column)), (spot.value.line, spot.value.column))
    }

    #[test]
    fn keys_and_values_are_found_in_block_and_flow_style() {
        let text = "a: 1\nlist:\n  - {x: 1, y: [2, 3]}\n  - x: 4\nñb: {c: d}\n";
        assert_eq!(marks(text, "a"), (Some((1, 1)), (1, 4)));
        assert_eq!(marks(text, "list[0].y[1]"), (None, (3, 19)));
        assert_eq!(marks(text, "list[1].x"), (Some((4, 5)), (4, 8)));
        assert_eq!(marks(text, "ñb.c"), (Some((5, 6)), (5, 9)));
    }

    #[test]
    fn an_alias_leads_to_what_it_stands_for() {
        let text = "a: &x {k: 1}\nb: *x\n";
        assert_eq!(marks(text, "b.k"), (Some((1, 8)), (1, 11)));
        assert_eq!(marks(text, "b").0, Some((2, 1)));
    }

    #[test]
    fn nothing_but_comments_is_nothing() {
        assert!(index("# only this\n\n").expect("valid YAML").is_none());
    }

    #[test]
    fn excess_is_refused_early() {
        assert!(index_at_most(5, "a: [1, 2, 3]").is_ok());
        assert!(index_at_most(5, "a: [1, 2, 3, 4]").is_err());
        let deep = "[".repeat(100_000);
        assert!(index(&deep).is_err());
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..12 {
            let alias = vec![format!("*a{}", i - 1); 9].join(", ");
            bomb += &format!("a{i}: &a{i} [{alias}]\n");
        }
        let issues = index(&bomb).expect_err("a bomb");
        assert!(issues[0].complaint.to_string().contains("aliases"), "{issues:?}");
        let long = format!("a: &a [{}]\nb: *a\n", "x, ".repeat(ALIASED_VALUES_LIMIT));
        let issues = index(&long).expect_err("an alias of a long list");
        assert!(issues[0].complaint.to_string().contains("aliases"), "{issues:?}");
    }
}
