//! From JPEG to JPEG by DCT coefficients: the file is read once, into those that are not zero.
//!
//! Smaller outputs come from them at the least scale that serves them all, as [`planes`]. Full-size outputs are written from
//! the coefficients themselves, only the blocks under a mark changed ([`marked`]).

mod marked;

use super::Run;
use super::planes::{self, Planes};
use crate::codec::jpeg::coefficients::{self, Coefficients};
use crate::codec::{self, Facts};
use crate::plan::{Pass, Way};
use crate::{Format, Made, Output, Result};

/// Makes a pass's outputs; false, with nothing done, if the source's coefficients cannot be read or written.
pub(super) fn take(source: &[u8], pass: &Pass<'_>, shrink: u8, run: &mut Run<'_>) -> Result<bool> {
    run.go_on()?;
    let facts = &*pass.facts;
    let is_marked = |way: &Way<'_>| matches!(way, Way::Marked(..));
    let marks = pass.outputs.iter().any(|routed| is_marked(&routed.way));
    let resizes = pass.outputs.iter().any(|routed| !is_marked(&routed.way));
    let depth = match shrink {
        _ if marks => 64,
        8 => 1,
        4 | 2 => 25,
        _ => 64,
    };
    // Whatever is wrong with the source is for the route of pixels to find and name.
    let Some(read) = read(source, facts, depth, run)? else { return Ok(false) };
    let mut planes = None;
    if resizes {
        let made = codec::guarded(Format::Jpeg, || Ok(Planes::of(&read, shrink)))?;
        let Some(made) = made else { return Ok(false) };
        planes = Some(planes::upright(made, facts));
    }
    let coefficients = match facts.orientation {
        2.. if marks => read.turned(facts.orientation),
        _ => read,
    };
    // Once an output is out, there is no other route: these are the ones that may turn out not to be possible.
    let mut marked = Vec::with_capacity(pass.outputs.len());
    for routed in &pass.outputs {
        let Way::Marked(marks, tables) = &routed.way else { continue };
        run.go_on()?;
        let Some(data) = marked::encoded(&coefficients, marks, tables, &|| run.go_on())? else { return Ok(false) };
        let (width, height) = facts.upright_size();
        let data = routed.planned.target(facts, false).dressed(data, (width, height));
        let output = Output { format: Format::Jpeg, width, height, animation: None, data, warnings: Vec::new() };
        marked.push((routed.planned.index, Made::Picture(output)));
    }
    drop(coefficients);
    for (index, made) in marked {
        run.emit(index, made)?;
    }
    if let Some(planes) = planes {
        planes::outputs(planes, pass, run)?;
    }
    Ok(true)
}

fn read(source: &[u8], facts: &Facts, depth: usize, run: &Run<'_>) -> Result<Option<Coefficients>> {
    // A panic is as good a reason as any to take another way; that the time is over is not.
    let outcome = codec::guarded(Format::Jpeg, || {
        Ok(coefficients::read(source, facts, depth, run.options.limits, &|| run.go_on()))
    });
    outcome.unwrap_or(Ok(None))
}
