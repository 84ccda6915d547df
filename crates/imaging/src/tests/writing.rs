//! How outputs are written: every format, quality in all its forms, and metadata.

use image::ImageFormat;

use super::outputs::{assert_quarters, psnr};
use super::samples;
use super::*;
use crate::raster::Channels;

const WRITTEN: [&str; 8] = ["jpeg", "png", "webp", "gif", "bmp", "tiff", "avif", "qoi"];

fn convert(source: &[u8], fields: &str) -> Output {
    one(source, &format!(r#"{{"type":"convert",{fields}}}"#))
}

fn facts(output: &Output) -> codec::Facts {
    codec::inspect(Cursor::new(&output.data), &Limits::default()).unwrap()
}

fn refused(source: &[u8], fields: &str) -> Error {
    let operations = parse(&format!(r#"[{{"type":"convert",{fields}}}]"#), &Limits::default()).unwrap();
    run(source, &operations).unwrap_err()
}

#[test]
fn every_format_holds_every_kind_of_picture() {
    let colour = samples::quarters(32, 24);
    let clear = samples::with_alpha(&colour, |x, _| if x < 16 { 255 } else { 0 });
    let grey =
        Raster { channels: Channels::Gray, data: (0..32 * 24).map(|i| (i / 4) as u8).collect(), ..colour.clone() };
    for format in WRITTEN {
        let fields = format!(r#""format":"{format}""#);
        let output = convert(&samples::file(&colour, ImageFormat::Png), &fields);
        assert_eq!((output.format.name(), output.width, output.height), (format, 32, 24));
        assert_quarters(&decoded(&output), 12);
        let output = convert(&samples::file(&clear, ImageFormat::Png), &fields);
        let picture = decoded(&output);
        if format == "jpeg" {
            assert!(picture.data[31 * 3..32 * 3].iter().all(|&v| v > 240), "white shows through in JPEG");
        } else {
            assert_eq!(picture.channels, Channels::Rgba, "{format}");
            assert!(picture.data[3] > 250 && picture.data[31 * 4 + 3] < 5, "{format}");
        }
        let output = convert(&samples::file(&grey, ImageFormat::Png), &fields);
        let picture = decoded(&output).into_colour();
        let close = picture.data.chunks(3).zip(&grey.data).all(|(p, &v)| p.iter().all(|c| c.abs_diff(v) <= 12));
        assert!(close, "grey in {format}");
    }
}

#[test]
fn every_operation_goes_with_every_format() {
    let clear = samples::with_alpha(&samples::photo(24, 20), |x, y| if x + y < 9 { 90 } else { 255 });
    let sources = [samples::jpeg(&samples::photo(24, 20), 90), samples::file(&clear, ImageFormat::Png)];
    let operations = [
        r#""type":"resize","width":12"#,
        r#""type":"resize","width":30,"height":30,"fit":"contain""#,
        r#""type":"thumbnail","size":[10,10]"#,
        r#""type":"watermark","text":"x","size":8"#,
        r#""type":"crop","width":9,"height":7"#,
        r#""type":"rotate","angle":90"#,
        r#""type":"rotate","angle":30"#,
        r#""type":"flip""#,
        r#""type":"pad","left":3"#,
        r#""type":"trim""#,
        r#""type":"round","radius":4"#,
        r#""type":"blur","sigma":1"#,
        r#""type":"grayscale""#,
        r#""type":"invert""#,
        r#""type":"pixelate","size":4"#,
    ];
    for source in &sources {
        for operation in operations {
            for format in WRITTEN {
                let output = one(source, &format!(r#"{{{operation},"format":"{format}"}}"#));
                assert_eq!(output.format.name(), format);
                assert_eq!(decoded(&output).size(), (output.width, output.height), "{operation} to {format}");
            }
        }
    }
}

#[test]
fn lossless_formats_lose_nothing() {
    let clear = samples::with_alpha(&samples::photo(40, 30), |x, y| (x * 6 + y) as u8);
    let source = samples::file(&clear, ImageFormat::Png);
    for fields in [
        r#""format":"png""#,
        r#""format":"png","effort":1"#,
        r#""format":"png","effort":7"#,
        r#""format":"png","effort":10"#,
        r#""format":"tiff""#,
        r#""format":"tiff","effort":9"#,
        r#""format":"bmp""#,
        r#""format":"qoi","lossless":true"#,
        r#""format":"webp","lossless":true"#,
        r#""format":"webp","lossless":true,"effort":8"#,
    ] {
        assert_eq!(decoded(&convert(&source, fields)), clear, "{fields}");
    }
    // Not in smaller pictures, which libwebp leaves as they are.
    let picture = samples::photo(80, 80);
    let source = samples::file(&picture, ImageFormat::Png);
    let noise = psnr(&picture, &decoded(&convert(&source, r#""format":"webp","lossless":true,"quality":40"#)));
    assert!((30.0..90.0).contains(&noise), "near-lossless: {noise} dB");
}

#[test]
fn few_colors_become_a_palette_and_stay_as_they_are() {
    let picture = samples::with_alpha(&samples::quarters(200, 150), |x, _| if x < 20 { 77 } else { 255 });
    let output = convert(&samples::file(&picture, ImageFormat::Bmp), r#""format":"png""#);
    let source = samples::file(&picture, ImageFormat::Png);
    let exact = convert(&source, r#""format":"png""#);
    assert_eq!(decoded(&exact), picture);
    // Colour type 3, four bits a pixel.
    assert_eq!(exact.data[24..26], [4, 3], "{} bytes", exact.data.len());
    assert!(exact.data.len() < 1000 && output.data.len() < 1000);
}

#[test]
fn lower_quality_makes_smaller_files() {
    let source = samples::file(&samples::photo(160, 120), ImageFormat::Png);
    for format in ["jpeg", "webp", "png", "gif", "avif"] {
        let sizes: Vec<usize> = [15, 45, 75, 93]
            .iter()
            .map(|quality| convert(&source, &format!(r#""format":"{format}","quality":{quality}"#)).data.len())
            .collect();
        assert!(sizes.is_sorted_by(|a, b| a < b), "{format}: {sizes:?}");
    }
}

#[test]
fn max_bytes_is_kept_or_refused() {
    let source = samples::file(&samples::photo(200, 150), ImageFormat::Png);
    for (format, limit) in [("jpeg", 4000), ("webp", 3000), ("png", 16_000), ("gif", 20_000)] {
        let free = convert(&source, &format!(r#""format":"{format}""#)).data.len();
        let kept = convert(&source, &format!(r#""format":"{format}","max_bytes":{limit}"#)).data.len();
        assert!(kept <= limit && free > limit, "{format}: {free} to {kept}");
        assert!(kept > limit / 2, "{format} gives up more than it must: {kept} of {limit}");
        let error = refused(&source, &format!(r#""format":"{format}","max_bytes":50"#));
        assert_eq!(error.code, crate::Code::OutputTooLarge);
        assert!(
            error.detail.contains("operations[0].max_bytes: the") && error.detail.contains("of quality 1"),
            "{error}"
        );
    }
    let error = refused(&source, r#""format":"webp","lossless":true,"max_bytes":3000"#);
    assert!(error.detail.contains("more than 3000"), "{error}");
    let enough = convert(&source, r#""format":"jpeg","max_bytes":1000000"#);
    assert_eq!(enough.data, convert(&source, r#""format":"jpeg""#).data);
}

#[test]
fn max_bytes_is_searched_from_all_the_colours_down() {
    let source = samples::file(&samples::photo(200, 150), ImageFormat::Png);
    let of = |fields: &str| convert(&source, &format!(r#""format":"gif",{fields}"#)).data.len();
    let most = of(r#""quality":97"#);
    let found = of(&format!(r#""max_bytes":{most}"#));
    assert!(found > of(r#""quality":90"#) && found <= most, "{found} of {most}");
}

#[test]
fn gifs_keep_their_colors_where_the_format_is_open() {
    let source = samples::file(&samples::photo(80, 60), ImageFormat::Png);
    let gif = convert(&source, r#""format":"gif""#).data;
    let advised = one(&gif, r#"{"type":"resize","width":40,"quality":30}"#);
    assert_eq!(advised.format, Format::Gif);
    assert_eq!(advised.data, one(&gif, r#"{"type":"resize","width":40}"#).data);
    assert!(one(&gif, r#"{"type":"resize","width":40,"quality":30,"format":"gif"}"#).data.len() < advised.data.len());
}

#[test]
fn grey_of_few_levels_takes_few_bits() {
    // The colour type and depth in the header: 0 is grey, 3 a palette.
    for (levels, header) in [
        (&[0, 255][..], [1, 0]),
        (&[0, 85, 170, 255], [2, 0]),
        (&[0, 17, 255], [4, 0]),
        (&[7, 90, 200], [2, 3]),
        (&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16], [4, 3]),
        (&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17], [8, 0]),
    ] {
        let data: Vec<u8> = (0..53 * 21).map(|i| levels[i * 7 % levels.len()]).collect();
        let picture = Raster { width: 53, height: 21, channels: Channels::Gray, data };
        let output = convert(&samples::file(&picture, ImageFormat::Tiff), r#""format":"png""#);
        assert_eq!(output.data[24..26], header, "{levels:?}");
        assert_eq!(decoded(&output).into_colour(), picture.into_colour(), "{levels:?}");
    }
}

#[test]
fn automatic_quality_keeps_strong_colors_sharp() {
    // Red lettering: bars a pixel wide, a few apart.
    let data = (0..160 * 120).flat_map(|at| {
        let (x, y) = (at % 160, at / 160);
        if x % 5 == 0 && y / 8 % 2 == 0 { [200, 0, 0] } else { [255; 3] }
    });
    let picture = Raster { width: 160, height: 120, channels: Channels::Rgb, data: data.collect() };
    let output = convert(&samples::file(&picture, ImageFormat::Png), r#""format":"jpeg","quality":"auto""#);
    assert_eq!(facts(&output).jpeg.unwrap().sampling(), Some((1, 1)));
    let red = decoded(&output).data[(3 * 160 + 75) * 3..][..3].to_vec();
    assert!(red[0] > 170 && red[1] < 50, "{red:?}");
}

#[test]
fn automatic_quality_follows_the_picture() {
    let smooth = samples::file(&Raster::filled(300, 200, Channels::Rgb, &[90, 120, 150]), ImageFormat::Png);
    let photo = samples::file(&samples::photo(300, 200), ImageFormat::Png);
    for format in ["jpeg", "webp"] {
        let at = |source: &[u8], quality: &str| {
            convert(source, &format!(r#""format":"{format}","quality":{quality}"#)).data.len()
        };
        // Of next to nothing, the quality decides but a few bytes.
        assert!(at(&smooth, "\"auto\"") <= at(&smooth, "82") + 16, "{format}");
        let (low, auto, high) = (at(&photo, "59"), at(&photo, "\"auto\""), at(&photo, "96"));
        assert!(low < auto && auto < high, "{format}: {low} {auto} {high}");
    }
}

#[test]
fn jpegs_are_coded_as_asked() {
    let source = samples::file(&samples::photo(160, 120), ImageFormat::Png);
    let jpeg = |fields: &str| convert(&source, &format!(r#""format":"jpeg"{fields}"#));
    let sampling = |output: &Output| facts(output).jpeg.unwrap().sampling();
    let usual = jpeg("");
    assert!(!facts(&usual).jpeg.unwrap().progressive);
    assert_eq!(sampling(&usual), Some((2, 2)));
    let progressive = jpeg(r#","progressive":true"#);
    assert!(facts(&progressive).jpeg.unwrap().progressive);
    assert_eq!(decoded(&progressive), decoded(&usual));
    let optimised = jpeg(r#","effort":7"#);
    assert!(optimised.data.len() < usual.data.len());
    assert_eq!(decoded(&optimised), decoded(&usual));
    assert_eq!(sampling(&jpeg(r#","quality":95"#)), Some((1, 1)));
    assert_eq!(sampling(&jpeg(r#","quality":95,"subsampling":"4:2:0""#)), Some((2, 2)));
    assert_eq!(sampling(&jpeg(r#","subsampling":"4:2:2""#)), Some((2, 1)));
    assert_eq!(sampling(&jpeg(r#","subsampling":"4:4:4""#)), Some((1, 1)));
}

#[test]
fn advice_for_an_open_format_is_followed_where_it_can_be() {
    let picture = samples::photo(64, 48);
    let (jpeg, png) = (samples::jpeg(&picture, 90), samples::file(&picture, ImageFormat::Png));
    let fields = r#""type":"resize","width":32,"quality":30,"progressive":true,"subsampling":"4:4:4","effort":9"#;
    let from_jpeg = one(&jpeg, &format!("{{{fields}}}"));
    assert!(facts(&from_jpeg).jpeg.unwrap().progressive);
    let from_png = one(&png, &format!("{{{fields}}}"));
    // Not a palette: a number for JPEGs says nothing of a PNG's colours.
    assert_eq!((from_png.format, from_png.data[25]), (Format::Png, 2));
}

#[test]
fn sides_are_held_against_the_format_before_the_work() {
    let limits = Limits { max_output_side: 70_000, max_side: 131_072, ..Limits::default() };
    let source = samples::file(&Raster::filled(1, 1, Channels::Gray, &[7]), ImageFormat::Png);
    for (format, side, said) in
        [("webp", 16_384, "WebP's 16383"), ("jpeg", 65_501, "JPEG's 65500"), ("gif", 65_536, "GIF's 65535")]
    {
        let json = format!(r#"[{{"type":"resize","width":{side},"height":1,"format":"{format}"}}]"#);
        let operations = parse(&json, &limits).unwrap();
        let facts = codec::inspect(Cursor::new(&source), &limits).unwrap();
        let error = Plan::new(&facts, &operations, &limits).err().expect("it is refused while planning");
        assert_eq!(error.code, crate::Code::OutputTooLarge);
        assert!(error.detail.starts_with("operations[0]: ") && error.detail.contains(said), "{error}");
    }
}

#[test]
fn writing_ends_when_the_time_is_over() {
    let picture = samples::photo(200, 150);
    let source = samples::file(&picture, ImageFormat::Png);
    let facts = codec::inspect(Cursor::new(&source), &Limits::default()).unwrap();
    for format in WRITTEN {
        let operations = parse(&format!(r#"[{{"type":"convert","format":"{format}"}}]"#), &Limits::default()).unwrap();
        let target = codec::Target::new(&operations[0].save, 0, &facts, false, || None);
        let view = crate::raster::View::Eight(&picture);
        let error = codec::encode(view, &target, &|| true).unwrap_err();
        assert_eq!(error.code, crate::Code::TimeLimit, "{format}");
        // Not at once, but inside of the writer.
        let asked = std::cell::Cell::new(0);
        let later = || asked.replace(asked.get() + 1) >= 2;
        match codec::encode(view, &target, &later) {
            Err(error) => assert_eq!(error.code, crate::Code::TimeLimit, "{format}"),
            Ok(_) => assert!(matches!(format, "jpeg" | "avif" | "qoi" | "bmp"), "{format} cannot be stopped"),
        }
    }
}

#[test]
fn drawing_with_few_colours_ends_when_the_time_is_over() {
    let picture = samples::photo(300, 200);
    let source = samples::file(&picture, ImageFormat::Png);
    let facts = codec::inspect(Cursor::new(&source), &Limits::default()).unwrap();
    for format in ["gif", "png"] {
        let json = format!(r#"[{{"type":"convert","format":"{format}","quality":90}}]"#);
        let operations = parse(&json, &Limits::default()).unwrap();
        let target = codec::Target::new(&operations[0].save, 0, &facts, false, || None);
        let asked = std::cell::Cell::new(0);
        let later = || asked.replace(asked.get() + 1) >= 100;
        let view = crate::raster::View::Eight(&picture);
        let error = codec::encode(view, &target, &later).unwrap_err();
        assert_eq!(error.code, crate::Code::TimeLimit, "{format}");
        assert!(asked.get() < 110, "{format}: it goes on after that");
    }
}

/// A JPEG with a profile, and EXIF that names a maker, an owner, a place and an orientation.
fn described(profile: &[u8]) -> Vec<u8> {
    let entry = |tag: u16, kind: u16, count: u32, value: [u8; 4]| {
        [&tag.to_le_bytes()[..], &kind.to_le_bytes(), &count.to_le_bytes(), &value].concat()
    };
    let mut exif = b"II*\0\x08\0\0\0\x04\0".to_vec();
    exif.extend(entry(0x010f, 2, 4, *b"MAK\0"));
    exif.extend(entry(0x0112, 3, 1, [6, 0, 0, 0]));
    exif.extend(entry(0x8298, 2, 4, *b"ANN\0"));
    exif.extend(entry(0x8825, 4, 1, 62_u32.to_le_bytes()));
    exif.extend([0; 4]);
    assert_eq!(exif.len(), 62);
    exif.extend(1_u16.to_le_bytes());
    exif.extend(entry(0x001d, 2, 4, *b"GPS\0"));
    exif.extend([0; 4]);
    let segment =
        |marker: u8, body: &[u8]| [&[0xff, marker][..], &(body.len() as u16 + 2).to_be_bytes(), body].concat();
    let mut bytes = samples::jpeg(&samples::photo(48, 32), 90);
    let icc = segment(0xe2, &[&b"ICC_PROFILE\0\x01\x01"[..], profile].concat());
    let exif = segment(0xe1, &[&b"Exif\0\0"[..], &exif].concat());
    bytes.splice(2..2, [exif, icc].concat());
    bytes
}

fn holds(output: &Output, word: &str) -> bool {
    output.data.windows(word.len()).any(|part| part == word.as_bytes())
}

#[test]
fn exif_stays_only_where_it_is_asked_for() {
    let profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let source = described(&profile);
    for format in ["jpeg", "png", "webp", "tiff", "avif"] {
        let bare = convert(&source, &format!(r#""format":"{format}""#));
        let rights = convert(&source, &format!(r#""format":"{format}","keep":["copyright"]"#));
        let all = convert(&source, &format!(r#""format":"{format}","keep":["exif"]"#));
        for (output, [maker, owner, place]) in
            [(bare, [false; 3]), (rights, [false, true, false]), (all, [true, true, true])]
        {
            // It stands upright, and says so; otherwise it would be turned again.
            assert_eq!(decoded(&output).size(), (32, 48), "{format}");
            let held = ["MAK\0", "ANN\0", "GPS\0"].map(|word| holds(&output, word));
            assert_eq!(held, [maker, owner, place], "{format}");
        }
    }
    for format in ["gif", "bmp", "qoi"] {
        let output = convert(&source, &format!(r#""format":"{format}","keep":["exif","icc"]"#));
        assert!(!holds(&output, "ANN\0"), "{format}");
    }
}

#[test]
fn what_a_file_says_of_itself_is_read_from_every_container() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    for name in ["described.avif", "described.jxl", "described.tiff"] {
        let source = std::fs::read(folder.join(name)).unwrap();
        let xmp = codec::inspect(Cursor::new(&source), &Limits::default()).unwrap().xmp;
        assert!(xmp.is_some_and(|xmp| xmp.starts_with(b"<x:xmpmeta")), "{name}");
        for (keep, all) in [("exif", true), ("copyright", false)] {
            let output = convert(&source, &format!(r#""format":"png","keep":["{keep}"]"#));
            let block = facts(&output).exif.unwrap_or_else(|| panic!("{name}: no EXIF"));
            let has = |entry: &[u8]| block.windows(entry.len()).any(|part| part == entry);
            assert!(has(b"Ann 2024\0") && has(b"Ann\0"), "{name}");
            // The sensitivity, in a directory of its own.
            assert_eq!(has(&[0x27, 0x88, 3, 0, 1, 0, 0, 0, 0x90, 1]), all, "{name}");
        }
    }
}

#[test]
fn profiles_stay_with_their_colors() {
    let profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let source = described(&profile);
    let converted = decoded(&convert(&source, r#""format":"png""#));
    for (format, fields, least) in
        [("png", "", 55.0), ("tiff", "", 55.0), ("webp", r#","quality":95"#, 32.0), ("jpeg", r#","quality":95"#, 32.0)]
    {
        let kept = convert(&source, &format!(r#""format":"{format}"{fields},"keep":["icc"]"#));
        // PNG deflates it.
        let held = if format == "png" {
            let reader = ::png::Decoder::new(Cursor::new(&kept.data)).read_info().unwrap();
            reader.info().icc_profile.as_deref() == Some(&profile[..])
        } else {
            kept.data.windows(profile.len()).any(|part| part == profile)
        };
        assert!(held, "{format}");
        // Read as any other source it comes to the same colours, although its samples are others.
        assert!(facts(&kept).icc.is_some_and(|icc| icc == profile), "{format}");
        let noise = psnr(&decoded(&kept), &converted);
        assert!(noise > least, "{format}: {noise} dB");
    }
}

#[test]
fn grey_becomes_colour_beside_a_profile_of_colours() {
    let profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let source = described(&profile);
    for format in ["jpeg", "png", "tiff", "webp"] {
        let json = format!(r#"{{"type":"grayscale","format":"{format}","keep":["icc"]}}"#);
        let output = one(&source, &json);
        assert!(facts(&output).icc.is_some_and(|icc| icc == profile), "{format}");
        assert_ne!(decoded(&output).channels, Channels::Gray, "{format}");
        let bare = one(&source, &format!(r#"{{"type":"grayscale","format":"{format}"}}"#));
        assert!(facts(&bare).icc.is_none());
    }
}

#[test]
fn outputs_with_and_without_their_profile_come_from_one_request() {
    let profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let operations = parse(
        r#"[{"type":"resize","width":20,"keep":["icc"]},{"type":"resize","width":16},{"type":"watermark","text":"x",
            "keep":["icc","copyright"]}]"#,
        &Limits::default(),
    )
    .unwrap();
    let outputs = run(&described(&profile), &operations).unwrap();
    let kept: Vec<bool> = outputs.iter().map(|output| facts(output).icc.is_some()).collect();
    assert_eq!(kept, [true, false, true]);
    assert_eq!(outputs.iter().map(|output| holds(output, "ANN\0")).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn sixteen_bits_stay_where_the_format_holds_them() {
    let values: Vec<u16> = (0..64 * 64).map(|i| (i * 16 + 5) as u16).collect();
    let deep = Raster { width: 64, height: 64, channels: Channels::Gray, data: values.clone() };
    let source = samples::file(&samples::photo(64, 64), ImageFormat::Png);
    let facts = codec::inspect(Cursor::new(&source), &Limits::default()).unwrap();
    let written = |fields: &str| {
        let json = format!(r#"[{{"type":"convert",{fields}}}]"#);
        let operations = parse(&json, &Limits::default()).unwrap();
        let target = codec::Target::new(&operations[0].save, 0, &facts, false, || None);
        codec::encode(crate::raster::View::Sixteen(&deep), &target, &|| false).unwrap()
    };
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        let name = if format == ImageFormat::Png { "png" } else { "tiff" };
        let output = written(&format!(r#""format":"{name}""#));
        let back = image::load_from_memory_with_format(&output.data, format).unwrap();
        assert_eq!(back.as_luma16().expect(name).as_raw(), &values, "{name}");
    }
    let webp = decoded(&written(r#""format":"webp","lossless":true"#));
    let close = webp.data.chunks(3).zip(&values).all(|(p, &v)| p[0].abs_diff(((u32::from(v) + 128) / 257) as u8) <= 1);
    assert!(close, "rounded to eight bits");
}
