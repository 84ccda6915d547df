//! Where a picture draws the eye: edges, the colours of skin, and strong colours.
//!
//! Scores and their weights are those of smartcrop.js (Jonas Wagner), on a copy of at most 128 pixels a side; without its
//! rule of thirds, as one size is cut, and not one of many.

use fast_image_resize::Resizer;

use super::geometry::Placement;
use super::resize;
use crate::Result;
use crate::operation::{Filter, Gravity};
use crate::raster::{Raster, Sample};

const SIDE: u32 = 128;
/// Number of places tried along an axis.
const TRIES: u32 = 48;

const SKIN: [f32; 3] = [0.78, 0.57, 0.44];
const SKIN_FROM: f32 = 0.8;
const SKIN_WEIGHT: f32 = 1.8;
/// The score of a colour without any detail: faces have detail, walls have none.
const SKIN_ALONE: f32 = 0.01;
const SATURATION_FROM: f32 = 0.4;
const SATURATION_WEIGHT: f32 = 0.1;
const SATURATION_ALONE: f32 = 0.2;
const DETAIL_WEIGHT: f32 = 0.2;

/// The middle of the part of that size that holds most of what draws the eye.
pub(crate) fn focus<S: Sample>(picture: &Raster<S>, part: (u32, u32), resizer: &mut Resizer) -> Result<Gravity> {
    let (width, height) = picture.size();
    let shrink = (f64::from(SIDE) / f64::from(width.max(height))).min(1.0);
    let small = |side: u32| ((f64::from(side) * shrink).round() as u32).max(1);
    let size = (small(width), small(height));
    let placement = Placement {
        crop: [0.0, 0.0, f64::from(width), f64::from(height)],
        whole: true,
        scaled: size,
        canvas: None,
        filter: Filter::Bilinear,
        linear: false,
    };
    let scores = scores(&resize::resize(picture, &placement, resizer)?.narrowed());
    let window = (small(part.0).min(size.0), small(part.1).min(size.1));
    let Some((left, top)) = best(&scores, size, window) else { return Ok(Gravity::CENTER) };
    let middle = |left: u32, part: u32, whole: u32| (f64::from(left) + f64::from(part) / 2.0) / f64::from(whole);
    Ok(Gravity::Focus { x: middle(left, window.0, size.0), y: middle(top, window.1, size.1) })
}

fn scores(picture: &Raster) -> Vec<f32> {
    let (width, height) = (picture.width as usize, picture.height as usize);
    let pixels: Vec<[f32; 3]> = picture
        .data
        .chunks_exact(picture.channels.count())
        .map(|pixel| match *pixel {
            [grey] => [f32::from(grey) / 255.0; 3],
            [r, g, b] => [r, g, b].map(|v| f32::from(v) / 255.0),
            // Transparent pixels have no score.
            [r, g, b, a] => [r, g, b].map(|v| f32::from(v) * f32::from(a) / (255.0 * 255.0)),
            _ => [0.0; 3],
        })
        .collect();
    let light: Vec<f32> = pixels.iter().map(|[r, g, b]| 0.2126 * r + 0.7152 * g + 0.0722 * b).collect();
    let mut scores = Vec::with_capacity(pixels.len());
    for y in 0..height {
        for x in 0..width {
            let at = y * width + x;
            let near = |dx: usize, dy: usize| {
                let (x, y) = ((x + dx).clamp(1, width) - 1, (y + dy).clamp(1, height) - 1);
                light[y * width + x]
            };
            let detail = (4.0 * light[at] - near(0, 1) - near(2, 1) - near(1, 0) - near(1, 2)).clamp(0.0, 1.0);
            let skin = skin(pixels[at], light[at]) * (detail + SKIN_ALONE) * SKIN_WEIGHT;
            let saturation = saturation(pixels[at], light[at]) * (detail + SATURATION_ALONE) * SATURATION_WEIGHT;
            scores.push(detail * DETAIL_WEIGHT + skin + saturation);
        }
    }
    scores
}

fn skin(pixel: [f32; 3], light: f32) -> f32 {
    let length = pixel.iter().map(|v| v * v).sum::<f32>().sqrt();
    if length == 0.0 || light < 0.2 {
        return 0.0;
    }
    let away: f32 = pixel.iter().zip(SKIN).map(|(v, skin)| (v / length - skin).powi(2)).sum::<f32>().sqrt();
    let likeness = 1.0 - away;
    if likeness > SKIN_FROM { (likeness - SKIN_FROM) / (1.0 - SKIN_FROM) } else { 0.0 }
}

fn saturation(pixel: [f32; 3], light: f32) -> f32 {
    let (max, min) = (pixel.iter().copied().fold(0.0, f32::max), pixel.iter().copied().fold(1.0, f32::min));
    if !(0.05..=0.9).contains(&light) || max <= min {
        return 0.0;
    }
    let middle = f32::midpoint(max, min);
    let saturation = if middle > 0.5 { (max - min) / (2.0 - max - min) } else { (max - min) / (max + min) };
    let above = (saturation - SATURATION_FROM) / (1.0 - SATURATION_FROM);
    above.max(0.0)
}

/// The corner of the window with the highest score, if any is higher than the middle's.
fn best(scores: &[f32], size: (u32, u32), window: (u32, u32)) -> Option<(u32, u32)> {
    let room = (size.0 - window.0, size.1 - window.1);
    let weights = weights(window);
    let mut best = None;
    let mut highest = score(scores, size.0, (room.0 / 2, room.1 / 2), window, &weights) + 1e-3;
    let tried = |room: u32| (0..=room).step_by(room.div_ceil(TRIES).max(1) as usize);
    for top in tried(room.1) {
        for left in tried(room.0) {
            let reached = score(scores, size.0, (left, top), window, &weights);
            if reached > highest {
                (best, highest) = (Some((left, top)), reached);
            }
        }
    }
    best
}

fn score(scores: &[f32], width: u32, (left, top): (u32, u32), window: (u32, u32), weights: &[f32]) -> f32 {
    let (width, across) = (width as usize, window.0 as usize);
    let rows = scores.chunks_exact(width).skip(top as usize).zip(weights.chunks_exact(across));
    rows.map(|(row, weights)| {
        let row = &row[left as usize..left as usize + across];
        row.iter().zip(weights).map(|(score, weight)| score * weight).sum::<f32>()
    })
    .sum()
}

/// The middle of a window counts most, its edges against it: nothing is to be cut in two.
fn weights((width, height): (u32, u32)) -> Vec<f32> {
    let from_middle = |at: u32, side: u32| ((f64::from(at) + 0.5) / f64::from(side) - 0.5).abs() as f32 * 2.0;
    let mut weights = Vec::with_capacity(width as usize * height as usize);
    for y in 0..height {
        for x in 0..width {
            let (px, py) = (from_middle(x, width), from_middle(y, height));
            let (dx, dy) = ((px - 0.6).max(0.0), (py - 0.6).max(0.0));
            // Half a point for not being outside.
            weights.push(1.41 - px.hypot(py) - 20.0 * (dx * dx + dy * dy) + 0.5);
        }
    }
    weights
}
