//! What a data set is read for.

use super::Objective;

/// The learning tasks, each with its own columns in a user's table (see [`TableOptions`](super::TableOptions)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskKind {
    /// The class of a text.
    #[default]
    Classification,
    /// A number for a text.
    Regression,
    /// The next token of a text.
    LanguageModel,
    /// A text for a text.
    SequenceToSequence,
    /// The class of an image.
    Images,
}

impl TaskKind {
    pub const ALL: [Self; 5] =
        [Self::Classification, Self::Regression, Self::LanguageModel, Self::SequenceToSequence, Self::Images];

    /// The word for it in scenarios, lists and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classification => "classification",
            Self::Regression => "regression",
            Self::LanguageModel => "language_model",
            Self::SequenceToSequence => "sequence_to_sequence",
            Self::Images => "images",
        }
    }

    /// Whether every example belongs to a class.
    pub fn has_classes(self) -> bool {
        matches!(self, Self::Classification | Self::Images)
    }

    /// What a model is trained to answer; `classes` counts only where there are some.
    pub fn objective(self, classes: usize) -> Objective {
        match self {
            Self::Classification | Self::Images => Objective::Classification { classes },
            Self::Regression => Objective::Regression,
            Self::LanguageModel | Self::SequenceToSequence => Objective::NextToken,
        }
    }
}
