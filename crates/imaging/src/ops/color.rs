//! Operations on the values of pixels: curves, mixtures of channels, squares of one colour.
//!
//! Works on the curved values as everyday tools do; alpha stays as it is, but in squares of one colour. Grey stays grey where it can.

#![expect(clippy::inline_always, reason = "loops are compiled for the registers of those that they are in")]

use crate::operation::Pixelate;
use crate::raster::{Channels, Raster, Sample};
use crate::wide::wide;

/// The weight of each channel in a pixel's brightness, as in JPEG (ITU-R BT.601).
pub(crate) const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

/// Sepia as the W3C's filter effects define it.
const SEPIA: [[f32; 3]; 3] = [[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]];

pub(crate) fn brightness<S: Sample>(picture: Raster<S>, factor: f32) -> Raster<S> {
    curve(picture, |v| v * factor)
}

pub(crate) fn contrast<S: Sample>(picture: Raster<S>, factor: f32) -> Raster<S> {
    curve(picture, |v| (v - 0.5) * factor + 0.5)
}

pub(crate) fn gamma<S: Sample>(picture: Raster<S>, gamma: f32) -> Raster<S> {
    curve(picture, |v| v.powf(1.0 / gamma))
}

pub(crate) fn invert<S: Sample>(mut picture: Raster<S>) -> Raster<S> {
    let inverse = |v: S| S::from_number(S::MAX.number() - v.number());
    let alpha = picture.has_alpha();
    wide!({
        if alpha {
            for pixel in picture.data.as_chunks_mut::<4>().0 {
                let [r, g, b, a] = *pixel;
                *pixel = [inverse(r), inverse(g), inverse(b), a];
            }
        } else {
            for value in &mut picture.data {
                *value = inverse(*value);
            }
        }
    });
    picture
}

pub(crate) fn saturation<S: Sample>(picture: Raster<S>, factor: f32) -> Raster<S> {
    if picture.channels == Channels::Gray {
        return picture;
    }
    let row = |own: usize| std::array::from_fn(|i| LUMA[i] * (1.0 - factor) + if i == own { factor } else { 0.0 });
    mix(picture, [row(0), row(1), row(2)])
}

pub(crate) fn sepia<S: Sample>(picture: Raster<S>, share: f32) -> Raster<S> {
    let row = |own: usize| std::array::from_fn(|i| SEPIA[own][i] * share + if i == own { 1.0 - share } else { 0.0 });
    mix(picture.into_colour(), [row(0), row(1), row(2)])
}

pub(crate) fn grayscale<S: Sample>(mut picture: Raster<S>) -> Raster<S> {
    match picture.channels {
        Channels::Gray => picture,
        Channels::Rgb => {
            let data = wide!(picture.data.as_chunks::<3>().0.iter().map(|&[r, g, b]| grey(r, g, b)).collect());
            Raster { channels: Channels::Gray, data, ..picture }
        }
        Channels::Rgba => {
            for pixel in picture.data.as_chunks_mut::<4>().0 {
                let grey = grey(pixel[0], pixel[1], pixel[2]);
                pixel[..3].fill(grey);
            }
            picture
        }
    }
}

/// A pixel's brightness, by [`LUMA`] in 65,536ths.
#[inline(always)]
fn grey<S: Sample>(r: S, g: S, b: S) -> S {
    S::from_number((r.number() * 19_595 + g.number() * 38_470 + b.number() * 7_471 + 0x8000) >> 16)
}

pub(crate) fn pixelate<S: Sample>(mut picture: Raster<S>, wanted: &Pixelate) -> Raster<S> {
    match picture.channels {
        Channels::Gray => squares::<S, 1>(&mut picture, wanted.size as usize),
        Channels::Rgb => squares::<S, 3>(&mut picture, wanted.size as usize),
        Channels::Rgba => squares::<S, 4>(&mut picture, wanted.size as usize),
    }
    picture
}

fn squares<S: Sample, const N: usize>(picture: &mut Raster<S>, side: usize) {
    let width = picture.width as usize;
    let (pixels, _) = picture.data.as_chunks_mut::<N>();
    let mut sums = vec![[0u64; N]; width.div_ceil(side)];
    for band in pixels.chunks_mut(width.saturating_mul(side)) {
        sums.fill([0; N]);
        let rows = (band.len() / width) as u64;
        for row in band.chunks_exact(width) {
            for (square, sums) in row.chunks(side).zip(&mut sums) {
                for pixel in square {
                    let weight = if N == 4 { u64::from(pixel[3].number()) } else { 1 };
                    for (i, (sum, value)) in sums.iter_mut().zip(pixel).enumerate() {
                        // Colour by its alpha, alpha itself as it is.
                        *sum += u64::from(value.number()) * if i == 3 { 1 } else { weight };
                    }
                }
            }
        }
        let means: Vec<[S; N]> = sums
            .iter()
            .enumerate()
            .map(|(i, sums)| {
                let count = rows * side.min(width - i * side) as u64;
                let weight = if N == 4 { sums[N - 1] } else { count };
                let mean = |sum: u64, by: u64| S::from_number(((sum + by / 2) / by.max(1)) as u32);
                std::array::from_fn(|c| mean(sums[c], if c == 3 { count } else { weight }))
            })
            .collect();
        for row in band.chunks_exact_mut(width) {
            for (square, &mean) in row.chunks_mut(side).zip(&means) {
                square.fill(mean);
            }
        }
    }
}

/// Looks every value up in a table made of `curve`, which maps 0 to 1.
fn curve<S: Sample>(mut picture: Raster<S>, curve: impl Fn(f32) -> f32) -> Raster<S> {
    let max = S::MAX.number();
    let table: Vec<S> = (0..=max).map(|v| S::nearest(curve(v as f32 / max as f32) * max as f32)).collect();
    let table = &table[..=max as usize];
    if picture.has_alpha() {
        for pixel in picture.data.as_chunks_mut::<4>().0 {
            for value in &mut pixel[..3] {
                *value = table[value.number() as usize];
            }
        }
    } else {
        for value in &mut picture.data {
            *value = table[value.number() as usize];
        }
    }
    picture
}

/// Each channel becomes a mixture of the three; never for grey.
fn mix<S: Sample>(mut picture: Raster<S>, rows: [[f32; 3]; 3]) -> Raster<S> {
    // The share of each value of a channel in the three results.
    let column = |channel: usize| rows.map(|row| row[channel]);
    let columns = [column(0), column(1), column(2)];
    wide!(match (picture.channels, S::MAX.number()) {
        (Channels::Rgba, 255) => looked_up::<S, 4>(&mut picture.data, &columns),
        (_, 255) => looked_up::<S, 3>(&mut picture.data, &columns),
        (Channels::Rgba, _) => computed::<S, 4>(&mut picture.data, &columns),
        _ => computed::<S, 3>(&mut picture.data, &columns),
    });
    picture
}

/// Of 256 values a channel, in 65,536ths, with a fourth that fills the register: three loads and two additions of whole registers are a pixel.
#[inline(always)]
fn looked_up<S: Sample, const N: usize>(data: &mut [S], columns: &[[f32; 3]; 3]) {
    let tables = columns.map(|[r, g, b]| {
        let row = |v: usize| [r, g, b, 0.0].map(|part| (part * v as f32 * 65536.0).round() as i32);
        Box::new(std::array::from_fn::<_, 256, _>(row))
    });
    for pixel in data.as_chunks_mut::<N>().0 {
        let [r, g, b] = std::array::from_fn(|channel| &tables[channel][pixel[channel].number() as usize & 0xff]);
        // All four, or clamping is done value by value.
        let mixed: [S; 4] =
            std::array::from_fn(|i| S::from_number(((r[i] + g[i] + b[i] + 0x8000) >> 16).max(0) as u32));
        pixel[..3].copy_from_slice(&mixed[..3]);
    }
}

#[inline(always)]
fn computed<S: Sample, const N: usize>(data: &mut [S], columns: &[[f32; 3]; 3]) {
    for pixel in data.as_chunks_mut::<N>().0 {
        let parts: [f32; 3] = std::array::from_fn(|channel| pixel[channel].number() as f32);
        let sums: [f32; 3] = std::array::from_fn(|i| (0..3).map(|c| columns[c][i] * parts[c]).sum());
        for (value, sum) in pixel.iter_mut().zip(sums) {
            *value = S::nearest(sum);
        }
    }
}
