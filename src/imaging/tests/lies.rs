//! Files whose parts contradict what their header says, and would cost more than it promises; and TIFFs that look like them.

use super::inputs::{eight, read};
use super::*;
use crate::imaging::Code;
use crate::imaging::raster::Channels;

fn refused(source: &[u8]) -> Error {
    read(source, |_| ()).err().expect("it lies")
}

/// A TIFF of 64×48 whose strip is a JPEG of this size.
fn jpeg_in_tiff(width: u32, height: u32) -> Vec<u8> {
    let strip = samples::jpeg(&samples::photo(width, height), 90);
    let bits = [8; 3];
    samples::tiff(
        &[
            (256, 4, &[64]),
            (257, 4, &[48]),
            (258, 3, &bits),
            (259, 3, &[7]),
            (262, 3, &[6]),
            (277, 3, &[3]),
            // All rows in one strip, whatever their number.
            (278, 4, &[u32::MAX]),
        ],
        &strip,
    )
}

#[test]
fn jpeg_in_a_tiff_is_no_larger_than_its_strip() {
    assert_eq!(eight(&jpeg_in_tiff(64, 48)).size(), (64, 48));
    for (width, height) in [(65, 48), (64, 49), (400, 300)] {
        let error = refused(&jpeg_in_tiff(width, height));
        assert_eq!(error.code, Code::CorruptImage, "{error}");
        assert!(error.detail.contains("larger than its place"), "{error}");
    }
}

#[test]
fn jpeg_in_a_tiff_that_is_cut_short_is_truncated() {
    let whole = jpeg_in_tiff(64, 48);
    for cut in [&whole[..whole.len() - 3], &whole[..whole.len() - 400]] {
        assert_eq!(refused(cut).code, Code::TruncatedImage);
        assert!(read(cut, |reading| reading.lenient = true).unwrap().truncated);
    }
}

#[test]
fn tile_of_a_tiff_is_not_far_larger_than_the_picture() {
    let tiled = |side: u32| {
        let tags: [(u16, u16, &[u32]); 8] = [
            (256, 4, &[16]),
            (257, 4, &[16]),
            (258, 3, &[8]),
            (259, 3, &[1]),
            (262, 3, &[1]),
            (277, 3, &[1]),
            (322, 4, &[side]),
            (323, 4, &[side]),
        ];
        let mut file = samples::tiff(&tags, &vec![200; 256 * 256]);
        // The strip's place is that of the one tile.
        for entry in 0..10 {
            let at = 10 + 12 * entry;
            match u16::from_le_bytes([file[at], file[at + 1]]) {
                273 => file[at..at + 2].copy_from_slice(&324u16.to_le_bytes()),
                279 => file[at..at + 2].copy_from_slice(&325u16.to_le_bytes()),
                _ => {}
            }
        }
        file
    };
    assert_eq!(eight(&tiled(256)).data, [200; 256]);
    let error = refused(&tiled(16_000));
    assert!(error.detail.contains("larger than all of it"), "{error}");
}

#[test]
fn hundred_samples_a_pixel_are_no_picture() {
    let bits = [8; 100];
    let spare = [0; 97];
    let tags: [(u16, u16, &[u32]); 8] = [
        (256, 4, &[2]),
        (257, 4, &[2]),
        (258, 3, &bits),
        (259, 3, &[1]),
        (262, 3, &[2]),
        (277, 3, &[100]),
        (278, 4, &[2]),
        (338, 3, &spare),
    ];
    let error = refused(&samples::tiff(&tags, &[7; 400]));
    assert_eq!(error.code, Code::UnsupportedFormat, "{error}");
}

/// Two pixels: the first colour of the palette and the second, with these samples beside them.
fn with_palette(palette: &[u32], extra: &[u32], pixels: &[u8]) -> Raster {
    let bits = vec![8; pixels.len() / 2];
    let count = [bits.len() as u32];
    let mut tags: Vec<(u16, u16, &[u32])> = vec![
        (256, 4, &[2]),
        (257, 4, &[1]),
        (258, 3, &bits),
        (259, 3, &[1]),
        (262, 3, &[3]),
        (277, 3, &count),
        (278, 4, &[1]),
        (320, 3, palette),
    ];
    if !extra.is_empty() {
        tags.push((338, 3, extra));
    }
    eight(&samples::tiff(&tags, pixels))
}

#[test]
fn palette_of_a_tiff_may_have_eight_bits_or_alpha_beside_it() {
    // Red, then green, then blue.
    let column = |red: [u32; 2], green: [u32; 2], blue: [u32; 2]| {
        [red, green, blue].iter().flat_map(|pair| [&pair[..], &[0; 254]].concat()).collect::<Vec<u32>>()
    };
    let wide = column([0xff00, 0x1234], [0, 0x8000], [0x0100, 0]);
    let narrow = column([255, 0x12], [0, 0x80], [1, 0]);
    for palette in [wide.as_slice(), narrow.as_slice()] {
        assert_eq!(with_palette(palette, &[], &[0, 1]).data, [255, 0, 1, 0x12, 0x80, 0]);
        let clear = with_palette(palette, &[2], &[0, 255, 1, 70]);
        assert_eq!((clear.channels, clear.data), (Channels::Rgba, vec![255, 0, 1, 255, 0x12, 0x80, 0, 70]));
        assert_eq!(with_palette(palette, &[0], &[0, 255, 1, 70]).channels, Channels::Rgb, "something else");
    }
}

#[test]
fn frame_of_a_gif_may_be_a_little_larger_than_its_canvas() {
    let mut source = samples::animation(1);
    source[6..10].copy_from_slice(&[8, 0, 8, 0]);
    assert_eq!(eight(&source).size(), (8, 8));
    let vast = b"GIF89a\x08\0\x08\0\x80\0\0\0\0\0\xff\xff\xff\x2c\0\0\0\0\xd0\x07\xd0\x07\0\x02\x02\x44\x01\0\x3b";
    let error = probe(Cursor::new(&vast[..]), &Limits::default()).unwrap_err();
    assert!(error.detail.contains("larger than its canvas"), "{error}");
}

#[test]
fn boxes_are_not_looked_through_for_ever() {
    for name in ["quarters-420.avif", "quarters.jxl"] {
        let mut source = fixture(name);
        if source.starts_with(&[0xff, 0x0a]) {
            // In a container.
            let length = source.len() as u32 + 8;
            source = [&b"\0\0\0\x0cJXL \r\n\x87\n"[..], &length.to_be_bytes(), b"jxlc", &source].concat();
        }
        let (first, rest) = source.split_at(usize::from(source[3]));
        let with = |boxes: usize| {
            let source = [first, &b"\0\0\0\x08free".repeat(boxes), rest].concat();
            probe(Cursor::new(source), &Limits::default())
        };
        with(10).unwrap();
        // Many megabytes of them took the probe seconds.
        assert_eq!(with(2000).unwrap_err().code, Code::CorruptImage, "{name}");
    }
}

/// A chunk of a WebP.
fn chunk(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&kind[..], &(body.len() as u32).to_le_bytes(), body, &[0][..body.len() % 2]].concat()
}

/// A WebP with a canvas of this size whose picture is a lossy one of 96×64: alone, or in a frame that is told to be of
/// this size, behind these chunks.
fn webp_in(width: u32, height: u32, frame: Option<&[u8]>) -> Vec<u8> {
    let side = |side: u32| (side - 1).to_le_bytes()[..3].to_vec();
    let place = [side(width), side(height)].concat();
    let picture = fixture("quarters.webp");
    assert_eq!(&picture[12..16], b"VP8 ");
    let (flags, parts) = match frame {
        Some(before) => {
            let frame = [&[0; 6], place.as_slice(), &[70, 0, 0, 0], before, &picture[12..]].concat();
            (0x12, [chunk(b"ANIM", &[0; 6]), chunk(b"ANMF", &frame)].concat())
        }
        None => (0, picture[12..].to_vec()),
    };
    let canvas = chunk(b"VP8X", &[&[flags, 0, 0, 0], place.as_slice()].concat());
    chunk(b"RIFF", &[b"WEBP".as_slice(), &canvas, &parts].concat())
}

#[test]
fn frame_of_a_webp_is_as_large_as_its_place() {
    let (alpha, other) = (chunk(b"ALPH", &[0; 9]), chunk(b"XXXX", &[0; 3]));
    let befores = [&[], &[&alpha][..], &[&other], &[&other, &other], &[&other, &alpha], &[&alpha, &other]];
    let befores = befores.map(|chunks| chunks.iter().flat_map(|chunk| chunk.iter().copied()).collect::<Vec<u8>>());
    for frame in [None].into_iter().chain(befores.iter().map(|before| Some(before.as_slice()))) {
        probe(Cursor::new(webp_in(96, 64, frame)), &Limits::default()).unwrap();
        for (width, height) in [(96, 65), (95, 64), (8, 8)] {
            let error = probe(Cursor::new(webp_in(width, height, frame)), &Limits::default()).unwrap_err();
            assert_eq!(error.code, Code::CorruptImage, "{error}");
            assert!(error.detail.contains(&format!("96×64 and its place {width}×{height}")), "{error}");
        }
    }
}
