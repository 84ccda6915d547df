//! Operations as flags: `--resize 800x600 --watermark "© Ann"` becomes the JSON that HTTP clients send.
//!
//! That JSON goes through [`operation::parse`], so a command line is held to the same checks as a
//! request, in the same words. Flags count in the order in which they are written, which is why
//! they are declared by hand and not derived: a derived struct would forget it.

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value, json};

use crate::imaging::{Error, Format, Limits, Operation, operation};

/// What a flag does to the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Begins an entry of the flag's own name.
    Entry,
    /// Sets a field of the last entry of that type before it.
    Field(&'static str),
    /// Goes for every output that does not say otherwise.
    Save,
}

/// Name, value's name, role, help; in the order of `--help`.
const FLAGS: [(&str, &str, Role, &str); 14] = [
    (
        "resize",
        "WxH",
        Role::Entry,
        "Resize to exactly 800x600, or to a width (800x) or a height (x600) with the aspect kept",
    ),
    (
        "fit",
        "FIT",
        Role::Field("resize"),
        "How the --resize before it meets its box: fill (the default), contain, cover, inside, outside",
    ),
    (
        "gravity",
        "ANCHOR",
        Role::Field("resize"),
        "Which part the --resize before it keeps when it covers: center (the default), top-left, top, top-right, …",
    ),
    ("thumbnail", "N|WxH", Role::Entry, "Shrink into a box of N×N or W×H, aspect kept, never enlarged"),
    ("watermark", "TEXT", Role::Entry, "Write TEXT onto the picture, half transparent, bottom right"),
    (
        "position",
        "ANCHOR",
        Role::Field("watermark"),
        "Place of the --watermark before it: top-left, top, top-right, left, center, right, bottom-left, bottom, \
         bottom-right",
    ),
    ("size", "PX", Role::Field("watermark"), "Font size of the --watermark before it [default: 36]"),
    ("margin", "PX", Role::Field("watermark"), "Distance of the --watermark before it from the edges [default: 10]"),
    (
        "color",
        "COLOR",
        Role::Field("watermark"),
        "Colour of the --watermark before it: #rrggbb, #rrggbbaa, or r,g,b[,a] [default: #ffffff80]",
    ),
    ("opacity", "0…1", Role::Field("watermark"), "Opacity of the --watermark before it [default: 1]"),
    ("convert", "FORMAT", Role::Entry, "Write as jpeg, png or webp"),
    ("format", "FORMAT", Role::Save, "Write every output as jpeg, png or webp [default: as the source]"),
    ("quality", "1…100", Role::Save, "Quality of JPEG and WebP outputs [default: 82]"),
    (JSON, "JSON|@FILE", Role::Save, "The operations as JSON, as the HTTP API takes them, or @FILE to read them from"),
];

const JSON: &str = "operations";

/// The operations that a command line asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Operations {
    entries: Vec<Entry>,
    /// `--operations`, as written.
    json: Option<String>,
    /// `format` and `quality` for all.
    save: Map<String, Value>,
}

#[derive(Debug, Clone)]
struct Entry {
    /// As on the command line, for messages.
    written: String,
    fields: Map<String, Value>,
}

impl Operations {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.json.is_none()
    }

    /// One output an entry; the default three where none is named.
    ///
    /// # Errors
    /// A sentence that names the flag, the value and the limit.
    pub(crate) fn list(&self, limits: &Limits) -> Result<Vec<Operation>, String> {
        let mut values = if self.is_empty() { defaults() } else { self.values(limits)? };
        for value in &mut values {
            self.add_save(value);
        }
        operation::parse(&Value::Array(values).to_string(), limits).map_err(detail)
    }

    /// All entries, one after the other, on one picture.
    ///
    /// `by_name` is the format that the output's name asks for; what is written out goes first.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub(crate) fn chain(&self, by_name: Option<Format>, limits: &Limits) -> Result<Operation, String> {
        let mut values = self.values(limits)?;
        let converts = values.iter().any(|value| value["type"] == "convert");
        let mut whole = match values.len() {
            // Without operations a picture is only written anew.
            0 => json!({"type": "convert"}),
            1 => values.remove(0),
            _ => json!({"type": "pipeline", "operations": values}),
        };
        self.add_save(&mut whole);
        if let (Some(format), false) = (by_name, converts) {
            add(&mut whole, "format", &format.name().into());
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
    fn values(&self, limits: &Limits) -> Result<Vec<Value>, String> {
        if let Some(written) = &self.json {
            return parse_json(&read_json(written)?, limits);
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
            add(value, name, given);
        }
    }

    fn from_flags(matches: &ArgMatches) -> Result<Self, String> {
        let mut operations = Self { json: matches.get_one::<String>(JSON).cloned(), ..Self::default() };
        let mut written: Vec<(usize, &str, Role, &String)> = Vec::new();
        for (name, _, role, _) in FLAGS.into_iter().filter(|flag| flag.0 != JSON) {
            let indices = matches.indices_of(name).into_iter().flatten();
            let values = matches.get_many::<String>(name).into_iter().flatten();
            written.extend(indices.zip(values).map(|(index, value)| (index, name, role, value)));
        }
        written.sort_unstable_by_key(|(index, ..)| *index);
        for (_, name, role, value) in written {
            operations.take(name, role, value)?;
        }
        Ok(operations)
    }

    fn take(&mut self, name: &str, role: Role, value: &str) -> Result<(), String> {
        match role {
            Role::Entry => {
                self.entries.push(Entry { written: format!("--{name} {value}"), fields: entry(name, value)? });
            }
            Role::Field(kind) => {
                let owner = self.entries.iter_mut().rev().find(|entry| entry.fields["type"] == kind);
                let owner = owner.ok_or_else(|| {
                    format!("--{name} {value}: there is no --{kind} before it; write it after the one it belongs to")
                })?;
                owner.written = format!("{} --{name} {value}", owner.written);
                owner.fields.insert(name.into(), field(name, value));
            }
            Role::Save => {
                self.save.insert(name.into(), field(name, value));
            }
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
                Role::Save if name == JSON => {
                    arg.conflicts_with_all(FLAGS.iter().filter(|flag| flag.2 != Role::Save).map(|flag| flag.0))
                }
                Role::Save => arg,
                Role::Entry | Role::Field(_) => arg.action(ArgAction::Append).allow_hyphen_values(name == "watermark"),
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
        "watermark" => drop(fields.insert("text".into(), value.into())),
        _ => drop(fields.insert("format".into(), value.into())),
    }
    Ok(fields)
}

/// A field's value. What is not understood stays text, for `parse` to refuse in its own words.
fn field(name: &str, value: &str) -> Value {
    let number = || serde_json::from_str(value).ok().filter(Value::is_number);
    let understood = match name {
        "color" => color(value),
        "size" | "margin" | "opacity" | "quality" => number(),
        _ => None,
    };
    understood.unwrap_or_else(|| value.into())
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

fn parse_json(text: &str, limits: &Limits) -> Result<Vec<Value>, String> {
    operation::parse(text, limits).map_err(|error| format!("--operations: {}", detail(error)))?;
    serde_json::from_str(text).map_err(|error| format!("--operations: {error}"))
}

fn defaults() -> Vec<Value> {
    let known = "the default operations are plain data";
    operation::defaults().iter().map(|operation| serde_json::to_value(operation).expect(known)).collect()
}

/// Sets a field that is not there yet.
fn add(value: &mut Value, name: &str, given: &Value) {
    if let Some(fields) = value.as_object_mut() {
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
    use crate::imaging::operation::{Action, Anchor, Fit};

    fn flags(line: &[&str]) -> Result<Operations, String> {
        let matches = Operations::augment_args(Command::new("pixmill").no_binary_name(true)).get_matches_from(line);
        Operations::from_arg_matches(&matches).map_err(|error| error.to_string())
    }

    fn list(line: &[&str]) -> Result<Vec<Operation>, String> {
        flags(line)?.list(&Limits::default())
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
        assert_eq!(mark.position, Anchor::Top);
    }

    #[test]
    fn nothing_named_means_the_default_three() {
        assert_eq!(list(&[]).unwrap(), operation::defaults());
        let webp = list(&["--format", "webp", "--quality", "50"]).unwrap();
        assert!(webp.iter().all(|one| one.save.format == Some(Format::WebP) && one.save.quality == Some(50)));
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
    fn chain_is_one_output_in_the_format_of_its_name() {
        let chained = flags(&["--resize", "80x", "--watermark", "a"]).unwrap();
        let operation = chained.chain(Some(Format::Png), &Limits::default()).unwrap();
        assert_eq!((operation.kind(), operation.save.format), ("pipeline", Some(Format::Png)));
        let converted = flags(&["--resize", "80x", "--convert", "webp"]).unwrap();
        let operation = converted.chain(Some(Format::Png), &Limits::default()).unwrap();
        assert_eq!(operation.save.format, Some(Format::WebP));
    }

    #[test]
    fn refusals_name_the_flag() {
        for (line, said) in [
            (&["--resize", "800"][..], "--resize 800: write 800x600"),
            (&["--resize", "99999x"], "--resize 99999x: width: 99999 exceeds limits.max_output_side (16384)"),
            (&["--resize", "8x6", "--fit", "crop"], "--resize 8x6 --fit crop: fit: \"crop\" is unknown; known: fill"),
            (&["--watermark", "a", "--color", "red"], "color: \"red\" is not [r, g, b]"),
            (&["--fit", "cover"], "--fit cover: there is no --resize before it"),
            (&["--convert", "gif"], "--convert gif: format: `gif` cannot be written; known: jpeg, png, webp"),
            (&["--operations", "[{}]"], "--operations: operations[0].type: is missing"),
        ] {
            let fault = list(line).unwrap_err();
            assert!(fault.contains(said), "{line:?}: {fault}");
        }
    }

    #[test]
    fn colors_are_read_in_both_notations() {
        assert_eq!(color("#ff000080"), Some(json!([255, 0, 0, 128])));
        assert_eq!(color("1, 2,3"), Some(json!([1, 2, 3])));
        assert_eq!(color("#fffé"), None);
    }
}
