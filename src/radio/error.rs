//! What can be wrong with a description of a radio system.

/// Refusals of the radio plane. Each message says what was found and what would be accepted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RadioError {
    #[error("{field} is {found}; give {allowed}")]
    OutOfRange { field: &'static str, found: f64, allowed: &'static str },

    #[error("no {kind} is called {name:?}; choose one of {known}")]
    UnknownName { kind: &'static str, name: String, known: String },

    #[error(
        "a bandwidth of {bandwidth_mhz} MHz holds no resource block at {scs_khz} kHz subcarrier spacing; \
         widen the band or lower the spacing"
    )]
    NoResourceBlock { bandwidth_mhz: f64, scs_khz: u32 },

    #[error("the TDD pattern {pattern:?} is none: {reason}")]
    TddPattern { pattern: String, reason: String },

    #[error("the placement has {available} positions and number {index} was asked for; add positions or use an area")]
    PlacementExhausted { index: usize, available: usize },
}

/// `value` if `accepted`, else an error that names the field and what it allows.
pub(super) fn require(
    field: &'static str,
    value: f64,
    accepted: bool,
    allowed: &'static str,
) -> Result<f64, RadioError> {
    if accepted && value.is_finite() { Ok(value) } else { Err(RadioError::OutOfRange { field, found: value, allowed }) }
}
