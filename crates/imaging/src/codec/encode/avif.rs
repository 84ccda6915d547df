//! AVIF, by ravif (rav1e, with its assembler if the feature `asm` is on): ten bits a channel, full chroma, alpha.
//!
//! Slow, and besides JPEG's the only writer that cannot be stopped. No profiles: pictures are sRGB.

use ravif::{Encoder, Img, RGB8, RGBA8};

use super::metadata::Metadata;
use super::{Coding, DEFAULT_EFFORT, coloured};
use crate::raster::{Channels, Raster};
use crate::{Code, Error, Result};

/// AVIF's quality has a scale of its own: 65 gives half the bytes of a JPEG at 82, and is softer (structural similarity
/// 0.95 instead of 0.97).
pub(super) const DEFAULT_QUALITY: u8 = 65;

pub(super) fn encode(raster: &Raster, coding: &Coding, metadata: &Metadata) -> Result<Vec<u8>> {
    let quality = f32::from(coding.quality.unwrap_or(DEFAULT_QUALITY));
    // The slowest speed takes twice the time, with the assembler six times, for a tenth fewer bytes.
    let speed = match coding.effort {
        ..=DEFAULT_EFFORT => 10,
        effort => 13 - effort,
    };
    let mut encoder = Encoder::new()
        .with_quality(quality)
        .with_alpha_quality(quality.midpoint(100.0))
        .with_speed(speed)
        // Pictures run in parallel here, not rows.
        .with_num_threads(Some(1));
    if let Some(block) = metadata.exif_block() {
        encoder = encoder.with_exif(block);
    }
    let raster = coloured(raster);
    let (width, height) = (raster.width as usize, raster.height as usize);
    let written = if raster.channels == Channels::Rgba {
        let pixels: Vec<RGBA8> = raster.data.chunks_exact(4).map(|p| RGBA8::new(p[0], p[1], p[2], p[3])).collect();
        encoder.encode_rgba(Img::new(&pixels[..], width, height))
    } else {
        let pixels: Vec<RGB8> = raster.data.chunks_exact(3).map(|p| RGB8::new(p[0], p[1], p[2])).collect();
        encoder.encode_rgb(Img::new(&pixels[..], width, height))
    };
    let image = written.map_err(|error| Error::new(Code::DecoderFailure, format!("writing AVIF: {error}")))?;
    Ok(image.avif_file)
}
