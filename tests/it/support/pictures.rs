//! Pictures for the tests: fixtures, drawn ones, broken ones; and a look into outputs.

use std::io::Cursor;
use std::sync::OnceLock;

use image::RgbImage;
use pixmill::imaging::{self, Limits, Options, operation};

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
    let limits = Limits::default();
    let operations = format!(r#"[{{"type": "resize", "width": {width}, "height": {height}, "quality": 90}}]"#);
    let operations = operation::parse(&operations, &limits).unwrap();
    let mut large = Vec::new();
    imaging::process(&photo(), &operations, &Options::new(&limits), &mut |_, made| {
        large = made.picture().unwrap().data;
        Ok(())
    })
    .unwrap();
    large
}

/// One colour, as a PNG.
pub fn plain_png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let picture = RgbImage::from_pixel(width, height, image::Rgb([90, 120, 150]));
    picture.write_to(&mut Cursor::new(&mut bytes), image::ImageFormat::Png).unwrap();
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

/// A WebP of 4×4 pixels, 65,536 groups of codes of which it uses one, and 1.3 GB to read it with.
pub fn liar() -> Vec<u8> {
    const GROUPS: usize = 1 << 16;
    const SHORT: [usize; 6] = [5, 6, 7, 8, 9, 10];
    let number = |value: usize, bits: usize| (0..bits).map(move |bit| value >> bit & 1 == 1).collect::<Vec<_>>();
    let single = |symbol: usize| [vec![true, false, true], number(symbol, 8)].concat();
    let mut bits = [number(3, 14), number(3, 14), number(0, 4)].concat();
    // No transformation and no cache; the group of each block of 4×4 stands in a picture of one pixel: the last one.
    bits.extend([number(0b100, 3), number(0, 3), number(0, 1)].concat());
    bits.extend([(GROUPS - 1) & 255, (GROUPS - 1) >> 8, 0, 255, 0].into_iter().flat_map(single));
    // Eleven symbols, whose codes have the lengths 1 to 10 and 10: what takes most memory for fewest bits.
    let mut code = [number(0, 1), number(10, 4)].concat();
    for length in [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10] {
        let of_length = match length {
            1..=4 => 4,
            length if SHORT.contains(&length) => 3,
            _ => 0,
        };
        code.extend(number(of_length, 3));
    }
    code.extend([number(1, 1), number(1, 3), number(9, 4)].concat());
    for length in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10] {
        // Canonical codes, their highest bit first.
        let (value, bits) = if length < 5 { (11 + length, 4) } else { (length - 5, 3) };
        code.extend((0..bits).rev().map(|bit| value >> bit & 1 == 1));
    }
    bits.extend(std::iter::repeat_n(code, 5 * GROUPS).flatten());
    bits.extend([false; 4000]);
    let byte = |bits: &[bool]| bits.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit));
    let mut data: Vec<u8> = std::iter::once(0x2f).chain(bits.chunks(8).map(byte)).collect();
    data.resize(data.len().next_multiple_of(2), 0);
    let length = u32::try_from(data.len()).unwrap();
    [b"RIFF", &(length + 12).to_le_bytes()[..], b"WEBPVP8L", &length.to_le_bytes(), &data].concat()
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
