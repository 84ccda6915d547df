//! WebP: read by `image` (pure Rust), written by libwebp. Of an animation, the first frame.
//!
//! libwebp is called in one small module at the end; hostile bytes never reach C.

use std::io::{BufRead, Cursor, Seek};

use image::DynamicImage;
use image::codecs::webp::WebPDecoder;

use super::reader::{HeaderReader, unsupported};
use super::{Facts, exif, from_image, icc, image_error};
use crate::imaging::raster::{Channels, Raster};
use crate::imaging::{Code, Error, Format, Limits, Result};

/// libwebp's own limit.
const MAX_SIDE: u32 = 16_383;
/// EXIF blocks and profiles beyond this are not read.
const MAX_METADATA_BYTES: u32 = 4 << 20;

pub(super) fn inspect<R: BufRead + Seek>(reader: R, limits: &Limits) -> Result<Facts> {
    let mut reader = HeaderReader::new(reader, Format::WebP);
    reader.skip(12)?;
    let (kind, length) = (reader.bytes::<4>()?, reader.le32()?);
    match &kind {
        b"VP8 " => {
            reader.skip(3)?;
            if reader.bytes::<3>()? != [0x9d, 0x01, 0x2a] {
                return Err(reader.corrupt("its frame does not begin as VP8 does"));
            }
            let (width, height) = (reader.le16()? & 0x3fff, reader.le16()? & 0x3fff);
            Ok(Facts::new(Format::WebP, width.into(), height.into(), 1))
        }
        b"VP8L" => {
            if reader.byte()? != 0x2f {
                return Err(reader.corrupt("its frame does not begin as VP8L does"));
            }
            let bits = reader.le32()?;
            Ok(Facts::new(Format::WebP, (bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1, 1))
        }
        b"VP8X" => {
            let flags = reader.byte()?;
            reader.skip(3)?;
            let side = |b: [u8; 3]| u32::from_le_bytes([b[0], b[1], b[2], 0]) + 1;
            let (width, height) = (side(reader.bytes()?), side(reader.bytes()?));
            reader.skip(padded(length).saturating_sub(10))?;
            let mut facts = Facts::new(Format::WebP, width, height, 1);
            let mut frames = 0;
            // Like a GIF's frames: a file cut short is the decoder's to judge.
            let _ = walk(&mut reader, &mut facts, &mut frames, limits.max_frames);
            if flags & 0x02 != 0 {
                facts.header.frames = frames.max(1);
            }
            Ok(facts)
        }
        _ => Err(reader.corrupt("it holds no picture")),
    }
}

fn walk<R: BufRead + Seek>(
    reader: &mut HeaderReader<R>,
    facts: &mut Facts,
    frames: &mut u32,
    max_frames: u32,
) -> Result<()> {
    while *frames <= max_frames {
        let (kind, length) = (reader.bytes::<4>()?, reader.le32()?);
        match &kind {
            b"EXIF" | b"ICCP" if length <= MAX_METADATA_BYTES => {
                let bytes = reader.vec(length as usize)?;
                reader.skip(u64::from(length & 1))?;
                if &kind == b"EXIF" {
                    facts.orientation = exif::orientation(&bytes);
                } else {
                    facts.icc = Some(bytes);
                }
                continue;
            }
            b"ANMF" => *frames += 1,
            _ => {}
        }
        reader.skip(padded(length))?;
    }
    Ok(())
}

/// Chunks are padded to even lengths.
fn padded(length: u32) -> u64 {
    u64::from(length) + u64::from(length & 1)
}

/// The first frame, if there are several.
pub(super) fn decode(source: &[u8], facts: &Facts) -> Result<Raster> {
    let picture = WebPDecoder::new(Cursor::new(source))
        .and_then(DynamicImage::from_decoder)
        .map_err(|error| image_error(Format::WebP, &error))?;
    Ok(icc::to_srgb(from_image(picture), facts.icc.as_deref()))
}

/// Lossy, at libwebp's method 2: half of method 4's time for a few percent of bytes.
pub(super) fn encode(raster: &Raster, quality: u8) -> Result<Vec<u8>> {
    if raster.width.max(raster.height) > MAX_SIDE {
        return Err(Error::new(
            Code::OutputTooLarge,
            format!("{}x{} exceeds WebP's {MAX_SIDE} pixels a side", raster.width, raster.height),
        ));
    }
    let colour;
    let raster = if raster.channels == Channels::Gray {
        colour = raster.clone().into_colour();
        &colour
    } else {
        raster
    };
    ffi::encode(raster, f32::from(quality))
        .ok_or_else(|| unsupported(Format::WebP, "libwebp could not write the picture"))
}

/// The one place that talks to libwebp.
mod ffi {
    use std::ptr;

    use libwebp_sys::{
        WebPConfig, WebPEncode, WebPMemoryWrite, WebPMemoryWriter, WebPMemoryWriterClear, WebPMemoryWriterInit,
        WebPPicture, WebPPictureFree, WebPPictureImportRGB, WebPPictureImportRGBA,
    };

    use crate::imaging::raster::{Channels, Raster};

    /// `None` where libwebp refuses, e.g. for lack of memory. The raster is RGB or RGBA.
    pub(super) fn encode(raster: &Raster, quality: f32) -> Option<Vec<u8>> {
        let (width, height) = (i32::try_from(raster.width).ok()?, i32::try_from(raster.height).ok()?);
        let stride = i32::try_from(raster.stride()).ok()?;
        assert_eq!(raster.data.len(), raster.stride() * raster.height as usize, "a raster is full");
        let import = match raster.channels {
            Channels::Rgb => WebPPictureImportRGB,
            Channels::Rgba => WebPPictureImportRGBA,
            Channels::Gray => return None,
        };
        let mut config = WebPConfig::new().ok()?;
        config.quality = quality;
        config.method = 2;
        let mut picture = WebPPicture::new().ok()?;
        picture.width = width;
        picture.height = height;
        // SAFETY: `writer` is initialised before use and cleared after it; `picture` was
        // initialised by `new` and is freed on every path; the raster's buffer holds
        // `stride * height` bytes (asserted above) and outlives the import, which copies it;
        // `custom_ptr` points to `writer`, which outlives `WebPEncode`; `mem` and `size` describe
        // one allocation that is read before it is cleared.
        unsafe {
            let mut writer = std::mem::MaybeUninit::<WebPMemoryWriter>::uninit();
            WebPMemoryWriterInit(writer.as_mut_ptr());
            let mut writer = writer.assume_init();
            picture.writer = Some(WebPMemoryWrite);
            picture.custom_ptr = ptr::from_mut(&mut writer).cast();
            let written = import(&raw mut picture, raster.data.as_ptr(), stride) != 0
                && WebPEncode(&raw const config, &raw mut picture) != 0;
            let data = (written && !writer.mem.is_null())
                .then(|| std::slice::from_raw_parts(writer.mem, writer.size).to_vec());
            WebPPictureFree(&raw mut picture);
            WebPMemoryWriterClear(&raw mut writer);
            data
        }
    }
}
