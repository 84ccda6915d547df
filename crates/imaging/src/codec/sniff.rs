//! Detects a file's format from its first bytes. Names and declared types are ignored.
//!
//! Formats that are known but not supported are refused by name and with advice.

use crate::{Code, Error, Format, Result};

/// Number of bytes that [`sniff`] looks at.
pub(super) const PREFIX: usize = 128;

/// The format by the file's first bytes.
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
            Some((name, hint)) => format!("{name} is not supported: {hint}"),
            None => format!("not a picture in a known format ({})", supported()),
        },
    ))
}

fn supported() -> String {
    let names: Vec<_> = Format::ALL.iter().map(|format| format.title()).collect();
    format!("supported: {}", names.join(", "))
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
    } else if starts(b"\xff\x0a") || starts(b"\0\0\0\x0cJXL \r\n\x87\n") {
        Some(Format::Jxl)
    } else if brands(prefix).is_some_and(|mut brands| brands.any(|brand| matches!(brand, b"avif" | b"avis"))) {
        Some(Format::Avif)
    } else if matches!(prefix, [0, 0, 1 | 2, 0, count, high, _, _, _, 0 | 255, ..] if (*count, *high) != (0, 0)) {
        Some(Format::Ico)
    } else if starts(b"qoif") {
        Some(Format::Qoi)
    } else {
        None
    }
}

/// The major brand of an ISO media file, and those that it is compatible with.
fn brands(prefix: &[u8]) -> Option<impl Iterator<Item = &[u8; 4]>> {
    if prefix.get(4..8) != Some(b"ftyp") {
        return None;
    }
    let length = u32::from_be_bytes(*prefix.first_chunk()?) as usize;
    let body = prefix.get(8..length.min(prefix.len()))?;
    // The second word is a version.
    Some(body.as_chunks::<4>().0.iter().enumerate().filter(|(i, _)| *i != 1).map(|(_, brand)| brand))
}

fn bmp_header_size(prefix: &[u8]) -> Option<u32> {
    prefix.get(14..18).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes)
}

/// A format that is not supported, and what to do about it.
fn foreign(prefix: &[u8]) -> Option<(&'static str, &'static str)> {
    const CONVERT: &str = "save it as JPEG, PNG, WebP or TIFF";
    const RASTER: &str = "save it as PNG at the size that is needed";
    const STILL: &str = "send a still of it";
    let starts = |signature: &[u8]| prefix.starts_with(signature);
    if let Some(mut brands) = brands(prefix) {
        return Some(match brands.next() {
            Some(b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" | b"mif1" | b"msf1") => {
                ("HEIC", "save it as JPEG, or set the camera to \"Most Compatible\"")
            }
            Some(b"crx ") => ("Canon raw", CONVERT),
            Some(b"jp2 " | b"jpx ") => ("JPEG 2000", CONVERT),
            _ => ("ISO media (video, or HEIC)", STILL),
        });
    }
    let signatures: [(&[u8], (&'static str, &'static str)); 18] = [
        (b"\0\0\0\x0cjP  \r\n\x87\n", ("JPEG 2000", CONVERT)),
        (b"\xff\x4f\xff\x51", ("JPEG 2000", CONVERT)),
        (b"8BPS", ("PSD", "save it as PNG or TIFF, layers merged")),
        (b"%PDF", ("PDF", "save the page as PNG or JPEG")),
        (b"%!PS", ("PostScript", RASTER)),
        (b"gimp xcf", ("XCF", "export it as PNG")),
        (b"DDS ", ("DDS", CONVERT)),
        (b"#?RADIANCE", ("Radiance HDR", CONVERT)),
        (b"v/1\x01", ("OpenEXR", CONVERT)),
        (b"farbfeld", ("farbfeld", CONVERT)),
        (b"\x01\xda", ("SGI", CONVERT)),
        (b"\0\0\x01\xba", ("MPEG video", STILL)),
        (b"\x1aE\xdf\xa3", ("Matroska or WebM video", STILL)),
        (b"FUJIFILMCCD-RAW", ("Fujifilm raw", CONVERT)),
        (b"IIRO", ("Olympus raw", CONVERT)),
        (b"IIU\0", ("Panasonic raw", CONVERT)),
        (b"PK\x03\x04", ("a ZIP archive", "unpack it and send its pictures")),
        (b"RIFF", ("RIFF (audio or video)", STILL)),
    ];
    if let Some((_, told)) = signatures.iter().find(|(signature, _)| starts(signature)) {
        return Some(*told);
    }
    if matches!(prefix, [b'P', b'1'..=b'7', space, ..] if space.is_ascii_whitespace()) {
        return Some(("PNM", CONVERT));
    }
    let text = String::from_utf8_lossy(prefix).to_ascii_lowercase();
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with("<svg") || text.starts_with("<?xml") && text.contains("svg") {
        return Some(("SVG", RASTER));
    }
    (text.starts_with("<!doctype html") || text.starts_with("<html"))
        .then_some(("an HTML page", "send the picture itself"))
}
