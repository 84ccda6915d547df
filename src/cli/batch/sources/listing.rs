//! A folder's names: read at once, sorted, and packed, so that 100,000 of them are two megabytes.

use std::ffi::OsStr;
use std::fs::FileType;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::name::Beside;

/// As the folder itself tells it, without a look at the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    /// To either, or to nothing.
    Link,
}

#[derive(Debug, Default)]
pub(super) struct Listing {
    names: Vec<u8>,
    entries: Vec<(Kind, u32, u16)>,
    pub(super) beside: Beside,
}

impl Listing {
    /// What is neither file, folder nor link is left out.
    pub(super) fn read(folder: &Path) -> io::Result<Self> {
        let mut listing = Self::default();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let Some(kind) = kind(entry.file_type()?) else { continue };
            let name = entry.file_name();
            if kind == Kind::Folder {
                listing.beside.add_folder(&name);
            } else {
                listing.beside.add(&name);
            }
            let start = u32::try_from(listing.names.len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
            listing.names.extend_from_slice(name.as_bytes());
            listing.entries.push((kind, start, name.len() as u16));
        }
        let Self { names, entries, .. } = &mut listing;
        entries.sort_unstable_by_key(|&(_, start, length)| &names[start as usize..][..length as usize]);
        Ok(listing)
    }

    /// By name.
    pub(super) fn entries(&self) -> impl Iterator<Item = (Kind, &OsStr)> {
        self.entries
            .iter()
            .map(|&(kind, start, length)| (kind, OsStr::from_bytes(&self.names[start as usize..][..length as usize])))
    }
}

fn kind(of: FileType) -> Option<Kind> {
    match of {
        of if of.is_file() => Some(Kind::File),
        of if of.is_dir() => Some(Kind::Folder),
        of if of.is_symlink() => Some(Kind::Link),
        _ => None,
    }
}
