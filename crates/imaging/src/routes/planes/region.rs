//! The part of a JPEG that marks touch.

use crate::ops::watermark::Mark;

/// A rectangle of whole MCUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::routes) struct Region {
    pub(in crate::routes) left: u32,
    pub(in crate::routes) top: u32,
    pub(in crate::routes) across: u32,
    pub(in crate::routes) down: u32,
}

impl Region {
    /// The MCUs that the marks touch in a picture of this size with MCUs of `unit` pixels; `None` if no mark shows.
    pub(in crate::routes) fn of(marks: &[Mark], size: (u32, u32), unit: (u32, u32)) -> Option<Self> {
        let boxes = marks.iter().map(|mark| mark.bounds(size));
        let boxes: Vec<[u32; 4]> = boxes.filter(|[left, top, right, bottom]| left < right && top < bottom).collect();
        let left = boxes.iter().map(|b| b[0]).min()? / unit.0;
        let top = boxes.iter().map(|b| b[1]).min()? / unit.1;
        let right = boxes.iter().map(|b| b[2]).max()?.div_ceil(unit.0);
        let bottom = boxes.iter().map(|b| b[3]).max()?.div_ceil(unit.1);
        Some(Self { left, top, across: right - left, down: bottom - top })
    }

    /// The first block, and how many there are, along x and y, of a component with `h` × `v` blocks in an MCU.
    pub(in crate::routes) fn blocks(&self, h: usize, v: usize) -> ((usize, usize), (usize, usize)) {
        let first = (self.left as usize * h, self.top as usize * v);
        (first, (self.across as usize * h, self.down as usize * v))
    }
}
