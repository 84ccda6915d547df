//! Marks on whole pictures.

use image::ImageFormat;

use super::*;
use crate::imaging::raster::Channels;
use crate::imaging::{Header, estimate, overlay};

/// Makes `logo.png` known: a square half covering red, in a transparent frame; and a picture that is too large.
fn provide_overlays() {
    let read = |name: &str| match name {
        "logo.png" => {
            let inside = |x, y| (10..30).contains(&x) && (10..30).contains(&y);
            let red = Raster::filled(40, 40, Channels::Rgb, &[255, 0, 0]);
            Ok(samples::file(&samples::with_alpha(&red, |x, y| if inside(x, y) { 128 } else { 0 }), ImageFormat::Png))
        }
        "large.png" => Ok(samples::file(&Raster::filled(2100, 2000, Channels::Gray, &[0]), ImageFormat::Png)),
        other => Err(std::io::Error::other(format!("is not there; there is logo.png, not {other}"))),
    };
    // The tests of one process share it.
    let _ = overlay::provide(Box::new(read));
}

#[test]
fn overlay_is_blended_with_its_alpha_and_its_opacity() {
    provide_overlays();
    let source = samples::file(&Raster::filled(100, 80, Channels::Rgb, &[0, 0, 200]), ImageFormat::Png);
    let marked = |fields: &str| {
        let json =
            format!(r#"{{"type": "watermark", "image": "logo.png", "position": "top-left", "margin": 0{fields}}}"#);
        decoded(&one(&source, &json))
    };
    let at = |picture: &Raster, x: usize, y: usize| -> [u8; 3] {
        picture.data[(y * 100 + x) * 3..][..3].try_into().unwrap()
    };
    let plain = marked("");
    assert_eq!((at(&plain, 20, 20), at(&plain, 5, 5)), ([128, 0, 100], [0, 0, 200]));
    assert_eq!(at(&marked(r#", "opacity": 0.5"#), 20, 20), [64, 0, 150]);
    // Half of the picture's width.
    let large = marked(r#", "size": "50%""#);
    assert_eq!(at(&large, 25, 25), [128, 0, 100]);
    assert!(at(&large, 35, 25)[0].abs_diff(128) < 8);
}

#[test]
fn overlay_fits_the_smallest_picture() {
    provide_overlays();
    for side in [1, 2, 8] {
        let source = samples::file(&Raster::filled(side, side, Channels::Gray, &[9]), ImageFormat::Png);
        assert_eq!(one(&source, r#"{"type": "watermark", "image": "logo.png", "angle": 45}"#).width, side);
    }
}

#[test]
fn overlay_that_is_not_there_or_too_large_is_named() {
    provide_overlays();
    let source = samples::file(&Raster::filled(9, 9, Channels::Gray, &[9]), ImageFormat::Png);
    let json = r#"[{"type":"pipeline","operations":[{"type":"flip"},{"type":"watermark","image":"large.png"}]}]"#;
    let error = run(&source, &parse(json, &Limits::default()).unwrap()).unwrap_err();
    let place = "operations[0].operations[1]: the overlay `large.png`: ";
    assert!(error.detail.starts_with(place) && error.detail.contains("limits.max_pixels (4000000)"), "{error}");
    let error = parse(r#"[{"type":"watermark","image":"log.png"}]"#, &Limits::default()).unwrap_err();
    let place = "operations[0].image: the overlay `log.png`: ";
    assert!(error.detail.starts_with(place) && error.detail.contains("there is logo.png"), "{error}");
    for name in ["../logo.png", "/etc/passwd", ".hidden", "", "a/b.png"] {
        let json = format!(r#"[{{"type": "watermark", "image": "{name}"}}]"#);
        let error = parse(&json, &Limits::default()).unwrap_err();
        assert!(error.detail.starts_with("operations[0].image: "), "{error}");
    }
}

#[test]
fn missing_glyph_names_the_step_before_the_picture_is_decoded() {
    let steps = r#"{"type":"convert","format":"png"},{"type":"flip"},{"type":"watermark","text":"😀"}"#;
    let json = format!(r#"[{{"type":"flop"}},{{"type":"pipeline","operations":[{steps}]}}]"#);
    let source = samples::jpeg(&samples::quarters(20, 20), 90);
    // Cut short: decoding would be refused for that.
    let error = run(&source[..source.len() - 40], &parse(&json, &Limits::default()).unwrap()).unwrap_err();
    assert_eq!(error.code, crate::imaging::Code::MissingGlyph);
    assert!(error.detail.starts_with("operations[1].operations[2]: no font has 😀"), "{error}");
}

#[test]
fn estimate_counts_what_a_mark_takes() {
    let limits = Limits::default();
    let header = Header { format: Format::Png, width: 6000, height: 4000, frames: 1, deep: false };
    let of = |fields: &str| {
        let operations = parse(&format!(r#"[{{"type": "watermark", "text": "MySite"{fields}}}]"#), &limits).unwrap();
        estimate(0, &header, &operations, &limits)
    };
    let plain = of("");
    assert!(of(r#", "shadow": {}, "angle": 30"#) - plain < 40 << 20);
    assert!(of(r#", "shadow": {}, "size": "90%""#) - plain >= 6000 * 4000 * 12);
}
