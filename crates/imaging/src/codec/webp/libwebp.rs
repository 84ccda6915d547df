//! Pixels out of a WebP's data, by libwebp's incremental decoder. `encode::webp` and `animation::write::webp` talk to its
//! encoders.
//!
//! The source is given to it piece by piece, and in between the caller is asked whether to go on.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

use libwebp_sys::VP8StatusCode::{
    self as Status, VP8_STATUS_NOT_ENOUGH_DATA, VP8_STATUS_OK, VP8_STATUS_OUT_OF_MEMORY, VP8_STATUS_SUSPENDED,
    VP8_STATUS_USER_ABORT,
};
use libwebp_sys::{
    WEBP_CSP_MODE, WebPBitstreamFeatures, WebPGetFeatures, WebPIDecGetRGB, WebPIDecoder, WebPIDelete, WebPINewRGB,
    WebPIUpdate,
};

use super::super::reader::{corrupt, interrupted, truncated};
use super::chunks::Chunks;
use super::memory::out_of_memory;
use crate::raster::{Channels, Raster};
use crate::{Code, Error, Format, Result};

/// What a piece is long at least.
const PIECE: usize = 32 << 10;
/// What libwebp calls lossless pictures.
const LOSSLESS: i32 = 2;

/// The picture of `size` that a file holds, or what a frame of an animation does: `ALPH` and `VP8 `, or `VP8L`.
///
/// With alpha where the source says so. Whether the source ends early is told beside it: what is missing is grey, or
/// transparent.
///
/// # Errors
/// `truncated-image` where nothing can be shown, `corrupt-image` and `time-limit`.
pub(in crate::codec) fn read(
    source: &[u8],
    (width, height): (u32, u32),
    is_over: &dyn Fn() -> bool,
) -> Result<(Raster, bool)> {
    let features = features(source)?;
    let mut raster = if features.has_alpha == 0 {
        Raster::filled(width, height, Channels::Rgb, &[0x80; 3])
    } else {
        Raster::filled(width, height, Channels::Rgba, &[0; 4])
    };
    let is_cut = fill(&mut raster, source, features.format == LOSSLESS, is_over)?;
    Ok((raster, is_cut))
}

/// Whether the source ends early.
fn fill(raster: &mut Raster, source: &[u8], is_lossless: bool, is_over: &dyn Fn() -> bool) -> Result<bool> {
    let place = raster.size();
    let mut decoder = Decoder::new(source, raster);
    let mut length = 0;
    let status = loop {
        if is_over() {
            return Err(interrupted());
        }
        let piece = if is_lossless && decoder.shown().is_none() {
            // Until all codes are there, libwebp waits for an eighth, and then reads them from the first one on each time.
            (source.len() / 8).max(3 * length)
        } else {
            length / 8
        };
        length = source.len().min(length + PIECE.max(piece));
        let status = decoder.read(length);
        if status != VP8_STATUS_SUSPENDED || length == source.len() {
            break status;
        }
    };
    let shown = decoder.shown();
    drop(decoder);
    if let Some(((width, height), _)) = shown
        && (width, height) != place
    {
        let detail = format_args!("its picture is {width}×{height} and its place {}×{}", place.0, place.1);
        return Err(corrupt(Format::WebP, detail));
    }
    match (status, shown) {
        (VP8_STATUS_OK | VP8_STATUS_SUSPENDED, Some((_, 1..))) => Ok(status == VP8_STATUS_SUSPENDED),
        (VP8_STATUS_OK | VP8_STATUS_SUSPENDED | VP8_STATUS_NOT_ENOUGH_DATA, _) => Err(ends_early()),
        (VP8_STATUS_OUT_OF_MEMORY, _) => out_of_memory(),
        // So ends what is written row by row, whether its alpha is wrong or there is no memory for it.
        (VP8_STATUS_USER_ABORT, _) => {
            check_alpha(raster, source, is_over)?;
            out_of_memory()
        }
        _ => Err(no_picture()),
    }
}

/// Whether a lossy picture's alpha is well, for which that is read alone, into the raster.
fn check_alpha(raster: &mut Raster, source: &[u8], is_over: &dyn Fn() -> bool) -> Result<()> {
    let Some(alpha) = alpha(source) else { return Ok(()) };
    let (&header, data) = alpha.split_first().ok_or_else(no_picture)?;
    let (width, height) = raster.size();
    let is_well = match header {
        // Beside the filter, and whether there are fewer levels than 256.
        header if header & !0b0001_1100 == 0 => data.len() as u64 >= u64::from(width) * u64::from(height),
        header if header & !0b0001_1100 == 1 => {
            // Lossless alpha is a lossless picture that lacks the header.
            let sides = (width - 1) | (height - 1) << 14;
            let length = data.len() as u32 + 5;
            let picture = [b"VP8L", &length.to_le_bytes()[..], &[0x2f], &sides.to_le_bytes(), data].concat();
            match fill(raster, &picture, true, is_over) {
                Err(error) if error.code == Code::TimeLimit => return Err(error),
                read => matches!(read, Ok(false)),
            }
        }
        _ => false,
    };
    if is_well { Ok(()) } else { Err(no_picture()) }
}

/// That of a lossy picture: in a file, or in what a frame holds.
fn alpha(source: &[u8]) -> Option<&[u8]> {
    let list = if source.starts_with(b"RIFF") { source.get(12..)? } else { source };
    let (mut chunks, mut alpha) = (Chunks::new(list), None);
    while let Ok(Some((kind, body))) = chunks.next() {
        match &kind {
            b"ALPH" => alpha = Some(body),
            b"VP8 " => break,
            _ => {}
        }
    }
    alpha
}

pub(in crate::codec) fn ends_early() -> Error {
    truncated(Format::WebP, "the file ends before its picture does")
}

fn no_picture() -> Error {
    corrupt(Format::WebP, "its data are no picture")
}

fn features(source: &[u8]) -> Result<WebPBitstreamFeatures> {
    let mut features = MaybeUninit::uninit();
    // SAFETY: libwebp reads `source` up to its length, and `features` are read only after it says that it filled them.
    unsafe {
        match WebPGetFeatures(source.as_ptr(), source.len(), features.as_mut_ptr()) {
            VP8_STATUS_OK => Ok(features.assume_init()),
            VP8_STATUS_NOT_ENOUGH_DATA => Err(ends_early()),
            _ => Err(no_picture()),
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
        (!pixels.is_null() && width > 0).then(|| ((width.unsigned_abs(), height.unsigned_abs()), rows.unsigned_abs()))
    }
}

impl Drop for Decoder<'_> {
    fn drop(&mut self) {
        // SAFETY: it is not used again.
        unsafe { WebPIDelete(self.inner.as_ptr()) }
    }
}
