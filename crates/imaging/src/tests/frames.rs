//! Whole jobs whose sizes are known late, or taken as the picture is stored; and what `info` answers.

use super::*;
use crate::{Code, estimate};

/// White, with a dark rectangle of 60×40 at 100,50.
fn shot() -> Vec<u8> {
    let mut picture = Raster::filled(300, 200, crate::raster::Channels::Rgb, &[255, 255, 255]);
    for y in 50..90 {
        picture.data[(y * 300 + 100) * 3..][..60 * 3].fill(40);
    }
    samples::file(&picture, image::ImageFormat::Png)
}

#[test]
fn what_follows_a_trim_is_measured_by_what_is_left() {
    for (steps, size) in [
        (r#"{"type":"trim"},{"type":"resize","width":120}"#, (120, 80)),
        (r#"{"type":"trim"},{"type":"pad","aspect":"1:1"}"#, (60, 60)),
        (r#"{"type":"trim"},{"type":"rotate","angle":90},{"type":"flip"}"#, (40, 60)),
        (r#"{"type":"trim"},{"type":"crop","width":1000,"height":10},{"type":"watermark","text":"x"}"#, (60, 10)),
        (r#"{"type":"trim"},{"type":"thumbnail","size":[30,30]},{"type":"invert"}"#, (30, 20)),
        (r#"{"type":"trim"},{"type":"resize","width":50,"height":50,"fit":"cover"},{"type":"flop"}"#, (50, 50)),
    ] {
        let output = one(&shot(), &format!(r#"{{"type":"pipeline","operations":[{steps}]}}"#));
        assert_eq!((output.width, output.height), size, "{steps}");
        let middle = decoded(&output);
        let at = (size.1 / 2 * size.0 + size.0 / 2) as usize * middle.channels.count();
        let dark = middle.data[at] < 60;
        assert_eq!(dark, !steps.contains("invert"), "{steps}");
    }
}

#[test]
fn limits_hold_for_sizes_that_only_the_pixels_decide() {
    // A line of 200x1 is left: 8 wide it is too small, 16384 high much too wide.
    let mut picture = Raster::filled(300, 20, crate::raster::Channels::Gray, &[255]);
    picture.data[300 * 10 + 50..][..200].fill(0);
    let source = samples::file(&picture, image::ImageFormat::Png);
    let json = r#"[{"type":"pipeline","operations":[{"type":"trim"},{"type":"resize","height":100}]}]"#;
    let operations = parse(json, &Limits::default()).unwrap();
    let error = run(&source, &operations).unwrap_err();
    assert_eq!(error.code, Code::OutputTooLarge);
    assert!(
        error.detail.contains("operations[0].operations[1]: 20000x100 exceeds limits.max_output_side (16384)"),
        "{error}"
    );
    let header = probe(Cursor::new(&source), &Limits::default()).unwrap();
    assert!(estimate(0, &header, &operations, &Limits::default()) >= 16_384 * 100 * 4);
}

#[test]
fn crop_outside_of_the_picture_is_refused_by_name() {
    let operations = parse(r#"[{"type":"crop","left":300,"top":0,"width":1,"height":1}]"#, &Limits::default()).unwrap();
    let error = run(&shot(), &operations).unwrap_err();
    assert_eq!(error.code, Code::InvalidOperation);
    assert_eq!(error.detail, "operations[0]: a box from 300,0 lies outside of a picture of 300x200");
}

#[test]
fn pictures_can_be_taken_as_they_are_stored() {
    let picture = samples::quarters(64, 48);
    for orientation in 1..=8 {
        let stored = samples::as_stored(&picture, orientation);
        let source = samples::turned_jpeg(&stored, orientation);
        for json in [
            r#"{"type":"convert","format":"png","auto_orient":false}"#,
            r#"{"type":"flip","format":"png","auto_orient":false}"#,
        ] {
            let mut expected = stored.clone();
            if json.contains("flip") {
                expected = expected.oriented(4);
            }
            let made = decoded(&one(&source, json));
            assert_eq!(made.size(), expected.size(), "{orientation}");
            let off = made.data.iter().zip(&expected.data).filter(|(a, b)| a.abs_diff(**b) > 60).count();
            assert!(off < made.data.len() / 20, "{orientation} {json}: {off} of {}", made.data.len());
        }
    }
}

#[test]
fn jpegs_take_all_operations_whichever_way_they_are_decoded() {
    let source = samples::jpeg(&samples::photo(640, 480), 90);
    let json = r#"[{"type":"blur"},{"type":"pipeline","operations":[{"type":"resize","width":200},{"type":"sharpen"},
            {"type":"round","radius":20,"background":[255,255,255]}]},
        {"type":"resize","width":100,"linear":true},{"type":"rotate","angle":90},{"type":"rotate","angle":12},
        {"type":"crop","aspect":"1:1","gravity":"smart"},{"type":"grayscale"},
        {"type":"thumbnail","size":[50,50],"fit":"cover"},{"type":"round","radius":"circle"}]"#;
    let operations = parse(json, &Limits::default()).unwrap();
    let sizes: Vec<_> = run(&source, &operations).unwrap().iter().map(|o| (decoded(o).size(), o.format)).collect();
    let expected =
        [(640, 480), (200, 150), (100, 75), (480, 640), (726, 603), (480, 480), (640, 480), (50, 50), (480, 480)];
    assert_eq!(sizes, expected.map(|size| (size, Format::Jpeg)));
}

#[test]
fn info_tells_of_the_upright_picture() {
    let source = samples::turned_jpeg(&samples::quarters(640, 480), 6);
    let info = info(&source, r#"{"type":"info","colors":4}"#);
    assert_eq!((info.format, info.width, info.height, info.orientation), (Format::Jpeg, 480, 640, 6));
    assert!(!info.has_alpha && !info.grayscale && info.profile.is_none());
    assert_eq!(info.colors.len(), 4);
    assert!(info.colors.iter().all(|shade| (shade.share - 0.25).abs() < 0.02), "{:?}", info.colors);
    assert_eq!((info.blurhash.len(), info.phash.len()), (28, 16));
    // It comes with pictures, and alone, from the same pixels.
    let together = parse(r#"[{"type":"resize","width":400},{"type":"info","colors":4}]"#, &Limits::default()).unwrap();
    let Made::Info(again) = made(&source, &together).unwrap().remove(1) else { panic!("no answer") };
    assert_eq!((again.width, again.colors.len()), (480, 4));
}

#[test]
fn info_of_the_smallest_and_of_clear_pictures() {
    let tiny = Raster::filled(1, 1, crate::raster::Channels::Gray, &[7]);
    let answer = info(&samples::file(&tiny, image::ImageFormat::Png), r#"{"type":"info"}"#);
    assert_eq!((answer.width, answer.grayscale, answer.average.as_str()), (1, true, "#070707"));
    let clear = samples::with_alpha(&samples::quarters(20, 20), |_, _| 0);
    let answer = info(&samples::file(&clear, image::ImageFormat::Png), r#"{"type":"info"}"#);
    assert!(answer.has_alpha && answer.colors.is_empty());
}

#[test]
fn info_reads_the_cameras_words() {
    let block = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x0f\0\x02\0\0\0\x04abc\0\0\0\0\0";
    let mut source = samples::jpeg(&samples::quarters(32, 32), 90);
    let segment = [&[0xff, 0xe1, 0, block.len() as u8 + 2][..], block].concat();
    source.splice(2..2, segment);
    let exif = info(&source, r#"{"type":"info"}"#).exif.unwrap();
    assert_eq!((exif.make.as_deref(), exif.gps), (Some("abc"), None));
}

#[test]
fn background_that_is_not_drawn_is_named() {
    let clear = samples::with_alpha(&samples::quarters(40, 30), |x, _| if x < 20 { 0 } else { 255 });
    let opaque = samples::file(&samples::quarters(40, 30), image::ImageFormat::Png);
    let source = samples::file(&clear, image::ImageFormat::Png);
    let said = |source: &[u8], json: &str| one(source, json).warnings;
    for json in [
        r#"{"type":"resize","width":20,"background":[255,255,255]}"#,
        r#"{"type":"thumbnail","size":[20,20],"background":[255,255,255],"format":"jpeg"}"#,
    ] {
        let warnings = said(&source, json);
        assert_eq!(warnings.len(), 1, "{json}: {warnings:?}");
        assert!(warnings[0].starts_with("not-followed: operations[0].background: "), "{warnings:?}");
        assert!(said(&opaque, json).is_empty(), "{json}");
    }
    for json in [
        r#"{"type":"resize","width":20,"height":20,"fit":"contain","background":[255,255,255]}"#,
        r#"{"type":"resize","width":20}"#,
        r#"{"type":"pipeline","operations":[{"type":"resize","width":20,"background":[1,2,3]},{"type":"flatten"}]}"#,
    ] {
        assert!(said(&source, json).is_empty(), "{json}");
    }
    let nested =
        r#"{"type":"pipeline","operations":[{"type":"flip"},{"type":"resize","width":20,"background":[1,2,3]}]}"#;
    assert!(said(&source, nested)[0].starts_with("not-followed: operations[0].operations[1].background: "));
    let moving = one(&samples::file_of_frames(&clear), r#"{"type":"resize","width":20,"background":[1,2,3]}"#);
    assert_eq!(moving.warnings.len(), 1, "{:?}", moving.warnings);
}
