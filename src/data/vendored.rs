//! The data sets that `deft` carries in its binary; docs/data_and_models.md tells where they come from.

use super::error::list;
use super::rows::Format;
use super::{DataError, Dataset, Example, ImageSize, TableOptions, Target, TaskKind, table};

/// What is known of a vendored set without decompressing it.
#[derive(Clone, Copy, Debug)]
pub struct VendoredSet {
    pub name: &'static str,
    pub description: &'static str,
    /// What the set was made for; [`VendoredSet::tasks`] has all that it serves.
    pub task: TaskKind,
    /// Names of the classes, in order; empty where the task has none.
    pub classes: &'static [&'static str],
    /// For images only.
    pub image: Option<ImageSize>,
    /// Examples in each half, whatever the task.
    pub train: usize,
    pub test: usize,
    /// Of the data; the folder under `assets/` has its text or a link to it.
    pub licence: &'static str,
    source: Source,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    /// A gzipped `.tsv`, labels being class indices.
    Texts(&'static [u8]),
    /// Such a table, and a gzipped list of numbers to put in place of its labels, one a line.
    RatedTexts(&'static [u8], &'static [u8]),
    /// A gzipped `.csv`.
    Images(&'static [u8]),
}

const SENTIMENT: &[&str] = &["negative", "positive"];
const DIGITS: &[&str] = &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

const MOVIE: &[u8] = include_bytes!("../../assets/sentiment/movie.tsv.gz");

/// Sentences with the sign of their mean human sentiment rating as label, four domains, and with that rating itself
/// (Hutto & Gilbert 2014); images of digits (Alpaydin & Kaynak 1998).
pub const VENDORED: [VendoredSet; 6] = [
    VendoredSet {
        name: "movie",
        description: "sentences from film reviews, sentiment positive or negative, balanced",
        train: 9_043,
        test: 1_525,
        ..sentiment(MOVIE)
    },
    VendoredSet {
        name: "amazon",
        description: "sentences from customer reviews of five products, sentiment positive or negative",
        train: 3_085,
        test: 525,
        ..sentiment(include_bytes!("../../assets/sentiment/amazon.tsv.gz"))
    },
    VendoredSet {
        name: "tweets",
        description: "texts in the manner of tweets, sentiment positive or negative",
        train: 3_587,
        test: 609,
        ..sentiment(include_bytes!("../../assets/sentiment/tweets.tsv.gz"))
    },
    VendoredSet {
        name: "nyt",
        description: "sentences from newspaper opinion pieces, sentiment positive or negative",
        train: 4_248,
        test: 698,
        ..sentiment(include_bytes!("../../assets/sentiment/nyt.tsv.gz"))
    },
    VendoredSet {
        name: "movie_ratings",
        description: "the sentences of movie with their mean sentiment rating, -4 to 4",
        task: TaskKind::Regression,
        classes: &[],
        train: 9_043,
        test: 1_525,
        source: Source::RatedTexts(MOVIE, include_bytes!("../../assets/sentiment/movie.ratings.gz")),
        ..sentiment(MOVIE)
    },
    VendoredSet {
        name: "digits",
        description: "handwritten digits, grey images of 8 x 8 pixels, balanced",
        task: TaskKind::Images,
        classes: DIGITS,
        image: Some(ImageSize { side_px: 8, channels: 1 }),
        train: 1_442,
        test: 355,
        licence: "CC BY 4.0",
        source: Source::Images(include_bytes!("../../assets/digits/digits.csv.gz")),
    },
];

/// What the four sentiment sets share.
const fn sentiment(texts: &'static [u8]) -> VendoredSet {
    VendoredSet {
        name: "",
        description: "",
        task: TaskKind::Classification,
        classes: SENTIMENT,
        image: None,
        train: 0,
        test: 0,
        licence: "MIT",
        source: Source::Texts(texts),
    }
}

impl VendoredSet {
    /// The tasks it can be read for, the one it was made for first.
    pub fn tasks(&self) -> &'static [TaskKind] {
        match self.task {
            TaskKind::Classification => {
                &[TaskKind::Classification, TaskKind::LanguageModel, TaskKind::SequenceToSequence]
            }
            TaskKind::Regression => &[TaskKind::Regression, TaskKind::LanguageModel],
            TaskKind::SequenceToSequence => &[TaskKind::SequenceToSequence, TaskKind::LanguageModel],
            TaskKind::LanguageModel => &[TaskKind::LanguageModel],
            TaskKind::Images => &[TaskKind::Images],
        }
    }

    /// The set as it was made.
    fn load(&self) -> Result<Dataset, DataError> {
        let file = format!("vendored data set `{}`", self.name);
        let mut options = TableOptions { image: self.image, ..TableOptions::for_task(self.task) };
        if self.task.has_classes() {
            options.classes = Some((0..self.classes.len()).map(|class| class.to_string()).collect());
        }
        let (plain, format) = match self.source {
            Source::Texts(texts) => (table::gunzip(texts, &file)?, Format::Tsv),
            Source::Images(images) => (table::gunzip(images, &file)?, Format::Csv),
            Source::RatedTexts(texts, ratings) => {
                (rated(&table::gunzip(texts, &file)?, &table::gunzip(ratings, &file)?), Format::Tsv)
            }
        };
        let mut dataset = table::parse(&file, self.name, &plain, format, &options)?;
        dataset.classes = self.classes.iter().map(|class| (*class).to_owned()).collect();
        Ok(dataset)
    }
}

/// A table with the numbers of `ratings` in place of its first column, the label.
fn rated(table: &[u8], ratings: &[u8]) -> Vec<u8> {
    let newline = |b: &u8| *b == b'\n';
    let labels = std::iter::once(b"label".as_slice()).chain(ratings.split(newline));
    let rows = table.split(newline).filter_map(|line| Some(&line[line.iter().position(|b| *b == b'\t')?..]));
    labels.zip(rows).flat_map(|(label, rest)| [label, rest, b"\n"].concat()).collect()
}

/// A name this far from every known one is not taken for a slip of the pen.
const MAX_EDITS: usize = 2;

/// The set `name`, for `task` or for the task it was made for.
pub(super) fn load(name: &str, task: Option<TaskKind>) -> Result<Dataset, DataError> {
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
    let task = task.unwrap_or(set.task);
    if !set.tasks().contains(&task) {
        let served: Vec<&str> = set.tasks().iter().map(|t| t.name()).collect();
        return Err(DataError::TaskNotServed { dataset: name.to_owned(), task: task.name(), served: list(&served) });
    }
    let made = set.load()?;
    Ok(if task == set.task { made } else { reread(made, task) })
}

/// The same texts for a task without classes.
fn reread(mut dataset: Dataset, task: TaskKind) -> Dataset {
    let classes = std::mem::take(&mut dataset.classes);
    let reread = |example: &mut Example| {
        example.target = match example.class() {
            Some(class) if task == TaskKind::SequenceToSequence => Target::Text(classes[class as usize].clone()),
            _ => Target::Itself,
        };
    };
    dataset.train.iter_mut().chain(&mut dataset.test).for_each(reread);
    dataset.task = task;
    dataset
}
