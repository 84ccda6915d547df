//! The places of a tile's marks.

use std::ops::RangeInclusive;

use crate::text::{Drawn, sin_cos};

/// The least pixels from one mark of a tile to the next.
const MIN_STEP: f64 = 4.0;

/// Rows of marks that are turned as a whole, every other one shifted by half a step.
pub(super) struct Lattice {
    /// The mark's own size.
    mark: (f64, f64),
    /// From one mark to the next, along and across the rows.
    step: (f64, f64),
    sin: f64,
    cos: f64,
    /// The picture's.
    size: (f64, f64),
}

impl Lattice {
    pub(super) fn new(drawn: &Drawn, spacing: Option<f64>, angle: f32, size: (u32, u32)) -> Self {
        let (width, height) = (f64::from(drawn.upright.0), f64::from(drawn.upright.1));
        let (along, across) = spacing.map_or((width / 2.0, (width / 2.0).min(2.0 * height)), |given| (given, given));
        let step = ((width + along).max(MIN_STEP), (height + across).max(MIN_STEP));
        let (sin, cos) = sin_cos(angle);
        let ink = drawn.ink.size();
        let size = (f64::from(size.0), f64::from(size.1));
        Self { mark: (f64::from(ink.0), f64::from(ink.1)), step, sin, cos, size }
    }

    pub(super) fn places(&self) -> impl Iterator<Item = (i64, i64)> {
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

    /// The columns of a row through `from` with marks that may touch the picture.
    fn columns(&self, from: (f64, f64), half: (f64, f64)) -> RangeInclusive<i64> {
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
