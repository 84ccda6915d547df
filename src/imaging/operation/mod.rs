//! The wire types of `operations`: what a client may ask for, parsed and checked at the edge.
//!
//! [`parse`] is the only way in from a client; it refuses what it does not know, by name. The
//! types are serde's too, because operations travel in job payloads. A `convert` inside a pipeline
//! is folded into the pipeline's own `format` and `quality` while parsing.

mod parse;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use parse::parse;

use super::Format;

/// One entry of a submission's `operations`; it yields one output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    #[serde(flatten)]
    pub action: Action,
    #[serde(flatten)]
    pub save: Save,
}

/// How an output is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Save {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// 1 to 100, for formats that lose something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<u8>,
    /// A safe file stem for the output: `[A-Za-z0-9._-]`, at most 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What is done to the picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Action {
    Resize(Resize),
    Thumbnail(Thumbnail),
    Watermark(Watermark),
    /// Only the format changes; it stands in [`Save`].
    Convert,
    /// Several actions on one picture; none of them is a pipeline.
    Pipeline {
        operations: Vec<Action>,
    },
}

/// At least one of `width` and `height` is set; a missing one follows the aspect ratio.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resize {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    #[serde(default)]
    pub fit: Fit,
    /// Which part stays when `cover` cuts, and where the picture stands in `contain`'s box.
    #[serde(default = "Anchor::center")]
    pub gravity: Anchor,
    /// Whether a picture may become larger than its source.
    #[serde(default = "yes")]
    pub enlarge: bool,
    #[serde(default)]
    pub filter: Filter,
    /// RGBA around the picture in `contain`; unset: transparent where there is alpha, else white.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<[u8; 4]>,
}

/// How a picture meets a box of another shape.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Exactly the box, the aspect ratio is not kept.
    #[default]
    Fill,
    /// Inside the box, the rest is background.
    Contain,
    /// Covers the box, what overhangs is cut.
    Cover,
    /// Inside the box, nothing added.
    Inside,
    /// Covers the box, nothing cut.
    Outside,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    Nearest,
    Bilinear,
    Bicubic,
    #[default]
    Lanczos3,
}

/// Fits inside `size`, aspect kept, never enlarged, at least 1 px a side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thumbnail {
    pub size: [u32; 2],
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Watermark {
    pub text: String,
    #[serde(default = "Anchor::bottom_right")]
    pub position: Anchor,
    /// Pixels between the text's ink and the picture's edges.
    #[serde(default = "default_margin")]
    pub margin: u32,
    /// The font's em size in pixels; reduced where the text would not fit.
    #[serde(default = "default_size")]
    pub size: u32,
    /// RGBA.
    #[serde(default = "default_color")]
    pub color: [u8; 4],
    /// 0 to 1, multiplied with the colour's alpha.
    #[serde(default = "opaque")]
    pub opacity: f32,
}

/// Nine places in a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Anchor {
    TopLeft,
    Top,
    TopRight,
    Left,
    Center,
    Right,
    BottomLeft,
    Bottom,
    BottomRight,
}

impl Operation {
    /// The entry's `type`, e.g. `resize`.
    pub fn kind(&self) -> &'static str {
        self.action.kind()
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
            Self::Watermark(_) => "watermark",
            Self::Convert => "convert",
            Self::Pipeline { .. } => "pipeline",
        }
    }
}

impl From<Action> for Operation {
    fn from(action: Action) -> Self {
        Self { action, save: Save::default() }
    }
}

impl Resize {
    /// Exactly `width` × `height`.
    pub fn fill(width: u32, height: u32) -> Self {
        Self {
            width: Some(width),
            height: Some(height),
            fit: Fit::Fill,
            gravity: Anchor::Center,
            enlarge: true,
            filter: Filter::Lanczos3,
            background: None,
        }
    }
}

impl Watermark {
    /// `text` as it looks when nothing else is asked for.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            position: Anchor::BottomRight,
            margin: default_margin(),
            size: default_size(),
            color: default_color(),
            opacity: opaque(),
        }
    }
}

impl Anchor {
    /// Where the anchor lies along x and y: 0, 0.5 or 1.
    pub(crate) fn fractions(self) -> (f64, f64) {
        let x = match self {
            Self::TopLeft | Self::Left | Self::BottomLeft => 0.0,
            Self::Top | Self::Center | Self::Bottom => 0.5,
            Self::TopRight | Self::Right | Self::BottomRight => 1.0,
        };
        let y = match self {
            Self::TopLeft | Self::Top | Self::TopRight => 0.0,
            Self::Left | Self::Center | Self::Right => 0.5,
            Self::BottomLeft | Self::Bottom | Self::BottomRight => 1.0,
        };
        (x, y)
    }

    fn center() -> Self {
        Self::Center
    }

    fn bottom_right() -> Self {
        Self::BottomRight
    }
}

/// What is done when a client names no operations: 800×600, 150×150, `MySite`.
pub fn defaults() -> Vec<Operation> {
    vec![
        Action::Resize(Resize::fill(800, 600)).into(),
        Action::Thumbnail(Thumbnail { size: [150, 150] }).into(),
        Action::Watermark(Watermark::new("MySite")).into(),
    ]
}

fn yes() -> bool {
    true
}

fn default_margin() -> u32 {
    10
}

fn default_size() -> u32 {
    36
}

fn default_color() -> [u8; 4] {
    [255, 255, 255, 128]
}

fn opaque() -> f32 {
    1.0
}
