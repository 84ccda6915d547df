//! Marks: their layer and its places on a picture ([`mark`]), and blending them with their alpha into pixels ([`draw()`]).
//!
//! Planes have a `draw` of their own, in `routes::planes`.

mod draw;
mod lattice;
mod picture;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use crate::operation::{Action, Align, Anchor, Content, Length, Operation, Position, Text, Watermark};
use crate::raster::Raster;
use crate::text::{self, Drawn, Ink, Mask, Scale};
use crate::{Result, overlay};
pub(crate) use draw::{draw, mix, scaled};
use lattice::Lattice;

/// Of a text's em.
const DEFAULT_SIZE: Length = Length::Pixels(36);

/// A mark laid out for a picture: its layer and its places.
pub(crate) struct Mark {
    drawn: Arc<Drawn>,
    /// The colour of a text in one colour.
    color: [u8; 3],
    /// 0 to 255: the opacity, with a single colour's alpha in it.
    alpha: u8,
    places: Places,
    /// For each row of the layer, the columns that hold all of its ink. A long turned line has few in each row.
    inked: Vec<Range<usize>>,
}

/// The part of a layer's row that shows on a picture.
pub(crate) struct Strip {
    /// Its first pixel's place in the picture.
    pub(crate) x: usize,
    pub(crate) y: usize,
    /// In the layer.
    pub(crate) row: usize,
    pub(crate) columns: Range<usize>,
}

/// A layer as a picture of one depth takes it, and its place: x and y of its top left corner, which may lie outside.
pub(crate) enum Layer<'m> {
    /// Coverage in a colour.
    Plain { mask: &'m Mask, color: [u8; 3], alpha: u8 },
    /// RGBA, its alpha to be multiplied by `alpha`.
    Picture { raster: &'m Raster, alpha: u8 },
}

/// The places of a mark.
enum Places {
    One(i64, i64),
    Tile(Lattice),
}

/// Refuses a mark that cannot be drawn.
///
/// # Errors
/// As [`mark`].
pub(crate) fn check(watermark: &Watermark) -> Result<()> {
    match &watermark.content {
        Content::Text(text) => text::check(text, text::library()),
        Content::Image { image } => overlay::load(image).map(drop),
    }
}

/// Most bytes that marks take beside a picture of `pixels` pixels and a longest side of `longest`: marks are drawn one at a time.
pub(crate) fn memory(operations: &[Operation], pixels: u64, longest: u64) -> u64 {
    let actions = operations.iter().flat_map(Operation::actions);
    let marks = actions.filter_map(|action| if let Action::Watermark(mark) = action { Some(mark) } else { None });
    marks.map(|mark| mark.memory(pixels, longest)).max().unwrap_or(0)
}

impl Watermark {
    fn memory(&self, pixels: u64, longest: u64) -> u64 {
        match &self.content {
            Content::Text(text) => {
                let size = self.size.unwrap_or(DEFAULT_SIZE).pixels(longest as u32);
                text::memory(text, size, self.angle, pixels)
            }
            // The overlay as it is decoded and kept, then scaled and turned.
            Content::Image { .. } => overlay::MAX_PIXELS * 14 + pixels * 8,
        }
    }
}

/// Lays the mark out on a picture of `size`.
///
/// What shows of it, not a line's box, stands `margin` pixels from the edges. On small pictures the margin shrinks to an
/// eighth of the side, and the mark until it fits between the margins.
///
/// # Errors
/// `missing-glyph`, naming the characters that no font has; `invalid-operation` for an overlay that is not there.
pub(crate) fn mark(watermark: &Watermark, size: (u32, u32)) -> Result<Mark> {
    let width = size.0;
    let wanted_margin = match watermark.position {
        Position::At(_) => watermark.margin.pixels(width).round() as u32,
        Position::Tile(_) => 0,
    };
    let margin = |side: u32| wanted_margin.min(side / 8);
    let (margin_x, margin_y) = (margin(size.0), margin(size.1));
    let room = (size.0 - 2 * margin_x, size.1 - 2 * margin_y);
    let (drawn, color) = match &watermark.content {
        Content::Text(text) => (write(text, watermark, width, room)?, text.color),
        Content::Image { image } => {
            let overlay = overlay::load(image)?;
            (Arc::new(picture::place(&overlay, watermark, width, room)?), [0, 0, 0, 255])
        }
    };
    let [r, g, b, a] = color;
    let plain = matches!(drawn.ink, Ink::Plain(_));
    let alpha = if plain { f32::from(a) } else { 255.0 };
    let ink = drawn.ink.size();
    let places = match watermark.position {
        Position::At(anchor) => {
            let (fx, fy) = anchor.fractions();
            let place = |room: u32, ink: u32, margin: u32, fraction: f64| {
                i64::from(margin) + (f64::from(room.saturating_sub(ink)) * fraction).round() as i64
            };
            Places::One(place(room.0, ink.0, margin_x, fx), place(room.1, ink.1, margin_y, fy))
        }
        Position::Tile(_) => {
            let spacing = watermark.spacing.map(|spacing| f64::from(spacing.pixels(width)));
            Places::Tile(Lattice::new(&drawn, spacing, watermark.angle, size))
        }
    };
    let inked = inked(&drawn.ink);
    Ok(Mark { color: [r, g, b], alpha: (alpha * watermark.opacity).round() as u8, places, inked, drawn })
}

fn inked(ink: &Ink) -> Vec<Range<usize>> {
    fn span<P>(row: &[P], shows: impl Fn(&P) -> bool) -> Range<usize> {
        let first = row.iter().position(&shows).unwrap_or(0);
        first..row.iter().rposition(shows).map_or(first, |last| last + 1)
    }
    match ink {
        Ink::Plain(mask) => mask.rows().map(|row| span(row, |&cover| cover != 0)).collect(),
        Ink::Picture(raster) => {
            let rows = raster.data.as_chunks::<4>().0.chunks_exact(raster.width.max(1) as usize);
            rows.map(|row| span(row, |pixel| pixel[3] != 0)).collect()
        }
    }
}

fn write(text: &Text, watermark: &Watermark, width: u32, room: (u32, u32)) -> Result<Arc<Drawn>> {
    let toward_edge = match watermark.position {
        Position::Tile(_) => Align::Center,
        Position::At(anchor) => match anchor {
            Anchor::TopLeft | Anchor::Left | Anchor::BottomLeft => Align::Left,
            Anchor::Top | Anchor::Center | Anchor::Bottom => Align::Center,
            Anchor::TopRight | Anchor::Right | Anchor::BottomRight => Align::Right,
        },
    };
    let scale = Scale {
        size: watermark.size.unwrap_or(DEFAULT_SIZE).pixels(width),
        wrap: text.max_width.map(|length| length.pixels(width)),
        angle: watermark.angle,
        align: text.align.unwrap_or(toward_edge),
    };
    text::drawn(text, &scale, room, text::library())
}

impl Mark {
    pub(crate) fn layer(&self) -> Layer<'_> {
        match &self.drawn.ink {
            Ink::Plain(mask) => Layer::Plain { mask, color: self.color, alpha: self.alpha },
            Ink::Picture(raster) => Layer::Picture { raster, alpha: self.alpha },
        }
    }

    /// The places of the layer's top left corner on a picture of this size; only those at which the layer shows.
    pub(crate) fn places(&self, size: (u32, u32)) -> impl Iterator<Item = (i64, i64)> {
        let (one, lattice) = match &self.places {
            &Places::One(x, y) => (Some((x, y)), None),
            Places::Tile(lattice) => (None, Some(lattice)),
        };
        let (width, height) = self.drawn.ink.size();
        let shows = move |&(x, y): &(i64, i64)| {
            width > 0
                && height > 0
                && x < size.0.into()
                && y < size.1.into()
                && x + i64::from(width) > 0
                && y + i64::from(height) > 0
        };
        one.into_iter().chain(lattice.into_iter().flat_map(Lattice::places)).filter(shows)
    }

    /// Left, top, right and bottom of the part that shows on a picture of this size; for a tile, the whole picture.
    pub(crate) fn bounds(&self, size: (u32, u32)) -> [u32; 4] {
        let &Places::One(x, y) = &self.places else { return [0, 0, size.0, size.1] };
        let (width, height) = self.drawn.ink.size();
        let (columns, rows) = (overlap(x, width, size.0), overlap(y, height, size.1));
        let from = |at: i64, part: usize| (at + part as i64) as u32;
        [from(x, columns.start), from(y, rows.start), from(x, columns.end), from(y, rows.end)]
    }

    /// The strips that show of the mark at one of its [`places`](Self::places), row by row from the top.
    pub(crate) fn strips(&self, at: (i64, i64), size: (u32, u32)) -> impl Iterator<Item = Strip> {
        let (width, height) = self.drawn.ink.size();
        let shown = overlap(at.0, width, size.0);
        overlap(at.1, height, size.1).filter_map(move |row| {
            let inked = &self.inked[row];
            let columns = inked.start.max(shown.start)..inked.end.min(shown.end);
            let place = |at: i64, part: usize| (at + part as i64) as usize;
            (!columns.is_empty()).then(|| Strip { x: place(at.0, columns.start), y: place(at.1, row), row, columns })
        })
    }

    /// The mark on a part of the picture. The part has this corner and holds the mark's [`Mark::bounds`].
    pub(crate) fn shifted(mut self, left: u32, top: u32) -> Self {
        if let Places::One(x, y) = &mut self.places {
            *x -= i64::from(left);
            *y -= i64::from(top);
        }
        self
    }

    fn is_gray(&self) -> bool {
        match self.layer() {
            Layer::Plain { color: [r, g, b], .. } => r == g && g == b,
            Layer::Picture { raster, .. } => {
                raster.data.as_chunks::<4>().0.iter().all(|&[r, g, b, a]| a == 0 || (r == g && g == b))
            }
        }
    }
}

/// The part of a layer's side, which begins at `at`, that is inside a picture's side.
fn overlap(at: i64, layer: u32, picture: u32) -> Range<usize> {
    let start = at.clamp(0, picture.into());
    let end = (at + i64::from(layer)).clamp(start, picture.into());
    (start - at) as usize..(end - at) as usize
}
