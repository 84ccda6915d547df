//! How much memory a plan takes at the most, known from the header alone.

use super::output::pixels;
use super::sized;
use crate::codec;
use crate::operation::{Action, Operation};
use crate::ops::watermark;
use crate::{Format, Header, Limits};

/// Bytes that a picture takes beside its pixels: tables, a thread's stack, glyphs, an unpacked profile.
const OVERHEAD: u64 = 8 << 20;

/// Bytes of the resampler's weights for each pixel along a side of its source.
const WEIGHTS: u64 = 400;

/// Bytes a pixel of an animated output: its current picture, the waiting one, and the earlier ones that its writer keeps.
const ANIMATED_BYTES_A_PIXEL: u64 = 64;
/// Bytes a pixel of the canvas, its saved copy, a decoded frame, and the picture in sRGB and turned.
const CANVAS_BYTES_A_PIXEL: u64 = 24;
/// Bytes of the counted colours and their tables.
const QUANTISING: u64 = 16 << 20;

/// The most memory that [`process`](crate::process) takes for a source of this length and header, in bytes.
///
/// `bytes + decoding × pixels of the source + making × pixels of the largest picture made + 400 × (width + height) + 8 MiB`,
/// and for AVIF and JPEG XL 16 MiB; and what a watermark takes beside the picture. The bytes a pixel are by format, and no picture measured here
/// exceeds them; most stay far below. Animated outputs add what their writers keep, and their files; a resize in linear
/// light its copies of 16 bits.
pub fn estimate(bytes: u64, header: &Header, operations: &[Operation], limits: &Limits) -> u64 {
    let source = u64::from(header.width) * u64::from(header.height);
    // The header does not say whether the picture is turned: both ways are computed.
    let sizes = [(header.width, header.height), (header.height, header.width)];
    let made = sizes.into_iter().filter_map(|size| largest_step(size, operations, limits)).max().unwrap_or(0);
    let (decoding, making) = codec::bytes_a_pixel(header);
    let writing = |operation: &Operation| codec::encode::memory(&operation.save);
    let (writing, searching) =
        operations.iter().map(writing).fold((0, 0), |most, one| (most.0.max(one.0), most.1.max(one.1)));
    let longest = u64::from(header.width.max(header.height)).max(2 * made.isqrt());
    let marks = watermark::memory(operations, made.max(source), longest);
    let weights = (u64::from(header.width) + u64::from(header.height)) * WEIGHTS;
    let stills = source * decoding + made * making.max(writing) + searching + weights + codec::overhead(header.format);
    let is_linear = |action: &Action| matches!(action, Action::Resize(resize) if resize.linear);
    let light = if operations.iter().flat_map(Operation::actions).any(is_linear) {
        made.max(source) * codec::light_bytes_a_pixel(header)
    } else {
        0
    };
    let animated = sizes.into_iter().map(|size| animated_memory(header, size, operations, limits)).max();
    bytes + stills + marks + light + animated.unwrap_or(0) + OVERHEAD
}

/// The pixels of the largest picture between a source of this size and an output; `None` where the source is refused
/// before it is decoded.
fn largest_step(size: (u32, u32), operations: &[Operation], limits: &Limits) -> Option<u64> {
    let outputs = sized(size, 1, operations, limits).ok()?;
    let sizes = outputs.iter().map(|planned| {
        // An output that does not begin with a resize works on a copy of the source.
        planned.largest.max(if planned.begins_with_resize() { 0 } else { pixels(size) })
    });
    sizes.max()
}

/// What animated outputs take together, in bytes: the canvas, each one's pictures on the way and in its writer, and all
/// of its file, which is counted as if nothing in it could be compressed well.
fn animated_memory(header: &Header, size: (u32, u32), operations: &[Operation], limits: &Limits) -> u64 {
    let Ok(outputs) = sized(size, 1, operations, limits) else { return 0 };
    let animated = outputs.iter().filter(|planned| planned.is_animated(header));
    let each = animated.map(|planned| {
        let file = match planned.save.format.unwrap_or(header.format) {
            Format::Gif => 2,
            _ => 4,
        };
        let frames = u64::from(header.frames) * pixels(planned.size) * file;
        planned.largest.max(pixels(size)) * ANIMATED_BYTES_A_PIXEL + frames
    });
    let sum: u64 = each.sum();
    if sum == 0 { 0 } else { sum + pixels(size) * CANVAS_BYTES_A_PIXEL + QUANTISING }
}
