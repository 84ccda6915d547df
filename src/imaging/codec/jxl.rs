//! JPEG XL, by jxl-oxide. Only ever read here; of an animation, the first frame.
//!
//! The size is read by a few lines of our own, so that limits hold before the decoder sees the file, and the decoder counts
//! its memory. Colours come out as sRGB, wide and high dynamic range ones too; only a profile that the picture is stored in
//! as it is (not XYB) is converted here.

use std::io::{BufRead, Read, Seek};

use jxl_oxide::image::BitDepth;
use jxl_oxide::{
    AllocTracker, EnumColourEncoding, ExtraChannelType, FrameBufferSample, InitializeResult, JxlImage, PixelFormat,
    Render, RenderingIntent,
};

use super::reader::{self, HeaderReader, MAX_BOXES, corrupt, truncated, unsupported};
use super::{Decoded, Facts, Picture, Reading, exif, icc};
use crate::imaging::raster::{Channels, Raster, Sample};
use crate::imaging::{Code, Error, Format, Header, Limits, Result};

const CODESTREAM: [u8; 2] = [0xff, 0x0a];
/// Bytes that are handed over at a time.
const STRIDE: usize = 64 << 10;
/// The header and an embedded profile end within so many bytes.
const MAX_HEADER_BYTES: usize = 4 << 20;
/// EXIF and XMP beyond this are not read.
const MAX_METADATA_BYTES: u64 = 1 << 20;
/// What the decoder may hold, in bytes a pixel: planes of floats, several of them, and the references of an animation.
pub(super) const BYTES_A_PIXEL: u64 = 64;
pub(super) const BYTES_AT_LEAST: u64 = 16 << 20;

pub(super) fn inspect<R: BufRead + Seek>(mut source: R, limits: &Limits) -> Result<Facts> {
    let (width, height) = size(&mut source)?;
    // Before the decoder takes any memory; orientation only swaps the sides.
    limits.check(&Header { format: Format::Jxl, width, height, frames: 1, deep: false })?;
    let unreadable = |error| Error::new(Code::Storage, format!("reading the source: {error}"));
    source.rewind().map_err(unreadable)?;
    let mut facts = super::guarded(Format::Jxl, || header(&mut source, limits, u64::from(width) * u64::from(height)))?;
    // Advice: where it is broken, it is not there.
    source.rewind().map_err(unreadable)?;
    let _ = read_advice(&mut HeaderReader::new(source, Format::Jxl), &mut facts);
    Ok(facts)
}

/// EXIF and XMP, which stand in boxes of their own; compressed ones are not read.
fn read_advice<R: BufRead + Seek>(reader: &mut HeaderReader<R>, facts: &mut Facts) -> Result<()> {
    if reader.bytes::<2>()? == CODESTREAM {
        return Ok(());
    }
    let mut at = 12;
    for _ in 0..MAX_BOXES {
        let Container { kind, header, size } = Container::read(reader, at)?;
        let length = size.checked_sub(header).ok_or_else(|| reader.corrupt("a box is shorter than its header"))?;
        match &kind {
            b"Exif" if length <= MAX_METADATA_BYTES => {
                let block = reader.vec(length as usize)?;
                facts.exif = exif::behind_offset(&block).map(<[u8]>::to_vec);
            }
            b"xml " if length <= MAX_METADATA_BYTES => facts.xmp = Some(reader.vec(length as usize)?),
            _ => {}
        }
        at = at.saturating_add(size);
    }
    Ok(())
}

/// A box of the container around the code stream.
struct Container {
    kind: [u8; 4],
    header: u64,
    size: u64,
}

impl Container {
    /// The one that begins there.
    fn read<R: BufRead + Seek>(reader: &mut HeaderReader<R>, at: u64) -> Result<Self> {
        reader.seek(at)?;
        let (short, kind) = (u64::from(reader.be32()?), reader.bytes::<4>()?);
        let (header, size) = match short {
            1 => (16, u64::from(reader.be32()?) << 32 | u64::from(reader.be32()?)),
            // Up to the file's end.
            0 => (8, u64::MAX),
            size => (8, size),
        };
        Ok(Self { kind, header, size })
    }
}

/// The sides as stored.
fn size<R: BufRead + Seek>(source: &mut R) -> Result<(u32, u32)> {
    let mut reader = HeaderReader::new(source, Format::Jxl);
    let start = reader.bytes::<2>()?;
    if start != CODESTREAM {
        find_codestream(&mut reader)?;
        if reader.bytes::<2>()? != CODESTREAM {
            return Err(reader.corrupt("its code stream does not begin as one does"));
        }
    }
    // 80 bits hold the longest size header; a shorter file ends before its first frame.
    let mut bits = Bits {
        word: u128::from_le_bytes({
            let mut bytes = [0; 16];
            bytes[..10].copy_from_slice(&reader.bytes::<10>()?);
            bytes
        }),
    };
    let small = bits.take(1) == 1;
    let side = |bits: &mut Bits| {
        if small {
            (bits.take(5) + 1) * 8
        } else {
            let width = [9, 13, 18, 30][bits.take(2) as usize];
            bits.take(width) + 1
        }
    };
    let height = side(&mut bits);
    let width = match bits.take(3) {
        0 => side(&mut bits),
        ratio => {
            let (num, den) = [(1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1)][ratio as usize - 1];
            (u64::from(height) * num / den).min(u32::MAX.into()) as u32
        }
    };
    Ok((width, height))
}

/// To the first byte of the code stream inside the container.
fn find_codestream<R: BufRead + Seek>(reader: &mut HeaderReader<R>) -> Result<()> {
    let mut at = 12;
    for _ in 0..MAX_BOXES {
        let Container { kind, header, size } = Container::read(reader, at)?;
        match &kind {
            b"jxlc" => return Ok(()),
            b"jxlp" => return reader.skip(4),
            _ if size < header => return Err(reader.corrupt("a box is shorter than its header")),
            _ => at = at.saturating_add(size),
        }
    }
    Err(reader.corrupt("its code stream is not found"))
}

/// From the lowest bit up.
struct Bits {
    word: u128,
}

impl Bits {
    fn take(&mut self, count: u32) -> u32 {
        let taken = (self.word & ((1 << count) - 1)) as u32;
        self.word >>= count;
        taken
    }
}

fn tracker(pixels: u64) -> AllocTracker {
    AllocTracker::with_limit((pixels * BYTES_A_PIXEL).max(BYTES_AT_LEAST) as usize)
}

fn header(source: impl Read, limits: &Limits, pixels: u64) -> Result<Facts> {
    let mut feed = Feed { source, buffer: Vec::new(), interrupted: &|| false };
    let mut image = feed.start(pixels)?;
    let mut frames = 1;
    if image.image_header().metadata.animation.is_some() {
        // A file cut short is the decoder's to judge.
        while image.num_loaded_keyframes() as u64 <= u64::from(limits.max_frames) && feed.go_on(&mut image)? {}
        frames = (image.num_loaded_keyframes() as u32).max(1);
    }
    let mut facts = Facts::new(Format::Jxl, image.width(), image.height(), frames);
    let bits = match image.image_header().metadata.bit_depth {
        BitDepth::IntegerSample { bits_per_sample } | BitDepth::FloatSample { bits_per_sample, .. } => bits_per_sample,
    };
    facts.header.deep = bits > 8;
    facts.icc = image.original_icc().filter(|_| !image.image_header().metadata.xyb_encoded).map(<[u8]>::to_vec);
    Ok(facts)
}

/// A source that is handed over in pieces.
struct Feed<'a, R> {
    source: R,
    /// Read and not yet taken.
    buffer: Vec<u8>,
    interrupted: &'a dyn Fn() -> bool,
}

impl<R: Read> Feed<'_, R> {
    /// Until the header is known.
    fn start(&mut self, pixels: u64) -> Result<JxlImage> {
        let pool = jxl_oxide::JxlThreadPool::none();
        let mut waiting = JxlImage::builder().pool(pool).alloc_tracker(tracker(pixels)).build_uninit();
        let mut fed = 0;
        loop {
            if !self.more()? {
                return Err(truncated(Format::Jxl, "the file ends inside its header"));
            }
            let taken = waiting.feed_bytes(&self.buffer).map_err(|error| failed(&*error))?;
            self.buffer.drain(..taken);
            fed += taken;
            match waiting.try_init().map_err(|error| failed(&*error))? {
                InitializeResult::Initialized(image) => return Ok(image),
                InitializeResult::NeedMoreData(more) => waiting = more,
            }
            if fed > MAX_HEADER_BYTES {
                return Err(corrupt(Format::Jxl, "its header does not end"));
            }
        }
    }

    /// Hands over the next piece; false when all is there.
    fn go_on(&mut self, image: &mut JxlImage) -> Result<bool> {
        if image.is_loading_done() || !self.more()? {
            return Ok(false);
        }
        let taken = image.feed_bytes(&self.buffer).map_err(|error| failed(&*error))?;
        self.buffer.drain(..taken);
        Ok(true)
    }

    /// Reads the next piece; false at the end.
    fn more(&mut self) -> Result<bool> {
        if (self.interrupted)() {
            return Err(reader::interrupted());
        }
        let read = self.source.by_ref().take(STRIDE as u64).read_to_end(&mut self.buffer);
        let read = read.map_err(|error| Error::new(Code::Storage, format!("reading the source: {error}")))?;
        Ok(read > 0)
    }
}

pub(super) fn decode(source: &[u8], facts: &Facts, reading: &Reading<'_>) -> Result<Decoded> {
    let pixels = u64::from(facts.header.width) * u64::from(facts.header.height);
    let mut feed = Feed { source, buffer: Vec::new(), interrupted: reading.interrupted };
    let mut image = feed.start(pixels)?;
    // The first frame is enough.
    while image.num_loaded_keyframes() == 0 && feed.go_on(&mut image)? {}
    let truncated_early = image.num_loaded_keyframes() == 0;
    if truncated_early && !reading.lenient {
        return Err(truncated(Format::Jxl, "the file ends before its picture does"));
    }
    let stored_profile =
        image.original_icc().filter(|_| !image.image_header().metadata.xyb_encoded).map(<[u8]>::to_vec);
    if stored_profile.is_none() {
        let grey = image.image_header().metadata.grayscale();
        let intent = RenderingIntent::Relative;
        image.request_color_encoding(if grey {
            EnumColourEncoding::gray_srgb(intent)
        } else {
            EnumColourEncoding::srgb(intent)
        });
    }
    let render = if truncated_early { image.render_loading_frame() } else { image.render_frame(0) };
    let render = render.map_err(|error| {
        if truncated_early {
            truncated(Format::Jxl, "the file ends before anything of its picture can be shown")
        } else {
            failed(&*error)
        }
    })?;
    let form = image.pixel_format();
    let picture = if form.has_black() {
        Picture::Eight(from_cmyk(&render, form, stored_profile.as_deref())?)
    } else if reading.deep && facts.header.deep {
        Picture::Sixteen(samples::<u16>(&render, form)?)
    } else {
        Picture::Eight(samples::<u8>(&render, form)?)
    };
    let picture = if form.has_black() { picture } else { picture.in_srgb(stored_profile.as_deref(), reading) };
    Ok(Decoded { picture, truncated: truncated_early })
}

fn samples<S: Sample + FrameBufferSample>(render: &Render, form: PixelFormat) -> Result<Raster<S>> {
    let mut stream = render.stream();
    let (width, height, count) = (stream.width(), stream.height(), stream.channels() as usize);
    let mut data = vec![S::default(); width as usize * height as usize * count];
    stream.write_to_buffer(&mut data);
    let (channels, data) = match (form, count) {
        (PixelFormat::Gray, 1) => (Channels::Gray, data),
        (PixelFormat::Rgb, 3) => (Channels::Rgb, data),
        (PixelFormat::Rgba, 4) => (Channels::Rgba, data),
        (PixelFormat::Graya, 2) => {
            let (pixels, _) = data.as_chunks::<2>();
            (Channels::Rgba, pixels.iter().flat_map(|&[v, a]| [v, v, v, a]).collect())
        }
        _ => return Err(unsupported(Format::Jxl, format!("{count} channels are not supported"))),
    };
    let mut raster = Raster { width, height, channels, data };
    let (extra, _) = render.extra_channels();
    let alpha = extra.iter().find(|channel| channel.is_alpha()).map(jxl_oxide::ExtraChannel::ty);
    if raster.has_alpha() && matches!(alpha, Some(ExtraChannelType::Alpha { alpha_associated: true })) {
        let max = u64::from(S::MAX.number());
        for pixel in raster.data.as_chunks_mut::<4>().0 {
            let alpha = u64::from(pixel[3].number());
            for value in &mut pixel[..3] {
                let whole = (u64::from(value.number()) * max + alpha / 2).checked_div(alpha);
                *value = S::from_number(whole.unwrap_or(0).min(max) as u32);
            }
        }
    }
    Ok(raster.without_idle_alpha())
}

fn from_cmyk(render: &Render, form: PixelFormat, profile: Option<&[u8]>) -> Result<Raster> {
    if form.has_alpha() {
        return Err(unsupported(Format::Jxl, "CMYK with alpha is not supported"));
    }
    let mut stream = render.stream();
    let (width, height) = (stream.width(), stream.height());
    let mut light = vec![0u8; width as usize * height as usize * 4];
    stream.write_to_buffer(&mut light);
    for value in &mut light {
        *value = 255 - *value;
    }
    Ok(icc::cmyk_to_srgb(width, height, &light, profile))
}

fn failed(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Error {
    let said = error.to_string();
    if said.contains("memory") {
        return Error::new(Code::TooLarge, "JPEG XL: it needs too much memory");
    }
    if super::ends_early(error) {
        return truncated(Format::Jxl, "the file ends before its picture does");
    }
    corrupt(Format::Jxl, said)
}
