//! Quantisation tables: the standard ones for a quality, or those of a source.

use libjpeg_turbo_rs::Subsampling;

use super::header::{JpegHeader, NATURAL_ORDER, STANDARD_CHROMA, STANDARD_LUMA, natural};

/// How an encoder quantises.
#[derive(Debug, Clone)]
pub(crate) enum Tables {
    Quality(u8),
    /// The tables of the source.
    Kept(Box<Kept>),
}

/// A source's quantisation tables, row-major, and its sampling.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(in crate::codec) luma: [u16; 64],
    pub(in crate::codec) chroma: [u16; 64],
    pub(in crate::codec) sampling: Subsampling,
}

impl Tables {
    /// The source's tables, if an encoder can write with them. If the picture is turned, its sampling is turned as
    /// well.
    pub(crate) fn kept(header: &JpegHeader, orientation: u8) -> Option<Self> {
        let luma = header.table(0)?;
        let (chroma, sampling) = match header.components.len() {
            1 => (luma, Subsampling::S444),
            3 if header.is_ycbcr() => {
                let (h, v) = header.sampling()?;
                let sampling = match if orientation >= 5 { (v, h) } else { (h, v) } {
                    (1, 1) => Subsampling::S444,
                    (2, 1) => Subsampling::S422,
                    (2, 2) => Subsampling::S420,
                    (1, 2) => Subsampling::S440,
                    _ => return None,
                };
                // Both chroma components use one slot.
                if header.table(1)? != header.table(2)? {
                    return None;
                }
                (header.table(1)?, sampling)
            }
            _ => return None,
        };
        let baseline = |table: &[u16; 64]| table.iter().all(|value| (1..=255).contains(value));
        (baseline(&luma) && baseline(&chroma)).then(|| Self::Kept(Box::new(Kept { luma, chroma, sampling })))
    }

    /// The quality whose standard tables equal these, at 4:2:0; `None` if there is none.
    pub(crate) fn standard_quality(&self) -> Option<u8> {
        let Self::Kept(kept) = self else { return None };
        if kept.sampling != Subsampling::S420 {
            return None;
        }
        (1..=100).find(|&quality| {
            let [luma, chroma] = standard_tables(quality).map(|table| natural(&table));
            luma == kept.luma && chroma == kept.chroma
        })
    }
}

/// The standard tables for luma and chroma at a quality, in zigzag order.
pub(crate) fn standard_tables(quality: u8) -> [[u16; 64]; 2] {
    let scale = u32::from(libjpeg_turbo_rs::quality_scaling(quality) as u16);
    [&STANDARD_LUMA, &STANDARD_CHROMA].map(|base| {
        NATURAL_ORDER.map(|place| {
            let step = u32::from(base[usize::from(place)]);
            ((step * scale + 50) / 100).clamp(1, 255) as u16
        })
    })
}
