//! What a model is asked.

use crate::adapter::AdapterError;
use crate::data::{ImageSize, Objective, PackedBatch, TargetText};
use crate::fomo::Architecture;

/// One input of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Token ids; `written` are those that an encoder-decoder's decoder has written so far, its start token left out, and empty
    /// for other models.
    Text { tokens: Vec<u32>, written: Vec<u32> },
    /// Pixels of a square image, 0 to 255, `[channel, y, x]`.
    Image(Vec<u8>),
}

impl Query {
    /// The text, and what was written where the model writes.
    pub(super) fn tokens(&self, architecture: &Architecture) -> (Vec<u32>, Option<Vec<u32>>) {
        match self {
            Self::Text { tokens, written } => {
                (tokens.clone(), (is_encoder_decoder(architecture)).then(|| written.clone()))
            }
            Self::Image(_) => (vec![], None),
        }
    }
}

fn is_encoder_decoder(architecture: &Architecture) -> bool {
    architecture.encoder_layers > 0 && architecture.decoder_layers > 0
}

/// All queries as one batch, with made-up labels.
pub(super) fn batch(
    queries: &[Query],
    architecture: &Architecture,
    objective: Objective,
) -> Result<PackedBatch, AdapterError> {
    let wrong = |given, reads| Err(AdapterError::WrongQuery { model: architecture.name.clone(), given, reads });
    let values = match objective {
        Objective::Regression => vec![0.0; queries.len()],
        Objective::Classification { .. } | Objective::NextToken => vec![],
    };
    if let Some(image) = architecture.image {
        let size = ImageSize { side_px: image.side_px, channels: image.channels };
        let mut images = Vec::with_capacity(queries.len());
        for query in queries {
            match query {
                Query::Image(pixels) if pixels.len() == size.bytes() => images.push((pixels.as_slice(), 0)),
                Query::Image(pixels) => {
                    let (model, found, expected) = (architecture.name.clone(), pixels.len(), size.bytes());
                    return Err(AdapterError::Pixels { model, found, expected });
                }
                Query::Text { .. } => return wrong("tokens", "images: give `--images`"),
            }
        }
        return Ok(PackedBatch { values, ..PackedBatch::pack_images(images, size, image.patch_px) });
    }
    let writes = is_encoder_decoder(architecture);
    let mut texts = Vec::with_capacity(queries.len());
    let mut decoder = TargetText::new();
    for query in queries {
        match query {
            Query::Text { written, .. } if !writes && !written.is_empty() => {
                return wrong("what its decoder has written", "one text: leave out `--written`");
            }
            Query::Text { tokens, written } => {
                texts.push((tokens.as_slice(), 0));
                // The last token of a target is never read: it is what the rows before it should predict.
                decoder.push(&[written.as_slice(), &[0]].concat());
            }
            Query::Image(_) => return wrong("an image", "texts: give `--tokens`"),
        }
    }
    Ok(PackedBatch { values, decoder: writes.then_some(decoder), ..PackedBatch::pack(texts) })
}
