//! Which format a file is in, by its first bytes; names and declared types play no part.
//!
//! Formats that are recognised but not read yet are refused by name, which tells a user more than
//! "unknown" would.

use crate::imaging::{Code, Error, Format, Result};

/// How many bytes [`sniff`] looks at.
pub(super) const PREFIX: usize = 64;

/// The format by the file's first bytes; names play no part.
pub(super) fn sniff(prefix: &[u8]) -> Result<Format> {
    if prefix.is_empty() {
        return Err(Error::new(Code::EmptyFile, "the file is empty"));
    }
    if let Some(format) = known(prefix) {
        return Ok(format);
    }
    Err(Error::new(
        Code::UnsupportedFormat,
        match foreign(prefix) {
            Some(name) => format!("{name} is not supported yet"),
            None => "not a picture in a known format".to_owned(),
        },
    ))
}

fn known(prefix: &[u8]) -> Option<Format> {
    let starts = |signature: &[u8]| prefix.starts_with(signature);
    if starts(b"\xff\xd8") {
        Some(Format::Jpeg)
    } else if starts(b"\x89PNG\r\n\x1a\n") {
        Some(Format::Png)
    } else if starts(b"GIF87a") || starts(b"GIF89a") {
        Some(Format::Gif)
    } else if starts(b"RIFF") && prefix.get(8..12) == Some(b"WEBP") {
        Some(Format::WebP)
    } else if starts(b"BM") && bmp_header_size(prefix).is_some_and(|size| matches!(size, 12 | 16..=512)) {
        Some(Format::Bmp)
    } else if [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"].iter().any(|s| starts(*s)) {
        Some(Format::Tiff)
    } else {
        None
    }
}

fn bmp_header_size(prefix: &[u8]) -> Option<u32> {
    prefix.get(14..18).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes)
}

fn foreign(prefix: &[u8]) -> Option<&'static str> {
    let starts = |signature: &[u8]| prefix.starts_with(signature);
    if prefix.get(4..8) == Some(b"ftyp") {
        return Some(match prefix.get(8..12) {
            Some(b"avif" | b"avis") => "AVIF",
            Some(b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" | b"mif1" | b"msf1") => "HEIC",
            _ => "ISO media (video, AVIF or HEIC)",
        });
    }
    let signatures: [(&[u8], &'static str); 16] = [
        (b"\xff\x0a", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x4f\xff\x51", "JPEG 2000"),
        (b"qoif", "QOI"),
        (b"8BPS", "PSD"),
        (b"%PDF", "PDF"),
        (b"\0\0\x01\0", "ICO"),
        (b"\0\0\x02\0", "CUR"),
        (b"gimp xcf", "XCF"),
        (b"DDS ", "DDS"),
        (b"#?RADIANCE", "Radiance HDR"),
        (b"v/1\x01", "OpenEXR"),
        (b"farbfeld", "farbfeld"),
        (b"\x01\xda", "SGI"),
        (b"RIFF", "RIFF (audio or video)"),
    ];
    if let Some((_, name)) = signatures.iter().find(|(signature, _)| starts(signature)) {
        return Some(name);
    }
    if matches!(prefix, [b'P', b'1'..=b'7', space, ..] if space.is_ascii_whitespace()) {
        return Some("PNM");
    }
    let text = String::from_utf8_lossy(prefix).to_ascii_lowercase();
    let text = text.trim_start_matches('\u{feff}').trim_start();
    (text.starts_with("<svg") || text.starts_with("<?xml") && text.contains("svg")).then_some("SVG")
}
