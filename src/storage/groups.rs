//! The stored groups: lists them, and removes their parts.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use queue::GroupId;

use super::error::at;
use super::local::{entries, remove_file, remove_folder};
use super::{Part, Result, Storage, damaged_key, keep_key, keys, manifest_key, withdrawn_key};

/// How much the clock of a network disk may be ahead.
const AHEAD: Duration = Duration::from_mins(1);

/// Groups in the order in which their folder lists them.
pub struct Groups {
    folder: PathBuf,
    entries: Option<std::fs::ReadDir>,
    /// Only groups last changed before this time; `None` for all groups.
    instant: Option<SystemTime>,
    /// Groups changed after this time are included, too.
    ahead: Option<SystemTime>,
}

impl Storage {
    /// The groups with this part whose part was last changed before `instant`, each with that time, in the order of the
    /// folder. Their number costs no memory, and groups may be removed meanwhile. Blocks on the disk.
    pub fn groups_older_than(&self, part: Part, instant: SystemTime) -> Result<Groups> {
        self.groups(part, Some(instant))
    }

    /// As [`groups_older_than`](Self::groups_older_than), and also the groups changed later than now, because the clock
    /// has been set back since.
    pub fn groups_older_or_ahead(&self, part: Part, instant: SystemTime) -> Result<Groups> {
        Ok(Groups { ahead: Some(SystemTime::now() + AHEAD), ..self.groups(part, Some(instant))? })
    }

    /// As [`groups_older_than`](Self::groups_older_than), for groups of any age.
    pub fn groups_of(&self, part: Part) -> Result<Groups> {
        self.groups(part, None)
    }

    fn groups(&self, part: Part, instant: Option<SystemTime>) -> Result<Groups> {
        let folder = self.root.join(part.folder());
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            entries => Some(entries.map_err(|error| at(&folder, &error))?),
        };
        Ok(Groups { folder, entries, instant, ahead: None })
    }

    /// Whether a group's folder has any output. The file with the owner's name does not count.
    pub fn has_outputs(&self, group: GroupId) -> Result<bool> {
        for entry in entries(&self.root.join(format!("outputs/{group}")))? {
            if entry?.is_dir() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether anything of a group is stored, including a pending order to erase it. Blocks on the disk.
    pub fn keeps(&self, group: GroupId) -> Result<bool> {
        let folders = [Part::Uploads, Part::Outputs, Part::Erasures, Part::Workflow].map(|part| part.mark(group));
        let files = [keep_key(group), manifest_key(group), withdrawn_key(group), damaged_key(group)];
        for key in folders.into_iter().chain(files) {
            if self.has_at_once(&key)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes everything stored of a group, its manifest first. Blocks on the disk.
    pub fn remove_group(&self, group: GroupId) -> Result<()> {
        self.remove_owed(group)?;
        self.remove_part(Part::Uploads, group)?;
        self.remove_part(Part::Outputs, group)?;
        self.remove_part(Part::Workflow, group)?;
        self.remove_note(group)
    }

    /// Removes the note that a group has a shorter retention. Blocks on the disk.
    pub fn remove_note(&self, group: GroupId) -> Result<()> {
        remove_file(&self.root.join(keep_key(group)))
    }

    /// Removes a group's manifest. Blocks on the disk.
    pub fn remove_owed(&self, group: GroupId) -> Result<()> {
        let owed = [manifest_key(group), withdrawn_key(group), damaged_key(group)];
        owed.iter().try_for_each(|key| remove_file(&self.root.join(key)))
    }

    /// Removes a group's originals, its outputs, or a mark. Blocks on the disk.
    pub fn remove_part(&self, part: Part, group: GroupId) -> Result<()> {
        match part {
            Part::Outbox => self.remove_owed(group),
            Part::Uploads | Part::Outputs | Part::Workflow => {
                remove_folder(&self.root.join(part.folder()).join(group.to_string()))
            }
            Part::Retention => self.remove_note(group),
            Part::Erasures | Part::Erased => remove_file(&self.root.join(part.mark(group))),
        }
    }
}

impl Iterator for Groups {
    type Item = Result<(GroupId, SystemTime)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = match self.entries.as_mut()?.next()? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(at(&self.folder, &error))),
            };
            let name = entry.file_name();
            if Path::new(&name).extension().is_some_and(|end| end == keys::DAMAGED) {
                continue;
            }
            let Some(group) = Path::new(&name).file_stem().and_then(|stem| stem.to_str()?.parse().ok()) else {
                continue;
            };
            match entry.metadata().and_then(|about| about.modified()) {
                Ok(changed)
                    if self.instant.is_none_or(|instant| changed < instant)
                        || self.ahead.is_some_and(|ahead| changed > ahead) =>
                {
                    return Some(Ok((group, changed)));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Some(Err(at(&entry.path(), &error))),
            }
        }
    }
}
