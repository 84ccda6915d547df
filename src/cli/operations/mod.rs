//! Operations as flags: `--resize 800x600 --watermark "© Ann"` becomes the JSON that HTTP clients send.
//!
//! That JSON goes through [`operation::parse`], so a command line is held to the same checks as a
//! request, in the same words. Flags count in the order in which they are written, which is why
//! they are declared by hand and not derived: a derived struct would forget it.

mod flags;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeMap;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value, json};

use crate::config;
use crate::imaging::{Error, Format, Limits, Operation, operation};
use flags::{FLAGS, PRESET, Role};
use values::{entry, field};

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
