//! Text, drawn with the bundled fonts into coverage masks.
//!
//! Each character is taken from the first font that has it: Noto Sans (Latin, Greek, Cyrillic),
//! then Droid Sans Fallback (Chinese, Japanese and symbols), then Nanum Square (Korean). There is
//! no shaping: characters stand side by side with kerning. Where no font has a character the text
//! is refused, because a row of boxes helps nobody.

mod fonts;

use ab_glyph::{Font, FontRef, GlyphId, OutlinedGlyph, PxScale, point};

use super::{Code, Error, Result};
use fonts::FONTS;

/// Below this a text is only a smudge; it is cut rather than made smaller.
const MIN_SIZE: f32 = 1.0;

/// How much ink covers each pixel, cut to the ink's bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mask {
    pub(crate) width: u32,
    pub(crate) height: u32,
    coverage: Vec<u8>,
}

impl Mask {
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[u8]> {
        self.coverage.chunks_exact(self.width.max(1) as usize)
    }
}

/// Refuses a text that cannot be drawn.
///
/// # Errors
/// `missing-glyph`, naming every character that no font has.
pub(crate) fn check(text: &str) -> Result<()> {
    let mut missing: Vec<char> = text.chars().filter(|&c| !is_invisible(c) && find(c).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    missing.sort_unstable();
    missing.dedup();
    let names: Vec<String> =
        missing.iter().take(8).map(|&c| format!("{} (U+{:04X})", c.escape_debug(), u32::from(c))).collect();
    Err(Error::new(Code::MissingGlyph, format!("no font has {}", names.join(", "))))
}

/// Draws `text` at `size` pixels an em, or smaller where it would not fit into `room`.
///
/// # Errors
/// As [`check`].
pub(crate) fn fitted(text: &str, size: f32, room: (u32, u32)) -> Result<Mask> {
    check(text)?;
    let mut size = size.max(MIN_SIZE);
    loop {
        let line = Layout::new(text, size);
        let (width, height) = line.size();
        if size <= MIN_SIZE || (width <= room.0 && height <= room.1) {
            return Ok(line.draw(room));
        }
        let ratio = (room.0 as f32 / width as f32).min(room.1 as f32 / height as f32);
        // Rounding to pixels can keep the ratio at 1; the size must fall all the same.
        size = (size * ratio.min(0.97)).max(MIN_SIZE);
    }
}

fn find(c: char) -> Option<(usize, GlyphId)> {
    FONTS.iter().enumerate().find_map(|(i, font)| {
        let id = font.glyph_id(c);
        (id.0 != 0).then_some((i, id))
    })
}

/// Characters that are not meant to show: spaces, joiners, direction marks, variation selectors.
fn is_invisible(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// Placed outlines and the bounds of their ink.
struct Layout {
    glyphs: Vec<OutlinedGlyph>,
    left: f32,
    top: f32,
    right: f32,
    bottom: f32,
}

impl Layout {
    fn new(text: &str, size: f32) -> Self {
        let mut layout = Self { glyphs: Vec::new(), left: f32::MAX, top: f32::MAX, right: f32::MIN, bottom: f32::MIN };
        // One line's height fits all fonts: what the first one asks for.
        let line_height = size * {
            let font = &FONTS[0];
            let unit = font.units_per_em().unwrap_or(1000.0);
            (font.height_unscaled() + font.line_gap_unscaled()) / unit
        };
        for (i, line) in text.lines().enumerate() {
            layout.line(line, size, i as f32 * line_height);
        }
        layout
    }

    fn line(&mut self, line: &str, size: f32, baseline: f32) {
        let mut x = 0.0;
        let mut previous: Option<(usize, GlyphId)> = None;
        for c in line.chars() {
            let spaced = || c.is_whitespace().then(|| find(' ')).flatten();
            let Some((index, id)) = find(c).or_else(spaced) else { continue };
            let font = &FONTS[index];
            let em = size / font.units_per_em().unwrap_or(1000.0);
            if let Some((last, before)) = previous
                && last == index
            {
                x += font.kern_unscaled(before, id) * em;
            }
            // PxScale counts from ascent to descent, `size` is the em.
            let scale = PxScale::from(font.height_unscaled() * em);
            if let Some(glyph) = font.outline_glyph(id.with_scale_and_position(scale, point(x, baseline))) {
                let bounds = glyph.px_bounds();
                self.left = self.left.min(bounds.min.x);
                self.top = self.top.min(bounds.min.y);
                self.right = self.right.max(bounds.max.x);
                self.bottom = self.bottom.max(bounds.max.y);
                self.glyphs.push(glyph);
            }
            x += font.h_advance_unscaled(id) * em;
            previous = Some((index, id));
        }
    }

    fn size(&self) -> (u32, u32) {
        if self.glyphs.is_empty() {
            return (0, 0);
        }
        ((self.right - self.left) as u32, (self.bottom - self.top) as u32)
    }

    /// The mask, cut to the ink and to `room`.
    fn draw(&self, room: (u32, u32)) -> Mask {
        let (width, height) = self.size();
        let (width, height) = (width.min(room.0), height.min(room.1));
        let mut coverage = vec![0; width as usize * height as usize];
        for glyph in &self.glyphs {
            let bounds = glyph.px_bounds();
            let (left, top) = ((bounds.min.x - self.left) as u32, (bounds.min.y - self.top) as u32);
            glyph.draw(|x, y, ink| {
                let (x, y) = (left + x, top + y);
                if x < width && y < height {
                    // Neighbours may touch; the stronger ink counts.
                    let pixel = &mut coverage[y as usize * width as usize + x as usize];
                    *pixel = (*pixel).max((ink * 255.0 + 0.5) as u8);
                }
            });
        }
        Mask { width, height, coverage }.trimmed()
    }
}

impl Mask {
    /// Outline bounds are whole pixels around the ink; the outermost may hold none of it.
    fn trimmed(self) -> Self {
        let inked = |row: &[u8]| row.iter().any(|&v| v != 0);
        let rows: Vec<&[u8]> = self.rows().collect();
        let Some(top) = rows.iter().position(|row| inked(row)) else {
            return Self { width: 0, height: 0, coverage: Vec::new() };
        };
        let bottom = rows.iter().rposition(|row| inked(row)).unwrap_or(top);
        let column = |x: usize| rows.iter().any(|row| row[x] != 0);
        let columns = 0..self.width as usize;
        let left = columns.clone().find(|&x| column(x)).unwrap_or(0);
        let right = columns.rev().find(|&x| column(x)).unwrap_or(left);
        let coverage: Vec<u8> = rows[top..=bottom].iter().flat_map(|row| row[left..=right].iter().copied()).collect();
        Self { width: (right - left + 1) as u32, height: (bottom - top + 1) as u32, coverage }
    }
}

fn parse(data: &'static [u8]) -> FontRef<'static> {
    FontRef::try_from_slice(data).expect("a bundled font is a font")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_is_the_em() {
        // A Chinese character fills nearly all of its em square.
        let mask = fitted("国", 100.0, (1000, 1000)).unwrap();
        assert!((80..=100).contains(&mask.width) && (80..=105).contains(&mask.height), "{mask:?}");
    }

    #[test]
    fn fonts_cover_latin_cyrillic_greek_and_cjk() {
        for text in ["Ünï ©2024", "Привет", "Ελλάδα", "我的网站", "ウェブ", "한국어"] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn joiners_and_selectors_need_no_glyph() {
        let plain = fitted("ab", 36.0, (100, 100)).unwrap();
        assert_eq!(fitted("a\u{200d}b\u{fe0f}", 36.0, (100, 100)).unwrap(), plain);
    }

    #[test]
    fn spaces_alone_draw_nothing() {
        assert_eq!(fitted(" ", 36.0, (10, 10)).unwrap().width, 0);
    }

    #[test]
    fn lines_stand_below_each_other() {
        let one = fitted("A", 40.0, (1000, 1000)).unwrap();
        let two = fitted("A\nA", 40.0, (1000, 1000)).unwrap();
        assert!(two.height > 2 * one.height && two.width == one.width);
    }
}
