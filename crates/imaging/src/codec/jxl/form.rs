//! The channels of a picture: what is asked of the decoder, and how its samples become a raster.

use jxl::api::{
    Endianness, Event, ExtraChannel, JxlBasicInfo, JxlColorProfile, JxlColorType, JxlDataFormat, JxlDecoder,
    JxlOutputBuffer, JxlPixelFormat,
};

use super::feed::{Feed, InTurn, failed};
use crate::codec::icc;
use crate::codec::reader::{self, corrupt, truncated, unsupported};
use crate::raster::{Channels, Raster, Sample};
use crate::{Format, Result};

/// The channels that are asked of the decoder.
pub(super) struct Form {
    size: (usize, usize),
    color: JxlColorType,
    pub(super) is_cmyk: bool,
    /// Of the extra channels.
    count: usize,
    /// Its place among the extra channels.
    alpha: Option<usize>,
}

impl Form {
    pub(super) fn of(decoder: &JxlDecoder, info: &JxlBasicInfo) -> Self {
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
    pub(super) fn read<S: Sample>(
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
