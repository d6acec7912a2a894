//! The header of a safetensors file, with complaints that name the tensor.
//!
//! The library checks that the header lies within the file, that the tensors fill the rest without gap or overlap, and that
//! each has the bytes its shape and type ask for, but says of most faults only that there is one, and takes the last of two
//! entries of one name.

use safetensors::tensor::{Metadata, SafeTensors, TensorInfo};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;

/// The length of the header, before the header.
const LENGTH_BYTES: usize = 8;
/// The library's limit.
const LARGEST_HEADER: usize = 100_000_000;
/// The entry that is no tensor.
const NOTES: &str = "__metadata__";

/// Where the data starts in `bytes`, a whole file, and what the header says of each tensor; or what is wrong.
pub fn read(bytes: &[u8]) -> Result<(usize, Metadata), String> {
    let read = SafeTensors::read_metadata(bytes);
    if let Some((entries, data_bytes)) = entries(bytes) {
        let mut names = BTreeSet::new();
        if let Some((twice, _)) = entries.0.iter().find(|(name, _)| !names.insert(name)) {
            return Err(format!("tensor `{}` appears twice in its header", twice.escape_debug()));
        }
        if read.is_err()
            && let Some(fault) = fault(entries.0, data_bytes)
        {
            return Err(fault);
        }
    }
    read.map(|(header, metadata)| (LENGTH_BYTES + header, metadata)).map_err(|e| e.to_string())
}

/// All entries in the header's order, one that comes twice included.
struct Entries(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;

        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an entry a tensor")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(EntriesVisitor)
    }
}

/// The header's entries and the number of bytes behind it; `None` where there is no header to take apart.
fn entries(bytes: &[u8]) -> Option<(Entries, usize)> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok().filter(|n| *n <= LARGEST_HEADER)?;
    let (header, data) = rest.split_at_checked(length)?;
    Some((serde_json::from_slice(header).ok()?, data.len()))
}

/// What is wrong with the first tensor at fault, in the order of their data.
fn fault(entries: Vec<(String, Value)>, data_bytes: usize) -> Option<String> {
    let mut tensors = Vec::new();
    for (name, entry) in entries.into_iter().filter(|(name, _)| name != NOTES) {
        match TensorInfo::deserialize(entry) {
            Ok(info) => tensors.push((name, info)),
            Err(e) => return Some(format!("tensor `{}`: {e}", name.escape_debug())),
        }
    }
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    let mut start = 0;
    for (name, info) in tensors {
        let (begin, end) = info.data_offsets;
        let cause = if begin > end || end > data_bytes {
            Some(format!("has bytes {begin} to {end} of {data_bytes} bytes of data"))
        } else if begin != start {
            Some(format!("starts at byte {begin} of the data, where the tensors before it end at {start}"))
        } else if needed_bytes(&info) != Some(end - begin) {
            let needed = needed_bytes(&info).map_or("another number of".to_owned(), |n| n.to_string());
            Some(format!("has {} bytes, and {:?} of shape {:?} takes {needed}", end - begin, info.dtype, info.shape))
        } else {
            None
        };
        if let Some(cause) = cause {
            return Some(format!("tensor `{}` {cause}", name.escape_debug()));
        }
        start = end;
    }
    None
}

/// `None` where they are more than a number holds, or not whole.
fn needed_bytes(info: &TensorInfo) -> Option<usize> {
    let values = info.shape.iter().try_fold(1usize, |product, n| product.checked_mul(*n))?;
    let bits = values.checked_mul(info.dtype.bitsize())?;
    bits.is_multiple_of(8).then_some(bits / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(header: &str, data_bytes: usize) -> String {
        let length = (header.len() as u64).to_le_bytes();
        read(&[&length[..], header.as_bytes(), &vec![0; data_bytes]].concat()).expect_err(header)
    }

    #[test]
    fn a_fault_is_told_with_its_tensor() {
        let entry = |dtype: &str, shape: &str, offsets: &str| {
            format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}"#)
        };
        let one = |entry: &str| refusal(&format!(r#"{{"__metadata__":{{"a":"b"}},"w":{entry}}}"#), 8);
        for (message, said) in [
            (one(&entry("F32", "[3]", "[0,8]")), "tensor `w` has 8 bytes, and F32 of shape [3] takes 12"),
            (
                one(&entry("F32", "[4294967296,4294967296]", "[0,8]")),
                "tensor `w` has 8 bytes, and F32 of shape [4294967296, 4294967296] takes another number of",
            ),
            (one(&entry("F32", "[2]", "[8,0]")), "tensor `w` has bytes 8 to 0 of 8 bytes of data"),
            (one(&entry("F32", "[4]", "[0,16]")), "tensor `w` has bytes 0 to 16 of 8 bytes of data"),
            (one(&entry("F32", "[1]", "[4,8]")), "tensor `w` starts at byte 4 of the data, where the tensors before"),
            (one(&entry("F99", "[2]", "[0,8]")), "tensor `w`: unknown variant `F99`"),
            (one(r#"{"dtype":"F32","shape":[2]}"#), "tensor `w`: missing field `data_offsets`"),
            (one("7"), "tensor `w`: "),
        ] {
            assert!(message.starts_with(said), "{message}");
        }
        let two = entry("F32", "[2]", "[0,8]");
        let message = refusal(&format!(r#"{{"w":{two},"v":{two}}}"#), 8);
        assert!(message.starts_with("tensor `v` starts at byte 0 of the data, where the tensors before it end at 8"));
        // Which the library takes without a word.
        let message = refusal(&format!(r#"{{"w":{two},"w":{two}}}"#), 8);
        assert_eq!(message, "tensor `w` appears twice in its header");
        assert_eq!(refusal(&format!(r#"{{"w":{two}}}"#), 9), refusal(r#"{}"#, 1), "no tensor is at fault");
        assert!(!refusal("{", 0).is_empty() && !refusal("", 0).is_empty());
    }
}
