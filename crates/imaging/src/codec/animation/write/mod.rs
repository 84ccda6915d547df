//! Writes frames to a file, one at a time.

mod apng;
mod gif;
mod webp;

use std::time::Duration;

pub(crate) use apng::chunk as png_chunk;

use crate::codec::reader::unsupported;
use crate::raster::Raster;
use crate::{Format, Result};

/// How an animation is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    pub(crate) format: Format,
    /// 0 for ever.
    pub(crate) plays: u32,
    /// For WebP, 1 to 100.
    pub(crate) quality: u8,
    /// For WebP.
    pub(crate) is_lossless: bool,
    /// For WebP, 0 to 6.
    pub(crate) method: i32,
    /// For lossless WebP, 0 to 9.
    pub(crate) level: i32,
    /// For lossless WebP: below 100, pixels may change a little.
    pub(crate) near: u8,
    /// For APNG.
    pub(crate) compression: png::Compression,
    /// For GIF, including the index for transparency.
    pub(crate) colors: usize,
}

/// A finished animation.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) data: Vec<u8>,
    pub(crate) frames: u32,
    /// The duration of one round, as the file stores it.
    pub(crate) duration: Duration,
}

/// Takes an animation's frames in order. A frame equal to the previous one extends that one's duration.
pub(crate) struct Writer {
    file: File,
    /// The frame shown until a different one arrives.
    waiting: Option<(Raster, Duration)>,
    /// Longest duration of a frame. The rest of a longer one becomes another frame.
    longest: Duration,
}

enum File {
    Gif(gif::File),
    WebP(webp::File),
    Png(apng::File),
}

impl Writer {
    /// A writer for frames of `size`.
    ///
    /// # Errors
    /// `unsupported-format`; `output-too-large` above the format's limit.
    pub(crate) fn new(size: (u32, u32), style: &Style) -> Result<Self> {
        let (file, longest) = match style.format {
            Format::Gif => (File::Gif(gif::File::new(size, style)?), gif::LONGEST),
            Format::WebP => (File::WebP(webp::File::new(size, style)?), webp::LONGEST),
            Format::Png => (File::Png(apng::File::new(size, style)), apng::LONGEST),
            other => return Err(unsupported(other, "it holds one picture")),
        };
        Ok(Self { file, waiting: None, longest })
    }

    /// Shows `picture` for as long as `delay`.
    pub(crate) fn push(&mut self, picture: Raster, delay: Duration) -> Result<()> {
        match &mut self.waiting {
            Some((shown, time)) if *time + delay <= self.longest && *shown == picture => *time += delay,
            _ => {
                let before = self.waiting.replace((picture, delay));
                self.write(before)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, frame: Option<(Raster, Duration)>) -> Result<()> {
        let Some((picture, delay)) = frame else { return Ok(()) };
        match &mut self.file {
            File::Gif(file) => file.add(&picture, delay),
            File::WebP(file) => file.add(&picture, delay),
            File::Png(file) => file.add(&picture, delay),
        }
    }

    pub(crate) fn finish(mut self) -> Result<Written> {
        let last = self.waiting.take();
        self.write(last)?;
        match self.file {
            File::Gif(file) => file.finish(),
            File::WebP(file) => Ok(file.finish()),
            File::Png(file) => Ok(file.finish()),
        }
    }
}

/// Rounds delays to a format's ticks so that the errors do not add up.
struct Clock {
    tick: Duration,
    /// Fewest ticks of a frame.
    least: u64,
    longest: Duration,
    wanted: Duration,
    told: u64,
}

impl Clock {
    fn new(tick: Duration, least: u64, longest: Duration) -> Self {
        Self { tick, least, longest, wanted: Duration::ZERO, told: 0 }
    }

    /// The ticks for the next delay.
    fn ticks(&mut self, delay: Duration) -> u64 {
        // Time beyond the longest delay is dropped and not added to other frames.
        self.wanted += delay.min(self.longest);
        let (wanted, tick) = (self.wanted.as_nanos(), self.tick.as_nanos());
        let end = ((wanted + tick / 2) / tick) as u64;
        let most = (self.longest.as_nanos() / tick) as u64;
        let ticks = end.saturating_sub(self.told).clamp(self.least, most);
        self.told += ticks;
        ticks
    }

    /// The sum of all delays so far.
    fn told(&self) -> Duration {
        let nanos = self.tick.as_nanos() * u128::from(self.told);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounded_delays_do_not_drift() {
        // Sixty frames per second in hundredths. No frame is short enough for browsers to slow it down.
        let mut clock = Clock::new(Duration::from_millis(10), 2, Duration::from_mins(10));
        let told: u64 = (0..600).map(|_| clock.ticks(Duration::from_secs(1) / 25)).sum();
        assert_eq!(told, 2400);
        let mut clock = Clock::new(Duration::from_millis(1), 1, Duration::from_mins(10));
        let told: u64 = (0..600).map(|_| clock.ticks(Duration::from_secs(1) / 60)).sum();
        assert_eq!(told, 10_000);
        let mut clock = Clock::new(Duration::from_millis(10), 2, Duration::from_mins(10));
        assert!((0..60).all(|_| clock.ticks(Duration::from_secs(1) / 60) == 2));
    }
}
