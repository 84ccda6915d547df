//! Fixtures, and the errors of the decoder.

use std::io::{Cursor, ErrorKind};
use std::path::Path;

use jxl::api::{JxlParallelRunner, ProfileLevel};

use super::feed::InTurn;
use super::*;
use crate::codec::{self, watched::OVER};
use crate::raster::Channels;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)).unwrap()
}

fn read(source: &[u8], change: impl FnOnce(&mut Reading<'_>)) -> Result<Decoded> {
    let limits = Limits::default();
    let facts = codec::inspect(Cursor::new(source), &limits)?;
    let mut reading =
        Reading { shrink: 1, deep: false, as_stored: false, lenient: false, limits: &limits, interrupted: &|| false };
    change(&mut reading);
    codec::decode(source, &facts, &reading)
}

#[test]
fn named_colours_become_srgb() {
    // As LittleCMS has them.
    for (name, colour) in
        [("p3.jxl", [217, 42, 37]), ("p3-lossy.jxl", [217, 42, 37]), ("light-lossy.jxl", [128, 128, 128])]
    {
        let Picture::Eight(picture) = read(&fixture(name), |_| ()).unwrap().picture else { panic!("{name}") };
        assert_eq!((picture.size(), picture.channels), ((24, 16), Channels::Rgb), "{name}");
        let middle = picture.data.as_chunks::<3>().0[8 * 24 + 12];
        assert!(middle.iter().zip(colour).all(|(a, b)| a.abs_diff(b) <= 3), "{name}: {middle:?}");
    }
}

#[test]
fn sixteen_bits_of_light_become_sixteen_of_srgb() {
    let decoded = read(&fixture("deep.jxl"), |reading| reading.deep = true).unwrap();
    let Picture::Sixteen(picture) = decoded.picture else { panic!("its depth is lost") };
    assert_eq!((picture.size(), picture.channels), ((64, 8), Channels::Gray));
    for (x, &got) in picture.data[..64].iter().enumerate() {
        let light = x as f64 * 1000.0 / 65_535.0;
        let curved = if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
        assert!((f64::from(got) - curved * 65_535.0).abs() < 40.0, "{x}: {got}, not {}", curved * 65_535.0);
    }
    assert!(picture.data[7 * 64 + 1] > picture.data[1], "a step of one is kept");
}

#[test]
fn bound_that_is_met_is_too_large_and_names_itself() {
    use jxl::error::Error as E;
    let level = E::LevelLimitExceeded { level: ProfileLevel::Main5, limit: "extra channels", val: 5, max: 4 };
    for (error, code, said) in [
        (E::ImageSizeTooLarge(5000, 4000), Code::TooLarge, "5000x4000 and its channels exceed 8000000 samples"),
        (E::ImageOutOfMemory(8, 9), Code::TooLarge, "less memory than it needs"),
        (E::PaletteTooLarge(9, 8), Code::TooLarge, "9 samples exceeds 8"),
        (level, Code::TooLarge, "extra channels of 5 exceed 4, the most in Level 5"),
        (E::UnexpectedCodestreamBoxEnd, Code::TruncatedImage, "ends before"),
        (E::IOError(std::io::Error::new(ErrorKind::TimedOut, OVER)), Code::TimeLimit, "time"),
        (E::InvalidHuffman, Code::CorruptImage, "Huffman"),
    ] {
        let refused = failed(&error, 1_000_000);
        assert_eq!(refused.code, code, "{refused}");
        assert!(refused.detail.contains(said), "{refused}");
    }
}

/// Columns of noise, of which the decoder would make others.
#[test]
fn frame_of_one_pixels_width_that_would_come_out_wrong_is_refused() {
    for name in ["narrow-eighths.jxl", "narrow-64ths.jxl", "narrow-modular.jxl"] {
        let refused = read(&fixture(name), |_| ()).err().unwrap_or_else(|| panic!("{name} is read"));
        assert_eq!(refused.code, Code::UnsupportedFormat, "{name}: {refused}");
        assert!(refused.detail.contains("one pixel's width"), "{name}: {refused}");
    }
}

#[test]
fn narrow_pictures_that_come_out_right_are_read() {
    // Their first pixels, as libjxl has them.
    let pictures: [(&str, (u32, u32), &[u8]); 3] = [
        ("narrow-grey.jxl", (5, 24), &[239, 85, 156, 51, 0]),
        ("narrow-nine.jxl", (9, 24), &[129, 250, 64, 97, 139, 126]),
        ("narrow-lossless.jxl", (1, 40), &[170, 10, 109, 143, 185, 242]),
    ];
    for (name, size, first) in pictures {
        let Picture::Eight(picture) = read(&fixture(name), |_| ()).unwrap().picture else { panic!("{name}") };
        assert_eq!(picture.size(), size, "{name}");
        let got = &picture.data[..first.len()];
        assert!(got.iter().zip(first).all(|(a, b)| a.abs_diff(*b) <= 2), "{name}: {got:?}");
    }
}

#[test]
fn cut_short_and_stopped_are_told_apart() {
    let source = fixture("quarters-lossy.jxl");
    let code = |source: &[u8], change: fn(&mut Reading<'_>)| read(source, change).err().map(|error| error.code);
    assert_eq!(code(&source[..source.len() / 2], |_| ()), Some(Code::TruncatedImage));
    assert_eq!(code(&source, |reading| reading.interrupted = &|| true), Some(Code::TimeLimit));
    assert_eq!(code(&source, |_| ()), None);
}

/// Between two tasks of the decoder, when all of the file is read.
#[test]
fn decoder_is_stopped_in_the_middle_of_its_work() {
    let asked = std::cell::Cell::new(0);
    let interrupted = || {
        asked.set(asked.get() + 1);
        asked.get() > 2
    };
    let mut done = 0;
    let counted = std::sync::Mutex::new(&mut done);
    let outcome = InTurn { interrupted: &interrupted }.run_ordered(9, None, &|_| {
        **counted.lock().unwrap() += 1;
        Ok(())
    });
    assert_eq!(failed(&outcome.unwrap_err(), 1).code, Code::TimeLimit);
    assert_eq!(done, 2);
}
