//! Merges the layers of settings: defaults, file, environment, flags. Collects all faults instead of stopping at the
//! first.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_path_to_error::Segment;
use toml::{Table, Value};

use super::nearest::nearest;
use super::{Config, DEFAULTS, Override, environment};

/// Reads all layers.
///
/// # Errors
/// A line for each fault: the setting, what is wrong with it, and where it was set.
pub(super) fn read(
    file: Option<&Path>,
    variables: impl Iterator<Item = (OsString, OsString)>,
    flags: Vec<Override>,
) -> Result<Config> {
    let mut layers = Layers::new();
    if let Some(file) = file {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read the configuration file {}", file.display()))?;
        // Some editors begin a file with a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let table =
            toml::from_str(text).with_context(|| format!("the configuration file {} is not TOML", file.display()))?;
        layers.file(table, &file.display().to_string());
    }
    let (variables, faults) = environment::read(variables, &settings(&layers.defaults));
    layers.faults.extend(faults);
    for variable in variables {
        layers.text(variable.path, variable.text, Some(variable.name));
    }
    for (name, value) in flags {
        let path: Vec<String> = name.split('.').map(str::to_owned).collect();
        match value {
            Value::String(text) => layers.text(path, text, None),
            value => layers.set(&path, value),
        }
    }
    layers.finish()
}

/// The dotted names of all settings. `presets`, `schedules` and `workflows` are single ones, because the user chooses the names in
/// them.
fn settings(defaults: &Table) -> Vec<String> {
    let mut names = Vec::new();
    for (name, value) in defaults {
        match value {
            Value::Table(section) if !environment::is_named_by_user(name) => {
                names.extend(section.keys().map(|setting| format!("{name}.{setting}")));
            }
            _ => names.push(name.clone()),
        }
    }
    names
}

struct Layers {
    defaults: Table,
    merged: Table,
    /// Values given as text. Their types are found by trying.
    texts: Vec<Text>,
    /// The origin of each setting, by its dotted name.
    origins: BTreeMap<String, String>,
    faults: Vec<String>,
}

struct Text {
    path: Vec<String>,
    /// The remaining readings of the text, best first.
    readings: std::vec::IntoIter<Value>,
    /// The error of the first reading.
    refusal: Option<String>,
}

impl Layers {
    fn new() -> Self {
        let defaults: Table = toml::from_str(DEFAULTS).expect("the embedded defaults are TOML, as tests see");
        let merged = defaults.clone();
        Self { defaults, merged, texts: Vec::new(), origins: BTreeMap::new(), faults: Vec::new() }
    }

    fn file(&mut self, table: Table, file: &str) {
        for (name, value) in table {
            match (self.defaults.get(&name), value) {
                (Some(Value::Table(_)), Value::Table(section)) if environment::is_named_by_user(&name) => {
                    for (chosen, value) in section {
                        self.set(&[name.clone(), chosen], value);
                    }
                }
                (Some(Value::Table(known)), Value::Table(section)) => {
                    let known = known.clone();
                    for (setting, value) in section {
                        let path = format!("{name}.{setting}");
                        if known.contains_key(&setting) {
                            self.origins.insert(path, format!("in {file}"));
                            self.set(&[name.clone(), setting], value);
                        } else {
                            self.unknown(&path, file);
                        }
                    }
                }
                (Some(Value::Table(_)), value) => {
                    self.faults.push(format!("{name}: {value} is not a section: write [{name}] (in {file})"));
                }
                (Some(_), value) => {
                    self.origins.insert(name.clone(), format!("in {file}"));
                    self.set(&[name], value);
                }
                (None, _) => self.unknown(&name, file),
            }
        }
    }

    fn unknown(&mut self, name: &str, file: &str) {
        let sections = self.defaults.keys().cloned();
        let meant = nearest(name, settings(&self.defaults).into_iter().chain(sections));
        let meant = meant.map_or(String::new(), |meant| format!("; did you mean {meant}?"));
        self.faults.push(format!("{name}: there is no such setting{meant} (in {file})"));
    }

    /// Takes a value given as text.
    fn text(&mut self, path: Vec<String>, text: String, variable: Option<String>) {
        let mut readings = readings(&text, at(&self.defaults, &path)).into_iter();
        let first = readings.next().unwrap_or(Value::String(text));
        // Items of a list that the environment gives one by one replace the whole list, as a list in a file does.
        if let Some(index) = path.iter().position(|part| part.parse::<usize>().is_ok()) {
            let (list, begun) = (&path[..index], |text: &Text| text.path.starts_with(&path[..index]));
            if !self.texts.iter().any(begun) {
                self.set(list, Value::Array(Vec::new()));
            }
        }
        if let Some(variable) = variable {
            self.origins.insert(path.join("."), variable);
        } else {
            self.origins.remove(&path.join("."));
        }
        self.set(&path, first);
        self.texts.retain(|text| text.path != path);
        self.texts.push(Text { path, readings, refusal: None });
    }

    fn set(&mut self, path: &[String], value: Value) {
        if let Err(fault) = put(&mut self.merged, path, value) {
            self.faults.push(format!("{}: {fault}", path.join(".")));
        }
    }

    /// Reads the merged table. A rejected setting gets its default back, so that the next fault can be found.
    fn finish(mut self) -> Result<Config> {
        let config = loop {
            let error = match serde_path_to_error::deserialize::<_, Config>(Value::Table(self.merged.clone())) {
                Ok(config) => break config,
                Err(error) => error,
            };
            let path = steps(&error);
            let said = error.into_inner().message().trim().to_owned();
            if let Some(text) = self.texts.iter_mut().find(|text| path.starts_with(&text.path)) {
                let refusal = text.refusal.get_or_insert(said.clone()).clone();
                let given = text.path.clone();
                if let Some(next) = text.readings.next() {
                    self.set(&given, next);
                    continue;
                }
                self.fault(&path.join("."), &refusal);
            } else {
                self.fault(&path.join("."), &said);
            }
            if !self.restore(&path) {
                break Config::default();
            }
        };
        for fault in config.validate() {
            let (name, said) = fault.split_once(": ").unwrap_or(("", &fault));
            let name = name.to_owned();
            self.fault(&name, said);
        }
        match self.faults.as_slice() {
            [] => Ok(config),
            [fault] => bail!("{fault}"),
            faults => bail!("{} settings are wrong:\n  {}", faults.len(), faults.join("\n  ")),
        }
    }

    fn fault(&mut self, name: &str, said: &str) {
        let mut place = name.replace('[', ".").replace(']', "");
        let origin = loop {
            if let Some(origin) = self.origins.get(&place) {
                break format!(" ({origin})");
            }
            match place.rsplit_once('.') {
                Some((outer, _)) => place = outer.to_owned(),
                None => break String::new(),
            }
        };
        let separator = if name.is_empty() { "" } else { ": " };
        self.faults.push(format!("{name}{separator}{said}{origin}"));
    }

    /// Restores the default at the fault. Returns `false` if it was there already.
    fn restore(&mut self, path: &[String]) -> bool {
        let known = (1..=path.len()).rev().find(|&parts| at(&self.defaults, &path[..parts]).is_some());
        let Some(parts) = known else { return false };
        let default = at(&self.defaults, &path[..parts]).cloned();
        let (Some(default), current) = (default, at(&self.merged, &path[..parts]).cloned()) else { return false };
        if current.as_ref() == Some(&default) {
            return false;
        }
        self.texts.retain(|text| !text.path.starts_with(&path[..parts]));
        self.set(&path[..parts], default);
        true
    }
}

/// The possible values of a text, best first. The type of the setting's default decides. An item of a list or a preset
/// has no default.
fn readings(text: &str, default: Option<&Value>) -> Vec<Value> {
    let string = || Value::String(text.to_owned());
    let list =
        || Value::Array(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect());
    let structured = || text.trim_start().starts_with(['[', '{']).then(|| value(text)).flatten();
    match default {
        Some(Value::String(_)) => vec![string()],
        Some(Value::Array(_)) => vec![structured().unwrap_or_else(list)],
        Some(_) => vec![value(text).unwrap_or_else(string)],
        None => structured().into_iter().chain([string()]).chain(value(text)).chain([list()]).collect(),
    }
}

/// Parses a text as JSON, or else as TOML.
fn value(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().or_else(|| {
        let mut table: Table = toml::from_str(&format!("value = {text}")).ok()?;
        table.remove("value").filter(|_| table.is_empty())
    })
}

fn at<'t>(table: &'t Table, path: &[String]) -> Option<&'t Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(table.get(first)?, |value, part| match value {
        Value::Table(table) => table.get(part),
        Value::Array(list) => list.get(part.parse::<usize>().ok()?),
        _ => None,
    })
}

fn put(table: &mut Table, path: &[String], value: Value) -> Result<(), String> {
    let (first, rest) = path.split_first().expect("a setting has a name");
    let mut place = table.entry(first.clone()).or_insert_with(|| empty(rest.first()));
    for (i, part) in rest.iter().enumerate() {
        let inner = || empty(rest.get(i + 1));
        place = match place {
            Value::Table(table) => table.entry(part.clone()).or_insert_with(inner),
            Value::Array(list) => {
                let index: usize = part.parse().map_err(|_| format!("`{part}` is not an index of the list"))?;
                if index > list.len() {
                    return Err(format!("the list has no item {} before item {index}", list.len()));
                }
                if index == list.len() {
                    list.push(inner());
                }
                &mut list[index]
            }
            _ => return Err(format!("it is neither a list nor a table, and so has no `{part}`")),
        };
    }
    *place = value;
    Ok(())
}

/// An empty container that can hold `part`: a list for an index, otherwise a table.
fn empty(part: Option<&String>) -> Value {
    match part {
        Some(part) if part.parse::<usize>().is_ok() => Value::Array(Vec::new()),
        _ => Value::Table(Table::new()),
    }
}

fn steps(error: &serde_path_to_error::Error<toml::de::Error>) -> Vec<String> {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { variant } => Some(variant.clone()),
        Segment::Unknown => None,
    };
    error.path().iter().filter_map(step).collect()
}
