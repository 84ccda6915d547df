//! GIF: up to 255 colours and transparency, with as few palettes as possible.
//!
//! Unchanged pixels are written as transparent, and a frame is cut to the area that is drawn. Where opaque pixels
//! become transparent, the previous frame is widened to cover them and cleared afterwards. Frames share a palette as
//! long as it fits their colours. The first palette is the file's own, and gets the colours of later frames while there
//! are few. Alpha is all or nothing: half opacity counts as opaque.

use std::time::Duration;

use gif::{DisposalMethod, Encoder, EncodingError, Frame, Repeat};

use super::super::canvas::Area;
use super::{Clock, Style, Written};
use crate::codec::quantize::{self, Census, MAX_COLORS, Misfit, Palette, Pixel};
use crate::raster::Raster;
use crate::{Code, Error, Result};

/// In a picture of many colours, pixels that differ by no more than this count as unchanged.
const TOLERANCE: u8 = 2;
/// How much further from the palette's colours a frame may be than the frame that the palette was made for, both on
/// average and at its worst, in squared distances.
const FURTHER: f32 = 1.4;
const STRAY: f32 = 3.0;
const WORST_STRAY: f32 = 900.0;
const TICK: Duration = Duration::from_millis(10);
/// Longest delay of one frame.
pub(super) const LONGEST: Duration = Duration::from_millis(655_350);
const CLEAR: Pixel = [0; 4];
/// Index of transparent pixels in every palette. The colours follow it.
const TRANSPARENT: u8 = 0;
/// Bytes before the file's palette.
const HEADER: usize = 13;

pub(super) struct File {
    size: (u16, u16),
    /// Most colours of a palette. One more index is for transparent pixels.
    colors: usize,
    encoder: Encoder<Vec<u8>>,
    clock: Clock,
    /// The shown picture: each pixel as it was when it was last drawn.
    shown: Vec<Pixel>,
    pending: Option<Pending>,
    /// The file's palette, and the latest palette of a frame.
    palettes: Vec<Known>,
    frames: u32,
}

/// A palette, and how far its own picture was from its colours.
struct Known {
    palette: Palette,
    misfit: Misfit,
}

/// The latest frame. Its disposal is known only when the next frame arrives.
struct Pending {
    /// Indices of the complete canvas.
    indices: Vec<u8>,
    area: Area,
    /// The palette, if it is not the file's own.
    table: Option<Vec<u8>>,
    delay: Duration,
    disposal: DisposalMethod,
}

impl File {
    pub(super) fn new(size: (u32, u32), style: &Style) -> Result<Self> {
        let (Ok(width), Ok(height)) = (u16::try_from(size.0), u16::try_from(size.1)) else {
            let detail = format!("{}x{} exceeds GIF's {} pixels a side", size.0, size.1, u16::MAX);
            return Err(Error::new(Code::OutputTooLarge, detail));
        };
        // The file's palette is known at the end. Until then, room for the largest palette is reserved.
        let mut encoder = Encoder::new(Vec::new(), width, height, &[0; 3 * MAX_COLORS]).map_err(|e| failed(&e))?;
        let repeat = match style.plays {
            0 => Repeat::Infinite,
            plays => Repeat::Finite(u16::try_from(plays - 1).unwrap_or(u16::MAX)),
        };
        encoder.set_repeat(repeat).map_err(|e| failed(&e))?;
        Ok(Self {
            size: (width, height),
            colors: style.colors - 1,
            encoder,
            // Browsers slow down frames of a hundredth of a second to a tenth.
            clock: Clock::new(TICK, 2, LONGEST),
            shown: vec![CLEAR; size.0 as usize * size.1 as usize],
            pending: None,
            palettes: Vec::new(),
            frames: 0,
        })
    }

    pub(super) fn add(&mut self, picture: &Raster, delay: Duration) -> Result<()> {
        let (width, height) = (usize::from(self.size.0), usize::from(self.size.1));
        let pixels: Vec<Pixel> = picture.rgba().iter().map(|&pixel| all_or_nothing(pixel)).collect();
        let is_first = self.frames == 0;

        let gone = Area::around(width, height, |at| self.shown[at][3] != 0 && pixels[at][3] == 0);
        let cleared = match (gone, &mut self.pending) {
            (Some(gone), Some(pending)) => {
                pending.disposal = DisposalMethod::Background;
                pending.area = pending.area.and(gone);
                Some(pending.area)
            }
            _ => None,
        };
        let is_within = |at: usize, area: &Area| {
            let (x, y) = (at % width, at / width);
            (area.left..area.left + area.width).contains(&x) && (area.top..area.top + area.height).contains(&y)
        };
        let tolerance = if quantize::are_few(&pixels) { 0 } else { TOLERANCE };
        let drawn: Vec<bool> = pixels
            .iter()
            .enumerate()
            .map(|(at, pixel)| {
                let was = if cleared.is_some_and(|area| is_within(at, &area)) { CLEAR } else { self.shown[at] };
                pixel[3] != 0 && (was[3] == 0 || pixel.iter().zip(was).any(|(a, b)| a.abs_diff(b) > tolerance))
            })
            .collect();
        let area =
            if is_first { Some(Area::whole(width, height)) } else { Area::around(width, height, |at| drawn[at]) };
        let area = match (area, cleared, &mut self.pending) {
            (Some(area), ..) => area,
            // The frame only clears pixels, so one pixel is enough for it.
            (None, Some(cleared), _) => Area { width: 1, height: 1, ..cleared },
            (None, None, Some(pending)) if pending.delay + delay <= LONGEST => {
                pending.delay += delay;
                return Ok(());
            }
            // It looks the same as the previous frame, which cannot be shown for the sum of both delays.
            (None, None, Some(_)) => Area { width: 1, height: 1, ..Area::whole(width, height) },
            (None, None, None) => Area::whole(width, height),
        };
        self.flush()?;
        if let Some(cleared) = cleared {
            let rows = self.shown.chunks_exact_mut(width).skip(cleared.top).take(cleared.height);
            rows.for_each(|row| row[cleared.left..cleared.left + cleared.width].fill(CLEAR));
        }

        let census = Census::of(pixels.iter().zip(&drawn).filter(|(_, drawn)| **drawn).map(|(&pixel, _)| pixel));
        let chosen = self.palette(&census);
        let palette = &mut self.palettes[chosen].palette;
        // No palette has a colour at the last index, so adding one moves it to the index of transparency.
        let mut indices = palette.map(width, &pixels, |at| drawn[at], u8::MAX, || Ok(()))?;
        for index in &mut indices {
            *index = index.wrapping_add(1);
        }
        for ((shown, &pixel), _) in self.shown.iter_mut().zip(&pixels).zip(&drawn).filter(|(_, drawn)| **drawn) {
            *shown = pixel;
        }
        self.pending = Some(Pending {
            indices,
            area,
            table: (chosen > 0).then(|| table(palette)),
            delay,
            disposal: DisposalMethod::Keep,
        });
        self.frames += 1;
        Ok(())
    }

    /// The index of a fitting palette; a new one if none fits.
    fn palette(&mut self, census: &Census) -> usize {
        let serves = |known: &Known| {
            census.is_within(&known.palette)
                || !known.palette.is_exact && census.distinct().is_none() && known.meets(census)
        };
        if let Some(known) = self.palettes.iter().position(serves) {
            return known;
        }
        let colors = self.colors;
        if let Some(known) = self.palettes.iter_mut().position(|known| known.palette.take_in(census, colors)) {
            return known;
        }
        let palette = Palette::of(census, self.colors);
        let misfit = census.misfit(&palette);
        self.palettes.truncate(1);
        self.palettes.push(Known { palette, misfit });
        self.palettes.len() - 1
    }

    /// Writes the latest frame.
    fn flush(&mut self) -> Result<()> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let area = pending.area;
        let buffer = area.cut(&pending.indices, self.size.0.into());
        // Some programs clear a frame to a colour if it has no transparent index.
        let is_clear = pending.disposal == DisposalMethod::Background || buffer.contains(&TRANSPARENT);
        let frame = Frame {
            delay: self.clock.ticks(pending.delay) as u16,
            dispose: pending.disposal,
            transparent: is_clear.then_some(TRANSPARENT),
            needs_user_input: false,
            top: area.top as u16,
            left: area.left as u16,
            width: area.width as u16,
            height: area.height as u16,
            interlaced: false,
            palette: pending.table,
            buffer: buffer.into(),
        };
        self.encoder.write_frame(&frame).map_err(|error| failed(&error))
    }

    pub(super) fn finish(mut self) -> Result<Written> {
        self.flush()?;
        let mut file = self.encoder.into_inner().map_err(|error| failed(&error))?;
        let mut table = self.palettes.first().map(|known| table(&known.palette)).unwrap_or_default();
        let entries = (table.len() / 3).next_power_of_two().max(2);
        table.resize(3 * entries, 0);
        // The lowest three bits have the logarithm of the palette's size minus one; bits 4 to 6, the colour resolution,
        // too.
        let bits = entries.ilog2() as u8 - 1;
        file[10] = 0x80 | bits << 4 | bits;
        file.splice(HEADER..HEADER + 3 * MAX_COLORS, table);
        Ok(Written { data: file, frames: self.frames, duration: self.clock.told() })
    }
}

impl Known {
    /// Whether the palette fits these colours about as well as the colours that it was made for.
    fn meets(&self, census: &Census) -> bool {
        let Misfit { mean, worst } = census.misfit(&self.palette);
        mean <= self.misfit.mean * FURTHER + STRAY && worst <= self.misfit.worst * FURTHER + WORST_STRAY
    }
}

/// A palette in the form of the file.
fn table(palette: &Palette) -> Vec<u8> {
    let colors = palette.colors.iter().flat_map(|color| [color[0], color[1], color[2]]);
    [0; 3].into_iter().chain(colors).collect()
}

fn all_or_nothing([r, g, b, a]: Pixel) -> Pixel {
    if a < 128 { CLEAR } else { [r, g, b, 255] }
}

fn failed(error: &EncodingError) -> Error {
    Error::new(Code::Storage, format!("writing GIF: {error}"))
}
