//! The tracks of a sequence.

use super::bytes::Bytes;
use crate::Result;

/// One track of pictures in a sequence.
pub(super) struct Track {
    pub(super) is_alpha: bool,
    pub(super) size: (u32, u32),
    pub(super) samples: u32,
    /// Offset and length of the first sample.
    pub(super) first: (u64, u64),
}

impl Track {
    /// `None` if the track holds anything but AV1 pictures.
    pub(super) fn read(track: Bytes<'_>) -> Result<Option<Self>> {
        let Some(media) = track.find(*b"mdia")? else { return Ok(None) };
        let handler = media.find(*b"hdlr")?;
        let is_alpha = match handler.and_then(|handler| handler.0.get(8..12)) {
            Some(b"pict" | b"vide") => false,
            Some(b"auxv") => true,
            _ => return Ok(None),
        };
        let table = match media.find(*b"minf")? {
            Some(information) => information.find(*b"stbl")?,
            None => None,
        };
        let Some(table) = table else { return Ok(None) };
        let (description, sizes) = (table.find(*b"stsd")?, table.find(*b"stsz")?);
        let offsets = match table.find(*b"stco")? {
            Some(offsets) => Some((offsets, 4)),
            None => table.find(*b"co64")?.map(|offsets| (offsets, 8)),
        };
        let (Some(mut description), Some(mut sizes), Some((mut offsets, wide))) = (description, sizes, offsets) else {
            return Ok(None);
        };
        description.skip(8)?;
        let Some((kind, mut entry)) = description.child()? else { return Ok(None) };
        if &kind != b"av01" {
            return Ok(None);
        }
        entry.skip(24)?;
        let size = (entry.number(2)? as u32, entry.number(2)? as u32);
        sizes.full()?;
        let (uniform, samples) = (sizes.number(4)?, sizes.number(4)? as u32);
        let length = if uniform == 0 && samples > 0 { sizes.number(4)? } else { uniform };
        offsets.skip(8)?;
        let offset = offsets.number(wide)?;
        Ok(Some(Self { is_alpha, size, samples, first: (offset, length) }))
    }
}
