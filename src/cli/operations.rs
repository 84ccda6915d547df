//! Operations as flags: `--resize 800x600 --watermark "© Ann"` becomes the JSON that HTTP clients send.
//!
//! That JSON goes through [`operation::parse`], so a command line is held to the same checks as a
//! request, in the same words. Flags count in the order in which they are written, which is why
//! they are declared by hand and not derived: a derived struct would forget it.

use std::collections::BTreeMap;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value, json};

use crate::config;
use crate::imaging::{Error, Format, Limits, Operation, operation};

/// What a flag does to the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Begins an entry of the flag's own name.
    Entry,
    /// The same, without a value.
    Plain,
    /// Sets a field of the last entry of one of these types before it.
    Field(&'static [&'static str]),
    /// Goes for every output that does not say otherwise.
    Save,
    /// Stands for the whole list; beside it there is no other operation.
    Whole,
}

/// What takes an amount, and has a name for it on the command line that is its own.
const AMOUNTS: [&str; 3] = ["brightness", "contrast", "saturation"];

/// Name, value's name, role, help; in the order of `--help`.
const FLAGS: [(&str, &str, Role, &str); 60] = [
    (
        "resize",
        "WxH",
        Role::Entry,
        "Resize to exactly 800x600, or to a width (800x) or a height (x600) with the aspect kept",
    ),
    ("thumbnail", "N|WxH", Role::Entry, "Shrink into a box of N×N or W×H, aspect kept, never enlarged"),
    (
        "crop",
        "WxH[+X+Y]|W:H",
        Role::Entry,
        "Cut out a size (400x300), a box (400x300+10+20), or the largest part of an aspect (16:9)",
    ),
    (
        "fit",
        "FIT",
        Role::Field(&["resize", "thumbnail"]),
        "How the --resize or --thumbnail before it meets its box: fill (--resize's default), contain, cover, \
         inside (--thumbnail's default), outside",
    ),
    (
        "gravity",
        "ANCHOR|X,Y|smart",
        Role::Field(&["resize", "thumbnail", "crop", "pad"]),
        "Which part the --resize, --thumbnail or --crop before it keeps: center (the default), top-left, top, …, \
         a focal point in shares such as 0.3,0.2, or smart: what draws the eye",
    ),
    ("filter", "FILTER", Role::Field(&["resize"]), "Of the --resize before it: nearest, bilinear, bicubic, lanczos3"),
    (
        "linear",
        "",
        Role::Field(&["resize"]),
        "Average light instead of stored values in the --resize before it: slower, fine bright detail stays bright",
    ),
    (
        "no-enlarge",
        "",
        Role::Field(&["resize"]),
        "Leave pictures that are smaller than the --resize before it as they are",
    ),
    ("rotate", "DEGREES", Role::Entry, "Turn clockwise by any angle; the canvas grows with it"),
    ("flip", "", Role::Plain, "Turn upside down, as in a lake"),
    ("flop", "", Role::Plain, "Exchange left and right, as in a mirror"),
    (
        "pad",
        "N|T,R,B,L|WxH|W:H",
        Role::Entry,
        "Widen the frame: by pixels on all sides or on each, to a size, or to an aspect",
    ),
    ("trim", "", Role::Plain, "Cut away a border of one colour"),
    (
        "round",
        "PX|SHARE%|circle",
        Role::Entry,
        "Round the corners by pixels or a share of the shorter side; circle: the circle in the middle",
    ),
    ("flatten", "", Role::Plain, "Lay what can be seen through over a --background [default: white]"),
    (
        "background",
        "COLOR",
        Role::Field(&["resize", "thumbnail", "rotate", "pad", "round", "flatten"]),
        "What shows around the picture, or through it, in the operation before it [default: transparent where there \
         is alpha, else white]",
    ),
    ("blur", "SIGMA", Role::Entry, "Blur with a Gaussian of that many pixels, 0.3 to 250"),
    ("sharpen", "SIGMA", Role::Entry, "Sharpen by an unsharp mask of that many pixels, 0.3 to 10; 1 is usual"),
    (
        "amount",
        "N",
        Role::Field(&["sharpen", "sepia"]),
        "How much the --sharpen (0 to 10) or --sepia (0 to 1) before it does [default: 1]",
    ),
    (
        "threshold",
        "0…255",
        Role::Field(&["sharpen", "trim"]),
        "Smaller differences are left alone by the --sharpen before it [default: 0], or belong to the border for the \
         --trim before it [default: 10]",
    ),
    ("brightness", "FACTOR", Role::Entry, "Multiply all values: 1 changes nothing, 0 is black"),
    ("contrast", "FACTOR", Role::Entry, "Multiply the distance from middle grey: 1 changes nothing"),
    ("saturation", "FACTOR", Role::Entry, "Multiply the strength of colours: 1 changes nothing, 0 is grey"),
    ("gamma", "GAMMA", Role::Entry, "Brighten (above 1) or darken (below 1) the middle tones"),
    ("grayscale", "", Role::Plain, "Take the colours away"),
    ("sepia", "", Role::Plain, "Brown as an old photograph"),
    ("invert", "", Role::Plain, "Make a negative"),
    ("pixelate", "PX", Role::Entry, "Coarsen into squares of that many pixels a side"),
    ("watermark", "TEXT", Role::Entry, "Write TEXT onto the picture, half transparent, bottom right"),
    ("overlay", "NAME", Role::Entry, "Lay a picture from the folder watermark.overlays onto the picture, bottom right"),
    (
        "position",
        "ANCHOR",
        Role::Field(&["watermark"]),
        "Place of the --watermark or --overlay before it: top-left, top, top-right, left, center, right, bottom-left, \
         bottom, bottom-right, or tile for all over the picture",
    ),
    (
        "size",
        "PX|%",
        Role::Field(&["watermark"]),
        "Font size of the --watermark, or width of the --overlay before it, in pixels or as a share of the picture's \
         width: 36, 5% [default: 36, or the overlay's own]",
    ),
    (
        "margin",
        "PX|%",
        Role::Field(&["watermark"]),
        "Distance of the --watermark or --overlay before it from the edges [default: 10]",
    ),
    (
        "spacing",
        "PX|%",
        Role::Field(&["watermark"]),
        "Distance between the marks of a tile [default: half of the mark's width; across its rows at most twice its height]",
    ),
    ("angle", "DEGREES", Role::Field(&["watermark"]), "Turn the --watermark or --overlay before it clockwise"),
    (
        "color",
        "COLOR",
        Role::Field(&["watermark", "trim"]),
        "Colour of the --watermark before it: #rrggbb, #rrggbbaa, or r,g,b[,a] [default: #ffffff80]; or of the border \
         that the --trim before it cuts away [default: what most corners share]",
    ),
    ("opacity", "0…1", Role::Field(&["watermark"]), "Opacity of the --watermark or --overlay before it [default: 1]"),
    (
        "font",
        "NAME",
        Role::Field(&["watermark"]),
        "Font of the --watermark before it: a family or a file in the folder watermark.fonts [default: Noto Sans]",
    ),
    ("weight", "WEIGHT", Role::Field(&["watermark"]), "Weight of the --watermark before it: regular or bold"),
    (
        "outline",
        "PX[,COLOR]",
        Role::Field(&["watermark"]),
        "Draw a line around the letters of the --watermark before it, black unless said: 2,#000000c0",
    ),
    (
        "shadow",
        "X,Y[,BLUR[,COLOR]]",
        Role::Field(&["watermark"]),
        "Draw a shadow under the --watermark before it, so many pixels to the right and below: 2,2,4,#000000a0",
    ),
    (
        "line-height",
        "EM",
        Role::Field(&["watermark"]),
        "Distance between the lines of the --watermark before it, times its size [default: the font's own]",
    ),
    (
        "align",
        "SIDE",
        Role::Field(&["watermark"]),
        "Where short lines of the --watermark before it stand: left, center, right [default: towards the edge]",
    ),
    ("max-width", "PX|%", Role::Field(&["watermark"]), "Break lines of the --watermark before it that are longer"),
    ("info", "", Role::Plain, "Make no picture but tell of it in JSON: size, EXIF, colours, BlurHash, ThumbHash, …"),
    (
        "colors",
        "N",
        Role::Field(&["info"]),
        "How many dominant colours the --info before it names, 1 to 16 [default: 5]",
    ),
    ("gps", "", Role::Field(&["info"]), "Let the --info before it tell where the picture was taken"),
    ("convert", "FORMAT", Role::Entry, "Write as jpeg, png, webp, avif, gif, tiff, bmp or qoi"),
    ("as-stored", "", Role::Save, "Do not turn pictures upright as their EXIF says"),
    (
        "format",
        "FORMAT",
        Role::Save,
        "Write every output as jpeg, png, webp, avif, gif, tiff, bmp or qoi [default: as the source]",
    ),
    (
        "quality",
        "1…100|auto",
        Role::Save,
        "Quality of JPEG, WebP (82 where unset) and AVIF (65) outputs, or the colours of PNG and GIF ones; auto: the \
         lowest that looks the same",
    ),
    ("max-bytes", "N", Role::Save, "Lower the quality until each output has at most N bytes"),
    ("lossless", "", Role::Save, "Keep every pixel in WebP outputs; below --quality 100, nearly"),
    ("progressive", "", Role::Save, "Write JPEGs that appear whole at once, and sharpen"),
    ("still", "", Role::Save, "Make pictures of an animation's first frame"),
    ("effort", "1…10", Role::Save, "From quick to small [default: 3]"),
    (
        "subsampling",
        "4:2:0",
        Role::Save,
        "Of JPEG outputs: 4:2:0, 4:2:2 or 4:4:4 [default: 4:2:0, from quality 95 4:4:4]",
    ),
    (
        "keep",
        "LIST",
        Role::Save,
        "What of the metadata stays, where the format has a place: icc, exif, copyright, or several as icc,copyright",
    ),
    (
        PRESET,
        "NAME",
        Role::Whole,
        "The operations that have this name under [presets] in the settings: in those of the server, where one does them",
    ),
    (JSON, "JSON|@FILE", Role::Whole, "The operations as JSON, as the HTTP API takes them, or @FILE to read them from"),
];

const PRESET: &str = "preset";
const JSON: &str = "operations";

/// Lists of operations by name, as they are written in the settings.
pub(crate) type Presets = BTreeMap<String, Value>;

/// The operations that a command line asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Operations {
    entries: Vec<Entry>,
    /// In place of entries.
    whole: Option<Whole>,
    /// `format` and `quality` for all.
    save: Map<String, Value>,
}

/// A flag that stands for all operations, as written.
#[derive(Debug, Clone)]
enum Whole {
    Preset(String),
    Json(String),
}

#[derive(Debug, Clone)]
struct Entry {
    /// As on the command line, for messages.
    written: String,
    fields: Map<String, Value>,
}

impl Operations {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.whole.is_none()
    }

    /// The preset that is named.
    pub(crate) fn preset(&self) -> Option<&str> {
        match &self.whole {
            Some(Whole::Preset(name)) => Some(name),
            _ => None,
        }
    }

    /// One output an entry; the default three where none is named.
    ///
    /// # Errors
    /// A sentence that names the flag, the value and the limit.
    pub(crate) fn list(&self, limits: &Limits, presets: &Presets) -> Result<Vec<Operation>, String> {
        self.written(limits, presets).map(|(_, operations)| operations)
    }

    /// The same, behind the JSON that says it to a server.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub(crate) fn written(&self, limits: &Limits, presets: &Presets) -> Result<(String, Vec<Operation>), String> {
        let mut values = if self.is_empty() { defaults() } else { self.values(limits, presets)? };
        for value in &mut values {
            self.add_save(value);
        }
        let json = Value::Array(values).to_string();
        let operations = operation::parse(&json, limits).map_err(detail)?;
        Ok((json, operations))
    }

    /// The same of a server's preset, which is for the server to check: its limits, fonts and overlays are not ours.
    ///
    /// # Errors
    /// When the server has no such preset, or one of a newer pixmill.
    pub(crate) fn of_server(&self, name: &str, presets: &Presets) -> Result<(String, Vec<Operation>), String> {
        let mut list = preset(name, presets)?.clone();
        list.as_array_mut().into_iter().flatten().for_each(|value| self.add_save(value));
        let json = list.to_string();
        let operations = serde_json::from_value(list)
            .map_err(|error| format!("--preset {name}: the server's operations are not understood: {error}"))?;
        Ok((json, operations))
    }

    /// All entries, one after the other, on one picture.
    ///
    /// `by_name` is the format that the output's name asks for; it counts where neither flag nor operation names one.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub(crate) fn chain(
        &self,
        by_name: Option<Format>,
        limits: &Limits,
        presets: &Presets,
    ) -> Result<Operation, String> {
        let mut values = self.values(limits, presets)?;
        let names_format = values.iter().any(names_format);
        let mut whole = match values.len() {
            // Without operations a picture is only written anew.
            0 => json!({"type": "convert"}),
            1 => values.remove(0),
            _ => json!({"type": "pipeline", "operations": values}),
        };
        self.add_save(&mut whole);
        if let (Some(format), false) = (by_name, names_format) {
            set(&mut whole, "format", &format.name().into());
        }
        if self.is_empty() && whole["format"].is_null() {
            return Err("nothing to do: name an operation, or a --format to convert to".into());
        }
        let parsed = operation::parse(&Value::Array(vec![whole]).to_string(), limits);
        let mut operations =
            parsed.map_err(|error| detail(error).replace("operations[0].operations[", "operations["))?;
        Ok(operations.remove(0))
    }

    /// The entries as JSON; those from flags are checked one by one, so that messages name the flag.
    fn values(&self, limits: &Limits, presets: &Presets) -> Result<Vec<Value>, String> {
        match &self.whole {
            Some(Whole::Preset(name)) => {
                return parse_json(&format!("--preset {name}"), &preset(name, presets)?.to_string(), limits);
            }
            Some(Whole::Json(written)) => return parse_json("--operations", &read_json(written)?, limits),
            None => {}
        }
        let value = |entry: &Entry| {
            let value = Value::Object(entry.fields.clone());
            match operation::parse(&json!([value]).to_string(), limits) {
                Ok(_) => Ok(value),
                Err(error) => {
                    let said = error.detail.strip_prefix("operations[0]").unwrap_or(&error.detail);
                    Err(format!("{}: {}", entry.written, said.trim_start_matches(['.', ':', ' '])))
                }
            }
        };
        self.entries.iter().map(value).collect()
    }

    fn add_save(&self, value: &mut Value) {
        for (name, given) in &self.save {
            set(value, name, given);
        }
    }

    fn from_flags(matches: &ArgMatches) -> Result<Self, String> {
        let mut operations = Self::default();
        let mut written: Vec<(usize, &str, Role, &str)> = Vec::new();
        for (name, takes, role, _) in FLAGS {
            // A flag that is not there has the index of its default.
            if matches.value_source(name) != Some(ValueSource::CommandLine) {
                continue;
            }
            let indices = matches.indices_of(name).into_iter().flatten();
            if takes.is_empty() {
                written.extend(indices.map(|index| (index, name, role, "")));
                continue;
            }
            let values = matches.get_many::<String>(name).into_iter().flatten();
            written.extend(indices.zip(values).map(|(index, value)| (index, name, role, value.as_str())));
        }
        written.sort_unstable_by_key(|(index, ..)| *index);
        for (_, name, role, value) in written {
            operations.take(name, role, value)?;
        }
        Ok(operations)
    }

    fn take(&mut self, name: &str, role: Role, value: &str) -> Result<(), String> {
        let written = if value.is_empty() { format!("--{name}") } else { format!("--{name} {value}") };
        match role {
            Role::Entry | Role::Plain => {
                self.entries.push(Entry { written, fields: entry(name, value)? });
            }
            Role::Field(kinds) => {
                let owns = |entry: &&mut Entry| kinds.iter().any(|kind| entry.fields["type"] == *kind);
                let owner = self.entries.iter_mut().rev().find(owns).ok_or_else(|| {
                    let kinds = kinds.join(" or --");
                    format!("{written}: there is no --{kinds} before it; write it after the one it belongs to")
                })?;
                owner.written = format!("{} {written}", owner.written);
                let (name, value) = field(name, value);
                owner.fields.insert(name.into(), value);
            }
            Role::Save => {
                let (name, value) = field(name, value);
                self.save.insert(name.into(), value);
            }
            Role::Whole if name == PRESET => self.whole = Some(Whole::Preset(value.into())),
            Role::Whole => self.whole = Some(Whole::Json(value.into())),
        }
        Ok(())
    }
}

impl clap::FromArgMatches for Operations {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let usage = |said| clap::Error::raw(clap::error::ErrorKind::ValueValidation, said);
        Self::from_flags(matches).map_err(usage)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for Operations {
    fn augment_args(command: Command) -> Command {
        command.args(FLAGS.into_iter().map(|(name, value, role, help)| {
            let arg = Arg::new(name).long(name).value_name(value).help(help);
            let arg = arg.help_heading("Operations (applied in the order in which they are written)");
            match role {
                Role::Whole => {
                    let others = FLAGS.iter().filter(|flag| flag.2 != Role::Save && flag.0 != name);
                    arg.conflicts_with_all(others.map(|flag| flag.0))
                }
                _ if value.is_empty() => arg.action(ArgAction::SetTrue),
                Role::Save => arg,
                _ => arg
                    .action(ArgAction::Append)
                    .allow_hyphen_values(matches!(name, "watermark" | "rotate" | "angle" | "shadow")),
            }
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The fields that an entry begins with.
fn entry(name: &str, value: &str) -> Result<Map<String, Value>, String> {
    let mut fields = Map::new();
    fields.insert("type".into(), name.into());
    match name {
        "resize" => {
            let wrong = || format!("--resize {value}: write 800x600, 800x (a width) or x600 (a height)");
            let (width, height) = value.split_once(['x', 'X', '×']).ok_or_else(wrong)?;
            for (side, text) in [("width", width), ("height", height)] {
                if !text.is_empty() {
                    fields.insert(side.into(), text.parse::<u64>().map_err(|_| wrong())?.into());
                }
            }
        }
        "thumbnail" => {
            let wrong = |_| format!("--thumbnail {value}: write 150 or 200x150");
            let (width, height) = value.split_once(['x', 'X', '×']).unwrap_or((value, value));
            let sides = [width.parse::<u64>().map_err(wrong)?, height.parse::<u64>().map_err(wrong)?];
            fields.insert("size".into(), json!(sides));
        }
        "crop" => crop(&mut fields, value)?,
        "pad" => pad(&mut fields, value)?,
        "rotate" => drop(fields.insert("angle".into(), number(value))),
        "round" => drop(fields.insert("radius".into(), number(value))),
        "blur" | "sharpen" => drop(fields.insert("sigma".into(), number(value))),
        "gamma" => drop(fields.insert("gamma".into(), number(value))),
        "pixelate" => drop(fields.insert("size".into(), number(value))),
        amount if AMOUNTS.contains(&amount) => drop(fields.insert("amount".into(), number(value))),
        "watermark" => drop(fields.insert("text".into(), value.into())),
        "overlay" => {
            fields.insert("type".into(), "watermark".into());
            fields.insert("image".into(), value.into());
        }
        "convert" => drop(fields.insert("format".into(), value.into())),
        _ => {}
    }
    Ok(fields)
}

fn crop(fields: &mut Map<String, Value>, value: &str) -> Result<(), String> {
    let wrong = || format!("--crop {value}: write 400x300, 400x300+10+20 (from the left and the top) or 16:9");
    if value.contains(':') {
        fields.insert("aspect".into(), value.into());
        return Ok(());
    }
    let mut parts = value.split('+');
    let (width, height) = parts.next().and_then(|size| size.split_once(['x', 'X', '×'])).ok_or_else(wrong)?;
    let mut named = vec![("width", width), ("height", height)];
    match (parts.next(), parts.next(), parts.next()) {
        (None, ..) => {}
        (Some(left), Some(top), None) => named.extend([("left", left), ("top", top)]),
        _ => return Err(wrong()),
    }
    for (name, text) in named {
        fields.insert(name.into(), text.parse::<u64>().map_err(|_| wrong())?.into());
    }
    Ok(())
}

fn pad(fields: &mut Map<String, Value>, value: &str) -> Result<(), String> {
    let wrong = || format!("--pad {value}: write 20, 10,20,10,20 (top, right, bottom, left), 800x600 or 16:9");
    if value.contains(':') {
        fields.insert("aspect".into(), value.into());
        return Ok(());
    }
    let named: Vec<(&str, &str)> = if let Some((width, height)) = value.split_once(['x', 'X', '×']) {
        vec![("width", width), ("height", height)]
    } else {
        let parts: Vec<&str> = value.split(',').map(str::trim).collect();
        let parts = match parts[..] {
            [all] => [all; 4],
            [top, right, bottom, left] => [top, right, bottom, left],
            _ => return Err(wrong()),
        };
        ["top", "right", "bottom", "left"].into_iter().zip(parts).collect()
    };
    for (name, text) in named {
        fields.insert(name.into(), text.parse::<u64>().map_err(|_| wrong())?.into());
    }
    Ok(())
}

/// A field's name and value. What is not understood stays text, for `parse` to refuse in its own words.
fn field<'n>(name: &'n str, value: &str) -> (&'n str, Value) {
    match name {
        "no-enlarge" => ("enlarge", false.into()),
        "as-stored" => ("auto_orient", false.into()),
        "max-bytes" => ("max_bytes", number(value)),
        "keep" => (name, value.split(',').map(str::trim).collect()),
        "color" | "background" => (name, color(value).unwrap_or_else(|| value.into())),
        "gravity" => (name, point(value).unwrap_or_else(|| value.into())),
        _ if value.is_empty() => (name, true.into()),
        "line-height" => ("line_height", number(value)),
        "max-width" => ("max_width", number(value)),
        "outline" => (name, parts(value, &["width", "color"])),
        "shadow" => (name, parts(value, &["x", "y", "blur", "color"])),
        "spacing" | "angle" | "width" | "x" | "y" | "blur" | "size" | "margin" | "opacity" | "quality" | "effort"
        | "amount" | "threshold" | "colors" => (name, number(value)),
        _ => (name, value.into()),
    }
}

/// The values between commas under these names, in their order; the last may be a colour with commas of its own.
fn parts(value: &str, names: &[&str]) -> Value {
    let pairs = names.iter().zip(value.splitn(names.len(), ','));
    pairs.map(|(&name, part)| (name.to_owned(), field(name, part.trim()).1)).collect::<Map<_, _>>().into()
}

/// A number, or the text that is none.
fn number(value: &str) -> Value {
    let json = serde_json::from_str(value).ok().filter(Value::is_number);
    // As people write them, `.5` or `+2`; no number of JSON is infinite.
    let number = || value.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from);
    json.or_else(number).unwrap_or_else(|| value.into())
}

/// A focal point.
fn point(value: &str) -> Option<Value> {
    let (x, y) = value.split_once(',')?;
    let share = |text: &str| text.trim().parse::<f64>().ok();
    Some(json!({"x": share(x)?, "y": share(y)?}))
}

fn color(value: &str) -> Option<Value> {
    let parts: Option<Vec<u64>> = match value.strip_prefix('#') {
        Some(digits) if digits.is_ascii() && matches!(digits.len(), 6 | 8) => {
            (0..digits.len()).step_by(2).map(|at| u64::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
        }
        Some(_) => None,
        None => value.split(',').map(|part| part.trim().parse().ok()).collect(),
    };
    parts.map(|parts| json!(parts))
}

fn read_json(written: &str) -> Result<String, String> {
    let Some(file) = written.strip_prefix('@') else { return Ok(written.to_owned()) };
    std::fs::read_to_string(file).map_err(|error| format!("--operations @{file}: cannot be read: {error}"))
}

fn parse_json(flag: &str, text: &str, limits: &Limits) -> Result<Vec<Value>, String> {
    operation::parse(text, limits).map_err(|error| format!("{flag}: {}", detail(error)))?;
    serde_json::from_str(text).map_err(|error| format!("{flag}: {error}"))
}

fn preset<'p>(name: &str, presets: &'p Presets) -> Result<&'p Value, String> {
    config::preset(presets, name).map_err(|said| format!("--preset: {said}"))
}

fn defaults() -> Vec<Value> {
    let known = "the default operations are plain data";
    operation::defaults().iter().map(|operation| serde_json::to_value(operation).expect(known)).collect()
}

/// Whether an operation, or one inside it, says how it is written.
fn names_format(value: &Value) -> bool {
    let inner = value["operations"].as_array();
    !value["format"].is_null() || inner.is_some_and(|inner| inner.iter().any(names_format))
}

/// Sets a field of how an output is written, where it is not there yet.
fn set(value: &mut Value, name: &str, given: &Value) {
    // An answer has no file.
    if let Some(fields) = value.as_object_mut().filter(|fields| fields["type"] != "info") {
        fields.entry(name).or_insert_with(|| given.clone());
    }
}

fn detail(error: Error) -> String {
    error.detail
}

#[cfg(test)]
mod tests {
    use clap::{Args, FromArgMatches};

    use super::*;
    use crate::imaging::operation::{Action, Anchor, Fit, Position, Quality};

    fn flags(line: &[&str]) -> Result<Operations, String> {
        let matches = Operations::augment_args(Command::new("pixmill").no_binary_name(true)).get_matches_from(line);
        Operations::from_arg_matches(&matches).map_err(|error| error.to_string())
    }

    fn list(line: &[&str]) -> Result<Vec<Operation>, String> {
        flags(line)?.list(&Limits::default(), &presets())
    }

    fn presets() -> Presets {
        let card = json!([{"type": "resize", "width": 80, "format": "png"}, {"type": "flip"}]);
        Presets::from([("card".to_owned(), card), ("wide".to_owned(), json!([{"type": "resize", "width": 99999}]))])
    }

    fn kinds(operations: &[Operation]) -> Vec<&str> {
        operations.iter().map(Operation::kind).collect()
    }

    #[test]
    fn flags_apply_in_the_order_written() {
        let operations =
            list(&["--watermark", "a", "--thumbnail", "9", "--resize", "8x6", "--watermark", "b"]).unwrap();
        assert_eq!(kinds(&operations), ["watermark", "thumbnail", "resize", "watermark"]);
    }

    #[test]
    fn field_goes_to_the_entry_before_it() {
        let line = ["--resize", "8x6", "--resize", "80x60", "--fit", "cover", "--watermark", "a", "--position", "top"];
        let operations = list(&line).unwrap();
        let fits: Vec<Option<Fit>> = operations
            .iter()
            .map(|operation| if let Action::Resize(resize) = &operation.action { Some(resize.fit) } else { None })
            .collect();
        assert_eq!(fits, [Some(Fit::Fill), Some(Fit::Cover), None]);
        let Action::Watermark(mark) = &operations[2].action else { panic!("{operations:?}") };
        assert_eq!(mark.position, Position::At(Anchor::Top));
    }

    #[test]
    fn nothing_named_means_the_default_three() {
        assert_eq!(list(&[]).unwrap(), operation::defaults());
        let webp = list(&["--format", "webp", "--quality", "50"]).unwrap();
        assert!(
            webp.iter().all(|one| one.save.format == Some(Format::WebP) && one.save.quality == Some(Quality::Of(50)))
        );
    }

    #[test]
    fn json_is_what_http_clients_send() {
        let json = r#"[{"type":"thumbnail","size":[64,64],"format":"png"},{"type":"resize","width":80}]"#;
        let operations = list(&["--operations", json, "--format", "webp"]).unwrap();
        assert_eq!(kinds(&operations), ["thumbnail", "resize"]);
        assert_eq!(operations[0].save.format, Some(Format::Png));
        assert_eq!(operations[1].save.format, Some(Format::WebP));
    }

    #[test]
    fn preset_stands_for_its_operations_and_takes_none_beside_it() {
        let operations = list(&["--preset", "card", "--format", "webp"]).unwrap();
        assert_eq!(kinds(&operations), ["resize", "flip"]);
        let formats: Vec<_> = operations.iter().map(|one| one.save.format).collect();
        assert_eq!(formats, [Some(Format::Png), Some(Format::WebP)]);
        for beside in [&["--flop"][..], &["--fit", "cover"], &["--operations", "[]"]] {
            let line = [&["--preset", "card"], beside].concat();
            let refused = Operations::augment_args(Command::new("pixmill").no_binary_name(true))
                .try_get_matches_from(line)
                .unwrap_err();
            assert_eq!(refused.kind(), clap::error::ErrorKind::ArgumentConflict, "{beside:?}");
        }
    }

    #[test]
    fn preset_of_a_server_is_not_held_against_limits_here() {
        let presets = Presets::from([("mark".to_owned(), json!([{"type": "watermark", "image": "not-here"}]))]);
        let named = flags(&["--preset", "mark", "--quality", "70"]).unwrap();
        assert!(named.list(&Limits::default(), &presets).is_err());
        let (json, operations) = named.of_server("mark", &presets).unwrap();
        assert_eq!(json, r#"[{"type":"watermark","image":"not-here","quality":70}]"#);
        assert_eq!(operations[0].save.quality, Some(Quality::Of(70)));
    }

    #[test]
    fn chain_is_one_output_in_the_format_of_its_name() {
        let chained = flags(&["--resize", "80x", "--watermark", "a"]).unwrap();
        let operation = chained.chain(Some(Format::Png), &Limits::default(), &presets()).unwrap();
        assert_eq!((operation.kind(), operation.save.format), ("pipeline", Some(Format::Png)));
        let converted = flags(&["--resize", "80x", "--convert", "webp"]).unwrap();
        let operation = converted.chain(Some(Format::Png), &Limits::default(), &presets()).unwrap();
        assert_eq!(operation.save.format, Some(Format::WebP));
        let json = r#"[{"type":"pipeline","operations":[{"type":"flip"},{"type":"convert","format":"webp"}]}]"#;
        let pipeline = flags(&["--operations", json]).unwrap();
        let operation = pipeline.chain(Some(Format::Png), &Limits::default(), &presets()).unwrap();
        assert_eq!(operation.save.format, Some(Format::WebP));
        let info = flags(&["--info", "--format", "png"]).unwrap();
        assert_eq!(info.chain(Some(Format::Jpeg), &Limits::default(), &presets()).unwrap().kind(), "info");
    }

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for (written, number) in [(".5", json!(0.5)), ("5.", json!(5.0)), ("12", json!(12)), ("-1e1", json!(-10.0))] {
            assert_eq!(super::number(written), number);
        }
        for text in ["", "nan", "inf", "5%", "1,5"] {
            assert_eq!(super::number(text), text);
        }
    }

    #[test]
    fn refusals_name_the_flag() {
        for (line, said) in [
            (&["--resize", "800"][..], "--resize 800: write 800x600"),
            (&["--resize", "99999x"], "--resize 99999x: width: 99999 exceeds limits.max_output_side (16384)"),
            (&["--resize", "8x6", "--fit", "crop"], "--resize 8x6 --fit crop: fit: \"crop\" is unknown; known: fill"),
            (&["--watermark", "a", "--color", "red"], "color: \"red\" is not [r, g, b]"),
            (&["--fit", "cover"], "--fit cover: there is no --resize or --thumbnail before it"),
            (&["--crop", "40"], "--crop 40: write 400x300, 400x300+10+20"),
            (&["--pad", "1,2"], "--pad 1,2: write 20, 10,20,10,20"),
            (&["--blur", "soft"], "--blur soft: sigma: \"soft\" is not a number"),
            (&["--flip", "--threshold", "3"], "--threshold 3: there is no --sharpen or --trim before it"),
            (&["--convert", "jxl"], "--convert jxl: format: `jxl` cannot be written; known: jpeg, png, webp"),
            (&["--format", "bmp", "--quality", "9"], "quality: is not for bmp, only for jpeg, png, webp, avif, gif"),
            (&["--operations", "[{}]"], "--operations: operations[0].type: is missing"),
            (&["--preset", "cart"], "--preset: unknown preset `cart`; known: card, wide"),
            (&["--preset", "wide"], "--preset wide: operations[0].width: 99999 exceeds limits.max_output_side (16384)"),
        ] {
            let fault = list(line).unwrap_err();
            assert!(fault.contains(said), "{line:?}: {fault}");
        }
    }

    #[test]
    fn every_type_has_a_flag() {
        for (line, json) in [
            (&["--crop", "40x30+1+2"][..], json!({"type": "crop", "left": 1, "top": 2, "width": 40, "height": 30})),
            (
                &["--crop", "40x30", "--gravity", "smart"],
                json!({"type": "crop", "width": 40, "height": 30, "gravity": "smart"}),
            ),
            (
                &["--crop", "16:9", "--gravity", "0.3,0.2"],
                json!({"type": "crop", "aspect": "16:9", "gravity": {"x": 0.3, "y": 0.2}}),
            ),
            (
                &["--rotate", "-12.5", "--background", "#102030"],
                json!({"type": "rotate", "angle": -12.5, "background": [16, 32, 48]}),
            ),
            (&["--flip"], json!({"type": "flip"})),
            (&["--flop"], json!({"type": "flop"})),
            (&["--pad", "5"], json!({"type": "pad", "top": 5, "right": 5, "bottom": 5, "left": 5})),
            (&["--pad", "1,2,3,4"], json!({"type": "pad", "top": 1, "right": 2, "bottom": 3, "left": 4})),
            (&["--pad", "1:1"], json!({"type": "pad", "aspect": "1:1"})),
            (&["--trim", "--threshold", "30"], json!({"type": "trim", "threshold": 30})),
            (&["--round", "circle"], json!({"type": "round", "radius": "circle"})),
            (&["--flatten", "--background", "#102030"], json!({"type": "flatten", "background": [16, 32, 48]})),
            (&["--round", "12%"], json!({"type": "round", "radius": "12%"})),
            (&["--round", "12"], json!({"type": "round", "radius": 12})),
            (&["--blur", "2.5"], json!({"type": "blur", "sigma": 2.5})),
            (&["--sharpen", "1", "--amount", "0.5"], json!({"type": "sharpen", "sigma": 1, "amount": 0.5})),
            (&["--brightness", "1.1"], json!({"type": "brightness", "amount": 1.1})),
            (&["--contrast", "1.1"], json!({"type": "contrast", "amount": 1.1})),
            (&["--saturation", "0"], json!({"type": "saturation", "amount": 0})),
            (&["--gamma", "2.2"], json!({"type": "gamma", "gamma": 2.2})),
            (&["--grayscale"], json!({"type": "grayscale"})),
            (&["--sepia", "--amount", "0.5"], json!({"type": "sepia", "amount": 0.5})),
            (&["--invert"], json!({"type": "invert"})),
            (&["--pixelate", "8"], json!({"type": "pixelate", "size": 8})),
            (&["--info", "--colors", "3", "--gps"], json!({"type": "info", "colors": 3, "gps": true})),
            (
                &["--resize", "80x", "--linear", "--no-enlarge", "--as-stored"],
                json!({"type": "resize", "width": 80, "linear": true, "enlarge": false, "auto_orient": false}),
            ),
        ] {
            let expected = operation::parse(&json!([json]).to_string(), &Limits::default()).unwrap();
            assert_eq!(list(line).unwrap(), expected, "{line:?}");
        }
        let flags: Vec<&str> = FLAGS.iter().map(|flag| flag.0).collect();
        let lacks = operation::KNOWN.split(", ").find(|kind| !flags.contains(kind) && *kind != "pipeline");
        assert_eq!(lacks, None);
    }

    #[test]
    fn outline_and_shadow_are_parts_between_commas() {
        let line = ["--watermark", "a", "--outline", "1.5,#102030", "--shadow", "-2,3,4,1,2,3", "--max-width", "50%"];
        let operations = list(&line).unwrap();
        let json = r#"[{"type": "watermark", "text": "a", "outline": {"width": 1.5, "color": [16, 32, 48]},
            "shadow": {"x": -2, "y": 3, "blur": 4, "color": [1, 2, 3]}, "max_width": "50%"}]"#;
        assert_eq!(operations, operation::parse(json, &Limits::default()).unwrap());
        let fault = list(&["--overlay", "../x"]).unwrap_err();
        assert!(fault.contains("--overlay ../x: image: "), "{fault}");
    }

    #[test]
    fn colors_are_read_in_both_notations() {
        assert_eq!(color("#ff000080"), Some(json!([255, 0, 0, 128])));
        assert_eq!(color("1, 2,3"), Some(json!([1, 2, 3])));
        assert_eq!(color("#fffé"), None);
    }
}
