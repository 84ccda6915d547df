//! Files that break a rule of their format without a pixel being the worse for it: frames and runs that reach too far, and
//! ends that are left out. Browsers show them.

use image::ImageFormat;

use super::inputs::{eight, read};
use super::*;
use crate::Code;

fn code(source: &[u8]) -> Option<Code> {
    read(source, |_| ()).err().map(|error| error.code)
}

/// The last of its frames, and how many there are.
fn last_frame(gif: &[u8]) -> (image::RgbaImage, usize) {
    let decoder = image::codecs::gif::GifDecoder::new(Cursor::new(gif)).unwrap();
    let mut frames = image::AnimationDecoder::into_frames(decoder).collect_frames().unwrap();
    let count = frames.len();
    (frames.pop().unwrap().into_buffer(), count)
}

#[test]
fn frame_of_an_animation_is_drawn_as_far_as_it_lies_on_the_canvas() {
    for (width, height) in [(8_u16, 8_u16), (11, 9), (12, 8), (3, 100)] {
        // Frames of 12×9.
        let mut source = samples::animation(3);
        source[6..8].copy_from_slice(&width.to_le_bytes());
        source[8..10].copy_from_slice(&height.to_le_bytes());
        let output = one(&source, r#"{"type":"convert","format":"gif"}"#);
        let (last, frames) = last_frame(&output.data);
        assert_eq!((last.width(), last.height(), frames), (width.into(), height.into(), 3));
        let corner = (u32::from(width.min(12)) - 1, u32::from(height.min(9)) - 1);
        let shown = last.get_pixel(corner.0, corner.1).0;
        assert!(shown.iter().zip([80, 90, 9, 255]).all(|(a, b)| a.abs_diff(b) < 6), "{width}x{height}: {shown:?}");
        if height > 9 {
            assert_eq!(last.get_pixel(0, 9).0[3], 0, "nothing was drawn there");
        }
    }
}

#[test]
fn png_without_its_last_chunk_is_whole() {
    let whole = samples::file(&samples::photo(40, 30), ImageFormat::Png);
    assert_eq!(&whole[whole.len() - 8..whole.len() - 4], b"IEND");
    for missing in 1..=12 {
        assert_eq!(eight(&whole[..whole.len() - missing]), eight(&whole), "{missing} bytes are missing");
    }
    for missing in [13, 20, 200] {
        assert_eq!(code(&whole[..whole.len() - missing]), Some(Code::TruncatedImage), "{missing} bytes are missing");
    }
}

/// A chunk, without a checksum that anybody looks at.
fn chunks(png: &[u8]) -> Vec<&[u8]> {
    let (mut chunks, mut rest) = (vec![&png[..8]], &png[8..]);
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(12 + u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize);
        chunks.push(chunk);
        rest = after;
    }
    chunks
}

#[test]
fn png_that_ends_between_its_chunks_is_cut_short() {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 64, 64);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::NoCompression);
    let mut writer = encoder.write_header().unwrap();
    let mut stream = writer.stream_writer_with_size(1000).unwrap();
    std::io::Write::write_all(&mut stream, &samples::photo(64, 64).data).unwrap();
    stream.finish().unwrap();
    drop(writer);
    let chunks = chunks(&bytes);
    assert!(chunks.len() > 6, "{} chunks", chunks.len());
    eight(&chunks[..chunks.len() - 1].concat());
    let cut = chunks[..chunks.len() - 4].concat();
    assert_eq!(code(&cut), Some(Code::TruncatedImage));
    assert!(read(&cut, |reading| reading.lenient = true).unwrap().truncated);
}

#[test]
fn animated_png_without_its_last_chunk_is_whole() {
    let whole = one(&samples::animation(3), r#"{"type":"convert","format":"png"}"#).data;
    let still_animated = |source: &[u8]| one(source, r#"{"type":"convert","format":"gif"}"#);
    for missing in [1, 4, 12] {
        let output = still_animated(&whole[..whole.len() - missing]);
        assert_eq!(output.data, still_animated(&whole).data, "{missing} bytes are missing");
    }
    // Without its last frame.
    let chunks = chunks(&whole);
    let cut = chunks[..chunks.len() - 3].concat();
    let operations = parse(r#"[{"type":"convert","format":"gif"}]"#, &Limits::default()).unwrap();
    assert_eq!(run(&cut, &operations).unwrap_err().code, Code::TruncatedImage);
}

#[test]
fn bmp_without_its_last_padding_is_whole() {
    let colours = samples::photo(5, 4);
    let grey = Raster { channels: crate::raster::Channels::Gray, data: (0..20).collect(), ..colours.clone() };
    for (picture, padding) in [(&colours, 1), (&grey, 3)] {
        let whole = samples::file(picture, ImageFormat::Bmp);
        for missing in 1..=padding {
            assert_eq!(eight(&whole[..whole.len() - missing]), eight(&whole), "{missing} bytes are missing");
        }
        let cut = &whole[..whole.len() - padding - 1];
        assert_eq!(code(cut), Some(Code::TruncatedImage), "a sample is missing");
    }
}

const RED: [u8; 3] = [200, 20, 10];
const BLUE: [u8; 3] = [10, 20, 200];

/// 8×4 pixels in runs of indices of black, red and blue.
fn runs(bits: u8, codes: &[u8]) -> Vec<u8> {
    let header = [
        &b"BM\0\0\0\0\0\0\0\0\x42\0\0\0\x28\0\0\0\x08\0\0\0\x04\0\0\0\x01\0"[..],
        &[bits, 0, if bits == 8 { 1 } else { 2 }, 0, 0, 0],
        &[0; 12],
        &[3, 0, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 0, RED[2], RED[1], RED[0], 0, BLUE[2], BLUE[1], BLUE[0], 0],
    ]
    .concat();
    assert_eq!(header.len(), 0x42);
    [&header, codes].concat()
}

#[test]
fn run_of_a_bmp_is_cut_at_the_end_of_its_row() {
    let rest = |value: u8| [[8, value, 0, 0]; 3].concat();
    // A run of red; or stored ones, red and then blue.
    let in_eight = [&[12, 1][..], &[0, 11, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 0]];
    let in_four = [&[12, 0x11][..], &[0, 11, 0x11, 0x11, 0x11, 0x12, 0x22, 0x20]];
    for (bits, red, first) in [(8, 1, in_eight), (4, 0x11, in_four)] {
        for (first, last) in first.iter().zip([RED, BLUE]) {
            let picture = eight(&runs(bits, &[*first, &[0, 0][..], &rest(red), &[0, 1]].concat()));
            let rows: Vec<&[[u8; 3]]> = picture.data.as_chunks::<3>().0.chunks(8).collect();
            assert_eq!(rows[..3], [[RED; 8]; 3], "{bits} bits");
            assert_eq!((rows[3][..7] == [RED; 7], rows[3][7]), (true, last), "{bits} bits");
        }
        // Two of three stored ones are left; a step leads beyond the row.
        let stored: &[u8] = if bits == 8 { &[0, 3, 2, 2, 2, 0] } else { &[0, 3, 0x22, 0x20] };
        let picture = eight(&runs(bits, &[&[6, red][..], stored, &[0, 2, 9, 0, 0, 0], &rest(red)].concat()));
        let lowest = &picture.data.as_chunks::<3>().0[24..];
        assert_eq!(lowest, [[RED; 6].as_slice(), &[BLUE; 2]].concat(), "{bits} bits");
    }
}

#[test]
fn runs_of_a_bmp_may_lack_their_end() {
    for (bits, red) in [(8, 1), (4, 0x11)] {
        for codes in [[[8, red, 0, 0]; 4].concat(), [[8, red, 0, 0]; 4].concat()[..14].to_vec()] {
            assert!(eight(&runs(bits, &codes)).data.as_chunks::<3>().0.iter().all(|pixel| *pixel == RED));
        }
        let cut = runs(bits, &[[8, red, 0, 0]; 3].concat());
        assert_eq!(code(&cut), Some(Code::TruncatedImage), "{bits} bits");
    }
}
