//! APNG frames, by the `png` crate. A default picture that is not a frame is skipped.

use std::time::Duration;

use png::{BlendOp, ColorType, DisposeOp, Reader, Transformations};

use super::super::canvas::{Area, Canvas, Disposal};
use crate::codec::icc;
use crate::codec::png::{SIDE_BYTES, cut_short, failed, hide, masked_key, space, with_end};
use crate::codec::quantize::Pixel;
use crate::codec::reader::corrupt;
use crate::codec::watched::Watched;
use crate::{Code, Error, Format, Options, Result};

pub(super) struct File<'a> {
    reader: Reader<Watched<'a>>,
    lacks_end: bool,
    plays: u32,
    buffer: Vec<u8>,
}

impl<'a> File<'a> {
    pub(super) fn open(source: &'a [u8], options: &Options<'a>) -> Result<Self> {
        let limits = options.limits;
        let (source, lacks_end) = with_end(source, options.interrupted);
        let mut decoder = png::Decoder::new_with_limits(
            source,
            png::Limits { bytes: SIDE_BYTES.min(limits.max_decoded_bytes as usize) },
        );
        decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
        decoder.set_ignore_text_chunk(true);
        let mut reader = decoder.read_info().map_err(|error| failed(&error))?;
        let plays = reader.info().animation_control.map_or(1, |control| control.num_plays);
        let size =
            reader.output_buffer_size().filter(|&size| size as u64 <= limits.max_decoded_bytes).ok_or_else(|| {
                let limit = limits.max_decoded_bytes;
                Error::new(Code::TooLarge, format!("PNG: the decoded size exceeds limits.max_decoded_bytes ({limit})"))
            })?;
        let mut buffer = vec![0; size];
        if reader.info().frame_control.is_none() {
            reader.next_frame(&mut buffer).map_err(|error| failed(&error))?;
        }
        Ok(Self { reader, lacks_end, plays, buffer })
    }

    pub(super) fn plays(&self) -> u32 {
        self.plays
    }

    pub(super) fn space(&self) -> Option<icc::Space> {
        space(self.reader.info(), false)
    }

    pub(super) fn draw(&mut self, canvas: &mut Canvas) -> Result<Option<Duration>> {
        let frame = self.reader.next_frame(&mut self.buffer).map_err(|error| failed(&error));
        let frame = frame.map_err(|error| if self.lacks_end { cut_short(error) } else { error })?;
        let control = self.reader.info().frame_control.ok_or_else(|| corrupt(Format::Png, "a frame has no fcTL"))?;
        let area = Area {
            left: control.x_offset as usize,
            top: control.y_offset as usize,
            width: frame.width as usize,
            height: frame.height as usize,
        };
        if canvas.clip(area) != area {
            return Err(corrupt(Format::Png, "a frame lies outside its canvas"));
        }
        let disposal = match control.dispose_op {
            DisposeOp::None => Disposal::Keep,
            DisposeOp::Background => Disposal::Clear,
            DisposeOp::Previous => Disposal::Restore,
        };
        let pixel: fn(&[u8]) -> Pixel = match frame.color_type {
            ColorType::Grayscale => |p| [p[0], p[0], p[0], 255],
            ColorType::GrayscaleAlpha => |p| [p[0], p[0], p[0], p[1]],
            ColorType::Rgb => |p| [p[0], p[1], p[2], 255],
            ColorType::Rgba => |p| [p[0], p[1], p[2], p[3]],
            ColorType::Indexed => return Err(corrupt(Format::Png, "its palette was not expanded")),
        };
        let size = frame.buffer_size().min(self.buffer.len());
        let data = &mut self.buffer[..size];
        if let Some(key) = masked_key(self.reader.info()) {
            hide(key, data);
        }
        let pixels = data.chunks_exact(frame.color_type.samples()).map(pixel);
        canvas.draw(area, pixels, control.blend_op == BlendOp::Over, disposal);
        // A denominator of 0 means hundredths.
        let denominator = if control.delay_den == 0 { 100 } else { control.delay_den };
        Ok(Some(Duration::from_secs(control.delay_num.into()) / u32::from(denominator)))
    }
}
