//! A picture that is stored in tiles.

use super::bytes::Bytes;
use crate::Result;

/// Pixels that a tile may reach beyond its picture on each side.
const MAX_OVERHANG: u64 = 512;

/// How the tiles of a grid are laid out.
#[derive(Debug, Clone, Copy)]
pub(in crate::codec::avif) struct Grid {
    pub(in crate::codec::avif) columns: u32,
    pub(in crate::codec::avif) rows: u32,
    pub(in crate::codec::avif) width: u32,
    pub(in crate::codec::avif) height: u32,
}

impl Grid {
    pub(in crate::codec::avif) fn parse(bytes: &[u8]) -> Result<Self> {
        let mut bytes = Bytes(bytes);
        bytes.skip(1)?;
        let wide = if bytes.number(1)? & 1 == 0 { 2 } else { 4 };
        let (rows, columns) = (bytes.number(1)? as u32 + 1, bytes.number(1)? as u32 + 1);
        let (width, height) = (bytes.number(wide)? as u32, bytes.number(wide)? as u32);
        Ok(Self { columns, rows, width, height })
    }

    /// Whether it takes as many tiles of this size to cover the picture, and they do not reach far beyond it.
    pub(in crate::codec::avif) fn is_covered_by(&self, (width, height): (u32, u32)) -> bool {
        let along = |tile: u32, count: u32, side: u32| {
            let (tile, count, side) = (u64::from(tile), u64::from(count), u64::from(side));
            tile * count >= side && tile * (count - 1) < side && tile <= side + MAX_OVERHANG
        };
        along(width, self.columns, self.width) && along(height, self.rows, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grid_is_covered_by_as_many_tiles_as_it_takes() {
        let grid = Grid { columns: 3, rows: 2, width: 1200, height: 700 };
        for (tile, is_covered) in [
            ((400, 350), true),
            ((512, 512), true),
            ((399, 350), false),
            ((600, 350), false),
            ((400, 699), true),
            ((400, 700), false),
        ] {
            assert_eq!(grid.is_covered_by(tile), is_covered, "{tile:?}");
        }
        let one = Grid { columns: 1, rows: 1, width: 64, height: 64 };
        assert!(one.is_covered_by((512, 512)) && !one.is_covered_by((7000, 7000)));
    }
}
