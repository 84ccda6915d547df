//! Full-size JPEGs with marks on a small part: only the blocks under a mark are decoded and coded again.
//!
//! All others go from the source into the output as they are, bit for bit where no quality was asked for, or with each
//! coefficient divided by another step.

use crate::codec::jpeg::coefficients::{self, Coding, Coefficients, Patch};
use crate::codec::jpeg::{self, Tables};
use crate::operation::Watermark;
use crate::ops::watermark::{self, Mark};
use crate::routes::planes::{Planes, Region};
use crate::{Format, Result, codec};

/// Pixels of a region that is always small enough.
const LARGEST: u64 = 1 << 20;

/// The picture with its marks; `None` where it cannot be written in this way.
pub(super) fn encoded(
    picture: &Coefficients,
    wanted: &[&Watermark],
    tables: &Tables,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<Option<Vec<u8>>> {
    let steps = steps(picture, tables);
    let size = (picture.width, picture.height);
    let marks = wanted.iter().map(|wanted| watermark::mark(wanted, size)).collect::<Result<Vec<_>>>()?;
    let Some(patches) = patches(picture, marks, &steps, go_on)? else { return Ok(None) };
    // What the source spent on its tables is not to be spent again on a larger file.
    let optimise = matches!(tables, Tables::Kept(_));
    codec::guarded(Format::Jpeg, || {
        Ok(coefficients::write(picture, &Coding { tables: &steps, patches: &patches, optimise }))
    })
}

/// The quantisation tables in zigzag order, for each component.
fn steps(picture: &Coefficients, tables: &Tables) -> Vec<[u16; 64]> {
    match tables {
        Tables::Kept(_) => picture.components.iter().map(|component| component.table).collect(),
        Tables::Quality(quality) => {
            let [luma, chroma] = jpeg::standard_tables(*quality);
            (0..picture.components.len()).map(|i| if i == 0 { luma } else { chroma }).collect()
        }
    }
}

/// The blocks that the marks change.
fn patches(
    picture: &Coefficients,
    marks: Vec<Mark>,
    steps: &[[u16; 64]],
    go_on: &dyn Fn() -> Result<()>,
) -> Result<Option<Vec<Patch>>> {
    let Some(first) = picture.components.first() else { return Ok(None) };
    let unit = (8 * first.h as u32, 8 * first.v as u32);
    let size = (picture.width, picture.height);
    let Some(region) = Region::of(&marks, size, unit) else { return Ok(Some(Vec::new())) };
    // Much of it, and the planes of all of it cost no more.
    let touched = u64::from(region.across * unit.0) * u64::from(region.down * unit.1);
    if touched > LARGEST && touched > u64::from(size.0) * u64::from(size.1) / 2 {
        return Ok(None);
    }
    let (left, top) = (region.left * unit.0, region.top * unit.1);
    let visible = ((region.across * unit.0).min(size.0 - left), (region.down * unit.1).min(size.1 - top));
    let Some(before) = Planes::part(picture, &region, visible) else { return Ok(None) };
    let mut after = before.clone();
    for mark in marks {
        after.draw(&mark.shifted(left, top), go_on)?;
    }
    let extended = after.clone().extended();
    let changed = |channel: usize, x: usize, y: usize| {
        let differs = after.block(channel, x, y) != before.block(channel, x, y);
        differs.then(|| coefficients::forward(&extended.block(channel, x, y), &steps[channel]))
    };
    let patches = picture.components.iter().enumerate().map(|(channel, component)| {
        let ((left, top), (across, down)) = region.blocks(component.h, component.v);
        let places = (0..down).flat_map(|y| (0..across).map(move |x| (x, y)));
        Patch { left, top, across, blocks: places.map(|(x, y)| changed(channel, x, y)).collect() }
    });
    Ok(Some(patches.collect()))
}
