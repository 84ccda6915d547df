//! A checksum at the end of a JSON object. It detects bits that changed on a disk or in a broker: most such changes
//! leave valid JSON with another meaning.
//!
//! `{"a":1}` is written as `{"a":1,"crc32":"…"}`, with eight digits over the object without the checksum. A reader that
//! does not know of checksums sees one more field. An object without one, from an older version, is accepted.

use std::borrow::Cow;

/// The text before and after the eight digits.
const BEFORE: &[u8] = b",\"crc32\":\"";
const BEHIND: &[u8] = b"\"}";
const DIGITS: usize = 8;
/// Most bits by which the end of a text may differ from a seal and still be a damaged seal. No other JSON is that
/// similar.
const NEAR: u32 = 8;

/// The object does not match its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its checksum does not fit: bits of it have changed since it was written")]
pub struct Damaged;

/// Adds the checksum. `json` is an object with at least one field.
pub fn seal(mut json: Vec<u8>) -> Vec<u8> {
    debug_assert!(json.len() > 2 && json.ends_with(b"}"), "an object with a field");
    let checksum = crc32fast::hash(&json);
    json.pop();
    json.extend_from_slice(BEFORE);
    json.extend_from_slice(format!("{checksum:08x}").as_bytes());
    json.extend_from_slice(BEHIND);
    json
}

/// Checks the object's checksum and removes it.
///
/// # Errors
/// `Damaged` if the checksum does not match.
pub fn unseal(text: &[u8]) -> Result<Cow<'_, [u8]>, Damaged> {
    let Some(begin) = text.len().checked_sub(BEFORE.len() + DIGITS + BEHIND.len()) else { return Ok(text.into()) };
    let (object, end) = text.split_at(begin);
    let (before, rest) = end.split_at(BEFORE.len());
    let (digits, behind) = rest.split_at(DIGITS);
    if before != BEFORE || behind != BEHIND {
        let apart = bits_apart(before, BEFORE) + bits_apart(behind, BEHIND);
        return if apart <= NEAR { Err(Damaged) } else { Ok(text.into()) };
    }
    let whole = [object, b"}"].concat();
    if format!("{:08x}", crc32fast::hash(&whole)).as_bytes() == digits { Ok(whole.into()) } else { Err(Damaged) }
}

fn bits_apart(one: &[u8], other: &[u8]) -> u32 {
    one.iter().zip(other).map(|(one, other)| (one ^ other).count_ones()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_object_is_read_as_it_was_written() {
        let sealed = seal(b"{\"a\":1}".to_vec());
        assert!(sealed.starts_with(b"{\"a\":1,\"crc32\":\"") && sealed.ends_with(b"\"}"));
        assert_eq!(unseal(&sealed).unwrap(), b"{\"a\":1}".as_slice());
        serde_json::from_slice::<serde_json::Value>(&sealed).unwrap();
    }

    #[test]
    fn every_bit_that_turns_over_is_noticed() {
        let sealed = seal(br#"{"image":"cat.jpg","width":150}"#.to_vec());
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unseal(&changed), Err(Damaged), "bit {bit}: {}", String::from_utf8_lossy(&changed));
        }
    }

    #[test]
    fn what_has_no_seal_is_read_as_it_is() {
        for text in
            ["", "{", "{}", r#"{"success":false,"error":{"code":"poison"}}"#, r#"{"image":"a","crc":"12345678"}"#]
        {
            assert_eq!(unseal(text.as_bytes()).unwrap(), text.as_bytes(), "{text}");
        }
    }
}
