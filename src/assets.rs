//! The operator's folders of fonts and overlays for watermarks.
//!
//! Fonts are read once, when a process starts; an overlay is read when a picture needs it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// File endings of fonts.
const FONTS: [&str; 4] = ["ttf", "otf", "ttc", "otc"];
/// Most bytes of all fonts in a folder, because every process that draws holds them in memory.
const MAX_FONTS: u64 = 256 << 20;
/// Most bytes of an overlay's file.
const MAX_OVERLAY: u64 = 16 << 20;
/// Most names listed in an error.
const LISTED: usize = 20;

/// The folders of fonts and overlays, if set.
#[derive(Debug, Clone, Default)]
pub struct Folders {
    pub fonts: Option<PathBuf>,
    pub overlays: Option<PathBuf>,
    /// Overlays outside the folder, by name: those that a command line gives as paths.
    pub files: Vec<(String, PathBuf)>,
}

impl Folders {
    /// The folders as flags of `pixmill compute`.
    pub fn arguments(&self) -> Vec<OsString> {
        let folders = [("--fonts", &self.fonts), ("--overlays", &self.overlays)];
        let given = folders.into_iter().filter_map(|(flag, folder)| Some([flag.into(), folder.clone()?.into()]));
        let files = self.files.iter().flat_map(|(name, path)| {
            let mut file = OsString::from(format!("{name}="));
            file.push(path);
            ["--overlay-file".into(), file]
        });
        given.flatten().chain(files).collect()
    }

    /// Parses the flag of a single file, as written by [`arguments`](Self::arguments).
    pub fn file(argument: &OsStr) -> Option<(String, PathBuf)> {
        let bytes = argument.as_bytes();
        let at = bytes.iter().position(|byte| *byte == b'=')?;
        let name = String::from_utf8(bytes[..at].to_vec()).ok()?;
        Some((name, OsStr::from_bytes(&bytes[at + 1..]).into()))
    }

    /// Whether the folder has an overlay of this name.
    pub fn has_overlay(&self, name: &str) -> bool {
        self.overlays.as_ref().is_some_and(|folder| folder.join(name).is_file())
    }

    /// Registers the fonts and overlays in this process. Call it before the first picture.
    ///
    /// # Errors
    /// If a folder cannot be read, or if a font in it is invalid.
    pub fn provide(self) -> Result<()> {
        let fonts = match &self.fonts {
            Some(folder) => read_fonts(folder)
                .with_context(|| format!("cannot read fonts from {} (watermark.fonts)", folder.display()))?,
            None => Vec::new(),
        };
        if let Some(folder) = &self.overlays {
            list(folder)
                .with_context(|| format!("cannot read overlays from {} (watermark.overlays)", folder.display()))?;
        }
        let (folder, files) = (self.overlays, self.files);
        let is_any = folder.is_some() || !files.is_empty();
        let read = move |name: &str| match (files.iter().find(|(known, _)| known == name), &folder) {
            (Some((_, file)), _) => read_file(file),
            (None, Some(folder)) => read_overlay(folder, name),
            (None, None) => Err(io::Error::other("watermark.overlays names no folder")),
        };
        let overlays: Option<Box<imaging::ReadOverlay>> = if is_any { Some(Box::new(read)) } else { None };
        imaging::provide(fonts, overlays).map_err(|error| anyhow::anyhow!("watermark.fonts: {}", error.detail))
    }
}

/// The folder's fonts by their file stems, sorted by name.
fn read_fonts(folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut fonts = Vec::new();
    let mut bytes = 0;
    for name in list(folder)? {
        let path = folder.join(&name);
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        if !ending.is_some_and(|ending| FONTS.contains(&ending.as_str())) {
            continue;
        }
        bytes += fs::metadata(&path)?.len();
        anyhow::ensure!(bytes <= MAX_FONTS, "the fonts have more than {MAX_FONTS} bytes");
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        fonts.push((stem, fs::read(&path).with_context(|| name)?));
    }
    Ok(fonts)
}

/// `name` is a plain file name, which imaging has checked.
fn read_overlay(folder: &Path, name: &str) -> io::Result<Vec<u8>> {
    read_file(&folder.join(name)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(error.kind(), absent(folder)),
        _ => error,
    })
}

/// An overlay's bytes.
///
/// # Errors
/// If it is not a file, or larger than 16 MiB.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let there = fs::metadata(path)?;
    if !there.is_file() {
        return Err(io::Error::other("is not a file"));
    }
    if there.len() > MAX_OVERLAY {
        return Err(io::Error::other(format!("{} bytes exceed the limit of {MAX_OVERLAY}", there.len())));
    }
    fs::read(path)
}

fn absent(folder: &Path) -> String {
    let mut names = list(folder).unwrap_or_default();
    if names.is_empty() {
        return "is not there; watermark.overlays is empty".into();
    }
    let more = if names.len() > LISTED { ", …" } else { "" };
    names.truncate(LISTED);
    format!("is not there; there are {}{more}", names.join(", "))
}

/// The names of a folder's files without hidden ones, sorted.
fn list(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fonts_are_read_by_stem_and_all_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.TTF", "a.otf", "readme.txt", ".hidden.ttf"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let stems: Vec<String> = read_fonts(folder.path()).unwrap().into_iter().map(|(stem, _)| stem).collect();
        assert_eq!(stems, ["a", "b"]);
    }

    #[test]
    fn overlays_by_path_reach_a_child_as_they_are() {
        let path = PathBuf::from(OsStr::from_bytes(b"/a=b/\xff.png"));
        let folders = Folders { files: vec![("logo-1.png".into(), path)], ..Folders::default() };
        let [flag, file] = &folders.arguments()[..] else { panic!("{:?}", folders.arguments()) };
        assert_eq!(flag, "--overlay-file");
        assert_eq!(Folders::file(file), Some(folders.files[0].clone()));
    }

    #[test]
    fn missing_overlay_is_answered_with_those_that_there_are() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("logo.png"), "x").unwrap();
        assert_eq!(read_overlay(folder.path(), "logo.png").unwrap(), b"x");
        let said = read_overlay(folder.path(), "log.png").unwrap_err().to_string();
        assert!(said.contains("there are logo.png"), "{said}");
        assert!(read_overlay(folder.path(), ".").is_err());
    }
}
