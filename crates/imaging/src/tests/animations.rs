//! Animations in, through operations, and out again: every frame, its time, and how often it all is played.

use std::time::Duration;

use super::*;
use crate::Code;
use crate::codec::animation::{Frame, Frames, Style, Writer};
use crate::raster::Channels;

const RED: [u8; 4] = [255, 0, 0, 255];
const GREEN: [u8; 4] = [0, 255, 0, 255];
const BLUE: [u8; 4] = [0, 0, 255, 255];
const CLEAR: [u8; 4] = [0; 4];

const FORMATS: [Format; 3] = [Format::Gif, Format::WebP, Format::Png];

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// All frames, and how often they are played.
fn frames(source: &[u8]) -> Result<(Vec<Frame>, u32), Error> {
    let limits = Limits::default();
    let facts = codec::inspect(Cursor::new(source), &limits)?;
    let options = Options::new(&limits);
    let mut file = Frames::open(source, &facts, &options)?;
    let mut frames = Vec::new();
    while let Some(frame) = file.next()? {
        frames.push(frame);
    }
    Ok((frames, file.plays()))
}

fn pixels(frame: &Frame) -> Vec<[u8; 4]> {
    frame.picture.rgba().into_owned()
}

fn delays(frames: &[Frame]) -> Vec<u64> {
    frames.iter().map(|frame| frame.delay.as_millis() as u64).collect()
}

fn style(format: Format, plays: u32) -> Style {
    let compression = png::Compression::Fast;
    Style { format, plays, quality: 90, is_lossless: false, method: 2, level: 2, near: 100, compression, colors: 256 }
}

fn written(pictures: &[(Raster, Duration)], style: &Style) -> Vec<u8> {
    let mut writer = Writer::new(pictures[0].0.size(), style).unwrap();
    for (picture, delay) in pictures {
        writer.push(picture.clone(), *delay).unwrap();
    }
    writer.finish().unwrap().data
}

/// A red square that wanders over a quiet background.
fn wandering(count: u32, background: impl Fn(u32, u32) -> [u8; 4]) -> Vec<(Raster, Duration)> {
    (0..count)
        .map(|i| {
            let data = (0..48 * 40).flat_map(|at| {
                let (x, y) = (at % 48, at / 48);
                let is_square = (4 + 7 * i..16 + 7 * i).contains(&x) && (8 + 3 * i..20 + 3 * i).contains(&y);
                if is_square { RED } else { background(x, y) }
            });
            let picture = Raster { width: 48, height: 40, channels: Channels::Rgba, data: data.collect() };
            (picture, ms(40 + 50 * u64::from(i)))
        })
        .collect()
}

fn quiet(x: u32, y: u32) -> [u8; 4] {
    [20 + x as u8, 60 + 2 * y as u8, 120, 255]
}

fn noise(x: u32, y: u32) -> [u8; 4] {
    let mix = (x * 2_654_435 + y * 40_503).wrapping_mul(2_246_822_519);
    [(mix >> 8) as u8, (mix >> 16) as u8, (mix >> 24) as u8, 255]
}

/// The greatest difference of any channel, and its mean.
fn difference(a: &Raster, b: &Raster) -> (u8, f64) {
    assert_eq!(a.size(), b.size());
    let (a, b) = (a.rgba(), b.rgba());
    // Colours under no alpha are nobody's.
    let seen = |pixel: [u8; 4]| if pixel[3] == 0 { CLEAR } else { pixel };
    let differences: Vec<u8> =
        a.iter().zip(b.iter()).flat_map(|(&a, &b)| (0..4).map(move |c| seen(a)[c].abs_diff(seen(b)[c]))).collect();
    let sum: f64 = differences.iter().map(|&d| f64::from(d)).sum();
    (differences.iter().copied().max().unwrap_or(0), sum / differences.len() as f64)
}

struct Part {
    area: [u16; 4],
    index: u8,
    dispose: gif::DisposalMethod,
    delay: u16,
}

/// A GIF of 4×1 pixels in red, green, blue and transparent.
fn gif_of(parts: &[Part], repeat: Option<gif::Repeat>) -> Vec<u8> {
    let mut encoder = gif::Encoder::new(Vec::new(), 4, 1, &[255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9]).unwrap();
    if let Some(repeat) = repeat {
        encoder.set_repeat(repeat).unwrap();
    }
    for part in parts {
        let [left, top, width, height] = part.area;
        let buffer = vec![part.index; usize::from(width) * usize::from(height)].into();
        let (dispose, delay, transparent) = (part.dispose, part.delay, Some(3));
        let frame = gif::Frame { delay, dispose, transparent, left, top, width, height, buffer, ..Default::default() };
        encoder.write_frame(&frame).unwrap();
    }
    encoder.into_inner().unwrap()
}

#[test]
fn gif_frames_are_composed_as_their_disposal_says() {
    use gif::DisposalMethod::{Background, Keep, Previous};
    let part = |left, width, index, dispose| Part { area: [left, 0, width, 1], index, dispose, delay: 5 };
    let source = gif_of(
        &[
            part(0, 4, 0, Keep),
            part(0, 2, 1, Previous),
            part(1, 2, 2, Background),
            // Transparent: only what the frame before leaves is seen.
            part(0, 4, 3, Keep),
            part(3, 1, 1, Keep),
        ],
        Some(gif::Repeat::Infinite),
    );
    let (frames, plays) = frames(&source).unwrap();
    let shown: Vec<_> = frames.iter().map(pixels).collect();
    assert_eq!(
        shown,
        [
            [RED, RED, RED, RED],
            [GREEN, GREEN, RED, RED],
            [RED, BLUE, BLUE, RED],
            [RED, CLEAR, CLEAR, RED],
            [RED, CLEAR, CLEAR, GREEN],
        ]
    );
    assert_eq!(plays, 0);
}

#[test]
fn gif_delays_and_repetitions_are_read_as_browsers_do() {
    let part = |delay| Part { area: [0, 0, 4, 1], index: 0, dispose: gif::DisposalMethod::Keep, delay };
    for (repeat, wanted) in [(None, 1), (Some(gif::Repeat::Finite(2)), 3), (Some(gif::Repeat::Infinite), 0)] {
        let (frames, plays) = frames(&gif_of(&[part(0), part(1), part(2), part(300)], repeat)).unwrap();
        assert_eq!(delays(&frames), [100, 100, 20, 3000]);
        assert_eq!(plays, wanted);
    }
}

/// An APNG whose first picture is its default; `frames` are area, colour, disposal and blending.
fn apng_of(frames: &[([u32; 4], [u8; 4], png::DisposeOp, png::BlendOp)], separate: Option<[u8; 4]>) -> Vec<u8> {
    let mut data = Vec::new();
    let mut encoder = png::Encoder::new(&mut data, 4, 1);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_animated(frames.len() as u32, 3).unwrap();
    if separate.is_some() {
        encoder.set_sep_def_img(true).unwrap();
    }
    let mut writer = encoder.write_header().unwrap();
    if let Some(color) = separate {
        writer.write_image_data(&color.repeat(4)).unwrap();
    }
    for &([left, top, width, height], color, dispose, blend) in frames {
        writer.reset_frame_position().unwrap();
        writer.set_frame_dimension(width, height).unwrap();
        writer.set_frame_position(left, top).unwrap();
        writer.set_dispose_op(dispose).unwrap();
        writer.set_blend_op(blend).unwrap();
        writer.set_frame_delay(1, 0).unwrap();
        writer.write_image_data(&color.repeat((width * height) as usize)).unwrap();
    }
    writer.finish().unwrap();
    data
}

#[test]
fn apng_frames_are_blended_and_a_separate_default_is_passed_over() {
    use png::BlendOp::{Over, Source};
    use png::DisposeOp::{Background, None, Previous};
    const HALF: [u8; 4] = [0, 0, 255, 128];
    let parts = [
        ([0, 0, 4, 1], RED, None, Source),
        ([0, 0, 2, 1], HALF, Previous, Over),
        ([1, 0, 2, 1], HALF, Background, Source),
        ([3, 0, 1, 1], CLEAR, None, Over),
        ([3, 0, 1, 1], CLEAR, None, Source),
    ];
    for separate in [Option::None, Some(GREEN)] {
        let source = apng_of(&parts, separate);
        let (frames, plays) = frames(&source).unwrap();
        let shown: Vec<_> = frames.iter().map(pixels).collect();
        let blended = [127, 0, 128, 255];
        assert_eq!(
            shown,
            [
                [RED, RED, RED, RED],
                [blended, blended, RED, RED],
                [RED, HALF, HALF, RED],
                [RED, CLEAR, CLEAR, RED],
                [RED, CLEAR, CLEAR, CLEAR],
            ]
        );
        assert_eq!((plays, delays(&frames)), (3, vec![100; 5]));
        let first = decoded(&one(&source, r#"{"type":"convert","format":"jpeg","quality":100}"#));
        let wanted = if separate.is_some() { GREEN } else { RED };
        assert!(first.data[..3].iter().zip(wanted).all(|(a, b)| a.abs_diff(b) < 8), "{:?}", &first.data[..3]);
    }
}

/// A WebP of 8×2 pixels from lossless stills: area, colour, flags (1 dispose, 2 do not blend).
fn webp_of(parts: &[([u32; 4], [u8; 4], u8)], plays: u16) -> Vec<u8> {
    let chunk = |file: &mut Vec<u8>, kind: &[u8; 4], body: &[u8]| {
        file.extend(kind);
        file.extend((body.len() as u32).to_le_bytes());
        file.extend(body);
        file.extend(&[0][..body.len() % 2]);
    };
    let three = |value: u32| value.to_le_bytes()[..3].to_vec();
    let mut body = b"WEBP".to_vec();
    chunk(&mut body, b"VP8X", &[&[0x12, 0, 0, 0][..], &three(7), &three(1)].concat());
    // A white background, which nobody shows.
    chunk(&mut body, b"ANIM", &[&[255; 4][..], &plays.to_le_bytes()].concat());
    for &([left, top, width, height], color, flags) in parts {
        let mut still = Vec::new();
        let encoder = image_webp::WebPEncoder::new(&mut still);
        let data = color.repeat((width * height) as usize);
        encoder.encode(&data, width, height, image_webp::ColorType::Rgba8).unwrap();
        let mut frame = [three(left / 2), three(top / 2), three(width - 1), three(height - 1), three(70)].concat();
        frame.push(flags);
        frame.extend(&still[12..]);
        chunk(&mut body, b"ANMF", &frame);
    }
    let mut file = Vec::new();
    chunk(&mut file, b"RIFF", &body);
    file
}

#[test]
fn first_frame_of_a_webp_is_there_without_those_after_it() {
    let frame = |color| ([2, 0, 4, 2], color, 0);
    let source = webp_of(&[frame(RED), frame(GREEN), frame(GREEN)], 0);
    let at = source.windows(4).rposition(|kind| kind == b"ANMF").unwrap();
    for source in [&source[..at + 20], &source] {
        let first = inputs::eight(source);
        assert_eq!(first.rgba()[..8], [CLEAR, CLEAR, RED, RED, RED, RED, CLEAR, CLEAR]);
    }
    let at = source.windows(4).position(|kind| kind == b"ANMF").unwrap();
    let error = inputs::read(&source[..at + 30], |reading| reading.lenient = true).err().expect("it is cut");
    assert_eq!(error.code, Code::TruncatedImage, "{error}");
}

#[test]
fn webp_frame_without_all_of_its_data_is_refused() {
    let mut source = webp_of(&[([0, 0, 8, 2], RED, 0)], 0);
    // Its size is there, and its pixels are not.
    let at = source.windows(4).position(|kind| kind == b"VP8L").unwrap();
    let length = u32::from_le_bytes(source[at + 4..at + 8].try_into().unwrap());
    source[at + 4] = 8;
    source.drain(at + 16..at + 8 + length.next_multiple_of(2) as usize);
    let taken = length.next_multiple_of(2) - 8;
    for at in [4, at - 20] {
        let told = u32::from_le_bytes(source[at..at + 4].try_into().unwrap()) - taken;
        source[at..at + 4].copy_from_slice(&told.to_le_bytes());
    }
    let error = frames(&source).err().expect("a frame lacks its pixels");
    assert_eq!(error.code, Code::CorruptImage, "{error}");
}

#[test]
fn chunk_that_ends_behind_its_frame_is_no_cut_file() {
    let frame = |color| ([0, 0, 8, 2], color, 0);
    let mut source = webp_of(&[frame(RED), frame(GREEN), frame(BLUE)], 0);
    let at = source.windows(4).rposition(|kind| kind == b"VP8L").unwrap();
    let second = source[..at].windows(4).rposition(|kind| kind == b"VP8L").unwrap();
    source[second + 5] = 1;
    let limits = Limits::default();
    let facts = codec::inspect(Cursor::new(&source), &limits).unwrap();
    let options = Options { lenient: true, ..Options::new(&limits) };
    let mut file = Frames::open(&source, &facts, &options).unwrap();
    file.next().unwrap().expect("the first is well");
    let error = file.next().err().expect("the second is not");
    assert_eq!(error.code, Code::CorruptImage, "{error}");
}

#[test]
fn webp_frames_are_blended_and_cleared() {
    let parts = [
        ([0, 0, 8, 2], RED, 0),
        ([0, 0, 4, 2], [0, 0, 255, 128], 1),
        ([4, 0, 2, 2], GREEN, 0),
        ([4, 0, 4, 2], CLEAR, 0),
        ([4, 0, 4, 2], CLEAR, 2),
    ];
    let source = webp_of(&parts, 7);
    let (frames, plays) = frames(&source).unwrap();
    let rows: Vec<Vec<[u8; 4]>> = frames.iter().map(|frame| pixels(frame)[..8].to_vec()).collect();
    let blended = [127, 0, 128, 255];
    let row = |a, b, c| [a, a, a, a, b, b, c, c].to_vec();
    assert_eq!(
        rows,
        [
            row(RED, RED, RED),
            row(blended, RED, RED),
            row(CLEAR, GREEN, RED),
            row(CLEAR, GREEN, RED),
            row(CLEAR, CLEAR, CLEAR)
        ]
    );
    assert_eq!((plays, delays(&frames)), (7, vec![70; 5]));
}

#[test]
fn frames_delays_and_loops_survive_every_conversion() {
    let pictures = wandering(4, quiet);
    for from in FORMATS {
        let source = written(&pictures, &style(from, 3));
        for to in FORMATS {
            let output = one(&source, &format!(r#"{{"type":"convert","format":"{}","quality":95}}"#, to.name()));
            assert_eq!(output.format, to);
            let told = output.animation.expect("it is animated");
            assert_eq!((told.frames, told.duration), (4, ms(40 + 90 + 140 + 190)), "{from:?} to {to:?}");
            let (frames, plays) = frames(&output.data).unwrap();
            assert_eq!((delays(&frames), plays), (vec![40, 90, 140, 190], 3), "{from:?} to {to:?}");
            for (frame, (picture, _)) in frames.iter().zip(&pictures) {
                let (_, mean) = difference(&frame.picture, picture);
                assert!(mean < 4.0, "{from:?} to {to:?}: {mean}");
            }
        }
    }
}

#[test]
fn few_colours_and_holes_survive_exactly() {
    // Where the square was, the background is to be seen through again.
    let holes = |x: u32, y: u32| if (x / 8 + y / 8).is_multiple_of(2) { CLEAR } else { GREEN };
    let pictures = wandering(4, holes);
    for format in FORMATS {
        let style = Style { is_lossless: true, ..style(format, 0) };
        let (frames, plays) = frames(&written(&pictures, &style)).unwrap();
        assert_eq!((frames.len(), plays), (4, 0));
        for (frame, (picture, _)) in frames.iter().zip(&pictures) {
            assert_eq!(difference(&frame.picture, picture).0, 0, "{format:?}");
        }
    }
}

#[test]
fn gif_keeps_its_colours_when_it_is_only_marked() {
    let source = written(&wandering(3, |_, _| BLUE), &style(Format::Gif, 0));
    let output = one(&source, r#"{"type":"watermark","text":"x","size":12,"position":"top-left","margin":2}"#);
    assert_eq!(output.format, Format::Gif);
    let (before, after) = (frames(&source).unwrap().0, frames(&output.data).unwrap().0);
    assert_eq!((before.len(), delays(&before)), (after.len(), delays(&after)));
    for (before, after) in before.iter().zip(&after) {
        let changed = |at: &usize| pixels(before)[*at] != pixels(after)[*at];
        let all: Vec<usize> = (0..48 * 40).filter(changed).collect();
        assert!(!all.is_empty() && all.iter().all(|at| at % 48 < 24 && at / 48 < 20), "only the corner is marked");
    }
}

#[test]
fn every_frame_is_resized() {
    let source = written(&wandering(3, quiet), &style(Format::Gif, 0));
    for to in FORMATS {
        let json = format!(r#"{{"type":"resize","width":24,"height":20,"format":"{}"}}"#, to.name());
        let output = one(&source, &json);
        assert_eq!((output.width, output.height), (24, 20));
        let (frames, _) = frames(&output.data).unwrap();
        assert_eq!(frames.len(), 3);
        for (i, frame) in frames.iter().enumerate() {
            let middle = pixels(frame)[(7 + 3 * i / 2) * 24 + 5 + 7 * i / 2];
            assert!(middle[0] > 200 && middle[1] < 80, "{to:?}: frame {i}: {middle:?}");
        }
    }
}

#[test]
fn stills_of_an_animation_are_its_first_frame() {
    let source = written(&wandering(3, quiet), &style(Format::Gif, 0));
    let operations = parse(
        r#"[{"type":"convert","format":"jpeg","quality":95},{"type":"convert","format":"png","still":true},
            {"type":"thumbnail","size":[24,24]},{"type":"convert","format":"webp","still":true,"quality":95}]"#,
        &Limits::default(),
    )
    .unwrap();
    let outputs = run(&source, &operations).unwrap();
    let counts: Vec<_> = outputs.iter().map(|output| output.animation.map_or(1, |told| told.frames)).collect();
    assert_eq!(counts, [1, 1, 3, 1]);
    let first = frames(&source).unwrap().0.remove(0).picture;
    for output in [&outputs[0], &outputs[1], &outputs[3]] {
        let limits = Limits::default();
        let header = probe(Cursor::new(&output.data), &limits).unwrap();
        assert_eq!(header.frames, 1);
        let (_, mean) = difference(&decoded(output), &first);
        assert!(mean < 6.0, "{:?}: {mean}", output.format);
    }
}

#[test]
fn unset_background_is_the_same_in_every_frame() {
    // Nothing is to be seen through but in the second of three frames.
    let opaque = wandering(3, quiet);
    let holes = wandering(3, |x, y| if x < 4 { CLEAR } else { quiet(x, y) });
    for pictures in [vec![opaque[0].clone(), holes[1].clone(), opaque[2].clone()], opaque] {
        for format in FORMATS {
            let source = written(&pictures, &Style { is_lossless: true, ..style(format, 0) });
            for operation in [
                r#""type":"pad","left":10"#,
                r#""type":"resize","width":80,"height":20,"fit":"contain""#,
                r#""type":"rotate","angle":20"#,
            ] {
                let output = one(&source, &format!("{{{operation}}}"));
                let (frames, _) = frames(&output.data).unwrap();
                assert_eq!(frames.len(), 3);
                let corners: Vec<u8> = frames.iter().map(|frame| pixels(frame)[0][3]).collect();
                assert_eq!(corners, [0; 3], "{format:?}: {operation}");
            }
        }
    }
}

#[test]
fn exif_goes_with_animations() {
    let source = written(&wandering(3, quiet), &style(Format::Png, 0));
    let exif = b"II*\0\x08\0\0\0\x02\0\x0f\x01\x02\0\x04\0\0\0MAK\0\x98\x82\x02\0\x04\0\0\0ANN\0\0\0\0\0";
    // Behind the signature and the header; the checksum is nobody's business before the pixels.
    let mut chunk = Vec::new();
    codec::animation::png_chunk(&mut chunk, *b"eXIf", &[exif]);
    let source = [&source[..33], &chunk, &source[33..]].concat();
    let holds = |output: &Output, word: &[u8]| output.data.windows(word.len()).any(|part| part == word);
    for format in FORMATS {
        let convert = |keep: &str| {
            let json = format!(r#"{{"type":"convert","format":"{}","keep":[{keep}]}}"#, format.name());
            let output = one(&source, &json);
            assert_eq!(output.animation.map(|told| told.frames), Some(3), "{format:?}");
            assert_eq!(frames(&output.data).unwrap().0.len(), 3, "{format:?}");
            [holds(&output, b"MAK\0"), holds(&output, b"ANN\0")]
        };
        let kept = format != Format::Gif;
        assert_eq!(convert(""), [false, false], "{format:?}");
        assert_eq!(convert(r#""copyright""#), [false, kept], "{format:?}");
        assert_eq!(convert(r#""exif""#), [kept, kept], "{format:?}");
    }
}

#[test]
fn automatic_quality_of_an_animation_is_found_on_its_first_frame() {
    let moving = |calm: bool| {
        let noise = move |x: u32, y: u32| if calm { [90, 120, 150, 255] } else { noise(x, y) };
        written(&wandering(2, noise), &style(Format::Png, 0))
    };
    let bytes = |source: &[u8], quality: &str| {
        one(source, &format!(r#"{{"type":"convert","format":"webp","quality":{quality}}}"#)).data.len()
    };
    let noisy = moving(false);
    assert!(bytes(&noisy, "\"auto\"") > bytes(&noisy, "60"));
    let calm = moving(true);
    assert!(bytes(&calm, "\"auto\"") <= bytes(&calm, "90"));
}

#[test]
fn near_lossless_animations_are_smaller() {
    // Smaller pictures libwebp leaves as they are.
    let pictures = [80, 81].map(|width| (samples::photo(width, 80), ms(50)));
    let pictures = pictures
        .map(|(picture, delay)| (Raster { width: 80, data: picture.data[..80 * 80 * 3].to_vec(), ..picture }, delay));
    let source = written(&pictures, &style(Format::Png, 0));
    let at = |quality: u8| {
        one(&source, &format!(r#"{{"type":"convert","format":"webp","lossless":true,"quality":{quality}}}"#))
    };
    let (near, exact) = (at(20), at(100));
    assert!(near.data.len() < exact.data.len(), "{} and {}", near.data.len(), exact.data.len());
    let shown = frames(&exact.data).unwrap().0;
    assert!(shown.iter().zip(&pictures).all(|(frame, (picture, _))| pixels(frame)[..] == picture.rgba()[..]));
}

#[test]
fn what_an_animation_does_not_follow_is_said() {
    let source = written(&wandering(2, quiet), &style(Format::Gif, 0));
    let warnings = |fields: &str| one(&source, &format!(r#"{{"type":"convert",{fields}}}"#)).warnings;
    assert_eq!(
        warnings(r#""format":"png","quality":50"#),
        ["not-followed: operations[0].quality: an animated PNG keeps all of its colours"]
    );
    assert!(warnings(r#""format":"gif","quality":50,"keep":["icc","exif"]"#).is_empty());
}

#[test]
fn webp_says_that_it_has_alpha_where_only_the_canvas_shows() {
    // libwebp stores but the square, in which nothing is transparent.
    let file = written(&wandering(3, |_, _| CLEAR), &style(Format::WebP, 0));
    assert_eq!((&file[12..16], file[20] & 0x10), (&b"VP8X"[..], 0x10));
}

#[test]
fn gif_palette_takes_in_the_colours_of_later_frames() {
    let picture = |i: u8| Raster::filled(9, 9, Channels::Rgb, &[i, 255 - i, 7]);
    let pictures: Vec<_> = (0..40).map(|i| (picture(i), ms(50))).collect();
    let file = written(&pictures, &style(Format::Gif, 0));
    // One palette of 64, and not a byte for others.
    assert_eq!(file[10] & 0x87, 0x85);
    assert!(file.len() < 13 + 3 * 64 + 19 + 40 * 50, "{}", file.len());
    let (frames, _) = frames(&file).unwrap();
    assert!(frames.iter().zip(&pictures).all(|(frame, (picture, _))| pixels(frame)[..] == picture.rgba()[..]));
}

#[test]
fn gif_shows_a_colour_that_comes_later() {
    // A small square in magenta, over a moving picture of many other colours.
    let wave = samples::photo(400, 240);
    let pictures: Vec<_> = (0..3)
        .map(|i: usize| {
            let data = (0..320 * 240).flat_map(|at| {
                let (x, y) = (at % 320, at / 320);
                let is_square = i > 0 && (100..108).contains(&x) && (100..108).contains(&y);
                if is_square { &[255, 0, 255] } else { &wave.data[(y * 400 + x + 16 * i) * 3..][..3] }
            });
            (Raster { width: 320, height: 240, channels: Channels::Rgb, data: data.copied().collect() }, ms(100))
        })
        .collect();
    let (frames, _) = frames(&written(&pictures, &style(Format::Gif, 0))).unwrap();
    for frame in &frames[1..] {
        let square: Vec<[u8; 4]> =
            (100..108).flat_map(|y| (100..108).map(move |x| (x, y))).map(|(x, y)| pixels(frame)[y * 320 + x]).collect();
        let mean = [0, 1, 2].map(|c| square.iter().map(|pixel| u32::from(pixel[c])).sum::<u32>() / 64);
        assert!(mean[0] > 230 && mean[1] < 40 && mean[2] > 230, "{mean:?}");
    }
}

#[test]
fn equal_frames_become_one_that_lasts_longer() {
    let mut pictures = wandering(2, quiet);
    pictures.insert(1, pictures[0].clone());
    pictures.push(pictures[2].clone());
    for format in FORMATS {
        let (frames, _) = frames(&written(&pictures, &style(format, 0))).unwrap();
        assert_eq!(delays(&frames), [80, 180], "{format:?}");
    }
    // Nothing moves at all: what is left is a picture.
    let still = vec![pictures[0].clone(), pictures[0].clone()];
    for format in FORMATS {
        let file = written(&still, &style(format, 0));
        assert_eq!(probe(Cursor::new(&file), &Limits::default()).unwrap().frames, 1, "{format:?}");
    }
}

#[test]
fn unchanged_pixels_cost_next_to_nothing() {
    let pictures = wandering(6, noise);
    for format in FORMATS {
        let one = written(&pictures[..1], &style(format, 0)).len();
        let six = written(&pictures, &style(format, 0)).len();
        assert!(six < 3 * one, "{format:?}: {one} and {six} bytes");
    }
}

#[test]
fn too_many_frames_are_refused_before_any_is_decoded() {
    let part = |_| Part { area: [0, 0, 1, 1], index: 0, dispose: gif::DisposalMethod::Keep, delay: 2 };
    let source = gif_of(&(0..10_000).map(part).collect::<Vec<_>>(), None);
    let error = run(&source, &[thumbnail(16).into()]).unwrap_err();
    assert_eq!(error.code, Code::TooManyFrames, "{error}");
    let frames = vec![([0, 0, 4, 1], RED, png::DisposeOp::None, png::BlendOp::Source); 901];
    let source = apng_of(&frames, None);
    assert_eq!(run(&source, &[thumbnail(16).into()]).unwrap_err().code, Code::TooManyFrames);
    let summed = Limits { max_frame_pixels: 11, ..Limits::default() };
    let source = gif_of(&(0..3).map(part).collect::<Vec<_>>(), None);
    assert_eq!(probe(Cursor::new(source), &summed).unwrap_err().code, Code::TooManyPixels);
}

#[test]
fn animations_cut_short_are_refused() {
    for format in FORMATS {
        let source = written(&wandering(4, quiet), &style(format, 0));
        for share in [95, 60] {
            let error = run(&source[..source.len() * share / 100], &[fill(10, 10).into()]).unwrap_err();
            assert!(
                matches!(error.code, Code::TruncatedImage | Code::CorruptImage),
                "{format:?} at {share} %: {error}"
            );
        }
    }
    // Only the last byte of a GIF, which says that it ends, can be done without.
    let source = written(&wandering(4, quiet), &style(Format::Gif, 0));
    assert!(run(&source[..source.len() - 1], &[fill(10, 10).into()]).is_ok());
}

#[test]
fn lenient_keeps_the_frames_so_far_and_says_so() {
    for format in FORMATS {
        let source = written(&wandering(4, quiet), &style(format, 0));
        let cut = &source[..source.len() - 20];
        let (limits, operations) = (Limits::default(), [fill(24, 20).into()]);
        let options = Options { lenient: true, ..Options::new(&limits) };
        let mut outputs = Vec::new();
        process(cut, &operations, &options, &mut |_, made| {
            outputs.push(picture(made));
            Ok(())
        })
        .unwrap();
        assert_eq!(outputs[0].animation.map(|told| told.frames), Some(3), "{format:?}");
        assert!(outputs[0].warnings[0].starts_with("truncated-image: "), "{:?}", outputs[0].warnings);
    }
}

#[test]
fn time_limit_ends_the_work_between_frames() {
    let source = written(&wandering(4, quiet), &style(Format::Gif, 0));
    let asked = std::cell::Cell::new(0);
    let interrupted = || {
        asked.set(asked.get() + 1);
        asked.get() > 6
    };
    let operations = [fill(10, 10).into()];
    let limits = Limits::default();
    let options = Options { interrupted: &interrupted, ..Options::new(&limits) };
    let error = process(&source, &operations, &options, &mut |_, _| Ok(())).unwrap_err();
    assert_eq!(error.code, Code::TimeLimit, "{error}");
}

#[test]
fn delays_of_any_length_are_told_as_well_as_the_format_can() {
    let picture = |i: u8| Raster::filled(4, 4, Channels::Rgb, &[i, 0, 0]);
    let pictures = [(picture(0), Duration::from_secs(1) / 30), (picture(99), Duration::from_secs(100_000))];
    for (format, wanted) in
        [(Format::Gif, [30, 655_350]), (Format::WebP, [33, 16_777_215]), (Format::Png, [33, 65_535_000])]
    {
        let (frames, _) = frames(&written(&pictures, &style(format, 1))).unwrap();
        assert_eq!(delays(&frames), wanted, "{format:?}");
    }
}

#[test]
fn equal_frames_become_as_many_as_their_time_takes() {
    let picture = |i: u8| Raster::filled(4, 4, Channels::Rgb, &[i, 0, 0]);
    let long = |i| (picture(i), Duration::from_mins(10));
    let pictures = [long(0), long(0), long(0), (picture(99), ms(50))];
    for (format, wanted) in [
        (Format::Gif, vec![600_000, 600_000, 600_000, 50]),
        (Format::WebP, vec![1_800_000, 50]),
        (Format::Png, vec![1_800_000, 50]),
    ] {
        let (frames, _) = frames(&written(&pictures, &style(format, 1))).unwrap();
        assert_eq!(delays(&frames), wanted, "{format:?}");
    }
}

#[test]
fn duration_is_told_as_it_is_written() {
    let picture = |i: u8| Raster::filled(4, 4, Channels::Rgb, &[i, 0, 0]);
    let pictures = [(picture(0), Duration::from_micros(16_667)), (picture(99), Duration::from_secs(100_000))];
    for format in FORMATS {
        let mut writer = Writer::new((4, 4), &style(format, 1)).unwrap();
        for (picture, delay) in &pictures {
            writer.push(picture.clone(), *delay).unwrap();
        }
        let told = writer.finish().unwrap();
        let written: Duration = frames(&told.data).unwrap().0.iter().map(|frame| frame.delay).sum();
        assert_eq!(told.duration, written, "{format:?}");
    }
}

#[test]
fn mutated_animations_are_read_or_blamed() {
    let limits = Limits { max_pixels: 20_000, max_frame_pixels: 100_000, ..Limits::default() };
    let operations = parse(r#"[{"type":"resize","width":20},{"type":"thumbnail","size":[9,9]}]"#, &limits).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    for format in FORMATS {
        let source = written(&wandering(3, |_, _| BLUE), &style(format, 0));
        for _ in 0..150 {
            let mut mutated = source.clone();
            for _ in 0..=next(4) {
                mutated[next(source.len())] = next(256) as u8;
            }
            if let Err(error) = process(&mutated, &operations, &Options::new(&limits), &mut |_, _| Ok(())) {
                let ours = [Code::DecoderFailure, Code::InvalidOperation, Code::Storage];
                assert!(!ours.contains(&error.code), "{error}");
            }
        }
    }
}

#[test]
fn animations_of_the_corpus_keep_their_frames_in_every_format() {
    let Some(folder) = std::env::var_os("PIXMILL_CORPUS") else {
        eprintln!("PIXMILL_CORPUS is not set: the animations of the corpus are left out");
        return;
    };
    for part in ["gif", "apng", "webp"] {
        for entry in std::fs::read_dir(std::path::Path::new(&folder).join(part)).unwrap() {
            let path = entry.unwrap().path();
            let source = std::fs::read(&path).unwrap();
            let Ok(header) = probe(Cursor::new(&source), &Limits::default()) else { continue };
            if header.frames == 1 {
                continue;
            }
            let (before, plays) = frames(&source).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let total: Duration = before.iter().map(|frame| frame.delay).sum();
            for to in FORMATS {
                let output = one(&source, &format!(r#"{{"type":"convert","format":"{}"}}"#, to.name()));
                if let Some(dump) = std::env::var_os("PIXMILL_DUMP") {
                    let stem = path.file_stem().unwrap().to_string_lossy();
                    let name = format!("{part}__{stem}.{}", to.extension());
                    std::fs::write(std::path::Path::new(&dump).join(name), &output.data).unwrap();
                }
                if output.animation.is_none() {
                    // All frames were the same.
                    let (_, mean) = difference(&decoded(&output), &before[0].picture);
                    assert!(mean < 9.0, "{} to {to:?}: {mean}", path.display());
                    continue;
                }
                let (after, replays) = frames(&output.data).unwrap();
                let told: Duration = after.iter().map(|frame| frame.delay).sum();
                assert!(told.abs_diff(total) <= ms(10), "{} to {to:?}: {told:?}, was {total:?}", path.display());
                assert_eq!(replays, plays, "{} to {to:?}", path.display());
                // What is shown at any time is what was shown then.
                let mut ends = Duration::ZERO;
                for frame in &before {
                    let middle = ends + frame.delay / 2;
                    ends += frame.delay;
                    let mut until = Duration::ZERO;
                    let shown = after.iter().find(|after| {
                        until += after.delay;
                        until > middle
                    });
                    let (_, mean) = difference(&shown.unwrap().picture, &frame.picture);
                    assert!(mean < 9.0, "{} to {to:?} at {middle:?}: {mean}", path.display());
                }
            }
        }
    }
}

#[test]
fn alpha_of_animated_webp_and_apng_survives() {
    let soft = |x: u32, _| [0, 200, 0, (x * 5) as u8];
    let pictures = wandering(2, soft);
    for format in [Format::WebP, Format::Png] {
        let source = written(&pictures, &Style { is_lossless: true, ..style(format, 0) });
        let output = one(&source, r#"{"type":"resize","width":24,"height":20}"#);
        let (frames, _) = frames(&output.data).unwrap();
        assert_eq!((output.format, frames.len()), (format, 2));
        assert!((pixels(&frames[0])[20 * 24 - 12][3]).abs_diff(122) < 8);
    }
}
