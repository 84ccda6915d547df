//! The definitions: of the configuration, which requests cannot change, and of the store.
//!
//! A definition of the store is a file `schedules/<name>.json` of the data folder and not in the broker, whose loss would
//! lose it. Who changes one holds the lock `schedules/.lock`, so that of two changes of one version the second one is
//! refused. What pauses a schedule of the configuration is `schedules/<name>.paused`. `schedules/<name>.at` is a copy of
//! the position of a schedule's cursor: whoever finds that the broker has forgotten the cursor goes on from there.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::decide::Position;
use super::definition::{Definition, Document, Settings, is_name};
use crate::storage::{self, Storage};

const FOLDER: &str = "schedules";
const LOCK: &str = "schedules/.lock";
/// Schedules of the store.
const MOST: usize = 1_000;

/// A schedule, wherever it is defined.
#[derive(Debug, Clone)]
pub struct Entry {
    pub name: String,
    pub origin: Origin,
    pub document: Document,
    /// What the document means; a sentence if the settings do not allow it any more.
    pub definition: Result<Definition, String>,
    /// Of the timing and of what it starts; pausing leaves it as it is.
    pub version: String,
    /// The versions before, the latest first, at most two. This one takes over the position of the first.
    pub previous: Vec<String>,
    /// Changes with each change, without quotes.
    pub tag: String,
    /// Since when slots count. `None` for a schedule of the configuration: since it was first seen.
    pub since: Option<Timestamp>,
    pub owner: Option<String>,
    pub paused: Option<Pause>,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The configuration: requests cannot change it.
    Configuration,
    Store,
}

/// That and why a schedule is paused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// When; `None` if the definition says so from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// Why a change is refused.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("there is no schedule `{0}`")]
    Unknown(String),
    #[error("there is a schedule `{0}` already")]
    Exists(String),
    #[error("the schedule `{name}` is now at \"{now}\"")]
    Changed { name: String, now: String },
    /// It is the configuration's.
    #[error("{0}")]
    ReadOnly(String),
    /// A field that is wrong.
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// A definition as the store has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Saved {
    name: String,
    version: Uuid,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    previous: Vec<Uuid>,
    revision: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// When this version began.
    since: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    schedule: Document,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paused: Option<Pause>,
}

/// All definitions. Cheap to clone. Calls that say so block on the disk.
/// Entries by their names, each with the bytes that it was read from.
type ReadEntries = HashMap<String, (Vec<u8>, Entry)>;

#[derive(Debug, Clone)]
pub struct Shelf {
    storage: Storage,
    settings: Arc<Settings>,
    declared: Arc<BTreeMap<String, Document>>,
    /// Entries by their names, each with the bytes that it was read from.
    read: Arc<Mutex<ReadEntries>>,
}

/// What was found in the store.
#[derive(Debug, Default)]
pub struct Listing {
    /// By name.
    pub entries: Vec<Entry>,
    /// Files that cannot be read, and why.
    pub damaged: Vec<(String, String)>,
}

impl Shelf {
    /// With the schedules that the configuration declares.
    ///
    /// # Errors
    /// A sentence that names the setting, `schedules.NAME`, and the field.
    pub fn new(storage: Storage, settings: Settings, declared: &BTreeMap<String, Value>) -> Result<Self, String> {
        let declared = check_declared(&settings, declared)?;
        Ok(Self { storage, settings: Arc::new(settings), declared: Arc::new(declared), read: Arc::default() })
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// All schedules by their names. Blocks on the disk.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> storage::Result<Listing> {
        let mut listing = Listing::default();
        for (name, document) in self.declared.iter() {
            listing.entries.push(self.configured(name, document)?);
        }
        let mut names = self.storage.private_names(FOLDER)?;
        names.sort();
        for file in names {
            let Some(name) = file.strip_suffix(".json").filter(|name| is_name(name)) else { continue };
            // A name that the configuration has taken meanwhile is the configuration's.
            if self.declared.contains_key(name) {
                continue;
            }
            match self.stored(name) {
                Ok(entry) => listing.entries.extend(entry),
                Err(error) => listing.damaged.push((self.storage.shown(&key(name)), error.to_string())),
            }
        }
        listing.entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(listing)
    }

    /// A schedule by its name. Blocks on the disk.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn get(&self, name: &str) -> storage::Result<Option<Entry>> {
        match self.declared.get(name) {
            Some(document) => self.configured(name, document).map(Some),
            None if is_name(name) => self.stored(name),
            None => Ok(None),
        }
    }

    /// Adds a schedule. Durable when it returns. Blocks on the disk.
    ///
    /// # Errors
    /// `Exists`, `Invalid`; when the store fails.
    pub fn create(
        &self,
        name: &str,
        document: Document,
        owner: Option<String>,
        now: Timestamp,
    ) -> Result<Entry, Fault> {
        if !is_name(name) {
            let name = name.escape_debug();
            return Err(Fault::Invalid(format!("name: `{name}` is not 1 to 64 letters, digits, `-` and `_`")));
        }
        self.checked(&document, now)?;
        let _lock = self.storage.lock_private(LOCK)?;
        if self.get(name)?.is_some() {
            return Err(Fault::Exists(name.into()));
        }
        let is_definition = |file: &&String| Path::new(file).extension().is_some_and(|end| end == "json");
        let there = self.storage.private_names(FOLDER)?.iter().filter(is_definition).count();
        if there >= MOST {
            return Err(Fault::Invalid(format!("name: there are {there} schedules, and at most {MOST}")));
        }
        let version = Uuid::now_v7();
        self.save(&Saved {
            name: name.into(),
            version,
            previous: Vec::new(),
            revision: 1,
            created_at: now,
            updated_at: now,
            since: now,
            owner,
            paused: document.paused.then(|| Pause { note: document.note.clone(), at: Some(now) }),
            schedule: document,
        })
    }

    /// Replaces a schedule, if its tag is still one of those that `expected` takes. The new version counts slots from now
    /// on. Durable when it returns. Blocks on the disk.
    ///
    /// # Errors
    /// `Unknown`, `Changed`, `ReadOnly`, `Invalid`; when the store fails.
    pub fn replace(
        &self,
        name: &str,
        document: &Document,
        expected: impl Fn(&str) -> bool,
        now: Timestamp,
    ) -> Result<Entry, Fault> {
        self.checked(document, now)?;
        self.change(name, expected, now, |saved| {
            saved.paused = match (document.paused, saved.paused.take()) {
                (false, _) => None,
                (true, Some(pause)) => Some(pause),
                (true, None) => Some(Pause { note: document.note.clone(), at: Some(now) }),
            };
            let is_new = Document { paused: false, note: String::new(), ..saved.schedule.clone() }
                != Document { paused: false, note: String::new(), ..document.clone() };
            if is_new {
                saved.previous.insert(0, std::mem::replace(&mut saved.version, Uuid::now_v7()));
                saved.previous.truncate(2);
                saved.since = now;
            }
            saved.schedule = document.clone();
        })
    }

    /// Removes a schedule; returns what it was. Durable when it returns. Blocks on the disk.
    ///
    /// # Errors
    /// `Unknown`, `Changed`, `ReadOnly`; when the store fails.
    pub fn remove(&self, name: &str, expected: impl Fn(&str) -> bool) -> Result<Entry, Fault> {
        self.changeable(name)?;
        let _lock = self.storage.lock_private(LOCK)?;
        let entry = self.get(name)?.ok_or_else(|| Fault::Unknown(name.into()))?;
        unchanged(&entry, &expected)?;
        self.storage.remove_private(&key(name))?;
        self.storage.remove_private(&copy_key(name))?;
        Ok(entry)
    }

    /// Pauses a schedule. One that is paused keeps its note. Blocks on the disk.
    ///
    /// # Errors
    /// `Unknown`, `Invalid`; when the store fails.
    pub fn pause(&self, name: &str, note: &str, now: Timestamp) -> Result<Entry, Fault> {
        if note.chars().count() > 500 || note.contains(|c: char| c.is_control() && c != '\n') {
            let chars = note.chars().count();
            return Err(Fault::Invalid(format!("note: {chars} characters, at most 500 without control characters")));
        }
        let pause = Pause { note: note.into(), at: Some(now) };
        if self.declared.contains_key(name) {
            let _lock = self.storage.lock_private(LOCK)?;
            let text = serde_json::to_vec_pretty(&pause).expect("strings and times always serialise");
            self.storage.create_private(&paused_key(name), &text)?;
            return self.get(name)?.ok_or_else(|| Fault::Unknown(name.into()));
        }
        self.change(
            name,
            |_| true,
            now,
            |saved| {
                saved.paused.get_or_insert(pause);
                saved.schedule.paused = true;
            },
        )
    }

    /// Lets a schedule fire again. Slots that passed meanwhile are not caught up. Blocks on the disk.
    ///
    /// # Errors
    /// `Unknown`; `ReadOnly` if the configuration pauses it; when the store fails.
    pub fn resume(&self, name: &str, now: Timestamp) -> Result<Entry, Fault> {
        if let Some(document) = self.declared.get(name) {
            if document.paused {
                let said = format!("the configuration pauses it: schedules.{name}.paused is true");
                return Err(Fault::ReadOnly(said));
            }
            let _lock = self.storage.lock_private(LOCK)?;
            self.storage.remove_private(&paused_key(name))?;
            return self.get(name)?.ok_or_else(|| Fault::Unknown(name.into()));
        }
        self.change(
            name,
            |_| true,
            now,
            |saved| {
                saved.paused = None;
                saved.schedule.paused = false;
            },
        )
    }

    /// The copy of a position, if it is one of this version. Blocks on the disk.
    pub(super) fn copied_position(&self, name: &str, version: &str) -> storage::Result<Option<Position>> {
        let Some(text) = self.storage.read_private(&copy_key(name))? else { return Ok(None) };
        let text = String::from_utf8_lossy(&text);
        Ok(text.split_once('\n').filter(|(of, _)| *of == version).and_then(|(_, position)| position.parse().ok()))
    }

    /// Keeps a copy of a position. Blocks on the disk.
    pub(super) fn copy_position(&self, name: &str, version: &str, position: &Position) -> storage::Result<()> {
        self.storage.replace_private(&copy_key(name), format!("{version}\n{position}").as_bytes())
    }

    fn checked(&self, document: &Document, now: Timestamp) -> Result<(), Fault> {
        document.check_new(&self.settings, now).map(drop).map_err(Fault::Invalid)
    }

    fn changeable(&self, name: &str) -> Result<(), Fault> {
        if self.declared.contains_key(name) {
            return Err(Fault::ReadOnly(format!("the configuration declares it: change schedules.{name} there")));
        }
        Ok(())
    }

    fn change(
        &self,
        name: &str,
        expected: impl Fn(&str) -> bool,
        now: Timestamp,
        change: impl FnOnce(&mut Saved),
    ) -> Result<Entry, Fault> {
        self.changeable(name)?;
        if !is_name(name) {
            return Err(Fault::Unknown(name.into()));
        }
        let _lock = self.storage.lock_private(LOCK)?;
        let text = self.storage.read_private(&key(name))?.ok_or_else(|| Fault::Unknown(name.into()))?;
        let mut saved = parse(name, &text)?;
        unchanged(&self.entry(&saved), &expected)?;
        change(&mut saved);
        saved.revision += 1;
        saved.updated_at = now;
        self.save(&saved)
    }

    fn save(&self, saved: &Saved) -> Result<Entry, Fault> {
        let text = serde_json::to_vec_pretty(saved).expect("strings and times always serialise");
        self.storage.replace_private(&key(&saved.name), &text)?;
        Ok(self.entry(saved))
    }

    fn stored(&self, name: &str) -> storage::Result<Option<Entry>> {
        let Some(text) = self.storage.read_private(&key(name))? else { return Ok(None) };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, entry)) = read.get(name).filter(|(from, _)| *from == text) {
            return Ok(Some(entry.clone()));
        }
        let entry = self.entry(&parse(name, &text)?);
        read.insert(name.into(), (text, entry.clone()));
        Ok(Some(entry))
    }

    fn entry(&self, saved: &Saved) -> Entry {
        Entry {
            name: saved.name.clone(),
            origin: Origin::Store,
            definition: saved.schedule.check(&self.settings),
            document: saved.schedule.clone(),
            version: saved.version.to_string(),
            previous: saved.previous.iter().map(Uuid::to_string).collect(),
            tag: format!("{}.{}", saved.version.simple(), saved.revision),
            since: Some(saved.since),
            owner: saved.owner.clone(),
            paused: saved.paused.clone(),
            created_at: Some(saved.created_at),
            updated_at: Some(saved.updated_at),
        }
    }

    fn configured(&self, name: &str, document: &Document) -> storage::Result<Entry> {
        let lasting = Document { paused: false, note: String::new(), ..document.clone() };
        let text = serde_json::to_string(&lasting).expect("it was read from such a text");
        let version = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("pixmill:schedule:{name}:{text}").as_bytes());
        let overlay = self.storage.read_private(&paused_key(name))?;
        // Whatever is in the file, that it is there pauses the schedule.
        let overlay = overlay.map(|text| serde_json::from_slice::<Pause>(&text).unwrap_or_default());
        let paused = overlay.or_else(|| document.paused.then(|| Pause { note: document.note.clone(), at: None }));
        let mark = paused.as_ref().and_then(|pause| pause.at).map_or(0, Timestamp::as_millisecond);
        Ok(Entry {
            name: name.into(),
            origin: Origin::Configuration,
            definition: document.check(&self.settings),
            document: document.clone(),
            version: version.to_string(),
            previous: Vec::new(),
            tag: format!("{}.{mark}", version.simple()),
            since: None,
            owner: None,
            paused,
            created_at: None,
            updated_at: None,
        })
    }
}

/// The schedules of the configuration, checked.
///
/// # Errors
/// A sentence that names the setting, `schedules.NAME`, and the field.
pub fn check_declared(
    settings: &Settings,
    declared: &BTreeMap<String, Value>,
) -> Result<BTreeMap<String, Document>, String> {
    let check = |(name, value): (&String, &Value)| {
        if !is_name(name) {
            return Err(format!("schedules: `{name}` is not a name of 1 to 64 letters, digits, `-` and `_`"));
        }
        let document = Document::read(value).and_then(|document| document.check(settings).map(|_| document));
        document.map(|document| (name.clone(), document)).map_err(|said| format!("schedules.{name}: {said}"))
    };
    declared.iter().map(check).collect()
}

fn unchanged(entry: &Entry, expected: impl Fn(&str) -> bool) -> Result<(), Fault> {
    if expected(&entry.tag) {
        return Ok(());
    }
    Err(Fault::Changed { name: entry.name.clone(), now: entry.tag.clone() })
}

fn parse(name: &str, text: &[u8]) -> storage::Result<Saved> {
    let saved: Saved = serde_json::from_slice(text).map_err(|error| storage::Error::Failed(error.to_string()))?;
    if saved.name == name {
        return Ok(saved);
    }
    Err(storage::Error::Failed(format!("it is that of the schedule {}", saved.name)))
}

fn key(name: &str) -> String {
    format!("{FOLDER}/{name}.json")
}

fn paused_key(name: &str) -> String {
    format!("{FOLDER}/{name}.paused")
}

fn copy_key(name: &str) -> String {
    format!("{FOLDER}/{name}.at")
}

#[cfg(test)]
mod tests;
