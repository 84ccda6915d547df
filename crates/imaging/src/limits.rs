//! The limits of one picture, checked from headers before memory is taken.

use serde::{Deserialize, Serialize};

use super::{Code, Error, Header, Result};

/// The limits of a picture, checked from its header before memory is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes of one source file.
    pub max_file_bytes: u64,
    /// Pixels of one frame, `width * height`.
    pub max_pixels: u64,
    /// Pixels on a side of a source.
    pub max_side: u32,
    /// Pixels summed over all frames.
    pub max_frame_pixels: u64,
    pub max_frames: u32,
    /// Bytes of a decoded picture in memory.
    pub max_decoded_bytes: u64,
    /// Pixels on a side of an output.
    pub max_output_side: u32,
    /// Operations in one request, those inside pipelines counted too.
    pub max_operations: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_file_bytes: 40_000_000,
            max_pixels: 50_000_000,
            max_side: 131_072,
            max_frame_pixels: 400_000_000,
            max_frames: 900,
            max_decoded_bytes: 512 << 20,
            max_output_side: 16_384,
            max_operations: 32,
        }
    }
}

impl Limits {
    /// Checks a source's header against the limits.
    ///
    /// # Errors
    /// `too-many-frames`, `too-many-pixels` or `too-large`, naming the limit.
    pub fn check(&self, header: &Header) -> Result<()> {
        let pixels = u64::from(header.width) * u64::from(header.height);
        let summed = pixels.saturating_mul(u64::from(header.frames));
        let side = header.width.max(header.height);
        // Four channels.
        let bytes = pixels.saturating_mul(if header.deep { 8 } else { 4 });
        let refuse = |code, what: &str, value: u64, name: &str, limit: u64| {
            Err(Error::new(code, format!("{what} {value} exceeds limits.{name} ({limit})")))
        };
        if pixels > self.max_pixels {
            return refuse(Code::TooManyPixels, "the pixel count", pixels, "max_pixels", self.max_pixels);
        }
        if side > self.max_side {
            return refuse(Code::TooLarge, "a side of", side.into(), "max_side", self.max_side.into());
        }
        if header.frames > self.max_frames {
            let (frames, limit) = (header.frames.into(), self.max_frames.into());
            return refuse(Code::TooManyFrames, "the frame count", frames, "max_frames", limit);
        }
        if summed > self.max_frame_pixels {
            let limit = self.max_frame_pixels;
            return refuse(Code::TooManyPixels, "the pixel count of all frames", summed, "max_frame_pixels", limit);
        }
        if bytes > self.max_decoded_bytes {
            let limit = self.max_decoded_bytes;
            return refuse(Code::TooLarge, "the decoded size", bytes, "max_decoded_bytes", limit);
        }
        Ok(())
    }
}
