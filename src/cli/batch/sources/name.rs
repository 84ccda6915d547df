//! What a picture's results are called, decided by what lies beside it and nothing else.
//!
//! `cat.jpg` becomes `cat-0-resize.jpg`. Where `cat.png` lies beside it, or a file that is called `cat`,
//! the ending stays: `cat.jpg-0-resize.jpg`. So no two files of a folder ever meet, whichever of them a
//! run is about. Of a folder only hashes are held, 8 bytes a name.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};
use url::Url;

/// What counts as a picture inside a folder. Those we cannot read yet are among them, so that they
/// fail by name instead of being passed over in silence.
const ENDINGS: [&str; 20] = [
    "jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "dib", "tif", "tiff", "avif", "heic", "heif", "jxl",
    "jp2", "qoi", "psd", "apng", "ico",
];
/// Bytes of a name that are kept: with `-31-<name>.<ext>` behind it and `.….part` around it, it fits any disk.
const LONGEST: usize = 140;

/// Whether a name ends as pictures' do.
pub(super) fn is_picture(name: &OsStr) -> bool {
    let ending = Path::new(name).extension().and_then(OsStr::to_str);
    ending.is_some_and(|ending| ENDINGS.iter().any(|known| known.eq_ignore_ascii_case(ending)))
}

/// The names of a folder, as far as they decide which endings stay.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// Of pictures; true where several have it.
    stems: HashMap<u64, bool>,
    names: HashSet<u64>,
}

impl Beside {
    pub(super) fn add(&mut self, name: &OsStr) {
        self.names.insert(hash(name));
        if is_picture(name) {
            let stem = hash(Path::new(name).file_stem().unwrap_or(name));
            self.stems.entry(stem).and_modify(|several| *several = true).or_insert(false);
        }
    }

    /// The results' names of the file `name` up to `-<index>-<type>`.
    pub(super) fn target(&self, name: &OsStr) -> OsString {
        // `...jpg` has a stem that leads up.
        let stem = Path::new(name).file_stem().filter(|stem| is_picture(name) && *stem != ".." && *stem != ".");
        let alone = |stem: &&OsStr| {
            let hash = hash(stem);
            self.stems.get(&hash) != Some(&true) && !self.names.contains(&hash)
        };
        cut(stem.filter(alone).unwrap_or(name))
    }
}

/// Where the results of a picture lie that a list calls `name`, in the folder `out`.
///
/// # Errors
/// What is wrong with them.
pub(super) fn given(out: Option<&Path>, name: Option<&str>, otherwise: &Path) -> Result<PathBuf, String> {
    let plain = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let folder = match out {
        Some(out) if !plain(out) => return Err(format!("out `{}` leads out of --out", out.display())),
        Some(out) => out,
        None => otherwise.parent().unwrap_or(Path::new("")),
    };
    let last = match name {
        Some(name) if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') => {
            return Err(format!("name `{name}` is no file name"));
        }
        Some(name) if is_picture(OsStr::new(name)) => cut(Path::new(name).file_stem().unwrap_or_default()),
        Some(name) => cut(OsStr::new(name)),
        None => otherwise.file_name().unwrap_or_default().to_owned(),
    };
    Ok(folder.join(last))
}

/// A path as it is written, without what leads up or to the root.
pub(super) fn below(path: &Path) -> PathBuf {
    let normal = |part| if let Component::Normal(part) = part { Some(part) } else { None };
    path.components().filter_map(normal).collect()
}

/// Host and path; the ending stays, for nobody can look what else lies there.
pub(super) fn of_url(url: &Url) -> PathBuf {
    let host = url.host_str().unwrap_or("unknown").to_owned();
    let mut target = PathBuf::from(url.port().map_or(host.clone(), |port| format!("{host}_{port}")));
    let parts = url.path_segments().into_iter().flatten().filter(|part| !part.is_empty());
    target.extend(parts.map(|part| cut(&plain(part))));
    if let Some(query) = url.query() {
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!("~{}", short_digest(query.as_bytes())));
        target.set_file_name(name);
    }
    target
}

/// A part of an address as a file name that leads nowhere else.
fn plain(part: &str) -> OsString {
    let text = decoded(part);
    let text: String = text.chars().map(|c| if c == '/' || c.is_control() { '_' } else { c }).collect();
    match text.strip_prefix('.') {
        Some(rest) => format!("_{rest}").into(),
        None => text.into(),
    }
}

/// Percent signs undone, where that gives text.
fn decoded(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let hex = behind.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match hex.filter(|_| byte == b'%').and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(meant) => (bytes.push(meant), rest = &behind[2..]),
            None => (bytes.push(byte), rest = behind),
        };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| part.to_owned())
}

/// A name that leaves room for what stands behind it.
fn cut(name: &OsStr) -> OsString {
    let bytes = name.as_bytes();
    if bytes.len() <= LONGEST {
        return name.to_owned();
    }
    let digest = short_digest(bytes);
    let mut end = LONGEST - digest.len() - 1;
    // Not within a character.
    while end > 0 && bytes[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    OsString::from_vec([&bytes[..end], b"~", digest.as_bytes()].concat())
}

fn short_digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    format!("{:08x}", u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]))
}

fn hash(name: &OsStr) -> u64 {
    BuildHasherDefault::<DefaultHasher>::new().hash_one(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(names: &[&str]) -> Vec<String> {
        let mut beside = Beside::default();
        for name in names {
            beside.add(OsStr::new(name));
        }
        names.iter().map(|name| beside.target(OsStr::new(name)).into_string().unwrap()).collect()
    }

    #[test]
    fn ending_stays_where_names_would_meet() {
        assert_eq!(targets(&["a.jpg", "b.png", "b.txt"]), ["a", "b", "b.txt"]);
        assert_eq!(targets(&["a.jpg", "a.png", "b.jpg"]), ["a.jpg", "a.png", "b"]);
        assert_eq!(targets(&["a.jpg", "a"]), ["a.jpg", "a"]);
        assert_eq!(targets(&["a.jpg", "a.jpg.png", "a.gif"]), ["a.jpg", "a.jpg.png", "a.gif"]);
        assert_eq!(targets(&["a.jpg.webp", "a.jpg"]), ["a.jpg.webp", "a"]);
        assert_eq!(targets(&["a.JPG", "A.jpg", ".jpg"]), ["a", "A", ".jpg"]);
        assert_eq!(targets(&["..jpg", "...jpg", "....jpg"]), ["..jpg", "...jpg", "..."]);
    }

    #[test]
    fn no_two_files_of_a_folder_have_the_same_results() {
        let parts = ["a", "a.jpg", "a.png", "a.jpg.png", "a.jpg.jpg", "a.txt", "a.jpg.txt", "b", "b.gif"];
        for choice in 0_u32..1 << parts.len() {
            let names: Vec<&str> = (0..parts.len()).filter(|i| choice >> i & 1 == 1).map(|i| parts[i]).collect();
            let targets: HashSet<String> = targets(&names).into_iter().collect();
            assert_eq!(targets.len(), names.len(), "{names:?}");
        }
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let name = |end: &str| format!("{}{end}.jpg", "ü".repeat(120));
        let targets = targets(&[&name("1"), &name("2")]);
        assert!(targets.iter().all(|target| target.len() <= LONGEST && target.starts_with("üü")), "{targets:?}");
        assert_ne!(targets[0], targets[1]);
    }

    #[test]
    fn addresses_become_plain_names() {
        for (url, target) in [
            ("https://example.org/a/cat.jpg", "example.org/a/cat.jpg"),
            ("https://example.org:8443//a%20b/%E7%8C%AB.png", "example.org_8443/a b/猫.png"),
            ("https://example.org/..%2f..%2Fetc/.ssh/%00", "example.org/_._.._etc/_ssh/_"),
            ("https://example.org/cat.jpg?w=1", "example.org/cat.jpg~a5017532"),
            ("https://example.org", "example.org"),
        ] {
            let target_of = of_url(&Url::parse(url).unwrap());
            if !target.contains('~') {
                assert_eq!(target_of, Path::new(target), "{url}");
            }
            assert!(target_of.components().all(|part| matches!(part, Component::Normal(_))), "{target_of:?}");
        }
        let queried = |query: &str| of_url(&Url::parse(&format!("https://a/cat.jpg?{query}")).unwrap());
        assert_ne!(queried("w=1"), queried("w=2"));
    }

    #[test]
    fn lists_name_results_within_the_output_folder_only() {
        let otherwise = Path::new("x/cat");
        let of = |out: Option<&str>, name| given(out.map(Path::new), name, otherwise);
        assert_eq!(of(None, None), Ok("x/cat".into()));
        assert_eq!(of(Some("web"), None), Ok("web/cat".into()));
        assert_eq!(of(None, Some("tom.jpg")), Ok("x/tom".into()));
        assert_eq!(of(Some("web"), Some("v1.2")), Ok("web/v1.2".into()));
        for (out, name) in [(Some("../up"), None), (Some("/abs"), None), (None, Some("a/b")), (None, Some(".."))] {
            assert!(of(out, name).is_err(), "{out:?} {name:?}");
        }
    }
}
