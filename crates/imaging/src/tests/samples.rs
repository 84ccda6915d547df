//! Pictures drawn in code.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat};

use crate::codec::encode::libjpeg;
use crate::codec::jpeg::Tables;
use crate::raster::{Channels, Raster};

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
    libjpeg::encode(picture, &Tables::Quality(quality)).unwrap()
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

/// An animation, each frame of one colour.
pub(crate) fn gif(width: u32, height: u32, frames: u8) -> Vec<u8> {
    let frame =
        |i: u8| image::Frame::new(image::RgbaImage::from_pixel(width, height, image::Rgba([70 * i, 9, 9, 255])));
    let mut bytes = Vec::new();
    image::codecs::gif::GifEncoder::new(&mut bytes).encode_frames((0..frames).map(frame)).unwrap();
    bytes
}

pub(crate) fn jpeg_with_profile(picture: &Raster, profile: &[u8]) -> Vec<u8> {
    let mut bytes = jpeg(picture, 90);
    let mut segment = vec![0xff, 0xe2];
    segment.extend((profile.len() as u16 + 16).to_be_bytes());
    segment.extend(b"ICC_PROFILE\0\x01\x01");
    segment.extend(profile);
    bytes.splice(2..2, segment);
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
    // From 95 on chroma would not be halved.
    let mut bytes = jpeg(picture, 94);
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

/// A GIF of a picture with alpha and its mirror image.
pub(crate) fn file_of_frames(picture: &Raster) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
    let frames = [picture.clone(), picture.clone().oriented(2)].map(|frame| {
        image::Frame::new(image::RgbaImage::from_raw(frame.width, frame.height, frame.data).expect("it is RGBA"))
    });
    encoder.encode_frames(frames).unwrap();
    drop(encoder);
    bytes
}

/// A GIF of frames of 12×9 that differ.
pub(crate) fn animation(frames: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
    let frame =
        |shade: u8| image::Frame::new(image::RgbaImage::from_pixel(12, 9, image::Rgba([shade * 40, 90, 9, 255])));
    encoder.encode_frames((0..frames).map(frame)).unwrap();
    drop(encoder);
    bytes
}

/// A TIFF of one strip, with the directory first: each tag with its type (3: two bytes, 4: four) and its values.
pub(crate) fn tiff(tags: &[(u16, u16, &[u32])], strip: &[u8]) -> Vec<u8> {
    let size = |kind: u16| if kind == 3 { 2 } else { 4 };
    let start = 8 + 2 + 12 * (tags.len() as u32 + 2) + 4;
    let behind: u32 =
        tags.iter().map(|(_, kind, values)| size(*kind) * values.len() as u32).filter(|&all| all > 4).sum();
    let (offset, length) = ([start + behind], [strip.len() as u32]);
    let mut tags = tags.to_vec();
    tags.extend([(273, 4, &offset[..]), (279, 4, &length[..])]);
    tags.sort_unstable_by_key(|(tag, ..)| *tag);
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    let mut values_behind = Vec::new();
    file.extend((tags.len() as u16).to_le_bytes());
    for (tag, kind, values) in tags {
        let mut stored: Vec<u8> =
            values.iter().flat_map(|value| value.to_le_bytes()[..size(kind) as usize].to_vec()).collect();
        if stored.len() > 4 {
            let place = start + values_behind.len() as u32;
            values_behind.extend(stored);
            stored = place.to_le_bytes().to_vec();
        }
        stored.resize(4, 0);
        file.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        file.extend((values.len() as u32).to_le_bytes());
        file.extend(stored);
    }
    file.extend([0; 4]);
    file.extend(values_behind);
    file.extend(strip);
    file
}
