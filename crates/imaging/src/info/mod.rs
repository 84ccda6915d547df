//! The answer of `info`: facts of the file, its colours, and hashes of the picture.
//!
//! Facts come from the header; everything else from a copy of at most 256 pixels a side, which is made as any other
//! output is.

mod colors;
mod exif;
mod hash;
mod profile;

use serde::{Deserialize, Serialize};

pub use colors::Shade;
pub use exif::{Exif, GpsPosition};

use super::Format;
use super::codec::Facts;
use super::operation::{Inquiry, Thumbnail};
use super::ops::geometry::{self, Placement};
use super::raster::{Channels, Raster};

/// The copy's longer side.
const SIDE: u32 = 256;

/// The answer of `info`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Info {
    pub format: Format,
    /// Of the upright picture.
    pub width: u32,
    pub height: u32,
    pub frames: u32,
    /// The EXIF orientation, 1 to 8: how the stored picture is turned.
    pub orientation: u8,
    /// Whether any pixel is not opaque.
    pub has_alpha: bool,
    pub grayscale: bool,
    /// Bits a channel: 8, or 16 for any source with more.
    pub bit_depth: u8,
    /// The embedded colour profile's name.
    pub profile: Option<String>,
    pub exif: Option<Exif>,
    /// The mean of what can be seen, `#rrggbb`.
    pub average: String,
    /// The dominant colours, the largest share first.
    pub colors: Vec<Shade>,
    /// <https://blurha.sh>, of the picture over white; 4 components along the longer side, 3 along the shorter.
    pub blurhash: String,
    /// <https://evanw.github.io/thumbhash/>, in base64.
    pub thumbhash: String,
    /// A perceptual hash of 64 bits in hexadecimal: pictures that look alike differ in few bits.
    pub phash: String,
}

/// How the copy is made that [`about`] looks at.
pub(crate) fn small(size: (u32, u32)) -> Placement {
    geometry::thumbnail(&Thumbnail::inside(SIDE, SIDE), size)
}

/// The answer, from a [`small`] copy.
pub(crate) fn about(copy: &Raster, facts: &Facts, inquiry: &Inquiry) -> Info {
    let (width, height) = facts.upright_size();
    let pixels = copy.rgba();
    Info {
        format: facts.header.format,
        width,
        height,
        frames: facts.header.frames,
        orientation: facts.orientation,
        has_alpha: copy.has_alpha(),
        grayscale: copy.channels == Channels::Gray,
        bit_depth: if facts.header.deep { 16 } else { 8 },
        profile: facts.icc.as_deref().or(facts.kept_icc.as_deref()).and_then(profile::name),
        exif: facts.exif.as_deref().and_then(|block| exif::read(block, inquiry.gps)),
        average: colors::average(&pixels),
        colors: colors::dominant(&pixels, inquiry.colors.into()),
        blurhash: hash::blurhash(copy.size(), &pixels),
        thumbhash: hash::thumbhash(copy),
        phash: hash::perceptual(copy),
    }
}
