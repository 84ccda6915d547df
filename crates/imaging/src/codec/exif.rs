//! EXIF, as far as it matters here: which way up the picture stands.

/// The orientation, 1 to 8, in a TIFF-structured EXIF block; 1 where it is absent or broken.
pub(super) fn orientation(exif: &[u8]) -> u8 {
    read(exif).unwrap_or(1)
}

/// The block itself, where four bytes tell how far behind them it begins, as ISO base media files have it.
pub(super) fn behind_offset(bytes: &[u8]) -> Option<&[u8]> {
    // Some writers leave the offset out.
    if matches!(bytes, [b'M', b'M', 0, b'*', ..] | [b'I', b'I', b'*', 0, ..]) {
        return Some(bytes);
    }
    let (offset, rest) = bytes.split_first_chunk()?;
    rest.get(usize::try_from(u32::from_be_bytes(*offset)).ok()?..).filter(|block| !block.is_empty())
}

fn read(exif: &[u8]) -> Option<u8> {
    // PNG and WebP writers sometimes keep JPEG's prefix.
    let tiff = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    let big = match tiff.get(..4)? {
        b"MM\0*" => true,
        b"II*\0" => false,
        _ => return None,
    };
    let u16_at = |at: usize| {
        let bytes: [u8; 2] = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let u32_at = |at: usize| {
        let bytes: [u8; 4] = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    };
    let ifd = u32_at(4)? as usize;
    let entries = usize::from(u16_at(ifd)?);
    for i in 0..entries {
        let entry = ifd.checked_add(2 + 12 * i)?;
        if u16_at(entry)? != 0x0112 {
            continue;
        }
        let value = match u16_at(entry + 2)? {
            3 => u32::from(u16_at(entry + 8)?),
            4 => u32_at(entry + 8)?,
            1 => u32::from(*tiff.get(entry + 8)?),
            _ => return None,
        };
        return u8::try_from(value).ok().filter(|value| (1..=8).contains(value));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_blocks_count_as_upright() {
        assert_eq!(orientation(b""), 1);
        assert_eq!(orientation(b"Exif\0\0MM\0*\xff\xff\xff\xff"), 1);
        let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0".to_vec();
        assert_eq!(orientation(&exif), 6);
        exif[18] = 9;
        assert_eq!(orientation(&exif), 1);
    }
}
