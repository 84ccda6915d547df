//! Pictures drawn in code.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat};

use crate::imaging::codec::jpeg::{self, Tables};
use crate::imaging::raster::{Channels, Raster};

/// Red, green, blue and white quarters, clockwise from the top left: red, green, white, blue.
pub(crate) const QUARTERS: [[u8; 3]; 4] = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]];

pub(crate) fn quarters(width: u32, height: u32) -> Raster {
    let mut data = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let quarter = usize::from(2 * y >= height) * 2 + usize::from(2 * x >= width);
            data.extend(QUARTERS[quarter]);
        }
    }
    Raster { width, height, channels: Channels::Rgb, data }
}

/// Smooth gradients with some detail: much like a photo to a codec.
pub(crate) fn photo(width: u32, height: u32) -> Raster {
    let mut data = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let (u, v) = (f64::from(x) / f64::from(width), f64::from(y) / f64::from(height));
            let detail = ((u * 90.0).sin() * (v * 70.0).cos() * 20.0) + ((u * v * 300.0).sin() * 10.0);
            data.push((60.0 + 140.0 * u + detail) as u8);
            data.push((200.0 - 120.0 * v + detail) as u8);
            data.push((90.0 + 80.0 * (u * 5.0 + v * 3.0).sin() + detail) as u8);
        }
    }
    Raster { width, height, channels: Channels::Rgb, data }
}

pub(crate) fn with_alpha(picture: &Raster, alpha: impl Fn(u32, u32) -> u8) -> Raster {
    let mut data = Vec::new();
    for (i, pixel) in picture.data.chunks_exact(3).enumerate() {
        let i = i as u32;
        data.extend([pixel[0], pixel[1], pixel[2], alpha(i % picture.width, i / picture.width)]);
    }
    Raster { channels: Channels::Rgba, data, ..picture.clone() }
}

pub(crate) fn jpeg(picture: &Raster, quality: u8) -> Vec<u8> {
    jpeg::encode(picture, &Tables::Quality(quality)).unwrap()
}

pub(crate) fn file(picture: &Raster, format: ImageFormat) -> Vec<u8> {
    let (width, height, data) = (picture.width, picture.height, picture.data.clone());
    let image: DynamicImage = match picture.channels {
        Channels::Gray => image::GrayImage::from_raw(width, height, data).unwrap().into(),
        Channels::Rgb => image::RgbImage::from_raw(width, height, data).unwrap().into(),
        Channels::Rgba => image::RgbaImage::from_raw(width, height, data).unwrap().into(),
    };
    let mut bytes = Vec::new();
    image.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
    bytes
}

/// An EXIF block that says nothing but the orientation.
pub(crate) fn exif(orientation: u8) -> Vec<u8> {
    let mut block = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    block.push(orientation);
    block.extend([0; 6]);
    block
}

/// A JPEG with an EXIF orientation.
pub(crate) fn turned_jpeg(picture: &Raster, orientation: u8) -> Vec<u8> {
    let block = exif(orientation);
    let mut bytes = jpeg(picture, 95);
    let mut segment = vec![0xff, 0xe1];
    segment.extend((block.len() as u16 + 8).to_be_bytes());
    segment.extend(b"Exif\0\0");
    segment.extend(block);
    bytes.splice(2..2, segment);
    bytes
}

/// `picture` as a camera held in that orientation would have stored it.
pub(crate) fn as_stored(picture: &Raster, orientation: u8) -> Raster {
    // Every orientation is its own inverse but the two quarter turns, which are each other's.
    let inverse = match orientation {
        6 => 8,
        8 => 6,
        own => own,
    };
    picture.clone().oriented(inverse)
}
