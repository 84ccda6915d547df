//! Decoded pictures: 8 bits a channel, interleaved, rows without padding, alpha not premultiplied.

use std::borrow::Cow;

/// Pixels a side of the squares in which pictures are turned.
const TILE: usize = 32;

/// The channels of a pixel, in memory order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channels {
    Gray,
    Rgb,
    Rgba,
}

impl Channels {
    pub(crate) fn count(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::Rgb => 3,
            Self::Rgba => 4,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Raster {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) channels: Channels,
    pub(crate) data: Vec<u8>,
}

impl Raster {
    /// A picture of one colour, given in `channels`' own order.
    pub(crate) fn filled(width: u32, height: u32, channels: Channels, pixel: &[u8]) -> Self {
        debug_assert_eq!(pixel.len(), channels.count());
        let data = pixel.repeat(width as usize * height as usize);
        Self { width, height, channels, data }
    }

    pub(crate) fn stride(&self) -> usize {
        self.width as usize * self.channels.count()
    }

    pub(crate) fn has_alpha(&self) -> bool {
        self.channels == Channels::Rgba
    }

    /// Grey becomes RGB; the others stay as they are.
    pub(crate) fn into_colour(self) -> Self {
        if self.channels != Channels::Gray {
            return self;
        }
        let data = self.data.iter().flat_map(|&v| [v; 3]).collect();
        Self { channels: Channels::Rgb, data, ..self }
    }

    /// Drops an alpha channel that hides nothing.
    pub(crate) fn without_idle_alpha(self) -> Self {
        if !self.has_alpha() || self.data.chunks_exact(4).any(|pixel| pixel[3] != 255) {
            return self;
        }
        let data = self.data.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
        Self { channels: Channels::Rgb, data, ..self }
    }

    /// The picture over white, without alpha.
    pub(crate) fn over_white(&self) -> Cow<'_, Self> {
        if !self.has_alpha() {
            return Cow::Borrowed(self);
        }
        let over = |v: u8, a: u8| {
            let (v, a) = (u32::from(v), u32::from(a));
            ((v * a + 255 * (255 - a) + 127) / 255) as u8
        };
        let data =
            self.data.chunks_exact(4).flat_map(|p| [over(p[0], p[3]), over(p[1], p[3]), over(p[2], p[3])]).collect();
        Cow::Owned(Self { width: self.width, height: self.height, channels: Channels::Rgb, data })
    }

    /// The upright picture, from one stored with an EXIF orientation of 1 to 8.
    pub(crate) fn oriented(self, orientation: u8) -> Self {
        if !(2..=8).contains(&orientation) {
            return self;
        }
        match self.channels {
            Channels::Gray => self.turned::<1>(orientation),
            Channels::Rgb => self.turned::<3>(orientation),
            Channels::Rgba => self.turned::<4>(orientation),
        }
    }

    fn turned<const N: usize>(self, orientation: u8) -> Self {
        let (w, h) = (self.width as usize, self.height as usize);
        let (width, height) = if orientation >= 5 { (h, w) } else { (w, h) };
        let (source, _) = self.data.as_chunks::<N>();
        let mut data = vec![0; self.data.len()];
        let (target, _) = data.as_chunks_mut::<N>();
        // In tiles, because a column of the source touches a cache line in every row.
        for (band, rows) in target.chunks_mut(width * TILE).enumerate() {
            for left in (0..width).step_by(TILE) {
                for (i, row) in rows.chunks_exact_mut(width).enumerate() {
                    let y = band * TILE + i;
                    // The source index of the row's first pixel, and the step to the next one.
                    let (start, step): (usize, isize) = match orientation {
                        2 => (y * w + w - 1, -1),
                        3 => ((h - 1 - y) * w + w - 1, -1),
                        4 => ((h - 1 - y) * w, 1),
                        5 => (y, w as isize),
                        6 => ((h - 1) * w + y, -(w as isize)),
                        7 => ((h - 1) * w + w - 1 - y, -(w as isize)),
                        _ => (w - 1 - y, w as isize),
                    };
                    let mut at = start as isize + step * left as isize;
                    for pixel in &mut row[left..width.min(left + TILE)] {
                        *pixel = source[at as usize];
                        at += step;
                    }
                }
            }
        }
        Self { width: width as u32, height: height as u32, channels: self.channels, data }
    }
}
