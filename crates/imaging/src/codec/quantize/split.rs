//! The first colours of a palette: the space of colours cut into boxes.

use std::ops::Range;

use super::Pixel;
use super::space::{Point, unplaced};

/// The means of at most `max` boxes of points: always the widest box is cut, across its widest axis, at its mean.
pub(super) fn split(mut points: Vec<Point>, max: usize) -> Vec<Pixel> {
    let mut boxes = vec![Cut::of(&points, 0..points.len())];
    while boxes.len() < max {
        let widest = (0..boxes.len()).max_by(|&a, &b| boxes[a].spread.total_cmp(&boxes[b].spread));
        let Some(widest) = widest.filter(|&widest| boxes[widest].spread > 0.0) else { break };
        let Cut { range, mean, axis, .. } = boxes[widest].clone();
        let part = &mut points[range.clone()];
        let mut low = 0;
        for i in 0..part.len() {
            if part[i].at[axis] < mean[axis] {
                part.swap(i, low);
                low += 1;
            }
        }
        // All on one side: rounding made the spread up.
        if low == 0 || low == part.len() {
            boxes[widest].spread = 0.0;
            continue;
        }
        let middle = range.start + low;
        boxes[widest] = Cut::of(&points, range.start..middle);
        boxes.push(Cut::of(&points, middle..range.end));
    }
    boxes.into_iter().map(|cut| unplaced(cut.mean)).collect()
}

/// A box of points.
#[derive(Clone)]
struct Cut {
    range: Range<usize>,
    mean: [f32; 4],
    /// The axis along which the points lie furthest apart, and the sum of their squared distances from the mean on it.
    axis: usize,
    spread: f32,
}

impl Cut {
    fn of(points: &[Point], range: Range<usize>) -> Self {
        let (mut sum, mut squares, mut weight) = ([0.0_f64; 4], [0.0_f64; 4], 0.0_f64);
        for point in &points[range.clone()] {
            let n = f64::from(point.weight);
            weight += n;
            for axis in 0..4 {
                let value = f64::from(point.at[axis]);
                sum[axis] += value * n;
                squares[axis] += value * value * n;
            }
        }
        let weight = weight.max(1.0);
        let mean = sum.map(|sum| sum / weight);
        let spreads: [f64; 4] = std::array::from_fn(|axis| squares[axis] - mean[axis] * sum[axis]);
        let axis = (0..4).max_by(|&a, &b| spreads[a].total_cmp(&spreads[b])).unwrap_or(0);
        let spread = if range.len() > 1 { spreads[axis].max(0.0) as f32 } else { 0.0 };
        Self { range, mean: mean.map(|mean| mean as f32), axis, spread }
    }
}
