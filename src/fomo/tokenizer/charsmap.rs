//! The `precompiled_charsmap` of SentencePiece: a trie over the bytes of a text, whose values are places in a list of
//! replacements.
//!
//! Format: `Normalizer::DecodePrecompiledCharsMap` in SentencePiece's `normalizer.cc`; units of the trie: `DoubleArrayUnit` in
//! `darts.h` of darts-clone. The tokenizers library follows it without asking whether it stays inside.

/// Fails unless every look-up in the map, whatever the text, stays inside it. The error says what the map does wrong.
pub fn check(base64: &str) -> Result<(), String> {
    let bytes = decode(base64).ok_or("is not base64")?;
    let (length, rest) = bytes
        .split_first_chunk::<4>()
        .ok_or_else(|| format!("has {} bytes, expected 4 with the length of a trie, and the trie", bytes.len()))?;
    let length = u32::from_le_bytes(*length);
    let trie = rest.get(..length as usize).filter(|trie| !trie.is_empty() && trie.len().is_multiple_of(4));
    let trie = trie.ok_or_else(|| {
        format!("claims a trie of {length} bytes, expected a multiple of 4 up to the {} that follow", rest.len())
    })?;
    let units: Vec<u32> = trie.chunks_exact(4).map(|u| u32::from_le_bytes([u[0], u[1], u[2], u[3]])).collect();
    let replacements = std::str::from_utf8(&rest[trie.len()..]).map_err(|_| "has replacements that are not UTF-8")?;
    check_trie(&units, replacements)
}

/// Visits every node that some text leads to.
fn check_trie(units: &[u32], replacements: &str) -> Result<(), String> {
    let outside = || "has a trie that leads out of itself".to_owned();
    let mut seen = vec![false; units.len()];
    let mut nodes = vec![offset(units[0])];
    while let Some(node) = nodes.pop() {
        // The unit that the next byte of a text leads to is anywhere in the node's block of 256.
        if node | 0xFF >= units.len() {
            return Err(outside());
        }
        if std::mem::replace(&mut seen[node], true) {
            continue;
        }
        for byte in 1..=0xFF {
            let unit = units[node ^ byte];
            if unit & (1 << 31 | 0xFF) != byte as u32 {
                continue;
            }
            let next = node ^ byte ^ offset(unit);
            let has_value = unit >> 8 & 1 == 1;
            if has_value {
                let place = units.get(next).ok_or_else(outside)? & !(1 << 31);
                if !replacements.is_char_boundary(place as usize) {
                    return Err(format!("has a replacement at byte {place} of {}", replacements.len()));
                }
            }
            nodes.push(next);
        }
    }
    Ok(())
}

fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & 1 << 9) >> 6)) as usize
}

/// RFC 4648, section 4, with padding and without spare bits.
fn decode(text: &str) -> Option<Vec<u8>> {
    let padding = text.bytes().rev().take_while(|b| *b == b'=').count();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for four in text.as_bytes()[..text.len() - padding].chunks(4) {
        let bits = four.iter().try_fold(0, |bits, digit| Some(bits << 6 | sextet(*digit)?))?;
        let (whole, spare) = (four.len() * 6 / 8, four.len() * 6 % 8);
        if bits & ((1 << spare) - 1) != 0 {
            return None;
        }
        bytes.extend_from_slice(&(bits >> spare).to_be_bytes()[4 - whole..]);
    }
    Some(bytes)
}

fn sextet(digit: u8) -> Option<u32> {
    Some(u32::from(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        // RFC 4648, section 10.
        for (text, plain) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmE=", "fooba")] {
            assert_eq!(decode(text).unwrap(), plain.as_bytes());
        }
        assert_eq!(decode("+/+/").unwrap(), [0xfb, 0xff, 0xbf]);
        for wrong in ["Zg", "Zg=", "Zh==", "Zg==Zg==", "====", "Z===", "Zm9v!", "Zm 9", "Zé="] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }

    /// A trie of one block in which `a` leads to a unit with the value `place`.
    fn trie(place: u32) -> Vec<u32> {
        let mut units = vec![0; 256];
        units[0] = 1 << 10;
        // From node 1, `a` has the unit 0x60; its offset 0x62 leads from there to node 2.
        units[0x60] = 0x62 << 10 | 1 << 8 | 0x61;
        units[2] = 1 << 31 | place;
        units
    }

    #[test]
    fn a_trie_must_stay_inside_itself_and_its_replacements() {
        assert_eq!(check_trie(&trie(0), "é\0"), Ok(()));
        assert_eq!(check_trie(&trie(3), "é\0"), Ok(()));
        for place in [1, 4] {
            let expected = format!("has a replacement at byte {place} of 3");
            assert_eq!(check_trie(&trie(place), "é\0"), Err(expected));
        }
        assert!(check_trie(&trie(0)[..255], "é\0").unwrap_err().contains("out of itself"));
        let mut far = trie(0);
        far[0x60] = 0x1F_FFFF << 10 | 1 << 9 | 1 << 8 | 0x61;
        assert!(check_trie(&far, "é\0").unwrap_err().contains("out of itself"));
    }
}
