//! Turning and mirroring without loss: blocks are moved, and their coefficients are moved and negated.

use super::super::header::NATURAL_ORDER;
use super::{Block, Coefficients, Component};

/// The steps for an EXIF orientation: swap rows and columns, then reverse columns, then reverse rows.
#[derive(Debug, Clone, Copy)]
struct Turn {
    swapped: bool,
    columns: bool,
    rows: bool,
}

impl Turn {
    fn of(orientation: u8) -> Self {
        let (swapped, columns, rows) = match orientation {
            2 => (false, true, false),
            3 => (false, true, true),
            4 => (false, false, true),
            5 => (true, false, false),
            6 => (true, true, false),
            7 => (true, true, true),
            8 => (true, false, true),
            _ => (false, false, false),
        };
        Self { swapped, columns, rows }
    }
}

/// Whether a picture of `size` with MCUs of this many blocks can be turned without loss. Along a reversed side, no MCU
/// may be part picture and part padding.
pub(crate) fn is_turnable(size: (u32, u32), (h, v): (u8, u8), orientation: u8) -> bool {
    let turn = Turn::of(orientation);
    let whole = (size.0.is_multiple_of(8 * u32::from(h)), size.1.is_multiple_of(8 * u32::from(v)));
    let (across, down) = if turn.swapped { (whole.1, whole.0) } else { whole };
    (across || !turn.columns) && (down || !turn.rows)
}

/// The zigzag index of each coefficient after rows and columns were swapped.
const SWAPPED: [u8; 64] = {
    let mut places = [0; 64];
    let mut i = 0;
    while i < 64 {
        let natural = NATURAL_ORDER[i];
        let mut j = 0;
        while NATURAL_ORDER[j] != natural % 8 * 8 + natural / 8 {
            j += 1;
        }
        places[i] = j as u8;
        i += 1;
    }
    places
};

impl Coefficients {
    /// Turns a picture with this orientation upright. Requires [`is_turnable`].
    pub(crate) fn turned(&self, orientation: u8) -> Self {
        let turn = Turn::of(orientation);
        let (width, height) = if turn.swapped { (self.height, self.width) } else { (self.width, self.height) };
        Self { width, height, components: self.components.iter().map(|component| component.turned(turn)).collect() }
    }
}

impl Component {
    fn turned(&self, turn: Turn) -> Self {
        let swap = |(x, y)| if turn.swapped { (y, x) } else { (x, y) };
        let (across, down) = swap((self.across, self.down));
        let table = if turn.swapped { SWAPPED.map(|place| self.table[usize::from(place)]) } else { self.table };
        let mut turned = Self::new(swap((self.h, self.v)), (across, down), swap(self.used), table);
        turned.values.reserve(self.values.len());
        // The sign of each coefficient: mirroring negates odd frequencies.
        let negated: [bool; 64] = NATURAL_ORDER.map(|place| {
            let (row, column) = (place / 8, place % 8);
            (turn.columns && column % 2 == 1) != (turn.rows && row % 2 == 1)
        });
        for y in 0..down {
            for x in 0..across {
                let from =
                    swap((if turn.columns { across - 1 - x } else { x }, if turn.rows { down - 1 - y } else { y }));
                let block = &self.blocks[from.1 * self.across + from.0];
                let start = turned.values.len() as u32;
                let mut values = [0; 64];
                let mut mask = 0_u64;
                for (place, value) in self.of(block) {
                    let place = if turn.swapped { usize::from(SWAPPED[place]) } else { place };
                    mask |= 1 << place;
                    values[place] = if negated[place] { -value } else { value } as i16;
                }
                let mut left = mask;
                while left != 0 {
                    turned.values.push(values[left.trailing_zeros() as usize & 63]);
                    left &= left - 1;
                }
                turned.blocks[y * across + x] = Block { mask, start, dc: block.dc };
            }
        }
        turned
    }
}
