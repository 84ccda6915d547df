//! Decoded pictures: 8 or 16 bits a channel, interleaved, rows without padding, alpha not premultiplied.

use std::borrow::Cow;

use bytemuck::Pod;

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

/// How the file that a picture is drawn for stores alpha.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alpha {
    Soft,
    /// Opaque or transparent only: half opacity counts as opaque.
    Hard,
}

/// One channel of one pixel: `u8`, or `u16` where the source has more than eight bits and an output can hold them.
///
/// Operations are written once, for both.
pub(crate) trait Sample: Copy + Default + Ord + Pod + std::fmt::Debug + Send + Sync + 'static {
    /// White, and full alpha.
    const MAX: Self;

    /// The sample of a value of eight bits.
    fn widen(eight: u8) -> Self;

    /// To eight bits, rounded.
    fn narrow(self) -> u8;

    /// 0 to [`MAX`](Self::MAX) as a number.
    fn number(self) -> u32;

    /// Saturates at [`MAX`](Self::MAX).
    fn from_number(number: u32) -> Self;

    /// The nearest sample to a number. Saturates; NaN becomes 0.
    #[expect(clippy::inline_always, reason = "loops are compiled for the registers of those that they are in")]
    #[inline(always)]
    fn nearest(number: f32) -> Self {
        let within = (number + 0.5).max(0.0).min(Self::MAX.number() as f32);
        // SAFETY: it is a number of 0 to 65,535. `as` would check each value by itself, outside of vector registers.
        Self::from_number(unsafe { within.to_int_unchecked::<i32>() } as u32)
    }

    fn view(raster: &Raster<Self>) -> View<'_>;
}

impl Sample for u8 {
    const MAX: Self = u8::MAX;

    fn widen(eight: u8) -> Self {
        eight
    }

    fn narrow(self) -> u8 {
        self
    }

    fn number(self) -> u32 {
        self.into()
    }

    fn from_number(number: u32) -> Self {
        number.min(255) as u8
    }

    fn view(raster: &Raster<Self>) -> View<'_> {
        View::Eight(raster)
    }
}

impl Sample for u16 {
    const MAX: Self = u16::MAX;

    fn widen(eight: u8) -> Self {
        u16::from(eight) * 257
    }

    fn narrow(self) -> u8 {
        ((u32::from(self) + 128) / 257) as u8
    }

    fn number(self) -> u32 {
        self.into()
    }

    fn from_number(number: u32) -> Self {
        number.min(65_535) as u16
    }

    fn view(raster: &Raster<Self>) -> View<'_> {
        View::Sixteen(raster)
    }
}

/// A picture of either depth, for code that depends on the depth.
#[derive(Debug, Clone, Copy)]
pub(crate) enum View<'a> {
    Eight(&'a Raster<u8>),
    Sixteen(&'a Raster<u16>),
}

impl<'a> View<'a> {
    pub(crate) fn size(self) -> (u32, u32) {
        match self {
            Self::Eight(raster) => raster.size(),
            Self::Sixteen(raster) => raster.size(),
        }
    }

    pub(crate) fn is_gray(self) -> bool {
        match self {
            Self::Eight(raster) => raster.channels == Channels::Gray,
            Self::Sixteen(raster) => raster.channels == Channels::Gray,
        }
    }

    /// The picture with eight bits a channel.
    pub(crate) fn eight(self) -> Cow<'a, Raster<u8>> {
        match self {
            Self::Eight(raster) => Cow::Borrowed(raster),
            Self::Sixteen(raster) => Cow::Owned(raster.narrowed()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Raster<S = u8> {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) channels: Channels,
    pub(crate) data: Vec<S>,
}

impl<S: Sample> Raster<S> {
    /// A picture of one colour, given in `channels`' own order.
    pub(crate) fn filled(width: u32, height: u32, channels: Channels, pixel: &[S]) -> Self {
        debug_assert_eq!(pixel.len(), channels.count());
        let data = pixel.repeat(width as usize * height as usize);
        Self { width, height, channels, data }
    }

    pub(crate) fn stride(&self) -> usize {
        self.width as usize * self.channels.count()
    }

    pub(crate) fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// With eight bits a channel, rounded.
    pub(crate) fn narrowed(&self) -> Raster<u8> {
        let data = self.data.iter().map(|v| v.narrow()).collect();
        Raster { width: self.width, height: self.height, channels: self.channels, data }
    }

    pub(crate) fn has_alpha(&self) -> bool {
        self.channels == Channels::Rgba
    }

    /// Grey becomes RGB; other pictures stay as they are.
    pub(crate) fn into_colour(self) -> Self {
        if self.channels != Channels::Gray {
            return self;
        }
        let data = self.data.iter().flat_map(|&v| [v; 3]).collect();
        Self { channels: Channels::Rgb, data, ..self }
    }

    /// Every pixel with its alpha.
    pub(crate) fn rgba(&self) -> Cow<'_, [[S; 4]]> {
        match self.channels {
            Channels::Gray => self.data.iter().map(|&v| [v, v, v, S::MAX]).collect(),
            Channels::Rgb => self.data.chunks_exact(3).map(|p| [p[0], p[1], p[2], S::MAX]).collect(),
            Channels::Rgba => Cow::Borrowed(self.data.as_chunks().0),
        }
    }

    /// Drops an alpha channel if all pixels are opaque.
    pub(crate) fn without_idle_alpha(self) -> Self {
        if !self.has_alpha() || self.data.chunks_exact(4).any(|pixel| pixel[3] != S::MAX) {
            return self;
        }
        let data = self.data.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
        Self { channels: Channels::Rgb, data, ..self }
    }

    /// The picture over white, without alpha.
    pub(crate) fn over_white(&self) -> Cow<'_, Self> {
        if self.has_alpha() { Cow::Owned(self.laid_over([255; 3])) } else { Cow::Borrowed(self) }
    }

    /// The picture over a colour, without alpha.
    pub(crate) fn over(self, background: [u8; 3]) -> Self {
        if self.has_alpha() { self.laid_over(background) } else { self }
    }

    /// Of RGBA.
    fn laid_over(&self, background: [u8; 3]) -> Self {
        let max = u64::from(S::MAX.number());
        let below = background.map(|v| u64::from(S::widen(v).number()));
        let over = |v: S, below: u64, a: S| {
            let (v, a) = (u64::from(v.number()), u64::from(a.number()));
            S::from_number(((v * a + below * (max - a) + max / 2) / max) as u32)
        };
        let pixels = self.data.as_chunks::<4>().0.iter();
        let data = pixels.flat_map(|pixel| [0, 1, 2].map(|c| over(pixel[c], below[c], pixel[3]))).collect();
        Self { width: self.width, height: self.height, channels: Channels::Rgb, data }
    }

    /// The upright picture, from one stored with an EXIF orientation of 1 to 8.
    pub(crate) fn oriented(mut self, orientation: u8) -> Self {
        match orientation {
            2..=4 => {
                self.mirror(orientation);
                self
            }
            5..=8 => self.turned_by(orientation),
            _ => self,
        }
    }

    /// As [`oriented`](Self::oriented), of a borrowed picture. A copy if the orientation is 1.
    pub(crate) fn turned_by(&self, orientation: u8) -> Self {
        match (orientation, self.channels) {
            (5..=8, Channels::Gray) => self.turned::<1>(orientation),
            (5..=8, Channels::Rgb) => self.turned::<3>(orientation),
            (5..=8, Channels::Rgba) => self.turned::<4>(orientation),
            _ => self.clone().oriented(orientation),
        }
    }

    /// The orientations 2 to 4, in place.
    fn mirror(&mut self, orientation: u8) {
        match self.channels {
            _ if orientation == 4 => self.exchange_rows(),
            Channels::Gray => self.reverse_pixels::<1>(orientation),
            Channels::Rgb => self.reverse_pixels::<3>(orientation),
            Channels::Rgba => self.reverse_pixels::<4>(orientation),
        }
    }

    fn exchange_rows(&mut self) {
        let (stride, half) = (self.stride(), self.height as usize / 2);
        let (above, below) = self.data.split_at_mut(half * stride);
        for (upper, lower) in above.chunks_exact_mut(stride).zip(below.rchunks_exact_mut(stride)) {
            upper.swap_with_slice(lower);
        }
    }

    /// Of each row, or of the whole picture, which turns it by half.
    fn reverse_pixels<const N: usize>(&mut self, orientation: u8) {
        let length = if orientation == 2 { self.width as usize } else { self.data.len() / N };
        for pixels in self.data.as_chunks_mut::<N>().0.chunks_exact_mut(length) {
            pixels.reverse();
        }
    }

    /// The orientations 5 to 8, which lie on their sides.
    fn turned<const N: usize>(&self, orientation: u8) -> Self {
        let (w, h) = (self.width as usize, self.height as usize);
        let (width, height) = (h, w);
        let (source, _) = self.data.as_chunks::<N>();
        let mut data = vec![S::default(); self.data.len()];
        let (target, _) = data.as_chunks_mut::<N>();
        // In tiles, because a column of the source touches a cache line in every row.
        for (band, rows) in target.chunks_mut(width * TILE).enumerate() {
            for left in (0..width).step_by(TILE) {
                for (i, row) in rows.chunks_exact_mut(width).enumerate() {
                    let y = band * TILE + i;
                    // The source index of the row's first pixel, and the step to the next one.
                    let (start, step): (usize, isize) = match orientation {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_sample_saturates_and_makes_nothing_of_what_is_no_number() {
        let numbers = [f32::NAN, f32::NEG_INFINITY, -0.6, 0.49, 0.5, 254.5, 255.4, 65_534.5, 3e9, f32::INFINITY];
        assert_eq!(numbers.map(u8::nearest), [0, 0, 0, 0, 1, 255, 255, 255, 255, 255]);
        assert_eq!(numbers.map(u16::nearest), [0, 0, 0, 0, 1, 255, 255, 65_535, 65_535, 65_535]);
    }
}
