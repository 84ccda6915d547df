//! Every format that is read: colours, alpha, depth, orientation, frames, and what becomes of files that are cut short.

use std::cell::Cell;

use image::ImageFormat;

use super::samples::{self, QUARTERS};
use super::*;
use crate::Code;
use crate::codec::{Decoded, Picture, Reading};
use crate::raster::Channels;

pub(super) fn reading(limits: &Limits) -> Reading<'_> {
    Reading { shrink: 1, deep: false, as_stored: false, lenient: false, limits, interrupted: &|| false }
}

pub(super) fn read(source: &[u8], change: impl FnOnce(&mut Reading<'_>)) -> Result<Decoded, Error> {
    let limits = Limits::default();
    let facts = codec::inspect(Cursor::new(source), &limits)?;
    let mut reading = reading(&limits);
    change(&mut reading);
    codec::decode(source, &facts, &reading)
}

pub(super) fn eight(source: &[u8]) -> Raster {
    match read(source, |_| ()).unwrap().picture {
        Picture::Eight(raster) => raster,
        Picture::Sixteen(_) => panic!("nobody asked for sixteen bits"),
    }
}

fn sixteen(source: &[u8]) -> Raster<u16> {
    match read(source, |reading| reading.deep = true).unwrap().picture {
        Picture::Sixteen(raster) => raster,
        Picture::Eight(_) => panic!("its depth is lost"),
    }
}

/// The colours in the middle of the four quarters.
fn centres(picture: &Raster) -> [Vec<u8>; 4] {
    let (width, height, step) = (picture.width as usize, picture.height as usize, picture.channels.count());
    [(1, 1), (3, 1), (1, 3), (3, 3)].map(|(x, y)| {
        let at = (y * height / 4 * width + x * width / 4) * step;
        picture.data[at..at + step].to_vec()
    })
}

fn assert_close(got: &[u8], wanted: &[u8], tolerance: u8, what: &str) {
    let close = got.iter().zip(wanted).all(|(a, b)| a.abs_diff(*b) <= tolerance);
    assert!(close && got.len() == wanted.len(), "{what}: {got:?}, not {wanted:?}");
}

#[test]
fn quarters_come_out_right_from_every_format() {
    for name in [
        "quarters-420.avif",
        "quarters-422.avif",
        "quarters-444.avif",
        "quarters-limited.avif",
        "orientation-6.avif",
        "frames.avif",
        "quarters.jxl",
        "quarters-lossy.jxl",
    ] {
        let picture = eight(&fixture(name));
        assert_eq!(picture.size(), (96, 64), "{name}");
        for (got, wanted) in centres(&picture).iter().zip(QUARTERS) {
            assert_close(got, &wanted, 6, name);
        }
    }
}

#[test]
fn picture_without_chroma_is_grey() {
    let picture = eight(&fixture("quarters-400.avif"));
    assert_eq!(picture.channels, Channels::Gray);
    for (got, wanted) in centres(&picture).iter().zip([76, 150, 29, 255]) {
        assert_close(got, &[wanted], 4, "BT.601 luma");
    }
}

#[test]
fn alpha_is_kept() {
    for name in ["alpha.avif", "alpha.jxl", "alpha.qoi", "png.ico", "bitmap.ico"] {
        let picture = eight(&fixture(name));
        assert_eq!(picture.channels, Channels::Rgba, "{name}");
        let [red, green, blue, clear] = centres(&picture);
        assert_close(&red, &[255, 0, 0, 255], 6, name);
        assert_close(&green, &[0, 255, 0, 255], 6, name);
        assert_close(&blue, &[0, 0, 255, 255], 6, name);
        assert!(clear[3] <= 2, "{name}: {clear:?}");
    }
}

#[test]
fn icon_is_its_largest_picture() {
    for name in ["png.ico", "bitmap.ico"] {
        let mut source = fixture(name);
        assert_eq!(eight(&source).size(), (32, 32), "{name}");
        // A cursor has a hot spot where an icon has its depth.
        source[2] = 2;
        assert_eq!(eight(&source).size(), (32, 32), "{name} as a cursor");
    }
}

/// One entry of 2×2 with 24 bits: its bottom row is masked on the left.
fn masked_icon() -> Vec<u8> {
    let mut source = vec![0, 0, 1, 0, 1, 0, 2, 2, 0, 0, 1, 0, 24, 0, 64, 0, 0, 0, 22, 0, 0, 0];
    source.extend([40, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 1, 0, 24, 0]);
    source.extend([0; 24]);
    let rows = [[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]]];
    for row in rows {
        source.extend(row.concat());
        source.extend([0, 0]);
    }
    source.extend([0b1000_0000, 0, 0, 0, 0, 0, 0, 0]);
    source
}

#[test]
fn icon_without_alpha_is_masked() {
    let picture = eight(&masked_icon());
    assert_eq!(picture.channels, Channels::Rgba);
    assert_eq!(picture.data, [9, 8, 7, 255, 12, 11, 10, 255, 3, 2, 1, 0, 6, 5, 4, 255]);
}

#[test]
fn frames_of_a_sequence_are_counted() {
    let header = probe(Cursor::new(fixture("frames.avif")), &Limits::default()).unwrap();
    assert_eq!(header.frames, 3);
    let limits = Limits { max_frames: 2, ..Limits::default() };
    assert_eq!(probe(Cursor::new(fixture("frames.avif")), &limits).unwrap_err().code, Code::TooManyFrames);
}

/// A PNG of one row with chunks before its pixels.
fn png_with(depth: png::BitDepth, pixels: &[u8], describe: impl FnOnce(&mut png::Info<'_>)) -> Vec<u8> {
    let samples = if depth == png::BitDepth::Sixteen { 6 } else { 3 };
    let mut info = png::Info::with_size((pixels.len() / samples) as u32, 1);
    (info.color_type, info.bit_depth) = (png::ColorType::Rgb, depth);
    describe(&mut info);
    let mut source = Vec::new();
    let mut writer = png::Encoder::with_info(&mut source, info).unwrap().write_header().unwrap();
    writer.write_image_data(pixels).unwrap();
    writer.finish().unwrap();
    source
}

#[test]
fn sixteen_bits_are_kept_where_they_are_asked_for() {
    let source = png_with(png::BitDepth::Sixteen, &[0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc], |_| ());
    assert_eq!(sixteen(&source).data, [0x1234, 0x5678, 0x9abc]);
    assert_eq!(eight(&source).data, [0x12, 0x56, 0x9a]);

    let wide = image::ImageBuffer::<image::Luma<u16>, _>::from_raw(2, 1, vec![1000u16, 60_000]).unwrap();
    let mut tiff = Cursor::new(Vec::new());
    image::DynamicImage::from(wide).write_to(&mut tiff, ImageFormat::Tiff).unwrap();
    let tiff = tiff.into_inner();
    assert_eq!(sixteen(&tiff).data, [1000, 60_000]);
    assert_eq!(eight(&tiff).data, [4, 233]);
    // Eight bits stay eight, asked for or not.
    let plain = read(&samples::file(&samples::quarters(4, 4), ImageFormat::Png), |reading| reading.deep = true);
    assert!(matches!(plain.unwrap().picture, Picture::Eight(_)));
}

#[test]
fn colours_of_sixteen_bits_are_converted_in_sixteen() {
    let p3 = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let pixel = [100u16 * 257, 180 * 257, 90 * 257].map(u16::to_be_bytes).concat();
    let describe = |info: &mut png::Info<'_>| info.icc_profile = Some(p3.clone().into());
    let converted = sixteen(&png_with(png::BitDepth::Sixteen, &pixel, describe)).data;
    // As the eight-bit picture in outputs.rs.
    for (got, wanted) in converted.iter().zip([65u16, 182, 77]) {
        assert!(got.abs_diff(wanted * 257) < 400, "{converted:?}");
    }
}

#[test]
fn chunks_of_a_png_have_their_ranks() {
    let tone = |describe: &dyn Fn(&mut png::Info<'_>)| {
        eight(&png_with(png::BitDepth::Eight, &[55; 3], |info| describe(info))).data[0]
    };
    let linear = |info: &mut png::Info<'_>| info.source_gamma = Some(png::ScaledFloat::new(1.0));
    assert_eq!(tone(&|_| ()), 55);
    assert!(tone(&linear).abs_diff(128) <= 1, "gAMA alone says linear light");
    let srgb = |info: &mut png::Info<'_>| info.srgb = Some(png::SrgbRenderingIntent::Perceptual);
    assert_eq!(tone(&srgb), 55, "sRGB outranks gAMA");
    let profile = moxcms::ColorProfile::new_adobe_rgb().encode().unwrap();
    let embedded = tone(&|info| info.icc_profile = Some(profile.clone().into()));
    assert!((45..=54).contains(&embedded), "Adobe RGB's curve lies below: {embedded}");
}

#[test]
fn broken_profile_costs_nothing() {
    let source = png_with(png::BitDepth::Eight, &[10, 20, 30], |info| info.icc_profile = Some(vec![7; 300].into()));
    assert_eq!(eight(&source).data, [10, 20, 30]);
}

#[test]
fn orientation_in_a_png_counts_before_and_behind_the_pixels() {
    for behind in [false, true] {
        let picture = samples::quarters(40, 20);
        let mut source = samples::file(&samples::as_stored(&picture, 6), ImageFormat::Png);
        let block = samples::exif(6);
        let mut chunk = (block.len() as u32).to_be_bytes().to_vec();
        chunk.extend(b"eXIf");
        chunk.extend(&block);
        // Of an ancillary chunk, a wrong sum is forgiven.
        chunk.extend([0; 4]);
        let at = if behind { source.len() - 12 } else { 33 };
        source.splice(at..at, chunk);
        assert_eq!(eight(&source), picture, "behind: {behind}");
    }
}

/// A TIFF of one-row strips whose directory stands before its pixels.
fn tiff_of_rows(picture: &Raster) -> Vec<u8> {
    let (rows, stride) = (picture.height, picture.stride() as u32);
    let (bits, offsets) = (8 + 2 + 9 * 12 + 4, 8 + 2 + 9 * 12 + 4 + 6);
    let (counts, pixels) = (offsets + 4 * rows, offsets + 8 * rows);
    let mut file = b"II*\0\x08\0\0\0\x09\0".to_vec();
    for (tag, kind, count, value) in [
        (256u16, 4u16, 1, picture.width),
        (257, 4, 1, rows),
        (258, 3, 3, bits),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, rows, offsets),
        (277, 3, 1, 3),
        (278, 4, 1, 1),
        (279, 4, rows, counts),
    ] {
        file.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        file.extend([count.to_le_bytes(), value.to_le_bytes()].concat());
    }
    file.extend([0; 4]);
    file.extend([8, 0, 8, 0, 8, 0]);
    file.extend((0..rows).flat_map(|y| (pixels + y * stride).to_le_bytes()));
    file.extend((0..rows).flat_map(|_| stride.to_le_bytes()));
    file.extend(&picture.data);
    file
}

#[test]
fn files_cut_short_are_refused_and_made_where_lenient() {
    let picture = samples::photo(200, 150);
    let mut sources = vec![("jpeg", samples::jpeg(&picture, 90))];
    for (name, format) in
        [("png", ImageFormat::Png), ("bmp", ImageFormat::Bmp), ("qoi", ImageFormat::Qoi), ("gif", ImageFormat::Gif)]
    {
        sources.push((name, samples::file(&picture, format)));
    }
    sources.push(("tiff", tiff_of_rows(&picture)));
    sources.push(("webp", one(&sources[0].1, r#"{"type": "convert", "format": "webp"}"#).data));
    sources.push(("lossless webp", samples::file(&picture, ImageFormat::WebP)));
    for (name, source) in sources {
        let cut = &source[..source.len() * 6 / 10];
        let error = read(cut, |_| ()).err().unwrap_or_else(|| panic!("{name}: half a picture is no picture"));
        assert_eq!(error.code, Code::TruncatedImage, "{name}: {error}");
        let made = read(cut, |reading| reading.lenient = true).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(made.truncated, "{name}");
        let Picture::Eight(raster) = made.picture else { panic!("{name}: eight bits") };
        assert_eq!(raster.size(), (200, 150), "{name}");
        // BMPs begin at the bottom.
        let row = if name == "bmp" { 140 } else { 10 };
        let at = |raster: &Raster, x: usize| {
            let step = raster.channels.count();
            raster.data[(row * 200 + x) * step..][..3].to_vec()
        };
        let whole = eight(&source);
        for x in [5, 100, 190] {
            assert_close(&at(&raster, x), &at(&whole, x), 2, name);
        }
    }
}

#[test]
fn qoi_without_its_end_mark_is_whole() {
    let source = samples::file(&samples::photo(20, 15), ImageFormat::Qoi);
    let pixels = source.len() - 8;
    assert_eq!(eight(&source[..pixels]), eight(&source));
    let error = read(&source[..pixels - 1], |_| ()).err().expect("a byte of the pixels is missing");
    assert_eq!(error.code, Code::TruncatedImage, "{error}");
    for cut in 1..8 {
        let read = read(&source[..source.len() - cut], |reading| reading.lenient = true).unwrap();
        assert!(!read.truncated, "{cut} bytes of the mark are missing, and nothing else");
    }
}

#[test]
fn arithmetic_coded_jpeg_cut_short_is_known_by_its_missing_end() {
    let picture = samples::photo(120, 90);
    let encoder = libjpeg_turbo_rs::Encoder::new(&picture.data, 120, 90, libjpeg_turbo_rs::PixelFormat::Rgb);
    let source = encoder.arithmetic(true).encode().unwrap();
    assert!(!read(&source, |reading| reading.lenient = true).unwrap().truncated);
    for cut in [&source[..source.len() * 6 / 10], &source[..source.len() - 2]] {
        // On every way to an output.
        for operation in [thumbnail(16), fill(120, 90), fill(300, 90)] {
            let error = run(cut, &[operation.into()]).unwrap_err();
            assert_eq!(error.code, Code::TruncatedImage, "{error}");
        }
        assert!(read(cut, |reading| reading.lenient = true).unwrap().truncated);
    }
}

#[test]
fn progressive_jpeg_is_made_wherever_it_is_cut() {
    let picture = samples::photo(120, 90);
    let encoder = libjpeg_turbo_rs::Encoder::new(&picture.data, 120, 90, libjpeg_turbo_rs::PixelFormat::Rgb);
    let source = encoder.progressive(true).encode().unwrap();
    let scans: Vec<usize> = (0..source.len()).filter(|&at| source[at..].starts_with(&[0xff, 0xda])).collect();
    assert!(scans.len() > 3, "{scans:?}");
    // In the middle of tables and of scan headers too.
    for cut in scans[1]..source.len() - 2 {
        let made = read(&source[..cut], |reading| reading.lenient = true);
        assert!(made.unwrap_or_else(|error| panic!("cut at {cut} of {scans:?}: {error}")).truncated, "cut at {cut}");
    }
}

#[test]
fn webp_cut_short_is_known_by_its_length() {
    let picture = samples::photo(120, 90);
    let lossless = samples::file(&picture, ImageFormat::WebP);
    let lossy = one(&lossless, r#"{"type": "convert", "format": "webp"}"#).data;
    for source in [lossless, lossy] {
        for tenths in 1..10 {
            let error = read(&source[..source.len() * tenths / 10], |_| ()).err().expect("it is cut");
            assert_eq!(error.code, Code::TruncatedImage, "{tenths} tenths: {error}");
        }
        let error = read(&source[..34], |reading| reading.lenient = true).err().expect("not a row is there");
        assert_eq!(error.code, Code::TruncatedImage, "{error}");
    }
}

#[test]
fn what_is_missing_of_a_webp_is_left_blank() {
    let picture = samples::photo(120, 90);
    for picture in [samples::with_alpha(&picture, |x, _| (x * 2) as u8), picture] {
        let source = samples::file(&picture, ImageFormat::WebP);
        let made = read(&source[..source.len() / 2], |reading| reading.lenient = true).unwrap();
        let Picture::Eight(raster) = made.picture else { panic!("eight bits") };
        let (first, last) = (raster.stride(), raster.data.len() - raster.stride());
        assert_eq!(raster.data[..first], picture.data[..first]);
        let blank = if picture.has_alpha() { 0 } else { 0x80 };
        assert!(raster.data[last..].iter().all(|&v| v == blank), "{:?}", &raster.data[last..]);
    }
}

#[test]
fn webp_is_what_another_decoder_makes_of_it() {
    let photo = samples::photo(117, 83);
    for picture in [samples::with_alpha(&photo, |x, y| (x + y) as u8), photo] {
        let lossless = samples::file(&picture, ImageFormat::WebP);
        assert_eq!(eight(&lossless), picture);
        let lossy = one(&lossless, r#"{"type": "convert", "format": "webp", "quality": 80}"#).data;
        let other = image::load_from_memory_with_format(&lossy, ImageFormat::WebP).unwrap();
        let ours = eight(&lossy);
        assert_eq!(ours.has_alpha(), other.color().has_alpha());
        let worst = ours.data.iter().zip(other.as_bytes()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst <= Some(2), "{worst:?}");
    }
}

#[test]
fn animation_cut_before_a_frames_pixels_has_those_before() {
    let source = samples::animation(3);
    let frames: Vec<usize> = (0..source.len()).filter(|&at| source[at..].starts_with(b"\x21\xf9\x04")).collect();
    let limits = Limits::default();
    let operations = parse(r#"[{"type": "resize", "width": 6}]"#, &limits).unwrap();
    let animated = |source: &[u8], lenient| {
        let mut animation = None;
        let options = Options { lenient, ..Options::new(&limits) };
        process(source, &operations, &options, &mut |_, made| {
            animation = picture(made).animation;
            Ok(())
        })
        .map(|()| animation.expect("it moves").frames)
    };
    // In the control block, and in what stands before the pixels.
    for cut in frames[2] + 1..frames[2] + 18 {
        assert_eq!(animated(&source[..cut], true).unwrap(), 2, "cut at {cut} of {frames:?}");
        assert_eq!(animated(&source[..cut], false).unwrap_err().code, Code::TruncatedImage, "cut at {cut}");
        assert_eq!(eight(&source[..cut]).size(), (12, 9));
    }
    assert_eq!(probe(Cursor::new(&source[..frames[0] + 3]), &limits).unwrap_err().code, Code::TruncatedImage);
}

#[test]
fn transparent_grey_counts_in_the_bits_that_there_are() {
    for frames in [1, 2] {
        let mut source = Vec::new();
        let mut encoder = png::Encoder::new(&mut source, 4, 1);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::Two);
        // 7 of two bits is 3.
        encoder.set_trns(vec![0, 7]);
        if frames > 1 {
            encoder.set_animated(frames, 0).unwrap();
        }
        let mut writer = encoder.write_header().unwrap();
        for _ in 0..frames {
            writer.write_image_data(&[0b00_01_10_11]).unwrap();
        }
        writer.finish().unwrap();
        let still = one(&source, r#"{"type": "convert", "format": "png", "still": true}"#);
        let moving = one(&source, r#"{"type": "convert", "format": "png"}"#);
        for output in [still, moving] {
            let alpha: Vec<u8> = decoded(&output).data.chunks_exact(4).map(|pixel| pixel[3]).collect();
            assert_eq!(alpha, [255, 255, 255, 0], "{frames} frames");
        }
    }
}

#[test]
fn prefix_of_an_exif_block_is_left_out() {
    let mut source = samples::file(&samples::quarters(8, 8), ImageFormat::Png);
    let block = [b"Exif\0\0", samples::exif(1).as_slice()].concat();
    let chunk = [&(block.len() as u32).to_be_bytes(), b"eXIf", block.as_slice(), &[0; 4]].concat();
    source.splice(33..33, chunk);
    let facts = codec::inspect(Cursor::new(&source), &Limits::default()).unwrap();
    assert_eq!(facts.exif, Some(samples::exif(1)));
}

#[test]
fn whole_files_have_no_warnings_and_cut_ones_say_so() {
    let source = samples::jpeg(&samples::photo(80, 60), 90);
    let limits = Limits::default();
    let warnings = |source: &[u8]| {
        let mut warnings = Vec::new();
        let options = Options { lenient: true, ..Options::new(&limits) };
        process(source, &[png(thumbnail(40)), png(fill(20, 20))], &options, &mut |_, output| {
            warnings.extend(super::picture(output).warnings);
            Ok(())
        })
        .unwrap();
        warnings
    };
    assert!(warnings(&source).is_empty());
    let said = warnings(&source[..source.len() / 2]);
    assert_eq!(said.len(), 2);
    assert!(said.iter().all(|warning| warning.starts_with("truncated-image: ")), "{said:?}");
}

#[test]
fn decoding_ends_when_its_time_is_over() {
    let error = read(&masked_icon(), |reading| reading.interrupted = &|| true).err().expect("its time is over");
    assert_eq!(error.code, Code::TimeLimit, "{error}");
    let picture = samples::photo(700, 500);
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::Qoi, ImageFormat::WebP] {
        let source = samples::file(&picture, format);
        let asked = Cell::new(0);
        let interrupted = || {
            asked.set(asked.get() + 1);
            asked.get() > 3
        };
        let limits = Limits::default();
        let facts = codec::inspect(Cursor::new(&source), &limits).unwrap();
        let reading = Reading { interrupted: &interrupted, ..reading(&limits) };
        let error = codec::decode(&source, &facts, &reading).err().unwrap_or_else(|| panic!("{format:?} went on"));
        assert_eq!(error.code, Code::TimeLimit, "{format:?}: {error}");
    }
}

#[test]
fn two_thousand_scans_end_promptly() {
    let source = samples::jpeg(&samples::photo(64, 48), 90);
    let scan = source.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    let body = &source[scan..source.len() - 2];
    let mut many = source[..scan].to_vec();
    for _ in 0..2000 {
        many.extend(body);
    }
    many.extend([0xff, 0xd9]);
    // The first is all of a baseline picture: the others are passed over, or too many.
    if let Err(error) = read(&many, |_| ()) {
        assert!(matches!(error.code, Code::TooLarge | Code::CorruptImage), "{error}");
    }
}

#[test]
fn ten_thousand_frames_are_refused_by_their_number() {
    let mut source = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff".to_vec();
    for _ in 0..10_000 {
        source.extend(b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0");
    }
    source.push(0x3b);
    let error = probe(Cursor::new(&source), &Limits::default()).unwrap_err();
    assert_eq!(error.code, Code::TooManyFrames, "{error}");
}

#[test]
fn long_text_in_a_png_is_passed_over() {
    let mut source = samples::file(&samples::quarters(8, 8), ImageFormat::Png);
    let text = vec![b'x'; 20_000_000];
    let mut chunk = (text.len() as u32).to_be_bytes().to_vec();
    chunk.extend(b"tEXt");
    chunk.extend(text);
    chunk.extend([0; 4]);
    source.splice(33..33, chunk);
    assert_eq!(eight(&source).size(), (8, 8));
}
