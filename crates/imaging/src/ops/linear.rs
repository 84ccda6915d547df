//! sRGB's curve and the light it stands for, through tables.
//!
//! Light takes 16 bits: in eight, dark tones would fall together.

use std::sync::LazyLock;

use crate::raster::{Raster, Sample};

const MAX: f64 = 65_535.0;

/// The curved value of each light.
static CURVE: LazyLock<Vec<u16>> = LazyLock::new(|| table(65_535, curved));

/// With linear samples; alpha stays as it is.
pub(super) fn to_light<S: Sample>(picture: &Raster<S>) -> Raster<u16> {
    let table = table(S::MAX.number(), light);
    let wide = |v: S| (v.number() * (65_535 / S::MAX.number())) as u16;
    mapped(picture, |v| table[v.number() as usize], wide)
}

/// The inverse of [`to_light`].
pub(super) fn to_curve<S: Sample>(picture: &Raster<u16>) -> Raster<S> {
    // From 65,535 to 255 with rounding, or as it is.
    let step = 65_535 / S::MAX.number();
    let narrow = |v: u16| S::from_number((u32::from(v) + step / 2) / step);
    let table = CURVE.as_slice();
    mapped(picture, |v| narrow(table[usize::from(v)]), narrow)
}

fn mapped<A: Sample, B: Sample>(picture: &Raster<A>, colour: impl Fn(A) -> B, alpha: impl Fn(A) -> B) -> Raster<B> {
    let data = if picture.has_alpha() {
        let pixels = picture.data.as_chunks::<4>().0.iter();
        pixels.flat_map(|&[r, g, b, a]| [colour(r), colour(g), colour(b), alpha(a)]).collect()
    } else {
        picture.data.iter().map(|&v| colour(v)).collect()
    };
    Raster { width: picture.width, height: picture.height, channels: picture.channels, data }
}

/// `curve` applied to each number from 0 to `max`, in 16 bits.
fn table(max: u32, curve: impl Fn(f64) -> f64) -> Vec<u16> {
    (0..=max).map(|v| (curve(f64::from(v) / f64::from(max)) * MAX).round() as u16).collect()
}

fn light(curved: f64) -> f64 {
    if curved <= 0.040_45 { curved / 12.92 } else { ((curved + 0.055) / 1.055).powf(2.4) }
}

fn curved(light: f64) -> f64 {
    if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 }
}
