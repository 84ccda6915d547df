//! Operations as flags: `--resize 800x600 --watermark "© Ann"` becomes the JSON that HTTP clients send.
//!
//! That JSON goes through [`operation::parse`], so a command line is held to the same checks as a
//! request, in the same words. Flags count in the order in which they are written, which is why
//! they are declared by hand and not derived: a derived struct would forget it.

mod flags;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use imaging::operation::Flag;
use imaging::{Error, Format, Limits, Operation, operation};
use serde_json::{Map, Value, json};

use sha2::{Digest as _, Sha256};

use super::exit::Usage;
use super::near;
use crate::assets::{self, Folders};
use crate::config;
use flags::{FLAGS, PRESET, Role, TUTORIAL};

/// Lists of operations by name, as they are written in the settings.
pub(crate) type Presets = BTreeMap<String, Value>;

/// The operations that a command line asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Operations {
    entries: Vec<GivenOperation>,
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
    Tutorial,
}

/// The error of a command line that names no operation.
const NOTHING: &str = "\
nothing to do: name an operation, such as
  --thumbnail 300      shrink into 300×300, aspect kept
  --resize 800x600     exactly that; 800x: that width, aspect kept
  --convert webp       write in another format
  --watermark '© Ann'  write onto the picture
or a list of them with --preset NAME or --tutorial; --help has all";

#[derive(Debug, Clone)]
struct GivenOperation {
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

    /// One output an entry; a conversion where only a format is named.
    ///
    /// # Errors
    /// A sentence that names the flag, the value and the limit; one that lists operations if none is named.
    pub(crate) fn list(&self, limits: &Limits, presets: &Presets) -> Result<Vec<Operation>, String> {
        self.written(limits, presets).map(|(_, operations)| operations)
    }

    /// The same, behind the JSON that says it to a server.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub(crate) fn written(&self, limits: &Limits, presets: &Presets) -> Result<(String, Vec<Operation>), String> {
        let mut values = match self.values(limits, presets)? {
            values if !self.is_empty() => values,
            _ if self.save.contains_key("format") => vec![json!({"type": "convert"})],
            _ => return Err(NOTHING.into()),
        };
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
            return Err(NOTHING.into());
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
            Some(Whole::Tutorial) => return Ok(tutorial()),
            None => {}
        }
        let value = |entry: &GivenOperation| {
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

    /// Gives overlays that are named by their paths a name each, under which `folders` then has them.
    ///
    /// A name with a slash is a path; any other is one if `watermark.overlays` does not have it and a file is called so.
    /// The name follows from the file's content, so that a batch takes another logo for another operation.
    ///
    /// # Errors
    /// For a file that cannot be read.
    pub(crate) fn with_overlays(&mut self, mut folders: Folders) -> Result<Folders, Usage> {
        for entry in &mut self.entries {
            let Some(given) = entry.fields.get("image").and_then(Value::as_str) else { continue };
            let path = Path::new(given);
            if !given.contains('/') && (folders.has_overlay(given) || !path.is_file()) {
                continue;
            }
            let bytes = assets::read_file(path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => Usage(format!("--overlay {}", near::no_such_file(path))),
                _ => Usage(format!("--overlay {given}: {error}")),
            })?;
            let digest = Sha256::digest(&bytes);
            let name = format!("overlay-{:016x}", u64::from_be_bytes(digest[..8].try_into().expect("it has 32 bytes")));
            let path = std::path::absolute(path).map_err(|error| Usage(format!("--overlay {given}: {error}")))?;
            entry.fields.insert("image".into(), name.as_str().into());
            folders.files.push((name, path));
        }
        Ok(folders)
    }

    fn add_save(&self, value: &mut Value) {
        for (name, given) in &self.save {
            set(value, name, given);
        }
    }

    fn from_flags(matches: &ArgMatches) -> Result<Self, String> {
        let mut operations = Self::default();
        let mut written: Vec<(usize, &Flag, Role, &str)> = Vec::new();
        for (flag, role) in &*FLAGS {
            // A flag that is not there has the index of its default.
            if matches.value_source(flag.name) != Some(ValueSource::CommandLine) {
                continue;
            }
            let indices = matches.indices_of(flag.name).into_iter().flatten();
            if flag.value.is_empty() {
                written.extend(indices.map(|index| (index, flag, *role, "")));
                continue;
            }
            let values = matches.get_many::<String>(flag.name).into_iter().flatten();
            written.extend(indices.zip(values).map(|(index, value)| (index, flag, *role, value.as_str())));
        }
        written.sort_unstable_by_key(|(index, ..)| *index);
        for (_, flag, role, value) in written {
            operations.take(flag, role, value)?;
        }
        Ok(operations)
    }

    fn take(&mut self, flag: &Flag, role: Role, value: &str) -> Result<(), String> {
        let name = flag.name;
        let written = if value.is_empty() { format!("--{name}") } else { format!("--{name} {value}") };
        match role {
            Role::Entry(kind) => {
                let mut fields = Map::from_iter([("type".to_owned(), kind.into())]);
                fields.extend(flag.fields(value)?);
                self.entries.push(GivenOperation { written, fields });
            }
            Role::Field => {
                let owns = |entry: &&mut GivenOperation| flag.of.iter().any(|kind| entry.fields["type"] == *kind);
                let owner = self.entries.iter_mut().rev().find(owns).ok_or_else(|| {
                    let kinds = flag.of.join(" or --");
                    format!("{written}: there is no --{kinds} before it; write it after the one it belongs to")
                })?;
                owner.written = format!("{} {written}", owner.written);
                owner.fields.extend(flag.fields(value)?);
            }
            Role::Save => self.save.extend(flag.fields(value)?),
            Role::Whole if name == PRESET => self.whole = Some(Whole::Preset(value.into())),
            Role::Whole if name == TUTORIAL => self.whole = Some(Whole::Tutorial),
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
        command.args(FLAGS.iter().map(|(flag, role)| {
            let arg = Arg::new(flag.name).long(flag.name).value_name(flag.value).help(flag.help);
            let arg = arg.help_heading("Operations (applied in the order in which they are written)");
            match role {
                Role::Whole => {
                    let arg = if flag.value.is_empty() { arg.action(ArgAction::SetTrue) } else { arg };
                    let others = FLAGS.iter().filter(|(other, role)| *role != Role::Save && other.name != flag.name);
                    arg.conflicts_with_all(others.map(|(other, _)| other.name))
                }
                _ if flag.value.is_empty() => arg.action(ArgAction::SetTrue),
                Role::Save => arg,
                _ => arg.action(ArgAction::Append).allow_hyphen_values(flag.hyphens),
            }
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn read_json(written: &str) -> Result<String, String> {
    let Some(file) = written.strip_prefix('@') else { return Ok(written.to_owned()) };
    let text = std::fs::read_to_string(file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("--operations @{}", near::no_such_file(Path::new(file))),
        io::ErrorKind::InvalidData => format!("--operations @{file}: is not UTF-8; save it as that"),
        _ => format!("--operations @{file}: cannot be read: {error}"),
    })?;
    // Editors of other systems begin a file with a byte order mark.
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned())
}

fn parse_json(flag: &str, text: &str, limits: &Limits) -> Result<Vec<Value>, String> {
    operation::parse(text, limits).map_err(|error| format!("{flag}: {}", detail(error)))?;
    serde_json::from_str(text).map_err(|error| format!("{flag}: {error}"))
}

fn preset<'p>(name: &str, presets: &'p Presets) -> Result<&'p Value, String> {
    config::preset(presets, name).map_err(|said| format!("--preset: {said}"))
}

/// The three operations that the HTTP API uses for a request without any.
fn tutorial() -> Vec<Value> {
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
