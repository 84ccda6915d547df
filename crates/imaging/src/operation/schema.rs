//! The JSON Schema (2020-12) of a submission's `operations`.
//!
//! Held against [`parse`](super::parse()) by a test: each type has exactly the fields that its parser asks for.

use serde_json::{Map, Value, json};

use super::parse::KNOWN;
use super::place::ANCHORS;
use crate::Limits;

/// The schema of the whole list.
pub fn schema(limits: &Limits) -> Value {
    let kinds = KNOWN.split(", ").map(|kind| entry(kind, limits)).collect::<Vec<_>>();
    json!({
        "type": "array",
        "description": "Each entry is applied to a copy of the original and yields one output.",
        "minItems": 1,
        "maxItems": limits.max_operations,
        "items": {"oneOf": kinds},
    })
}

/// The schema of an entry of one type.
pub(super) fn entry(kind: &str, limits: &Limits) -> Value {
    let Shape { about, mut fields, mut required } = shape(kind, limits);
    if kind != "info" {
        fields.insert("auto_orient".into(), flag(true, "Turn the picture upright first, as its EXIF says"));
        fields.extend(save());
    }
    let mut properties = Map::from_iter([("type".to_owned(), json!({"const": kind}))]);
    properties.extend(fields);
    required.insert(0, "type");
    json!({
        "title": kind,
        "description": about,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

struct Shape {
    about: &'static str,
    fields: Map<String, Value>,
    required: Vec<&'static str>,
}

fn shape(kind: &str, limits: &Limits) -> Shape {
    let side = |about| whole(1, limits.max_output_side.into(), about);
    let from_edge = |about| whole(0, limits.max_output_side.into(), about);
    let at = |about| whole(0, limits.max_side.into(), about);
    let box_fields = || {
        [
            ("fit", choice("fill, contain, cover, inside, outside", "How the picture meets the box")),
            ("gravity", gravity()),
            (
                "background",
                color("Around the picture in `contain`; unset: transparent where there is alpha, else white"),
            ),
        ]
    };
    let amount = |least, most, default: Option<f64>, about| {
        let mut schema = decimal(least, most, about);
        if let Some(default) = default {
            schema["default"] = default.into();
        }
        ("amount", schema)
    };
    let (about, fields, required): (_, Vec<(&str, Value)>, Vec<&'static str>) = match kind {
        "resize" => {
            let mut fields =
                vec![("width", side("Pixels")), ("height", side("Pixels; one of the two may be left out"))];
            fields.extend(box_fields());
            fields.extend([
                ("enlarge", flag(true, "Whether a picture may become larger than its source")),
                ("filter", choice("nearest, bilinear, bicubic, lanczos3", "How pixels are averaged")),
                ("linear", flag(false, "Average light instead of the curved values that are stored")),
            ]);
            ("Another size.", fields, vec![])
        }
        "thumbnail" => {
            let item = side("Pixels");
            let mut fields = vec![("size", json!({"type": "array", "items": item, "minItems": 2, "maxItems": 2}))];
            fields.extend(box_fields());
            ("Inside a box, never enlarged.", fields, vec!["size"])
        }
        "crop" => (
            "A part: a box, a size, or the largest part of an aspect.",
            vec![
                ("left", at("Pixels from the left")),
                ("top", at("Pixels from the top")),
                ("width", side("Pixels")),
                ("height", side("Pixels")),
                ("aspect", aspect()),
                ("gravity", gravity()),
            ],
            vec![],
        ),
        "rotate" => (
            "Turned clockwise; the canvas holds all of the picture.",
            vec![
                ("angle", decimal(-360.0, 360.0, "Degrees; exact in quarter turns")),
                ("background", color("In the corners; unset: transparent where there is alpha, else white")),
            ],
            vec!["angle"],
        ),
        "flip" => ("Upside down.", vec![], vec![]),
        "flop" => ("Left and right exchanged.", vec![], vec![]),
        "pad" => (
            "A wider frame: by sides, to a size, or to an aspect.",
            vec![
                ("top", from_edge("Pixels")),
                ("right", from_edge("Pixels")),
                ("bottom", from_edge("Pixels")),
                ("left", from_edge("Pixels")),
                ("width", side("At least so many pixels")),
                ("height", side("At least so many pixels")),
                ("aspect", aspect()),
                ("gravity", choice(ANCHORS, "Where the picture stands")),
                ("background", color("Unset: transparent where there is alpha, else white")),
            ],
            vec![],
        ),
        "trim" => (
            "Without its border of one colour.",
            vec![
                ("threshold", whole(0, 255, "How far from the border's colour is still border")),
                ("color", color("The border's colour; unset: what most corners share")),
            ],
            vec![],
        ),
        "round" => (
            "Round corners.",
            vec![
                (
                    "radius",
                    json!({"oneOf": [side("Pixels"), {"type": "string", "pattern": "^[0-9.]+%$",
                        "description": "A share of the shorter side, up to 50%"}, {"const": "circle"}]}),
                ),
                ("background", color("Outside of the corners; unset: transparent")),
            ],
            vec!["radius"],
        ),
        "flatten" => (
            "Over a background, where it can be seen through.",
            vec![("background", color("Opaque; white unless said"))],
            vec![],
        ),
        "blur" => ("A Gaussian blur.", vec![("sigma", decimal(0.3, 250.0, "Pixels; 2 unless said"))], vec![]),
        "sharpen" => (
            "An unsharp mask.",
            vec![
                ("sigma", decimal(0.3, 10.0, "Pixels; 1 unless said")),
                amount(0.0, 10.0, Some(1.0), "How much of the difference is added"),
                ("threshold", whole(0, 255, "Smaller differences stay as they are")),
            ],
            vec![],
        ),
        "brightness" => ("All values times `amount`.", vec![amount(0.0, 10.0, None, "1: as it is")], vec!["amount"]),
        "contrast" => (
            "The distance from middle grey times `amount`.",
            vec![amount(0.0, 10.0, None, "1: as it is")],
            vec!["amount"],
        ),
        "saturation" => {
            ("The strength of colours times `amount`.", vec![amount(0.0, 10.0, None, "1: as it is")], vec!["amount"])
        }
        "gamma" => (
            "Values to the power of 1/`gamma`.",
            vec![("gamma", decimal(0.1, 10.0, "Above 1 brightens the middle tones"))],
            vec!["gamma"],
        ),
        "grayscale" => ("Without colours.", vec![], vec![]),
        "sepia" => ("Brown as an old photograph.", vec![amount(0.0, 1.0, Some(1.0), "A share of it")], vec![]),
        "invert" => ("A negative.", vec![], vec![]),
        "pixelate" => ("In squares of one colour.", vec![("size", side("Pixels a side"))], vec!["size"]),
        "watermark" => ("Marked with a text or a picture; one of the two is required.", watermark(limits), vec![]),
        "convert" => ("Only written anew.", vec![], vec!["format"]),
        "info" => (
            "No picture but an answer: dimensions, format, EXIF, colours, BlurHash, ThumbHash, a perceptual hash.",
            vec![
                ("colors", whole(1, 16, "Dominant colours at the most; 5 unless said")),
                ("gps", flag(false, "Whether the place where it was taken is told")),
            ],
            vec![],
        ),
        _ => (
            "Several operations on one picture, with one output; not info, and no pipeline.",
            vec![("operations", json!({"type": "array", "items": {"type": "object"}, "minItems": 1}))],
            vec!["operations"],
        ),
    };
    Shape { about, fields: fields.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect(), required }
}

/// What every output has.
fn save() -> Vec<(String, Value)> {
    vec![
        (
            "format".into(),
            choice(
                "jpeg, jpg, png, webp, gif, bmp, tiff, tif, avif, qoi",
                "Unset: the source's own where it is written",
            ),
        ),
        (
            "quality".into(),
            json!({"oneOf": [{"type": "integer", "minimum": 1, "maximum": 100}, {"const": "auto"}],
                "description": "Unset: the format's usual, or the source's own where a JPEG keeps its size. `auto`: the \
                    lowest that looks the same"}),
        ),
        ("max_bytes".into(), whole(1, u32::MAX.into(), "The most bytes; quality gives way to it")),
        ("lossless".into(), flag(false, "Of WebP; PNG, TIFF, BMP and QOI are")),
        ("progressive".into(), flag(false, "A JPEG that appears whole at once, and sharpens")),
        ("effort".into(), whole(1, 10, "From quick to small; unset: 3")),
        (
            "subsampling".into(),
            choice("4:4:4, 4:2:2, 4:2:0", "A JPEG's chroma; unset: 4:2:0, from quality 95 on 4:4:4"),
        ),
        (
            "keep".into(),
            json!({"type": "array", "items": {"enum": ["icc", "exif", "copyright"]},
                "description": "What of the source's metadata stays where the format has a place for it"}),
        ),
        ("still".into(), flag(false, "Only the first frame of an animation")),
        (
            "name".into(),
            json!({"type": "string", "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$",
                "description": "The output's file stem"}),
        ),
    ]
}

fn watermark(limits: &Limits) -> Vec<(&'static str, Value)> {
    let edge = u64::from(limits.max_output_side);
    let effect = |about, fields: [(&str, Value); 2], more: Vec<(&str, Value)>| {
        let properties: Map<String, Value> =
            fields.into_iter().chain(more).map(|(name, schema)| (name.to_owned(), schema)).collect();
        json!({"type": "object", "description": about, "properties": properties, "additionalProperties": false})
    };
    vec![
        ("text", json!({"type": "string", "minLength": 1, "maxLength": 500, "description": "Lines apart by \\n"})),
        (
            "image",
            json!({"type": "string", "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$",
                "description": "Instead of a text: a file in the service's folder of overlays"}),
        ),
        ("position", choice(&format!("{ANCHORS}, tile"), "Where it stands; tile: all over the picture")),
        ("margin", length(0, edge, "From the edges; not of a tile")),
        (
            "spacing",
            length(
                0,
                edge,
                "Between the marks of a tile; unset: half of the mark's width, across its rows at most twice its height",
            ),
        ),
        ("size", length(1, edge, "The font's size, up to 4096 pixels, or the overlay's width")),
        ("angle", decimal(-360.0, 360.0, "Degrees, clockwise")),
        ("opacity", decimal(0.0, 1.0, "Multiplied with the alpha of the colours")),
        ("font", json!({"type": "string", "maxLength": 100, "description": "A font's family or file name"})),
        ("weight", choice("regular, bold", "Of the text")),
        ("color", color("Of the text")),
        (
            "outline",
            effect(
                "A line around the letters",
                [("color", color("Black unless said")), ("width", decimal(0.1, 200.0, "Pixels; 2 unless said"))],
                vec![],
            ),
        ),
        (
            "shadow",
            effect(
                "Under the letters",
                [
                    ("color", color("[0, 0, 0, 160] unless said")),
                    ("x", decimal(-200.0, 200.0, "Pixels to the right; 2 unless said")),
                ],
                vec![
                    ("y", decimal(-200.0, 200.0, "Pixels downwards; 2 unless said")),
                    ("blur", decimal(0.0, 200.0, "Pixels of soft edge; 4 unless said")),
                ],
            ),
        ),
        ("line_height", decimal(0.5, 5.0, "Between baselines, times the font's size; unset: the font's own")),
        ("align", choice("left, center, right", "Of several lines; unset: towards the edge")),
        ("max_width", length(1, edge, "Longer lines are broken")),
    ]
}

/// Pixels, or a share of the picture's width.
fn length(least: u64, most: u64, about: &str) -> Value {
    json!({"description": about, "oneOf": [whole(least, most, "Pixels"),
        {"type": "string", "pattern": "^[0-9.]+%$", "description": "A share of the picture's width"}]})
}

fn whole(least: u64, most: u64, about: &str) -> Value {
    json!({"type": "integer", "minimum": least, "maximum": most, "description": about})
}

fn decimal(least: f64, most: f64, about: &str) -> Value {
    json!({"type": "number", "minimum": least, "maximum": most, "description": about})
}

fn flag(default: bool, about: &str) -> Value {
    json!({"type": "boolean", "default": default, "description": about})
}

fn choice(known: &str, about: &str) -> Value {
    json!({"enum": known.split(", ").collect::<Vec<_>>(), "description": about})
}

fn color(about: &str) -> Value {
    let channel = json!({"type": "integer", "minimum": 0, "maximum": 255});
    json!({"description": about, "oneOf": [
        {"type": "array", "items": channel, "minItems": 3, "maxItems": 4},
        {"type": "string", "description": "As CSS writes it, or `r,g,b[,a]`",
            "examples": ["#ff8800", "#ff880080", "orange", "rgb(255 136 0 / 50%)", "hsl(32 100% 50%)", "transparent"]},
    ]})
}

fn gravity() -> Value {
    let share = json!({"type": "number", "minimum": 0, "maximum": 1});
    json!({"description": "Which part stays", "oneOf": [
        {"enum": ANCHORS.split(", ").chain(["smart"]).collect::<Vec<_>>()},
        {"type": "object", "properties": {"x": share.clone(), "y": share}, "required": ["x", "y"],
            "additionalProperties": false},
    ]})
}

fn aspect() -> Value {
    json!({"type": "string", "pattern": "^[0-9]{1,4}:[0-9]{1,4}$", "description": "Width and height, such as 16:9"})
}
