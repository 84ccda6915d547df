//! The space in which distances between colours are as they are seen.

use super::Pixel;

/// How far green's errors are seen beside red's and blue's, and alpha's beside them.
const WEIGHTS: [f32; 4] = [1.0, 1.45, 0.95, 1.3];

/// A colour in the space of distances.
#[derive(Clone, Copy)]
pub(super) struct Point {
    pub(super) at: [f32; 4],
    pub(super) weight: f32,
}

/// A colour where distances are as they are seen.
pub(super) fn placed([r, g, b, a]: [f32; 4]) -> [f32; 4] {
    let alpha = a / 255.0;
    [r * alpha * WEIGHTS[0], g * alpha * WEIGHTS[1], b * alpha * WEIGHTS[2], a * WEIGHTS[3]]
}

pub(super) fn unplaced(at: [f32; 4]) -> Pixel {
    let alpha = at[3] / WEIGHTS[3];
    let share = (alpha / 255.0).max(1.0 / 512.0);
    let value = |axis: usize| (at[axis] / WEIGHTS[axis] / share).round() as u8;
    [value(0), value(1), value(2), alpha.round() as u8]
}
