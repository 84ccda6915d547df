//! The properties of an item.

use super::MAX_NAME;
use super::bytes::Bytes;
use crate::Result;

/// The alpha channel's names.
const ALPHA: [&[u8]; 2] = [b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1"];

/// The properties of an item.
#[derive(Debug, Clone, Default)]
pub(in crate::codec::avif) struct Properties {
    pub(in crate::codec::avif) size: Option<(u32, u32)>,
    pub(in crate::codec::avif) depth: Option<u8>,
    pub(in crate::codec::avif) nclx: Option<Nclx>,
    pub(in crate::codec::avif) icc: Option<Vec<u8>>,
    /// The EXIF orientation, 1 to 8.
    pub(in crate::codec::avif) orientation: Option<u8>,
    pub(in crate::codec::avif) operating_point: u8,
    /// The layer that is shown, of a picture in layers. `None`: the finest.
    pub(in crate::codec::avif) layer: Option<u8>,
    pub(super) is_alpha: bool,
    /// An essential property that is not known here.
    pub(super) unknown: Option<String>,
}

/// Code points of a picture's colours (ITU-T H.273).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::codec::avif) struct Nclx {
    pub(in crate::codec::avif) primaries: u16,
    pub(in crate::codec::avif) transfer: u16,
    pub(in crate::codec::avif) matrix: u16,
    pub(in crate::codec::avif) full_range: bool,
}

impl Properties {
    pub(super) fn read(&mut self, kind: [u8; 4], mut body: Bytes<'_>, essential: bool) -> Result<()> {
        match &kind {
            b"ispe" => {
                body.full()?;
                self.size = Some((body.number(4)? as u32, body.number(4)? as u32));
            }
            b"pixi" => {
                body.full()?;
                let channels = body.number(1)?;
                self.depth = (0..channels)
                    .map(|_| body.number(1))
                    .collect::<Result<Vec<_>>>()?
                    .into_iter()
                    .max()
                    .map(|bits| bits as u8);
            }
            b"av1C" => {
                body.skip(2)?;
                let flags = body.number(1)?;
                if flags & 0x40 != 0 && self.depth.is_none() {
                    self.depth = Some(if flags & 0x20 == 0 { 10 } else { 12 });
                }
            }
            b"colr" => match &body.array()? {
                b"nclx" => {
                    let mut point = || body.number(2).map(|value| value as u16);
                    let (primaries, transfer, matrix) = (point()?, point()?, point()?);
                    self.nclx = Some(Nclx { primaries, transfer, matrix, full_range: body.number(1)? & 0x80 != 0 });
                }
                b"prof" | b"rICC" if self.icc.is_none() => self.icc = Some(body.0.to_vec()),
                _ => {}
            },
            b"irot" => self.turn(match body.number(1)? & 3 {
                0 => 1,
                1 => 8,
                2 => 3,
                _ => 6,
            }),
            b"imir" => self.turn(if body.number(1)? & 1 == 0 { 4 } else { 2 }),
            b"auxC" => {
                body.full()?;
                let name = body.0.get(..MAX_NAME.min(body.0.len())).unwrap_or_default();
                let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
                self.is_alpha = ALPHA.contains(&name);
            }
            b"a1op" => self.operating_point = body.number(1)? as u8 & 31,
            b"lsel" => {
                // 0xffff lets the reader choose.
                self.layer = Some(body.number(2)?).filter(|&layer| layer != 0xffff).map(|layer| layer.min(255) as u8);
            }
            // The clean aperture is not cut out, as most viewers do not; the rest is advice.
            b"clap" | b"pasp" | b"a1lx" | b"clli" | b"mdcv" | b"amve" => {}
            _ if essential => {
                let name = String::from_utf8_lossy(&kind).into_owned();
                self.unknown.get_or_insert(name);
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds a transformation. They are applied in the order in which they are listed.
    fn turn(&mut self, next: u8) {
        self.orientation = Some(then(self.orientation.unwrap_or(1), next));
    }
}

/// The EXIF orientation that does what `first` and then `second` do.
fn then(first: u8, second: u8) -> u8 {
    // Where each puts the corners of a picture, clockwise from the top left.
    const CORNERS: [[usize; 4]; 8] = [
        [0, 1, 2, 3],
        [1, 0, 3, 2],
        [2, 3, 0, 1],
        [3, 2, 1, 0],
        [0, 3, 2, 1],
        [3, 0, 1, 2],
        [2, 1, 0, 3],
        [1, 2, 3, 0],
    ];
    let (first, second) = (CORNERS[usize::from(first) - 1], CORNERS[usize::from(second) - 1]);
    let both = second.map(|from| first[from]);
    CORNERS.iter().position(|corners| *corners == both).map_or(1, |at| at as u8 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raster::{Channels, Raster};

    #[test]
    fn transformations_add_up_as_pictures_do() {
        let picture = Raster::<u8> { width: 2, height: 2, channels: Channels::Gray, data: vec![1, 2, 3, 4] };
        for first in 1..=8 {
            for second in 1..=8 {
                let by_steps = picture.clone().oriented(first).oriented(second);
                assert_eq!(picture.clone().oriented(then(first, second)), by_steps, "{first} then {second}");
            }
        }
    }
}
