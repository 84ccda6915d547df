//! What operations make of pixels: values by hand, on every kind of picture.

use super::*;
use crate::operation::ActionPath;
use crate::ops;
use crate::raster::{Alpha, Channels, Sample};
use fast_image_resize::Resizer;

/// A single operation on a raster, as the pipeline takes it.
fn on<S: Sample>(picture: &Raster<S>, json: &str) -> Raster<S> {
    let limits = Limits::default();
    let operations = parse(&format!("[{json}]"), &limits).unwrap();
    let mut resizer = Resizer::new();
    let step = ops::settle(&operations[0].action, picture, ActionPath::default(), &limits, &mut resizer).unwrap();
    let borrowed = std::borrow::Cow::Borrowed(picture);
    let made = ops::perform(borrowed, &step, Alpha::Soft, &mut resizer, &|| Ok(())).unwrap().into_owned();
    assert_eq!(made.size(), step.size(picture.size()), "{json}: planned otherwise");
    assert_eq!(made.data.len(), made.stride() * made.height as usize, "{json}");
    made
}

fn even(width: u32, height: u32, channels: Channels, colour: &[u8]) -> Raster {
    Raster::filled(width, height, channels, colour)
}

fn gray(width: u32, data: &[u8]) -> Raster {
    Raster { width, height: data.len() as u32 / width, channels: Channels::Gray, data: data.to_vec() }
}

fn rgb(width: u32, pixels: &[[u8; 3]]) -> Raster {
    let (height, data) = (pixels.len() as u32 / width, pixels.as_flattened().to_vec());
    Raster { width, height, channels: Channels::Rgb, data }
}

fn rgba(width: u32, pixels: &[[u8; 4]]) -> Raster {
    let (height, data) = (pixels.len() as u32 / width, pixels.as_flattened().to_vec());
    Raster { width, height, channels: Channels::Rgba, data }
}

fn sixteen(picture: &Raster) -> Raster<u16> {
    let data = picture.data.iter().map(|&v| u16::widen(v)).collect();
    Raster { width: picture.width, height: picture.height, channels: picture.channels, data }
}

fn pixel<S: Sample>(picture: &Raster<S>, x: u32, y: u32) -> &[S] {
    let count = picture.channels.count();
    &picture.data[(y * picture.width + x) as usize * count..][..count]
}

/// One of each operation.
const ALL: [&str; 31] = [
    r#"{"type":"flatten","background":[1,2,3]}"#,
    r#"{"type":"resize","width":7,"height":5}"#,
    r#"{"type":"resize","width":7,"linear":true}"#,
    r#"{"type":"resize","width":7,"height":5,"fit":"cover","gravity":"smart"}"#,
    r#"{"type":"resize","width":7,"height":5,"fit":"contain","background":[1,2,3,4]}"#,
    r#"{"type":"thumbnail","size":[5,5],"fit":"cover","gravity":{"x":0.1,"y":0.9}}"#,
    r#"{"type":"crop","width":3,"height":2,"gravity":"smart"}"#,
    r#"{"type":"crop","left":0,"top":0,"width":3,"height":2}"#,
    r#"{"type":"crop","aspect":"1:3"}"#,
    r#"{"type":"rotate","angle":90}"#,
    r#"{"type":"rotate","angle":-33.3}"#,
    r#"{"type":"rotate","angle":100,"background":[0,0,0,0]}"#,
    r#"{"type":"flip"}"#,
    r#"{"type":"flop"}"#,
    r#"{"type":"pad","top":1,"left":2}"#,
    r#"{"type":"pad","aspect":"2:1","background":[9,9,9]}"#,
    r#"{"type":"trim"}"#,
    r#"{"type":"round","radius":2}"#,
    r#"{"type":"round","radius":"circle","background":[255,0,0]}"#,
    r#"{"type":"blur","sigma":0.5}"#,
    r#"{"type":"blur","sigma":40}"#,
    r#"{"type":"sharpen"}"#,
    r#"{"type":"brightness","amount":1.5}"#,
    r#"{"type":"contrast","amount":0.5}"#,
    r#"{"type":"saturation","amount":2}"#,
    r#"{"type":"gamma","gamma":2.2}"#,
    r#"{"type":"grayscale"}"#,
    r#"{"type":"sepia"}"#,
    r#"{"type":"invert"}"#,
    r#"{"type":"pixelate","size":4}"#,
    r#"{"type":"watermark","text":"x"}"#,
];

#[test]
fn every_operation_takes_every_picture() {
    for (width, height) in [(1, 1), (1, 9), (9, 1), (17, 18), (40, 23)] {
        let noise =
            |count: u32| (0..width * height * count).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for channels in [Channels::Gray, Channels::Rgb, Channels::Rgba] {
            let picture = Raster { width, height, channels, data: noise(channels.count() as u32) };
            for json in ALL {
                let (eight, deep) = (on(&picture, json), on(&sixteen(&picture), json));
                assert_eq!((eight.size(), eight.channels), (deep.size(), deep.channels), "{json}");
                if !picture.has_alpha() {
                    // Both depths agree up to rounding; nearly transparent colours are too coarse in eight bits.
                    let worst = eight.data.iter().zip(&deep.narrowed().data).map(|(a, b)| a.abs_diff(*b)).max();
                    assert!(worst <= Some(3), "{json} on {width}x{height} {channels:?}: {worst:?}");
                }
            }
        }
    }
}

#[test]
fn even_pictures_stay_even() {
    for (channels, colour) in
        [(Channels::Gray, &[77][..]), (Channels::Rgb, &[10, 200, 30]), (Channels::Rgba, &[10, 200, 30, 100])]
    {
        let picture = even(37, 29, channels, colour);
        for json in [
            r#"{"type":"blur","sigma":0.3}"#,
            r#"{"type":"blur","sigma":2.9}"#,
            r#"{"type":"blur","sigma":3}"#,
            r#"{"type":"blur","sigma":250}"#,
            r#"{"type":"sharpen","sigma":5,"amount":10}"#,
            r#"{"type":"pixelate","size":8}"#,
            r#"{"type":"resize","width":20,"linear":true}"#,
            r#"{"type":"brightness","amount":1}"#,
            r#"{"type":"contrast","amount":1}"#,
            r#"{"type":"saturation","amount":1}"#,
            r#"{"type":"gamma","gamma":1}"#,
        ] {
            let made = on(&picture, json);
            for pixel in made.data.chunks_exact(channels.count()) {
                let close = pixel.iter().zip(colour).all(|(a, b)| a.abs_diff(*b) <= 1);
                assert!(close, "{json}: {pixel:?} of {colour:?}");
            }
        }
    }
}

#[test]
fn blur_is_gaussian() {
    // A line of light in the dark, far from the edges; both ways of blurring.
    for sigma in [1.0f64, 2.5, 4.0, 9.0] {
        let mut picture = Raster::<u16>::filled(129, 3, Channels::Gray, &[0]);
        for row in picture.data.chunks_exact_mut(129) {
            row[64] = 60_000;
        }
        let made = on(&picture, &format!(r#"{{"type":"blur","sigma":{sigma}}}"#));
        let row = &made.data[129..258];
        let sum: f64 = row.iter().map(|&v| f64::from(v)).sum();
        let variance: f64 =
            row.iter().enumerate().map(|(x, &v)| f64::from(v) * (x as f64 - 64.0).powi(2)).sum::<f64>() / sum;
        assert!((sum / 60_000.0 - 1.0).abs() < 0.02, "sigma {sigma}: light is lost or won: {sum}");
        assert!((variance.sqrt() / sigma - 1.0).abs() < 0.05, "sigma {sigma}: {}", variance.sqrt());
        let peak = 60_000.0 / (sigma * (2.0 * std::f64::consts::PI).sqrt());
        assert!((f64::from(row[64]) / peak - 1.0).abs() < 0.06, "sigma {sigma}: {} of {peak}", row[64]);
        assert!(row.iter().zip(row.iter().rev()).all(|(a, b)| a.abs_diff(*b) <= 2), "it leans");
    }
}

#[test]
fn blur_keeps_transparent_colour_out() {
    let mut pixels = vec![[0, 255, 0, 0]; 64];
    pixels[32..].fill([255, 0, 0, 255]);
    for pixel in on(&rgba(64, &pixels), r#"{"type":"blur","sigma":5}"#).data.as_chunks::<4>().0 {
        assert!(pixel[3] < 8 || (pixel[0] >= 250 && pixel[1] <= 2), "a halo: {pixel:?}");
    }
}

#[test]
fn sharpen_adds_contrast_to_edges_above_its_threshold() {
    let mut row = vec![100u8; 20];
    row[10..].fill(110);
    let sharp = on(&gray(20, &row), r#"{"type":"sharpen","amount":2}"#);
    assert!(sharp.data[9] < 97 && sharp.data[10] > 113, "{:?}", &sharp.data[8..12]);
    assert_eq!((sharp.data[0], sharp.data[19]), (100, 110));
    assert_eq!(on(&gray(20, &row), r#"{"type":"sharpen","amount":2,"threshold":12}"#).data, row);
}

#[test]
fn curves_have_the_values_that_they_say() {
    let picture = rgba(1, &[[10, 100, 200, 50]]);
    for (json, expected) in [
        (r#"{"type":"brightness","amount":1.5}"#, [15, 150, 255, 50]),
        (r#"{"type":"brightness","amount":0}"#, [0, 0, 0, 50]),
        (r#"{"type":"contrast","amount":2}"#, [0, 73, 255, 50]),
        (r#"{"type":"contrast","amount":0}"#, [128, 128, 128, 50]),
        (r#"{"type":"gamma","gamma":2}"#, [50, 160, 226, 50]),
        (r#"{"type":"invert"}"#, [245, 155, 55, 50]),
        // 0.299 * 10 + 0.587 * 100 + 0.114 * 200 = 84.49
        (r#"{"type":"grayscale"}"#, [84, 84, 84, 50]),
        (r#"{"type":"saturation","amount":0}"#, [84, 84, 84, 50]),
        (r#"{"type":"saturation","amount":2}"#, [0, 116, 255, 50]),
        (r#"{"type":"sepia"}"#, [119, 106, 82, 50]),
        (r#"{"type":"sepia","amount":0}"#, [10, 100, 200, 50]),
    ] {
        assert_eq!(on(&picture, json).data, expected, "{json}");
    }
}

#[test]
fn grey_is_one_channel_and_stays_it() {
    let colour = rgb(2, &[[255, 0, 0], [0, 0, 255]]);
    let grey = on(&colour, r#"{"type":"grayscale"}"#);
    assert_eq!((grey.channels, grey.data.as_slice()), (Channels::Gray, &[76, 29][..]));
    for json in [r#"{"type":"saturation","amount":3}"#, r#"{"type":"invert"}"#, r#"{"type":"blur"}"#] {
        assert_eq!(on(&grey, json).channels, Channels::Gray, "{json}");
    }
    assert_eq!(on(&grey, r#"{"type":"sepia"}"#).channels, Channels::Rgb);
}

#[test]
fn pixelate_averages_its_squares() {
    let picture = gray(5, &[0, 10, 100, 104, 7, 20, 30, 100, 104, 9, 50, 50, 60, 60, 1]);
    let made = on(&picture, r#"{"type":"pixelate","size":2}"#);
    assert_eq!(made.data, [15, 15, 102, 102, 8, 15, 15, 102, 102, 8, 50, 50, 60, 60, 1]);
    // Colour counts by its alpha.
    let made = on(&rgba(2, &[[200, 0, 0, 255], [0, 0, 200, 0]]), r#"{"type":"pixelate","size":2}"#);
    assert_eq!(made.data, [200, 0, 0, 128, 200, 0, 0, 128]);
}

#[test]
fn linear_light_keeps_fine_bright_detail_bright() {
    let stripes: Vec<u8> = (0..64 * 64).map(|i| if i % 2 == 0 { 255 } else { 0 }).collect();
    let curved = on(&gray(64, &stripes), r#"{"type":"resize","width":8,"filter":"bilinear"}"#);
    let linear = on(&gray(64, &stripes), r#"{"type":"resize","width":8,"filter":"bilinear","linear":true}"#);
    assert!(curved.data[27].abs_diff(128) <= 2, "{}", curved.data[27]);
    // Half the light is 188 of 255 on sRGB's curve.
    assert!(linear.data[27].abs_diff(188) <= 2, "{}", linear.data[27]);
}

#[test]
fn pixel_of_every_frame() {
    let picture = rgb(3, &[[1; 3], [2; 3], [3; 3], [4; 3], [5; 3], [6; 3]]);
    let firsts = |made: &Raster| made.data.chunks_exact(3).map(|pixel| pixel[0]).collect::<Vec<_>>();
    for (json, size, expected) in [
        (r#"{"type":"rotate","angle":90}"#, (2, 3), &[4, 1, 5, 2, 6, 3][..]),
        (r#"{"type":"rotate","angle":-270}"#, (2, 3), &[4, 1, 5, 2, 6, 3]),
        (r#"{"type":"rotate","angle":180}"#, (3, 2), &[6, 5, 4, 3, 2, 1]),
        (r#"{"type":"rotate","angle":270}"#, (2, 3), &[3, 6, 2, 5, 1, 4]),
        (r#"{"type":"flip"}"#, (3, 2), &[4, 5, 6, 1, 2, 3]),
        (r#"{"type":"flop"}"#, (3, 2), &[3, 2, 1, 6, 5, 4]),
        (r#"{"type":"crop","left":1,"top":1,"width":1,"height":1}"#, (1, 1), &[5]),
        // What lies outside is not there.
        (r#"{"type":"crop","left":2,"top":0,"width":9,"height":9}"#, (1, 2), &[3, 6]),
        (r#"{"type":"crop","width":2,"height":1,"gravity":"bottom-right"}"#, (2, 1), &[5, 6]),
        (r#"{"type":"crop","width":1,"height":2,"gravity":{"x":0,"y":0}}"#, (1, 2), &[1, 4]),
        (r#"{"type":"crop","width":1,"height":2,"gravity":{"x":0.5,"y":1}}"#, (1, 2), &[2, 5]),
        (r#"{"type":"crop","aspect":"1:1"}"#, (2, 2), &[2, 3, 5, 6]),
        (r#"{"type":"pad","right":1,"background":[9,9,9]}"#, (4, 2), &[1, 2, 3, 9, 4, 5, 6, 9]),
        (r#"{"type":"pad","aspect":"1:1","gravity":"top","background":[9,9,9]}"#, (3, 3), &[1, 2, 3, 4, 5, 6, 9, 9, 9]),
        (r#"{"type":"pad","width":2,"height":3,"gravity":"bottom"}"#, (3, 3), &[255, 255, 255, 1, 2, 3, 4, 5, 6]),
    ] {
        let made = on(&picture, json);
        assert_eq!((made.size(), firsts(&made).as_slice()), (size, expected), "{json}");
    }
}

#[test]
fn any_angle_shows_the_picture_in_the_middle_and_background_in_the_corners() {
    for degrees in [1, 30, 44, 45, 46, 89, 91, 135, 200, 271, 359, -10i32] {
        let picture = even(60, 40, Channels::Rgb, &[10, 20, 30]);
        let made = on(&picture, &format!(r#"{{"type":"rotate","angle":{degrees},"background":[200,100,0]}}"#));
        let (w, h) = made.size();
        assert_eq!(pixel(&made, w / 2, h / 2), [10, 20, 30], "{degrees}");
        for (x, y) in [(0, 0), (w - 1, 0), (0, h - 1), (w - 1, h - 1)] {
            let corner = pixel(&made, x, y);
            assert!(corner[0] > 150 || degrees.abs() <= 1 || degrees == 359, "{degrees}: {corner:?}");
        }
        let ink: f64 = made.data.chunks_exact(3).map(|p| (200.0 - f64::from(p[0])) / 190.0).sum();
        assert!((ink / 2400.0 - 1.0).abs() < 0.02, "{degrees}: {ink} pixels of 2400");
    }
    // Clockwise: what was at the top is on the right.
    let mut picture = even(40, 40, Channels::Gray, &[0]);
    picture.data[..400].fill(255);
    let made = on(&picture, r#"{"type":"rotate","angle":80,"background":[0,0,0]}"#);
    let (w, h) = made.size();
    assert!(pixel(&made, w - 6, h / 2)[0] > 200 && pixel(&made, 6, h / 2)[0] < 50);
}

#[test]
fn turned_edges_have_no_halo() {
    let picture = even(30, 30, Channels::Rgba, &[255, 255, 255, 255]);
    let made = on(&picture, r#"{"type":"rotate","angle":20}"#);
    assert_eq!(pixel(&made, 0, 0), [0; 4]);
    for pixel in made.data.as_chunks::<4>().0 {
        assert!(pixel[3] < 4 || pixel[..3].iter().all(|&v| v > 250), "{pixel:?}");
    }
}

#[test]
fn turning_leaves_what_is_transparent_inside() {
    let mut picture = even(40, 40, Channels::Rgba, &[200, 0, 0, 255]);
    for y in 10..30 {
        picture.data[(y * 40 + 10) * 4..][..80].fill(0);
    }
    let made = on(&picture, r#"{"type":"rotate","angle":30,"background":[0,0,255]}"#);
    let (w, h) = made.size();
    assert_eq!((pixel(&made, w / 2, h / 2)[3], pixel(&made, 0, 0)), (0, &[0, 0, 255, 255][..]));
}

#[test]
fn flattened_pictures_show_the_background_through() {
    let picture = rgba(3, &[[200, 100, 0, 255], [200, 100, 0, 128], [9, 9, 9, 0]]);
    let made = on(&picture, r#"{"type":"flatten","background":[0,100,200]}"#);
    assert_eq!(made, rgb(3, &[[200, 100, 0], [100, 100, 100], [0, 100, 200]]));
    assert_eq!(on(&picture, r#"{"type":"flatten"}"#), picture.over_white().into_owned());
    let opaque = gray(2, &[1, 2]);
    assert_eq!(on(&opaque, r#"{"type":"flatten"}"#), opaque);
}

#[test]
fn trim_finds_the_border_and_its_colour() {
    let mut picture = even(20, 12, Channels::Rgb, &[250, 250, 250]);
    for y in 3..7 {
        for x in 5..11 {
            picture.data[(y * 20 + x) * 3..][..3].copy_from_slice(&[10, 20, 30]);
        }
    }
    assert_eq!(on(&picture, r#"{"type":"trim"}"#).size(), (6, 4));
    // A speck in one corner does not make another border of it.
    picture.data[..3].fill(0);
    assert_eq!(on(&picture, r#"{"type":"trim"}"#).size(), (11, 7));
    // Noise counts as border up to the threshold.
    let noisy = gray(4, &[250, 245, 250, 250, 250, 100, 250, 246, 250, 250, 244, 250]);
    assert_eq!(on(&noisy, r#"{"type":"trim"}"#).data, [100]);
    assert_eq!(on(&noisy, r#"{"type":"trim","threshold":2}"#).size(), (3, 3));
    assert_eq!(on(&noisy, r#"{"type":"trim","threshold":0,"color":[1,1,1]}"#).size(), (4, 3));
    let picture = even(5, 5, Channels::Gray, &[7]);
    assert_eq!(on(&picture, r#"{"type":"trim"}"#).size(), (5, 5), "nothing but border is left as it is");
    let clear = rgba(3, &[[9, 9, 9, 0], [1, 2, 3, 255], [200, 0, 0, 0]]);
    assert_eq!(on(&clear, r#"{"type":"trim"}"#).data, [1, 2, 3, 255], "what cannot be seen is alike");
}

#[test]
fn round_corners_are_circles() {
    let picture = even(100, 60, Channels::Rgb, &[10, 20, 30]);
    let made = on(&picture, r#"{"type":"round","radius":20}"#);
    assert_eq!(made.channels, Channels::Rgba);
    assert_eq!((pixel(&made, 0, 0)[3], pixel(&made, 20, 0)[3], pixel(&made, 0, 30)[3]), (0, 255, 255));
    let hidden: f64 = made.data.as_chunks::<4>().0.iter().map(|p| 1.0 - f64::from(p[3]) / 255.0).sum();
    let expected = (4.0 - std::f64::consts::PI) * 400.0;
    assert!((hidden / expected - 1.0).abs() < 0.02, "{hidden} of {expected}");
    let circle = on(&picture, r#"{"type":"round","radius":"circle","background":[255,255,255]}"#);
    assert_eq!((circle.size(), circle.channels), ((60, 60), Channels::Rgb));
    assert_eq!((pixel(&circle, 0, 0), pixel(&circle, 30, 30)), (&[255, 255, 255][..], &[10, 20, 30][..]));
    assert_eq!(pixel(&on(&picture, r#"{"type":"round","radius":"50%"}"#), 1, 1)[3], 0);
}

#[test]
fn smart_gravity_prefers_detail_to_a_wall_in_the_colour_of_skin() {
    let mut picture = even(300, 100, Channels::Rgb, &[200, 146, 113]);
    for (x, y) in (20..80).flat_map(|y| (215..275).map(move |x| (x, y))) {
        let grey = if (x / 4 + y / 4) % 2 == 0 { 60 } else { 140 };
        picture.data[(y * 300 + x) * 3..][..3].fill(grey);
    }
    let made = on(&picture, r#"{"type":"crop","width":100,"height":100,"gravity":"smart"}"#);
    let kept = made.data.as_chunks::<3>().0.iter().filter(|pixel| pixel[0] < 200).count();
    assert_eq!(kept, 60 * 60, "the object is cut");
}

#[test]
fn smart_gravity_finds_what_draws_the_eye() {
    // A dull wall with a face-coloured, detailed spot on the far right.
    let mut picture = even(300, 100, Channels::Rgb, &[90, 92, 95]);
    for y in 30..70u32 {
        for x in 235..275u32 {
            let at = ((y * 300 + x) * 3) as usize;
            let skin = if (x / 4 + y / 4) % 2 == 0 { [224, 172, 140] } else { [190, 130, 100] };
            picture.data[at..at + 3].copy_from_slice(&skin);
        }
    }
    let made = on(&picture, r#"{"type":"crop","width":100,"height":100,"gravity":"smart"}"#);
    let spot = made.data.chunks_exact(3).filter(|pixel| pixel[0] > 150).count();
    assert_eq!((made.size(), spot), ((100, 100), 1600));
    let made = on(&picture, r#"{"type":"resize","width":50,"height":50,"fit":"cover","gravity":"smart"}"#);
    assert!(made.data.chunks_exact(3).filter(|pixel| pixel[0] > 150).count() > 350);
    // Where nothing does, the middle stays.
    let picture = even(300, 100, Channels::Rgb, &[90, 92, 95]);
    let mut marked = picture.clone();
    marked.data[150 * 3] = 91;
    assert_eq!(pixel(&on(&marked, r#"{"type":"crop","width":2,"height":100,"gravity":"smart"}"#), 1, 0)[0], 91);
}
