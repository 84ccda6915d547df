//! Reads frames from a file, one at a time.

mod apng;
mod gif;
mod webp;

use super::canvas::Canvas;
use super::{Frame, as_shown};
use crate::codec::watched::Watched;
use crate::codec::{Facts, guarded, icc, reader};
use crate::raster::Raster;
use crate::{Code, Format, Options, Result};

/// The frames of an animated source, in order.
pub(crate) struct Frames<'a> {
    file: File<'a>,
    facts: &'a Facts,
    canvas: Canvas,
    /// Number of frames left.
    left: u32,
    /// The colour space, if it is not sRGB.
    space: Option<icc::Space>,
    is_lenient: bool,
    is_cut: bool,
}

enum File<'a> {
    Gif(Box<gif::File<'a>>),
    WebP(webp::File<'a>),
    Png(Box<apng::File<'a>>),
}

/// The first frame of an animated WebP; later frames are not read.
pub(in crate::codec) fn first_of_webp(source: &[u8], facts: &Facts, interrupted: &dyn Fn() -> bool) -> Result<Raster> {
    let mut canvas = Canvas::new(facts.header.width, facts.header.height);
    let drawn = webp::File::open(source, true, interrupted)?.draw(&mut canvas)?;
    drawn.ok_or_else(|| reader::truncated(Format::WebP, "the file ends before its first frame does"))?;
    Ok(canvas.picture())
}

impl<'a> Frames<'a> {
    /// # Errors
    /// As `codec::decode`.
    pub(crate) fn open(source: &'a [u8], facts: &'a Facts, options: &Options<'a>) -> Result<Self> {
        let format = facts.header.format;
        let bytes = Watched::new(source, options.interrupted);
        let file = guarded(format, || match format {
            Format::Gif => gif::File::open(bytes).map(|file| File::Gif(file.into())),
            Format::WebP => webp::File::open(source, options.lenient, options.interrupted).map(File::WebP),
            Format::Png => apng::File::open(source, options).map(|file| File::Png(file.into())),
            other => Err(reader::unsupported(other, "it has one picture")),
        })?;
        let space = match &file {
            File::Png(file) => file.space(),
            _ => icc::Space::of_profile(facts.icc.as_deref()),
        };
        let canvas = Canvas::new(facts.header.width, facts.header.height);
        let (left, is_lenient) = (facts.header.frames, options.lenient);
        Ok(Self { file, facts, canvas, left, space, is_lenient, is_cut: false })
    }

    /// Whether frames at the end are missing, which only a lenient reading accepts.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// How often the animation is played; 0 means for ever.
    pub(crate) fn plays(&self) -> u32 {
        match &self.file {
            File::Gif(file) => file.plays(),
            File::WebP(file) => file.plays(),
            File::Png(file) => file.plays(),
        }
    }

    /// The next frame, always with alpha, so that all frames are of one kind. `None` after the last.
    ///
    /// # Errors
    /// As `codec::decode`; `truncated-image` if the file ends before its last frame.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>> {
        if self.left == 0 {
            return Ok(None);
        }
        let is_first = self.left == self.facts.header.frames;
        self.left -= 1;
        let (file, canvas) = (&mut self.file, &mut self.canvas);
        let delay = guarded(self.facts.header.format, || match file {
            File::Gif(file) => file.draw(canvas),
            File::WebP(file) => file.draw(canvas),
            File::Png(file) => file.draw(canvas),
        });
        // The header counted this frame.
        let ends_early = || reader::truncated(self.facts.header.format, "the file ends before its last frame does");
        let delay = match delay.and_then(|delay| delay.ok_or_else(ends_early)) {
            Ok(delay) => delay,
            // The first frame must be complete.
            Err(error) if error.code == Code::TruncatedImage && self.is_lenient && !is_first => {
                (self.left, self.is_cut) = (0, true);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let picture = self.canvas.picture();
        let picture = if let Some(space) = &self.space { space.to_srgb(picture) } else { picture };
        let picture = picture.oriented(self.facts.orientation);
        Ok(Some(Frame { picture, delay: as_shown(delay) }))
    }
}
