//! Lines of glyphs, one below the other, in ems: nothing here depends on the size in pixels.

use std::collections::HashMap;
use std::ops::Range;

use harfrust::font::glyph::outline::{DrawMemory, DrawOptions, PathElement};
use harfrust::unicode::script;
use harfrust::{GlyphId, Script};

use super::fonts::{Cut, Library};
use super::shaping::{Glyph, Shaper};
use super::{Align, Text};
use crate::{Code, Error, Result};

/// Distance between baselines, if the font has none.
const LINE_HEIGHT: f32 = 1.2;

/// Placed outlines; x to the right, y downwards, the first line's baseline at 0.
pub(super) struct Layout {
    pub(super) glyphs: Vec<Placed>,
    outlines: Vec<Outline>,
    /// Width of the longest line.
    pub(super) width: f32,
}

pub(super) struct Placed {
    outline: usize,
    pub(super) x: f32,
    pub(super) y: f32,
}

pub(super) struct Outline {
    /// In ems, y upwards as in fonts.
    pub(super) path: Vec<PathElement>,
    /// Whether it has to be made thicker.
    pub(super) embolden: bool,
}

impl Layout {
    /// `wrap` is the largest width of a line; wider lines are broken.
    ///
    /// # Errors
    /// `missing-glyph`, with the characters.
    pub(super) fn new(text: &Text, align: Align, wrap: Option<f32>, library: &Library) -> Result<Self> {
        let cuts = library.order(text.font.as_deref(), text.weight);
        let shaper = Shaper::new(&text.text, &cuts)?;
        let mut lines = Vec::new();
        for paragraph in shaper.paragraphs() {
            let whole = paragraph.range.start..trimmed(&text.text, &paragraph.range);
            let Some(wrap) = wrap else {
                lines.push(shaper.line(paragraph, whole)?);
                continue;
            };
            let (mut glyphs, width) = shaper.line(paragraph, whole.clone())?;
            if width <= wrap {
                lines.push((glyphs, width));
                continue;
            }
            glyphs.sort_by_key(|glyph| glyph.cluster);
            for part in broken(&text.text, whole, &glyphs, wrap) {
                lines.push(shaper.line(paragraph, part)?);
            }
        }
        let widest = lines.iter().map(|&(_, width)| width).fold(0.0, f32::max);
        let line_height = text.line_height.unwrap_or_else(|| line_height(&cuts[0]));
        let mut layout = Self { glyphs: Vec::new(), outlines: Vec::new(), width: widest };
        let mut known = HashMap::new();
        for (i, (glyphs, width)) in lines.into_iter().enumerate() {
            let indent = (widest - width) * align.fraction();
            for glyph in glyphs {
                let key = (glyph.font, glyph.id);
                let outline = if let Some(&outline) = known.get(&key) {
                    outline
                } else {
                    layout.outlines.push(outline(&cuts[glyph.font], glyph.id, &text.text[glyph.cluster..])?);
                    *known.entry(key).or_insert(layout.outlines.len() - 1)
                };
                if !layout.outlines[outline].path.is_empty() {
                    let y = i as f32 * line_height - glyph.y;
                    layout.glyphs.push(Placed { outline, x: indent + glyph.x, y });
                }
            }
        }
        Ok(layout)
    }

    /// Whether some of the text has to be made thicker.
    pub(super) fn is_emboldened(&self) -> bool {
        self.outlines.iter().any(|outline| outline.embolden)
    }

    pub(super) fn outline(&self, glyph: &Placed) -> &Outline {
        &self.outlines[glyph.outline]
    }
}

/// The end of a line without its spaces or line break.
fn trimmed(text: &str, line: &Range<usize>) -> usize {
    line.start + text[line.clone()].trim_end().len()
}

/// Breaks a line at its spaces, and between characters of scripts without spaces, into parts no wider than `wrap`. A
/// word wider than that is not broken.
fn broken(text: &str, line: Range<usize>, glyphs: &[Glyph], wrap: f32) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    // The present part, where it may be broken, and its width up to there.
    let (mut start, mut last) = (line.start, None);
    let mut widths = Widths { glyphs, next: 0, sum: 0.0 };
    let mut begun = 0.0;
    for end in breaks(text, &line) {
        let width = widths.until(trimmed(text, &(start..end)).max(start));
        if let Some((at, behind)) = last
            && width - begun > wrap
        {
            parts.push(start..trimmed(text, &(start..at)));
            (start, begun) = (at, behind);
        }
        last = Some((end, widths.until(end)));
    }
    parts.push(start..trimmed(text, &(start..line.end)));
    parts
}

/// Sums of advances up to a byte, for increasing bytes.
struct Widths<'g> {
    glyphs: &'g [Glyph],
    next: usize,
    sum: f32,
}

impl Widths<'_> {
    fn until(&mut self, byte: usize) -> f32 {
        while let Some(glyph) = self.glyphs.get(self.next).filter(|glyph| glyph.cluster < byte) {
            self.sum += glyph.advance;
            self.next += 1;
        }
        self.sum
    }
}

/// The bytes at which a line may be broken, and last its end.
fn breaks<'t>(text: &'t str, line: &Range<usize>) -> impl Iterator<Item = usize> + 't {
    let (start, end) = (line.start, line.end);
    let mut before: Option<char> = None;
    let within = text[line.clone()].char_indices().filter_map(move |(at, c)| {
        let last = before.replace(c)?;
        let after_space = last.is_whitespace() && last != '\u{a0}' && !c.is_whitespace();
        let unspaced = is_unspaced(last) && !opens(last) && (is_unspaced(c) && !hangs(c));
        (after_space || unspaced || last == '\u{200b}').then_some(start + at)
    });
    within.chain(std::iter::once(end))
}

/// Whether the character's script allows a break anywhere.
fn is_unspaced(c: char) -> bool {
    matches!(script(c.into()), Script::HAN | Script::HIRAGANA | Script::KATAKANA)
        || matches!(c, '\u{3000}'..='\u{303f}' | '\u{30fb}'..='\u{30fc}' | '\u{ff00}'..='\u{ff60}')
}

/// Whether the character must not end a line.
fn opens(c: char) -> bool {
    "「『（〈《【〔｛［".contains(c)
}

/// Whether the character must not begin a line.
fn hangs(c: char) -> bool {
    "、。，．：；？！」』）〉》】〕｝］・ー々〜…ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮ".contains(c)
}

/// A font's own distance between baselines.
fn line_height(cut: &Cut) -> f32 {
    let metrics = cut.font.metrics();
    let Some(line) = metrics.hhea_line.or(metrics.typo_line) else { return LINE_HEIGHT };
    let height = (line.ascender - line.descender + line.line_gap).to_f32() / f32::from(metrics.units_per_em);
    if height > 0.5 && height < 4.0 { height } else { LINE_HEIGHT }
}

/// A glyph's outline in ems; empty for spaces. `text` begins with the glyph's characters, for messages.
fn outline(cut: &Cut, id: GlyphId, text: &str) -> Result<Outline> {
    let font = &cut.font;
    let mut path = Vec::new();
    let c = text.chars().next().unwrap_or(' ');
    let undrawable =
        |why| Error::new(Code::MissingGlyph, format!("a font has {} (U+{:04X}) {why}", c.escape_debug(), u32::from(c)));
    if let Some(glyph) = font.outline_glyphs().get(id)
        && let Err(error) = glyph.draw(&DrawOptions::new(), DrawMemory::Scratch, &mut path)
    {
        return Err(undrawable(format!("with an outline that cannot be drawn: {error}")));
    }
    if path.is_empty() && has_picture(cut, id) {
        return Err(undrawable("only as a coloured picture".into()));
    }
    let em = 1.0 / f32::from(font.units_per_em());
    for element in &mut path {
        *element = mapped(*element, |x, y| (x * em, y * em));
    }
    Ok(Outline { path, embolden: cut.embolden })
}

fn has_picture(cut: &Cut, id: GlyphId) -> bool {
    cut.font.bitmap_strikes().select_bitmap(id, None).is_some() || cut.font.color_glyphs().get(id).is_some()
}

/// The element with all its points mapped.
pub(super) fn mapped(element: PathElement, to: impl Fn(f32, f32) -> (f32, f32)) -> PathElement {
    match element {
        PathElement::MoveTo { x, y } => {
            let (x, y) = to(x, y);
            PathElement::MoveTo { x, y }
        }
        PathElement::LineTo { x, y } => {
            let (x, y) = to(x, y);
            PathElement::LineTo { x, y }
        }
        PathElement::QuadTo { cx0, cy0, x, y } => {
            let ((cx0, cy0), (x, y)) = (to(cx0, cy0), to(x, y));
            PathElement::QuadTo { cx0, cy0, x, y }
        }
        PathElement::CurveTo { cx0, cy0, cx1, cy1, x, y } => {
            let ((cx0, cy0), (cx1, cy1), (x, y)) = (to(cx0, cy0), to(cx1, cy1), to(x, y));
            PathElement::CurveTo { cx0, cy0, cx1, cy1, x, y }
        }
        PathElement::Close => PathElement::Close,
    }
}
