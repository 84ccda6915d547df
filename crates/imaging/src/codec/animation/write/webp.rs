//! WebP, by libwebp's own animation encoder, which finds the changed area and the best coding of each frame.
//!
//! Only pixels that this crate made are passed to C.

use std::time::Duration;

use super::{Clock, Style, Written};
use crate::codec::reader::unsupported;
use crate::raster::Raster;
use crate::{Code, Error, Format, Result};

/// libwebp's own limit.
const MAX_SIDE: u32 = 16_383;
/// Longest delay of one frame.
pub(super) const LONGEST: Duration = Duration::from_millis((1 << 24) - 1);
/// The flag in VP8X.
const ALPHA: u8 = 0x10;

pub(super) struct File {
    size: (u32, u32),
    encoder: ffi::Encoder,
    clock: Clock,
    /// Where the next frame begins, in milliseconds.
    now: i32,
    /// Whether any pixel is transparent.
    has_alpha: bool,
}

impl File {
    pub(super) fn new(size: (u32, u32), style: &Style) -> Result<Self> {
        if size.0.max(size.1) > MAX_SIDE {
            let detail = format!("{}x{} exceeds WebP's {MAX_SIDE} pixels a side", size.0, size.1);
            return Err(Error::new(Code::OutputTooLarge, detail));
        }
        let encoder = ffi::Encoder::new(size, style).ok_or_else(refused)?;
        Ok(Self { size, encoder, clock: Clock::new(Duration::from_millis(1), 1, LONGEST), now: 0, has_alpha: false })
    }

    pub(super) fn add(&mut self, picture: &Raster, delay: Duration) -> Result<()> {
        assert_eq!(picture.size(), self.size, "an animation's frames have one size");
        let pixels = picture.rgba();
        self.has_alpha = self.has_alpha || pixels.iter().any(|pixel| pixel[3] != 255);
        self.encoder.add(&pixels, self.now).ok_or_else(refused)?;
        self.now = self.now.saturating_add(self.clock.ticks(delay) as i32);
        Ok(())
    }

    pub(super) fn finish(mut self) -> Written {
        let mut data = self.encoder.finish(self.now);
        let frames = frames(&data);
        // libwebp looks only at the frames, which need not cover the canvas.
        if self.has_alpha && data.get(12..16) == Some(b"VP8X") {
            data[20] |= ALPHA;
        }
        Written { data, frames, duration: self.clock.told() }
    }
}

/// The number of frames in libwebp's file. It may join frames, and writes a still if one is left.
fn frames(file: &[u8]) -> u32 {
    let (mut rest, mut frames) = (file.get(12..).unwrap_or_default(), 0);
    while let Some((header, body)) = rest.split_first_chunk::<8>() {
        frames += u32::from(header.starts_with(b"ANMF"));
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        rest = body.get(length + length % 2..).unwrap_or_default();
    }
    frames.max(1)
}

fn refused() -> Error {
    unsupported(Format::WebP, "libwebp could not write the animation")
}

/// Calls libwebp, as do `codec::webp::libwebp` to read and `encode::webp` to write pictures.
mod ffi {
    use std::ptr::NonNull;

    use libwebp_sys::{
        WebPAnimEncoder, WebPAnimEncoderAdd, WebPAnimEncoderAssemble, WebPAnimEncoderDelete,
        WebPAnimEncoderNewInternal, WebPAnimEncoderOptions, WebPAnimEncoderOptionsInitInternal, WebPConfig,
        WebPConfigLosslessPreset, WebPData, WebPDataClear, WebPGetMuxABIVersion, WebPPicture, WebPPictureFree,
        WebPPictureImportRGBA,
    };

    use super::super::Style;
    use crate::codec::quantize::Pixel;
    use crate::codec::webp::memory::{hold, out_of_memory};

    pub(super) struct Encoder {
        inner: NonNull<WebPAnimEncoder>,
        config: WebPConfig,
        size: (i32, i32),
    }

    impl Encoder {
        /// `None` if libwebp refuses; also in the other functions.
        pub(super) fn new(size: (u32, u32), style: &Style) -> Option<Self> {
            let size = (i32::try_from(size.0).ok()?, i32::try_from(size.1).ok()?);
            let mut config = WebPConfig::new().ok()?;
            config.quality = f32::from(style.quality);
            config.method = style.method;
            // SAFETY: `config` is initialised, and only read and written during the call.
            if style.is_lossless && unsafe { WebPConfigLosslessPreset(&raw mut config, style.level) } == 0 {
                return None;
            }
            config.near_lossless = style.near.into();
            let version = WebPGetMuxABIVersion();
            let mut options = std::mem::MaybeUninit::<WebPAnimEncoderOptions>::uninit();
            // SAFETY: `options` is read only after libwebp says that it filled it.
            let mut options = unsafe {
                if WebPAnimEncoderOptionsInitInternal(options.as_mut_ptr(), version) == 0 {
                    return None;
                }
                options.assume_init()
            };
            options.anim_params.loop_count = i32::try_from(style.plays.min(65_535)).ok()?;
            options.anim_params.bgcolor = 0;
            // Drawings with few colours are smaller and sharper without loss.
            options.allow_mixed = (!style.is_lossless).into();
            // SAFETY: the options are initialised and are copied.
            let encoder = unsafe { WebPAnimEncoderNewInternal(size.0, size.1, &raw const options, version) };
            let inner = NonNull::new(encoder).unwrap_or_else(|| out_of_memory());
            Some(Self { inner, config, size })
        }

        /// `pixels` are the complete canvas, shown from `start` on.
        pub(super) fn add(&mut self, pixels: &[Pixel], start: i32) -> Option<()> {
            let (width, height) = self.size;
            assert_eq!(pixels.len(), width as usize * height as usize, "a frame is all of the canvas");
            let mut picture = WebPPicture::new().ok()?;
            (picture.width, picture.height, picture.use_argb) = (width, height, 1);
            // SAFETY: `picture` was initialised by `new` and is freed on every path; `pixels` are `4 * width` bytes a
            // row (asserted above) and outlive the import, which copies them; the encoder is alive until `drop` and
            // keeps nothing of the picture.
            let added = unsafe {
                let added =
                    WebPPictureImportRGBA(&raw mut picture, pixels.as_flattened().as_ptr(), width.checked_mul(4)?) != 0
                        && WebPAnimEncoderAdd(self.inner.as_ptr(), &raw mut picture, start, &raw const self.config)
                            != 0;
                if !added {
                    hold(picture.error_code);
                }
                WebPPictureFree(&raw mut picture);
                added
            };
            added.then_some(())
        }

        /// The file. Its last frame is shown until `end`.
        ///
        /// After its frames were accepted, and within the largest size of a file, this fails only for lack of memory,
        /// with various errors.
        pub(super) fn finish(&mut self, end: i32) -> Vec<u8> {
            let mut data = WebPData::default();
            // SAFETY: no frame ends the animation; `data` describes one allocation, read before it is cleared.
            unsafe {
                let finished = WebPAnimEncoderAdd(self.inner.as_ptr(), std::ptr::null_mut(), end, std::ptr::null())
                    != 0
                    && WebPAnimEncoderAssemble(self.inner.as_ptr(), &raw mut data) != 0;
                if !finished || data.bytes.is_null() {
                    out_of_memory();
                }
                let file = std::slice::from_raw_parts(data.bytes, data.size).to_vec();
                WebPDataClear(&mut data);
                file
            }
        }
    }

    impl Drop for Encoder {
        fn drop(&mut self) {
            // SAFETY: it is not used again.
            unsafe { WebPAnimEncoderDelete(self.inner.as_ptr()) }
        }
    }
}
