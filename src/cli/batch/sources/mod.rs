//! Which pictures a batch is about, and what each one's results are called.
//!
//! Folders are walked in full, without hidden entries and without the folder that results go to;
//! globs are expanded; a file that is named is always taken. A result lies under `OUT` where its
//! source lies under the path that was given. Only names are held: 100,000 of them are a few
//! dozen megabytes.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::super::exit::Usage;

/// What counts as a picture inside a folder. Those we cannot read yet are among them, so that they
/// fail by name instead of being passed over in silence.
const EXTENSIONS: [&str; 20] = [
    "jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "dib", "tif", "tiff", "avif", "heic", "heif", "jxl",
    "jp2", "qoi", "psd", "apng", "ico",
];

/// One picture to be processed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picture {
    /// Absolute.
    pub(super) file: PathBuf,
    /// Below the output folder: the results' names up to `-<index>-<type>.<ext>`.
    pub(super) target: PathBuf,
}

/// What the paths of the command line led to.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// By path, each file once.
    pub(super) pictures: Vec<Picture>,
    /// Files in folders that do not look like pictures.
    pub(super) passed_over: usize,
    /// Folders and files that could not be looked at, and why.
    pub(super) unreadable: Vec<(String, String)>,
}

/// Finds the pictures that `paths` name; `out` and what is below it never counts.
///
/// # Errors
/// A path or glob that leads to nothing, results that would lie beside their source, and two sources whose results
/// would have the same names.
pub(super) fn find(paths: &[String], out: &Path) -> Result<Found, Usage> {
    let mut found = Found::default();
    let out = absolute(out)?;
    for path in paths {
        if Path::new(path).exists() {
            add(&mut found, Path::new(path), None, &out)?;
        } else if path.contains(['*', '?', '[']) {
            expand(&mut found, path, &out)?;
        } else {
            return Err(Usage(format!("{path}: no such file or folder")));
        }
    }
    found.pictures.sort_by(|a, b| a.file.cmp(&b.file));
    found.pictures.dedup_by(|a, b| a.file == b.file);
    if let Some(beside) = found.pictures.iter().find(|one| out.join(&one.target).parent() == one.file.parent()) {
        // The next run would take the results for sources.
        let (source, out) = (beside.file.display(), out.display());
        return Err(Usage(format!(
            "the results of {source} would lie beside it in {out}; name another folder with --out"
        )));
    }
    tell_apart(&mut found.pictures)?;
    Ok(found)
}

impl Picture {
    /// Its path for people: relative to `here` where it lies below.
    pub(super) fn name(&self, here: &Path) -> String {
        self.file.strip_prefix(here).unwrap_or(&self.file).display().to_string()
    }

    fn new(file: &Path, below: &Path) -> Self {
        Self { file: file.to_owned(), target: below.with_extension("") }
    }
}

fn expand(found: &mut Found, pattern: &str, out: &Path) -> Result<(), Usage> {
    let matches = glob::glob(pattern).map_err(|error| Usage(format!("{pattern}: not a glob: {error}")))?;
    let fixed = |part: &std::path::Component<'_>| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    let base: PathBuf = Path::new(pattern).components().take_while(fixed).collect();
    let mut any = false;
    for path in matches {
        any = true;
        match path {
            Ok(path) => add(found, &path, Some(&base), out)?,
            Err(error) => found.unreadable.push((error.path().display().to_string(), error.error().to_string())),
        }
    }
    if any { Ok(()) } else { Err(Usage(format!("{pattern}: nothing matches"))) }
}

/// Adds a file, or what a folder holds. Targets are relative to `base`, else to the folder given.
fn add(found: &mut Found, path: &Path, base: Option<&Path>, out: &Path) -> Result<(), Usage> {
    let path = absolute(path)?;
    let base = match base {
        Some(base) => {
            let base = absolute(base)?;
            if path.starts_with(out) && out.starts_with(&base) {
                return Ok(());
            }
            base
        }
        None if path.is_dir() => path.clone(),
        None => path.parent().unwrap_or(&path).to_owned(),
    };
    let below = |file: &Path| file.strip_prefix(&base).unwrap_or(file).to_owned();
    if !path.is_dir() {
        found.pictures.push(Picture::new(&path, &below(&path)));
        return Ok(());
    }
    if path == out {
        // `pixmill batch *` again, beside the results of the first time.
        return Ok(());
    }
    let hidden = |name: &OsStr| name.as_encoded_bytes().starts_with(b".");
    let walk = WalkDir::new(&path).follow_links(true).sort_by_file_name();
    for entry in walk.into_iter().filter_entry(|at| at.depth() == 0 || !hidden(at.file_name()) && at.path() != out) {
        match entry {
            Ok(entry) if !entry.file_type().is_file() => {}
            Ok(entry) if is_picture(entry.path()) => {
                found.pictures.push(Picture::new(entry.path(), &below(entry.path())));
            }
            Ok(_) => found.passed_over += 1,
            Err(error) => {
                let at = error.path().map_or_else(|| path.display().to_string(), |path| path.display().to_string());
                let said = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
                found.unreadable.push((at, said));
            }
        }
    }
    Ok(())
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str);
    extension.is_some_and(|extension| EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension)))
}

/// `cat.jpg` and `cat.png` in one folder keep their extensions: `cat.jpg-0-resize.jpg`.
fn tell_apart(pictures: &mut [Picture]) -> Result<(), Usage> {
    // Again until nothing changes: the longer name may be somebody else's short one.
    loop {
        let mut changed = false;
        for clash in clashes(pictures) {
            for i in clash {
                let whole = pictures[i].target.with_file_name(pictures[i].file.file_name().unwrap_or_default());
                changed |= std::mem::replace(&mut pictures[i].target, whole.clone()) != whole;
            }
        }
        if !changed {
            break;
        }
    }
    let Some(clash) = clashes(pictures).into_iter().next() else { return Ok(()) };
    Err(Usage(format!(
        "{} and {} would both become {}-…; name a folder above both, or give each its own --out",
        pictures[clash[0]].file.display(),
        pictures[clash[1]].file.display(),
        pictures[clash[0]].target.display()
    )))
}

fn clashes(pictures: &[Picture]) -> Vec<Vec<usize>> {
    let mut by_target: HashMap<&Path, Vec<usize>> = HashMap::with_capacity(pictures.len());
    for (i, picture) in pictures.iter().enumerate() {
        by_target.entry(&picture.target).or_default().push(i);
    }
    by_target.into_values().filter(|same| same.len() > 1).collect()
}

fn absolute(path: &Path) -> Result<PathBuf, Usage> {
    std::path::absolute(path).map_err(|error| Usage(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let file = folder.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "x").unwrap();
        }
        folder
    }

    fn targets(folder: &Path, paths: &[&str]) -> Result<Vec<String>, String> {
        let paths: Vec<String> = paths.iter().map(|path| folder.join(path).display().to_string()).collect();
        let found = find(&paths, &folder.join("out")).map_err(|fault| fault.0)?;
        Ok(found.pictures.iter().map(|picture| picture.target.display().to_string()).collect())
    }

    #[test]
    fn folders_are_walked_without_hidden_files_and_results() {
        let folder = folder(&["b/c.PNG", "a.jpg", "notes.txt", ".git/x.png", "b/.hidden.jpg", "out/a-0-resize.jpg"]);
        assert_eq!(targets(folder.path(), &[""]).unwrap(), ["a", "b/c"]);
    }

    #[test]
    fn named_files_are_taken_whatever_their_name() {
        let folder = folder(&["b/scan", "a.dat"]);
        assert_eq!(targets(folder.path(), &["b/scan", "a.dat"]).unwrap(), ["a", "scan"]);
    }

    #[test]
    fn globs_keep_what_lies_below_their_fixed_part() {
        let folder = folder(&["2023/a.jpg", "2024/a.jpg", "2024/b.txt"]);
        assert_eq!(targets(folder.path(), &["20*/*.jpg"]).unwrap(), ["2023/a", "2024/a"]);
        assert!(targets(folder.path(), &["*.gif"]).unwrap_err().contains("nothing matches"));
    }

    #[test]
    fn file_named_twice_counts_once() {
        let folder = folder(&["a.jpg"]);
        assert_eq!(targets(folder.path(), &["a.jpg", "", "*.jpg"]).unwrap(), ["a"]);
    }

    #[test]
    fn same_stems_keep_their_extensions() {
        let folder = folder(&["a.jpg", "a.png", "a.jpg.webp", "b.jpg"]);
        assert_eq!(targets(folder.path(), &[""]).unwrap(), ["a.jpg", "a.jpg.webp", "a.png", "b"]);
    }

    #[test]
    fn results_beside_their_sources_are_refused() {
        let folder = folder(&["out/a.jpg", "out/b.jpg"]);
        let fault = targets(folder.path(), &["out/a.jpg"]).unwrap_err();
        assert!(fault.contains("out/a.jpg") && fault.contains("--out"), "{fault}");
        assert_eq!(targets(folder.path(), &["out"]).unwrap(), [""; 0]);
    }

    #[test]
    fn same_names_below_two_paths_are_refused() {
        let folder = folder(&["x/a.jpg", "y/a.jpg"]);
        let fault = targets(folder.path(), &["x", "y"]).unwrap_err();
        assert!(fault.contains("x/a.jpg") && fault.contains("y/a.jpg") && fault.contains("--out"), "{fault}");
    }
}
