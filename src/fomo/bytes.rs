//! The bytes of a checkpoint: part of the program, or a file mapped into memory.

use super::tensor_source::CheckpointError;
use memmap2::Mmap;
use std::path::Path;

/// A mapped file must not be shortened while it is open: the operating system would end the process.
#[derive(Debug)]
pub(super) enum Bytes {
    Embedded(&'static [u8]),
    Mapped(Mmap),
}

impl Bytes {
    pub fn map(path: &Path) -> Result<Self, CheckpointError> {
        let unreadable =
            |e: std::io::Error| CheckpointError::Unreadable { file: path.display().to_string(), cause: e.to_string() };
        let handle = std::fs::File::open(path).map_err(unreadable)?;
        // SAFETY: the mapping is only read; that nobody shortens the file meanwhile is asked of the user in the
        // documentation of this type and of the checkpoints made of it.
        let map = unsafe { Mmap::map(&handle) }.map_err(unreadable)?;
        Ok(Self::Mapped(map))
    }

    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Embedded(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }
}
