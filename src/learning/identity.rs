//! Identities: what an operation is, as 128 bits.

use sha2::{Digest, Sha256};
use std::fmt;

/// Changes whenever the arithmetic changes, so that no cache serves numbers of older arithmetic.
const ARITHMETIC_VERSION: u64 = 3;

/// Hash of an operation and of its inputs' identities: equal identities mean equal numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity([u8; 16]);

impl Identity {
    /// The identity that is written as `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        let digits = name.as_bytes().as_chunks::<2>().0;
        let bytes = digits.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        let identity = Self(bytes.collect::<Option<Vec<u8>>>()?.try_into().ok()?);
        (identity.to_string() == name).then_some(identity)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Builds an identity from fields of fixed or stated length, so that no two operations share an encoding.
pub struct IdentityBuilder(Sha256);

impl IdentityBuilder {
    pub fn new(kind: &str) -> Self {
        Self(Sha256::new()).word(ARITHMETIC_VERSION).text(kind)
    }

    pub fn word(mut self, value: u64) -> Self {
        self.0.update(value.to_le_bytes());
        self
    }

    pub fn real(self, value: f64) -> Self {
        self.word(value.to_bits())
    }

    pub fn text(self, value: &str) -> Self {
        let mut b = self.word(value.len() as u64);
        b.0.update(value.as_bytes());
        b
    }

    pub fn identity(mut self, value: Identity) -> Self {
        self.0.update(value.0);
        self
    }

    pub fn finish(self) -> Identity {
        let digest = self.0.finalize();
        Identity(digest[..16].try_into().expect("SHA-256 has 32 bytes"))
    }
}
