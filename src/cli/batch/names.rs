//! What results are called below `OUT`: a pattern with fields, `--name '{dir}/{stem}.{ext}'`.
//!
//! A name follows from the picture, the operation's place and type, and the result's format. It does not depend on the other
//! pictures of a run. The server and the worker call a result `<index>-<type>.<ext>`: place, type and format are read from
//! that name.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use imaging::{Operation, operation::Action};

use super::picture::Picture;
use crate::cli::ending;

/// The patterns for one operation and for several, unless `--name` gives another.
const ONE: &str = "{dir}/{stem}.{ext}";
pub(super) const SEVERAL: &str = "{dir}/{stem}-{index}-{op}.{ext}";

/// A pattern of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    written: String,
    /// What is before the ending.
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Dir,
    Stem,
    Index,
    Op,
}

/// A result as the server and the worker call it: `0-resize.jpg`.
struct Called<'a> {
    index: &'a str,
    op: &'a str,
    ext: &'a str,
}

impl Names {
    /// The pattern for this number of operations, unless `--name` gives another.
    pub(super) fn usual(operations: usize) -> Self {
        Self::parse(if operations == 1 { ONE } else { SEVERAL }).expect("the usual patterns are well formed")
    }

    /// # Errors
    /// What is wrong with the pattern.
    pub(super) fn parse(written: &str) -> Result<Self, String> {
        let Some(rest) = written.strip_suffix(".{ext}") else {
            return Err("ends with `.{ext}`: the result's format decides its ending".into());
        };
        let mut parts = Vec::new();
        let mut rest = rest;
        while let Some(at) = rest.find(['{', '}']) {
            parts.push(Part::Text(rest[..at].to_owned()));
            let field = rest[at..].strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let (field, behind) = field.ok_or("a brace belongs to a field, as in {stem}")?;
            parts.push(match field {
                "dir" => Part::Dir,
                "stem" => Part::Stem,
                "index" => Part::Index,
                "op" => Part::Op,
                "ext" => return Err("{ext} is the name's end, and there once".into()),
                _ => {
                    return Err(format!(
                        "there is no field {{{field}}}; known: {{dir}}, {{stem}}, {{index}}, {{op}}, {{ext}}"
                    ));
                }
            });
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| *part != Part::Text(String::new()));
        if !parts.contains(&Part::Stem) {
            return Err("needs {stem}, or all pictures would have one name".into());
        }
        let leads_out = |part: &str| part == ".." || part.eq_ignore_ascii_case(".pixmill");
        if written.starts_with('/') || written.split('/').any(leads_out) || written.contains(char::is_control) {
            return Err("leads out of --out: write a path below it, without `..`".into());
        }
        Ok(Self { written: written.to_owned(), parts })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.written
    }

    /// Where a picture's result goes, below `OUT`; `file` is what the worker or the server calls it.
    pub(super) fn path(&self, picture: &Picture, file: &str) -> PathBuf {
        let Called { index, op, ext } = Called::of(file);
        let own = picture.own.as_ref().filter(|own| {
            let format = ending::format(&own.ending);
            format.is_some() && format == ending::format(ext)
        });
        let target = &picture.target;
        let (stem, ext) = match own {
            Some(own) => (own.stem.as_os_str(), own.ending.as_str()),
            None => (target.file_name().unwrap_or_default(), ext),
        };
        let mut name = OsString::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => name.push(text),
                Part::Dir => name.push(target.parent().unwrap_or(Path::new(""))),
                Part::Stem => name.push(stem),
                Part::Index => name.push(index),
                Part::Op => name.push(op),
            }
        }
        name.push(".");
        name.push(ext);
        let parts = name.as_bytes().split(|byte| *byte == b'/');
        parts.filter(|part| !matches!(*part, b"" | b"." | b"..")).map(OsStr::from_bytes).collect()
    }

    /// Holds the pattern against the operations.
    ///
    /// # Errors
    /// Where two results of one picture would have the same name.
    pub(super) fn tell_apart(&self, operations: &[Operation]) -> Result<(), String> {
        let picture = Picture::named("picture");
        let files: Vec<String> = operations
            .iter()
            .enumerate()
            .map(|(i, operation)| {
                let format = operation.save.format.map(imaging::Format::extension);
                let answer = matches!(operation.action, Action::Info(_)).then_some("json");
                file(i, operation, answer.or(format).unwrap_or("*"))
            })
            .collect();
        let paths: Vec<PathBuf> = files.iter().map(|file| self.path(&picture, file)).collect();
        for (i, path) in paths.iter().enumerate() {
            // An ending that is left to the source may be that of any picture.
            let ends = |path: &Path, ending: &str| path.extension() == Some(OsStr::new(ending));
            let same = |other: &&PathBuf| {
                let both = [path, *other];
                let open = both.iter().any(|path| ends(path, "*")) && !both.iter().any(|path| ends(path, "json"));
                path == *other || open && path.with_extension("") == other.with_extension("")
            };
            if let Some(other) = paths[..i].iter().position(|other| same(&other)) {
                return Err(format!(
                    "--name {}: the results of operations {other} and {i} would have one name; add {{index}} or {{op}}",
                    self.written
                ));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl<'a> Called<'a> {
    fn of(file: &'a str) -> Self {
        let (name, ext) = file.rsplit_once('.').unwrap_or((file, ""));
        let (index, op) = name.split_once('-').unwrap_or((name, ""));
        Self { index, op, ext }
    }
}

/// What the worker calls the result of the `i`th operation.
pub(super) fn file(i: usize, operation: &Operation, ext: &str) -> String {
    format!("{i}-{}.{ext}", operation.name().unwrap_or(operation.kind()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;
    use crate::cli::batch::picture::Own;
    use imaging::{Limits, operation};

    fn picture(target: &str, own: Option<(&str, &str)>) -> Picture {
        let own = own.map(|(stem, ending)| Own { stem: stem.into(), ending: ending.into() });
        Picture { target: target.into(), own, ..Picture::named("x") }
    }

    fn path(pattern: &str, picture: &Picture, file: &str) -> String {
        Names::parse(pattern).unwrap().path(picture, file).display().to_string()
    }

    #[test]
    fn fields_are_filled_in() {
        let cat = picture("2024/cat", Some(("cat", "JPG")));
        assert_eq!(path(ONE, &cat, "0-resize.webp"), "2024/cat.webp");
        assert_eq!(path(SEVERAL, &cat, "12-my-card.png"), "2024/cat-12-my-card.png");
        assert_eq!(path("{op}/{dir}/{stem}@{index}.{ext}", &cat, "1-flip.png"), "flip/2024/cat@1.png");
        let top = picture("cat", None);
        assert_eq!(path(ONE, &top, "0-resize.webp"), "cat.webp");
        assert_eq!(path("{stem}.{ext}", &cat, "0-info.json"), "cat.json");
    }

    #[test]
    fn picture_whose_format_stays_keeps_its_name() {
        let beside = picture("cat.JPG", Some(("cat", "JPG")));
        assert_eq!(path(ONE, &beside, "0-resize.jpg"), "cat.JPG");
        assert_eq!(path(ONE, &beside, "0-resize.webp"), "cat.JPG.webp", "cat.png lies beside it");
        assert_eq!(path(SEVERAL, &beside, "0-resize.jpg"), "cat-0-resize.JPG");
    }

    #[test]
    fn names_that_are_no_utf8_stay_as_they_are() {
        let odd = OsString::from_vec(b"\xff".to_vec());
        let picture = Picture { target: odd.into(), ..Picture::named("x") };
        let name = Names::usual(1).path(&picture, "0-flip.png");
        assert_eq!(name.as_os_str().as_bytes(), b"\xff.png");
    }

    #[test]
    fn patterns_that_lead_astray_are_refused() {
        for (pattern, said) in [
            ("{stem}", "ends with `.{ext}`"),
            ("{dir}/x.{ext}", "needs {stem}"),
            ("{stem}-{width}.{ext}", "there is no field {width}; known: {dir}, {stem}"),
            ("{stem.{ext}", "a brace belongs to a field"),
            ("{stem}}.{ext}", "a brace belongs to a field"),
            ("../{stem}.{ext}", "leads out of --out"),
            ("/tmp/{stem}.{ext}", "leads out of --out"),
            (".pixmill/{stem}.{ext}", "leads out of --out"),
        ] {
            let fault = Names::parse(pattern).unwrap_err();
            assert!(fault.contains(said), "{pattern}: {fault}");
        }
    }

    #[test]
    fn results_of_one_picture_are_told_apart() {
        let fault = |pattern: &str, json: &str| {
            let operations = operation::parse(json, &Limits::default()).unwrap();
            Names::parse(pattern).unwrap().tell_apart(&operations).err()
        };
        let sizes = r#"[{"type":"thumbnail","size":[8,8]},{"type":"thumbnail","size":[9,9]},{"type":"flip"}]"#;
        assert_eq!(fault(SEVERAL, sizes), None);
        assert!(fault(ONE, sizes).unwrap().contains("operations 0 and 1 would have one name"));
        assert!(fault("{stem}-{op}.{ext}", sizes).unwrap().contains("add {index} or {op}"));
        let formats = r#"[{"type":"convert","format":"webp"},{"type":"convert","format":"avif"}]"#;
        assert_eq!(fault(ONE, formats), None, "their endings differ");
        let open = r#"[{"type":"convert","format":"webp"},{"type":"flip"}]"#;
        assert!(fault(ONE, open).is_some(), "the source may be a WebP");
        assert_eq!(fault(ONE, r#"[{"type":"info"},{"type":"flip"}]"#), None, "an answer is no picture");
    }
}
