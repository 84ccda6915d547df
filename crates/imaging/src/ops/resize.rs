//! Resampling by `fast_image_resize` (Lanczos3 unless asked otherwise), and the canvas of `contain`.
//!
//! Works in the encoded, gamma-curved samples as everyday tools do, or on request in linear light.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::geometry::Placement;
use super::{frame, linear};
use crate::operation::Filter;
use crate::raster::{Channels, Raster, Sample};
use crate::{Code, Error, Result};

/// The part of `source` that `placement` names, at its size, on its canvas.
///
/// Alpha is premultiplied while resampling, so that the colour of transparent pixels does not bleed into their
/// neighbours.
pub(crate) fn resize<S: Sample>(source: &Raster<S>, placement: &Placement, resizer: &mut Resizer) -> Result<Raster<S>> {
    let scaled = if placement.linear {
        linear::to_curve(&scale(&linear::to_light(source), placement, resizer)?)
    } else {
        scale(source, placement, resizer)?
    };
    Ok(match &placement.canvas {
        Some(canvas) => frame::extend(scaled, canvas),
        None => scaled,
    })
}

fn scale<S: Sample>(source: &Raster<S>, placement: &Placement, resizer: &mut Resizer) -> Result<Raster<S>> {
    let broken = |what: String| Error::new(Code::DecoderFailure, format!("resizing: {what}"));
    let (width, height) = placement.scaled;
    let mut data = vec![S::default(); width as usize * height as usize * source.channels.count()];
    let source_view =
        ImageRef::new(source.width, source.height, bytemuck::cast_slice(&source.data), kind::<S>(source.channels))
            .map_err(|error| broken(error.to_string()))?;
    let mut target =
        Image::from_slice_u8(width, height, bytemuck::cast_slice_mut(&mut data), kind::<S>(source.channels))
            .map_err(|error| broken(error.to_string()))?;
    resizer.resize(&source_view, &mut target, &options(placement)).map_err(|error| broken(error.to_string()))?;
    Ok(Raster { width, height, channels: source.channels, data })
}

/// The resampler's options for a placement.
pub(crate) fn options(placement: &Placement) -> ResizeOptions {
    let [left, top, width, height] = placement.crop;
    let algorithm = match placement.filter {
        Filter::Nearest => ResizeAlg::Nearest,
        Filter::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
        Filter::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
        Filter::Lanczos3 => ResizeAlg::Convolution(FilterType::Lanczos3),
    };
    ResizeOptions::new().resize_alg(algorithm).crop(left, top, width, height)
}

fn kind<S: Sample>(channels: Channels) -> PixelType {
    match (channels, size_of::<S>()) {
        (Channels::Gray, 1) => PixelType::U8,
        (Channels::Rgb, 1) => PixelType::U8x3,
        (Channels::Rgba, 1) => PixelType::U8x4,
        (Channels::Gray, _) => PixelType::U16,
        (Channels::Rgb, _) => PixelType::U16x3,
        (Channels::Rgba, _) => PixelType::U16x4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::{Fit, Resize};
    use crate::ops::geometry;

    fn run(source: &Raster, wanted: &Resize) -> Raster {
        let placement = geometry::resize(wanted, (source.width, source.height));
        resize(source, &placement, &mut Resizer::new()).unwrap()
    }

    #[test]
    fn transparent_colour_does_not_bleed() {
        // Opaque white beside transparent black: the edge stays white, only its alpha falls.
        let mut source = Raster::filled(64, 64, Channels::Rgba, &[255, 255, 255, 255]);
        for row in source.data.chunks_exact_mut(64 * 4) {
            row[32 * 4..].fill(0);
        }
        let small = run(&source, &Resize::fill(9, 9));
        for pixel in small.data.chunks_exact(4).filter(|pixel| pixel[3] > 8) {
            assert!(pixel[..3].iter().all(|&v| v > 245), "a halo: {pixel:?}");
        }
    }

    #[test]
    fn contain_surrounds_with_its_background() {
        let source = Raster::filled(40, 10, Channels::Rgb, &[200, 0, 0]);
        let wanted = Resize { fit: Fit::Contain, background: Some([0, 0, 200, 255]), ..Resize::fill(20, 20) };
        let boxed = run(&source, &wanted);
        assert_eq!((boxed.width, boxed.height), (20, 20));
        assert_eq!(boxed.data[..3], [0, 0, 200]);
        let middle = (10 * 20 + 10) * 3;
        assert_eq!(boxed.data[middle..middle + 3], [200, 0, 0]);
    }

    #[test]
    fn grey_stays_grey() {
        let source = Raster::filled(40, 10, Channels::Gray, &[77]);
        let small = run(&source, &Resize::fill(20, 20));
        assert_eq!((small.channels, small.data[0]), (Channels::Gray, 77));
    }
}
