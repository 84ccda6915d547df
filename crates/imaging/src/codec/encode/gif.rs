//! GIF: one picture in at most 256 colours, pixels of less than half opacity transparent.

use ::gif::{Encoder, EncodingError, Frame};

use super::super::quantize::{Census, MAX_COLORS, Palette};
use super::png::colors;
use super::{Coding, Sink, failed, go_on};
use crate::raster::Raster;
use crate::{Format, Result};

pub(super) fn encode(raster: &Raster, coding: &Coding, interrupted: &dyn Fn() -> bool) -> Result<Vec<u8>> {
    let opaque: Vec<[u8; 4]> =
        raster.rgba().iter().map(|&[r, g, b, a]| [r, g, b, if a < 128 { 0 } else { 255 }]).collect();
    let shows = |at: usize| opaque[at][3] != 0;
    // One index is needed for transparency.
    let most = coding.quality.map_or(MAX_COLORS, colors) - usize::from(raster.has_alpha());
    let census = Census::of(opaque.iter().copied().filter(|pixel| pixel[3] != 0));
    go_on(interrupted)?;
    let mut palette = Palette::of(&census, most);
    let transparent = palette.colors.len() as u8;
    let indices = palette.map(raster.width as usize, &opaque, shows, transparent, || go_on(interrupted))?;
    let mut table: Vec<u8> = palette.colors.iter().flat_map(|color| [color[0], color[1], color[2]]).collect();
    if raster.has_alpha() {
        table.extend([0; 3]);
    }
    let frame = Frame {
        width: raster.width as u16,
        height: raster.height as u16,
        transparent: raster.has_alpha().then_some(transparent),
        buffer: indices.into(),
        ..Frame::default()
    };
    let mut sink = Sink::new(interrupted);
    let mut written = || -> std::result::Result<(), EncodingError> {
        Encoder::new(&mut sink, frame.width, frame.height, &table)?.write_frame(&frame)
    };
    written().map_err(|error| failed(Format::Gif, &error, interrupted))?;
    Ok(sink.into_inner())
}
