//! The folder of existing pictures (`sources.folder`): a mounted share, an import directory.
//!
//! A key is a path below the folder, with `/` between its parts. The kernel resolves it beneath the folder (`openat2`
//! with `RESOLVE_BENEATH`), so that neither `..` nor a link leads out, even if somebody creates the link at that
//! moment. Hidden files, and files in hidden folders, are never served. Nothing is ever written.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;
use walkdir::WalkDir;

use crate::errors::Failure;
use crate::errors::Lack;

/// Most characters of a key.
const MOST_CHARS: usize = 4_000;

#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
}

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The key leads out of the folder, or to a hidden file.
    #[error("{0}")]
    Forbidden(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Failed(String),
    /// The process has no file descriptors or memory left.
    #[error("{1}")]
    Lacking(Lack, String),
    /// The prefix has more pictures than are allowed.
    #[error("{0}")]
    TooMany(String),
}

impl Fault {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Forbidden(_) => "source-forbidden",
            Self::NotFound(_) => "source-missing",
            Self::Failed(_) => "storage",
            Self::Lacking(lack, _) => lack.code(),
            Self::TooMany(_) => "too-many-files",
        }
    }

    /// The lack that is the reason, if any.
    pub fn lack(&self) -> Option<Lack> {
        match self {
            Self::Lacking(lack, _) => Some(*lack),
            _ => None,
        }
    }

    /// The fault of a failed call. `said` makes its message.
    fn of(error: impl Into<io::Error>, said: impl FnOnce(&io::Error) -> String) -> Self {
        let error = error.into();
        let said = said(&error);
        match Lack::of(&error) {
            Some(lack) => Self::Lacking(lack, said),
            None => Self::Failed(said),
        }
    }
}

impl Folder {
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Checks that the folder exists and that the kernel can keep paths beneath it.
    ///
    /// # Errors
    /// If it does not exist or the kernel cannot.
    pub fn try_out(&self) -> anyhow::Result<()> {
        let tried = self.handle().and_then(|folder| {
            openat2(&folder, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::BENEATH)
        });
        tried
            .map(drop)
            .with_context(|| format!("cannot read {} (sources.folder; Linux 5.6 or later)", self.root.display()))
    }

    fn handle(&self) -> rustix::io::Result<rustix::fd::OwnedFd> {
        open(&self.root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    }

    /// Opens a picture's file.
    ///
    /// # Errors
    /// If the key leads out of the folder, to nothing, or to something other than a file.
    pub fn open(&self, key: &str) -> Result<File, Fault> {
        check(key)?;
        let failed = |error: Errno| match error {
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => Fault::NotFound(format!("there is no `{key}`")),
            Errno::XDEV | Errno::LOOP => Fault::Forbidden(format!("`{key}` leads out of sources.folder")),
            other => Fault::of(other, |error| format!("`{key}` cannot be opened: {error}")),
        };
        let folder = self
            .handle()
            .map_err(|error| Fault::of(error, |error| format!("sources.folder cannot be opened: {error}")))?;
        // Does not block, because a pipe would wait for its writer.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let file: File = openat2(&folder, key, flags, Mode::empty(), beneath).map_err(failed)?.into();
        match file.metadata() {
            Ok(about) if about.is_file() => Ok(file),
            Ok(_) => Err(Fault::Forbidden(format!("`{key}` is not a file"))),
            Err(error) => Err(Fault::of(error, |error| format!("`{key}` cannot be read: {error}"))),
        }
    }

    /// The keys of all files under a prefix, at most `most`, in the order of their bytes. Links are not followed.
    ///
    /// A prefix ends in `/` or is empty; it names a folder.
    ///
    /// # Errors
    /// As [`open`](Self::open), and `TooMany`.
    pub fn list(&self, prefix: &str, most: usize) -> Result<Vec<String>, Fault> {
        let folder = prefix.strip_suffix('/').unwrap_or(prefix);
        let begin = if folder.is_empty() {
            self.root.clone()
        } else {
            if !prefix.ends_with('/') {
                return Err(Fault::Forbidden(format!("`{prefix}` does not end in `/`; a prefix names a folder")));
            }
            check(folder)?;
            self.inner(folder)?
        };
        let root = self.root.canonicalize().map_err(unresolved)?;
        let mut keys = Vec::new();
        let visible = |entry: &walkdir::DirEntry| entry.depth() == 0 || !is_hidden(entry.file_name());
        for entry in WalkDir::new(begin).into_iter().filter_entry(visible) {
            let entry =
                entry.map_err(|error| Fault::of(error, |error| format!("`{prefix}` cannot be listed: {error}")))?;
            if !entry.file_type().is_file() {
                continue;
            }
            // A path that is not UTF-8 has no key.
            let Some(key) = entry.path().strip_prefix(&root).ok().and_then(Path::to_str) else { continue };
            if keys.len() == most {
                return Err(Fault::TooMany(format!(
                    "under `{prefix}` lie more files than sources.max_listed ({most})"
                )));
            }
            keys.push(key.to_owned());
        }
        keys.sort_unstable();
        Ok(keys)
    }

    /// The path of a folder inside this one, without links.
    fn inner(&self, folder: &str) -> Result<PathBuf, Fault> {
        let missing = || Fault::NotFound(format!("there is no folder `{folder}/`"));
        let root = self.root.canonicalize().map_err(unresolved)?;
        let path = root.join(folder).canonicalize().map_err(|error| match Lack::of(&error) {
            Some(_) => unresolved(error),
            None => missing(),
        })?;
        if !path.starts_with(&root) {
            return Err(Fault::Forbidden(format!("`{folder}/` leads out of sources.folder")));
        }
        if path.is_dir() { Ok(path) } else { Err(missing()) }
    }
}

fn unresolved(error: io::Error) -> Fault {
    Fault::of(error, |error| format!("sources.folder: {error}"))
}

/// Checks the form of a key.
fn check(key: &str) -> Result<(), Fault> {
    let forbidden = |why: &str| Err(Fault::Forbidden(format!("`{}` {why}", key.escape_debug())));
    if key.is_empty() || key.chars().count() > MOST_CHARS {
        return Err(Fault::Forbidden(format!("a key has 1 to {MOST_CHARS} characters")));
    }
    if key.starts_with('/') {
        return forbidden("is an absolute path; keys begin below sources.folder");
    }
    if key.chars().any(char::is_control) || key.contains('\\') {
        return forbidden("has a control character or a backslash");
    }
    for part in key.split('/') {
        match part {
            "" => return forbidden("has an empty part"),
            "." | ".." => return forbidden("climbs: `.` and `..` are no parts of a key"),
            part if is_hidden(OsStr::new(part)) => return forbidden("is hidden: a part begins with a dot"),
            _ => {}
        }
    }
    Ok(())
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Failed(_) | Fault::Lacking(..) => Self::of_store(fault.lack(), fault.to_string()),
            _ => Self::permanent(fault.code(), fault.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("share");
        fs::create_dir_all(root.join("incoming/2024")).unwrap();
        for file in ["incoming/b.jpg", "incoming/a.jpg", "incoming/2024/c.jpg", "incoming/.hidden.jpg", "top.jpg"] {
            fs::write(root.join(file), file).unwrap();
        }
        fs::create_dir(root.join(".git")).unwrap();
        fs::write(root.join(".git/config"), "").unwrap();
        fs::write(home.path().join("secret.jpg"), "secret").unwrap();
        (home, Folder::new(root))
    }

    #[test]
    fn keys_name_files_below_the_folder() {
        let (_home, folder) = folder();
        let text = io::read_to_string(folder.open("incoming/2024/c.jpg").unwrap()).unwrap();
        assert_eq!(text, "incoming/2024/c.jpg");
        assert!(matches!(folder.open("incoming/none.jpg"), Err(Fault::NotFound(_))));
        assert!(matches!(folder.open("top.jpg/none"), Err(Fault::NotFound(_))));
        assert!(matches!(folder.open("incoming"), Err(Fault::Forbidden(_))));
    }

    #[test]
    fn nothing_outside_or_hidden_can_be_named() {
        let (home, folder) = folder();
        let root = folder.root().to_owned();
        symlink(home.path().join("secret.jpg"), root.join("absolute.jpg")).unwrap();
        symlink("../secret.jpg", root.join("relative.jpg")).unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink("incoming/a.jpg", root.join("inside.jpg")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("/proc/self/root/etc", root.join("magic")).unwrap();
        for key in [
            "",
            "/etc/passwd",
            "../secret.jpg",
            "incoming/../../secret.jpg",
            "incoming/./a.jpg",
            "incoming//a.jpg",
            ".git/config",
            "incoming/.hidden.jpg",
            "a\0b",
            "a\nb",
            "incoming\\a.jpg",
            "absolute.jpg",
            "relative.jpg",
            "up/secret.jpg",
            "loop",
            "magic/passwd",
            &"x".repeat(4_001),
        ] {
            assert!(matches!(folder.open(key), Err(Fault::Forbidden(_))), "{key:?}: {:?}", folder.open(key));
        }
        assert!(folder.open("inside.jpg").is_ok(), "a link that stays inside");
        for prefix in ["../", "/etc/", ".git/", "incoming/../../", "up/", "incoming"] {
            assert!(matches!(folder.list(prefix, 9), Err(Fault::Forbidden(_))), "{prefix}");
        }
    }

    #[test]
    fn prefixes_are_listed_in_order_and_bounded() {
        let (_home, folder) = folder();
        symlink("b.jpg", folder.root().join("incoming/link.jpg")).unwrap();
        let listed = folder.list("incoming/", 3).unwrap();
        assert_eq!(listed, ["incoming/2024/c.jpg", "incoming/a.jpg", "incoming/b.jpg"]);
        assert_eq!(folder.list("", 9).unwrap().len(), 4);
        assert!(matches!(folder.list("incoming/", 2), Err(Fault::TooMany(_))));
        assert!(matches!(folder.list("none/", 2), Err(Fault::NotFound(_))));
    }
}
