//! From a line of text to glyphs in visual order, in ems.
//!
//! A line is cut into runs of one direction (the bidirectional algorithm), one script and one font. Each run is shaped
//! separately with its neighbours as context, so that letters join across the borders of runs.

use std::ops::Range;

use harfrust::unicode::{combining_class, compose, script};
use harfrust::{Buffer, BufferFlags, Direction, GlyphId, Script, ShapeOptions, ShaperFont};
use unicode_bidi::{BidiInfo, ParagraphInfo};

use super::characters::is_invisible;
use super::fonts::Cut;
use crate::{Code, Error, Result};

/// A glyph and the position of its origin on the line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Glyph {
    /// Index of the font in the order in which fonts are searched.
    pub(super) font: usize,
    pub(super) id: GlyphId,
    pub(super) x: f32,
    /// Height above the baseline.
    pub(super) y: f32,
    pub(super) advance: f32,
    /// The byte at which the glyph's cluster begins.
    pub(super) cluster: usize,
}

/// A text with a font for each character.
pub(super) struct Shaper<'t> {
    text: &'t str,
    cuts: &'t [Cut],
    bidi: BidiInfo<'t>,
    /// Byte ranges of one font and one script, in the order of the text.
    runs: Vec<Run>,
}

#[derive(Debug, Clone)]
struct Run {
    range: Range<usize>,
    font: usize,
    script: Script,
}

impl<'t> Shaper<'t> {
    /// # Errors
    /// `missing-glyph`, with all characters that no font has.
    pub(super) fn new(text: &'t str, cuts: &'t [Cut]) -> Result<Self> {
        Ok(Self { text, cuts, bidi: BidiInfo::new(text, None), runs: runs(text, cuts)? })
    }

    pub(super) fn paragraphs(&self) -> &[ParagraphInfo] {
        &self.bidi.paragraphs
    }

    /// The glyphs of a line inside a paragraph, and the line's width.
    ///
    /// # Errors
    /// `missing-glyph` if a font has a character but no glyph for it in this position.
    pub(super) fn line(&self, paragraph: &ParagraphInfo, line: Range<usize>) -> Result<(Vec<Glyph>, f32)> {
        let mut glyphs = Vec::new();
        let mut pen = 0.0;
        if line.is_empty() {
            return Ok((glyphs, pen));
        }
        let (levels, directed) = self.bidi.visual_runs(paragraph, line);
        let mut buffer = Buffer::new();
        for stretch in directed {
            let rtl = levels[stretch.start].is_rtl();
            let first = self.runs.partition_point(|run| run.range.end <= stretch.start);
            let mut parts: Vec<Run> = self.runs[first..]
                .iter()
                .take_while(|run| run.range.start < stretch.end)
                .map(|run| Run {
                    range: run.range.start.max(stretch.start)..run.range.end.min(stretch.end),
                    ..run.clone()
                })
                .collect();
            if rtl {
                parts.reverse();
            }
            for part in &parts {
                self.shape(part, rtl, &mut buffer, &mut glyphs, &mut pen)?;
            }
        }
        Ok((glyphs, pen))
    }

    fn shape(&self, run: &Run, rtl: bool, buffer: &mut Buffer, glyphs: &mut Vec<Glyph>, pen: &mut f32) -> Result<()> {
        let font = &self.cuts[run.font].font;
        buffer.reset();
        for (at, c) in self.text[run.range.clone()].char_indices() {
            buffer.push(c.into(), (run.range.start + at) as u32);
        }
        buffer.set_pre_context(&self.text[..run.range.start]);
        buffer.set_post_context(&self.text[run.range.end..]);
        buffer.set_direction(if rtl { Direction::RightToLeft } else { Direction::LeftToRight });
        buffer.set_script(Some(run.script));
        buffer.set_flags(BufferFlags::REMOVE_DEFAULT_IGNORABLES | BufferFlags::DO_NOT_INSERT_DOTTED_CIRCLE);
        harfrust::shape(&ShaperFont::new(font), buffer, ShapeOptions::new())
            .map_err(|error| Error::new(Code::DecoderFailure, format!("shaping: {error}")))?;
        let em = 1.0 / f32::from(font.units_per_em());
        for (info, position) in buffer.glyph_infos().iter().zip(buffer.glyph_positions()) {
            let cluster = info.cluster as usize;
            if info.glyph_id == 0 {
                return Err(missing(self.text[cluster..].chars().take(1).collect()));
            }
            let advance = position.x_advance as f32 * em;
            glyphs.push(Glyph {
                font: run.font,
                id: GlyphId::new(info.glyph_id),
                x: *pen + position.x_offset as f32 * em,
                y: position.y_offset as f32 * em,
                advance,
                cluster,
            });
            *pen += advance;
        }
        Ok(())
    }
}

/// Cuts a text where the font or the script changes.
fn runs(text: &str, cuts: &[Cut]) -> Result<Vec<Run>> {
    let mut runs: Vec<Run> = Vec::new();
    let mut lacking = Vec::new();
    for cluster in clusters(text) {
        let chars = &text[cluster.clone()];
        let before = runs.last().map(|run| run.font);
        let Some(font) = font_of(chars, cuts, before) else {
            lacking.extend(chars.chars().filter(|&c| !is_invisible(c) && !cuts.iter().any(|cut| cut.has(c))));
            if lacking.is_empty() {
                // Each character has a font, but no font has all of them, so the marks are reported as missing.
                lacking.extend(chars.chars().skip(1).filter(|&c| !is_invisible(c)));
            }
            continue;
        };
        let own = chars.chars().map(script_of).find(|&script| script != Script::COMMON);
        match runs.last_mut() {
            Some(run)
                if run.font == font && own.is_none_or(|own| own == run.script || run.script == Script::COMMON) =>
            {
                run.range.end = cluster.end;
                // Characters before the first letter get its script.
                run.script = own.unwrap_or(run.script);
            }
            last => {
                let script = own.or(last.map(|run| run.script)).unwrap_or(Script::COMMON);
                runs.push(Run { range: cluster, font, script });
            }
        }
    }
    if lacking.is_empty() { Ok(runs) } else { Err(missing(lacking)) }
}

/// Byte ranges that must not be divided: a character, its marks, and characters tied to it by joiners.
///
/// Sometimes longer than a grapheme cluster, which does no harm. Fonts are searched by cluster.
fn clusters(text: &str) -> Vec<Range<usize>> {
    let mut clusters: Vec<Range<usize>> = Vec::new();
    let mut joined = false;
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        let continues = joined
            || combining_class(c.into()) != 0
            || script(c.into()) == Script::INHERITED
            || is_invisible(c) && !c.is_whitespace()
            || matches!(c, '\u{1f3fb}'..='\u{1f3ff}' | '\u{20e3}');
        match clusters.last_mut() {
            Some(last) if continues && !text[last.clone()].ends_with(char::is_whitespace) => last.end = end,
            _ => clusters.push(at..end),
        }
        joined = c == '\u{200d}';
    }
    clusters
}

/// The first font that has all characters of a cluster. A cluster without a script uses the font of the text before it
/// if possible.
fn font_of(cluster: &str, cuts: &[Cut], before: Option<usize>) -> Option<usize> {
    if cluster.chars().all(is_invisible) {
        return before.or(Some(0));
    }
    let composed = composed(cluster);
    let has = |font: usize| {
        let all = |chars: &str| chars.chars().all(|c| is_invisible(c) || cuts[font].has(c));
        all(cluster) || composed.as_deref().is_some_and(all)
    };
    let neutral = !cluster.is_ascii() && cluster.chars().all(|c| script_of(c) == Script::COMMON);
    before.filter(|&font| neutral && has(font)).or_else(|| (0..cuts.len()).find(|&font| has(font)))
}

/// The cluster composed into fewer characters, if Unicode has such a form.
fn composed(cluster: &str) -> Option<String> {
    let mut chars = cluster.chars();
    let mut whole = chars.next()?;
    let mut rest = String::new();
    for c in chars {
        match compose(whole.into(), c.into()).and_then(char::from_u32) {
            Some(both) => whole = both,
            None => rest.push(c),
        }
    }
    (rest.chars().count() + 1 < cluster.chars().count()).then(|| format!("{whole}{rest}"))
}

/// A character's own script; `COMMON` if it has none.
fn script_of(c: char) -> Script {
    match script(c.into()) {
        Script::INHERITED | Script::UNKNOWN => Script::COMMON,
        // Japanese mixes three scripts, and no font here treats them differently.
        script => script,
    }
}

fn missing(mut chars: Vec<char>) -> Error {
    chars.sort_unstable();
    chars.dedup();
    let names: Vec<String> =
        chars.iter().take(8).map(|&c| format!("{} (U+{:04X})", c.escape_debug(), u32::from(c))).collect();
    let more = if chars.len() > 8 { format!(" and {} more", chars.len() - 8) } else { String::new() };
    Error::new(Code::MissingGlyph, format!("no font has {}{more}", names.join(", ")))
}
