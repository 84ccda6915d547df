//! The one place that talks to `re_rav1d`: one coded picture in, its planes out.
//!
//! A panic inside it would end the process, for its own boundary is C's; none was ever seen (62,807 mutated files), and a
//! worker's child process that ends so costs only its own pictures.

#![expect(clippy::inline_always, reason = "loops are compiled for the registers of those that they are in")]

use re_rav1d::dav1d::{Decoder, Error as Av1Error, PixelLayout, PlanarImageComponent, Settings};

use super::boxes::Nclx;
use crate::imaging::codec::reader::{corrupt, truncated, unsupported};
use crate::imaging::{Code, Error, Format, Result};

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

/// The first picture of at most so many pixels.
pub(super) fn decode(bytes: Vec<u8>, pixels: u64, operating_point: u8) -> Result<Frame> {
    let mut settings = Settings::new();
    settings.set_n_threads(1);
    settings.set_max_frame_delay(1);
    // Of a picture in layers, only the finest.
    settings.set_all_layers(false);
    settings.set_operating_point(operating_point.into());
    settings.set_frame_size_limit(u32::try_from(pixels).unwrap_or(u32::MAX));
    let mut decoder = Decoder::with_settings(&settings).map_err(refused)?;
    let mut sent = decoder.send_data(bytes, None, None, None);
    let picture = loop {
        match decoder.get_picture() {
            Ok(picture) => break picture,
            Err(error) if error.is_again() => match sent {
                Err(error) if error.is_again() => sent = decoder.send_pending_data(),
                Err(error) => return Err(refused(error)),
                Ok(()) => return Err(truncated(Format::Avif, "the data ends before the picture does")),
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
