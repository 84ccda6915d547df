//! The wire types of `operations`: what a client may ask for, parsed and checked at the edge.
//!
//! [`parse`] is the only way in from a client; it refuses what it does not know, by name. The
//! types are serde's too, because operations travel in job payloads. What a `convert` inside a pipeline
//! says is folded into the pipeline's own [`Save`] while parsing.

mod adjust;
mod color;
mod entry;
mod fields;
mod frame;
mod info;
mod parse;
mod place;
mod resize;
mod save;
mod schema;
#[cfg(test)]
mod tests;
mod watermark;

use serde::{Deserialize, Serialize};

pub use adjust::{Amount, Blur, Gamma, Pixelate, Sharpen};
pub(crate) use entry::Entry;
pub use frame::{Aspect, Crop, CropArea, Flatten, Pad, PadArea, Radius, Rotate, Round, Trim};
pub use info::Inquiry;
pub use parse::{KNOWN, parse};
pub use place::{Anchor, Gravity};
pub use resize::{Filter, Fit, Resize, Thumbnail};
pub use schema::schema;
pub use watermark::{Content, Position, Tile, Watermark};

pub use crate::length::Length;
pub use crate::save::{Chroma, Keep, Quality, Save};
pub use crate::text::{Align, Outline, Shadow, Text, Weight};

/// One entry of a submission's `operations`; it yields one output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    #[serde(flatten)]
    pub action: Action,
    /// Whether the picture is turned upright first, as its EXIF says; otherwise it is taken as it is stored.
    #[serde(default = "fields::yes", skip_serializing_if = "fields::is_true")]
    pub auto_orient: bool,
    #[serde(flatten)]
    pub save: Save,
}

/// What is done to the picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Action {
    Resize(Resize),
    Thumbnail(Thumbnail),
    Crop(Crop),
    Rotate(Rotate),
    /// Upside down, as in a lake.
    Flip,
    /// Left and right exchanged, as in a mirror.
    Flop,
    Pad(Pad),
    Trim(Trim),
    Round(Round),
    Flatten(Flatten),
    Blur(Blur),
    Sharpen(Sharpen),
    /// A factor for all values.
    Brightness(Amount),
    /// A factor for the distance from the middle grey.
    Contrast(Amount),
    /// A factor for the distance from grey.
    Saturation(Amount),
    Gamma(Gamma),
    Grayscale,
    /// A share of brown.
    Sepia(Amount),
    Invert,
    Pixelate(Pixelate),
    Watermark(Watermark),
    /// Only the format changes; it stands in [`Save`].
    Convert,
    /// No picture but an answer about it.
    Info(Inquiry),
    /// Several actions on one picture; none of them is a pipeline.
    Pipeline {
        operations: Vec<Action>,
    },
}

impl Operation {
    /// The entry's `type`, e.g. `resize`.
    pub fn kind(&self) -> &'static str {
        self.action.kind()
    }

    /// What it does to a picture, one after the other.
    pub(crate) fn actions(&self) -> &[Action] {
        match &self.action {
            Action::Pipeline { operations } => operations,
            action => std::slice::from_ref(action),
        }
    }

    /// The file stem that the client asked for.
    pub fn name(&self) -> Option<&str> {
        self.save.name.as_deref()
    }
}

impl Action {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Resize(_) => "resize",
            Self::Thumbnail(_) => "thumbnail",
            Self::Crop(_) => "crop",
            Self::Rotate(_) => "rotate",
            Self::Flip => "flip",
            Self::Flop => "flop",
            Self::Pad(_) => "pad",
            Self::Trim(_) => "trim",
            Self::Round(_) => "round",
            Self::Flatten(_) => "flatten",
            Self::Blur(_) => "blur",
            Self::Sharpen(_) => "sharpen",
            Self::Brightness(_) => "brightness",
            Self::Contrast(_) => "contrast",
            Self::Saturation(_) => "saturation",
            Self::Gamma(_) => "gamma",
            Self::Grayscale => "grayscale",
            Self::Sepia(_) => "sepia",
            Self::Invert => "invert",
            Self::Pixelate(_) => "pixelate",
            Self::Watermark(_) => "watermark",
            Self::Convert => "convert",
            Self::Info(_) => "info",
            Self::Pipeline { .. } => "pipeline",
        }
    }
}

impl From<Action> for Operation {
    fn from(action: Action) -> Self {
        Self { action, auto_orient: true, save: Save::default() }
    }
}

/// What is done when a client names no operations: 800×600, 150×150, `MySite`.
pub fn defaults() -> Vec<Operation> {
    vec![
        Action::Resize(Resize::fill(800, 600)).into(),
        Action::Thumbnail(Thumbnail::inside(150, 150)).into(),
        Action::Watermark(Watermark::new("MySite")).into(),
    ]
}
