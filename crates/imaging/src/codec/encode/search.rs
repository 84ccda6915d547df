//! The quality that `quality: "auto"` and `max_bytes` ask for, found by trying.
//!
//! `auto` searches for the lowest quality whose [`score`](super::score) is high enough, on a patchwork of the picture's
//! parts. So the search costs the same for every size, and the picture itself is written once. `max_bytes` has to try
//! with the complete picture.

use std::io::Cursor;

use super::super::{decode_eight, inspect};
use super::{Coding, Metadata, Target, go_on, score, usual_quality, written};
use crate::raster::{Channels, Raster, View};
use crate::save::{Chroma, Quality};
use crate::{Code, Error, Format, Limits, Result};

/// Outputs with at least this score look like their originals at arm's length; see docs/operations.md.
const TARGET: f64 = 97.0;
/// The lowest and the highest quality that `auto` chooses.
const AUTO: (u8, u8) = (60, 95);
/// From this quality on, a JPEG without chroma subsampling may need fewer bytes.
const TRY_FULL_CHROMA: u8 = 85;
/// Side in pixels of the patchwork on which qualities are tried; less for AVIF, which is slow.
const PATCHWORK: u32 = 768;
const PATCHWORK_AVIF: u32 = 384;

/// The file, with the quality that `target` asks for.
pub(super) fn settled(picture: View<'_>, target: &Target, interrupted: &dyn Fn() -> bool) -> Result<Vec<u8>> {
    let coding = match target.quality {
        Some(Quality::Auto) => found(&picture.eight(), target, interrupted)?,
        _ => target.coding.clone(),
    };
    let first = written(picture, target.format, &coding, &target.metadata, interrupted)?;
    match target.max_bytes {
        Some(limit) if first.len() as u64 > limit => fitted(picture, target, &coding, first.len(), limit, interrupted),
        _ => Ok(first),
    }
}

/// The coding that `target` asks for; with `auto`, with the lowest quality at which the picture looks the same.
pub(super) fn found(picture: &Raster, target: &Target, interrupted: &dyn Fn() -> bool) -> Result<Coding> {
    if target.quality != Some(Quality::Auto) {
        return Ok(target.coding.clone());
    }
    let side = if target.format == Format::Avif { PATCHWORK_AVIF } else { PATCHWORK };
    let shown = picture.over_white();
    let patchwork = score::patchwork(&shown, side);
    let original = score::Planes::of(&patchwork);
    let tried = |coding: &Coding| {
        let data = written(View::Eight(&patchwork), target.format, coding, &Metadata::default(), interrupted)?;
        let back = read_back(&data)?;
        go_on(interrupted)?;
        let looks_the_same = score::score(&original, &score::Planes::of(&back)) >= TARGET;
        Ok(Tried { looks_the_same, bytes: data.len() })
    };
    let (coding, bytes) = lowest(&target.coding, tried)?;
    // With halved chroma, text and lines in strong colours need a higher quality than with full chroma.
    let is_open = target.format == Format::Jpeg && coding.chroma.is_none() && patchwork.channels != Channels::Gray;
    if is_open && coding.quality >= Some(TRY_FULL_CHROMA) {
        let (full, full_bytes) = lowest(&Coding { chroma: Some(Chroma::Full), ..target.coding.clone() }, tried)?;
        if full_bytes < bytes {
            return Ok(full);
        }
    }
    Ok(coding)
}

/// The result of trying a coding.
struct Tried {
    looks_the_same: bool,
    bytes: usize,
}

/// The coding with the lowest quality at which the picture looks the same (otherwise the highest quality), and its bytes.
fn lowest(coding: &Coding, tried: impl Fn(&Coding) -> Result<Tried>) -> Result<(Coding, usize)> {
    let (mut low, mut high) = AUTO;
    let mut bytes = None;
    while low < high {
        let middle = low.midpoint(high);
        let tried = tried(&coding.at(middle))?;
        if tried.looks_the_same {
            (high, bytes) = (middle, Some(tried.bytes));
        } else {
            low = middle + 1;
        }
    }
    let coding = coding.at(high);
    let bytes = match bytes {
        Some(bytes) => bytes,
        None => tried(&coding)?.bytes,
    };
    Ok((coding, bytes))
}

/// The file with the best quality that has at most `limit` bytes.
fn fitted(
    picture: View<'_>,
    target: &Target,
    coding: &Coding,
    tried: usize,
    limit: u64,
    interrupted: &dyn Fn() -> bool,
) -> Result<Vec<u8>> {
    // By default, palettes have all colours. The quality of a source's own tables is unknown.
    let unset = usual_quality(target.format).filter(|_| coding.kept.is_none()).unwrap_or(100);
    let above = coding.quality.unwrap_or(unset);
    let (mut low, mut high) = (1, above);
    let (mut best, mut smallest) = (None, tried);
    // A lossless coding stays lossless.
    let gives_way = target.format.has_quality() && !coding.lossless;
    if gives_way {
        while low <= high {
            let middle = low.midpoint(high);
            let data = written(picture, target.format, &coding.at(middle), &target.metadata, interrupted)?;
            smallest = smallest.min(data.len());
            if data.len() as u64 <= limit {
                best = Some(data);
                low = middle + 1;
            } else {
                high = middle - 1;
            }
        }
    }
    best.ok_or_else(|| {
        let (path, title) = (&target.path, target.format.title());
        let lowest = if gives_way { " of quality 1" } else { "" };
        Error::new(
            Code::OutputTooLarge,
            format!("{path}.max_bytes: the {title} file{lowest} has {smallest} bytes, more than {limit}"),
        )
    })
}

fn read_back(data: &[u8]) -> Result<Raster> {
    let limits = Limits::default();
    let facts = inspect(Cursor::new(data), &limits)?;
    decode_eight(data, &facts, 1, &limits)
}
