//! Marks: where they stand on a picture, and blending them with their alpha into pixels.
//!
//! [`mark`] is geometry and glyphs, [`draw`] is arithmetic; planes have a `draw` of their own.

use std::ops::Range;
use std::sync::Arc;

use fast_image_resize::Resizer;

use super::geometry;
use super::resize::resize;
use crate::operation::{Action, Align, Anchor, Content, Length, Operation, Position, Resize, Text, Watermark};
use crate::raster::{Alpha, Channels, Raster, Sample};
use crate::text::{self, Drawn, Ink, Mask, Scale, sin_cos};
use crate::{Result, overlay};

/// Of a text's em.
const DEFAULT_SIZE: Length = Length::Pixels(36);
/// Alpha from which on a pixel shows where alpha is all or nothing.
const HALF: u8 = 128;
/// Pixels from one mark of a tile to the next, at the least.
const MIN_STEP: f64 = 4.0;

/// What is drawn over a picture, and where.
pub(crate) struct Mark {
    drawn: Arc<Drawn>,
    /// Of a text in one colour.
    color: [u8; 3],
    /// 0 to 255: the opacity, with a single colour's alpha in it.
    alpha: u8,
    places: Places,
    /// Of each row of the layer, the columns in which all of its ink lies: few of a long line that is turned.
    inked: Vec<Range<usize>>,
}

/// What of a row of a layer shows on a picture.
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

/// Where a mark stands.
enum Places {
    One(i64, i64),
    Tile(Lattice),
}

/// Rows of marks that are turned as a whole, every other one shifted by half a step.
struct Lattice {
    /// The mark's own size.
    mark: (f64, f64),
    /// From one mark to the next, along and across the rows.
    step: (f64, f64),
    sin: f64,
    cos: f64,
    /// The picture's.
    size: (f64, f64),
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

/// Bytes that marks take at the most beside a picture of so many pixels whose longest side is `longest`: one at a time.
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
            (Arc::new(place(&overlay, watermark, width, room)?), [0, 0, 0, 255])
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

/// Scales and turns an overlay.
fn place(overlay: &Raster, watermark: &Watermark, width: u32, room: (u32, u32)) -> Result<Drawn> {
    let (own_w, own_h) = (f64::from(overlay.width), f64::from(overlay.height));
    let wanted = watermark.size.map_or(1.0, |size| f64::from(size.pixels(width)) / own_w);
    let (sin, cos) = sin_cos(watermark.angle);
    let turned = (own_w * cos.abs() + own_h * sin.abs(), own_w * sin.abs() + own_h * cos.abs());
    let factor = wanted.min(f64::from(room.0) / turned.0).min(f64::from(room.1) / turned.1);
    let side = |own: f64| ((own * factor).round() as u32).max(1);
    let (w, h) = (side(own_w), side(own_h));
    let scaled = if (w, h) == overlay.size() {
        overlay.clone()
    } else {
        resize(overlay, &geometry::resize(&Resize::fill(w, h), overlay.size()), &mut Resizer::new())?
    };
    let raster = match watermark.angle.rem_euclid(360.0) {
        0.0 => scaled,
        90.0 => scaled.oriented(6),
        180.0 => scaled.oriented(3),
        270.0 => scaled.oriented(8),
        _ => turn(&scaled, sin, cos),
    };
    Ok(Drawn::picture(raster, (w as f32, h as f32)))
}

/// Turns a picture with alpha clockwise about its middle; what it did not cover is transparent.
fn turn(picture: &Raster, sin: f64, cos: f64) -> Raster {
    let (w, h) = (f64::from(picture.width), f64::from(picture.height));
    let side = |length: f64| (length.ceil() as u32).max(1);
    let (width, height) = (side(w * cos.abs() + h * sin.abs()), side(w * sin.abs() + h * cos.abs()));
    let source = picture.data.as_chunks::<4>().0;
    let at = |x: i64, y: i64| {
        let inside = (0..i64::from(picture.width)).contains(&x) && (0..i64::from(picture.height)).contains(&y);
        if inside { source[(y * i64::from(picture.width) + x) as usize] } else { [0; 4] }
    };
    let mut data = Vec::with_capacity(width as usize * height as usize * 4);
    for y in 0..height {
        for x in 0..width {
            let (along, down) =
                (f64::from(x) + 0.5 - f64::from(width) / 2.0, f64::from(y) + 0.5 - f64::from(height) / 2.0);
            let from = (along * cos + down * sin + w / 2.0 - 0.5, down * cos - along * sin + h / 2.0 - 0.5);
            let (left, top) = (from.0.floor(), from.1.floor());
            let (fx, fy) = (from.0 - left, from.1 - top);
            // Bilinear, with colours weighted by their alpha.
            let (mut sums, mut cover) = ([0.0; 3], 0.0);
            for (px, py, weight) in
                [(0, 0, (1.0 - fx) * (1.0 - fy)), (1, 0, fx * (1.0 - fy)), (0, 1, (1.0 - fx) * fy), (1, 1, fx * fy)]
            {
                let pixel = at(left as i64 + px, top as i64 + py).map(f64::from);
                let alpha = pixel[3] * weight;
                cover += alpha;
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += value * alpha;
                }
            }
            let colors = sums.map(|sum| if cover > 0.0 { (sum / cover).round() as u8 } else { 0 });
            data.extend(colors);
            data.push(cover.round() as u8);
        }
    }
    Raster { width, height, channels: Channels::Rgba, data }
}

impl Lattice {
    fn new(drawn: &Drawn, spacing: Option<f64>, angle: f32, size: (u32, u32)) -> Self {
        let (width, height) = (f64::from(drawn.upright.0), f64::from(drawn.upright.1));
        let (along, across) = spacing.map_or((width / 2.0, (width / 2.0).min(2.0 * height)), |given| (given, given));
        let step = ((width + along).max(MIN_STEP), (height + across).max(MIN_STEP));
        let (sin, cos) = sin_cos(angle);
        let ink = drawn.ink.size();
        let size = (f64::from(size.0), f64::from(size.1));
        Self { mark: (f64::from(ink.0), f64::from(ink.1)), step, sin, cos, size }
    }

    fn places(&self) -> impl Iterator<Item = (i64, i64)> {
        let half = (self.size.0 / 2.0, self.size.1 / 2.0);
        let reach = half.0 * self.sin.abs() + half.1 * self.cos.abs() + self.mark.0.hypot(self.mark.1) / 2.0;
        let rows = (reach / self.step.1).ceil() as i64;
        (-rows..=rows).flat_map(move |row| {
            let shift = if row % 2 == 0 { 0.0 } else { 0.5 };
            let along = move |column: i64| {
                let (x, y) = ((column as f64 + shift) * self.step.0, row as f64 * self.step.1);
                (half.0 + x * self.cos - y * self.sin, half.1 + x * self.sin + y * self.cos)
            };
            self.columns(along(0), half).map(move |column| {
                let (x, y) = along(column);
                ((x - self.mark.0 / 2.0).round() as i64, (y - self.mark.1 / 2.0).round() as i64)
            })
        })
    }

    /// The columns of a row through `from` whose marks may touch the picture.
    fn columns(&self, from: (f64, f64), half: (f64, f64)) -> std::ops::RangeInclusive<i64> {
        let (mut first, mut last) = (f64::NEG_INFINITY, f64::INFINITY);
        let directions =
            [(from.0 - half.0, self.cos, half.0, self.mark.0), (from.1 - half.1, self.sin, half.1, self.mark.1)];
        for (start, step, half, mark) in directions {
            let (step, reach) = (step * self.step.0, half + mark / 2.0);
            if step.abs() > 1e-9 {
                let ends = [(-reach - start) / step, (reach - start) / step];
                first = first.max(ends[0].min(ends[1]));
                last = last.min(ends[0].max(ends[1]));
            } else if start.abs() > reach {
                (first, last) = (1.0, 0.0);
            }
        }
        first.floor() as i64..=last.ceil() as i64
    }
}

impl Mark {
    pub(crate) fn layer(&self) -> Layer<'_> {
        match &self.drawn.ink {
            Ink::Plain(mask) => Layer::Plain { mask, color: self.color, alpha: self.alpha },
            Ink::Picture(raster) => Layer::Picture { raster, alpha: self.alpha },
        }
    }

    /// Where the layer's top left corner comes to stand on a picture of this size: only places at which it shows.
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

    /// Left, top, right and bottom of all that shows on a picture of this size; of a tile, the whole picture.
    pub(crate) fn bounds(&self, size: (u32, u32)) -> [u32; 4] {
        let &Places::One(x, y) = &self.places else { return [0, 0, size.0, size.1] };
        let (width, height) = self.drawn.ink.size();
        let (columns, rows) = (overlap(x, width, size.0), overlap(y, height, size.1));
        let from = |at: i64, part: usize| (at + part as i64) as u32;
        [from(x, columns.start), from(y, rows.start), from(x, columns.end), from(y, rows.end)]
    }

    /// What shows of the mark at one of its [`places`](Self::places), row by row from the top.
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

    /// The mark as it shows on a part of the picture whose corner is there: one that holds its [`Mark::bounds`].
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

/// What of a layer's side, which begins at `at`, lies on a picture's.
fn overlap(at: i64, layer: u32, picture: u32) -> Range<usize> {
    let start = at.clamp(0, picture.into());
    let end = (at + i64::from(layer)).clamp(start, picture.into());
    (start - at) as usize..(end - at) as usize
}

/// Draws the mark over the picture; grey pictures become RGB unless the mark is grey too.
///
/// Where alpha is hard, a half-transparent mark would vanish over what is clear, or lose its edges: there its pixels are drawn
/// in full from half of its strongest one on.
///
/// # Errors
/// What `go_on` says; it is asked at each place.
pub(crate) fn draw<S: Sample>(
    picture: Raster<S>,
    mark: &Mark,
    kind: Alpha,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<Raster<S>> {
    let mut picture = if mark.is_gray() { picture } else { picture.into_colour() };
    let (size, channels) = (picture.size(), picture.channels);
    let (width, count) = (picture.width as usize, channels.count());
    let below = Below::of(channels, kind, mark);
    for at in mark.places(size) {
        go_on()?;
        for Strip { x, y, row, columns } in mark.strips(at, size) {
            let pixels = &mut picture.data[(y * width + x) * count..][..columns.len() * count];
            match mark.layer() {
                Layer::Plain { mask, color, alpha } => {
                    let coverage = &mask.row(row)[columns];
                    blend(pixels, coverage, below, color, alpha);
                }
                Layer::Picture { raster, alpha } => {
                    let layer = &raster.data.as_chunks::<4>().0[row * raster.width as usize..];
                    lay(pixels, &layer[columns], below, alpha);
                }
            }
        }
    }
    Ok(picture)
}

/// How a mark meets a picture's pixels.
#[derive(Debug, Clone, Copy)]
enum Below {
    Opaque(Channels),
    SoftAlpha,
    /// Clear pixels take the mark in full from this coverage on.
    HardAlpha {
        from: u8,
    },
}

impl Below {
    fn of(channels: Channels, kind: Alpha, mark: &Mark) -> Self {
        let strongest = || match mark.layer() {
            Layer::Plain { mask, .. } => mask.rows().flatten().max().copied(),
            Layer::Picture { raster, .. } => raster.data.iter().skip(3).step_by(4).max().copied(),
        };
        match (channels, kind) {
            (Channels::Rgba, Alpha::Soft) => Self::SoftAlpha,
            (Channels::Rgba, Alpha::Hard) => Self::HardAlpha { from: strongest().unwrap_or(0).div_ceil(2).max(1) },
            _ => Self::Opaque(channels),
        }
    }
}

impl Below {
    fn count(self) -> usize {
        match self {
            Self::Opaque(channels) => channels.count(),
            Self::SoftAlpha | Self::HardAlpha { .. } => Channels::Rgba.count(),
        }
    }
}

fn blend<S: Sample>(row: &mut [S], coverage: &[u8], below: Below, color: [u8; 3], alpha: u8) {
    for (pixel, &coverage) in row.chunks_exact_mut(below.count()).zip(coverage) {
        dab(pixel, below, color, alpha, coverage);
    }
}

fn lay<S: Sample>(row: &mut [S], layer: &[[u8; 4]], below: Below, alpha: u8) {
    for (pixel, &[r, g, b, a]) in row.chunks_exact_mut(below.count()).zip(layer) {
        dab(pixel, below, [r, g, b], alpha, a);
    }
}

fn dab<S: Sample>(pixel: &mut [S], below: Below, color: [u8; 3], alpha: u8, coverage: u8) {
    let both = scaled(alpha, coverage);
    if both == 0 {
        return;
    }
    match below {
        Below::Opaque(_) => {
            for (value, color) in pixel.iter_mut().zip(color) {
                *value = mix(*value, color, both);
            }
        }
        Below::HardAlpha { from } if pixel[3].narrow() < HALF => {
            if coverage >= from {
                for (value, color) in pixel.iter_mut().zip(color) {
                    *value = S::widen(color);
                }
                pixel[3] = S::MAX;
            }
        }
        Below::SoftAlpha | Below::HardAlpha { .. } => over(pixel, color, both),
    }
}

/// `a * b` where 255 stands for 1.
pub(crate) fn scaled(a: u8, b: u8) -> u8 {
    ((u32::from(a) * u32::from(b) + 127) / 255) as u8
}

/// `above` with `alpha` of 255 over `below`.
pub(crate) fn mix<S: Sample>(below: S, above: u8, alpha: u8) -> S {
    let (below, above, alpha) = (below.number(), S::widen(above).number(), u32::from(alpha));
    S::from_number((above * alpha + below * (255 - alpha) + 127) / 255)
}

/// Porter and Duff's source-over with alpha that is not premultiplied.
fn over<S: Sample>(pixel: &mut [S], color: [u8; 3], alpha: u8) {
    let (above, below, max) = (u64::from(alpha), u64::from(pixel[3].number()), u64::from(S::MAX.number()));
    // Both weights are in 255ths of the sample's range.
    let (top, bottom) = (above * max, below * (255 - above));
    let sum = top + bottom;
    for (value, color) in pixel.iter_mut().zip(color) {
        let (color, under) = (u64::from(S::widen(color).number()), u64::from(value.number()));
        *value = S::from_number(((color * top + under * bottom + sum / 2) / sum) as u32);
    }
    pixel[3] = S::from_number(((sum + 127) / 255) as u32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::{Tile, parse};
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
        for fields in
            ["", r#""angle": 33"#, effects, r#""weight": "bold", "max_width": "50%""#, r#""position": "tile""#]
        {
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
        let turned = turn(&square, sin, cos);
        assert_eq!(turned.size(), (55, 55));
        let alpha: u32 = turned.data.chunks_exact(4).map(|pixel| u32::from(pixel[3])).sum();
        assert!(alpha.abs_diff(40 * 40 * 128) < 40 * 128, "{alpha}");
        assert!(turned.data.chunks_exact(4).filter(|pixel| pixel[3] > 8).all(|pixel| pixel[0].abs_diff(200) <= 2));
    }
}
