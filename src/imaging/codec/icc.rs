//! Embedded colour profiles, converted to sRGB. A profile that does not parse or does not fit the
//! picture's channels is ignored: a broken one must not cost the picture.

use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

use crate::imaging::raster::{Channels, Raster};

/// Profiles beyond this are not worth parsing.
const MAX_PROFILE_BYTES: usize = 4 << 20;

/// Whether `profile` is one that changes colours: parseable, and not sRGB itself.
pub(crate) fn matters(profile: Option<&[u8]>) -> bool {
    parsed(profile).is_some()
}

/// The picture in sRGB.
pub(super) fn to_srgb(raster: Raster, profile: Option<&[u8]>) -> Raster {
    let Some(profile) = parsed(profile) else { return raster };
    let (source, target, channels) = match (raster.channels, profile.color_space) {
        (Channels::Rgb, DataColorSpace::Rgb) => (Layout::Rgb, Layout::Rgb, Channels::Rgb),
        (Channels::Rgba, DataColorSpace::Rgb) => (Layout::Rgba, Layout::Rgba, Channels::Rgba),
        (Channels::Gray, DataColorSpace::Gray) => (Layout::Gray, Layout::Rgb, Channels::Rgb),
        _ => return raster,
    };
    let srgb = ColorProfile::new_srgb();
    let Ok(transform) = profile.create_transform_8bit(source, &srgb, target, TransformOptions::default()) else {
        return raster;
    };
    let mut data = vec![0; raster.width as usize * raster.height as usize * channels.count()];
    match transform.transform(&raster.data, &mut data) {
        Ok(()) => Raster { channels, data, ..raster },
        Err(_) => raster,
    }
}

/// RGB of CMYK samples (0 = no ink); without a usable profile, by the plain formula.
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
    let Some(profile) = parsed(profile) else { return false };
    if profile.color_space != DataColorSpace::Cmyk {
        return false;
    }
    let srgb = ColorProfile::new_srgb();
    profile
        .create_transform_8bit(Layout::Rgba, &srgb, Layout::Rgb, TransformOptions::default())
        .is_ok_and(|transform| transform.transform(cmyk, rgb).is_ok())
}

fn parsed(profile: Option<&[u8]>) -> Option<ColorProfile> {
    let bytes = profile.filter(|bytes| bytes.len() <= MAX_PROFILE_BYTES)?;
    let profile = ColorProfile::new_from_slice(bytes).ok()?;
    (!is_srgb(&profile)).then_some(profile)
}

/// Whether converting from `profile` would change next to nothing.
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
    // The curves are compared where it shows: on a ramp of greys.
    let ramp: Vec<u8> = (0..=255).flat_map(|v| [v; 3]).collect();
    let mut converted = vec![0; ramp.len()];
    profile
        .create_transform_8bit(Layout::Rgb, &srgb, Layout::Rgb, TransformOptions::default())
        .is_ok_and(|transform| transform.transform(&ramp, &mut converted).is_ok())
        && ramp.iter().zip(&converted).all(|(a, b)| a.abs_diff(*b) <= 1)
}
