//! The wire types of `operations`: what a client may ask for, parsed and checked at the edge.
//!
//! Each operation has a file with its fields, their bounds and schemas, and its flags on the command line; [`LIST`] has them
//! all. [`parse`] is the only way in from a client; it refuses unknown operations and fields by name. Serde reads and writes
//! the same types, because job payloads hold operations.

mod action_path;
mod aspect;
mod blur;
mod color;
mod convert;
mod crop;
mod definition;
mod fields;
mod flag;
mod flatten;
mod info;
mod pad;
mod parse;
mod pipeline;
mod pixelate;
mod place;
mod resize;
mod rotate;
mod round;
mod save;
mod schema;
#[cfg(test)]
mod tests;
mod text;
mod tone;
mod trim;
mod watermark;

use serde::{Deserialize, Serialize};

pub(crate) use action_path::ActionPath;
pub use aspect::Aspect;
pub use blur::{Blur, Sharpen};
pub use crop::{Crop, CropArea};
pub use definition::Definition;
pub use flag::{Flag, FromText, Sets};
pub use flatten::Flatten;
pub use info::Inquiry;
pub use pad::{Pad, PadArea};
pub use parse::parse;
pub use pipeline::Pipeline;
pub use pixelate::Pixelate;
pub use place::{Anchor, Gravity};
pub use resize::{Filter, Fit, Resize, Thumbnail};
pub use rotate::Rotate;
pub use round::{Radius, Round};
pub use schema::schema;
pub use tone::{Amount, Gamma};
pub use trim::Trim;
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

/// Makes the enum of actions and the list of their definitions of one list of lines.
macro_rules! operations {
    ($($(#[$doc:meta])* $variant:ident $(($fields:ty))? = $definition:path;)*) => {
        /// What is done to the picture.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "type", rename_all = "lowercase")]
        pub enum Action {
            $($(#[$doc])* $variant $(($fields))?,)*
        }

        /// Every operation, in the order of messages, the schema and `--help`.
        pub const LIST: &[&Definition] = &[$(&$definition,)*];

        impl Action {
            /// Its `type`, e.g. `resize`.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $definition.name,)*
                }
            }
        }
    };
}

operations! {
    Resize(Resize) = resize::RESIZE;
    Thumbnail(Thumbnail) = resize::THUMBNAIL;
    Crop(Crop) = crop::CROP;
    Rotate(Rotate) = rotate::ROTATE;
    /// Upside down, as in a lake.
    Flip = rotate::FLIP;
    /// Left and right exchanged, as in a mirror.
    Flop = rotate::FLOP;
    Pad(Pad) = pad::PAD;
    Trim(Trim) = trim::TRIM;
    Round(Round) = round::ROUND;
    Flatten(Flatten) = flatten::FLATTEN;
    Blur(Blur) = blur::BLUR;
    Sharpen(Sharpen) = blur::SHARPEN;
    /// A factor for all values.
    Brightness(Amount) = tone::BRIGHTNESS;
    /// A factor for the distance from the middle grey.
    Contrast(Amount) = tone::CONTRAST;
    /// A factor for the distance from grey.
    Saturation(Amount) = tone::SATURATION;
    Gamma(Gamma) = tone::GAMMA;
    Grayscale = tone::GRAYSCALE;
    /// A share of brown.
    Sepia(Amount) = tone::SEPIA;
    Invert = tone::INVERT;
    Pixelate(Pixelate) = pixelate::PIXELATE;
    Watermark(Watermark) = watermark::WATERMARK;
    /// Only the format changes; it is in [`Save`].
    Convert = convert::CONVERT;
    /// Answers about the picture, and makes no picture.
    Info(Inquiry) = info::INFO;
    Pipeline(Pipeline) = pipeline::PIPELINE;
}

/// The names of all operations, for messages.
fn known() -> String {
    LIST.iter().map(|definition| definition.name).collect::<Vec<_>>().join(", ")
}

impl Operation {
    /// The entry's `type`, e.g. `resize`.
    pub fn kind(&self) -> &'static str {
        self.action.kind()
    }

    /// What it does to a picture, one after the other.
    pub(crate) fn actions(&self) -> &[Action] {
        match &self.action {
            Action::Pipeline(Pipeline { operations }) => operations,
            action => std::slice::from_ref(action),
        }
    }

    /// The file stem that the client asked for.
    pub fn name(&self) -> Option<&str> {
        self.save.name.as_deref()
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
