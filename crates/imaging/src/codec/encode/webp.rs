//! WebP, by libwebp: lossy, lossless and near-lossless, with alpha.
//!
//! libwebp is called in one small module at the end.

use super::{Coding, coloured, go_on};
use crate::raster::Raster;
use crate::{Code, Error, Result};

pub(super) const DEFAULT_QUALITY: u8 = 82;

pub(super) fn encode(raster: &Raster, coding: &Coding, interrupted: &dyn Fn() -> bool) -> Result<Vec<u8>> {
    let quality = coding.quality;
    let settings = if coding.lossless {
        let level = i32::from(coding.effort.clamp(1, 10)) - 1;
        ffi::Settings::Lossless { level, near: i32::from(quality.unwrap_or(100)) }
    } else {
        ffi::Settings::Lossy { quality: f32::from(quality.unwrap_or(DEFAULT_QUALITY)), method: method(coding.effort) }
    };
    let data = ffi::encode(&coloured(raster), &settings, interrupted);
    // libwebp's error does not show whether it was stopped.
    go_on(interrupted)?;
    data.ok_or_else(|| Error::new(Code::DecoderFailure, "writing WebP: libwebp could not write the picture"))
}

/// libwebp's method, 0 to 6. Method 2 takes half the time of method 4 for a few percent more bytes.
pub(super) fn method(effort: u8) -> i32 {
    match effort {
        ..=5 => i32::from(effort.max(1)) - 1,
        6 | 7 => 5,
        _ => 6,
    }
}

/// Calls libwebp, as do `codec::webp::libwebp` to read and `animation::write::webp` to write animations.
mod ffi {
    use std::ffi::c_int;
    use std::ptr;

    use libwebp_sys::{
        WebPConfig, WebPConfigLosslessPreset, WebPEncode, WebPMemoryWrite, WebPMemoryWriter, WebPMemoryWriterClear,
        WebPMemoryWriterInit, WebPPicture, WebPPictureFree, WebPPictureImportRGB, WebPPictureImportRGBA,
    };

    use crate::codec::webp::memory::hold;
    use crate::raster::{Channels, Raster};

    pub(super) enum Settings {
        Lossy {
            quality: f32,
            method: c_int,
        },
        /// `level` is 0 to 9. With a `near` of 100, every pixel is kept exactly.
        Lossless {
            level: c_int,
            near: c_int,
        },
    }

    /// The data that libwebp passes to [`progress`].
    struct Watch<'a> {
        interrupted: &'a dyn Fn() -> bool,
    }

    /// Called by libwebp during its work; 0 makes it stop.
    unsafe extern "C" fn progress(_percent: c_int, picture: *const WebPPicture) -> c_int {
        // SAFETY: libwebp passes on the picture that it was given. Its `user_data` is a `Watch` that outlives the call.
        let watch = unsafe { &*(*picture).user_data.cast::<Watch<'_>>() };
        let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (watch.interrupted)()));
        c_int::from(!asked.unwrap_or(true))
    }

    /// `None` if libwebp refuses, or was stopped. The raster is RGB or RGBA.
    pub(super) fn encode(raster: &Raster, settings: &Settings, interrupted: &dyn Fn() -> bool) -> Option<Vec<u8>> {
        let (width, height) = (i32::try_from(raster.width).ok()?, i32::try_from(raster.height).ok()?);
        let stride = i32::try_from(raster.stride()).ok()?;
        assert_eq!(raster.data.len(), raster.stride() * raster.height as usize, "a raster is full");
        let import = match raster.channels {
            Channels::Rgb => WebPPictureImportRGB,
            Channels::Rgba => WebPPictureImportRGBA,
            Channels::Gray => return None,
        };
        let mut config = WebPConfig::new().ok()?;
        let mut picture = WebPPicture::new().ok()?;
        match *settings {
            Settings::Lossy { quality, method } => {
                config.quality = quality;
                config.method = method;
            }
            Settings::Lossless { level, near } => {
                // SAFETY: `config` is initialised, and only read and written during the call.
                if unsafe { WebPConfigLosslessPreset(&raw mut config, level) } == 0 {
                    return None;
                }
                config.near_lossless = near;
                // With `exact`, libwebp also keeps the colours of fully transparent pixels.
                config.exact = c_int::from(near == 100);
                picture.use_argb = 1;
            }
        }
        picture.width = width;
        picture.height = height;
        let mut watch = Watch { interrupted };
        // SAFETY: `writer` is initialised before use and cleared after it; `picture` was
        // initialised by `new` and is freed on every path; the raster's buffer holds
        // `stride * height` bytes (asserted above) and outlives the import, which copies it;
        // `custom_ptr` points to `writer` and `user_data` to `watch`, which outlive `WebPEncode`; `mem` and `size`
        // describe one allocation that is read before it is cleared.
        unsafe {
            let mut writer = std::mem::MaybeUninit::<WebPMemoryWriter>::uninit();
            WebPMemoryWriterInit(writer.as_mut_ptr());
            let mut writer = writer.assume_init();
            picture.writer = Some(WebPMemoryWrite);
            picture.custom_ptr = ptr::from_mut(&mut writer).cast();
            picture.progress_hook = Some(progress);
            picture.user_data = ptr::from_mut(&mut watch).cast();
            let written = import(&raw mut picture, raster.data.as_ptr(), stride) != 0
                && WebPEncode(&raw const config, &raw mut picture) != 0;
            if !written {
                hold(picture.error_code);
            }
            let data = (written && !writer.mem.is_null())
                .then(|| std::slice::from_raw_parts(writer.mem, writer.size).to_vec());
            WebPPictureFree(&raw mut picture);
            WebPMemoryWriterClear(&raw mut writer);
            data
        }
    }
}
