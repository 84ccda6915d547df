//! Which pictures a batch is about, and what each one's results are called.
//!
//! Folders are walked in full, without hidden entries and without the folder that results go to;
//! globs are expanded; lists and standard input are read as they come; a file that is named is always
//! taken, if no filter speaks against it. Pictures are handed out as they are found, a few hundred
//! ahead of whoever works on them, so their number costs no memory; a second walk only counts them,
//! so that there is a time left to tell.

mod filter;
mod list;
mod listing;
mod name;
mod walk;

use std::ops::ControlFlow;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::mpsc;
use url::Url;

use super::super::{exit::Usage, near};
use super::names::Names;
use super::picture::Picture;
use crate::errors::Failure;

pub(super) use filter::{Filters, Why};
use list::List;
pub(super) use name::fold;
use walk::{Walk, nothing_passed};

/// Pictures found ahead of those at work.
pub(super) const AHEAD: usize = 256;
/// A folder within a folder is a call within a call, and a path is at most 4,096 bytes.
const STACK: usize = 32 << 20;

/// How many files were passed over, by reason.
type Passed = [AtomicU64; Why::ALL.len()];

pub(super) enum Found {
    Picture(Picture),
    /// What could not be looked at or made sense of, and why.
    Unusable(String, Failure),
}

/// What the command line names, once it is known to be there.
#[derive(Debug)]
pub(super) struct Sources {
    roots: Vec<Root>,
    filters: Filters,
    /// Absolute; it and what is below it never counts.
    out: PathBuf,
    names: Names,
    here: PathBuf,
}

#[derive(Debug)]
enum Root {
    Path(PathBuf),
    Glob { pattern: String, base: PathBuf },
    List(List),
    Url(Url),
}

/// How far the walk is.
#[derive(Debug)]
pub(super) struct Progress {
    found: AtomicU64,
    walked: AtomicBool,
    counted: AtomicU64,
    counted_all: AtomicBool,
    passed: Passed,
}

impl Sources {
    /// Holds the command line against the disk.
    ///
    /// # Errors
    /// A path, glob or list that leads to nothing, and results that would lie beside a file that is named.
    pub(super) fn new(
        paths: &[PathBuf],
        lists: &[PathBuf],
        nul: bool,
        filters: Filters,
        out: &Path,
        names: Names,
    ) -> Result<Self, Usage> {
        let here = std::env::current_dir().unwrap_or_default();
        let mut sources = Self { roots: Vec::new(), filters, out: PathBuf::new(), names, here };
        sources.out = sources.absolute(out);
        let stdin = paths.iter().chain(lists).filter(|path| path.as_os_str() == "-").count();
        if stdin > 1 {
            return Err(Usage("standard input (-) can be read once only".into()));
        }
        if nul && lists.is_empty() && stdin == 0 {
            return Err(Usage("--null is for lists: add `-` or --list FILE".into()));
        }
        for path in paths {
            let root = sources.root(path, nul)?;
            sources.roots.push(root);
        }
        for list in lists {
            sources.roots.push(Root::List(List::open(list, nul)?));
        }
        Ok(sources)
    }

    fn root(&self, path: &Path, nul: bool) -> Result<Root, Usage> {
        if path.as_os_str() == "-" {
            return List::open(path, nul).map(Root::List);
        }
        let text = path.to_str().unwrap_or_default();
        if list::is_address(text) {
            return list::address(text).map(Root::Url).map_err(Usage);
        }
        let file = self.absolute(path);
        match std::fs::metadata(&file) {
            Ok(meta) if meta.is_file() && file.parent() == Some(&self.out) => Err(Usage(format!(
                "the results of {} would lie beside it in {}; name another folder with --out",
                path.display(),
                self.out.display()
            ))),
            Ok(meta) if meta.is_file() || meta.is_dir() => Ok(Root::Path(file)),
            Ok(_) => Err(Usage(format!("{}: neither a file nor a folder", path.display()))),
            Err(_) if text.contains(['*', '?', '[']) => self.glob(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Usage(near::no_such_file(path))),
            Err(error) => Err(Usage(format!("{}: {error}", path.display()))),
        }
    }

    fn glob(&self, pattern: &str) -> Result<Root, Usage> {
        let mut matches = glob::glob(pattern).map_err(|error| Usage(format!("{pattern}: not a glob: {error}")))?;
        if matches.next().is_none() {
            return Err(Usage(format!("{pattern}: nothing matches")));
        }
        let fixed = |part: &Component<'_>| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
        let base: PathBuf = Path::new(pattern).components().take_while(fixed).collect();
        Ok(Root::Glob { pattern: pattern.to_owned(), base: self.absolute(&base) })
    }

    /// Whether nothing found can only be a mistake: no list that may be empty, no filter that may leave nothing.
    pub(super) fn expect_pictures(&self) -> bool {
        !self.filters.choose() && !self.roots.iter().any(|root| matches!(root, Root::List(_)))
    }

    /// Walks on a thread of its own, and counts on another.
    pub(super) fn start(self: Arc<Self>) -> (mpsc::Receiver<Found>, Arc<Progress>) {
        let (found, receiver) = mpsc::channel(AHEAD);
        let progress = Arc::new(Progress::default());
        let (sources, told) = (self.clone(), progress.clone());
        spawn("walk", move || {
            let mut wanted = true;
            sources.walk(&told.passed, &mut |one| {
                told.found.fetch_add(1, Ordering::Relaxed);
                wanted = found.blocking_send(one).is_ok();
                if wanted { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            // Of a run that was stopped, nobody knows what more there was.
            told.walked.store(wanted, Ordering::Release);
        });
        if self.roots.iter().all(|root| if let Root::List(list) = root { list.is_lasting() } else { true }) {
            let told = progress.clone();
            spawn("count", move || {
                self.walk(&nothing_passed(), &mut |_| {
                    told.counted.fetch_add(1, Ordering::Relaxed);
                    if told.is_walked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                });
                told.counted_all.store(true, Ordering::Release);
            });
        }
        (receiver, progress)
    }

    /// Hands out everything on this thread.
    pub(super) fn walk(&self, passed: &Passed, hand_out: &mut dyn FnMut(Found) -> ControlFlow<()>) {
        Walk::new(self, passed, hand_out).run();
    }

    fn absolute(&self, path: &Path) -> PathBuf {
        // Without `.` and doubled slashes, but links and `..` as they are.
        std::path::absolute(self.here.join(path)).unwrap_or_else(|_| self.here.join(path))
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            found: AtomicU64::new(0),
            walked: AtomicBool::new(false),
            counted: AtomicU64::new(0),
            counted_all: AtomicBool::new(false),
            passed: nothing_passed(),
        }
    }
}

impl Progress {
    /// Pictures in all, as far as they have been found, and whether there are no more.
    pub(super) fn total(&self) -> (u64, bool) {
        let walked = self.is_walked();
        let (found, counted) = (self.found.load(Ordering::Relaxed), self.counted.load(Ordering::Relaxed));
        if walked { (found, true) } else { (found.max(counted), self.counted_all.load(Ordering::Acquire)) }
    }

    pub(super) fn is_walked(&self) -> bool {
        self.walked.load(Ordering::Acquire)
    }

    pub(super) fn passed(&self) -> &[AtomicU64; Why::ALL.len()] {
        &self.passed
    }

    /// Reasons and how many files they left out.
    pub(super) fn passed_over(&self) -> Vec<(Why, u64)> {
        let counted = Why::ALL.into_iter().map(|why| (why, self.passed[why as usize].load(Ordering::Relaxed)));
        counted.filter(|(_, count)| *count > 0).collect()
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().name(name.into()).stack_size(STACK);
    thread.spawn(work).expect("a thread can be started");
}

#[cfg(test)]
mod tests;
