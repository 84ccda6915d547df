//! One output of a plan: its steps with their sizes, settled before a pixel is decoded.

use crate::codec::{self, Facts, animation, jpeg};
use crate::operation::{Action, ActionPath, Fit, Inquiry, Operation, Resize, Save, Thumbnail};
use crate::ops::Step;
use crate::ops::geometry::{self, Placement};
use crate::raster::Alpha;
use crate::{Code, Error, Header, Limits, Result, info};

/// One output: its steps, its size and how it is written.
pub(crate) struct Planned<'a> {
    /// The operation's index.
    pub(crate) index: usize,
    pub(crate) steps: Vec<Step<'a>>,
    /// The output's size. If it depends on the pixels, the largest possible.
    pub(crate) size: (u32, u32),
    /// Whether `size` is exact.
    pub(crate) settled: bool,
    /// The orientation that the picture was turned by; 1 where it stays as it is stored.
    orientation: u8,
    /// Pixels of the largest picture on the way.
    pub(super) largest: u64,
    pub(crate) save: &'a Save,
    /// The `info` that is answered instead of making a picture.
    pub(crate) inquiry: Option<&'a Inquiry>,
    /// The alpha of the output's format.
    pub(crate) alpha: Alpha,
    /// A resize that was given a background and puts nothing around the picture.
    idle_background: Option<ActionPath>,
}

impl<'a> Planned<'a> {
    pub(super) fn new(index: usize, upright: (u32, u32), orientation: u8, operation: &'a Operation) -> Self {
        let inquiry = if let Action::Info(inquiry) = &operation.action { Some(inquiry) } else { None };
        let mut planned = Self {
            index,
            steps: Vec::new(),
            size: upright,
            settled: true,
            orientation,
            largest: 0,
            save: &operation.save,
            inquiry,
            alpha: Alpha::Soft,
            idle_background: None,
        };
        if !operation.auto_orient && orientation != 1 {
            let back = Step::Turn(as_stored(orientation));
            planned.size = back.size(upright);
            planned.orientation = 1;
            planned.steps.push(back);
        }
        planned
    }

    pub(super) fn push(&mut self, action: &'a Action, entry: ActionPath, limits: &Limits) -> Result<()> {
        match action {
            Action::Convert => return Ok(()),
            Action::Pipeline(_) => {
                return Err(Error::new(Code::InvalidOperation, "pipelines do not nest"));
            }
            Action::Info(_) => {
                self.add(Step::Resize(info::small(self.size)));
                return Ok(());
            }
            Action::Resize(Resize { fit, background: Some(_), .. })
            | Action::Thumbnail(Thumbnail { fit, background: Some(_), .. })
                if *fit != Fit::Contain =>
            {
                self.idle_background = Some(entry);
            }
            _ => {}
        }
        if self.settled {
            let step = Step::of(action, entry, self.size)?;
            geometry::check(entry, step.size(self.size), limits)?;
            self.settled = !matches!(action, Action::Trim(_));
            self.add(step);
        } else {
            // An output is not refused for its largest possible size; its size is checked when it is known.
            let (most, settled) = geometry::most(action, self.size, limits);
            self.steps.push(Step::Later(action, entry));
            (self.size, self.settled) = (most, settled);
            self.largest = self.largest.max(pixels(most).min(limits.max_pixels));
        }
        Ok(())
    }

    fn add(&mut self, step: Step<'a>) {
        if step.is_idle(self.size) {
            return;
        }
        self.size = step.size(self.size);
        self.largest = self.largest.max(pixels(self.size));
        self.steps.push(step);
    }

    /// The first step, if it makes all of the picture smaller or larger.
    pub(crate) fn plain_resize(&self) -> Option<&Placement> {
        match self.steps.first() {
            Some(Step::Resize(placement)) if placement.is_plain() => Some(placement),
            _ => None,
        }
    }

    /// Whether all frames of the source go into this output.
    pub(crate) fn is_animated(&self, source: &Header) -> bool {
        let moves = source.frames > 1 && animation::holds(source.format);
        let may = self.inquiry.is_none() && self.save.still != Some(true);
        moves && may && animation::holds(self.save.format.unwrap_or(source.format))
    }

    pub(crate) fn begins_with_resize(&self) -> bool {
        matches!(self.steps.first(), Some(Step::Resize(_)))
    }

    /// The warning for a background that was given but not drawn.
    pub(crate) fn undrawn_background(&self) -> Option<String> {
        let entry = self.idle_background?;
        let why = "with this fit there is nothing around the picture; `flatten` lays a background behind it";
        Some(format!("not-followed: {entry}.background: {why}"))
    }

    /// How it is written; alpha decides where no format is asked for.
    pub(crate) fn target(&self, facts: &Facts, has_alpha: bool) -> codec::Target {
        let (width, height) = facts.upright_size();
        let lies = self.orientation != facts.orientation && facts.orientation >= 5;
        let is_full = self.size == if lies { (height, width) } else { (width, height) };
        let kept = || {
            let header = facts.jpeg.as_ref().filter(|_| is_full)?;
            match jpeg::Tables::kept(header, self.orientation)? {
                jpeg::Tables::Kept(kept) => Some(kept),
                jpeg::Tables::Quality(_) => None,
            }
        };
        codec::Target::new(self.save, self.index, facts, has_alpha, kept)
    }
}

pub(super) fn pixels((width, height): (u32, u32)) -> u64 {
    u64::from(width) * u64::from(height)
}

/// The orientation that undoes another: each is its own, but for the quarter turns.
fn as_stored(orientation: u8) -> u8 {
    match orientation {
        6 => 8,
        8 => 6,
        own => own,
    }
}
