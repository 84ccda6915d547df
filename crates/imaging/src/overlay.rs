//! Pictures that watermarks show: read by name from where the service keeps them, decoded within limits.

use std::io::{self, Cursor};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::raster::{Channels, Raster};
use super::{Code, Error, Limits, Result, codec};

/// Larger overlays are refused: they lie in memory beside the picture.
pub(crate) const MAX_PIXELS: u64 = 4_000_000;
const MAX_NAME_BYTES: usize = 100;
/// Overlays that are kept decoded.
const KEPT: usize = 4;

/// Reads an overlay by its name; the error's text is shown to clients.
pub type Read = dyn Fn(&str) -> io::Result<Vec<u8>> + Send + Sync;

static READ: OnceLock<Box<Read>> = OnceLock::new();
/// The last overlays with the bytes that they were decoded from, the latest first.
static LAST: Mutex<Vec<Known>> = Mutex::new(Vec::new());

type Known = (String, Vec<u8>, Arc<Raster>);

/// Says where this process reads overlays, before its first picture.
pub(crate) fn provide(read: Box<Read>) -> Result<()> {
    READ.set(read).map_err(|_| Error::new(Code::InvalidOperation, "overlays are provided once, before any picture"))
}

/// Whether it names a file and cannot lead out of a folder.
pub(crate) fn is_name(name: &str) -> bool {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.starts_with('.') && name.chars().all(safe)
}

/// Refuses an unknown overlay.
///
/// # Errors
/// `invalid-operation`.
pub(crate) fn check(name: &str) -> Result<()> {
    read(name).map(drop)
}

/// The overlay of this name, upright, in sRGB with alpha.
///
/// # Errors
/// `invalid-operation` if there is no such overlay, or if it is not a picture of at most 4 megapixels.
pub(crate) fn load(name: &str) -> Result<Arc<Raster>> {
    // Read anew every time: a file that was replaced counts from the next picture on.
    let bytes = read(name)?;
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = last.iter().position(|(of, from, _)| of == name && *from == bytes) {
        last[..=found].rotate_right(1);
        return Ok(last[0].2.clone());
    }
    drop(last);
    let picture = Arc::new(decoded(&bytes).map_err(|error| refused(name, &error))?);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    last.retain(|(of, ..)| of != name);
    last.truncate(KEPT - 1);
    last.insert(0, (name.to_owned(), bytes, picture.clone()));
    Ok(picture)
}

fn read(name: &str) -> Result<Vec<u8>> {
    if !is_name(name) {
        return Err(refused(name, &"is not the name of a file"));
    }
    let read = READ.get().ok_or_else(|| refused(name, &"watermark.overlays names no folder"))?;
    read(name).map_err(|error| refused(name, &error))
}

fn refused(name: &str, why: &dyn std::fmt::Display) -> Error {
    Error::new(Code::InvalidOperation, format!("the overlay `{name}`: {why}"))
}

fn decoded(bytes: &[u8]) -> Result<Raster> {
    let limits = Limits { max_pixels: MAX_PIXELS, ..Limits::default() };
    let facts = codec::inspect(Cursor::new(bytes), &limits)?;
    let raster = codec::decode_eight(bytes, &facts, 1, &limits)?;
    Ok(rgba(raster))
}

fn rgba(raster: Raster) -> Raster {
    let data = match raster.channels {
        Channels::Rgba => return raster,
        Channels::Rgb => raster.data.as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [r, g, b, 255]).collect(),
        Channels::Gray => raster.data.iter().flat_map(|&v| [v, v, v, 255]).collect(),
    };
    Raster { channels: Channels::Rgba, data, ..raster }
}
