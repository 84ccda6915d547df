//! Files that `jxl` 0.8 decodes wrongly without an error, known by their frames' headers: those with a modular frame of one
//! pixel's width, by itself or as the eighths or 64ths of a picture (LF frames).
//!
//! Such a frame begins with halving the width of both chroma channels, which leaves two channels of no width. libjxl numbers
//! them; `jxl` leaves them out, so that it reads the two that follow by the rules of others. It shows only in colour, and in
//! what is lossy. Whether the halving took place stands behind entropy-coded data, so that a few files are refused that
//! would have come out right.

use std::io::{Read, Seek, SeekFrom};

use super::container::Bits;

/// Of LF frames below LF frames; libjxl writes no more.
const LEVELS: u32 = 2;
/// Most bytes of a frame's header that are read here.
const HEADER_BYTES: usize = 16;
const USES_LF_FRAME: u32 = 1 << 5;

/// A picture that may have such a frame.
pub(super) struct Narrow {
    /// As stored.
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) is_xyb: bool,
    pub(super) extra_channels: usize,
}

/// Where frames begin in the file.
pub(super) struct Places {
    /// The first one that is shown.
    pub(super) shown: u64,
    /// The first one that it is made of, or itself.
    pub(super) first: u64,
}

impl Narrow {
    /// `None` for a picture that is too wide, or grey.
    pub(super) fn of((width, height): (u32, u32), is_grey: bool, is_xyb: bool, extra_channels: usize) -> Option<Self> {
        let is_narrow = !is_grey && width <= 8_u32.pow(LEVELS) && height > 1;
        is_narrow.then_some(Self { width, height, is_xyb, extra_channels })
    }

    /// Whether the decoder would read it wrongly.
    pub(super) fn is_misread(&self, source: &mut (impl Read + Seek), places: &Places) -> std::io::Result<bool> {
        let shown = self.frame(source, places.shown)?;
        if !shown.has_lf {
            return Ok(shown.is_modular && self.is_xyb && self.is_a_column(shown.upsampling));
        }
        let first = self.frame(source, places.first)?;
        Ok(match first.level {
            Some(level) => first.is_modular && self.is_a_column(8_u32.pow(level)),
            // Patches come before it, and hide how small its LF frames are.
            None => (1..=LEVELS).any(|level| self.is_a_column(8_u32.pow(level))),
        })
    }

    /// Whether it is one pixel wide, and higher, at so many pixels a side for each of its own.
    fn is_a_column(&self, shrink: u32) -> bool {
        self.width <= shrink && self.height > shrink
    }

    fn frame(&self, source: &mut (impl Read + Seek), at: u64) -> std::io::Result<Frame> {
        source.seek(SeekFrom::Start(at))?;
        let mut read = Vec::with_capacity(HEADER_BYTES);
        source.take(HEADER_BYTES as u64).read_to_end(&mut read)?;
        // A last frame may be shorter.
        let mut bytes = [0; HEADER_BYTES];
        bytes[..read.len()].copy_from_slice(&read);
        Ok(Frame::parse(bytes, self))
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Frame {
    is_modular: bool,
    has_lf: bool,
    upsampling: u32,
    /// Of an LF frame: how often its sides are an eighth.
    level: Option<u32>,
}

impl Frame {
    /// Bits missing at the end of the file read as zeros.
    fn parse(bytes: [u8; HEADER_BYTES], picture: &Narrow) -> Self {
        let mut bits = Bits { word: u128::from_le_bytes(bytes) };
        let mut frame = Self { is_modular: false, has_lf: false, upsampling: 1, level: None };
        let is_default = bits.take(1) == 1;
        if is_default {
            return frame;
        }
        let is_lf_frame = bits.take(2) == 1;
        frame.is_modular = bits.take(1) == 1;
        frame.has_lf = flags(&mut bits) & USES_LF_FRAME != 0;
        let is_ycbcr = !picture.is_xyb && bits.take(1) == 1;
        if !frame.has_lf {
            if is_ycbcr {
                bits.take(6);
            }
            frame.upsampling = 1 << bits.take(2);
            for _ in 0..picture.extra_channels {
                bits.take(2);
            }
        }
        if !is_lf_frame {
            return frame;
        }
        // The size of groups, or the scales of two channels.
        match (frame.is_modular, picture.is_xyb) {
            (true, _) => bits.take(2),
            (false, true) => bits.take(6),
            (false, false) => 0,
        };
        let passes = match bits.take(2) {
            3 => bits.take(3) + 4,
            few => few + 1,
        };
        if passes > 1 {
            let steps = match bits.take(2) {
                3 => bits.take(1) + 3,
                few => few,
            };
            for _ in 1..passes + steps {
                bits.take(2);
            }
            for _ in 0..steps {
                if bits.take(2) == 3 {
                    bits.take(3);
                }
            }
        }
        frame.level = Some(bits.take(2) + 1);
        frame
    }
}

/// A number of up to 64 bits. Only the lowest twelve are returned.
fn flags(bits: &mut Bits) -> u32 {
    match bits.take(2) {
        0 => 0,
        1 => bits.take(4) + 1,
        2 => bits.take(8) + 17,
        _ => {
            let lowest = bits.take(12);
            let mut count = 12;
            while count < 64 && bits.take(1) == 1 {
                let more = if count < 60 { 8 } else { 4 };
                bits.take(more);
                count += more;
            }
            lowest
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fields of a header, as values and their numbers of bits.
    fn header(fields: &[(u128, u32)]) -> [u8; HEADER_BYTES] {
        let mut at = 0;
        let mut word = 0;
        for &(value, bits) in fields {
            word |= value << at;
            at += bits;
        }
        word.to_le_bytes()
    }

    #[test]
    fn frame_header_is_read_up_to_its_level() {
        let picture = |is_xyb, extra_channels| Narrow { width: 8, height: 80, is_xyb, extra_channels };
        let plain = Frame { is_modular: false, has_lf: false, upsampling: 1, level: None };
        assert_eq!(Frame::parse(header(&[(1, 1)]), &picture(true, 0)), plain);
        // Shown, in blocks, doubled, two extra channels.
        let doubled = [(0, 1), (0, 2), (0, 1), (0, 2), (1, 2), (3, 2), (3, 2)];
        assert_eq!(Frame::parse(header(&doubled), &picture(true, 2)), Frame { upsampling: 2, ..plain });
        // Shown, made of an LF frame; its flags take eight bits, or twelve and twenty more.
        let of_lf = Frame { has_lf: true, ..plain };
        assert_eq!(Frame::parse(header(&[(0, 4), (2, 2), (15, 8)]), &picture(true, 0)), of_lf);
        let long = [(0, 4), (3, 2), (32, 12), (1, 1), (0, 8), (1, 1), (0, 8), (0, 1)];
        assert_eq!(Frame::parse(header(&long), &picture(true, 0)), of_lf);
        // An LF frame's LF frame of three passes, two of them smaller, in colours of its own (YCbCr).
        let lf = [(0, 1), (1, 2), (1, 1), (0, 2), (1, 1), (63, 6), (0, 2), (1, 2)];
        let passes = [(2, 2), (2, 2), (3, 4), (3, 4), (3, 2), (7, 3), (0, 2), (1, 2)];
        let frame = Frame { is_modular: true, level: Some(2), ..plain };
        assert_eq!(Frame::parse(header(&[lf, passes].concat()), &picture(false, 0)), frame);
    }

    #[test]
    fn column_is_one_pixel_wide_and_higher() {
        let is_a_column = |width, height| Narrow { width, height, is_xyb: true, extra_channels: 0 }.is_a_column(8);
        assert!(is_a_column(1, 9) && is_a_column(8, 9));
        assert!(!is_a_column(9, 80) && !is_a_column(8, 8));
    }
}
