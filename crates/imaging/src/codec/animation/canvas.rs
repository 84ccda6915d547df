//! The canvas on which frames are composed: drawing, blending, and the disposal of a frame afterwards.

use crate::codec::quantize::Pixel;
use crate::raster::{Channels, Raster};

const CLEAR: Pixel = [0; 4];

/// A rectangle of the canvas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) left: usize,
    pub(super) top: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

/// What happens to a frame's area before the next frame is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disposal {
    Keep,
    /// It becomes transparent.
    Clear,
    /// It gets its earlier content back.
    Restore,
}

pub(super) struct Canvas {
    pub(super) width: usize,
    pub(super) height: usize,
    pixels: Vec<Pixel>,
    /// To be done before the next frame.
    disposal: Option<(Area, Disposal)>,
    /// The pixels for [`Disposal::Restore`].
    saved: Vec<Pixel>,
}

impl Area {
    pub(super) fn whole(width: usize, height: usize) -> Self {
        Self { left: 0, top: 0, width, height }
    }

    pub(super) fn pixels(&self) -> usize {
        self.width * self.height
    }

    /// The smallest area that contains both.
    pub(super) fn and(self, other: Self) -> Self {
        let (left, top) = (self.left.min(other.left), self.top.min(other.top));
        let right = (self.left + self.width).max(other.left + other.width);
        let bottom = (self.top + self.height).max(other.top + other.height);
        Self { left, top, width: right - left, height: bottom - top }
    }

    /// The smallest area with every pixel for which `is_in` is true, in a picture `width` pixels wide.
    pub(super) fn around(width: usize, height: usize, is_in: impl Fn(usize) -> bool) -> Option<Self> {
        let row = |y: &usize| (y * width..(y + 1) * width).any(&is_in);
        let top = (0..height).find(row)?;
        let bottom = (top..height).rev().find(row)?;
        let (mut left, mut right) = (width, 0);
        for y in top..=bottom {
            left = (0..left).find(|x| is_in(y * width + x)).unwrap_or(left);
            right = (right..width).rev().find(|x| is_in(y * width + x)).map_or(right, |x| x + 1);
        }
        Some(Self { left, top, width: right - left, height: bottom + 1 - top })
    }

    /// This area of a picture `width` wide.
    pub(super) fn cut<T: Copy>(&self, picture: &[T], width: usize) -> Vec<T> {
        let mut part = Vec::with_capacity(self.pixels());
        for row in picture.chunks_exact(width).skip(self.top).take(self.height) {
            part.extend_from_slice(&row[self.left..self.left + self.width]);
        }
        part
    }
}

impl Canvas {
    /// All transparent.
    pub(super) fn new(width: u32, height: u32) -> Self {
        let (width, height) = (width as usize, height as usize);
        Self { width, height, pixels: vec![CLEAR; width * height], disposal: None, saved: Vec::new() }
    }

    /// The area of a frame inside the canvas.
    pub(super) fn clip(&self, area: Area) -> Area {
        let (left, top) = (area.left.min(self.width), area.top.min(self.height));
        Area { left, top, width: area.width.min(self.width - left), height: area.height.min(self.height - top) }
    }

    /// Draws a frame of `area`'s size; `pixels` are its pixels in rows.
    ///
    /// With `blend`, transparent pixels keep the pixels below them.
    pub(super) fn draw(&mut self, area: Area, pixels: impl Iterator<Item = Pixel>, blend: bool, disposal: Disposal) {
        self.dispose();
        let inside = self.clip(area);
        if disposal == Disposal::Restore {
            self.saved = inside.cut(&self.pixels, self.width);
        }
        self.disposal = Some((inside, disposal));
        let mut pixels = pixels;
        for y in 0..area.height {
            let row = (y < inside.height).then(|| {
                let start = (inside.top + y) * self.width + inside.left;
                &mut self.pixels[start..start + inside.width]
            });
            let row = row.unwrap_or_default();
            for x in 0..area.width {
                let Some(pixel) = pixels.next() else { return };
                match row.get_mut(x) {
                    Some(below) if blend => *below = over(pixel, *below),
                    Some(below) => *below = pixel,
                    None => {}
                }
            }
        }
    }

    fn dispose(&mut self) {
        let Some((area, disposal)) = self.disposal.take() else { return };
        if disposal == Disposal::Keep || area.pixels() == 0 {
            return;
        }
        let rows = self.pixels.chunks_exact_mut(self.width).skip(area.top).take(area.height);
        for (y, row) in rows.enumerate() {
            let row = &mut row[area.left..area.left + area.width];
            match disposal {
                Disposal::Restore => row.copy_from_slice(&self.saved[y * area.width..(y + 1) * area.width]),
                _ => row.fill(CLEAR),
            }
        }
    }

    /// The picture as it is shown now.
    pub(super) fn picture(&self) -> Raster {
        Raster {
            width: self.width as u32,
            height: self.height as u32,
            channels: Channels::Rgba,
            data: self.pixels.as_flattened().to_vec(),
        }
    }
}

/// Porter and Duff's source-over with alpha that is not premultiplied.
fn over(above: Pixel, below: Pixel) -> Pixel {
    match (above[3], below[3]) {
        (255, _) | (_, 0) => above,
        (0, _) => below,
        (alpha, under) => {
            // In units of 1/255².
            let (top, bottom) = (u32::from(alpha) * 255, u32::from(under) * (255 - u32::from(alpha)));
            let sum = top + bottom;
            let mix = |c: usize| ((u32::from(above[c]) * top + u32::from(below[c]) * bottom + sum / 2) / sum) as u8;
            [mix(0), mix(1), mix(2), ((sum + 127) / 255) as u8]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: Pixel = [255, 0, 0, 255];
    const BLUE: Pixel = [0, 0, 255, 255];

    fn row(canvas: &Canvas) -> Vec<Pixel> {
        canvas.picture().rgba().to_vec()
    }

    fn area(left: usize, width: usize) -> Area {
        Area { left, top: 0, width, height: 1 }
    }

    #[test]
    fn disposal_keeps_clears_or_restores() {
        for (disposal, left) in [(Disposal::Keep, BLUE), (Disposal::Clear, CLEAR), (Disposal::Restore, RED)] {
            let mut canvas = Canvas::new(3, 1);
            canvas.draw(area(0, 3), [RED; 3].into_iter(), false, Disposal::Keep);
            canvas.draw(area(0, 2), [BLUE; 2].into_iter(), true, disposal);
            assert_eq!(row(&canvas), [BLUE, BLUE, RED]);
            canvas.draw(area(2, 1), [BLUE].into_iter(), true, Disposal::Keep);
            assert_eq!(row(&canvas), [left, left, BLUE], "{disposal:?}");
        }
    }

    #[test]
    fn frames_are_cut_at_the_edges() {
        let mut canvas = Canvas::new(2, 2);
        let reaching = Area { left: 1, top: 1, width: 3, height: 3 };
        canvas.draw(
            reaching,
            [RED, BLUE, BLUE, BLUE, BLUE, BLUE, BLUE, BLUE, BLUE].into_iter(),
            false,
            Disposal::Clear,
        );
        assert_eq!(row(&canvas), [CLEAR, CLEAR, CLEAR, RED]);
        let outside = Area { left: 9, top: 9, width: 1, height: 1 };
        canvas.draw(outside, [RED].into_iter(), true, Disposal::Restore);
        assert_eq!(row(&canvas), [CLEAR; 4]);
    }

    #[test]
    fn blending_is_source_over() {
        assert_eq!(over([255, 0, 0, 128], BLUE), [128, 0, 127, 255]);
        assert_eq!(over([255, 0, 0, 128], [0, 0, 255, 128]), [170, 0, 85, 192]);
        assert_eq!(over(CLEAR, BLUE), BLUE);
        assert_eq!(over([9, 8, 7, 6], CLEAR), [9, 8, 7, 6]);
    }

    #[test]
    fn area_around_is_tight() {
        let set = [7, 12, 13];
        let found = Area::around(5, 4, |at| set.contains(&at));
        assert_eq!(found, Some(Area { left: 2, top: 1, width: 2, height: 2 }));
        assert_eq!(Area::around(5, 4, |_| false), None);
        assert_eq!(Area::around(5, 4, |_| true), Some(Area::whole(5, 4)));
    }
}
