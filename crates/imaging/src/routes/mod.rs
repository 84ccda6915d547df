//! The routes by which a picture goes from its source to its outputs, as the plan has decided.
//!
//! From JPEG to JPEG there are two short ones, without a trip to RGB: [`coefficients`] and [`planes`]. [`pixels`] takes every
//! picture, [`frames`] animations. All give outputs that look the same. A short route leaves a source that it cannot read
//! to the next longer one, before it has emitted anything.

mod coefficients;
mod frames;
mod pixels;
mod planes;

use super::plan::{Pass, Route};
use super::{Code, Error, Made, Options, Result};

/// What [`run`] works under.
pub(crate) struct Run<'r> {
    pub(crate) options: &'r Options<'r>,
    /// Of the source; each output gets them.
    pub(crate) warnings: Vec<String>,
    pub(crate) emit: &'r mut dyn FnMut(usize, Made) -> std::io::Result<()>,
}

impl Run<'_> {
    /// # Errors
    /// `time-limit`, once the caller says so.
    pub(crate) fn go_on(&self) -> Result<()> {
        if (self.options.interrupted)() {
            return Err(Error::new(Code::TimeLimit, "the time for this picture is over"));
        }
        Ok(())
    }

    pub(crate) fn emit(&mut self, index: usize, mut made: Made) -> Result<()> {
        if let Made::Picture(output) = &mut made {
            output.warnings.extend_from_slice(&self.warnings);
        }
        (self.emit)(index, made).map_err(|error| Error::new(Code::Storage, format!("storing output {index}: {error}")))
    }
}
/// Makes a pass's outputs.
pub(crate) fn run(source: &[u8], mut pass: Pass<'_>, run: &mut Run<'_>) -> Result<()> {
    while !take(source, &pass, run)? {
        pass = pass.longer();
    }
    Ok(())
}

/// Makes a pass's outputs by its own route; false, with nothing done, if that cannot read the source.
pub(crate) fn take(source: &[u8], pass: &Pass<'_>, run: &mut Run<'_>) -> Result<bool> {
    match pass.route {
        Route::Coefficients { shrink } => coefficients::take(source, pass, shrink, run),
        Route::Planes => planes::take(source, pass, run),
        Route::Pixels { shrink } => pixels::take(source, pass, shrink, run).map(|()| true),
        Route::Frames => frames::take(source, pass, run).map(|()| true),
    }
}
