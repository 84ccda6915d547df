//! The metadata of a source that an output keeps, and how each container stores it.
//!
//! EXIF is never copied as a block. It is read, cleaned and written again, so that no hidden data is copied. The
//! orientation becomes 1, because the pixels are upright. Thumbnails, maker notes and pixel sizes are removed.

use super::super::Facts;
use super::super::animation::png_chunk;
use crate::Format;
use crate::metadata::{Carried, EXIF_PREFIX};
use crate::save::{Keep, Save};

/// Most bytes of a JPEG segment, including the name before the block.
const MAX_SEGMENT: usize = 65_533;

/// The metadata of an output.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metadata {
    pub(super) icc: Option<Vec<u8>>,
    pub(super) exif: Option<Carried>,
}

impl Metadata {
    /// What `save` asks to keep, as far as `format` has a place for it. A profile is in `kept_icc` only if `save` asks for it.
    pub(super) fn of(facts: &Facts, save: &Save, format: Format) -> Self {
        let icc = facts.kept_icc.clone().filter(|_| format.holds_profiles());
        let exif = if !format.holds_exif() {
            None
        } else if save.keeps(Keep::Exif) {
            Carried::of(facts.exif.as_deref(), facts.xmp.as_deref())
        } else if save.keeps(Keep::Copyright) {
            Carried::of(facts.exif.as_deref(), facts.xmp.as_deref()).and_then(Carried::only_rights)
        } else {
            None
        };
        Self { icc, exif }
    }

    /// The EXIF block, beginning with its byte order.
    pub(super) fn exif_block(&self) -> Option<Vec<u8>> {
        self.exif.as_ref().map(Carried::block)
    }

    /// Inserts APP1 and APP2 segments after JFIF's, where readers expect them.
    pub(super) fn onto_jpeg(&self, mut file: Vec<u8>) -> Vec<u8> {
        let mut segments = Vec::new();
        let mut segment = |marker: u8, parts: [&[u8]; 2]| {
            let length = parts.iter().map(|part| part.len()).sum::<usize>() + 2;
            segments.extend([0xff, marker]);
            segments.extend((length as u16).to_be_bytes());
            for part in parts {
                segments.extend(part);
            }
        };
        if let Some(block) = self.exif_block().filter(|block| block.len() + EXIF_PREFIX.len() <= MAX_SEGMENT) {
            segment(0xe1, [EXIF_PREFIX, &block]);
        }
        if let Some(icc) = &self.icc {
            let parts = icc.chunks(MAX_SEGMENT - 14);
            let count = parts.len() as u8;
            for (part, number) in parts.zip(1..) {
                let head = [&b"ICC_PROFILE\0"[..], &[number, count]].concat();
                segment(0xe2, [&head, part]);
            }
        }
        let jfif = file.get(2..4) == Some(&[0xff, 0xe0]);
        let at = if jfif { 4 + usize::from(u16::from_be_bytes([file[4], file[5]])) } else { 2 };
        file.splice(at..at, segments);
        file
    }

    /// The file in the extended container, which can store a profile and EXIF.
    pub(super) fn onto_webp(&self, file: Vec<u8>, (width, height): (u32, u32)) -> Vec<u8> {
        const ICC: u8 = 0x20;
        const ALPHA: u8 = 0x10;
        const EXIF: u8 = 0x08;
        let exif = self.exif_block();
        if (self.icc.is_none() && exif.is_none()) || file.len() < 30 {
            return file;
        }
        // libwebp writes VP8X itself for animations, and for lossy pictures with alpha.
        let (of_picture, pictures) = match &file[12..16] {
            b"VP8X" => (file[20], &file[30..]),
            // In a lossless picture, a bit after its size says whether there is alpha.
            b"VP8L" if file[24] & 0x10 != 0 => (ALPHA, &file[12..]),
            _ => (0, &file[12..]),
        };
        let flags = of_picture | if self.icc.is_some() { ICC } else { 0 } | if exif.is_some() { EXIF } else { 0 };
        let [w0, w1, w2, _] = (width - 1).to_le_bytes();
        let [h0, h1, h2, _] = (height - 1).to_le_bytes();
        let chunk = |body: &mut Vec<u8>, name: &[u8; 4], data: &[u8]| {
            body.extend(name);
            body.extend((data.len() as u32).to_le_bytes());
            body.extend(data);
            body.extend(&[0][..data.len() & 1]);
        };
        let mut body = b"WEBP".to_vec();
        chunk(&mut body, b"VP8X", &[flags, 0, 0, 0, w0, w1, w2, h0, h1, h2]);
        if let Some(icc) = &self.icc {
            chunk(&mut body, b"ICCP", icc);
        }
        body.extend(pictures);
        if let Some(block) = exif {
            chunk(&mut body, b"EXIF", &block);
        }
        [&b"RIFF"[..], &(body.len() as u32).to_le_bytes(), &body].concat()
    }

    /// Inserts EXIF after the header, for animations, which the `png` crate does not write.
    pub(super) fn onto_png(&self, mut file: Vec<u8>) -> Vec<u8> {
        /// The signature and IHDR.
        const HEAD: usize = 33;
        if let Some(block) = self.exif_block() {
            let mut chunk = Vec::new();
            png_chunk(&mut chunk, *b"eXIf", &[&block]);
            file.splice(HEAD..HEAD, chunk);
        }
        file
    }
}
