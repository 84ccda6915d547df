//! Marks on pictures.

use super::*;
use crate::operation::{Tile, parse};
use crate::raster::{Alpha, Channels, Sample};
use crate::text::sin_cos;
use crate::{Code, Error, Limits};

fn marked(watermark: &Watermark, picture: Raster) -> Raster {
    let mark = mark(watermark, picture.size()).unwrap();
    drawn(picture, &mark)
}

fn drawn<S: Sample>(picture: Raster<S>, mark: &Mark) -> Raster<S> {
    draw(picture, mark, Alpha::Soft, &|| Ok(())).unwrap()
}

fn wanted(fields: &str) -> Watermark {
    let json = format!(r#"[{{"type": "watermark", {fields}}}]"#);
    let mut operations = parse(&json, &Limits::default()).unwrap();
    let crate::operation::Action::Watermark(watermark) = operations.remove(0).action else { panic!() };
    watermark
}

fn black(width: u32, height: u32) -> Raster {
    Raster::filled(width, height, Channels::Rgb, &[0, 0, 0])
}

/// Left, top, right and bottom of what differs from the background.
fn ink(picture: &Raster, background: u8) -> (u32, u32, u32, u32) {
    let mut bounds = (u32::MAX, u32::MAX, 0, 0);
    let count = picture.channels.count();
    for (i, pixel) in picture.data.chunks_exact(count).enumerate() {
        if pixel[0] != background {
            let (x, y) = (i as u32 % picture.width, i as u32 / picture.width);
            bounds = (bounds.0.min(x), bounds.1.min(y), bounds.2.max(x), bounds.3.max(y));
        }
    }
    bounds
}

fn at(anchor: Anchor) -> Position {
    Position::At(anchor)
}

#[test]
fn ink_stands_exactly_the_margin_from_the_edges() {
    let picture = Raster::filled(400, 300, Channels::Gray, &[0]);
    let wanted = Watermark { position: at(Anchor::TopLeft), ..Watermark::new("MySite") };
    let (left, top, ..) = ink(&marked(&wanted, picture.clone()), 0);
    assert_eq!((left, top), (10, 10));
    let (.., right, bottom) = ink(&marked(&Watermark::new("MySite"), picture.clone()), 0);
    assert_eq!((right, bottom), (400 - 1 - 10, 300 - 1 - 10));
    let share = Watermark { margin: Length::Share(5.0), ..Watermark::new("MySite") };
    let (.., right, bottom) = ink(&marked(&share, picture), 0);
    assert_eq!((right, bottom), (400 - 1 - 20, 300 - 1 - 20));
}

#[test]
fn text_shrinks_until_it_fits() {
    for side in [1, 2, 8, 20, 64] {
        let picture = marked(&Watermark::new("MySite, and a long line more"), black(side, side));
        assert_eq!(picture.size(), (side, side));
    }
    let picture = Raster::filled(100, 300, Channels::Gray, &[0]);
    let (left, _, right, _) = ink(&marked(&Watermark::new("A long line of text"), picture), 0);
    assert!(left >= 10 && right < 90, "{left}..{right}");
}

#[test]
fn every_kind_of_mark_fits_a_tiny_picture() {
    let effects = r#""outline": {"width": 3}, "shadow": {"blur": 9}"#;
    for fields in ["", r#""angle": 33"#, effects, r#""weight": "bold", "max_width": "50%""#, r#""position": "tile""#] {
        let fields = format!(
            r#""text": "我的 MySite", "color": [255, 255, 255]{}{fields}"#,
            if fields.is_empty() { "" } else { "," }
        );
        let picture = marked(&wanted(&fields), black(8, 8));
        assert!(picture.data.iter().any(|&v| v > 0), "{fields}");
    }
}

#[test]
fn size_can_be_a_share_of_the_width() {
    let height = |width: u32| {
        let (_, top, _, bottom) = ink(&marked(&wanted(r#""text": "H", "size": "10%""#), black(width, 400)), 0);
        bottom - top
    };
    let (small, large) = (height(400), height(800));
    assert!((2 * small - 2..=2 * small + 2).contains(&large), "{small} {large}");
}

#[test]
fn alpha_blends_half() {
    let picture = Raster::filled(200, 100, Channels::Rgb, &[0, 100, 200]);
    let marked = marked(&Watermark::new("MM"), picture);
    let brightest = marked.data.chunks_exact(3).max_by_key(|pixel| pixel[0]).unwrap();
    assert_eq!(brightest, [128, 178, 228]);
}

#[test]
fn mark_on_transparency_keeps_its_own_colour() {
    let picture = Raster::filled(200, 100, Channels::Rgba, &[10, 20, 30, 0]);
    let marked = marked(&Watermark::new("MM"), picture);
    let strongest = marked.data.chunks_exact(4).max_by_key(|pixel| pixel[3]).unwrap();
    assert_eq!(strongest, [255, 255, 255, 128]);
}

#[test]
fn sixteen_bits_are_blended_as_eight_are() {
    let shadowed =
        wanted(r#""text": "MM", "color": [255, 0, 0, 200], "shadow": {}, "outline": {"color": [0, 0, 255]}"#);
    let eight = Raster::<u8>::filled(200, 100, Channels::Rgb, &[10, 100, 200]);
    let sixteen = Raster::<u16>::filled(200, 100, Channels::Rgb, &[10, 100, 200].map(u16::widen));
    for watermark in [Watermark::new("MM"), shadowed] {
        let mark = mark(&watermark, (200, 100)).unwrap();
        let (eight, sixteen) = (drawn(eight.clone(), &mark), drawn(sixteen.clone(), &mark).narrowed());
        assert!(eight.data.iter().zip(&sixteen.data).all(|(a, b)| a.abs_diff(*b) <= 1));
    }
}

#[test]
fn gray_stays_gray_under_a_gray_mark_only() {
    let picture = Raster::filled(200, 100, Channels::Gray, &[90]);
    assert_eq!(marked(&wanted(r#""text": "M", "outline": {}"#), picture.clone()).channels, Channels::Gray);
    assert_eq!(marked(&wanted(r#""text": "M", "outline": {"color": [9, 0, 0]}"#), picture).channels, Channels::Rgb);
}

#[test]
fn missing_glyph_is_named() {
    let error = mark(&Watermark::new("a\u{10ffff}"), (100, 100)).err().unwrap();
    assert_eq!(error.code, Code::MissingGlyph);
    assert!(error.detail.contains("U+10FFFF"), "{error}");
}

#[test]
fn tile_covers_every_part_of_the_picture() {
    for angle in [0.0, 30.0, -45.0, 90.0] {
        let tiled = Watermark {
            position: Position::Tile(Tile::Tile),
            size: Some(Length::Pixels(12)),
            angle,
            ..Watermark::new("MySite")
        };
        let picture = marked(&tiled, black(400, 300));
        for (x, y) in (0..4).flat_map(|x| (0..3).map(move |y| (x * 100, y * 100))) {
            let part = (y..y + 100).flat_map(|row| &picture.data[(row * 400 + x) * 3..(row * 400 + x + 100) * 3]);
            assert!(part.into_iter().any(|&v| v > 0), "{angle}°: nothing at {x}, {y}");
        }
    }
}

#[test]
fn tile_of_the_smallest_marks_on_a_long_picture_ends() {
    let tiled = wanted(r#""text": ".", "size": 1, "position": "tile", "spacing": 0, "angle": 45"#);
    let mark = mark(&tiled, (131_072, 300)).unwrap();
    assert!(mark.places((131_072, 300)).count() < 131_072 * 300 / 12);
}

#[test]
fn tile_of_turned_lines_touches_little_more_than_their_ink() {
    let dots = ".".repeat(500);
    let tiled = wanted(&format!(r#""text": "{dots}", "position": "tile", "spacing": 0, "angle": 45"#));
    let size = (3000, 3000);
    let mark = mark(&tiled, size).unwrap();
    let strips = mark.places(size).flat_map(|at| mark.strips(at, size));
    let touched: usize = strips.map(|strip| strip.columns.len()).sum();
    assert!(touched < 4 * 3000 * 3000, "{touched} pixels");
}

#[test]
fn drawing_ends_when_the_time_is_over() {
    let tiled = wanted(r#""text": "x", "position": "tile""#);
    let mark = mark(&tiled, (300, 300)).unwrap();
    let over = || Err(Error::new(Code::TimeLimit, "over"));
    assert_eq!(draw(black(300, 300), &mark, Alpha::Soft, &over).unwrap_err().code, Code::TimeLimit);
}

#[test]
fn rows_of_a_long_text_stand_as_near_as_those_of_a_short_one() {
    for text in ["MySite", "A text as long as the picture is wide, and longer"] {
        let tiled = wanted(&format!(r#""text": "{text}", "position": "tile", "size": 20"#));
        let mark = mark(&tiled, (400, 400)).unwrap();
        let rows: std::collections::BTreeSet<i64> = mark.places((400, 400)).map(|(_, y)| y).collect();
        assert!(rows.len() >= 6, "{text}: {rows:?}");
    }
}

#[test]
fn turned_text_is_as_high_as_it_was_wide() {
    let straight = ink(&marked(&Watermark::new("MySite"), black(300, 300)), 0);
    let turned = ink(&marked(&Watermark { angle: 90.0, ..Watermark::new("MySite") }, black(300, 300)), 0);
    let (width, height) = (straight.2 - straight.0, straight.3 - straight.1);
    let (across, along) = (turned.2 - turned.0, turned.3 - turned.1);
    assert!(across.abs_diff(height) <= 1 && along.abs_diff(width) <= 1, "{straight:?} {turned:?}");
}

#[test]
fn turned_overlay_keeps_its_colours_and_area() {
    let square = Raster::filled(40, 40, Channels::Rgba, &[200, 100, 50, 128]);
    let (sin, cos) = sin_cos(30.0);
    let turned = picture::turn(&square, sin, cos);
    assert_eq!(turned.size(), (55, 55));
    let alpha: u32 = turned.data.chunks_exact(4).map(|pixel| u32::from(pixel[3])).sum();
    assert!(alpha.abs_diff(40 * 40 * 128) < 40 * 128, "{alpha}");
    assert!(turned.data.chunks_exact(4).filter(|pixel| pixel[3] > 8).all(|pixel| pixel[0].abs_diff(200) <= 2));
}
