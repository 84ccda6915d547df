//! Pictures for the tests: fixtures, drawn ones, broken ones; and a look into outputs.

use std::io::Cursor;
use std::sync::OnceLock;

use image::RgbImage;
use pixmill::imaging::{self, Limits, operation};

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
    imaging::process(&photo(), &operations, &limits, &|| false, &mut |_, output| {
        large = output.data;
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
