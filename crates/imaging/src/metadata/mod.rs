//! EXIF, XMP and the TIFF directories that EXIF is made of: the one reader of directories (`directory`), and what is read with
//! it.
//!
//! Where a container keeps its blocks is known to its codec. All input is hostile: offsets and counts are checked at each use.

mod carried;
mod directory;
mod orientation;
mod xmp;

pub(crate) use carried::Carried;
pub(crate) use directory::{Block, Directory, Field, Form, swapped};
pub(crate) use orientation::orientation;

/// What JPEG puts before its EXIF block, and some writers of PNG and WebP too.
pub(crate) const EXIF_PREFIX: &[u8] = b"Exif\0\0";

/// The block behind JPEG's prefix; all of it where there is no prefix.
pub(crate) fn without_prefix(block: &[u8]) -> &[u8] {
    block.strip_prefix(EXIF_PREFIX).unwrap_or(block)
}

/// The EXIF block of an AVIF or JPEG XL file: its first four bytes are the number of bytes between them and the block.
pub(crate) fn behind_offset(bytes: &[u8]) -> Option<&[u8]> {
    // Some writers leave the offset out.
    if Block::new(bytes).is_some() {
        return Some(bytes);
    }
    let (offset, rest) = bytes.split_first_chunk()?;
    rest.get(usize::try_from(u32::from_be_bytes(*offset)).ok()?..).filter(|block| !block.is_empty())
}
