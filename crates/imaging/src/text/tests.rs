//! Scripts, shapes and ink.

use super::fonts::Cut;
use super::shaping::{Glyph, Shaper};
use super::*;
use crate::Code;

const ROOM: (u32, u32) = (2000, 2000);

fn scale(size: f32) -> Scale {
    Scale { size, wrap: None, angle: 0.0, align: Align::Left }
}

fn plain(text: &str, size: f32) -> Mask {
    mask(&Text::new(text), &scale(size), ROOM)
}

fn mask(text: &Text, scale: &Scale, room: (u32, u32)) -> Mask {
    match &drawn(text, scale, room, library()).unwrap().ink {
        Ink::Plain(mask) => mask.clone(),
        Ink::Picture(_) => panic!("{text:?} has effects"),
    }
}

fn regular() -> Vec<Cut> {
    library().order(None, Weight::Regular)
}

/// The first line's glyphs in visual order.
fn glyphs(text: &str) -> Vec<Glyph> {
    let cuts = regular();
    let shaper = Shaper::new(text, &cuts).unwrap();
    let paragraph = &shaper.paragraphs()[0];
    shaper.line(paragraph, paragraph.range.clone()).unwrap().0
}

fn clusters(text: &str) -> Vec<usize> {
    glyphs(text).iter().map(|glyph| glyph.cluster).collect()
}

fn ids(text: &str) -> Vec<u32> {
    glyphs(text).iter().map(|glyph| glyph.id.to_u32()).collect()
}

#[test]
fn size_is_the_em() {
    // A Chinese character fills nearly all of its em square.
    let mask = plain("国", 100.0);
    assert!((80..=100).contains(&mask.width) && (80..=105).contains(&mask.height), "{mask:?}");
}

#[test]
fn fonts_cover_the_promised_scripts_in_both_weights() {
    for text in [
        "Ünï ©2024 ’“” €",
        "Привет",
        "Ελλάδα",
        "我的网站，《图片》",
        "ウェブサイト、カメラ",
        "한국어 사진",
        "مرحبا بالعالم",
        "שלום עולם",
        "สวัสดีชาวโลก ภาพถ่าย",
        "नमस्ते दुनिया, क्षत्रिय",
        "★ ♥ ✓ → ① ■ ☎",
        "a\u{304}\u{301}",
        "Việt Nam",
    ] {
        for weight in [Weight::Regular, Weight::Bold] {
            let text = Text { weight, ..Text::new(text) };
            assert_eq!(check(&text, library()), Ok(()), "{text:?}");
        }
    }
}

#[test]
fn characters_that_a_font_names_without_drawing_them_come_from_another() {
    // NanumSquare lists these characters, but has no ink for them.
    for c in "펲헀쫒≈⇒⑯❶◯☞♯❖•".chars() {
        let text = Text::new(format!("한국 {c} 서울"));
        let layout = Layout::new(&text, Align::Left, None, library()).unwrap();
        assert_eq!(layout.glyphs.len(), 5, "{c} (U+{:04X})", u32::from(c));
    }
    let cuts = regular();
    let lacking: String = ('가'..='힣').filter(|&c| !cuts.iter().any(|cut| cut.has(c))).collect();
    assert_eq!(lacking, "");
    // These are blank by design.
    assert_eq!(check(&Text::new("a\u{2800}\u{3164}b"), library()), Ok(()));
}

#[test]
fn missing_characters_are_all_named() {
    let error = check(&Text::new("ok \u{10ffff} 😀 ok"), library()).unwrap_err();
    assert_eq!(error.code, Code::MissingGlyph);
    assert!(error.detail.contains("U+10FFFF") && error.detail.contains("😀 (U+1F600)"), "{error}");
}

#[test]
fn arabic_letters_join() {
    // Heh and beh have other forms between letters.
    let word = ids("بهب");
    assert_eq!(word.len(), 3);
    for alone in [ids("ب")[0], ids("ه")[0]] {
        assert!(!word.contains(&alone), "{word:?} holds the isolated form {alone}");
    }
    assert_ne!(word[0], word[2], "the first and the last form are the same");
}

#[test]
fn arabic_letters_join_over_a_join_control_and_not_over_its_opposite() {
    assert_eq!(ids("بب").len(), 2);
    assert_ne!(ids("بب"), ids("ب\u{200c}ب"));
}

#[test]
fn right_to_left_text_is_laid_out_from_the_right() {
    assert_eq!(clusters("שלום"), [6, 4, 2, 0]);
    // A number inside keeps its own direction.
    assert_eq!(clusters("אב 12"), [5, 6, 4, 2, 0]);
}

#[test]
fn directions_mix_in_one_line() {
    // "ab", then the Hebrew from its end to its beginning, then "cd".
    assert_eq!(clusters("ab אב cd"), [0, 1, 2, 5, 3, 7, 8, 9]);
    // The paragraph begins in Hebrew, so all of it runs from right to left.
    assert_eq!(clusters("אב cd"), [5, 6, 4, 2, 0]);
}

#[test]
fn brackets_are_mirrored_in_right_to_left_text() {
    assert_eq!(ids("(א)")[0], ids("(")[0]);
    assert_eq!(ids("א(")[0], ids(")")[0]);
}

#[test]
fn marks_take_no_room_of_their_own() {
    for (base, marked) in [("e", "e\u{301}\u{323}"), ("ท", "ที่"), ("क", "कँ"), ("ש", "שּׁ"), ("ب", "بَّ")]
    {
        let width = |text| glyphs(text).iter().map(|glyph| glyph.advance).sum::<f32>();
        assert!((width(base) - width(marked)).abs() < 0.02, "{marked}: {} {}", width(base), width(marked));
        assert!(plain(marked, 60.0).height > plain(base, 60.0).height, "{marked} is not marked");
    }
}

#[test]
fn thai_tone_stands_above_the_vowel() {
    let glyphs = glyphs("ที่");
    let (vowel, tone) = (&glyphs[1], &glyphs[2]);
    assert!(tone.y > vowel.y || ids("ท่")[1] != tone.id.to_u32(), "{glyphs:?}");
    assert!(plain("ที่", 80.0).height > plain("ที", 80.0).height + 5);
}

#[test]
fn devanagari_vowel_moves_before_its_consonant_and_conjuncts_form() {
    let ki = glyphs("कि");
    let ka = ids("क")[0];
    assert_eq!(ki[1].id.to_u32(), ka, "the vowel sign i stands first");
    assert!(ids("क्ष").len() < 3, "ka, virama and ssa are one conjunct");
}

#[test]
fn kerning_and_ligatures_are_applied() {
    let width = |text| glyphs(text).iter().map(|glyph| glyph.advance).sum::<f32>();
    assert!(width("AV") < width("A") + width("V"));
    assert_eq!(ids("لا").len(), 1, "lam and alef are one");
}

#[test]
fn joiners_and_selectors_need_no_glyph() {
    let joined = "a\u{200d}b\u{fe0f}\u{2066}\u{2069}\u{ad}";
    assert_eq!(plain(joined, 36.0), plain("ab", 36.0));
}

#[test]
fn spaces_alone_draw_nothing() {
    assert_eq!(plain(" \u{3000}\u{2003}", 36.0).width, 0);
}

#[test]
fn lines_stand_below_each_other() {
    let (one, two) = (plain("A", 40.0), plain("A\nA", 40.0));
    assert!(two.height > 2 * one.height && two.width == one.width);
    let tight = Text { line_height: Some(1.0), ..Text::new("A\nA") };
    assert_eq!(mask(&tight, &scale(40.0), ROOM).height, one.height + 40);
}

#[test]
fn short_lines_stand_where_they_are_asked_to() {
    let first_ink = |align| {
        let mask = mask(&Text::new("I\nIIIIIIII"), &Scale { align, ..scale(40.0) }, ROOM);
        mask.rows().next().unwrap().iter().position(|&ink| ink > 128).unwrap()
    };
    let [left, center, right] = [Align::Left, Align::Center, Align::Right].map(first_ink);
    assert!(left < 5 && center > left + 30 && right > center + 30, "{left} {center} {right}");
}

#[test]
fn long_lines_are_broken_at_spaces_and_between_chinese_characters() {
    for (text, lines) in [("one two three four", 4), ("我的网站有很多图片", 3)] {
        let wrapped = mask(&Text::new(text), &Scale { wrap: Some(130.0), ..scale(40.0) }, ROOM);
        assert!(wrapped.width <= 130, "{text}: {}", wrapped.width);
        let single = plain(text, 40.0).height;
        let height = (lines - 1) * 54 + single;
        assert!(wrapped.height.abs_diff(height) < 14, "{text}: {} is not {height}", wrapped.height);
    }
}

#[test]
fn punctuation_does_not_begin_a_line() {
    let wrapped = Layout::new(&Text::new("图片，图片"), Align::Left, Some(2.1), library()).unwrap();
    let first_line = wrapped.glyphs.iter().filter(|glyph| glyph.y < 0.5).count();
    assert_eq!(first_line, 1, "the comma takes its character along");
}

#[test]
fn word_wider_than_a_line_shrinks_until_it_is_not() {
    let wrapped = mask(&Text::new("a Donaudampfschiff"), &Scale { wrap: Some(100.0), ..scale(40.0) }, ROOM);
    // Lines are measured by their letters' advances, which the ink may exceed by a pixel.
    assert!(wrapped.width <= 101, "{}", wrapped.width);
}

#[test]
fn text_is_never_larger_than_its_room() {
    for room in [(8, 8), (50, 200), (300, 20)] {
        for text in ["MySite", "مرحبا بالعالم", "एक लंबा पाठ\nदूसरी"] {
            for (angle, wrap) in [(0.0, None), (30.0, None), (0.0, Some(40.0))] {
                let mask = mask(&Text::new(text), &Scale { wrap, angle, ..scale(100.0) }, room);
                assert!(mask.width <= room.0 && mask.height <= room.1, "{text} {angle} in {room:?}");
                assert!(mask.width > 0);
            }
        }
    }
}

#[test]
fn bold_is_bolder_also_where_no_bold_face_is() {
    let ink = |text: &str, weight| {
        let text = Text { weight, ..Text::new(text) };
        mask(&text, &scale(60.0), ROOM).coverage.iter().map(|&v| u64::from(v)).sum::<u64>()
    };
    for text in ["MySite", "我的网站", "한국어", "مرحبا", "สวัสดี"] {
        let (regular, bold) = (ink(text, Weight::Regular), ink(text, Weight::Bold));
        assert!(bold * 100 > regular * 110, "{text}: {regular} {bold}");
    }
}

#[test]
fn outline_surrounds_the_letters_and_leaves_them() {
    let outline = Outline { color: [255, 0, 0, 255], width: 3.0 };
    let text = Text { color: [0, 0, 255, 255], outline: Some(outline), ..Text::new("l") };
    let drawn = drawn(&text, &scale(60.0), ROOM, library()).unwrap();
    let Ink::Picture(picture) = &drawn.ink else { panic!() };
    let bare = plain("l", 60.0);
    assert!(picture.width.abs_diff(bare.width + 6) <= 1, "{} {}", picture.width, bare.width);
    let middle = picture.height as usize / 2 * picture.stride();
    let row: Vec<[u8; 4]> = picture.data[middle..middle + picture.stride()].as_chunks::<4>().0.to_vec();
    assert_eq!((row[1], row[row.len() / 2]), ([255, 0, 0, 255], [0, 0, 255, 255]));
}

#[test]
fn shadow_does_not_show_through_letters() {
    let shadow = Shadow { color: [0, 0, 0, 255], x: 5.0, y: 5.0, blur: 0.0 };
    let text = Text { color: [255, 255, 255, 128], shadow: Some(shadow), ..Text::new("■") };
    let drawn = drawn(&text, &scale(60.0), ROOM, library()).unwrap();
    let Ink::Picture(picture) = &drawn.ink else { panic!() };
    let pixels = picture.data.as_chunks::<4>().0;
    let at = |x: u32, y: u32| pixels[(y * picture.width + x) as usize];
    assert_eq!(at(picture.width / 2, picture.height / 2), [255, 255, 255, 128]);
    assert_eq!(at(picture.width - 2, picture.height - 2), [0, 0, 0, 255]);
    assert_eq!(at(picture.width - 2, 1)[3], 0);
}

#[test]
fn growing_reaches_as_far_in_every_direction() {
    let mut mask = Mask::empty(41, 41);
    mask.coverage[20 * 41 + 20] = 255;
    let grown = mask.grown(10.0);
    for (y, row) in grown.rows().enumerate() {
        for (x, &ink) in row.iter().enumerate() {
            let distance = (x as f32 - 20.0).hypot(y as f32 - 20.0);
            assert!((ink > 128) == (distance < 10.0) || (distance - 10.0).abs() < 0.6, "{x} {y}: {ink}");
        }
    }
}

#[test]
fn blur_keeps_the_ink_it_spreads() {
    let mut mask = Mask::empty(61, 61);
    for y in 25..36 {
        mask.coverage[y * 61 + 25..y * 61 + 36].fill(255);
    }
    let sum = |mask: &Mask| mask.coverage.iter().map(|&v| u64::from(v)).sum::<u64>();
    let blurred = mask.clone().blurred(4.0);
    assert!(sum(&blurred).abs_diff(sum(&mask)) * 50 < sum(&mask), "{} {}", sum(&blurred), sum(&mask));
    assert!(blurred.coverage[30 * 61 + 30] < 255 && blurred.coverage[30 * 61 + 20] > 0);
}

#[test]
fn hostile_texts_end() {
    let marks = "a\u{301}".to_owned() + &"\u{302}".repeat(498);
    let wide = "﷽".repeat(500);
    let lines = "\n".repeat(499) + "x";
    let mixed = "a א ".repeat(125);
    for text in [&marks, &wide, &lines, &mixed] {
        for (size, wrap) in [(4096.0, None), (4096.0, Some(1.0)), (36.0, Some(200.0))] {
            let mask = mask(&Text::new(text.as_str()), &Scale { wrap, ..scale(size) }, (300, 300));
            assert!(mask.width <= 300 && mask.height <= 300);
        }
    }
}

#[test]
fn what_was_drawn_is_remembered_for_pictures_that_it_fits() {
    let text = Text::new("remembered");
    let first = drawn(&text, &scale(30.0), ROOM, library()).unwrap();
    assert!(Arc::ptr_eq(&first, &drawn(&text, &scale(30.0), ROOM, library()).unwrap()));
    let small = drawn(&text, &scale(30.0), (40, 40), library()).unwrap();
    assert!(small.taken.0 <= 40);
}

#[test]
fn fonts_are_named_by_file_or_family_and_come_first() {
    let noto = include_bytes!("../../../../assets/fonts/NotoSansThai-Regular.ttf").to_vec();
    let library = Library::new(vec![("my-thai".into(), noto)]).unwrap();
    for name in ["my-thai", "MY-THAI", "Noto Sans Thai"] {
        assert_eq!(library.check(name), Ok(()), "{name}");
    }
    let error = library.check("Comic Sans").unwrap_err();
    assert!(error.detail.contains("`Comic Sans`; known: Noto Sans, Noto Sans Arabic"), "{error}");
    assert!(library.order(Some("my-thai"), Weight::Regular)[0].has('ก'));
    assert!(!regular()[0].has('ก'), "the first font has it without being named");
}

#[test]
fn given_font_serves_characters_that_no_bundled_one_has() {
    // A bundled font whose character table is rewritten to have a glyph for an emoji.
    let font = with_character(include_bytes!("../../../../assets/fonts/NotoSansHebrew-Regular.ttf"), 0x1f600);
    let library = Library::new(vec![("emoji".into(), font)]).unwrap();
    let text = Text::new("ok 😀");
    assert_eq!(check(&text, &library), Ok(()));
    assert!(drawn(&text, &scale(40.0), ROOM, &library).unwrap().taken.0 > 60);
}

#[test]
fn what_is_no_font_is_refused_by_name() {
    let error = Library::new(vec![("notes".into(), b"no font".to_vec())]).err().unwrap();
    assert!(error.detail.contains("`notes`"), "{error}");
}

/// The font with only this character, shown as glyph 5.
fn with_character(font: &[u8], c: u32) -> Vec<u8> {
    let mut font = font.to_vec();
    let mut cmap = Vec::new();
    // Version 0, one table: Windows, full Unicode, at 12; format 12, 28 bytes, one group.
    for half in [0_u16, 1, 3, 10, 0, 12, 12, 0, 0, 28, 0, 0, 0, 1] {
        cmap.extend(half.to_be_bytes());
    }
    for word in [c, c, 5] {
        cmap.extend(word.to_be_bytes());
    }
    let tables = u16::from_be_bytes([font[4], font[5]]) as usize;
    let record = (0..tables).map(|i| 12 + 16 * i).find(|&at| &font[at..at + 4] == b"cmap").unwrap();
    let offset = (font.len() as u32).to_be_bytes();
    font[record + 8..record + 12].copy_from_slice(&offset);
    font[record + 12..record + 16].copy_from_slice(&(cmap.len() as u32).to_be_bytes());
    font.extend(cmap);
    font
}
