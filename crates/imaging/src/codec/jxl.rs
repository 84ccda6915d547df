//! JPEG XL, by `jxl`, libjxl's own decoder in Rust. Only ever read here; of an animation, the first frame.
//!
//! The size is read by a few lines of our own, so that limits hold before the decoder sees the file, and the decoder is told
//! how many samples a frame may have. It yields the colours that the file names, or sRGB where a profile belongs to XYB; they
//! are converted here, high dynamic range by the same curve as AVIF's. Files that the decoder would read wrongly are refused.

mod narrow;

use std::io::{BufRead, ErrorKind, Read, Seek};
use std::sync::{Mutex, PoisonError};

use jxl::api::{
    AlphaMode, Endianness, Event, ExtraChannel, JxlBasicInfo, JxlColorEncoding, JxlColorProfile, JxlColorType,
    JxlDataFormat, JxlDecoder, JxlDecoderOptions, JxlOutputBuffer, JxlParallelRunner, JxlParallelRunnerFun,
    JxlPixelFormat, JxlTransferFunction, ProfileLevel,
};

use self::narrow::{Narrow, Places};
use super::reader::{self, HeaderReader, MAX_BOXES, corrupt, truncated, unsupported};
use super::watched::OVER;
use super::{Decoded, Facts, Picture, Reading, exif, icc};
use crate::raster::{Channels, Raster, Sample};
use crate::{Code, Error, Format, Header, Limits, Result};

const CODESTREAM: [u8; 2] = [0xff, 0x0a];
/// Bytes that are handed over at a time.
const STRIDE: usize = 64 << 10;
/// The header and an embedded profile end within so many bytes.
const MAX_HEADER_BYTES: usize = 4 << 20;
/// EXIF and XMP beyond this are not read.
const MAX_METADATA_BYTES: u64 = 1 << 20;
/// What the decoder holds at most, in bytes a pixel: planes of floats, several of them, and the frames that others refer to.
pub(super) const BYTES_A_PIXEL: u64 = 64;
pub(super) const BYTES_AT_LEAST: u64 = 16 << 20;
/// Samples of one frame, for each pixel of the picture: its channels, and what reaches beyond its edges.
const SAMPLES_A_PIXEL: u64 = 8;
const SAMPLES_AT_LEAST: u64 = 4 << 20;

pub(super) fn inspect<R: BufRead + Seek>(mut source: R, limits: &Limits) -> Result<Facts> {
    let (width, height) = size(&mut source)?;
    // Before the decoder takes any memory; orientation only swaps the sides.
    limits.check(&Header { format: Format::Jxl, width, height, frames: 1, deep: false })?;
    let unreadable = |error| Error::new(Code::Storage, format!("reading the source: {error}"));
    source.rewind().map_err(unreadable)?;
    let (mut facts, narrow) = super::guarded(Format::Jxl, || header(&mut source, limits, (width, height)))?;
    if let Some((narrow, places)) = narrow
        && narrow.is_misread(&mut source, &places).map_err(unreadable)?
    {
        return Err(unsupported(
            Format::Jxl,
            "a frame of one pixel's width is coded in steps (progressive DC, or lossy modular), which its decoder reads \
             wrongly; encode the picture without loss, or in another format",
        ));
    }
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

/// Samples that a frame may have, by the pixels of its picture.
fn sample_limit(pixels: u64) -> u64 {
    pixels.saturating_mul(SAMPLES_A_PIXEL).max(SAMPLES_AT_LEAST)
}

fn options(pixels: u64) -> JxlDecoderOptions {
    let mut options = JxlDecoderOptions::default();
    options.sample_limit = Some(sample_limit(pixels) as usize);
    options.alpha_mode = AlphaMode::Unpremultiplied;
    // Black, as CMYK has it, belongs to level 10; what a file may do is still bound by the level that it names.
    options.max_profile_level = ProfileLevel::Main10;
    options
}

/// The decoder takes up to 256 MiB for a profile before it has seen any of it. One header at a time may.
static PROFILE: Mutex<()> = Mutex::new(());

/// Reads the header, and says where the frames are that may come out wrong.
fn header(source: impl Read, limits: &Limits, stored: (u32, u32)) -> Result<(Facts, Option<(Narrow, Places)>)> {
    let pixels = u64::from(stored.0) * u64::from(stored.1);
    let mut feed = Feed::new(source, &|| false, pixels);
    let mut options = options(pixels);
    options.scan_frames_only = true;
    let mut decoder = JxlDecoder::new(options);
    let info = {
        let _alone = PROFILE.lock().unwrap_or_else(PoisonError::into_inner);
        feed.start(&mut decoder)?
    };
    let is_grey = decoder.current_pixel_format().is_some_and(|format| format.color_type.is_grayscale());
    let narrow = Narrow::of(stored, is_grey, !info.uses_original_profile, info.extra_channels.len());
    let most = if info.animation.is_some() { limits.max_frames.saturating_add(1) } else { u32::from(narrow.is_some()) };
    let mut frames = 0;
    // A file cut short is decoded as far as it goes.
    while frames < most
        && let Some(event) = feed.next(&mut decoder, None)?
        && event != Event::Complete
    {
        frames += u32::from(event == Event::FrameHeader);
    }
    let (width, height) = (info.size.0 as u32, info.size.1 as u32);
    let mut facts = Facts::new(Format::Jxl, width, height, frames.max(1));
    facts.header.deep = info.bit_depth.bits_per_sample() > 8;
    if let (true, Some(JxlColorProfile::Icc(profile))) = (info.uses_original_profile, decoder.embedded_color_profile())
    {
        facts.icc = Some(profile.clone());
    }
    let shown = decoder.scanned_frames().first().map(|frame| (frame.file_offset, frame.seek_target));
    let (Some(narrow), Some((shown, target))) = (narrow, shown) else { return Ok((facts, None)) };
    let first = decoder.start_new_frame(target).map_err(|error| failed(&error, pixels))?;
    Ok((facts, Some((narrow, Places { shown, first }))))
}

/// A source that is handed over in pieces.
struct Feed<'a, R> {
    source: R,
    /// Read and not yet taken.
    buffer: Vec<u8>,
    interrupted: &'a dyn Fn() -> bool,
    /// Of the picture, for messages.
    pixels: u64,
}

impl<'a, R: Read> Feed<'a, R> {
    fn new(source: R, interrupted: &'a dyn Fn() -> bool, pixels: u64) -> Self {
        Self { source, buffer: Vec::new(), interrupted, pixels }
    }

    /// Until the header is known.
    fn start(&mut self, decoder: &mut JxlDecoder) -> Result<JxlBasicInfo> {
        let mut fed = 0;
        loop {
            match self.step(decoder, None)? {
                Event::NeedMoreInput { .. } if fed > MAX_HEADER_BYTES => {
                    return Err(corrupt(Format::Jxl, "its header does not end"));
                }
                Event::NeedMoreInput { .. } => {
                    fed += STRIDE;
                    if !self.more()? {
                        return Err(truncated(Format::Jxl, "the file ends inside its header"));
                    }
                }
                _ => return decoder.basic_info().cloned().ok_or_else(|| corrupt(Format::Jxl, "it has no header")),
            }
        }
    }

    /// What the decoder comes to next; `None` where the file ends before that.
    fn next(
        &mut self,
        decoder: &mut JxlDecoder,
        mut buffers: Option<&mut [JxlOutputBuffer<'_>]>,
    ) -> Result<Option<Event>> {
        loop {
            match self.step(decoder, buffers.as_deref_mut())? {
                Event::NeedMoreInput { .. } => {
                    if !self.more()? {
                        return Ok(None);
                    }
                }
                event => return Ok(Some(event)),
            }
        }
    }

    fn step(&mut self, decoder: &mut JxlDecoder, buffers: Option<&mut [JxlOutputBuffer<'_>]>) -> Result<Event> {
        let mut rest = self.buffer.as_slice();
        let event = decoder.process(&mut rest, buffers, Some(&mut InTurn { interrupted: self.interrupted }));
        let taken = self.buffer.len() - rest.len();
        self.buffer.drain(..taken);
        event.map_err(|error| failed(&error, self.pixels))
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

/// Takes the decoder's tasks, which are 256 pixels a side, one after another, and none once the time is over.
struct InTurn<'a> {
    interrupted: &'a dyn Fn() -> bool,
}

impl JxlParallelRunner for InTurn<'_> {
    fn run(&mut self, tasks: usize, task: &JxlParallelRunnerFun<'_>) -> jxl::error::Result<()> {
        self.run_ordered(tasks, None, task)
    }

    fn num_threads(&self) -> usize {
        1
    }

    fn run_ordered(
        &mut self,
        tasks: usize,
        _most_threads: Option<usize>,
        task: &JxlParallelRunnerFun<'_>,
    ) -> jxl::error::Result<()> {
        for number in 0..tasks {
            if (self.interrupted)() {
                return Err(std::io::Error::new(ErrorKind::TimedOut, OVER).into());
            }
            task(number)?;
        }
        Ok(())
    }
}

pub(super) fn decode(source: &[u8], facts: &Facts, reading: &Reading<'_>) -> Result<Decoded> {
    let pixels = u64::from(facts.header.width) * u64::from(facts.header.height);
    let mut feed = Feed::new(source, reading.interrupted, pixels);
    let mut decoder = JxlDecoder::new(options(pixels));
    let info = feed.start(&mut decoder)?;
    let form = Form::of(&decoder, &info);
    let deep = reading.deep && facts.header.deep;
    // What is converted afterwards would show steps, had it been rounded to eight bits before.
    let is_finer = !info.uses_original_profile || facts.header.deep;
    let (picture, truncated) = if !form.is_cmyk && (deep || is_finer && is_converted(&decoder)) {
        let (raster, truncated) = form.read::<u16>(feed, &mut decoder, reading.lenient)?;
        (Picture::Sixteen(raster), truncated)
    } else {
        let (raster, truncated) = form.read::<u8>(feed, &mut decoder, reading.lenient)?;
        (Picture::Eight(raster), truncated)
    };
    let picture = match decoder.output_color_profile() {
        _ if form.is_cmyk => picture,
        Some(JxlColorProfile::Icc(profile)) => picture.in_srgb(Some(profile), reading),
        Some(JxlColorProfile::Simple(encoding)) => picture.converted(|| space(encoding)),
        None => picture,
    };
    let picture = match picture {
        Picture::Sixteen(raster) if !deep => Picture::Eight(raster.narrowed()),
        picture => picture,
    };
    Ok(Decoded { picture: picture.without_idle_alpha(), truncated })
}

/// Whether the decoder yields colours that are not sRGB's, and named without a profile.
fn is_converted(decoder: &JxlDecoder) -> bool {
    let profile = decoder.embedded_color_profile().filter(|profile| profile.can_output_to());
    matches!(profile, Some(JxlColorProfile::Simple(encoding)) if space(encoding).is_some())
}

/// The channels that are asked of the decoder.
struct Form {
    size: (usize, usize),
    color: JxlColorType,
    is_cmyk: bool,
    /// Of the extra channels.
    count: usize,
    /// Its place among the extra channels.
    alpha: Option<usize>,
}

impl Form {
    fn of(decoder: &JxlDecoder, info: &JxlBasicInfo) -> Self {
        let channel = |kind| info.extra_channels.iter().position(|channel| channel.ec_type == kind);
        let alpha = channel(ExtraChannel::Alpha);
        // What the decoder would yield by itself.
        let is_grey = decoder.current_pixel_format().is_some_and(|format| format.color_type.is_grayscale());
        let is_cmyk = channel(ExtraChannel::Black).is_some() && !is_grey;
        let color = match (is_grey, alpha.is_some()) {
            _ if is_cmyk => JxlColorType::Cmyk,
            (true, false) => JxlColorType::Grayscale,
            (true, true) => JxlColorType::GrayscaleAlpha,
            (false, false) => JxlColorType::Rgb,
            (false, true) => JxlColorType::Rgba,
        };
        Self { size: info.size, color, is_cmyk, count: info.extra_channels.len(), alpha }
    }

    /// The first frame, and whether the file ends before it does.
    fn read<S: Sample>(
        &self,
        mut feed: Feed<'_, &[u8]>,
        decoder: &mut JxlDecoder,
        lenient: bool,
    ) -> Result<(Raster<S>, bool)> {
        let sample = match size_of::<S>() {
            1 => JxlDataFormat::U8 { bit_depth: 8 },
            _ => JxlDataFormat::U16 { endianness: Endianness::native(), bit_depth: 16 },
        };
        // Elsewhere, it comes among the colours.
        let beside = self.alpha.filter(|_| self.is_cmyk);
        let extra = (0..self.count).map(|channel| (Some(channel) == beside).then_some(sample)).collect();
        let format =
            JxlPixelFormat { color_type: self.color, color_data_format: Some(sample), extra_channel_format: extra };
        decoder.set_pixel_format(format).map_err(|error| failed(&error, feed.pixels))?;
        let ((width, height), channels) = (self.size, self.color.samples_per_pixel());
        // What is missing is transparent, or grey; CMYK counts light.
        let missing = if self.color.has_alpha() { S::default() } else { S::from_number(S::MAX.number() / 2 + 1) };
        let mut data = vec![missing; width * height * channels];
        let mut alpha = vec![S::default(); if beside.is_some() { width * height } else { 0 }];
        let is_cut = {
            let row = width * size_of::<S>();
            let mut buffers = vec![JxlOutputBuffer::new(bytemuck::cast_slice_mut(&mut data), height, row * channels)];
            if beside.is_some() {
                buffers.push(JxlOutputBuffer::new(bytemuck::cast_slice_mut(&mut alpha), height, row));
            }
            draw(&mut feed, decoder, &mut buffers, lenient)?
        };
        let (width, height) = (width as u32, height as u32);
        let raster = |channels, data| Raster { width, height, channels, data };
        let raster = match self.color {
            JxlColorType::Grayscale => raster(Channels::Gray, data),
            JxlColorType::Rgb => raster(Channels::Rgb, data),
            JxlColorType::Rgba => raster(Channels::Rgba, data),
            JxlColorType::GrayscaleAlpha => {
                let (pixels, _) = data.as_chunks::<2>();
                raster(Channels::Rgba, pixels.iter().flat_map(|&[v, a]| [v, v, v, a]).collect())
            }
            JxlColorType::Cmyk => {
                let ink: Vec<u8> = data.iter().map(|light| 255 - light.narrow()).collect();
                drop(data);
                let profile = match decoder.output_color_profile() {
                    Some(JxlColorProfile::Icc(profile)) => Some(profile.as_slice()),
                    _ => None,
                };
                let colours = icc::cmyk_to_srgb(width, height, &ink, profile).data;
                let colours = colours.into_iter().map(S::widen);
                if beside.is_some() {
                    let colours: Vec<S> = colours.collect();
                    let pixels = colours.as_chunks::<3>().0.iter().zip(&alpha);
                    raster(Channels::Rgba, pixels.flat_map(|(&[r, g, b], &a)| [r, g, b, a]).collect())
                } else {
                    raster(Channels::Rgb, colours.collect())
                }
            }
            other => return Err(unsupported(Format::Jxl, format!("{other:?} is not supported"))),
        };
        Ok((raster, is_cut))
    }
}

/// Draws the first frame; whether the file ends before it does.
fn draw(
    feed: &mut Feed<'_, &[u8]>,
    decoder: &mut JxlDecoder,
    buffers: &mut [JxlOutputBuffer<'_>],
    lenient: bool,
) -> Result<bool> {
    loop {
        match feed.next(decoder, Some(&mut *buffers))? {
            Some(Event::FrameComplete { .. }) => return Ok(false),
            Some(Event::Complete) => return Err(corrupt(Format::Jxl, "it holds no picture")),
            Some(_) => {}
            None if !lenient => return Err(truncated(Format::Jxl, "the file ends before its picture does")),
            None => {
                let mut runner = InTurn { interrupted: feed.interrupted };
                // It fails where too little is there.
                let drawn = decoder.flush_pixels(buffers, Some(&mut runner));
                if (feed.interrupted)() {
                    return Err(reader::interrupted());
                }
                return match drawn {
                    Ok(true) => Ok(true),
                    _ => Err(truncated(Format::Jxl, "the file ends before anything of its picture can be shown")),
                };
            }
        }
    }
}

/// The colours that a file names without a profile.
fn space(encoding: &JxlColorEncoding) -> Option<icc::Space> {
    use JxlTransferFunction as T;
    let (white, primaries, transfer) = match encoding {
        JxlColorEncoding::RgbColorSpace { white_point, primaries, transfer_function, .. } => {
            (white_point, Some(primaries.to_xy_coords()), transfer_function)
        }
        JxlColorEncoding::GrayscaleColorSpace { white_point, transfer_function, .. } => {
            (white_point, None, transfer_function)
        }
        JxlColorEncoding::XYB { .. } => return None,
    };
    let curve = match transfer {
        T::SRGB => icc::Curve::Srgb,
        T::Linear => icc::Curve::Gamma(1.0),
        T::BT709 => icc::Curve::Bt709,
        T::DCI => icc::Curve::Gamma(2.6),
        T::PQ => icc::Curve::Pq,
        T::HLG => icc::Curve::Hlg,
        // How light is written, not how it is read.
        T::Gamma(exponent) => icc::Curve::Gamma(1.0 / exponent),
    };
    // Grey has a white of its own, which grey pixels show as white.
    let places = primaries.map(|[red, green, blue]| [white.to_xy_coords(), red, green, blue]);
    icc::Space::of_primaries(places, curve)
}

fn failed(error: &jxl::error::Error, pixels: u64) -> Error {
    use jxl::error::Error as E;
    let too_large = |what: String| Error::new(Code::TooLarge, format!("JPEG XL: {what}"));
    match error {
        E::ImageSizeTooLarge(width, height) => too_large(format!(
            "a frame of {width}x{height} and its channels exceed {} samples, {SAMPLES_A_PIXEL} for each of its {pixels} pixels",
            sample_limit(pixels)
        )),
        E::PaletteTooLarge(samples, limit) => too_large(format!("a palette of {samples} samples exceeds {limit}")),
        E::LevelLimitExceeded { level, limit, val, max } => {
            too_large(format!("{limit} of {val} exceed {max}, the most in {level} of the standard"))
        }
        E::ImageDimensionTooLarge(_)
        | E::IccTooLarge
        | E::PatchesTooMany(..)
        | E::SplinesTooMany(..)
        | E::PatchesRefTooLarge(..)
        | E::SplinesTooManyControlPoints(..) => too_large(error.to_string()),
        E::OutOfMemory(_) | E::ImageOutOfMemory(..) => {
            too_large(format!("its decoder found less memory than it needs: {error}"))
        }
        E::OutOfBounds(_) | E::UnexpectedCodestreamBoxEnd => {
            truncated(Format::Jxl, "the file ends before its picture does")
        }
        E::IOError(error) if error.kind() == ErrorKind::TimedOut => reader::interrupted(),
        other => corrupt(Format::Jxl, other),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::path::Path;

    use super::*;
    use crate::codec;

    fn fixture(name: &str) -> Vec<u8> {
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)).unwrap()
    }

    fn read(source: &[u8], change: impl FnOnce(&mut Reading<'_>)) -> Result<Decoded> {
        let limits = Limits::default();
        let facts = codec::inspect(Cursor::new(source), &limits)?;
        let mut reading = Reading {
            shrink: 1,
            deep: false,
            as_stored: false,
            lenient: false,
            limits: &limits,
            interrupted: &|| false,
        };
        change(&mut reading);
        codec::decode(source, &facts, &reading)
    }

    #[test]
    fn named_colours_become_srgb() {
        // As LittleCMS has them.
        for (name, colour) in
            [("p3.jxl", [217, 42, 37]), ("p3-lossy.jxl", [217, 42, 37]), ("light-lossy.jxl", [128, 128, 128])]
        {
            let Picture::Eight(picture) = read(&fixture(name), |_| ()).unwrap().picture else { panic!("{name}") };
            assert_eq!((picture.size(), picture.channels), ((24, 16), Channels::Rgb), "{name}");
            let middle = picture.data.as_chunks::<3>().0[8 * 24 + 12];
            assert!(middle.iter().zip(colour).all(|(a, b)| a.abs_diff(b) <= 3), "{name}: {middle:?}");
        }
    }

    #[test]
    fn sixteen_bits_of_light_become_sixteen_of_srgb() {
        let decoded = read(&fixture("deep.jxl"), |reading| reading.deep = true).unwrap();
        let Picture::Sixteen(picture) = decoded.picture else { panic!("its depth is lost") };
        assert_eq!((picture.size(), picture.channels), ((64, 8), Channels::Gray));
        for (x, &got) in picture.data[..64].iter().enumerate() {
            let light = x as f64 * 1000.0 / 65_535.0;
            let curved = if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
            assert!((f64::from(got) - curved * 65_535.0).abs() < 40.0, "{x}: {got}, not {}", curved * 65_535.0);
        }
        assert!(picture.data[7 * 64 + 1] > picture.data[1], "a step of one is kept");
    }

    #[test]
    fn bound_that_is_met_is_too_large_and_names_itself() {
        use jxl::error::Error as E;
        let level = E::LevelLimitExceeded { level: ProfileLevel::Main5, limit: "extra channels", val: 5, max: 4 };
        for (error, code, said) in [
            (E::ImageSizeTooLarge(5000, 4000), Code::TooLarge, "5000x4000 and its channels exceed 8000000 samples"),
            (E::ImageOutOfMemory(8, 9), Code::TooLarge, "less memory than it needs"),
            (E::PaletteTooLarge(9, 8), Code::TooLarge, "9 samples exceeds 8"),
            (level, Code::TooLarge, "extra channels of 5 exceed 4, the most in Level 5"),
            (E::UnexpectedCodestreamBoxEnd, Code::TruncatedImage, "ends before"),
            (E::IOError(std::io::Error::new(ErrorKind::TimedOut, OVER)), Code::TimeLimit, "time"),
            (E::InvalidHuffman, Code::CorruptImage, "Huffman"),
        ] {
            let refused = failed(&error, 1_000_000);
            assert_eq!(refused.code, code, "{refused}");
            assert!(refused.detail.contains(said), "{refused}");
        }
    }

    /// Columns of noise, of which the decoder would make others.
    #[test]
    fn frame_of_one_pixels_width_that_would_come_out_wrong_is_refused() {
        for name in ["narrow-eighths.jxl", "narrow-64ths.jxl", "narrow-modular.jxl"] {
            let refused = read(&fixture(name), |_| ()).err().unwrap_or_else(|| panic!("{name} is read"));
            assert_eq!(refused.code, Code::UnsupportedFormat, "{name}: {refused}");
            assert!(refused.detail.contains("one pixel's width"), "{name}: {refused}");
        }
    }

    #[test]
    fn narrow_pictures_that_come_out_right_are_read() {
        // Their first pixels, as libjxl has them.
        let pictures: [(&str, (u32, u32), &[u8]); 3] = [
            ("narrow-grey.jxl", (5, 24), &[239, 85, 156, 51, 0]),
            ("narrow-nine.jxl", (9, 24), &[129, 250, 64, 97, 139, 126]),
            ("narrow-lossless.jxl", (1, 40), &[170, 10, 109, 143, 185, 242]),
        ];
        for (name, size, first) in pictures {
            let Picture::Eight(picture) = read(&fixture(name), |_| ()).unwrap().picture else { panic!("{name}") };
            assert_eq!(picture.size(), size, "{name}");
            let got = &picture.data[..first.len()];
            assert!(got.iter().zip(first).all(|(a, b)| a.abs_diff(*b) <= 2), "{name}: {got:?}");
        }
    }

    #[test]
    fn cut_short_and_stopped_are_told_apart() {
        let source = fixture("quarters-lossy.jxl");
        let code = |source: &[u8], change: fn(&mut Reading<'_>)| read(source, change).err().map(|error| error.code);
        assert_eq!(code(&source[..source.len() / 2], |_| ()), Some(Code::TruncatedImage));
        assert_eq!(code(&source, |reading| reading.interrupted = &|| true), Some(Code::TimeLimit));
        assert_eq!(code(&source, |_| ()), None);
    }

    /// Between two tasks of the decoder, when all of the file is read.
    #[test]
    fn decoder_is_stopped_in_the_middle_of_its_work() {
        let asked = std::cell::Cell::new(0);
        let interrupted = || {
            asked.set(asked.get() + 1);
            asked.get() > 2
        };
        let mut done = 0;
        let counted = std::sync::Mutex::new(&mut done);
        let outcome = InTurn { interrupted: &interrupted }.run_ordered(9, None, &|_| {
            **counted.lock().unwrap() += 1;
            Ok(())
        });
        assert_eq!(failed(&outcome.unwrap_err(), 1).code, Code::TimeLimit);
        assert_eq!(done, 2);
    }
}
