//! From decoded samples, as the file stores them, to pixels.

use ::tiff::ColorType;
use ::tiff::decoder::BufferLayoutPreference;
use ::tiff::tags::SampleFormat;

use crate::codec::reader::unsupported;
use crate::raster::{Channels, Raster, Sample};
use crate::{Format, Result};

#[derive(Debug, Clone)]
pub(super) struct Palette {
    pub(super) colours: Vec<[u8; 3]>,
    /// The offset of the photometric interpretation in the file.
    pub(super) photometric_at: usize,
}

/// The meaning of the sample after the colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Alpha {
    #[default]
    Straight,
    /// Alpha that the colours are multiplied with.
    Premultiplied,
    /// It is not alpha.
    None,
}

impl Alpha {
    fn plain<S: Sample>(self, value: S, alpha: S) -> S {
        if self != Self::Premultiplied {
            return value;
        }
        let (v, a, max) = (u64::from(value.number()), u64::from(alpha.number()), u64::from(S::MAX.number()));
        S::from_number((v * max + a / 2).checked_div(a).unwrap_or(0).min(max) as u32)
    }
}

/// A decoded picture as the file stores it.
pub(super) struct Stored {
    width: u32,
    height: u32,
    colour: ColorType,
    /// Samples of a pixel, including those that the colours do not use.
    count: usize,
    kind: Kind,
    row_stride: usize,
    /// Bytes from one plane to the next, if each sample has a plane. `None`: the samples of a pixel are together.
    plane_stride: Option<usize>,
    data: Vec<u8>,
}

/// How a sample is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// 1, 2 or 4.
    Bits(usize),
    Byte,
    Word,
    Long,
    Float,
}

impl Stored {
    pub(super) fn new(
        layout: &BufferLayoutPreference,
        colour: ColorType,
        width: u32,
        height: u32,
        data: Vec<u8>,
    ) -> Result<Self> {
        let bits = colour.bit_depth();
        let kind = match (layout.sample_format, bits) {
            (SampleFormat::Uint, 1 | 2 | 4) => Kind::Bits(bits.into()),
            (SampleFormat::Uint, 8) => Kind::Byte,
            (SampleFormat::Uint, 16) => Kind::Word,
            (SampleFormat::Uint, 32) => Kind::Long,
            (SampleFormat::IEEEFP, 32) => Kind::Float,
            (format, bits) => return Err(unsupported(Format::Tiff, format_args!("{bits} bits as {format:?}"))),
        };
        let (row_stride, planes) = (layout.row_stride.map_or(0, std::num::NonZero::get), layout.planes.max(1));
        let mut count = usize::from(colour.num_samples());
        if planes == 1 && bits >= 8 {
            // Samples that the colours have no use for.
            count = count.max(row_stride / usize::from(bits / 8) / (width as usize).max(1));
        }
        let per_row = if planes > 1 { width as usize } else { width as usize * count };
        let plane_stride = layout.plane_stride.filter(|_| planes > 1).map(std::num::NonZero::get);
        let needed = row_stride * height as usize;
        let whole = match plane_stride {
            Some(stride) => planes >= count && needed <= stride && stride * count <= data.len(),
            None => needed <= data.len(),
        };
        if !whole || row_stride < (per_row * usize::from(bits)).div_ceil(8) {
            return Err(unsupported(Format::Tiff, "its samples are laid out as nobody expects"));
        }
        Ok(Self { width, height, colour, count, kind, row_stride, plane_stride, data })
    }

    /// All samples, pixel by pixel.
    pub(super) fn samples<S: Sample>(&self) -> Vec<S> {
        let (width, height) = (self.width as usize, self.height as usize);
        let mut samples = Vec::with_capacity(width * height * self.count);
        for y in 0..height {
            match self.plane_stride {
                None => {
                    let row = &self.data[y * self.row_stride..][..self.row_stride];
                    samples.extend((0..width * self.count).map(|i| self.sample::<S>(row, i)));
                }
                Some(stride) => {
                    let rows = |plane: usize| &self.data[plane * stride + y * self.row_stride..][..self.row_stride];
                    let pixel = |x: usize| (0..self.count).map(move |plane| self.sample::<S>(rows(plane), x));
                    samples.extend((0..width).flat_map(pixel));
                }
            }
        }
        samples
    }

    fn sample<S: Sample>(&self, row: &[u8], i: usize) -> S {
        match self.kind {
            Kind::Byte => S::widen(row[i]),
            Kind::Bits(bits) => {
                let max = (1 << bits) - 1;
                S::widen((index(row, i, bits) * 255 / max) as u8)
            }
            Kind::Word => of_word(u16::from_ne_bytes([row[2 * i], row[2 * i + 1]])),
            Kind::Long => of_word((u32::from_ne_bytes(four(row, i)) >> 16) as u16),
            Kind::Float => of_word(u16::nearest(f32::from_ne_bytes(four(row, i)) * 65_535.0)),
        }
    }

    pub(super) fn raster<S: Sample>(&self, alpha: Alpha) -> Result<Raster<S>> {
        let (colours, is_ycbcr) = match self.colour {
            // The last is grey with something beside it.
            ColorType::Gray(_) | ColorType::GrayA(_) | ColorType::Multiband { num_samples: 2, .. } => (1, false),
            ColorType::RGB(_) | ColorType::RGBA(_) => (3, false),
            ColorType::YCbCr(8) => (3, true),
            other => return Err(unsupported(Format::Tiff, format_args!("{other:?} is not supported"))),
        };
        let mut samples = self.samples::<S>();
        if is_ycbcr {
            from_ycbcr(&mut samples, self.count);
        }
        let alpha = if self.count > colours { alpha } else { Alpha::None };
        let (channels, data) = match (colours, self.count, alpha) {
            (1, 1, _) => (Channels::Gray, samples),
            (3, 3, _) => (Channels::Rgb, samples),
            (1, count, Alpha::None) => (Channels::Gray, samples.chunks_exact(count).map(|p| p[0]).collect()),
            (_, count, Alpha::None) => {
                (Channels::Rgb, samples.chunks_exact(count).flat_map(|p| [p[0], p[1], p[2]]).collect())
            }
            (1, count, alpha) => {
                let pixels = samples.chunks_exact(count).map(|p| (alpha.plain(p[0], p[1]), p[1]));
                (Channels::Rgba, pixels.flat_map(|(v, a)| [v, v, v, a]).collect())
            }
            (_, count, alpha) => {
                let plain = |p: &[S], i: usize| alpha.plain(p[i], p[3]);
                let pixels = samples.chunks_exact(count).map(|p| [plain(p, 0), plain(p, 1), plain(p, 2), p[3]]);
                (Channels::Rgba, pixels.flatten().collect())
            }
        };
        Ok(Raster { width: self.width, height: self.height, channels, data })
    }

    /// The first sample is an index, the second, if there is one, alpha.
    pub(super) fn coloured(&self, palette: &Palette, alpha: Alpha) -> Result<Raster> {
        if self.plane_stride.is_some() {
            return Err(unsupported(Format::Tiff, "a palette and alpha in planes of their own"));
        }
        let bits = match self.kind {
            Kind::Bits(bits) => bits,
            Kind::Byte => 8,
            _ => return Err(unsupported(Format::Tiff, "a palette of more than 8 bits")),
        };
        let has_alpha = self.count > 1 && alpha != Alpha::None;
        let channels = if has_alpha { Channels::Rgba } else { Channels::Rgb };
        let mut data = Vec::with_capacity(self.width as usize * self.height as usize * channels.count());
        for row in self.data.chunks_exact(self.row_stride).take(self.height as usize) {
            for x in (0..self.width as usize).map(|x| x * self.count) {
                let colour = palette.colours.get(index(row, x, bits)).copied().unwrap_or_default();
                if has_alpha {
                    let opacity = self.sample(row, x + 1);
                    data.extend(colour.map(|value| alpha.plain(value, opacity)));
                    data.push(opacity);
                } else {
                    data.extend(colour);
                }
            }
        }
        Ok(Raster { width: self.width, height: self.height, channels, data })
    }
}

fn of_word<S: Sample>(word: u16) -> S {
    if S::MAX.number() == u32::from(u8::MAX) { S::widen(word.narrow()) } else { S::from_number(word.into()) }
}

fn four(row: &[u8], i: usize) -> [u8; 4] {
    [row[4 * i], row[4 * i + 1], row[4 * i + 2], row[4 * i + 3]]
}

/// By JFIF's formula, which is TIFF's own where nothing else is said.
fn from_ycbcr<S: Sample>(samples: &mut [S], count: usize) {
    let max = S::MAX.number() as f32;
    let middle = 128.0 / 255.0 * max;
    for pixel in samples.chunks_exact_mut(count) {
        let [y, cb, cr] = [0, 1, 2].map(|i| pixel[i].number() as f32);
        let (cb, cr) = (cb - middle, cr - middle);
        let rgb = [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb];
        for (value, light) in pixel.iter_mut().zip(rgb) {
            *value = S::nearest(light);
        }
    }
}

/// A sample of less than a byte.
fn index(row: &[u8], i: usize, bits: usize) -> usize {
    usize::from(row[i * bits / 8]) >> (8 - bits - i * bits % 8) & ((1 << bits) - 1)
}
