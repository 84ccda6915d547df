//! What is refused, with which code, and that nothing breaks the process.

use std::io::{BufReader, Seek, Write};

use image::ImageFormat;

use super::samples;
use super::*;
use crate::{Code, Header};

fn refused(source: &[u8]) -> Error {
    run(source, &[thumbnail(16).into()]).expect_err("it must be refused")
}

#[test]
fn what_is_no_picture_is_refused_by_name() {
    for (source, code, word) in [
        (&b""[..], Code::EmptyFile, "empty"),
        (b"hello, world", Code::UnsupportedFormat, "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", Code::UnsupportedFormat, "SVG"),
        (b"%PDF-1.7", Code::UnsupportedFormat, "PDF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", Code::UnsupportedFormat, "HEIC is not supported: save it as JPEG"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", Code::UnsupportedFormat, "JPEG 2000"),
        (b"\0\0\0\x14ftypavif\0\0\0\0avif", Code::CorruptImage, "AVIF"),
        (b"\xff\x0a\0\0", Code::TruncatedImage, "JPEG XL"),
        (b"\xff\xd8", Code::TruncatedImage, "ends"),
        (b"\x89PNG\r\n\x1a\n", Code::TruncatedImage, "ends"),
    ] {
        let error = refused(source);
        assert_eq!(error.code, code, "{error}");
        assert!(error.detail.contains(word), "{error}");
    }
}

#[test]
fn truncated_pictures_are_refused() {
    let picture = samples::photo(200, 150);
    let mut sources = vec![samples::jpeg(&picture, 90)];
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP, ImageFormat::Tiff] {
        sources.push(samples::file(&picture, format));
    }
    for source in sources {
        let error = refused(&source[..source.len() / 2]);
        assert!(matches!(error.code, Code::TruncatedImage | Code::CorruptImage), "{error}");
    }
}

#[test]
fn limits_are_checked_from_the_header() {
    let source = samples::file(&samples::quarters(100, 100), ImageFormat::Png);
    let limit = |limits: Limits| probe(Cursor::new(&source), &limits).unwrap_err();
    let error = limit(Limits { max_pixels: 9_999, ..Limits::default() });
    assert_eq!(error.code, Code::TooManyPixels);
    assert!(error.detail.contains("limits.max_pixels (9999)"), "{error}");
    assert_eq!(limit(Limits { max_side: 99, ..Limits::default() }).code, Code::TooLarge);
    assert_eq!(limit(Limits { max_file_bytes: 99, ..Limits::default() }).code, Code::TooLarge);
    assert_eq!(limit(Limits { max_decoded_bytes: 99, ..Limits::default() }).code, Code::TooLarge);
    let limits = Limits { max_decoded_bytes: 799, ..Limits::default() };
    let header = Header { format: Format::Png, width: 10, height: 10, frames: 1, deep: false };
    limits.check(&header).unwrap();
    assert_eq!(limits.check(&Header { deep: true, ..header }).unwrap_err().code, Code::TooLarge, "16 bits a channel");
}

#[test]
fn outputs_are_checked_before_decoding() {
    let source = samples::jpeg(&samples::quarters(2, 2000), 90);
    let json = r#"[{"type":"resize","width":16384}]"#;
    let operations = parse(json, &Limits::default()).unwrap();
    let error = run(&source, &operations).unwrap_err();
    assert_eq!(error.code, Code::OutputTooLarge, "{error}");
}

#[test]
fn time_limit_ends_the_work() {
    let source = samples::jpeg(&samples::quarters(20, 20), 90);
    let operations = [fill(10, 10).into()];
    let limits = Limits::default();
    let options = Options { interrupted: &|| true, ..Options::new(&limits) };
    let error = process(&source, &operations, &options, &mut |_, _| Ok(())).unwrap_err();
    assert_eq!(error.code, Code::TimeLimit);
}

#[test]
fn failing_store_is_named() {
    let source = samples::jpeg(&samples::quarters(20, 20), 90);
    let operations = [fill(10, 10).into()];
    let mut full = |_, _| Err(std::io::Error::other("disk full"));
    let error = process(&source, &operations, &Options::new(&Limits::default()), &mut full).unwrap_err();
    assert_eq!(error.code, Code::Storage);
    assert!(error.detail.contains("disk full"), "{error}");
}

#[test]
fn offset_beyond_any_file_is_the_sources_fault() {
    // Seeking there succeeds in memory and fails on a disk.
    let directory = (u64::MAX >> 1).to_le_bytes();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[b"II\x2b\0\x08\0\0\0", &directory[..]].concat()).unwrap();
    file.rewind().unwrap();
    let error = probe(BufReader::new(file), &Limits::default()).unwrap_err();
    assert_eq!(error.code, Code::CorruptImage, "{error}");
}

#[test]
fn mutated_files_are_read_or_blamed() {
    let picture = samples::photo(97, 61);
    let clear = samples::with_alpha(&picture, |x, y| (x + y) as u8);
    let sources = [
        samples::jpeg(&picture, 80),
        samples::file(&clear, ImageFormat::Png),
        samples::file(&picture, ImageFormat::Gif),
        samples::file(&clear, ImageFormat::WebP),
        samples::file(&picture, ImageFormat::Bmp),
        samples::file(&picture, ImageFormat::Tiff),
    ];
    let operations = crate::operation::defaults();
    // Mutated sizes shall not cost minutes.
    let limits = Limits { max_pixels: 200_000, ..Limits::default() };
    // A fixed sequence, so that a failure comes again.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    for source in &sources {
        for _ in 0..150 {
            let mut mutated = source.clone();
            for _ in 0..=next(4) {
                // Headers matter most.
                let bound = if next(2) == 0 { mutated.len().min(700) } else { mutated.len() };
                mutated[next(bound)] = next(256) as u8;
            }
            if let Err(error) = process(&mutated, &operations, &Options::new(&limits), &mut |_, _| Ok(())) {
                let ours = [Code::DecoderFailure, Code::InvalidOperation, Code::Storage];
                assert!(!ours.contains(&error.code), "{error}");
            }
        }
    }
}
