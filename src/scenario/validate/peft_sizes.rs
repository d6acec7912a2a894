//! Where a method works and how large it is there: one size for all blocks, for some, or one a block.

use super::check::Check;
use crate::fomo::Architecture;
use crate::scenario::error::Issue;
use crate::scenario::key_path::KeyPath;
use crate::scenario::raw::{BlockRange, PlainOrMap, SizeList, WrittenBlocks};
use crate::scenario::schema::{BlockChoice, BlockSizes};

/// The blocks of a method.
pub(super) struct Chosen {
    pub blocks: BlockChoice,
    /// Where they are written.
    at: KeyPath,
}

pub(super) fn block_choice(
    c: &mut Check,
    at: &KeyPath,
    raw: Option<PlainOrMap<WrittenBlocks, BlockRange>>,
    architecture: Option<&Architecture>,
) -> Chosen {
    let blocks = match raw {
        None | Some(PlainOrMap::Plain(WrittenBlocks::All)) => BlockChoice::All,
        Some(PlainOrMap::Plain(WrittenBlocks::Listed(list))) => listed(c, at, &list, architecture),
        Some(PlainOrMap::Map(range)) => {
            let (most, reason) = block_count(architecture);
            let mut count = |key, written| c.count_because(at, key, Some(written), 1, 1..=most, &reason);
            match range {
                BlockRange { first: Some(n), last: None } => BlockChoice::First(count("first", n)),
                BlockRange { first: None, last: Some(n) } => BlockChoice::Last(count("last", n)),
                _ => {
                    let issue =
                        Issue::value(at.clone(), "a map with both or neither", "one of the keys first and last");
                    c.issues.push(issue.help("for example: blocks: {last: 2}".to_owned()));
                    BlockChoice::All
                }
            }
        }
    };
    Chosen { blocks, at: at.clone() }
}

/// A model's number of blocks as a limit, and in words.
fn block_count(architecture: Option<&Architecture>) -> (usize, String) {
    architecture.map_or((usize::MAX, String::new()), |a| (a.blocks(), format!("{} has {} blocks", a.name, a.blocks())))
}

fn listed(c: &mut Check, at: &KeyPath, list: &[u64], architecture: Option<&Architecture>) -> BlockChoice {
    if list.is_empty() {
        let issue = Issue::value(at.clone(), "an empty list", "at least one block");
        c.issues.push(issue.help("for example: blocks: [4, 5]".to_owned()));
    }
    let (blocks, reason) = block_count(architecture);
    let mut chosen = Vec::with_capacity(list.len());
    for (i, block) in list.iter().enumerate() {
        match usize::try_from(*block) {
            Ok(n) if n < blocks && chosen.contains(&n) => {
                c.conflict(at.index(i), "this block is listed twice", "keep one of the two");
            }
            Ok(n) if n < blocks => chosen.push(n),
            _ => {
                let allowed = format!("0..={} ({reason}, counted from 0)", blocks.saturating_sub(1));
                c.issues.push(Issue::value(at.index(i), block, allowed));
            }
        }
    }
    chosen.sort_unstable();
    BlockChoice::Listed(chosen)
}

/// The sizes written at `at`, or `default` in every chosen block; each at most `most`, for the reason given.
pub(super) fn sizes(
    c: &mut Check,
    at: &KeyPath,
    raw: Option<PlainOrMap<u64, SizeList>>,
    default: usize,
    chosen: &Chosen,
    (most, reason): (usize, &str),
    architecture: Option<&Architecture>,
) -> BlockSizes {
    let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    let mut size = |at: KeyPath, written: u64| match usize::try_from(written) {
        Ok(size) if size <= most => size,
        _ => {
            c.issues.push(Issue::value(at, written, format!("0..={most}{reason}")));
            default.min(most)
        }
    };
    match raw {
        None => BlockSizes::Uniform(default.min(most)),
        Some(PlainOrMap::Plain(written)) => BlockSizes::Uniform(size(at.clone(), written)),
        Some(PlainOrMap::Map(list)) => {
            let list_at = at.key("blocks");
            let written = list.blocks.as_deref().unwrap_or_default().iter().enumerate();
            let blocks = written.map(|(i, n)| size(list_at.index(i), *n)).collect();
            check_list(c, at, list, chosen, architecture);
            BlockSizes::PerBlock { blocks }
        }
    }
}

/// Notes where a list of sizes does not go with the model or with the choice of blocks.
fn check_list(c: &mut Check, at: &KeyPath, list: SizeList, chosen: &Chosen, architecture: Option<&Architecture>) {
    let example = "blocks: [8, 8, 4, 4, 0, 0]";
    let Some(written) = c.required(at, "blocks", list.blocks, example) else { return };
    if let Some(a) = architecture.filter(|a| a.blocks() != written.len()) {
        let allowed = format!("{}, one a block of {}", a.blocks(), a.name);
        c.issues.push(Issue::value(at.key("blocks"), format!("{} sizes", written.len()), allowed));
    }
    if chosen.blocks != BlockChoice::All {
        let message =
            format!("`{at}.blocks` gives every block a size of its own, 0 for none: nothing is left to choose");
        c.conflict(chosen.at.clone(), message, "write one number for all chosen blocks, or drop this key");
    }
}

/// Whether no block gets anything.
pub(super) fn all_zero(sizes: &BlockSizes) -> bool {
    match sizes {
        BlockSizes::Uniform(size) => *size == 0,
        BlockSizes::PerBlock { blocks } => blocks.iter().all(|size| *size == 0),
    }
}
