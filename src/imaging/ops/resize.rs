//! Resampling by `fast_image_resize` (Lanczos3 unless asked otherwise), and the canvas of `contain`.
//!
//! Works in the encoded, gamma-curved samples as everyday tools do.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use super::geometry::{Canvas, Placement};
use crate::imaging::operation::Filter;
use crate::imaging::raster::{Channels, Raster};
use crate::imaging::{Code, Error, Result};

/// The part of `source` that `placement` names, at its size, on its canvas.
///
/// Alpha is premultiplied while resampling, so that the colour of transparent pixels does not
/// bleed into their neighbours.
pub(crate) fn resize(source: &Raster, placement: &Placement, resizer: &mut Resizer) -> Result<Raster> {
    let broken = |what: String| Error::new(Code::DecoderFailure, format!("resizing: {what}"));
    let (width, height) = placement.scaled;
    let mut data = vec![0; width as usize * height as usize * source.channels.count()];
    let source_view = ImageRef::new(source.width, source.height, &source.data, kind(source.channels))
        .map_err(|error| broken(error.to_string()))?;
    let mut target = Image::from_slice_u8(width, height, &mut data, kind(source.channels))
        .map_err(|error| broken(error.to_string()))?;
    resizer.resize(&source_view, &mut target, &options(placement)).map_err(|error| broken(error.to_string()))?;
    let scaled = Raster { width, height, channels: source.channels, data };
    Ok(match &placement.canvas {
        Some(canvas) => place(scaled, canvas),
        None => scaled,
    })
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

fn kind(channels: Channels) -> PixelType {
    match channels {
        Channels::Gray => PixelType::U8,
        Channels::Rgb => PixelType::U8x3,
        Channels::Rgba => PixelType::U8x4,
    }
}

fn place(picture: Raster, canvas: &Canvas) -> Raster {
    let (width, height) = canvas.size;
    let unset = if picture.has_alpha() { [0; 4] } else { [255; 4] };
    let [r, g, b, a] = canvas.background.unwrap_or(unset);
    // A background with alpha or colour needs channels to hold it.
    let picture = match picture.channels {
        Channels::Gray if (r, a) == (g, 255) && g == b => picture,
        Channels::Gray | Channels::Rgb if a != 255 => with_alpha(&picture.into_colour()),
        _ => picture.into_colour(),
    };
    let pixel = [r, g, b, a];
    let mut filled = Raster::filled(width, height, picture.channels, &pixel[..picture.channels.count()]);
    let (bytes, stride) = (picture.stride(), filled.stride());
    let left = canvas.offset.0 as usize * picture.channels.count();
    let rows = filled.data.chunks_exact_mut(stride).skip(canvas.offset.1 as usize);
    for (row, line) in rows.zip(picture.data.chunks_exact(bytes)) {
        row[left..left + bytes].copy_from_slice(line);
    }
    filled
}

fn with_alpha(picture: &Raster) -> Raster {
    let data = picture.data.chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], 255]).collect();
    Raster { width: picture.width, height: picture.height, channels: Channels::Rgba, data }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::operation::{Fit, Resize};
    use crate::imaging::ops::geometry;

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
