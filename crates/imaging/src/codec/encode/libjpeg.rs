//! Writes JPEG, by libjpeg-turbo-rs.

use libjpeg_turbo_rs::{Encoder, PixelFormat, Subsampling};

use super::Coding;
use crate::codec::jpeg::{FULL_CHROMA_QUALITY, OPTIMISED_EFFORT, Tables};
use crate::raster::{Channels, Raster};
use crate::save::Chroma;
use crate::{Code, Error, Result};

/// 4:2:0 with the standard Huffman tables, unless `tables` says otherwise. Alpha is blended over white.
#[cfg(test)]
pub(crate) fn encode(raster: &Raster, tables: &Tables) -> Result<Vec<u8>> {
    let mut coding = Coding::default();
    match tables {
        Tables::Quality(quality) => coding.quality = Some(*quality),
        Tables::Kept(kept) => coding.kept = Some(kept.clone()),
    }
    encode_as(raster, &coding)
}

/// As [`encode`], with these settings. Alpha is blended over white.
pub(crate) fn encode_as(raster: &Raster, coding: &Coding) -> Result<Vec<u8>> {
    let raster = raster.over_white();
    let format = match raster.channels {
        Channels::Gray => PixelFormat::Grayscale,
        _ => PixelFormat::Rgb,
    };
    let encoder = Encoder::new(&raster.data, raster.width as usize, raster.height as usize, format);
    let encoder = match coding.tables() {
        Tables::Quality(quality) => {
            let sampling = match (raster.channels, coding.chroma) {
                (Channels::Gray, _) | (_, Some(Chroma::Full)) => Subsampling::S444,
                (_, Some(Chroma::Half)) => Subsampling::S422,
                (_, None) if quality >= FULL_CHROMA_QUALITY => Subsampling::S444,
                _ => Subsampling::S420,
            };
            encoder.quality(quality).subsampling(sampling)
        }
        Tables::Kept(kept) => encoder
            .quant_table(0, kept.luma)
            .quant_table(1, kept.chroma)
            .force_baseline(true)
            .subsampling(kept.sampling),
    };
    let optimised = coding.progressive || coding.effort >= OPTIMISED_EFFORT;
    encoder
        .progressive(coding.progressive)
        .optimize_huffman(optimised)
        .encode()
        .map_err(|error| Error::new(Code::DecoderFailure, format!("writing JPEG: {error}")))
}
