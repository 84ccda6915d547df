//! Draws `tests/fixtures/`: run `cargo run --release --example draw_fixtures` to make them again.
//! `tests/fixtures/draw.py` draws the formats that this program cannot write. The landscape is computed, so that nobody
//! else owns it.

use std::f64::consts::TAU;
use std::fs;
use std::path::Path;

use image::{DynamicImage, GrayImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use imaging::{Limits, Options, operation, process};

fn main() -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fs::create_dir_all(&folder)?;
    let photo = png(&landscape(1200, 900).into())?;
    fs::write(folder.join("photo.jpg"), convert(&photo, "jpeg", 82)?)?;

    let quarters: DynamicImage = quarters(96, 64).into();
    let jpeg = convert(&png(&quarters)?, "jpeg", 90)?;
    for orientation in 1..=8 {
        let turned = stored(&quarters, orientation);
        let file = with_orientation(&convert(&png(&turned)?, "jpeg", 90)?, orientation);
        fs::write(folder.join(format!("orientation-{orientation}.jpg")), file)?;
    }
    fs::write(folder.join("quarters.jpg"), jpeg)?;
    fs::write(folder.join("quarters.webp"), convert(&png(&quarters)?, "webp", 90)?)?;
    for (name, format) in
        [("quarters.gif", ImageFormat::Gif), ("quarters.bmp", ImageFormat::Bmp), ("quarters.tiff", ImageFormat::Tiff)]
    {
        quarters.save_with_format(folder.join(name), format)?;
    }
    let grey: GrayImage = DynamicImage::from(landscape(300, 225)).into_luma8();
    fs::write(folder.join("grey.jpg"), convert(&png(&grey.into())?, "jpeg", 80)?)?;
    fs::write(folder.join("alpha.png"), png(&disc(200).into())?)?;
    fs::write(folder.join("palette.png"), palette_png()?)?;
    Ok(())
}

fn png(picture: &DynamicImage) -> anyhow::Result<Vec<u8>> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

fn convert(source: &[u8], format: &str, quality: u8) -> anyhow::Result<Vec<u8>> {
    let limits = Limits::default();
    let json = format!(r#"[{{"type":"convert","format":"{format}","quality":{quality}}}]"#);
    let mut written = Vec::new();
    process(source, &operation::parse(&json, &limits)?, &Options::new(&limits), &mut |_, made| {
        written = made.picture().expect("a picture was asked for").data;
        Ok(())
    })?;
    Ok(written)
}

/// Red, green, blue and white.
fn quarters(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb(match (2 * x < width, 2 * y < height) {
            (true, true) => [255, 0, 0],
            (false, true) => [0, 255, 0],
            (true, false) => [0, 0, 255],
            (false, false) => [255, 255, 255],
        })
    })
}

/// A half transparent orange disc.
fn disc(side: u32) -> RgbaImage {
    RgbaImage::from_fn(side, side, |x, y| {
        let half = f64::from(side) / 2.0;
        let distance = (f64::from(x) + 0.5 - half).hypot(f64::from(y) + 0.5 - half);
        let edge = (half * 0.8 - distance).clamp(0.0, 1.0);
        Rgba([240, 130, 20, (edge * 200.0) as u8])
    })
}

fn palette_png() -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 64, 64);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Four);
    encoder.set_palette(vec![255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255]);
    // The first entry is transparent.
    encoder.set_trns(vec![0]);
    let mut writer = encoder.write_header()?;
    let nibble = |x: u32, y: u32| (u8::from(y >= 32) << 1) | u8::from(x >= 32);
    let pixels: Vec<u8> =
        (0..64).flat_map(|y| (0..64).step_by(2).map(move |x| nibble(x, y) << 4 | nibble(x + 1, y))).collect();
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(bytes)
}

/// How a camera stores the picture when held in this orientation.
fn stored(picture: &DynamicImage, orientation: u8) -> DynamicImage {
    match orientation {
        2 => picture.fliph(),
        3 => picture.rotate180(),
        4 => picture.flipv(),
        5 => picture.rotate90().fliph(),
        6 => picture.rotate270(),
        7 => picture.rotate270().fliph(),
        8 => picture.rotate90(),
        _ => picture.clone(),
    }
}

fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut block = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    block.push(orientation);
    block.extend([0; 6]);
    let mut file = vec![0xff, 0xd8, 0xff, 0xe1];
    file.extend((block.len() as u16 + 2).to_be_bytes());
    file.extend(block);
    file.extend(&jpeg[2..]);
    file
}

/// Smooth noise in 0..1 from a hash of lattice points.
#[allow(clippy::many_single_char_names, reason = "coordinates and their hash")]
fn noise(x: f64, y: f64, seed: u64) -> f64 {
    let corner = |i: f64, j: f64| {
        let mut h = (i as i64 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ (j as i64 as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f)
            ^ seed.wrapping_mul(0x1656_67b1_9e37_79f9);
        h = (h ^ (h >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((h ^ (h >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    let smooth = |t: f64| t * t * (3.0 - 2.0 * t);
    let (i, j) = (x.floor(), y.floor());
    let (u, v) = (smooth(x - i), smooth(y - j));
    let top = corner(i, j) * (1.0 - u) + corner(i + 1.0, j) * u;
    let bottom = corner(i, j + 1.0) * (1.0 - u) + corner(i + 1.0, j + 1.0) * u;
    top * (1.0 - v) + bottom * v
}

fn fractal(x: f64, y: f64, octaves: u32, seed: u64) -> f64 {
    let (mut sum, mut weight, mut scale, mut total) = (0.0, 1.0, 1.0, 0.0);
    for octave in 0..octaves {
        sum += weight * noise(x * scale, y * scale, seed + u64::from(octave));
        total += weight;
        weight *= 0.5;
        scale *= 2.03;
    }
    sum / total
}

fn blend(a: [f64; 3], b: [f64; 3], t: f64) -> [f64; 3] {
    let t = t.clamp(0.0, 1.0);
    [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t]
}

/// Mountains in the evening over a lake: layers of noise, a sun, haze and a reflection.
fn landscape(width: u32, height: u32) -> RgbImage {
    let aspect = f64::from(width) / f64::from(height);
    RgbImage::from_fn(width, height, |px, py| {
        let x = f64::from(px) / f64::from(height);
        let y = f64::from(py) / f64::from(height);
        let shore = 0.66;
        let color = if y < shore {
            scene(x, y, aspect)
        } else {
            let depth = (y - shore) / (1.0 - shore);
            let ripple = (fractal(x * 6.0, y * 90.0, 4, 40) - 0.5) * (0.01 + 0.05 * depth);
            let mirrored = (shore - (y - shore) * 1.4 + ripple).clamp(0.0, shore - 1e-3);
            let mirror = scene(x + ripple * 0.6, mirrored, aspect);
            let glint = (fractal(x * 14.0, y * 160.0, 3, 60) - 0.5) * 26.0 * depth;
            let water = blend(mirror, [22.0, 40.0, 62.0], 0.30 + 0.35 * depth);
            [water[0] + glint, water[1] + glint, water[2] + glint]
        };
        // Far less grain than a camera's, enough to keep gradients from banding.
        let grain = (noise(f64::from(px) * 0.9, f64::from(py) * 0.9, 99) - 0.5) * 5.0;
        Rgb(color.map(|v| (v + grain).clamp(0.0, 255.0) as u8))
    })
}

fn scene(x: f64, y: f64, aspect: f64) -> [f64; 3] {
    let mut color = blend([48.0, 88.0, 150.0], [250.0, 190.0, 130.0], (y / 0.6).powf(1.2));
    let (sun_x, sun_y) = (aspect * 0.68, 0.38);
    let distance = (x - sun_x).hypot(y - sun_y);
    color = blend(color, [255.0, 226.0, 170.0], 0.9 * (-distance * 5.0).exp());
    color = blend(color, [255.0, 248.0, 225.0], (0.052 - distance) * 120.0);
    let cloud = fractal(x * 2.2 + 5.0, y * 7.0, 6, 7);
    color = blend(color, [255.0, 222.0, 200.0], ((cloud - 0.52) * 3.0).clamp(0.0, 0.75));
    let ridges = [
        (0.42, 0.20, 1.6, [150.0, 140.0, 165.0], 11),
        (0.50, 0.17, 2.3, [104.0, 106.0, 138.0], 21),
        (0.57, 0.13, 3.4, [62.0, 78.0, 98.0], 31),
        (0.63, 0.07, 6.0, [30.0, 52.0, 46.0], 51),
    ];
    for (base, rise, frequency, tint, seed) in ridges {
        let fold = 1.0 - (2.0 * fractal(x * frequency, 3.7, 7, seed) - 1.0).abs();
        let top = base - rise * (fold - 0.55) - 0.012 * (x * TAU * 0.3).sin();
        if y > top {
            let rock = fractal(x * 26.0, y * 34.0, 5, seed + 5) - 0.5;
            let below = ((y - top) * 5.0).min(1.0);
            let lit = blend(tint, [236.0, 190.0, 160.0], 0.25 * below);
            let shade = rock * (70.0 - 30.0 * below);
            color = [lit[0] + shade, lit[1] + shade, lit[2] + shade];
        }
    }
    color
}
