//! Places in a picture.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::fields::{Fields, invalid, shown};
use super::flag::{Flag, Sets};
use crate::Result;

/// The names of all anchors, for messages.
pub(super) const ANCHORS: &str = "top-left, top, top-right, left, center, right, bottom-left, bottom, bottom-right";

pub(super) const GRAVITY: Flag = Flag::new(
    "gravity",
    "ANCHOR|X,Y|smart",
    Sets::Value("gravity", |text| point(text).unwrap_or_else(|| text.into())),
    "Which part the --resize, --thumbnail or --crop before it keeps: center (the default), top-left, top, …, \
     a focal point in shares such as 0.3,0.2, or smart: what draws the eye",
)
.of(&["resize", "thumbnail", "crop", "pad"]);

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

/// Which part of a picture stays when some of it is cut away.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gravity {
    /// The part that draws the eye.
    Smart,
    #[serde(untagged)]
    Anchor(Anchor),
    /// A point that is kept as near to the middle as can be, in shares of the width and the height.
    #[serde(untagged)]
    Focus { x: f64, y: f64 },
}

impl Anchor {
    /// The anchor's place along x and y: 0, 0.5 or 1.
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

    pub(super) fn center() -> Self {
        Self::Center
    }
}

impl Gravity {
    pub const CENTER: Self = Self::Anchor(Anchor::Center);

    pub(super) fn center() -> Self {
        Self::CENTER
    }

    /// Where a part of that size begins, along x and y, in a whole of that size; `smart` stands in the middle until its
    /// pixels were looked at.
    pub(crate) fn corner(self, whole: (f64, f64), part: (f64, f64)) -> (f64, f64) {
        let room = (whole.0 - part.0, whole.1 - part.1);
        match self {
            Self::Smart => (room.0 / 2.0, room.1 / 2.0),
            Self::Anchor(anchor) => {
                let (x, y) = anchor.fractions();
                (room.0 * x, room.1 * y)
            }
            Self::Focus { x, y } => {
                let begin = |at: f64, part: f64, room: f64| (at - part / 2.0).clamp(0.0, room.max(0.0));
                (begin(x * whole.0, part.0, room.0), begin(y * whole.1, part.1, room.1))
            }
        }
    }

    pub(super) fn parse(fields: &mut Fields, name: &'static str) -> Result<Option<Self>> {
        let Some(value) = fields.take(name) else { return Ok(None) };
        let path = format!("{}.{name}", fields.path);
        match &value {
            Value::Object(_) => {
                let mut point = Fields::new(value, path)?;
                let (x, y) = (point.decimal("x", 0.0, 1.0)?, point.decimal("y", 0.0, 1.0)?);
                let (x, y) = (point.required("x", x), point.required("y", y));
                point.finish("a focal point")?;
                Ok(Some(Self::Focus { x, y }))
            }
            Value::String(_) => {
                let text = shown(&value);
                let unknown = |_| {
                    let known = format!("smart, {ANCHORS}, or a focal point such as {{\"x\": 0.3, \"y\": 0.2}}");
                    invalid(format!("{path}: {text} is unknown; known: {known}"))
                };
                serde_json::from_value(value).map(Some).map_err(unknown)
            }
            other => Err(invalid(format!(
                "{path}: {} is neither an anchor, `smart`, nor a focal point such as {{\"x\": 0.3, \"y\": 0.2}}",
                shown(other)
            ))),
        }
    }
}

/// A focal point such as `0.3,0.2`.
fn point(text: &str) -> Option<Value> {
    let (x, y) = text.split_once(',')?;
    let share = |text: &str| text.trim().parse::<f64>().ok();
    Some(json!({"x": share(x)?, "y": share(y)?}))
}
