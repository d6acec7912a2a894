//! The data sets that `deft` carries in its binary; docs/data_and_models.md tells where they come from.

use super::error::list;
use super::{DataError, Dataset, TableOptions, table};

/// What is known of a vendored set without decompressing it.
#[derive(Clone, Copy, Debug)]
pub struct VendoredSet {
    pub name: &'static str,
    pub description: &'static str,
    /// Examples in each half.
    pub train: usize,
    pub test: usize,
    bytes: &'static [u8],
}

/// Sentences with the sign of their mean human sentiment rating as label (Hutto & Gilbert 2014): four domains.
pub const VENDORED: [VendoredSet; 4] = [
    VendoredSet {
        name: "movie",
        description: "sentences from film reviews, sentiment positive or negative, balanced",
        train: 9_043,
        test: 1_525,
        bytes: include_bytes!("../../assets/sentiment/movie.tsv.gz"),
    },
    VendoredSet {
        name: "amazon",
        description: "sentences from customer reviews of five products, sentiment positive or negative",
        train: 3_085,
        test: 525,
        bytes: include_bytes!("../../assets/sentiment/amazon.tsv.gz"),
    },
    VendoredSet {
        name: "tweets",
        description: "texts in the manner of tweets, sentiment positive or negative",
        train: 3_587,
        test: 609,
        bytes: include_bytes!("../../assets/sentiment/tweets.tsv.gz"),
    },
    VendoredSet {
        name: "nyt",
        description: "sentences from newspaper opinion pieces, sentiment positive or negative",
        train: 4_248,
        test: 698,
        bytes: include_bytes!("../../assets/sentiment/nyt.tsv.gz"),
    },
];

/// A name this far from every known one is not taken for a slip of the pen.
const MAX_EDITS: usize = 2;

pub(super) fn load(name: &str) -> Result<Dataset, DataError> {
    let names = VENDORED.map(|s| s.name);
    let Some(set) = VENDORED.iter().find(|s| s.name == name) else {
        let closest = names
            .into_iter()
            .map(|known| (strsim::osa_distance(known, &name.to_lowercase()), known))
            .min()
            .filter(|(edits, _)| *edits <= MAX_EDITS)
            .map(|(_, known)| known.to_owned());
        return Err(DataError::UnknownDataset { name: name.to_owned(), closest, known: list(&names) });
    };
    let file = format!("vendored data set `{name}`");
    let options = TableOptions { classes: Some(vec!["0".into(), "1".into()]), ..TableOptions::default() };
    let plain = table::gunzip(set.bytes, &file)?;
    let mut dataset = table::parse(&file, name, &plain, table::Format::Tsv, &options)?;
    dataset.classes = vec!["negative".into(), "positive".into()];
    Ok(dataset)
}
