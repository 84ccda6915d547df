//! What a picture's results are called, decided by what is beside it in its folder and nothing else.
//!
//! The results of `cat.jpg` begin with `cat`. Where `cat.png` is beside it, or a file that is called `cat`, those of
//! another format begin with `cat.jpg`. Names that differ only in case or Unicode form get a digest each, because they are
//! one name on many disks. So no two files of a folder ever meet, whichever of them a run is about. Of a folder only
//! hashes are held, 9 bytes a name.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use imaging::Format;
use sha2::{Digest, Sha256};
use url::Url;

use super::super::picture::Own;
use crate::fold::folded;
use crate::sources::decoded;

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

/// Hashes of the folded names in a folder, which decide what results are called; `true` where several names fold to one.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// Of pictures.
    stems: HashMap<u64, bool>,
    names: HashMap<u64, bool>,
    folders: HashMap<u64, bool>,
}

/// The beginning of results' names, and the name of those that keep the source's format.
pub(super) type Target<P> = (P, Option<Own>);

impl Beside {
    pub(super) fn add(&mut self, name: &OsStr) {
        count(&mut self.names, name);
        if is_picture(name) {
            count(&mut self.stems, Path::new(name).file_stem().unwrap_or(name));
        }
    }

    pub(super) fn add_folder(&mut self, name: &OsStr) {
        count(&mut self.folders, name);
    }

    pub(super) fn target(&self, name: &OsStr) -> Target<OsString> {
        // Another name is the same but for case or Unicode form.
        let is_twin = self.names.get(&hash(name)) == Some(&true);
        let own = own(name).map(|own| Own { stem: if is_twin { marked(&own.stem, name) } else { own.stem }, ..own });
        let alone = |stem: &&OsStr| {
            let hash = hash(stem);
            self.stems.get(&hash) != Some(&true) && !self.names.contains_key(&hash)
        };
        if let Some(stem) = stem(name).filter(alone) {
            return (cut(stem), own);
        }
        // `cat.jpg` as a WebP would be called as `cat.jpg.webp` is.
        let is_taken = || {
            Format::ALL.iter().any(|format| {
                let mut result = name.to_owned();
                result.push(".");
                result.push(format.extension());
                self.names.contains_key(&hash(&result))
            })
        };
        (if is_twin || is_taken() { marked(&cut(name), name) } else { cut(name) }, own)
    }

    /// What the results of a folder within this one are put into.
    pub(super) fn folder(&self, name: &OsStr) -> OsString {
        if self.folders.get(&hash(name)) == Some(&true) { marked(name, name) } else { name.to_owned() }
    }
}

fn count(names: &mut HashMap<u64, bool>, name: &OsStr) {
    names.entry(hash(name)).and_modify(|several| *several = true).or_insert(false);
}

/// A picture's name without its ending. `...jpg` would have a stem that leads up.
fn stem(name: &OsStr) -> Option<&OsStr> {
    Path::new(name).file_stem().filter(|stem| is_picture(name) && *stem != ".." && *stem != ".")
}

/// The name of a result in the same format as the picture `name`.
fn own(name: &OsStr) -> Option<Own> {
    let ending = Path::new(name).extension()?.to_str()?.to_owned();
    Some(Own { stem: cut(stem(name)?), ending })
}

/// A name with the digest of the whole behind it.
fn marked(name: &OsStr, whole: &OsStr) -> OsString {
    let mut marked = name.to_owned();
    marked.push(format!("~{}", short_digest(whole.as_bytes())));
    marked
}

/// The same for all names that are one name on disks that ignore case or the Unicode form, as [`folded`] has it. Names that
/// are not UTF-8 are folded by ASCII case alone.
pub(in super::super) fn fold(name: &OsStr) -> Cow<'_, OsStr> {
    match name.to_str().map(folded) {
        Some(Cow::Borrowed(_)) => Cow::Borrowed(name),
        Some(Cow::Owned(folded)) => Cow::Owned(folded.into()),
        None => Cow::Owned(OsString::from_vec(name.as_bytes().to_ascii_lowercase())),
    }
}

/// The target of a picture that a list calls `name`, in the folder `out`; `otherwise` fills in what the list leaves out.
///
/// # Errors
/// What is wrong with them.
pub(super) fn given(
    out: Option<&Path>,
    name: Option<&str>,
    (otherwise, own_name): Target<PathBuf>,
) -> Result<Target<PathBuf>, String> {
    let plain = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let folder = match out {
        Some(out) if !plain(out) => return Err(format!("out `{}` leads out of --out", out.display())),
        Some(out) => out,
        None => otherwise.parent().unwrap_or(Path::new("")),
    };
    let (last, own) = match name {
        Some(name) if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') => {
            return Err(format!("name `{name}` is no file name"));
        }
        Some(name) if is_picture(OsStr::new(name)) => {
            (cut(Path::new(name).file_stem().unwrap_or_default()), own(OsStr::new(name)))
        }
        Some(name) => (cut(OsStr::new(name)), None),
        None => (otherwise.file_name().unwrap_or_default().to_owned(), own_name),
    };
    Ok((folder.join(last), own))
}

/// A path as it is written, without what leads up or to the root.
pub(super) fn below(path: &Path) -> PathBuf {
    let normal = |part| if let Component::Normal(part) = part { Some(part) } else { None };
    path.components().filter_map(normal).collect()
}

/// The target of an address: host and path. It keeps its ending, because other names at that host are unknown.
pub(super) fn of_url(url: &Url) -> Target<PathBuf> {
    let host = url.host_str().unwrap_or("unknown").to_owned();
    let mut target = PathBuf::from(url.port().map_or(host.clone(), |port| format!("{host}_{port}")));
    let parts = url.path_segments().into_iter().flatten().filter(|part| !part.is_empty());
    target.extend(parts.map(|part| cut(&plain(part))));
    if let Some(query) = url.query() {
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!("~{}", short_digest(query.as_bytes())));
        target.set_file_name(name);
        return (target, None);
    }
    let own = target.file_name().filter(|_| target.components().count() > 1).and_then(own);
    (target, own)
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
    BuildHasherDefault::<DefaultHasher>::new().hash_one(fold(name))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::cli::batch::names::Names;
    use crate::cli::batch::picture::Picture;
    use crate::cli::ending;

    fn targets(names: &[&str]) -> Vec<String> {
        let mut beside = Beside::default();
        for name in names {
            beside.add(OsStr::new(name));
        }
        names.iter().map(|name| beside.target(OsStr::new(name)).0.into_string().unwrap()).collect()
    }

    /// Results of one operation that keeps the format, or makes a WebP.
    fn results(names: &[&str], ext: &str) -> Vec<String> {
        let mut beside = Beside::default();
        for name in names {
            beside.add(OsStr::new(name));
        }
        let pattern = Names::usual(1);
        let result = |name: &&str| {
            let ending = name.rsplit_once('.').and_then(|(_, ending)| ending::format(ending));
            let ext = if ext.is_empty() { ending.map_or("jpg", Format::extension) } else { ext };
            let (target, own) = beside.target(OsStr::new(name));
            let picture = Picture { target: target.into(), own, ..Picture::named("x") };
            pattern.path(&picture, &format!("0-flip.{ext}")).display().to_string()
        };
        names.iter().map(result).collect()
    }

    #[test]
    fn ending_stays_where_names_would_meet() {
        assert_eq!(targets(&["a.jpg", "b.png", "b.txt"]), ["a", "b", "b.txt"]);
        assert_eq!(targets(&["a.jpg", "a.png", "b.jpg"]), ["a.jpg", "a.png", "b"]);
        let marked = |name: &str| format!("{name}~{}", short_digest(name.as_bytes()));
        assert_eq!(targets(&["a.jpg", "a"]), ["a.jpg", marked("a").as_str()], "a as a JPEG would be a.jpg");
        assert_eq!(targets(&["a.jpg", "a.jpg.png", "a.gif"]), [marked("a.jpg").as_str(), "a.jpg.png", "a.gif"]);
        assert_eq!(targets(&["a.jpg.webp", "a.jpg"]), ["a.jpg.webp", "a"]);
        assert_eq!(targets(&["b.JPG", "a.jpg", ".jpg"]), ["b", "a", ".jpg"]);
        assert_eq!(targets(&["..jpg", "...jpg", "....jpg"]), ["..jpg", "...jpg", "..."]);
    }

    #[test]
    fn no_two_files_of_a_folder_have_the_same_results() {
        let parts = ["a", "A.jpg", "a.jpg", "a.png", "a.jpg.png", "a.jpg.webp", "a.txt", "a.jpg.txt", "b", "b.webp"];
        for choice in 0_u32..1 << parts.len() {
            let names: Vec<&str> = (0..parts.len()).filter(|i| choice >> i & 1 == 1).map(|i| parts[i]).collect();
            for made in [targets(&names), results(&names, ""), results(&names, "webp"), results(&names, "png")] {
                let apart: HashSet<_> = made.iter().map(|name| fold(OsStr::new(name))).collect();
                assert_eq!(apart.len(), names.len(), "{names:?}: {made:?}");
            }
        }
    }

    #[test]
    fn names_stay_where_the_format_does() {
        assert_eq!(results(&["a.jpg", "a.png", "b.JPEG", "c"], ""), ["a.jpg", "a.png", "b.JPEG", "c.jpg"]);
        assert_eq!(results(&["a.jpg", "a.png", "b.JPEG"], "webp"), ["a.jpg.webp", "a.png.webp", "b.webp"]);
    }

    #[test]
    fn names_that_differ_in_case_or_unicode_form_are_told_apart() {
        let (composed, apart) = ("\u{e9}.png", "e\u{301}.png");
        for names in [["a.jpg", "A.JPG"], [composed, apart], ["\u{c9}.png", apart], ["ς.png", "Σ.png"]] {
            let made = results(&names, "");
            let folded: Vec<_> = made.iter().map(|name| fold(OsStr::new(name))).collect();
            assert_ne!(folded[0], folded[1], "{made:?}");
            assert!(made.iter().all(|name| name.contains('~')), "{made:?}");
        }
        let mut beside = Beside::default();
        for name in ["In", "in", "out"] {
            beside.add_folder(OsStr::new(name));
        }
        assert_ne!(fold(&beside.folder(OsStr::new("In"))), fold(&beside.folder(OsStr::new("in"))));
        assert_eq!(beside.folder(OsStr::new("out")), "out");
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
            let (target_of, _) = of_url(&Url::parse(url).unwrap());
            if !target.contains('~') {
                assert_eq!(target_of, Path::new(target), "{url}");
            }
            assert!(target_of.components().all(|part| matches!(part, Component::Normal(_))), "{target_of:?}");
        }
        let queried = |query: &str| of_url(&Url::parse(&format!("https://a/cat.jpg?{query}")).unwrap());
        assert_ne!(queried("w=1"), queried("w=2"));
        assert_eq!(queried("w=1").1, None);
        let (_, own) = of_url(&Url::parse("https://a/b/cat.JPG").unwrap());
        assert_eq!(own, Some(Own { stem: "cat".into(), ending: "JPG".into() }));
    }

    #[test]
    fn lists_name_results_within_the_output_folder_only() {
        let of =
            |out: Option<&str>, name| given(out.map(Path::new), name, ("x/cat".into(), None)).map(|(target, _)| target);
        assert_eq!(of(None, None), Ok("x/cat".into()));
        assert_eq!(of(Some("web"), None), Ok("web/cat".into()));
        assert_eq!(of(None, Some("tom.jpg")), Ok("x/tom".into()));
        assert_eq!(of(Some("web"), Some("v1.2")), Ok("web/v1.2".into()));
        for (out, name) in [(Some("../up"), None), (Some("/abs"), None), (None, Some("a/b")), (None, Some(".."))] {
            assert!(of(out, name).is_err(), "{out:?} {name:?}");
        }
    }
}
