//! What comes out: sizes, formats, colours and how alike two ways to the same picture are.

use image::ImageFormat;

use super::samples::{self, QUARTERS};
use super::*;
use crate::operation::{Quality, Watermark, defaults};
use crate::raster::Channels;

/// Holds the four quarters' centres against the expected colours.
pub(super) fn assert_quarters(picture: &Raster, tolerance: u8) {
    let count = picture.channels.count();
    let (w, h) = (picture.width, picture.height);
    let centres = [(w / 4, h / 4), (3 * w / 4, h / 4), (w / 4, 3 * h / 4), (3 * w / 4, 3 * h / 4)];
    for ((x, y), wanted) in centres.into_iter().zip(QUARTERS) {
        let at = (y * w + x) as usize * count;
        let got = &picture.data[at..at + 3];
        let close = got.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) <= tolerance);
        assert!(close, "{got:?} at {x},{y}, wanted {wanted:?}");
    }
}

/// Peak signal to noise, in decibels.
pub(super) fn psnr(a: &Raster, b: &Raster) -> f64 {
    assert_eq!((a.width, a.height, a.channels), (b.width, b.height, b.channels));
    let squares: f64 = a.data.iter().zip(&b.data).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    10.0 * (255.0 * 255.0 * a.data.len() as f64 / squares).log10()
}

#[test]
fn defaults_yield_three_jpegs() {
    let source = samples::jpeg(&samples::photo(1000, 700), 90);
    let outputs = run(&source, &defaults()).unwrap();
    let sizes: Vec<_> = outputs.iter().map(|o| (o.format, o.width, o.height)).collect();
    let jpeg = Format::Jpeg;
    assert_eq!(sizes, [(jpeg, 800, 600), (jpeg, 150, 105), (jpeg, 1000, 700)]);
    for output in &outputs {
        decoded(output);
    }
}

#[test]
fn every_format_is_read_with_its_colours() {
    let picture = samples::quarters(64, 48);
    let mut sources = vec![samples::jpeg(&picture, 95)];
    for format in [ImageFormat::Png, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP] {
        sources.push(samples::file(&picture, format));
    }
    for source in sources {
        let output = run(&source, &[png(fill(32, 32))]).unwrap().remove(0);
        assert_quarters(&decoded(&output), 4);
    }
}

#[test]
fn every_orientation_stands_upright() {
    let picture = samples::quarters(64, 48);
    for orientation in 1..=8 {
        let source = samples::turned_jpeg(&samples::as_stored(&picture, orientation), orientation);
        let output = run(&source, &[png(fill(64, 48))]).unwrap().remove(0);
        assert_quarters(&decoded(&output), 12);
        let output = run(&source, &[png(thumbnail(32))]).unwrap().remove(0);
        assert_eq!((output.width, output.height), (32, 24), "orientation {orientation}");
        assert_quarters(&decoded(&output), 12);
    }
}

#[test]
fn every_format_is_written_with_its_colours() {
    let source = samples::file(&samples::quarters(64, 64), ImageFormat::Png);
    for (name, format) in [("jpeg", Format::Jpeg), ("png", Format::Png), ("webp", Format::WebP)] {
        let output = one(&source, &format!(r#"{{"type":"convert","format":"{name}","quality":90}}"#));
        assert_eq!(output.format, format);
        assert_quarters(&decoded(&output), 12);
    }
}

#[test]
fn unset_format_follows_the_source_and_its_alpha() {
    let picture = samples::quarters(20, 20);
    let clear = samples::with_alpha(&picture, |x, _| if x < 10 { 0 } else { 255 });
    let resized = |source: &[u8]| run(source, &[fill(10, 10).into()]).unwrap().remove(0).format;
    assert_eq!(resized(&samples::jpeg(&picture, 90)), Format::Jpeg);
    assert_eq!(resized(&samples::file(&picture, ImageFormat::Png)), Format::Png);
    assert_eq!(resized(&samples::file(&clear, ImageFormat::WebP)), Format::WebP);
    assert_eq!(resized(&samples::file(&picture, ImageFormat::Bmp)), Format::Bmp);
    assert_eq!(resized(&samples::file(&clear, ImageFormat::Gif)), Format::Gif);
}

#[test]
fn alpha_survives_png_and_webp_and_is_white_in_jpeg() {
    let clear = samples::with_alpha(&samples::quarters(64, 64), |_, y| if y < 32 { 0 } else { 255 });
    let source = samples::file(&clear, ImageFormat::Png);
    for format in ["png", "webp"] {
        let output = one(&source, &format!(r#"{{"type":"convert","format":"{format}"}}"#));
        let picture = decoded(&output);
        assert_eq!(picture.channels, Channels::Rgba);
        assert_eq!((picture.data[3], *picture.data.last().unwrap()), (0, 255), "{format}");
    }
    let output = one(&source, r#"{"type":"convert","format":"jpg","quality":95}"#);
    let picture = decoded(&output);
    assert!(picture.data[..3].iter().all(|&v| v > 250));
}

fn tables(jpeg: &[u8]) -> [Option<[u16; 64]>; 4] {
    codec::inspect(Cursor::new(jpeg), &Limits::default()).unwrap().jpeg.unwrap().quant_tables
}

#[test]
fn unusual_tables_are_kept_too() {
    use libjpeg_turbo_rs::{Encoder, PixelFormat};
    let picture = samples::photo(320, 240);
    let table = std::array::from_fn(|i| 2 + i as u16 / 4);
    let encoder = Encoder::new(&picture.data, 320, 240, PixelFormat::Rgb);
    let source = encoder.quant_table(0, table).quant_table(1, table).encode().unwrap();
    let output = run(&source, &[Action::Convert.into()]).unwrap().remove(0);
    assert_eq!(tables(&output.data), tables(&source));
    let noise = psnr(&decoded(&run(&source, &[png(Action::Convert)]).unwrap()[0]), &decoded(&output));
    assert!(noise > 40.0, "{noise} dB");
}

#[test]
fn unset_quality_keeps_a_jpegs_tables() {
    let picture = samples::photo(320, 240);
    for quality in [30, 95] {
        let source = samples::jpeg(&picture, quality);
        let output = run(&source, &[Action::Convert.into()]).unwrap().remove(0);
        // The same coefficients, with Huffman codes made for them; other tables would cost or save far more.
        let ratio = output.data.len() as f64 / source.len() as f64;
        assert!((0.8..1.01).contains(&ratio), "{ratio}");
        let turned = run(&samples::turned_jpeg(&picture, 6), &[Action::Convert.into()]).unwrap().remove(0);
        // Turned without loss, their rows are columns.
        let sorted = |file: &[u8]| tables(file).map(|table| table.map(|mut table| (table.sort_unstable(), table).1));
        assert_eq!(sorted(&turned.data), sorted(&samples::jpeg(&picture, 94)));
        assert_eq!(tables(&output.data), tables(&source));
        let before = run(&source, &[png(Action::Convert)]).unwrap().remove(0);
        let noise = psnr(&decoded(&before), &decoded(&output));
        assert!(noise > 40.0, "{noise} dB");
    }
}

#[test]
fn pipeline_chains_into_one_output() {
    let source = samples::jpeg(&samples::photo(640, 480), 90);
    let output = one(
        &source,
        r#"{"type":"pipeline","operations":[{"type":"resize","width":200},
            {"type":"watermark","text":"©"},{"type":"convert","format":"webp"}]}"#,
    );
    assert_eq!((output.format, output.width, output.height), (Format::WebP, 200, 150));
}

#[test]
fn thumbnail_from_an_intermediate_looks_the_same() {
    let source = samples::jpeg(&samples::photo(1600, 1200), 90);
    let alone = run(&source, &[png(fill(800, 600)), png(thumbnail(150))]).unwrap().remove(1);
    let full = run(&source, &[png(Action::Convert), png(thumbnail(150))]).unwrap().remove(1);
    let (alone, full) = (decoded(&alone), decoded(&full));
    assert!(psnr(&alone, &full) > 40.0, "{}", psnr(&alone, &full));
}

#[test]
fn reduced_decode_looks_the_same() {
    let source = samples::jpeg(&samples::photo(1600, 1200), 90);
    let reduced = run(&source, &[png(thumbnail(150))]).unwrap().remove(0);
    let full = run(&source, &[png(Action::Convert), png(thumbnail(150))]).unwrap().remove(1);
    assert!(psnr(&decoded(&reduced), &decoded(&full)) > 38.0);
}

#[test]
fn metadata_is_left_behind() {
    let mut source = samples::turned_jpeg(&samples::quarters(32, 32), 6);
    source.extend(b"SECRET after the end");
    let comment = [&[0xff, 0xfe, 0, 8][..], b"SECRET"].concat();
    source.splice(2..2, comment);
    for format in ["jpeg", "png", "webp"] {
        let output = one(&source, &format!(r#"{{"type":"convert","format":"{format}"}}"#));
        for word in [&b"SECRET"[..], b"Exif"] {
            assert!(!output.data.windows(word.len()).any(|part| part == word), "{format}");
        }
    }
}

#[test]
fn all_ways_look_the_same() {
    for (width, height) in [(1600, 1200), (801, 603)] {
        let source = samples::jpeg(&samples::photo(width, height), 90);
        let operations = parse(
            r#"[{"type":"resize","width":400,"height":300,"quality":90},
                {"type":"thumbnail","size":[151,151],"quality":90},
                {"type":"resize","width":301,"height":303,"fit":"cover","gravity":"right","quality":90},
                {"type":"watermark","text":"MySite","quality":90},
                {"type":"watermark","text":"MySite","quality":90,"color":[255,0,0,200],"position":"left"},
                {"type":"pipeline","quality":90,"operations":[{"type":"resize","width":333},
                    {"type":"watermark","text":"MySite","position":"top"}]}]"#,
            &Limits::default(),
        )
        .unwrap();
        let pixels = one_way(&source, &operations, None);
        for route in [Route::Coefficients { shrink: 1 }, Route::Coefficients { shrink: 2 }, Route::Planes] {
            let short = one_way(&source, &operations, Some(route));
            assert_eq!(short.len(), operations.len());
            for (i, (short, pixels)) in short.iter().zip(&pixels).enumerate() {
                let noise = psnr(&decoded(short), &decoded(pixels));
                assert!(noise > 36.0, "{route:?}, output {i}: {noise} dB");
                let ratio = short.data.len() as f64 / pixels.data.len() as f64;
                assert!((0.93..1.07).contains(&ratio), "{route:?}, output {i}: {ratio}");
            }
        }
    }
}

#[test]
fn without_a_quality_only_the_blocks_under_a_mark_change() {
    use libjpeg_turbo_rs::read_coefficients;
    for (width, height) in [(640, 480), (333, 251)] {
        let source = samples::jpeg(&samples::photo(width, height), 90);
        let output = one(&source, r#"{"type":"watermark","text":"MySite","position":"bottom-right"}"#);
        assert_eq!(tables(&output.data), tables(&source));
        let (before, after) = (read_coefficients(&source).unwrap(), read_coefficients(&output.data).unwrap());
        for (before, after) in before.components.iter().zip(&after.components) {
            let different: Vec<usize> = before
                .blocks
                .iter()
                .zip(&after.blocks)
                .enumerate()
                .filter_map(|(i, (before, after))| (before != after).then_some(i))
                .collect();
            assert!(!different.is_empty());
            // A mark of some 130 by 40 pixels in the corner.
            let (columns, rows) = (before.blocks_x, before.blocks_y);
            let corner = |i: &usize| i % columns >= columns.saturating_sub(23) && i / columns >= rows.saturating_sub(8);
            assert!(different.iter().all(corner), "{different:?} of {columns} × {rows}");
        }
        let marked = one(&source, r#"{"type":"watermark","text":"MySite","format":"png"}"#);
        let noise = psnr(&decoded(&marked), &decoded(&output));
        assert!(noise > 42.0, "{noise} dB");
        assert!(output.data.len() < source.len() * 102 / 100);
    }
}

#[test]
fn a_jpeg_that_is_only_converted_stays_bit_for_bit_the_same_picture() {
    let source = samples::jpeg(&samples::photo(333, 251), 77);
    let output = run(&source, &[Action::Convert.into()]).unwrap().remove(0);
    let same = |file: &[u8]| {
        codec::decode_eight(
            file,
            &codec::inspect(Cursor::new(file), &Limits::default()).unwrap(),
            1,
            &Limits::default(),
        )
        .unwrap()
    };
    assert!(same(&source) == same(&output.data) && output.data.len() <= source.len());
}

#[test]
fn a_jpeg_is_turned_upright_without_loss() {
    let picture = samples::photo(320, 240);
    for orientation in 2..=8 {
        let source = samples::turned_jpeg(&samples::as_stored(&picture, orientation), orientation);
        assert_eq!(route(&source, &[Action::Convert.into()]), Some(Route::Coefficients { shrink: 8 }));
        let output = run(&source, &[Action::Convert.into()]).unwrap().remove(0);
        let noise = psnr(&decoded(&run(&source, &[png(Action::Convert)]).unwrap()[0]), &decoded(&output));
        assert!(noise > 50.0, "orientation {orientation}: {noise} dB");
    }
    // 333 is no multiple of a block: reversed, the last block would have to come first.
    let picture = samples::photo(333, 240);
    let source = samples::turned_jpeg(&samples::as_stored(&picture, 2), 2);
    assert_ne!(route(&source, &[Action::Convert.into()]), Some(Route::Coefficients { shrink: 8 }));
    assert_eq!(decoded(&run(&source, &[Action::Convert.into()]).unwrap()[0]).size(), (333, 240));
}

#[test]
fn everyday_jobs_take_the_shortest_way() {
    let source = samples::jpeg(&samples::photo(1600, 1200), 90);
    let shrink = |json: &str| route(&source, &parse(&format!("[{json}]"), &Limits::default()).unwrap());
    let mark = r#"{"type":"watermark","text":"x"}"#;
    let coefficients = |shrink| Some(Route::Coefficients { shrink });
    assert_eq!(shrink(mark), coefficients(8));
    assert_eq!(shrink(&format!(r#"{mark}, {{"type":"resize","width":400,"quality":60}}"#)), coefficients(2));
    assert_eq!(shrink(r#"{"type":"thumbnail","size":[60,60]}"#), coefficients(8));
    assert_eq!(shrink(r#"{"type":"thumbnail","size":[130,130],"format":"webp"}"#), coefficients(4));
    assert_eq!(shrink(r#"{"type":"resize","width":1200}"#), coefficients(1));
    assert_eq!(shrink(r#"{"type":"resize","width":800,"fit":"contain","height":800}"#), None);
}

#[test]
fn turned_jpegs_take_the_short_way_too() {
    let picture = samples::quarters(640, 480);
    let operations = parse(
        r#"[{"type":"resize","width":320,"height":240,"quality":90},
            {"type":"watermark","text":"x","quality":90},
            {"type":"resize","width":400,"format":"png"},
            {"type":"resize","width":200,"height":200,"fit":"cover","format":"webp"}]"#,
        &Limits::default(),
    )
    .unwrap();
    for orientation in 1..=8 {
        let source = samples::turned_jpeg(&samples::as_stored(&picture, orientation), orientation);
        for output in one_way(&source, &operations, Some(Route::Planes)) {
            assert_quarters(&decoded(&output), 12);
        }
        for shrink in [1, 2] {
            for output in one_way(&source, &operations, Some(Route::Coefficients { shrink })) {
                assert_quarters(&decoded(&output), 12);
            }
        }
    }
}

#[test]
fn less_subsampled_jpegs_take_the_short_way_too() {
    use libjpeg_turbo_rs::{Encoder, PixelFormat, Subsampling};
    let picture = samples::photo(801, 603);
    let mut marked = Operation::from(Action::Watermark(Watermark::new("MySite")));
    marked.save.quality = Some(Quality::Of(92));
    let operations = [fill(402, 301).into(), png(fill(402, 301)), marked];
    for sampling in [Subsampling::S444, Subsampling::S422, Subsampling::S440] {
        let source =
            Encoder::new(&picture.data, 801, 603, PixelFormat::Rgb).quality(92).subsampling(sampling).encode().unwrap();
        let planes = one_way(&source, &operations, Some(Route::Planes));
        let pixels = one_way(&source, &operations, None);
        for (planes, pixels) in planes.iter().zip(&pixels) {
            let noise = psnr(&decoded(planes), &decoded(pixels));
            assert!(noise > 36.0, "{sampling:?}: {noise} dB");
        }
        // Their full-size outputs have coefficients of their own only where the tables are kept.
        let kept = [operations[0].clone(), Action::Watermark(Watermark::new("MySite")).into()];
        let route = route(&source, &kept).unwrap();
        assert_eq!(route, Route::Coefficients { shrink: 1 });
        let pixels = one_way(&source, &kept, None);
        for (short, pixels) in one_way(&source, &kept, Some(route)).iter().zip(&pixels) {
            let noise = psnr(&decoded(short), &decoded(pixels));
            assert!(noise > 36.0, "{sampling:?}: {noise} dB");
        }
    }
}

#[test]
fn fixtures_are_read_as_they_were_drawn() {
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let read = |name: &str| std::fs::read(fixtures.join(name)).unwrap();
    let mut names: Vec<String> = (1..=8).map(|i| format!("orientation-{i}.jpg")).collect();
    names.extend(["jpg", "webp", "gif", "bmp", "tiff"].map(|ext| format!("quarters.{ext}")));
    for name in names {
        let output = run(&read(&name), &[png(fill(96, 64))]).unwrap().remove(0);
        assert_quarters(&decoded(&output), 12);
    }
    let palette = decoded(&run(&read("palette.png"), &[png(Action::Convert)]).unwrap()[0]);
    assert_eq!(palette.data[..4], [255, 0, 0, 0]);
    assert_eq!(palette.data[palette.data.len() - 4..], [255; 4]);
    let alpha = decoded(&run(&read("alpha.png"), &[png(thumbnail(100))]).unwrap()[0]);
    assert!(alpha.data[3] == 0 && alpha.data[(50 * 100 + 50) * 4 + 3] == 200);
    let grey = run(&read("grey.jpg"), &[fill(30, 20).into()]).unwrap().remove(0);
    assert_eq!(decoded(&grey).channels, Channels::Gray);
}

#[test]
fn cmyk_is_read_with_adobes_inversion_with_and_without_its_marker() {
    use libjpeg_turbo_rs::{Encoder, PixelFormat};
    // Inverted ink without black is the light that is left.
    let inks: Vec<u8> = samples::quarters(64, 64).data.chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], 255]).collect();
    let source = Encoder::new(&inks, 64, 64, PixelFormat::Cmyk).quality(95).encode().unwrap();
    assert!(source.windows(5).any(|part| part == b"Adobe"), "the encoder marks CMYK as Adobe's");
    let output = run(&source, &[png(fill(32, 32))]).unwrap().remove(0);
    assert_quarters(&decoded(&output), 12);
    // Without Adobe's marker it is inverted all the same: Chromium shows it so.
    let marker = source.windows(2).position(|pair| pair == [0xff, 0xee]).unwrap();
    let bare = [&source[..marker], &source[marker + 16..]].concat();
    assert!(!bare.windows(5).any(|part| part == b"Adobe"));
    let output = run(&bare, &[png(fill(32, 32))]).unwrap().remove(0);
    assert_quarters(&decoded(&output), 12);
}

#[test]
fn nearest_is_made_of_the_sources_own_pixels_whatever_else_is_asked_for() {
    let picture = samples::photo(640, 480);
    for source in [samples::jpeg(&picture, 90), samples::file(&picture, image::ImageFormat::Png)] {
        let nearest = r#"{"type":"resize","width":80,"filter":"nearest","format":"png"}"#;
        let alone = one(&source, nearest);
        for beside in
            [r#"{"type":"resize","width":320}"#, r#"{"type":"blur"}"#, r#"{"type":"thumbnail","size":[20,20]}"#]
        {
            let operations = parse(&format!("[{beside},{nearest}]"), &Limits::default()).unwrap();
            assert_eq!(run(&source, &operations).unwrap()[1].data, alone.data, "beside {beside}");
        }
    }
}

#[test]
fn embedded_profiles_are_converted_to_srgb() {
    let mut info = png::Info::with_size(2, 2);
    info.color_type = png::ColorType::Rgb;
    info.icc_profile = Some(moxcms::ColorProfile::new_display_p3().encode().unwrap().into());
    let mut source = Vec::new();
    let encoder = png::Encoder::with_info(&mut source, info.clone()).unwrap();
    let mut writer = encoder.write_header().unwrap();
    // A green that sRGB can show, and a grey that no profile moves.
    writer.write_image_data(&[&[100, 180, 90].repeat(2)[..], &[128; 6]].concat()).unwrap();
    writer.finish().unwrap();
    let picture = decoded(&run(&source, &[png(Action::Convert)]).unwrap()[0]);
    let close =
        |at: usize, wanted: [u8; 3]| picture.data[at..at + 3].iter().zip(wanted).all(|(a, b)| a.abs_diff(b) <= 2);
    // The P3 matrix by hand: linear light, P3 to sRGB, back to the curve.
    assert!(close(0, [65, 182, 77]), "{:?}", &picture.data[..3]);
    assert!(close(6, [128; 3]), "{:?}", &picture.data[6..9]);
}
