//! BMP and QOI, by `image`: eight bits, alpha as it is, without settings.

use std::borrow::Cow;

use image::codecs::bmp::BmpEncoder;
use image::codecs::qoi::QoiEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::{Sink, coloured, failed};
use crate::raster::{Channels, Raster};
use crate::{Format, Result};

pub(super) fn bmp(raster: &Raster, interrupted: &dyn Fn() -> bool) -> Result<Vec<u8>> {
    let mut sink = Sink::new(interrupted);
    BmpEncoder::new(&mut sink)
        .encode(&raster.data, raster.width, raster.height, color(raster))
        .map_err(|error| failed(Format::Bmp, &error, interrupted))?;
    Ok(sink.into_inner())
}

pub(super) fn qoi(raster: &Raster, interrupted: &dyn Fn() -> bool) -> Result<Vec<u8>> {
    let raster: Cow<'_, Raster> = coloured(raster);
    let mut sink = Sink::new(interrupted);
    QoiEncoder::new(&mut sink)
        .write_image(&raster.data, raster.width, raster.height, color(&raster))
        .map_err(|error| failed(Format::Qoi, &error, interrupted))?;
    Ok(sink.into_inner())
}

fn color(raster: &Raster) -> ExtendedColorType {
    match raster.channels {
        Channels::Gray => ExtendedColorType::L8,
        Channels::Rgb => ExtendedColorType::Rgb8,
        Channels::Rgba => ExtendedColorType::Rgba8,
    }
}
