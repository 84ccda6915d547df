//! One walk over all that the command line names, handing out pictures as they are found.
//!
//! A folder's own files come first, then its folders, both by name. Only the folder at hand is held, and
//! hashes of what was handed out where two sources may lead to one file: by `in/../in`, or by a link to a folder. Within
//! one folder that is walked, each name counts, links included: each has a result of its own.

use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::picture::{Origin, Picture, shown};
use super::list::{Given, List, ListedSource};
use super::listing::{Kind, Listing};
use super::name::{self, Beside, Target};
use super::{Found, Passed, Root, Sources, Why, fold};
use crate::errors::Failure;

/// Break: nobody wants more.
type Flow = ControlFlow<()>;

/// Folders whose names are remembered for files that are named one by one.
const FOLDERS: usize = 16;

pub(super) struct Walk<'a> {
    sources: &'a Sources,
    passed: &'a Passed,
    hand_out: &'a mut dyn FnMut(Found) -> Flow,
    /// None where no two sources can meet.
    seen: Option<Seen>,
    beside: Vec<(PathBuf, Beside)>,
    /// The folder at hand with all links resolved, where files may be met twice.
    resolved: (PathBuf, PathBuf),
    /// Number of sources so far: files, folders, lines of lists.
    source: u32,
    taken: u64,
}

/// Hashes of files, with the source that led to them first, and of their results' names.
#[derive(Default)]
struct Seen {
    hasher: RandomState,
    files: HashMap<u64, u32>,
    targets: HashSet<u64>,
}

impl Seen {
    /// Whether another source has led there before.
    fn is_twice(&mut self, what: impl std::hash::Hash, source: u32) -> bool {
        *self.files.entry(self.hasher.hash_one(what)).or_insert(source) != source
    }
}

/// A folder on the way down.
#[derive(Clone, Copy)]
struct FolderVisit<'a> {
    folder: &'a Path,
    /// The same below the folder that was given: what globs are held against.
    below: &'a Path,
    /// Where the results go.
    target: &'a Path,
    depth: u32,
}

impl<'a> Walk<'a> {
    pub(super) fn new(sources: &'a Sources, passed: &'a Passed, hand_out: &'a mut dyn FnMut(Found) -> Flow) -> Self {
        let meet = !matches!(sources.roots.as_slice(), [Root::Path(_)]);
        Self {
            sources,
            passed,
            hand_out,
            seen: meet.then(Seen::default),
            beside: Vec::new(),
            resolved: Default::default(),
            source: 0,
            taken: 0,
        }
    }

    pub(super) fn run(mut self) {
        for root in &self.sources.roots {
            let flow = match root {
                Root::Path(path) => self.path(path, None),
                Root::Glob { pattern, base } => self.glob(pattern, base),
                Root::List(list) => self.list(list),
                Root::Url(url) => self.url(url, Ok(name::of_url(url)), false),
            };
            if flow.is_break() {
                return;
            }
        }
    }

    /// A file or folder; its results lie below `target`, else where they lie below the folder given.
    fn path(&mut self, path: &Path, target: Option<&Path>) -> Flow {
        self.source += 1;
        match fs::metadata(path) {
            Err(error) => self.unusable(path, "source-unreadable", error.to_string()),
            Ok(meta) if meta.is_dir() => {
                if self.is_out(path, &meta) {
                    // `pixmill batch *` again, beside the results of the first time.
                    return Flow::Continue(());
                }
                let target = target.unwrap_or(Path::new(""));
                let place = FolderVisit { folder: path, below: Path::new(""), target, depth: 1 };
                self.folder(place, &mut vec![identity(&meta)])
            }
            Ok(meta) if meta.is_file() => {
                let name = path.file_name().unwrap_or_default();
                let target = target.and_then(Path::parent).unwrap_or(Path::new(""));
                let (own_target, below) = (self.target_of(path), target.join(name));
                self.file(path, &below, (target.join(own_target.0), own_target.1), false, Some(&meta))
            }
            Ok(_) => self.unusable(path, "source-unreadable", "it is neither a file nor a folder"),
        }
    }

    fn folder(&mut self, place: FolderVisit<'_>, above: &mut Vec<(u64, u64)>) -> Flow {
        let listing = match Listing::read(place.folder) {
            Ok(listing) => listing,
            Err(error) => return self.unusable(place.folder, "source-unreadable", error.to_string()),
        };
        // Links to folders wait for the folders' turn.
        let mut linked = Vec::new();
        for (kind, name) in listing.entries().filter(|(kind, _)| *kind != Kind::Folder) {
            let file = place.folder.join(name);
            if kind == Kind::Link && fs::metadata(&file).is_ok_and(|meta| meta.is_dir()) {
                linked.push(name);
                continue;
            }
            if !self.sources.filters.hidden && is_hidden(name.as_encoded_bytes()) {
                self.pass_over(Why::Hidden);
            } else if name::is_picture(name) {
                let (target, own) = listing.beside.target(name);
                self.file(&file, &place.below.join(name), (place.target.join(target), own), false, None)?;
            } else {
                self.pass_over(Why::NotAPicture);
            }
        }
        let folders = listing.entries().filter(|(kind, _)| *kind == Kind::Folder).map(|(_, name)| name);
        for name in folders.chain(linked) {
            let (folder, below) = (place.folder.join(name), place.below.join(name));
            let meta = match fs::metadata(&folder) {
                Ok(meta) if self.is_out(&folder, &meta) => continue,
                Ok(meta) => meta,
                Err(error) => {
                    self.unusable(&folder, "source-unreadable", error.to_string())?;
                    continue;
                }
            };
            if !self.sources.filters.hidden && is_hidden(name.as_encoded_bytes()) {
                self.pass_over(Why::Hidden);
            } else if let Some(why) = self.sources.filters.folder(&below) {
                self.pass_over(why);
            } else if self.sources.filters.max_depth.is_some_and(|most| place.depth >= most) {
                self.pass_over(Why::TooDeep);
            } else if above.contains(&identity(&meta)) {
                self.unusable(&folder, "source-unreadable", "the link leads back to a folder above it")?;
            } else {
                above.push(identity(&meta));
                let target = place.target.join(listing.beside.folder(name));
                let place = FolderVisit { folder: &folder, below: &below, target: &target, depth: place.depth + 1 };
                let flow = self.folder(place, above);
                above.pop();
                flow?;
            }
        }
        Flow::Continue(())
    }

    fn glob(&mut self, pattern: &str, base: &Path) -> Flow {
        let matches = glob::glob(pattern).expect("the pattern was read when the sources were");
        for path in matches {
            let path = match path.map_err(|error| (error.path().to_owned(), error.error().to_string())) {
                Ok(path) => self.sources.absolute(&path),
                Err((path, said)) => {
                    self.unusable(&path, "source-unreadable", said)?;
                    continue;
                }
            };
            if path.starts_with(&self.sources.out) && self.sources.out.starts_with(base) {
                continue;
            }
            let below = path.strip_prefix(base).unwrap_or(&path).to_owned();
            self.path(&path, Some(&below))?;
        }
        Flow::Continue(())
    }

    fn list(&mut self, list: &List) -> Flow {
        let shown = list.shown();
        let read = list.each(&mut |line, entry| match entry {
            Ok(entry) => self.entry(entry, &format!("{shown}:{line}")),
            Err(said) => self.invalid(&format!("{shown}:{line}"), said),
        });
        read.unwrap_or_else(|error| {
            let failure = Failure::permanent("source-unreadable", error.to_string());
            (self.hand_out)(Found::Unusable(shown, failure))
        })
    }

    fn entry(&mut self, entry: ListedSource, line: &str) -> Flow {
        let ListedSource { given, name, out } = entry;
        let explicit = name.is_some() || out.is_some();
        let path = match given {
            Given::Url(url) => {
                let target = name::given(out.as_deref(), name.as_deref(), name::of_url(&url));
                return self.url(&url, target, explicit);
            }
            Given::Path(path) => path,
        };
        let (absolute, below) = (self.sources.absolute(&path), name::below(&path));
        if !explicit {
            return self.path(&absolute, Some(&below));
        }
        let meta = match fs::metadata(&absolute) {
            Ok(meta) => meta,
            Err(error) => return self.unusable(&absolute, "source-unreadable", error.to_string()),
        };
        let (otherwise, own) = self.target_of(&absolute);
        let otherwise = (below.with_file_name(otherwise), own);
        let target = match name::given(out.as_deref(), name.as_deref(), otherwise) {
            Ok(_) if meta.is_dir() => return self.invalid(line, "a folder has neither `name` nor `out`".into()),
            Ok(target) => target,
            Err(said) => return self.invalid(line, said),
        };
        self.file(&absolute, &below, target, true, Some(&meta))
    }

    /// Hands out a file that nothing speaks against.
    fn file(
        &mut self,
        file: &Path,
        below: &Path,
        (target, own): Target<PathBuf>,
        explicit: bool,
        meta: Option<&Metadata>,
    ) -> Flow {
        let filters = &self.sources.filters;
        if let Some(why) = filters.name(below) {
            self.pass_over(why);
            return Flow::Continue(());
        }
        // A list may ask for one file under several names.
        if !explicit && self.seen.is_some() {
            let resolved = self.resolved(file);
            let source = self.source;
            if self.seen.as_mut().is_some_and(|seen| seen.is_twice(resolved, source)) {
                self.pass_over(Why::Twice);
                return Flow::Continue(());
            }
        }
        if filters.needs_facts() {
            let looked;
            let meta = match meta {
                Some(meta) => meta,
                None => match fs::metadata(file) {
                    Ok(meta) => {
                        looked = meta;
                        &looked
                    }
                    Err(error) => return self.unusable(file, "source-unreadable", error.to_string()),
                },
            };
            if let Some(why) = filters.facts(meta) {
                self.pass_over(why);
                return Flow::Continue(());
            }
        }
        let picture = Picture { origin: Origin::File(file.to_owned()), target, own };
        let result = self.sources.out.join(self.sources.names.path(&picture, "0-result.jpg"));
        if result.parent() == file.parent() {
            // The next run would take the results for sources.
            let said = "the results would lie beside it; name another folder with --out";
            return self.unusable(file, "result-beside-source", said);
        }
        self.picture(picture)
    }

    fn url(&mut self, url: &url::Url, target: Result<Target<PathBuf>, String>, explicit: bool) -> Flow {
        self.source += 1;
        if let Some(why) = self.sources.filters.name(Path::new(url.path().trim_start_matches('/'))) {
            self.pass_over(why);
            return Flow::Continue(());
        }
        let origin = Origin::Url(url.clone());
        let (target, own) = match target {
            Ok(target) => target,
            Err(said) => return self.invalid(&origin.name(&self.sources.here), said),
        };
        let source = self.source;
        if !explicit && self.seen.as_mut().is_some_and(|seen| seen.is_twice(url, source)) {
            self.pass_over(Why::Twice);
            return Flow::Continue(());
        }
        self.picture(Picture { origin, target, own })
    }

    fn picture(&mut self, picture: Picture) -> Flow {
        let name = fold(picture.target.as_os_str());
        if self.seen.as_mut().is_some_and(|seen| !seen.targets.insert(seen.hasher.hash_one(name))) {
            let said = format!(
                "its results would be called {}, as another picture's are; name a folder above both, give each its own \
                 --out, or tell them apart by `name` in a list",
                picture.target.display()
            );
            let failure = Failure::permanent("name-taken", said);
            return (self.hand_out)(Found::Unusable(picture.name(&self.sources.here), failure));
        }
        (self.hand_out)(Found::Picture(picture))?;
        self.taken += 1;
        if self.sources.filters.limit == Some(self.taken) { Flow::Break(()) } else { Flow::Continue(()) }
    }

    fn unusable(&mut self, path: &Path, code: &'static str, said: impl Into<String>) -> Flow {
        let name = shown(path, &self.sources.here);
        (self.hand_out)(Found::Unusable(name, Failure::permanent(code, said)))
    }

    fn invalid(&mut self, line: &str, said: String) -> Flow {
        (self.hand_out)(Found::Unusable(line.to_owned(), Failure::permanent("invalid-line", said)))
    }

    fn pass_over(&self, why: Why) {
        self.passed[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The same path for one file, however its folder is written.
    fn resolved(&mut self, file: &Path) -> PathBuf {
        let (folder, name) = (file.parent().unwrap_or(file), file.file_name().unwrap_or_default());
        if self.resolved.0 != folder {
            let resolved = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
            self.resolved = (folder.to_owned(), resolved);
        }
        self.resolved.1.join(name)
    }

    /// The last part of a named file's target, by what is beside it.
    fn target_of(&mut self, file: &Path) -> Target<std::ffi::OsString> {
        let (folder, name) = (file.parent().unwrap_or(file), file.file_name().unwrap_or_default());
        if let Some(i) = self.beside.iter().position(|(known, _)| known == folder) {
            // The last one used is the last to go.
            let known = self.beside.remove(i);
            self.beside.push(known);
        } else {
            let beside = names(folder).unwrap_or_default();
            if self.beside.len() == FOLDERS {
                self.beside.remove(0);
            }
            self.beside.push((folder.to_owned(), beside));
        }
        self.beside.last().expect("one was just put there").1.target(name)
    }

    fn is_out(&self, folder: &Path, meta: &Metadata) -> bool {
        let out = &self.sources.out;
        folder == out || fs::metadata(out).is_ok_and(|out| identity(&out) == identity(meta))
    }
}

pub(super) fn nothing_passed() -> Passed {
    std::array::from_fn(|_| AtomicU64::new(0))
}

fn names(folder: &Path) -> io::Result<Beside> {
    let mut beside = Beside::default();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            beside.add(&entry.file_name());
        }
    }
    Ok(beside)
}

fn identity(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

fn is_hidden(name: &[u8]) -> bool {
    name.starts_with(b".")
}
