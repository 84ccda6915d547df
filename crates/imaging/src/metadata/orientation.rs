//! How the stored picture is turned.

use super::{Block, without_prefix};

const ORIENTATION: u16 = 0x0112;

/// The orientation, 1 to 8, that an EXIF block gives, with or without JPEG's prefix; 1 where it is absent or broken.
pub(crate) fn orientation(block: &[u8]) -> u8 {
    read(block).unwrap_or(1)
}

fn read(block: &[u8]) -> Option<u8> {
    let entry = Block::new(without_prefix(block))?.main(u16::MAX)?.find(ORIENTATION)?;
    let size = match entry.kind()? {
        1 => 1,
        3 => 2,
        4 => 4,
        _ => return None,
    };
    u8::try_from(entry.number(size)?).ok().filter(|value| (1..=8).contains(value))
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
