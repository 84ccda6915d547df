//! A text as a request asks for it: characters, font, colours, effects, and how its lines are set.

use serde::{Deserialize, Serialize};

use crate::length::Length;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Text {
    pub text: String,
    /// A font file's name without its ending, or a family's; unset: the bundled fonts.
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
    /// Between baselines, in ems; unset: the font's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line_height: Option<f32>,
    /// Unset: towards the edge at which the mark stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub align: Option<Align>,
    /// Lines that would become wider are broken.
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

/// Where short lines stand beside long ones.
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
    /// Pixels that it reaches out of the letters.
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
    /// The width of its soft edge in pixels, as in CSS.
    pub blur: f32,
}

impl Text {
    /// `text` as it looks when nothing else is asked for.
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
    /// How much of the room beside a line is on its left.
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
