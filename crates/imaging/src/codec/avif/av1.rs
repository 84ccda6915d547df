//! The one place that talks to `re_rav1d`: one coded picture in, its planes out.
//!
//! A panic inside it would end the process, for its own boundary is C's; none was ever seen (62,807 mutated files), and a
//! worker's child process that ends so costs only its own pictures.

#![expect(clippy::inline_always, reason = "loops are compiled for the registers of those that they are in")]

use re_rav1d::dav1d::{Decoder, Error as Av1Error, PixelLayout, PlanarImageComponent, Settings};

use super::boxes::Nclx;
use crate::codec::reader::{corrupt, truncated, unsupported};
use crate::{Code, Error, Format, Result};

/// A decoded picture.
pub(super) struct Frame {
    picture: re_rav1d::dav1d::Picture,
    pub(super) width: u32,
    pub(super) height: u32,
    /// 8, 10 or 12.
    pub(super) bits: u32,
    pub(super) chroma: Option<Chroma>,
}

/// How chroma is subsampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chroma {
    pub(super) horizontal: bool,
    pub(super) vertical: bool,
}

/// The first picture, of at most `pixels` pixels; of a layered picture this layer, or the finest.
pub(super) fn decode(bytes: Vec<u8>, pixels: u64, operating_point: u8, layer: Option<u8>) -> Result<Frame> {
    let mut settings = Settings::new();
    settings.set_n_threads(1);
    settings.set_max_frame_delay(1);
    // Without finer layers, the chosen one is the last.
    settings.set_all_layers(layer.is_some());
    let bytes = match layer {
        Some(layer) => up_to_layer(&bytes, layer)?,
        None => bytes,
    };
    settings.set_operating_point(operating_point.into());
    settings.set_frame_size_limit(u32::try_from(pixels).unwrap_or(u32::MAX));
    let mut decoder = Decoder::with_settings(&settings).map_err(refused)?;
    let mut sent = decoder.send_data(bytes, None, None, None);
    let mut last = None;
    let picture = loop {
        match decoder.get_picture() {
            Ok(picture) if layer.is_none() => break picture,
            Ok(picture) => last = Some(picture),
            Err(error) if error.is_again() => match sent {
                Err(error) if error.is_again() => sent = decoder.send_pending_data(),
                Err(error) => return Err(refused(error)),
                Ok(()) => {
                    let ends_early = || truncated(Format::Avif, "the data ends before the picture does");
                    break last.ok_or_else(ends_early)?;
                }
            },
            Err(error) => return Err(refused(error)),
        }
    };
    let chroma = match picture.pixel_layout() {
        PixelLayout::I400 => None,
        PixelLayout::I420 => Some(Chroma { horizontal: true, vertical: true }),
        PixelLayout::I422 => Some(Chroma { horizontal: true, vertical: false }),
        PixelLayout::I444 => Some(Chroma { horizontal: false, vertical: false }),
    };
    let (width, height, bits) = (picture.width(), picture.height(), picture.bit_depth() as u32);
    Ok(Frame { picture, width, height, bits, chroma })
}

/// The bit stream without the layers above one (AV1 specification, 5.3: each unit's header may name its spatial layer).
fn up_to_layer(mut units: &[u8], layer: u8) -> Result<Vec<u8>> {
    let broken = || corrupt(Format::Avif, "AV1: a unit is cut off");
    let mut kept = Vec::with_capacity(units.len());
    while let Some(&header) = units.first() {
        let (has_extension, has_size) = (header & 4 != 0, header & 2 != 0);
        let spatial = if has_extension { units.get(1).ok_or_else(broken)? >> 3 & 3 } else { 0 };
        let mut end = 1 + usize::from(has_extension);
        if has_size {
            let mut size = 0;
            // Seven bits a byte, the lowest first.
            for byte in 0..8 {
                let &value = units.get(end).ok_or_else(broken)?;
                end += 1;
                size |= u64::from(value & 0x7f) << (7 * byte);
                if value & 0x80 == 0 {
                    break;
                }
            }
            end = usize::try_from(size).ok().and_then(|size| end.checked_add(size)).ok_or_else(broken)?;
        } else {
            end = units.len();
        }
        let (unit, rest) = units.split_at_checked(end).ok_or_else(broken)?;
        if spatial <= layer {
            kept.extend_from_slice(unit);
        }
        units = rest;
    }
    Ok(kept)
}

fn refused(error: Av1Error) -> Error {
    match error {
        Av1Error::NotEnoughMemory => Error::new(Code::TooLarge, "AVIF: there is not enough memory for it"),
        Av1Error::UnsupportedBitstream => unsupported(Format::Avif, "its AV1 bit stream is not supported"),
        Av1Error::UnknownError(re_error) => corrupt(Format::Avif, format!("AV1: {re_error:?}")),
        other => corrupt(Format::Avif, format!("AV1: {other}")),
    }
}

impl Frame {
    /// What the bit stream says of its colours.
    pub(super) fn nclx(&self) -> Nclx {
        Nclx {
            primaries: self.picture.color_primaries() as u16,
            transfer: self.picture.transfer_characteristic() as u16,
            matrix: self.picture.matrix_coefficients() as u16,
            full_range: self.picture.color_range() == re_rav1d::dav1d::pixel::YUVRange::Full,
        }
    }

    /// Hands each row of plane 0, 1 or 2 to `row`, as numbers.
    pub(super) fn plane(&self, index: usize) -> Plane {
        let component = [PlanarImageComponent::Y, PlanarImageComponent::U, PlanarImageComponent::V][index];
        let halved = |side: u32, halved: bool| if halved { side.div_ceil(2) } else { side };
        let chroma = self.chroma.filter(|_| index > 0);
        Plane {
            bytes: self.picture.plane(component),
            stride: self.picture.stride(component) as usize,
            width: halved(self.width, chroma.is_some_and(|chroma| chroma.horizontal)) as usize,
            height: halved(self.height, chroma.is_some_and(|chroma| chroma.vertical)) as usize,
            wide: self.bits > 8,
        }
    }
}

pub(super) struct Plane {
    bytes: re_rav1d::dav1d::Plane,
    stride: usize,
    pub(super) width: usize,
    pub(super) height: usize,
    wide: bool,
}

impl Plane {
    /// Row `y`, or the last, as numbers, into `row`.
    #[inline(always)]
    pub(super) fn row(&self, y: usize, row: &mut [f32]) {
        let bytes = &self.bytes[y.min(self.height - 1) * self.stride..];
        if self.wide {
            for (value, bytes) in row[..self.width].iter_mut().zip(bytes.as_chunks::<2>().0) {
                *value = u16::from_ne_bytes(*bytes).into();
            }
        } else {
            for (value, &byte) in row[..self.width].iter_mut().zip(bytes) {
                *value = byte.into();
            }
        }
    }
}
