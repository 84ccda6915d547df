//! Files whose parts contradict what their header says, and would cost more than it promises; and TIFFs that look like them.

use super::inputs::{eight, read, reading};
use super::*;
use crate::Code;
use crate::raster::Channels;

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

/// The decoder makes room for a tag's values before it has read them, and before it can be told of a limit.
#[test]
fn tags_of_a_tiff_hold_no_more_values_than_its_picture_has_parts() {
    let rows: Vec<(u16, u16, &[u32])> = vec![
        (256, 4, &[16]),
        (257, 4, &[16]),
        (258, 3, &[8]),
        (259, 3, &[1]),
        (262, 3, &[1]),
        (277, 3, &[1]),
        (278, 4, &[16]),
    ];
    let whole = samples::tiff(&rows, &[7; 256]);
    eight(&whole);
    let entries = u32::from_le_bytes(whole[4..8].try_into().unwrap()) as usize;
    let tags = usize::from(u16::from_le_bytes(whole[entries..entries + 2].try_into().unwrap()));
    for tag in 0..tags {
        let mut source = whole.clone();
        let count = entries + 2 + 12 * tag + 4;
        source[count..count + 4].copy_from_slice(&8_000_000_u32.to_le_bytes());
        let error = probe(Cursor::new(&source), &Limits::default()).unwrap_err();
        assert_eq!(error.code, Code::CorruptImage, "entry {tag}: {error}");
    }
    let mut source = whole;
    source[entries..entries + 2].copy_from_slice(&2000_u16.to_le_bytes());
    assert_eq!(refused(&source).code, Code::CorruptImage);
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
        let mut start = usize::from(source[3]);
        if source.starts_with(&[0xff, 0x0a]) {
            // In a container, whose first two boxes are fixed.
            let boxes = b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl ";
            let length = source.len() as u32 + 8;
            start = boxes.len();
            source = [&boxes[..], &length.to_be_bytes(), b"jxlc", &source].concat();
        }
        let (first, rest) = source.split_at(start);
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
fn chunk(kind: [u8; 4], body: &[u8]) -> Vec<u8> {
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
            (0x12, [chunk(*b"ANIM", &[0; 6]), chunk(*b"ANMF", &frame)].concat())
        }
        None => (0, picture[12..].to_vec()),
    };
    let canvas = chunk(*b"VP8X", &[&[flags, 0, 0, 0], place.as_slice()].concat());
    chunk(*b"RIFF", &[b"WEBP".as_slice(), &canvas, &parts].concat())
}

#[test]
fn frame_of_a_webp_is_as_large_as_its_place() {
    let (alpha, other) = (chunk(*b"ALPH", &[0; 9]), chunk(*b"XXXX", &[0; 3]));
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

/// A lossy WebP of 96×64 with this alpha.
fn webp_with(alpha: &[u8]) -> Vec<u8> {
    let canvas = chunk(*b"VP8X", &[0x10, 0, 0, 0, 95, 0, 0, 63, 0, 0]);
    let parts = [b"WEBP".as_slice(), &canvas, &chunk(*b"ALPH", alpha), &fixture("quarters.webp")[12..]].concat();
    chunk(*b"RIFF", &parts)
}

/// libwebp calls it what it calls a lack of memory, for which the process would end.
#[test]
fn alpha_of_a_webp_that_is_none_is_corrupt() {
    let plain = [&[0][..], &[70; 96 * 64]].concat();
    assert!(eight(&webp_with(&plain)).rgba().iter().all(|pixel| pixel[3] == 70));
    // One value for all: a lossless picture without its header, whose five codes have one symbol each.
    let single = [&[1, 0x88, 0x88, 0x08][..], &[0; 9]].concat();
    read(&webp_with(&single), |_| ()).unwrap();
    let unknown = [0x02, 0x20, 0x40, 0x80].map(|bits| [&[bits][..], &plain[1..]].concat());
    let short = plain[..plain.len() - 1].to_vec();
    let broken = [vec![], vec![1], vec![1, 0], [&[1][..], &[0xff; 90]].concat(), short];
    for alpha in unknown.iter().chain(&broken) {
        let error = refused(&webp_with(alpha));
        assert_eq!(error.code, Code::CorruptImage, "{:x?}: {error}", &alpha[..alpha.len().min(9)]);
    }
}

/// A lossless WebP of 4096×4096 that ends before its pixels begin: inside what each 16 of them are predicted by.
#[test]
fn codes_of_a_webp_are_not_read_again_at_every_piece() {
    let bits = |value: u64, bits: usize| (0..bits).map(move |bit| value >> bit & 1 == 1).collect::<Vec<_>>();
    // 256 symbols of eight bits, and one of none.
    let all = [bits(0, 1), bits(8, 4), bits(0, 33), bits(1, 3), bits(1, 1), bits(3, 3), bits(254, 8)].concat();
    let header = [bits(0x2f, 8), bits(4095, 14), bits(4095, 14), bits(0, 4), bits(1, 6), bits(0, 1)].concat();
    let stream = [header, all, bits(0b0001_0001_0001_0001, 16)].concat();
    let mut data: Vec<u8> =
        stream.chunks(8).map(|bits| bits.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit))).collect();
    data.resize(1_000_000, 0);
    let asked = std::cell::Cell::new(0);
    let count = || {
        asked.set(asked.get() + 1);
        false
    };
    let source = chunk(*b"RIFF", &[b"WEBP".as_slice(), &chunk(*b"VP8L", &data)].concat());
    let limits = Limits::default();
    let facts = codec::inspect(Cursor::new(&source), &limits).unwrap();
    let reading = codec::Reading { interrupted: &count, ..reading(&limits) };
    let error = codec::decode(&source, &facts, &reading).err().expect("there are no pixels");
    assert_eq!(error.code, Code::CorruptImage, "{error}");
    // At an eighth, at half, and at all.
    assert_eq!(asked.get(), 3);
}
