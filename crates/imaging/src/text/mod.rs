//! Text, from characters to ink: shaped, fitted, drawn, outlined and shadowed.
//!
//! [`fonts`] finds the font of a character, [`shaping`] makes glyphs from a line, [`layout`] places lines below each
//! other in ems, and [`mask`] turns outlines into coverage. [`drawn`] combines them and remembers its last drawings,
//! because thousands of pictures get the same mark. A text with a character that no font has is refused, because empty
//! boxes are of no use.

mod characters;
mod fonts;
mod layout;
mod mask;
mod shaping;
#[cfg(test)]
mod tests;
mod wanted;

use std::sync::{Arc, Mutex, PoisonError};

use harfrust::font::glyph::outline::PathElement;

pub(crate) use characters::is_blank;
pub(crate) use fonts::{Library, library, provide};
pub(crate) use mask::Mask;
pub use wanted::{Align, Outline, Shadow, Text, Weight};

use super::Result;
use super::raster::{Channels, Raster};
use layout::{Layout, mapped};

/// Smaller text is unreadable. It is cut off instead of being made smaller.
const MIN_SIZE: f32 = 1.0;
/// How far bold outlines grow on every side, in ems, if a font has no bold face.
const BOLDER: f32 = 0.018;
/// Most pixels of the enlarged drawing for growing small outlines.
const ENLARGED: u64 = 2 << 20;
/// Number of remembered drawings, and most pixels of each.
const REMEMBERED: usize = 8;
const REMEMBERED_PIXELS: u64 = 1 << 18;

/// The size and the layout of a drawn text, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    /// Size of the em.
    pub(crate) size: f32,
    /// Largest width of a line; wider lines are broken.
    pub(crate) wrap: Option<f32>,
    /// Degrees, clockwise.
    pub(crate) angle: f32,
    /// Position of short lines relative to long ones.
    pub(crate) align: Align,
}

/// A drawn text.
#[derive(Debug, PartialEq)]
pub(crate) struct Drawn {
    pub(crate) ink: Ink,
    /// Width and height of the text before it was rotated.
    pub(crate) upright: (f32, f32),
    /// Width and height that it takes.
    taken: (u32, u32),
}

/// A layer to be drawn on a picture, cut to its ink.
#[derive(Debug, PartialEq)]
pub(crate) enum Ink {
    /// Coverage, to be drawn in one colour.
    Plain(Mask),
    /// A picture with its own colours.
    Picture(Raster),
}

impl Drawn {
    /// A layer from a picture instead of a text. `upright` is its size before it was rotated.
    pub(crate) fn picture(raster: Raster, upright: (f32, f32)) -> Self {
        Self { taken: raster.size(), ink: Ink::Picture(raster), upright }
    }
}

impl Ink {
    pub(crate) fn size(&self) -> (u32, u32) {
        match self {
            Self::Plain(mask) => (mask.width, mask.height),
            Self::Picture(raster) => raster.size(),
        }
    }
}

/// Checks that a text can be drawn.
///
/// # Errors
/// `missing-glyph`, with all characters that no font has; `invalid-operation` for an unknown font.
pub(crate) fn check(text: &Text, library: &Library) -> Result<()> {
    if library.memory.knows(text) {
        return Ok(());
    }
    if let Some(name) = &text.font {
        library.check(name)?;
    }
    Layout::new(text, Align::Left, None, library).map(drop)
}

/// Draws `text`, made smaller if it does not fit into `room`.
///
/// # Errors
/// As [`check`].
pub(crate) fn drawn(text: &Text, scale: &Scale, room: (u32, u32), library: &Library) -> Result<Arc<Drawn>> {
    let fits = |taken: (u32, u32)| taken.0 <= room.0 && taken.1 <= room.1;
    if let Some(drawn) = library.memory.recall(text, scale).filter(|drawn| fits(drawn.taken)) {
        return Ok(drawn);
    }
    let mut size = scale.size.max(MIN_SIZE);
    let wrap = |size: f32| scale.wrap.map(|wrap| wrap / size);
    let mut layout = Layout::new(text, scale.align, wrap(size), library)?;
    let turn = Turn::new(scale.angle);
    let extent = |layout: &Layout, turn: &Turn| layout.extent(turn).unwrap_or([0.0; 4]);
    loop {
        let effects = Effects::new(text, size / scale.size.max(MIN_SIZE));
        let canvas = Canvas::new(extent(&layout, &turn), size, &effects, layout.is_emboldened());
        let (width, height) = (canvas.width as f32, canvas.height as f32);
        let mut ratio = (room.0 as f32 / width).min(room.1 as f32 / height);
        if let Some(wrap) = scale.wrap {
            // A word is too long for one line.
            ratio = ratio.min(wrap / (layout.width * size).max(1.0));
        }
        if ratio < 1.0 && size > MIN_SIZE {
            // Rounding to pixels can keep the ratio at 1, but the size has to become smaller.
            ratio = ratio.min(0.97);
            if scale.wrap.is_some() {
                // Smaller text has fewer lines, so small steps find the size at which they fit.
                ratio = ratio.max(0.9);
            }
            size = (size * ratio).max(MIN_SIZE);
            if scale.wrap.is_some() {
                layout = Layout::new(text, scale.align, wrap(size), library)?;
            }
            continue;
        }
        let taken = (canvas.width, canvas.height);
        let [left, top, right, bottom] = extent(&layout, &Turn::new(0.0));
        let drawn = Arc::new(Drawn {
            ink: canvas.cut(room).ink(&layout, &turn, size, text, &effects),
            upright: ((right - left) * size, (bottom - top) * size),
            taken,
        });
        if (size - scale.size).abs() < f32::EPSILON {
            library.memory.keep(text, scale, &drawn);
        }
        return Ok(drawn);
    }
}

/// Sine and cosine of an angle in degrees, exact for multiples of a right angle.
pub(crate) fn sin_cos(degrees: f32) -> (f64, f64) {
    match degrees.rem_euclid(360.0) {
        0.0 => (0.0, 1.0),
        90.0 => (1.0, 0.0),
        180.0 => (0.0, -1.0),
        270.0 => (-1.0, 0.0),
        other => f64::from(other).to_radians().sin_cos(),
    }
}

/// Largest number of bytes needed to draw a text on a picture of `pixels` pixels.
pub(crate) fn memory(text: &Text, size: f32, angle: f32, pixels: u64) -> u64 {
    let effects = Effects::new(text, 1.0);
    let reach =
        effects.shadow.as_ref().map_or(0.0, |cast| cast.x.abs().max(cast.y.abs()) as f32 + 3.0 * cast.deviation);
    let around = 2.0 * (effects.outline + reach);
    let width = text.text.chars().count() as f32 * size * 1.5 + around;
    // Rotated, and in lines of any length, it fits into a square whose side is its length.
    let level = angle == 0.0 && !text.text.contains('\n') && text.max_width.is_none();
    let height = if level { 3.0 * size + around } else { width };
    let area = ((width * height) as u64).min(pixels);
    if effects.is_none() && text.weight == Weight::Regular {
        // The coverage, and the coverage of a glyph in finer steps.
        return area * 5;
    }
    // Coverage of letters, outline and shadow, distances, and the coloured result; for small text, enlarged.
    area * 13 + (16 * area).min(ENLARGED) * 7
}

/// The last drawings, latest first, each for the size that was asked for.
#[derive(Default)]
struct Memory(Mutex<Vec<(Text, Scale, Arc<Drawn>)>>);

impl Memory {
    fn knows(&self, text: &Text) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|(of, ..)| of == text)
    }

    fn recall(&self, text: &Text, scale: &Scale) -> Option<Arc<Drawn>> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = last.iter().position(|(of, at, _)| of == text && at == scale)?;
        last[..=found].rotate_right(1);
        Some(last[0].2.clone())
    }

    fn keep(&self, text: &Text, scale: &Scale, drawn: &Arc<Drawn>) {
        if u64::from(drawn.taken.0) * u64::from(drawn.taken.1) > REMEMBERED_PIXELS {
            return;
        }
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.truncate(REMEMBERED - 1);
        last.insert(0, (text.clone(), *scale, drawn.clone()));
    }
}

/// A rotation about the origin, y downwards.
struct Turn {
    sin: f32,
    cos: f32,
}

impl Turn {
    fn new(degrees: f32) -> Self {
        let (sin, cos) = sin_cos(degrees);
        Self { sin: sin as f32, cos: cos as f32 }
    }

    fn apply(&self, x: f32, y: f32) -> (f32, f32) {
        (x * self.cos - y * self.sin, x * self.sin + y * self.cos)
    }
}

impl Layout {
    /// Each glyph's path, rotated, at `size` pixels per em, and whether to make it thicker.
    fn paths(&self, turn: &Turn, size: f32) -> impl Iterator<Item = (Vec<PathElement>, bool)> {
        self.glyphs.iter().map(move |glyph| {
            let outline = self.outline(glyph);
            let place = |x: f32, y: f32| {
                let (x, y) = turn.apply(glyph.x + x, glyph.y - y);
                (x * size, y * size)
            };
            (outline.path.iter().map(|&element| mapped(element, place)).collect(), outline.embolden)
        })
    }

    /// The box around all outlines, in ems: left, top, right and bottom; `None` if there is no ink.
    fn extent(&self, turn: &Turn) -> Option<[f32; 4]> {
        let boxes = self.paths(turn, 1.0).filter_map(|(path, _)| mask::bounds(&path));
        boxes.reduce(|a, b| [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])])
    }
}

/// The outline's width and the shadow, in pixels.
struct Effects {
    outline: f32,
    shadow: Option<Cast>,
}

struct Cast {
    x: i32,
    y: i32,
    deviation: f32,
}

impl Effects {
    /// `factor` is the size relative to the one asked for.
    fn new(text: &Text, factor: f32) -> Self {
        let cast = |shadow: &Shadow| Cast {
            x: (shadow.x * factor).round() as i32,
            y: (shadow.y * factor).round() as i32,
            // As in CSS, the blur is the width of the soft edge.
            deviation: shadow.blur * factor / 2.0,
        };
        Self {
            outline: text.outline.as_ref().map_or(0.0, |outline| outline.width * factor),
            shadow: text.shadow.as_ref().map(cast),
        }
    }

    fn is_none(&self) -> bool {
        self.outline == 0.0 && self.shadow.is_none()
    }
}

/// The pixels for a text.
struct Canvas {
    left: i32,
    top: i32,
    width: u32,
    height: u32,
}

impl Canvas {
    fn new(extent: [f32; 4], size: f32, effects: &Effects, emboldened: bool) -> Self {
        let [left, top, right, bottom] = extent.map(|v| v * size);
        let [left, top, right, bottom] = [left.floor(), top.floor(), right.ceil(), bottom.ceil()].map(|v| v as i32);
        if right <= left || bottom <= top {
            return Self { left, top, width: 0, height: 0 };
        }
        let bold = if emboldened { (BOLDER * size).ceil() as i32 } else { 0 };
        let grown = effects.outline.ceil() as i32 + bold;
        let (mut before, mut behind) = ((grown, grown), (grown, grown));
        if let Some(Cast { x, y, deviation }) = effects.shadow {
            let reach = grown + (3.0 * deviation).ceil() as i32;
            before = (before.0.max(reach - x), before.1.max(reach - y));
            behind = (behind.0.max(reach + x), behind.1.max(reach + y));
        }
        Self {
            left: left - before.0,
            top: top - before.1,
            width: (right - left + before.0 + behind.0) as u32,
            height: (bottom - top + before.1 + behind.1) as u32,
        }
    }

    /// Reduces the canvas to the room, so that parts that are cut off take no memory.
    fn cut(self, room: (u32, u32)) -> Self {
        Self { width: self.width.min(room.0), height: self.height.min(room.1), ..self }
    }

    fn ink(&self, layout: &Layout, turn: &Turn, size: f32, text: &Text, effects: &Effects) -> Ink {
        if effects.is_none() && !layout.is_emboldened() {
            return Ink::Plain(self.draw(layout.paths(turn, size).map(|(path, _)| path), 1).trimmed());
        }
        let area = (u64::from(self.width) * u64::from(self.height)).max(1);
        let scale = [4, 2].into_iter().find(|scale| area * scale * scale <= ENLARGED).unwrap_or(1) as u32;
        let zoom = scale as f32;
        let paths = |embolden: bool| {
            let of_kind = move |(path, bold)| (bold == embolden).then_some(path);
            layout.paths(turn, size * zoom).filter_map(of_kind)
        };
        let mut letters = self.draw(paths(false), scale);
        if layout.is_emboldened() {
            letters.merge(&self.draw(paths(true), scale).grown(BOLDER * size * zoom));
        }
        if effects.is_none() {
            return Ink::Plain(letters.reduced(scale).trimmed());
        }
        let outlined = (effects.outline > 0.0).then(|| letters.grown(effects.outline * zoom).reduced(scale));
        let letters = letters.reduced(scale);
        let shadow = effects.shadow.as_ref().map(|cast| {
            let solid = outlined.as_ref().unwrap_or(&letters);
            solid.moved(cast.x, cast.y).blurred(cast.deviation)
        });
        let nothing = [0; 4];
        let layers = [
            (Some(&letters), text.color),
            (outlined.as_ref(), text.outline.as_ref().map_or(nothing, |outline| outline.color)),
            (shadow.as_ref(), text.shadow.as_ref().map_or(nothing, |shadow| shadow.color)),
        ];
        Ink::Picture(composed(&letters, layers))
    }

    /// Draws the paths, enlarged `scale` times.
    fn draw(&self, paths: impl Iterator<Item = Vec<PathElement>>, scale: u32) -> Mask {
        let mut mask = Mask::empty(self.width * scale, self.height * scale);
        let (left, top) = ((self.left * scale as i32) as f32, (self.top * scale as i32) as f32);
        for path in paths {
            let path: Vec<PathElement> = path.into_iter().map(|e| mapped(e, |x, y| (x - left, y - top))).collect();
            mask.fill(&path);
        }
        mask
    }
}

/// The layers in their colours, upper layers first. Each layer shows only where the layers above leave room, so
/// that a translucent letter is not darkened by its own shadow.
fn composed(size: &Mask, layers: [(Option<&Mask>, [u8; 4]); 3]) -> Raster {
    let pixels = size.coverage.len();
    let mut data = vec![0; pixels * 4];
    for (i, pixel) in data.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        // Coverage so far, and colours weighted by coverage, in units of 1/255².
        let (mut covered, mut alpha, mut sums) = (0_u32, 0, [0; 3]);
        for (mask, [r, g, b, a]) in layers {
            let Some(mask) = mask else { continue };
            let ink = u32::from(mask.coverage[i]).saturating_sub(covered);
            covered += ink;
            let weight = ink * u32::from(a);
            alpha += weight;
            for (sum, color) in sums.iter_mut().zip([r, g, b]) {
                *sum += weight * u32::from(color);
            }
        }
        if alpha > 0 {
            let [r, g, b] = sums.map(|sum| ((sum + alpha / 2) / alpha) as u8);
            *pixel = [r, g, b, ((alpha + 127) / 255) as u8];
        }
    }
    let raster = Raster { width: size.width, height: size.height, channels: Channels::Rgba, data };
    let rows = raster.data.as_chunks::<4>().0.chunks_exact(raster.width.max(1) as usize);
    let [left, top, right, bottom] = mask::ink_box(raster.width, rows.clone(), |pixel| pixel[3] != 0);
    let data = rows.take(bottom).skip(top).flat_map(|row| row[left..right].as_flattened()).copied().collect();
    Raster { width: (right - left) as u32, height: (bottom - top) as u32, channels: Channels::Rgba, data }
}
