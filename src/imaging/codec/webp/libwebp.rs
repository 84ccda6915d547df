//! Pixels out of a WebP's data, by libwebp's incremental decoder: the one place that talks to it.
//!
//! The source is given to it piece by piece, and in between the caller is asked whether to go on.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

use libwebp_sys::VP8StatusCode::{
    self as Status, VP8_STATUS_NOT_ENOUGH_DATA, VP8_STATUS_OK, VP8_STATUS_OUT_OF_MEMORY, VP8_STATUS_SUSPENDED,
};
use libwebp_sys::{
    WEBP_CSP_MODE, WebPGetFeatures, WebPIDecGetRGB, WebPIDecoder, WebPIDelete, WebPINewRGB, WebPIUpdate,
};

use super::super::reader::{corrupt, interrupted, truncated};
use super::memory::out_of_memory;
use crate::imaging::raster::{Channels, Raster};
use crate::imaging::{Error, Format, Result};

/// What a piece is long at least.
const PIECE: usize = 32 << 10;

/// The picture of `size` that a file holds, or what a frame of an animation does: `ALPH` and `VP8 `, or `VP8L`.
///
/// With alpha where the source says so. Whether the source ends early is told beside it: what is missing is grey, or
/// transparent.
///
/// # Errors
/// `truncated-image` where nothing can be shown, `corrupt-image` and `time-limit`.
pub(in crate::imaging::codec) fn read(
    source: &[u8],
    (width, height): (u32, u32),
    is_over: &dyn Fn() -> bool,
) -> Result<(Raster, bool)> {
    let mut raster = if has_alpha(source)? {
        Raster::filled(width, height, Channels::Rgba, &[0; 4])
    } else {
        Raster::filled(width, height, Channels::Rgb, &[0x80; 3])
    };
    let is_cut = fill(&mut raster, source, is_over)?;
    Ok((raster, is_cut))
}

/// Whether the source ends early.
fn fill(raster: &mut Raster, source: &[u8], is_over: &dyn Fn() -> bool) -> Result<bool> {
    let place = raster.size();
    let mut decoder = Decoder::new(source, raster);
    let mut length = 0;
    let status = loop {
        if is_over() {
            return Err(interrupted());
        }
        // Until all of a lossless picture's codes are there, they are read from the first one on each time.
        length = source.len().min(length + PIECE.max(length / 8));
        let status = decoder.read(length);
        if status != VP8_STATUS_SUSPENDED || length == source.len() {
            break status;
        }
    };
    if !matches!(status, VP8_STATUS_OK | VP8_STATUS_SUSPENDED) {
        return Err(failed(status));
    }
    match decoder.shown() {
        Some((size, rows)) if rows > 0 && size != place => Err(corrupt(
            Format::WebP,
            format_args!("its picture is {}×{} and its place {}×{}", size.0, size.1, place.0, place.1),
        )),
        Some((_, rows)) if rows > 0 => Ok(status == VP8_STATUS_SUSPENDED),
        _ => Err(ends_early()),
    }
}

pub(in crate::imaging::codec) fn ends_early() -> Error {
    truncated(Format::WebP, "the file ends before its picture does")
}

fn failed(status: Status) -> Error {
    match status {
        VP8_STATUS_NOT_ENOUGH_DATA => ends_early(),
        VP8_STATUS_OUT_OF_MEMORY => out_of_memory(),
        _ => corrupt(Format::WebP, "its data are no picture"),
    }
}

fn has_alpha(source: &[u8]) -> Result<bool> {
    let mut features = MaybeUninit::uninit();
    // SAFETY: libwebp reads `source` up to its length, and `features` are read only after it says that it filled them.
    unsafe {
        match WebPGetFeatures(source.as_ptr(), source.len(), features.as_mut_ptr()) {
            VP8_STATUS_OK => Ok(features.assume_init().has_alpha != 0),
            other => Err(failed(other)),
        }
    }
}

/// Fills a raster's pixels, in its own channels.
struct Decoder<'a> {
    inner: NonNull<WebPIDecoder>,
    source: &'a [u8],
    raster: PhantomData<&'a mut Raster>,
}

impl<'a> Decoder<'a> {
    /// Of RGB or RGBA.
    fn new(source: &'a [u8], raster: &'a mut Raster) -> Self {
        let mode = if raster.has_alpha() { WEBP_CSP_MODE::MODE_RGBA } else { WEBP_CSP_MODE::MODE_RGB };
        let stride = i32::try_from(raster.stride()).expect("a side has 24 bits at most");
        // SAFETY: the pixels are `data.len()` bytes, which libwebp holds against the picture's size before it writes; they
        // outlive the decoder, which borrows the raster.
        let inner = unsafe { WebPINewRGB(mode, raster.data.as_mut_ptr(), raster.data.len(), stride) };
        let inner = NonNull::new(inner).unwrap_or_else(|| out_of_memory());
        Self { inner, source, raster: PhantomData }
    }

    /// Goes on with the source's first `length` bytes, no fewer than before.
    fn read(&mut self, length: usize) -> Status {
        let source = &self.source[..length];
        // SAFETY: the decoder is alive until `drop`, and the source, to which it keeps pointers, outlives it.
        unsafe { WebPIUpdate(self.inner.as_ptr(), source.as_ptr(), source.len()) }
    }

    /// The picture's size and how many of its rows are there, once its header is read.
    fn shown(&self) -> Option<((u32, u32), u32)> {
        let (mut rows, mut width, mut height) = (0, 0, 0);
        // SAFETY: the decoder is alive, and libwebp writes to the three integers or nowhere.
        let pixels = unsafe {
            WebPIDecGetRGB(self.inner.as_ptr(), &raw mut rows, &raw mut width, &raw mut height, ptr::null_mut())
        };
        (!pixels.is_null()).then(|| ((width.unsigned_abs(), height.unsigned_abs()), rows.unsigned_abs()))
    }
}

impl Drop for Decoder<'_> {
    fn drop(&mut self) {
        // SAFETY: it is not used again.
        unsafe { WebPIDelete(self.inner.as_ptr()) }
    }
}
