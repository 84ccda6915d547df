//! What the directory says that the decoder does not use, and the samples need.

use crate::raster::Sample;

/// The fields of the directory that the decoder does not use.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tags {
    pub(super) palette: Option<Palette>,
    pub(super) alpha: Alpha,
}

#[derive(Debug, Clone)]
pub(super) struct Palette {
    pub(super) colours: Vec<[u8; 3]>,
    /// Where the file says that it has one.
    pub(super) photometric_at: usize,
}

/// What the sample behind the colours is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Alpha {
    #[default]
    Straight,
    /// The colours are multiplied with it.
    Premultiplied,
    /// Something else.
    None,
}

impl Alpha {
    pub(super) fn plain<S: Sample>(self, value: S, alpha: S) -> S {
        if self != Self::Premultiplied {
            return value;
        }
        let (v, a, max) = (u64::from(value.number()), u64::from(alpha.number()), u64::from(S::MAX.number()));
        S::from_number((v * max + a / 2).checked_div(a).unwrap_or(0).min(max) as u32)
    }
}
