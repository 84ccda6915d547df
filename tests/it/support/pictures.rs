//! Pictures for the tests: fixtures, drawn ones, broken ones; and a look into outputs.

use std::io::Cursor;
use std::sync::OnceLock;

use image::RgbImage;
use imaging::{Limits, Options, operation};

/// 1200×900.
pub fn photo() -> Vec<u8> {
    include_bytes!("../../fixtures/photo.jpg").to_vec()
}

/// As a camera makes it: it keeps a worker busy for a while. 2400×1800.
pub fn large_photo() -> Vec<u8> {
    static LARGE: OnceLock<Vec<u8>> = OnceLock::new();
    LARGE.get_or_init(|| enlarged(2400, 1800)).clone()
}

fn enlarged(width: u32, height: u32) -> Vec<u8> {
    made(&format!(r#"[{{"type": "resize", "width": {width}, "height": {height}, "quality": 90}}]"#))
}

/// Of the photo.
fn made(operations: &str) -> Vec<u8> {
    let limits = Limits::default();
    let operations = operation::parse(operations, &limits).unwrap();
    let mut output = Vec::new();
    imaging::process(&photo(), &operations, &Options::new(&limits), &mut |_, made| {
        output = made.picture().unwrap().data;
        Ok(())
    })
    .unwrap();
    output
}

/// One colour, as a PNG.
pub fn plain_png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let picture = RgbImage::from_pixel(width, height, image::Rgb([90, 120, 150]));
    picture.write_to(&mut Cursor::new(&mut bytes), image::ImageFormat::Png).unwrap();
    bytes
}

/// Nothing but noise, as a PNG: no encoder finds anything to leave out.
pub fn noise_png(width: u32, height: u32) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    let pixels: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take((width * height * 3) as usize).collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::Fastest);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    bytes
}

/// A few bytes that announce a huge picture.
pub fn bomb(side: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(png::ColorType::Rgb);
    drop(encoder.write_header().unwrap());
    bytes
}

/// 1200×900.
pub fn webp() -> Vec<u8> {
    static WEBP: OnceLock<Vec<u8>> = OnceLock::new();
    WEBP.get_or_init(|| made(r#"[{"type": "convert", "format": "webp"}]"#)).clone()
}

/// A WebP of 1024×1024 pixels in 300 KB, every 16 of which have a group of codes of their own, with room for a cache of
/// colours: 1.3 GB to read it with.
pub fn liar() -> Vec<u8> {
    let size = [number(1023, 14), number(1023, 14), number(0, 4)].concat();
    let data = [vec![0x2f], bytes(&[size, many_codes(256, 256)].concat())].concat();
    chunk(*b"RIFF", &[b"WEBP".to_vec(), chunk(*b"VP8L", &data)].concat())
}

/// A lossy WebP whose alpha is such a one, of 1024×768 pixels.
pub fn liar_in_alpha() -> Vec<u8> {
    let canvas = chunk(*b"VP8X", &[0x10, 0, 0, 0, 0xff, 3, 0, 0xff, 2, 0]);
    let alpha = chunk(*b"ALPH", &[vec![1], bytes(&many_codes(256, 192))].concat());
    let picture = made(r#"[{"type": "resize", "width": 1024, "height": 768, "format": "webp"}]"#);
    assert!(picture[12..].starts_with(b"VP8 "));
    chunk(*b"RIFF", &[b"WEBP", &canvas[..], &alpha, &picture[12..]].concat())
}

/// A lossless picture of so many times 4×4 pixels, without its header.
fn many_codes(columns: usize, rows: usize) -> Vec<bool> {
    // A code whose only symbol is 0, which takes no bits.
    let single = number(0b0001, 4);
    // 256 symbols with codes of eight bits each: the lengths' own code knows nothing but the length 8.
    let all = [number(0, 1), number(8, 4), number(0, 33), number(1, 3), number(1, 1), number(3, 3), number(254, 8)];
    // No transformation, the largest cache; which group a block of 4×4 has stands in a picture's red and green.
    let mut bits = [number(0b10, 2), number(11, 4), number(1, 1), number(0, 3), number(0, 1)].concat();
    bits.extend([all.concat(), all.concat(), single.repeat(3)].concat());
    let code = |symbol: usize| (0..8).rev().map(move |bit| symbol >> bit & 1 == 1);
    for group in 0..columns * rows {
        bits.extend(code(group & 255).chain(code(group >> 8)));
    }
    bits.extend(single.repeat(5 * columns * rows));
    bits
}

fn number(value: usize, bits: usize) -> Vec<bool> {
    (0..bits).map(|bit| value >> bit & 1 == 1).collect()
}

fn bytes(bits: &[bool]) -> Vec<u8> {
    bits.chunks(8).map(|bits| bits.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit))).collect()
}

/// Of a RIFF.
fn chunk(kind: [u8; 4], body: &[u8]) -> Vec<u8> {
    [&kind[..], &u32::try_from(body.len()).unwrap().to_le_bytes(), body, &[0][..body.len() % 2]].concat()
}

/// Its header is whole, and so is most of its picture.
pub fn truncated() -> Vec<u8> {
    let photo = photo();
    photo[..photo.len() * 2 / 3].to_vec()
}

/// A PNG whose pixels are no longer what was compressed.
pub fn corrupt_later() -> Vec<u8> {
    let mut bytes = include_bytes!("../../fixtures/alpha.png").to_vec();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 40].fill(0x5a);
    bytes
}

/// What the pixels of an output really are, by other decoders than the service's own.
pub fn decoded(bytes: &[u8]) -> RgbImage {
    if !bytes.starts_with(b"\xff\xd8") {
        return image::load_from_memory(bytes).unwrap().to_rgb8();
    }
    let mut decoder = zune_jpeg::JpegDecoder::new(Cursor::new(bytes));
    let pixels = decoder.decode().unwrap();
    let (width, height) = decoder.dimensions().unwrap();
    let (width, height) = (u32::try_from(width).unwrap(), u32::try_from(height).unwrap());
    RgbImage::from_raw(width, height, pixels).expect("a colour picture")
}
