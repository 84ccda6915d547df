//! Text marks: where they stand, and blending them with their alpha into pixels.
//!
//! [`mark`] is geometry and glyphs, [`draw`] is arithmetic; planes have a `draw` of their own.

use crate::imaging::Result;
use crate::imaging::operation::Watermark;
use crate::imaging::raster::{Channels, Raster};
use crate::imaging::text::{self, Mask};

/// A text's coverage and where it stands on one picture.
pub(crate) struct Mark {
    pub(crate) mask: Mask,
    /// The mask's top left corner.
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) color: [u8; 3],
    /// 0 to 255, colour alpha and opacity together.
    pub(crate) alpha: u8,
}

/// Lays the text out on a picture of `size`.
///
/// The text's ink, not its line box, stands `margin` pixels from the edges. On small pictures the
/// margin shrinks to an eighth of the side, and the text until it fits between the margins.
///
/// # Errors
/// `missing-glyph`, naming the characters that no font has.
pub(crate) fn mark(watermark: &Watermark, size: (u32, u32)) -> Result<Mark> {
    let margin = |side: u32| watermark.margin.min(side / 8);
    let (margin_x, margin_y) = (margin(size.0), margin(size.1));
    let room = (size.0 - 2 * margin_x, size.1 - 2 * margin_y);
    let mask = text::fitted(&watermark.text, watermark.size as f32, room)?;
    let (fx, fy) = watermark.position.fractions();
    let place = |room: u32, ink: u32, margin: u32, fraction: f64| {
        margin + (f64::from(room.saturating_sub(ink)) * fraction).round() as u32
    };
    let [r, g, b, a] = watermark.color;
    Ok(Mark {
        x: place(room.0, mask.width, margin_x, fx),
        y: place(room.1, mask.height, margin_y, fy),
        color: [r, g, b],
        alpha: (f32::from(a) * watermark.opacity).round() as u8,
        mask,
    })
}

/// Draws the mark over the picture; grey pictures become RGB unless the mark is grey too.
pub(crate) fn draw(picture: Raster, mark: &Mark) -> Raster {
    let [r, g, b] = mark.color;
    let mut picture = if r == g && g == b { picture } else { picture.into_colour() };
    let stride = picture.stride();
    let (width, count) = (picture.width, picture.channels.count());
    // A mark that is still too large for a tiny picture is cut at its edges.
    let columns = mark.mask.width.min(width.saturating_sub(mark.x)) as usize;
    let rows = picture.data.chunks_exact_mut(stride).skip(mark.y as usize);
    for (row, coverage) in rows.zip(mark.mask.rows()) {
        let pixels = row[mark.x as usize * count..].chunks_exact_mut(count);
        for (pixel, &coverage) in pixels.zip(&coverage[..columns]) {
            let alpha = scaled(mark.alpha, coverage);
            if alpha == 0 {
                continue;
            }
            match picture.channels {
                Channels::Rgba => over(pixel, mark.color, alpha),
                _ => {
                    for (value, color) in pixel.iter_mut().zip(mark.color) {
                        *value = mix(*value, color, alpha);
                    }
                }
            }
        }
    }
    picture
}

/// `a * b` where 255 stands for 1.
pub(crate) fn scaled(a: u8, b: u8) -> u8 {
    ((u32::from(a) * u32::from(b) + 127) / 255) as u8
}

pub(crate) fn mix(below: u8, above: u8, alpha: u8) -> u8 {
    let (below, above, alpha) = (u32::from(below), u32::from(above), u32::from(alpha));
    ((above * alpha + below * (255 - alpha) + 127) / 255) as u8
}

/// Porter and Duff's source-over with alpha that is not premultiplied.
fn over(pixel: &mut [u8], color: [u8; 3], alpha: u8) {
    let (above, below) = (u32::from(alpha), u32::from(pixel[3]));
    // Both weights are in 255ths of 255ths.
    let (top, bottom) = (above * 255, below * (255 - above));
    let sum = top + bottom;
    for (value, color) in pixel.iter_mut().zip(color) {
        *value = ((u32::from(color) * top + u32::from(*value) * bottom + sum / 2) / sum) as u8;
    }
    pixel[3] = ((sum + 127) / 255) as u8;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::Code;
    use crate::imaging::operation::Anchor;

    /// Left, top, right and bottom of what differs from the background.
    fn ink(picture: &Raster, background: u8) -> (u32, u32, u32, u32) {
        let mut bounds = (u32::MAX, u32::MAX, 0, 0);
        let count = picture.channels.count();
        for (i, pixel) in picture.data.chunks_exact(count).enumerate() {
            if pixel[0] != background {
                let (x, y) = (i as u32 % picture.width, i as u32 / picture.width);
                bounds = (bounds.0.min(x), bounds.1.min(y), bounds.2.max(x), bounds.3.max(y));
            }
        }
        bounds
    }

    fn drawn(watermark: &Watermark, picture: Raster) -> Raster {
        let mark = mark(watermark, (picture.width, picture.height)).unwrap();
        draw(picture, &mark)
    }

    #[test]
    fn ink_stands_exactly_the_margin_from_the_edges() {
        let picture = Raster::filled(400, 300, Channels::Gray, &[0]);
        let wanted = Watermark { position: Anchor::TopLeft, ..Watermark::new("MySite") };
        let (left, top, ..) = ink(&drawn(&wanted, picture.clone()), 0);
        assert_eq!((left, top), (10, 10));
        let (.., right, bottom) = ink(&drawn(&Watermark::new("MySite"), picture), 0);
        assert_eq!((right, bottom), (400 - 1 - 10, 300 - 1 - 10));
    }

    #[test]
    fn text_shrinks_until_it_fits() {
        for side in [1, 2, 8, 20, 64] {
            let picture = Raster::filled(side, side, Channels::Rgb, &[0, 0, 0]);
            let marked = drawn(&Watermark::new("MySite, and a long line more"), picture);
            assert_eq!((marked.width, marked.height), (side, side));
        }
        let picture = Raster::filled(100, 300, Channels::Gray, &[0]);
        let (left, _, right, _) = ink(&drawn(&Watermark::new("A long line of text"), picture), 0);
        assert!(left >= 10 && right < 90, "{left}..{right}");
    }

    #[test]
    fn alpha_blends_half() {
        let mut white = Watermark::new("█");
        white.text = "MM".to_owned();
        let picture = Raster::filled(200, 100, Channels::Rgb, &[0, 100, 200]);
        let marked = drawn(&white, picture);
        let brightest = marked.data.chunks_exact(3).max_by_key(|pixel| pixel[0]).unwrap();
        assert_eq!(brightest, [128, 178, 228]);
    }

    #[test]
    fn mark_on_transparency_keeps_its_own_colour() {
        let picture = Raster::filled(200, 100, Channels::Rgba, &[10, 20, 30, 0]);
        let marked = drawn(&Watermark::new("MM"), picture);
        let strongest = marked.data.chunks_exact(4).max_by_key(|pixel| pixel[3]).unwrap();
        assert_eq!(strongest, [255, 255, 255, 128]);
    }

    #[test]
    fn missing_glyph_is_named() {
        let error = mark(&Watermark::new("a\u{10ffff}"), (100, 100)).err().unwrap();
        assert_eq!(error.code, Code::MissingGlyph);
        assert!(error.detail.contains("U+10FFFF"), "{error}");
    }
}
