//! Marks on whole pictures.

use image::ImageFormat;

use super::*;
use crate::operation::{Pipeline, Watermark};
use crate::raster::Channels;
use crate::{Header, estimate, overlay};

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

/// From JPEG to JPEG pictures stay in planes, where overlays are blended by other code.
#[test]
fn overlay_is_blended_with_its_alpha_from_jpeg_to_jpeg() {
    provide_overlays();
    let source = samples::jpeg(&Raster::filled(160, 128, Channels::Rgb, &[0, 0, 200]), 95);
    let mark = r#""type": "watermark", "image": "logo.png", "position": "top-left", "margin": 0"#;
    let small = r#"{"type": "resize", "width": 80, "filter": "lanczos3"}"#;
    for (fields, inside) in [("", [128, 0, 100]), (r#", "opacity": 0.5"#, [64, 0, 150])] {
        for json in [
            format!("[{{{mark}{fields}}}]"),
            format!(r#"[{{{mark}{fields}, "quality": 90}}]"#),
            format!(r#"[{{"type": "pipeline", "quality": 90, "operations": [{small}, {{{mark}{fields}}}]}}]"#),
        ] {
            let operations = parse(&json, &Limits::default()).unwrap();
            let short = route(&source, &operations);
            assert!(short.is_some(), "{json} is made in pixels");
            let picture = decoded(&one_way(&source, &operations, short)[0]);
            let at = |x: usize, y: usize| &picture.data[(y * picture.width as usize + x) * 3..][..3];
            for (place, wanted) in [((20, 20), inside), ((4, 4), [0, 0, 200]), ((60, 50), [0, 0, 200])] {
                let got = at(place.0, place.1);
                // JPEG's own loss beside an edge is smaller; an alpha that is ignored is off by 64 or more.
                let close = got.iter().zip(wanted).all(|(got, wanted)| got.abs_diff(wanted) <= 16);
                assert!(close, "{json} at {place:?}: {got:?}, not {wanted:?}");
            }
        }
    }
}

#[test]
fn lines_of_a_text_may_end_as_any_system_ends_them() {
    let black = samples::file(&Raster::filled(300, 200, Channels::Rgb, &[0; 3]), ImageFormat::Png);
    let marked = |text: &str| {
        let text = serde_json::to_string(text).unwrap();
        decoded(&one(&black, &format!(r#"{{"type": "watermark", "text": {text}, "color": [255, 255, 255, 255]}}"#)))
            .data
    };
    let two = marked("one\ntwo");
    for text in ["one\r\ntwo", "one\rtwo", "one\u{2028}two", "one\u{2029}two", "one\u{85}two"] {
        assert!(marked(text) == two, "{text:?}");
    }
    assert!(marked("one\n\ntwo") == marked("one\r\n\r\ntwo"));
    assert!(marked("one two") != two);
    assert!(marked("a\tb") == marked("a    b"));
    let error = parse(r#"[{"type": "watermark", "text": "a\u0007b"}]"#, &Limits::default()).unwrap_err();
    assert!(error.detail.contains("operations[0].text: holds the control character U+0007"), "{error}");
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
    let error = parse(&json, &Limits::default()).unwrap_err();
    assert_eq!(error.code, crate::Code::MissingGlyph);
    assert!(error.detail.starts_with("operations[1].operations[2].text: no font has 😀"), "{error}");
    // As a worker with other fonts than the service's finds it, from what was parsed there.
    let mut operations = parse(&json.replace('😀', "x"), &Limits::default()).unwrap();
    let Action::Pipeline(Pipeline { operations: steps }) = &mut operations[1].action else { panic!("{operations:?}") };
    steps[2] = Action::Watermark(Watermark::new("😀"));
    // Cut short: decoding would be refused for that.
    let error = run(&source[..source.len() - 40], &operations).unwrap_err();
    assert_eq!(error.code, crate::Code::MissingGlyph);
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

/// GIF's alpha is all or nothing, so that a mark of less than half opacity vanished over what is clear, and one of half lost
/// the edges of its letters.
#[test]
fn half_transparent_mark_is_legible_on_a_gif_that_is_clear() {
    let still = samples::with_alpha(&samples::quarters(200, 100), |x, _| if x < 100 { 0 } else { 255 });
    let frames = samples::file_of_frames(&still);
    let still = samples::file(&still, ImageFormat::Gif);
    for source in [&still, &frames] {
        let made = |opacity: f32| {
            let mark = format!(
                r#"{{"type":"watermark","text":"Site","color":[9,200,9],"position":"left","opacity":{opacity}}}"#
            );
            let output = one(source, &mark);
            let picture = decoded(&output).into_colour();
            assert_eq!(picture.channels, Channels::Rgba);
            picture.rgba().to_vec()
        };
        let (solid, plain) = (made(1.0), made(0.0));
        let shows = |pixels: &[[u8; 4]]| pixels.iter().map(|pixel| pixel[3] != 0).collect::<Vec<_>>();
        let ink = shows(&solid).iter().zip(shows(&plain)).filter(|(solid, plain)| *solid != plain).count();
        assert!(ink > 200, "{ink} pixels of the mark");
        for opacity in [0.1, 0.3, 0.5, 0.8] {
            let marked = made(opacity);
            assert_eq!(shows(&marked), shows(&solid), "opacity {opacity}");
            for (marked, plain) in marked.iter().zip(&plain).filter(|(marked, plain)| marked[3] != plain[3]) {
                assert!(marked[1].abs_diff(200) < 20 && plain[3] == 0, "opacity {opacity}: {marked:?}");
            }
        }
    }
    // Formats with soft alpha keep the mark's own.
    let mark = r#"{"type":"watermark","text":"Site","color":[9,200,9],"position":"left","opacity":0.3,"format":"png"}"#;
    let soft = one(&still, mark);
    let strongest = decoded(&soft).rgba().chunks(200).flat_map(|row| &row[..100]).map(|pixel| pixel[3]).max();
    assert!(strongest.is_some_and(|alpha| (70..=80).contains(&alpha)), "{strongest:?}");
}
