//! TIFF, by the `tiff` crate: the first page.
//!
//! The size comes from a directory walk of our own, so that limits hold before the decoder, which
//! reads whole strips, sees the file. What samples mean is settled here: palettes, CMYK with its profile, alpha of either
//! kind. Exotic colour types are refused as unsupported.

use std::borrow::Cow;
use std::io::{BufRead, ErrorKind, Read, Seek};
use std::ops::Range;

use ::tiff::decoder::{BufferLayoutPreference, ChunkType, Decoder};
use ::tiff::tags::{CompressionMethod, SampleFormat, Tag};
use ::tiff::{ColorType, TiffError, TiffResult};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;

use super::reader::{self, HeaderReader, corrupt, truncated, unsupported};
use super::watched::Watched;
use super::{Decoded, Facts, Picture, Reading, SPARE_PIXELS, icc};
use crate::metadata::{Directory, Form};
use crate::raster::{Channels, Raster, Sample};
use crate::{Code, Error, Format, Result};

const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const BITS: u16 = 258;
const PHOTOMETRIC: u16 = 262;
const ORIENTATION: u16 = 274;
const PALETTE: u16 = 320;
const EXTRA_SAMPLES: u16 = 338;
const XMP: u16 = 700;
const PROFILE: u16 = 34675;
/// The tags whose values the decoder reads, all of them before it can be told of a limit.
const DECODED: [u16; 19] =
    [256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 322, 323, 324, 325, 338, 339, 347, 530];
/// More than a picture has: a few dozen.
const MAX_TAGS: u64 = 1000;
/// What the decoder takes for a value.
const VALUE_BYTES: u64 = 32;
/// What its values may take beside the pixels: 65,536 strips' places and lengths.
const SPARE_VALUE_BYTES: u64 = 4 << 20;
/// Profiles beyond this are not read.
const MAX_PROFILE_BYTES: u64 = 4 << 20;
const MAX_XMP_BYTES: u64 = 1 << 20;
/// Four samples of 32 bits; more are no picture.
const MAX_PIXEL_BITS: u32 = 128;

/// What the directory says that the decoder has no use for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tags {
    palette: Option<Palette>,
    alpha: Alpha,
}

#[derive(Debug, Clone)]
struct Palette {
    colours: Vec<[u8; 3]>,
    /// Where the file says that it has one.
    photometric_at: usize,
}

/// What the sample behind the colours is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Alpha {
    #[default]
    Straight,
    /// The colours are multiplied with it.
    Premultiplied,
    /// Something else.
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

/// The first page's header. Others are never decoded, so they are not counted either.
pub(super) fn inspect<R: BufRead + Seek>(reader: R) -> Result<Facts> {
    let mut reader = Ifd::open(reader)?;
    let offset = reader.start()?;
    reader.inner.seek(offset)?;
    let Form { big_tiff, .. } = reader.form;
    let before_entries = if big_tiff { 8 } else { 2 };
    let count = reader.word(before_entries)?;
    let mut facts = Facts::new(Format::Tiff, 0, 0, 1);
    let mut tags = Tags::default();
    let (mut bits_at, mut profile_at, mut xmp_at, mut palette_at, mut photometric_at) = (None, None, None, None, None);
    if count > MAX_TAGS {
        return Err(corrupt(Format::Tiff, format_args!("it has {count} tags")));
    }
    let (slot, entry_size) = (reader.form.slot(), reader.form.entry() as u64);
    let directory = reader.inner.at_most(count * entry_size)?;
    let mut entries = Directory::new(&directory, reader.form).entries();
    let mut values = 0_u64;
    for i in 0..count {
        let entry = entries.next().ok_or_else(|| reader.inner.cut_short())?;
        let (Some(kind), Some(count)) = (entry.kind(), entry.count()) else { return Err(reader.inner.cut_short()) };
        let size = match kind {
            1 | 7 => 1,
            3 => 2,
            4 => 4,
            _ => slot,
        };
        // Values that do not fit the slot are elsewhere: the slot holds their offset.
        let inline = count.saturating_mul(size as u64) <= slot as u64;
        let value = entry.number(if inline { size } else { slot }).ok_or_else(|| reader.inner.cut_short())?;
        if DECODED.contains(&entry.tag) {
            values = values.saturating_add(count);
        }
        let clamped = u32::try_from(value).unwrap_or(u32::MAX);
        match entry.tag {
            WIDTH => facts.header.width = clamped,
            HEIGHT => facts.header.height = clamped,
            BITS if inline => facts.header.deep = value > 8,
            BITS => bits_at = Some(value),
            ORIENTATION if (1..=8).contains(&value) => facts.orientation = value as u8,
            PHOTOMETRIC => {
                let value_at = offset + before_entries as u64 + (i + 1) * entry_size - slot as u64;
                photometric_at = (value == 3).then_some(value_at);
            }
            PALETTE if !inline && kind == 3 && count <= 3 * 256 => palette_at = Some((value, count as usize / 3)),
            EXTRA_SAMPLES if inline => {
                tags.alpha = match value {
                    0 => Alpha::None,
                    1 => Alpha::Premultiplied,
                    _ => Alpha::Straight,
                }
            }
            XMP if !inline && count <= MAX_XMP_BYTES => xmp_at = Some((value, count as usize)),
            PROFILE if !inline && count <= MAX_PROFILE_BYTES => profile_at = Some((value, count as usize)),
            _ => {}
        }
    }
    let pixels = u64::from(facts.header.width) * u64::from(facts.header.height);
    if values.saturating_mul(VALUE_BYTES) > SPARE_VALUE_BYTES.saturating_add(2 * pixels) {
        return Err(corrupt(
            Format::Tiff,
            format_args!("{values} values in its tags are more than its picture has parts"),
        ));
    }
    // Advice: where it is broken, the decoder decides.
    if let Some(offset) = bits_at {
        facts.header.deep = reader.inner.seek(offset).and_then(|()| reader.word(2)).is_ok_and(|bits| bits > 8);
    }
    if let Some((offset, length)) = profile_at {
        facts.icc = reader.inner.seek(offset).and_then(|()| reader.inner.vec(length)).ok();
    }
    if let Some((offset, length)) = xmp_at {
        facts.xmp = reader.inner.seek(offset).and_then(|()| reader.inner.vec(length)).ok();
    }
    if let (Some((offset, length)), Some(at)) = (palette_at, photometric_at) {
        reader.inner.seek(offset)?;
        let values = (0..3 * length).map(|_| reader.word(2)).collect::<Result<Vec<_>>>()?;
        // Sixteen bits each, but for some writers' eight.
        let shift = if values.iter().all(|&value| value < 256) { 0 } else { 8 };
        let value = |i: usize| (values[i] >> shift) as u8;
        let colours = (0..length).map(|i| [value(i), value(length + i), value(2 * length + i)]).collect();
        tags.palette = Some(Palette { colours, photometric_at: usize::try_from(at).unwrap_or(usize::MAX) });
    }
    facts.tiff = Some(tags);
    Ok(facts)
}

struct Ifd<R> {
    inner: HeaderReader<R>,
    form: Form,
}

impl<R: BufRead + Seek> Ifd<R> {
    fn open(reader: R) -> Result<Self> {
        let mut inner = HeaderReader::new(reader, Format::Tiff);
        let magic = inner.bytes::<4>()?;
        Ok(Self { inner, form: Form { little_endian: magic[0] == b'I', big_tiff: magic.contains(&43) } })
    }

    /// The offset of the first directory.
    fn start(&mut self) -> Result<u64> {
        if self.form.big_tiff {
            self.inner.skip(4)?;
            self.word(8)
        } else {
            self.word(4)
        }
    }

    fn word(&mut self, size: usize) -> Result<u64> {
        Ok(self.form.number(&self.inner.vec(size)?))
    }
}

pub(super) fn decode(source: &[u8], facts: &Facts, reading: &Reading<'_>) -> Result<Decoded> {
    let Some(tags) = &facts.tiff else {
        return Err(corrupt(Format::Tiff, "no header was read"));
    };
    // The decoder knows no palettes; their indices are read as greys.
    let patched = match &tags.palette {
        Some(palette) => {
            let mut patched = source.to_vec();
            let black_is_zero = if source[0] == b'M' { [0, 1] } else { [1, 0] };
            let place = patched.get_mut(palette.photometric_at..).and_then(<[u8]>::first_chunk_mut);
            *place.ok_or_else(|| corrupt(Format::Tiff, "no header was read"))? = black_is_zero;
            Cow::Owned(patched)
        }
        None => Cow::Borrowed(source),
    };
    let limit = reading.limits.max_decoded_bytes.saturating_mul(4);
    let mut limits = ::tiff::decoder::Limits::default();
    limits.decoding_buffer_size = usize::try_from(limit).unwrap_or(usize::MAX);
    limits.intermediate_buffer_size = limits.decoding_buffer_size;
    limits.ifd_value_size = 16 << 20;
    let reader = Watched::new(&patched, reading.interrupted);
    let mut decoder = Decoder::new(reader).map_err(failed)?.with_limits(limits);
    let (width, height) = decoder.dimensions().map_err(failed)?;
    let colour = decoder.colortype().map_err(failed)?;
    let layout = decoder.image_buffer_layout().map_err(failed)?;
    if (width, height) != (facts.header.width, facts.header.height) || layout.complete_len as u64 > limit {
        return Err(corrupt(Format::Tiff, "its header contradicts its picture"));
    }
    let parts = Parts::of(&mut decoder).map_err(failed)?;
    parts.check(source, (width, height), colour)?;
    // What is missing is grey.
    let mut data = vec![0x80; layout.complete_len];
    let is_cut = parts.places.iter().any(|place| place.end > source.len() as u64);
    let truncated = match decoder.read_image_bytes(&mut data).map_err(failed) {
        // JPEGs are filled up without a word.
        Ok(()) => is_cut && parts.is_jpeg,
        Err(error) if error.code == Code::TruncatedImage || is_cut && error.code == Code::CorruptImage => true,
        Err(error) => return Err(error),
    };
    if truncated && !reading.lenient {
        return Err(ends_early());
    }
    let stored = Stored::new(&layout, colour, width, height, data)?;
    let picture = match colour {
        _ if let Some(palette) = &tags.palette => stored.coloured(palette, tags.alpha)?.into(),
        ColorType::CMYK(_) => {
            let inks = stored.samples::<u8>();
            return Ok(Decoded {
                picture: icc::cmyk_to_srgb(width, height, &inks, facts.icc.as_deref()).into(),
                truncated,
            });
        }
        _ if reading.deep && facts.header.deep => Picture::Sixteen(stored.raster::<u16>(tags.alpha)?),
        _ => Picture::Eight(stored.raster::<u8>(tags.alpha)?),
    };
    let picture = picture.without_idle_alpha().in_srgb(facts.icc.as_deref(), reading);
    Ok(Decoded { picture, truncated })
}

fn failed(error: TiffError) -> Error {
    match error {
        TiffError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => ends_early(),
        TiffError::IoError(error) if error.kind() == ErrorKind::TimedOut => reader::interrupted(),
        TiffError::UnsupportedError(what) => unsupported(Format::Tiff, what),
        TiffError::LimitsExceeded => Error::new(Code::TooLarge, {
            let bounds = "four times limits.max_decoded_bytes, or one of its tags more than 16 MiB";
            format!("TIFF: a part of it needs more than {bounds}")
        }),
        other => corrupt(Format::Tiff, other),
    }
}

fn ends_early() -> Error {
    truncated(Format::Tiff, "the file ends before its picture does")
}

/// The strips or tiles that a picture is stored in.
struct Parts {
    /// The sides of each; of the last strip, the most.
    size: (u32, u32),
    /// Where they lie in the file.
    places: Vec<Range<u64>>,
    samples: u32,
    is_jpeg: bool,
    /// What all JPEGs have in common.
    tables: Vec<u8>,
}

impl Parts {
    fn of<R: Read + Seek>(decoder: &mut Decoder<R>) -> TiffResult<Self> {
        let (offsets, lengths) = match decoder.get_chunk_type() {
            ChunkType::Strip => (Tag::StripOffsets, Tag::StripByteCounts),
            ChunkType::Tile => (Tag::TileOffsets, Tag::TileByteCounts),
        };
        let lengths = decoder.get_tag_u64_vec(lengths)?;
        let places = decoder.get_tag_u64_vec(offsets)?.into_iter().zip(lengths);
        let is_jpeg = decoder.find_tag_unsigned(Tag::Compression)? == Some(CompressionMethod::ModernJPEG.to_u16());
        let (width, mut height) = decoder.chunk_dimensions();
        if decoder.get_chunk_type() == ChunkType::Strip {
            // All rows in one strip may be told as any number.
            height = height.min(decoder.dimensions()?.1);
        }
        Ok(Self {
            size: (width, height),
            places: places.map(|(offset, length)| offset..offset.saturating_add(length)).collect(),
            samples: decoder.find_tag_unsigned(Tag::SamplesPerPixel)?.unwrap_or(1),
            is_jpeg,
            tables: match decoder.find_tag(Tag::JPEGTables)? {
                Some(tables) if is_jpeg => tables.into_u8_vec()?,
                _ => Vec::new(),
            },
        })
    }

    /// Holds what the decoder makes of a part against the picture that it is a part of.
    fn check(&self, source: &[u8], picture: (u32, u32), colour: ColorType) -> Result<()> {
        if self.samples.saturating_mul(colour.bit_depth().into()) > MAX_PIXEL_BITS {
            return Err(unsupported(Format::Tiff, format_args!("{} samples a pixel", self.samples)));
        }
        let pixels = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
        if pixels(self.size) > pixels(picture).max(SPARE_PIXELS) {
            return Err(corrupt(Format::Tiff, "a part of it is larger than all of it"));
        }
        if !self.is_jpeg {
            return Ok(());
        }
        let jpegs = self.places.iter().filter_map(|place| {
            let start = usize::try_from(place.start).ok()?;
            source.get(start..usize::try_from(place.end).unwrap_or(usize::MAX).min(source.len()))
        });
        for jpeg in jpegs {
            if self.size_of(jpeg).is_some_and(|size| size.0 > self.size.0 || size.1 > self.size.1) {
                return Err(corrupt(Format::Tiff, "a JPEG in it is larger than its place"));
            }
        }
        Ok(())
    }

    /// As the decoder will read it: behind the tables, whose end marker is left out as is the JPEG's first.
    fn size_of(&self, jpeg: &[u8]) -> Option<(u32, u32)> {
        let whole = match self.tables.len().checked_sub(2) {
            Some(end) => Cow::Owned([&self.tables[..end], jpeg.get(2..)?].concat()),
            None => Cow::Borrowed(jpeg),
        };
        let mut decoder = JpegDecoder::new(ZCursor::new(&*whole));
        decoder.decode_headers().ok()?;
        decoder.info().map(|info| (info.width.into(), info.height.into()))
    }
}

/// A decoded picture as the file stores it.
struct Stored {
    width: u32,
    height: u32,
    colour: ColorType,
    /// Samples of a pixel, those that are nobody's included.
    count: usize,
    kind: Kind,
    row_stride: usize,
    /// Where the planes begin that hold a sample each; one where all samples lie together.
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
    fn new(layout: &BufferLayoutPreference, colour: ColorType, width: u32, height: u32, data: Vec<u8>) -> Result<Self> {
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
    fn samples<S: Sample>(&self) -> Vec<S> {
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

    fn raster<S: Sample>(&self, alpha: Alpha) -> Result<Raster<S>> {
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
    fn coloured(&self, palette: &Palette, alpha: Alpha) -> Result<Raster> {
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
