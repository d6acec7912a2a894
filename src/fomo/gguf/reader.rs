//! Reads little-endian values from bytes that nobody vouches for.

/// A position in a byte slice. Every error is a cause for a message, without the file's name.
#[derive(Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub fn position(&self) -> usize {
        self.at
    }

    /// Length of the whole file.
    pub fn file_bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let taken = self.at.checked_add(length).and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| {
            let left = self.bytes.len().saturating_sub(self.at);
            format!("it ends too early: {length} bytes are needed at byte {}, {left} are left", self.at)
        })?;
        self.at += length;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        Ok(self.take(N)?.try_into().expect("as many bytes as were taken"))
    }

    pub fn u32(&mut self) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, String> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A number of things that take at least `least_bytes` each: never more than the bytes that are left can hold.
    pub fn count(&mut self, what: &str, least_bytes: usize) -> Result<usize, String> {
        let count = self.u64()?;
        let possible = (self.bytes.len() - self.at) / least_bytes;
        match usize::try_from(count) {
            Ok(count) if count <= possible => Ok(count),
            _ => Err(format!("it claims {count} {what}, but its size leaves room for {possible}")),
        }
    }

    /// A text, its length first.
    pub fn text(&mut self) -> Result<&'a str, String> {
        let (at, length) = (self.at, self.count("bytes in a text", 1)?);
        std::str::from_utf8(self.take(length)?).map_err(|e| format!("the text at byte {at} is not UTF-8: {e}"))
    }
}
