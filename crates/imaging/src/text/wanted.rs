//! A text as requested: characters, font, colours, effects, and the layout of its lines.

use serde::{Deserialize, Serialize};

use crate::length::Length;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Text {
    pub text: String,
    /// A font file's name without its ending, or the name of a family; `None` for the bundled fonts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub font: Option<String>,
    #[serde(default)]
    pub weight: Weight,
    /// RGBA.
    #[serde(default = "default_color")]
    pub color: [u8; 4],
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outline: Option<Outline>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadow>,
    /// Distance between baselines in ems; `None` for the font's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line_height: Option<f32>,
    /// `None`: towards the edge that the mark is placed at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub align: Option<Align>,
    /// Lines wider than this are broken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_width: Option<Length>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    #[default]
    Regular,
    Bold,
}

/// Position of short lines relative to long ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Align {
    Left,
    Center,
    Right,
}

/// A line around the letters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outline {
    /// RGBA.
    pub color: [u8; 4],
    /// Width outside the letters, in pixels.
    pub width: f32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shadow {
    /// RGBA.
    pub color: [u8; 4],
    /// Pixels to the right.
    pub x: f32,
    /// Pixels downwards.
    pub y: f32,
    /// Width of the soft edge in pixels, as in CSS.
    pub blur: f32,
}

impl Text {
    /// `text` with the default style.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            font: None,
            weight: Weight::Regular,
            color: default_color(),
            outline: None,
            shadow: None,
            line_height: None,
            align: None,
            max_width: None,
        }
    }
}

impl Align {
    /// The share of the free space of a line that is on its left.
    pub(crate) fn fraction(self) -> f32 {
        match self {
            Self::Left => 0.0,
            Self::Center => 0.5,
            Self::Right => 1.0,
        }
    }
}

fn default_color() -> [u8; 4] {
    [255, 255, 255, 128]
}
