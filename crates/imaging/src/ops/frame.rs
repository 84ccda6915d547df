//! Cutting, padding, trimming and rounding: the frame changes, the pixels do not.

use super::geometry::{Area, Canvas, middle_square};
use crate::operation::{Radius, Round, Trim};
use crate::raster::{Channels, Raster, Sample};

/// A background's pixel, in the channels of the picture that it is for.
pub(super) struct Backdrop<S> {
    pub(super) pixel: [S; 4],
    channels: usize,
}

impl<S> Backdrop<S> {
    pub(super) fn pixel(&self) -> &[S] {
        &self.pixel[..self.channels]
    }
}

/// Gives the picture the channels that a background needs; unset, that is transparent where there is alpha, else white.
pub(super) fn onto<S: Sample>(picture: Raster<S>, background: Option<[u8; 4]>) -> (Raster<S>, Backdrop<S>) {
    let unset = if picture.has_alpha() { [0; 4] } else { [255; 4] };
    let [r, g, b, a] = background.unwrap_or(unset);
    let picture = match picture.channels {
        Channels::Gray if (r, a) == (g, 255) && g == b => picture,
        Channels::Gray | Channels::Rgb if a != 255 => with_alpha(&picture.into_colour()),
        _ => picture.into_colour(),
    };
    let backdrop = Backdrop { pixel: [r, g, b, a].map(S::widen), channels: picture.channels.count() };
    (picture, backdrop)
}

/// The part of a picture inside `area`.
pub(crate) fn cut<S: Sample>(picture: &Raster<S>, area: Area) -> Raster<S> {
    let count = picture.channels.count();
    let (left, bytes) = (area.left as usize * count, area.width as usize * count);
    let mut data = Vec::with_capacity(bytes * area.height as usize);
    let rows = picture.data.chunks_exact(picture.stride()).skip(area.top as usize).take(area.height as usize);
    for row in rows {
        data.extend_from_slice(&row[left..left + bytes]);
    }
    Raster { width: area.width, height: area.height, channels: picture.channels, data }
}

/// The picture on its canvas.
pub(crate) fn extend<S: Sample>(picture: Raster<S>, canvas: &Canvas) -> Raster<S> {
    let (picture, backdrop) = onto(picture, canvas.background);
    let (width, height) = canvas.size;
    let mut filled = Raster::filled(width, height, picture.channels, backdrop.pixel());
    let (bytes, stride) = (picture.stride(), filled.stride());
    let left = canvas.offset.0 as usize * picture.channels.count();
    let rows = filled.data.chunks_exact_mut(stride).skip(canvas.offset.1 as usize);
    for (row, line) in rows.zip(picture.data.chunks_exact(bytes)) {
        row[left..left + bytes].copy_from_slice(line);
    }
    filled
}

/// The part inside a border of one colour; all of a picture that has only one colour.
pub(crate) fn trim<S: Sample>(picture: &Raster<S>, wanted: &Trim) -> Area {
    match picture.channels {
        Channels::Gray => trimmed::<S, 1>(picture, wanted),
        Channels::Rgb => trimmed::<S, 3>(picture, wanted),
        Channels::Rgba => trimmed::<S, 4>(picture, wanted),
    }
}

fn trimmed<S: Sample, const N: usize>(picture: &Raster<S>, wanted: &Trim) -> Area {
    let (width, height) = (picture.width as usize, picture.height as usize);
    let (pixels, _) = picture.data.as_chunks::<N>();
    let threshold = S::widen(wanted.threshold).number();
    let alike = |a: &[S; N], b: &[S; N]| {
        let far = |a: S, b: S| a.number().abs_diff(b.number()) > threshold;
        // The colour of fully transparent pixels cannot be seen.
        let unseen = N == 4 && a[N - 1].number() == 0 && b[N - 1].number() == 0;
        unseen || !a.iter().zip(b).any(|(&a, &b)| far(a, b))
    };
    let border: [S; N] = match wanted.color {
        Some(color) if N == 1 => {
            let [r, g, b] = [color[0], color[1], color[2]].map(u32::from);
            [S::widen(((r * 299 + g * 587 + b * 114 + 500) / 1000) as u8); N]
        }
        Some(color) => std::array::from_fn(|i| S::widen(color[i])),
        None => {
            let corners = [0, width - 1, (height - 1) * width, height * width - 1].map(|at| pixels[at]);
            let votes = |one: &[S; N]| corners.iter().filter(|other| alike(one, other)).count();
            // The first of the colours that most corners share.
            let mut best = corners[0];
            for corner in &corners[1..] {
                if votes(corner) > votes(&best) {
                    best = *corner;
                }
            }
            best
        }
    };
    let is_border = |row: &[[S; N]]| row.iter().all(|pixel| alike(pixel, &border));
    let row = |y: usize| &pixels[y * width..(y + 1) * width];
    let whole = Area { left: 0, top: 0, width: picture.width, height: picture.height };
    let Some(top) = (0..height).find(|&y| !is_border(row(y))) else { return whole };
    let bottom = (top..height).rev().find(|&y| !is_border(row(y))).unwrap_or(top);
    let (mut left, mut right) = (width, 0);
    for y in top..=bottom {
        let row = row(y);
        // Only pixels that may still move an edge are read.
        left = row[..left].iter().position(|pixel| !alike(pixel, &border)).unwrap_or(left);
        right = row[right..].iter().rposition(|pixel| !alike(pixel, &border)).map_or(right, |at| right + at + 1);
    }
    Area { left: left as u32, top: top as u32, width: (right - left) as u32, height: (bottom - top + 1) as u32 }
}

/// Round corners, smooth at their edges.
pub(crate) fn round<S: Sample>(picture: Raster<S>, wanted: &Round) -> Raster<S> {
    let shorter = picture.width.min(picture.height) as f32;
    let (picture, radius) = match wanted.radius {
        Radius::Circle => {
            let square = middle_square(picture.size());
            let picture = if square.size() == picture.size() { picture } else { cut(&picture, square) };
            (picture, shorter / 2.0)
        }
        Radius::Share(share) => (picture, shorter * share),
        Radius::Pixels(radius) => (picture, (radius as f32).min(shorter / 2.0)),
    };
    let (mut picture, backdrop) = onto(picture, Some(wanted.background.unwrap_or_default()));
    let (width, height) = (picture.width as usize, picture.height as usize);
    let count = picture.channels.count();
    let reach = radius.ceil() as usize;
    let rows = picture.data.chunks_exact_mut(width * count);
    for (y, row) in rows.enumerate() {
        // Rows and columns count from the nearest edge.
        let from_edge = y.min(height - 1 - y);
        if from_edge >= reach {
            continue;
        }
        let dy = radius - (from_edge as f32 + 0.5);
        for column in 0..reach.min(width.div_ceil(2)) {
            let dx = radius - (column as f32 + 0.5);
            if dx <= 0.0 || dy <= 0.0 {
                break;
            }
            let covered = (radius - dx.hypot(dy) + 0.5).clamp(0.0, 1.0);
            if covered >= 1.0 {
                break;
            }
            fade(&mut row[column * count..][..count], covered, &backdrop);
            let mirrored = width - 1 - column;
            if mirrored != column {
                fade(&mut row[mirrored * count..][..count], covered, &backdrop);
            }
        }
    }
    picture
}

/// A pixel that covers this share of the background.
fn fade<S: Sample>(pixel: &mut [S], covered: f32, backdrop: &Backdrop<S>) {
    let max = S::MAX.number() as f32;
    let below = backdrop.pixel();
    let alpha = |pixel: &[S]| if pixel.len() == 4 { pixel[3].number() as f32 / max } else { 1.0 };
    let (above, under) = (alpha(pixel) * covered, alpha(below) * (1.0 - covered));
    let sum = above + under;
    let colours = if pixel.len() == 4 { 3 } else { pixel.len() };
    for (value, below) in pixel.iter_mut().zip(below).take(colours) {
        let mixed = if sum > 0.0 { (value.number() as f32 * above + below.number() as f32 * under) / sum } else { 0.0 };
        *value = S::nearest(mixed);
    }
    if let Some(alpha) = pixel.get_mut(3) {
        *alpha = S::nearest(sum * max);
    }
}

fn with_alpha<S: Sample>(picture: &Raster<S>) -> Raster<S> {
    let data = picture.data.as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [r, g, b, S::MAX]).collect();
    Raster { width: picture.width, height: picture.height, channels: Channels::Rgba, data }
}
