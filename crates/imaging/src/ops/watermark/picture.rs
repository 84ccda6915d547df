//! Another picture as a mark: scaled and turned.

use fast_image_resize::Resizer;

use super::super::geometry;
use super::super::resize::resize;
use crate::Result;
use crate::operation::{Resize, Watermark};
use crate::raster::{Channels, Raster};
use crate::text::{Drawn, sin_cos};

/// Scales and turns an overlay.
pub(super) fn place(overlay: &Raster, watermark: &Watermark, width: u32, room: (u32, u32)) -> Result<Drawn> {
    let (own_w, own_h) = (f64::from(overlay.width), f64::from(overlay.height));
    let wanted = watermark.size.map_or(1.0, |size| f64::from(size.pixels(width)) / own_w);
    let (sin, cos) = sin_cos(watermark.angle);
    let turned = (own_w * cos.abs() + own_h * sin.abs(), own_w * sin.abs() + own_h * cos.abs());
    let factor = wanted.min(f64::from(room.0) / turned.0).min(f64::from(room.1) / turned.1);
    let side = |own: f64| ((own * factor).round() as u32).max(1);
    let (w, h) = (side(own_w), side(own_h));
    let scaled = if (w, h) == overlay.size() {
        overlay.clone()
    } else {
        resize(overlay, &geometry::resize(&Resize::fill(w, h), overlay.size()), &mut Resizer::new())?
    };
    let raster = match watermark.angle.rem_euclid(360.0) {
        0.0 => scaled,
        90.0 => scaled.oriented(6),
        180.0 => scaled.oriented(3),
        270.0 => scaled.oriented(8),
        _ => turn(&scaled, sin, cos),
    };
    Ok(Drawn::picture(raster, (w as f32, h as f32)))
}

/// Turns a picture with alpha clockwise about its middle; what it did not cover is transparent.
pub(super) fn turn(picture: &Raster, sin: f64, cos: f64) -> Raster {
    let (w, h) = (f64::from(picture.width), f64::from(picture.height));
    let side = |length: f64| (length.ceil() as u32).max(1);
    let (width, height) = (side(w * cos.abs() + h * sin.abs()), side(w * sin.abs() + h * cos.abs()));
    let source = picture.data.as_chunks::<4>().0;
    let at = |x: i64, y: i64| {
        let inside = (0..i64::from(picture.width)).contains(&x) && (0..i64::from(picture.height)).contains(&y);
        if inside { source[(y * i64::from(picture.width) + x) as usize] } else { [0; 4] }
    };
    let mut data = Vec::with_capacity(width as usize * height as usize * 4);
    for y in 0..height {
        for x in 0..width {
            let (along, down) =
                (f64::from(x) + 0.5 - f64::from(width) / 2.0, f64::from(y) + 0.5 - f64::from(height) / 2.0);
            let from = (along * cos + down * sin + w / 2.0 - 0.5, down * cos - along * sin + h / 2.0 - 0.5);
            let (left, top) = (from.0.floor(), from.1.floor());
            let (fx, fy) = (from.0 - left, from.1 - top);
            // Bilinear, with colours weighted by their alpha.
            let (mut sums, mut cover) = ([0.0; 3], 0.0);
            for (px, py, weight) in
                [(0, 0, (1.0 - fx) * (1.0 - fy)), (1, 0, fx * (1.0 - fy)), (0, 1, (1.0 - fx) * fy), (1, 1, fx * fy)]
            {
                let pixel = at(left as i64 + px, top as i64 + py).map(f64::from);
                let alpha = pixel[3] * weight;
                cover += alpha;
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += value * alpha;
                }
            }
            let colors = sums.map(|sum| if cover > 0.0 { (sum / cover).round() as u8 } else { 0 });
            data.extend(colors);
            data.push(cover.round() as u8);
        }
    }
    Raster { width, height, channels: Channels::Rgba, data }
}
