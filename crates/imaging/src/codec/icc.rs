//! Colour spaces, converted to sRGB: embedded profiles, code points (H.273), gamma and primaries. A profile that cannot
//! be parsed or does not fit the picture's channels is ignored, because it must not make the picture unusable.
//!
//! Grey pictures stay grey, and sixteen bits stay sixteen. High dynamic range (PQ, HLG) is mapped to sRGB by a curve
//! that keeps dark and middle tones and compresses tones brighter than white.

use std::sync::Arc;

use moxcms::{
    CicpColorPrimaries, CicpProfile, ColorPrimaries, ColorProfile, DataColorSpace, Layout, ToneReprCurve,
    TransformExecutor, TransformOptions,
};

use crate::raster::{Channels, Raster, Sample};

/// Larger profiles are ignored.
const MAX_PROFILE_BYTES: usize = 4 << 20;
/// Number of pixels converted at a time.
const BAND: usize = 16 << 10;
/// Number of entries in a computed tone curve.
const CURVE: u32 = 4096;
/// Diffuse white of a picture of high dynamic range (BT.2408), in cd/m².
const HDR_WHITE: f64 = 203.0;

/// A colour space other than sRGB.
pub(super) struct Space(ColorProfile);

/// How stored values become light.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Curve {
    Srgb,
    /// The inverse of BT.709's camera curve.
    Bt709,
    /// Light is the value to this power.
    Gamma(f32),
    Pq,
    Hlg,
}

/// Sample types that can be converted.
pub(super) trait Depth: Sample {
    fn transform(
        from: &ColorProfile,
        layout: Layout,
        to: Layout,
    ) -> Option<Arc<dyn TransformExecutor<Self> + Send + Sync>>;
}

impl Depth for u8 {
    fn transform(
        from: &ColorProfile,
        layout: Layout,
        to: Layout,
    ) -> Option<Arc<dyn TransformExecutor<u8> + Send + Sync>> {
        from.create_transform_8bit(layout, &ColorProfile::new_srgb(), to, TransformOptions::default()).ok()
    }
}

impl Depth for u16 {
    fn transform(
        from: &ColorProfile,
        layout: Layout,
        to: Layout,
    ) -> Option<Arc<dyn TransformExecutor<u16> + Send + Sync>> {
        from.create_transform_16bit(layout, &ColorProfile::new_srgb(), to, TransformOptions::default()).ok()
    }
}

/// Whether `profile` changes colours: it can be parsed and is not sRGB.
pub(crate) fn matters(profile: Option<&[u8]>) -> bool {
    Space::of_profile(profile).is_some()
}

/// Whether `profile` describes red, green and blue.
pub(crate) fn is_rgb(profile: Option<&[u8]>) -> bool {
    parsed(profile).is_some_and(|profile| profile.color_space == DataColorSpace::Rgb)
}

impl Space {
    /// `None` if there is no usable profile, or if it is sRGB.
    pub(super) fn of_profile(profile: Option<&[u8]>) -> Option<Self> {
        parsed(profile).filter(|profile| !is_srgb(profile)).map(Self)
    }

    /// From colour primaries and transfer characteristics. Those of video count as sRGB, as in viewers.
    pub(super) fn of_code_points(primaries: u8, transfer: u8) -> Option<Self> {
        let primaries = if matches!(primaries, 0 | 2 | 3) { 1 } else { primaries };
        let curve = match transfer {
            4 => Curve::Gamma(2.2),
            5 => Curve::Gamma(2.8),
            8 => Curve::Gamma(1.0),
            16 => Curve::Pq,
            18 => Curve::Hlg,
            _ if primaries == 1 => return None,
            _ => Curve::Srgb,
        };
        let mut profile = ColorProfile::new_srgb();
        profile.cicp = None;
        profile.update_rgb_colorimetry_from_cicp(CicpProfile {
            color_primaries: CicpColorPrimaries::try_from(primaries).ok()?,
            transfer_characteristics: moxcms::TransferCharacteristics::Srgb,
            matrix_coefficients: moxcms::MatrixCoefficients::Identity,
            full_range: true,
        });
        // It exists only if the primaries are known.
        profile.cicp?;
        Some(Self(with_curve(profile, curve.table()?)))
    }

    /// From white, red, green and blue as CIE 1931 x and y (default: sRGB's), and a curve. `None` for sRGB itself, and
    /// for coordinates outside of visible light.
    pub(super) fn of_primaries(places: Option<[(f32, f32); 4]>, curve: Curve) -> Option<Self> {
        let places = places.filter(|places| !is_bt709(places));
        if places.is_none() && curve == Curve::Srgb || places.is_some_and(|places| !are_usable(&places)) {
            return None;
        }
        if matches!(curve, Curve::Gamma(power) if !(0.2..=20.0).contains(&power)) {
            return None;
        }
        let profile = places.map_or_else(ColorProfile::new_srgb, with_primaries);
        Some(Self(with_curve(profile, curve.table()?)))
    }

    /// From a PNG's `gAMA`, and white, red, green and blue of its `cHRM` (default: sRGB's).
    pub(super) fn of_gamma(gamma: f32, primaries: Option<[(f32, f32); 4]>) -> Option<Self> {
        let named = primaries.filter(|places| are_usable(places) && !is_bt709(places));
        if !(0.05..=5.0).contains(&gamma) {
            return None;
        }
        // A gamma of 1/2.2 is how files name sRGB's curve.
        let is_srgb_curve = (gamma - 1.0 / 2.2).abs() < 0.005;
        if named.is_none() && is_srgb_curve {
            return None;
        }
        let curve = if is_srgb_curve { Curve::Srgb } else { Curve::Gamma(1.0 / gamma) };
        Some(Self(with_curve(named.map_or_else(ColorProfile::new_srgb, with_primaries), curve.table()?)))
    }

    /// The picture in sRGB.
    pub(super) fn to_srgb<S: Depth>(&self, mut raster: Raster<S>) -> Raster<S> {
        match (raster.channels, self.0.color_space) {
            (Channels::Rgb, DataColorSpace::Rgb) => self.colours::<S>(&mut raster.data, Layout::Rgb, 3),
            (Channels::Rgba, DataColorSpace::Rgb) => self.colours::<S>(&mut raster.data, Layout::Rgba, 4),
            // An RGB profile of a grey picture also describes its tones.
            (Channels::Gray, DataColorSpace::Gray | DataColorSpace::Rgb) => self.tones(&mut raster.data, 1),
            (Channels::Rgba, DataColorSpace::Gray) => self.tones(&mut raster.data, 4),
            _ => {}
        }
        raster
    }

    /// Converts in bands, so that no second picture is in memory.
    fn colours<S: Depth>(&self, data: &mut [S], layout: Layout, channels: usize) {
        let Some(transform) = S::transform(&self.0, layout, layout) else { return };
        let mut converted = vec![S::default(); BAND * channels];
        for band in data.chunks_mut(BAND * channels) {
            let converted = &mut converted[..band.len()];
            if transform.transform(band, converted).is_ok() {
                band.copy_from_slice(converted);
            }
        }
    }

    /// Converts by a table of all tones.
    fn tones<S: Depth>(&self, data: &mut [S], channels: usize) {
        let tones: Vec<S> = (0..=S::MAX.number()).map(S::from_number).collect();
        let grey = self.0.color_space == DataColorSpace::Gray;
        let mut table = vec![S::default(); tones.len() * 3];
        let transformed = if grey {
            S::transform(&self.0, Layout::Gray, Layout::Rgb).map(|transform| transform.transform(&tones, &mut table))
        } else {
            let tones: Vec<S> = tones.iter().flat_map(|&tone| [tone; 3]).collect();
            S::transform(&self.0, Layout::Rgb, Layout::Rgb).map(|transform| transform.transform(&tones, &mut table))
        };
        let Some(Ok(())) = transformed else { return };
        let (table, _) = table.as_chunks::<3>();
        for pixel in data.chunks_exact_mut(channels) {
            for value in &mut pixel[..channels.min(3)] {
                *value = table[value.number() as usize][1];
            }
        }
    }
}

/// RGB from CMYK samples (0 = no ink). Without a usable profile, by the simple formula.
pub(super) fn cmyk_to_srgb(width: u32, height: u32, cmyk: &[u8], profile: Option<&[u8]>) -> Raster {
    let mut data = vec![0; width as usize * height as usize * 3];
    if !convert_cmyk(cmyk, &mut data, profile) {
        for (ink, pixel) in cmyk.chunks_exact(4).zip(data.chunks_exact_mut(3)) {
            let light = |v: u8| u32::from(255 - v);
            for (channel, &v) in pixel.iter_mut().zip(ink) {
                *channel = ((light(v) * light(ink[3]) + 127) / 255) as u8;
            }
        }
    }
    Raster { width, height, channels: Channels::Rgb, data }
}

fn convert_cmyk(cmyk: &[u8], rgb: &mut [u8], profile: Option<&[u8]>) -> bool {
    let profile = parsed(profile).filter(|profile| profile.color_space == DataColorSpace::Cmyk);
    let transform = profile.and_then(|profile| u8::transform(&profile, Layout::Rgba, Layout::Rgb));
    transform.is_some_and(|transform| transform.transform(cmyk, rgb).is_ok())
}

fn parsed(profile: Option<&[u8]>) -> Option<ColorProfile> {
    let bytes = profile.filter(|bytes| bytes.len() <= MAX_PROFILE_BYTES)?;
    ColorProfile::new_from_slice(bytes).ok()
}

/// Whether a conversion from `profile` would change almost nothing.
fn is_srgb(profile: &ColorProfile) -> bool {
    if profile.color_space != DataColorSpace::Rgb || profile.lut_a_to_b_perceptual.is_some() {
        return false;
    }
    let srgb = ColorProfile::new_srgb();
    let close = |a: moxcms::Xyzd, b: moxcms::Xyzd| {
        (a.x - b.x).abs() < 2e-3 && (a.y - b.y).abs() < 2e-3 && (a.z - b.z).abs() < 2e-3
    };
    if !close(profile.red_colorant, srgb.red_colorant)
        || !close(profile.green_colorant, srgb.green_colorant)
        || !close(profile.blue_colorant, srgb.blue_colorant)
    {
        return false;
    }
    // The curves are compared on a ramp of greys.
    let ramp: Vec<u8> = (0..=255).flat_map(|v| [v; 3]).collect();
    let mut converted = vec![0; ramp.len()];
    u8::transform(profile, Layout::Rgb, Layout::Rgb)
        .is_some_and(|transform| transform.transform(&ramp, &mut converted).is_ok())
        && ramp.iter().zip(&converted).all(|(a, b)| a.abs_diff(*b) <= 1)
}

fn is_bt709(places: &[(f32, f32); 4]) -> bool {
    let bt709 = [(0.3127, 0.329), (0.64, 0.33), (0.3, 0.6), (0.15, 0.06)];
    places
        .iter()
        .zip(bt709)
        .all(|(place, known)| (place.0 - known.0).abs() < 0.002 && (place.1 - known.1).abs() < 0.002)
}

fn are_usable(places: &[(f32, f32); 4]) -> bool {
    places.iter().all(|(x, y)| (0.0..=1.0).contains(x) && *y > 0.001 && *y <= 1.0)
}

/// sRGB with other white, red, green and blue.
fn with_primaries([white, red, green, blue]: [(f32, f32); 4]) -> ColorProfile {
    let at = |(x, y): (f32, f32)| moxcms::Chromaticity::new(x, y);
    let mut profile = ColorProfile::new_srgb();
    let primaries = ColorPrimaries { red: at(red), green: at(green), blue: at(blue) };
    profile.update_rgb_colorimetry(at(white).to_xyyb(), primaries);
    profile
}

fn with_curve(mut profile: ColorProfile, curve: ToneReprCurve) -> ColorProfile {
    profile.red_trc = Some(curve.clone());
    profile.green_trc = Some(curve.clone());
    profile.blue_trc = Some(curve);
    profile.cicp = None;
    profile
}

impl Curve {
    fn table(self) -> Option<ToneReprCurve> {
        Some(match self {
            Self::Srgb => ColorProfile::new_srgb().red_trc?,
            Self::Bt709 => ToneReprCurve::Parametric(vec![1.0 / 0.45, 1.0 / 1.099, 0.099 / 1.099, 1.0 / 4.5, 0.081]),
            Self::Gamma(power) => ToneReprCurve::Parametric(vec![power]),
            Self::Pq => curve(|value| bent(pq(value) / HDR_WHITE)),
            Self::Hlg => curve(|value| bent(hlg(value) / HDR_WHITE)),
        })
    }
}

/// From stored values to light, both 0 to 1.
fn curve(light: impl Fn(f64) -> f64) -> ToneReprCurve {
    let entry = |i: u32| (light(f64::from(i) / f64::from(CURVE - 1)).clamp(0.0, 1.0) * 65_535.0).round() as u16;
    ToneReprCurve::Lut((0..CURVE).map(entry).collect())
}

/// Maps light, in multiples of white, to the range of sRGB.
fn bent(light: f64) -> f64 {
    const KNEE: f64 = 0.6;
    if light <= KNEE { light } else { KNEE + (1.0 - KNEE) * (1.0 - (-(light - KNEE) / (1.0 - KNEE)).exp()) }
}

/// SMPTE ST 2084, in cd/m².
fn pq(value: f64) -> f64 {
    let power = value.powf(1.0 / 78.843_75);
    10_000.0 * ((power - 0.835_937_5).max(0.0) / (18.851_562_5 - 18.687_5 * power)).powf(1.0 / 0.159_301_757_812_5)
}

/// BT.2100's hybrid log-gamma on a display of 1000 cd/m², channel by channel.
fn hlg(value: f64) -> f64 {
    let scene = if value <= 0.5 {
        value * value / 3.0
    } else {
        (((value - 0.559_910_73) / 0.178_832_77).exp() + 0.284_668_92) / 12.0
    };
    1000.0 * scene.powf(1.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(space: &Space, tone: u8) -> u8 {
        let data = vec![tone; 3];
        space.to_srgb(Raster { width: 1, height: 1, channels: Channels::Rgb, data }).data[1]
    }

    #[test]
    fn video_and_unspecified_colours_are_srgb() {
        for (primaries, transfer) in [(1, 13), (2, 2), (1, 1), (1, 6), (0, 0)] {
            assert!(Space::of_code_points(primaries, transfer).is_none(), "{primaries}/{transfer}");
        }
        assert!(Space::of_gamma(0.45455, None).is_none());
    }

    #[test]
    fn display_p3_red_is_redder_than_srgb_holds() {
        let space = Space::of_code_points(12, 13).unwrap();
        let data = vec![200u8, 60, 50];
        let converted = space.to_srgb(Raster { width: 1, height: 1, channels: Channels::Rgb, data }).data;
        // LittleCMS: 217, 42, 37.
        assert!(converted[0] > 210 && converted[1] < 50, "{converted:?}");
        assert!(grey(&space, 128).abs_diff(128) <= 1);
    }

    #[test]
    fn linear_light_is_brightened() {
        // sRGB's own curve: 0.2158 in light is 128.
        assert!(grey(&Space::of_gamma(1.0, None).unwrap(), 55).abs_diff(128) <= 1);
        assert!(grey(&Space::of_code_points(1, 8).unwrap(), 55).abs_diff(128) <= 1);
    }

    #[test]
    fn high_dynamic_range_keeps_its_middle_tones() {
        let pq = Space::of_code_points(9, 16).unwrap();
        // 26 cd/m² of a white of 203 is 0.128 in light, or 101 in sRGB.
        assert!(grey(&pq, 95).abs_diff(101) <= 6, "{}", grey(&pq, 95));
        assert_eq!(grey(&pq, 0), 0);
        assert!(grey(&pq, 255) >= 250);
        let hlg = Space::of_code_points(9, 18).unwrap();
        assert!((200..=240).contains(&grey(&hlg, 191)), "{}", grey(&hlg, 191));
    }

    #[test]
    fn grey_stays_grey_in_sixteen_bits() {
        let space = Space(ColorProfile::new_gray_with_gamma(1.0));
        let raster = Raster::<u16> { width: 2, height: 1, channels: Channels::Gray, data: vec![0x3742, 0xffff] };
        let converted = space.to_srgb(raster);
        assert_eq!(converted.channels, Channels::Gray);
        assert!(converted.data[0].abs_diff(128 * 257) < 400, "{:?}", converted.data);
        assert!(converted.data[1] > 0xff00, "{:?}", converted.data);
    }

    #[test]
    fn broken_profiles_change_nothing() {
        assert!(!matters(None));
        assert!(!matters(Some(b"not a profile")));
        assert!(!matters(Some(&[0; 200])));
    }
}
