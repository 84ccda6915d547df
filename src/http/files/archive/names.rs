//! The names of files in an archive: `<image stem>-<index>-<type>.<ext>`, safe to unpack anywhere.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::fold::folded;

/// Bytes of a name that all file systems take.
const NAME_BYTES: usize = 255;
/// Names that Windows keeps for devices, whatever their extension.
const DEVICES: [&str; 22] = [
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "lpt1", "lpt2",
    "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// Hashes of the names given so far, of eight bytes each. Two names with the same hash cost an unnecessary `~2`.
#[derive(Default)]
pub(super) struct Names {
    taken: HashSet<u64>,
}

impl Names {
    /// Makes the name unique.
    pub(super) fn without(name: &str) -> Self {
        Self { taken: HashSet::from([hash(name)]) }
    }

    /// Names one picture's files. The same pictures in the same order get the same names.
    pub(super) fn of(&mut self, image: &str, files: &[&str]) -> Vec<String> {
        let longest = files.iter().map(|file| file.len()).max().unwrap_or_default();
        let room = NAME_BYTES.saturating_sub(longest + 1);
        let room_for_number = room.saturating_sub(12);
        let numbered = (2..).map(|number| format!("{}~{number}", safe(image, room_for_number)));
        let candidates = [stem(image).to_owned(), image.to_owned()].into_iter().chain(numbered);
        for candidate in candidates {
            let stem = safe(&candidate, room);
            let names: Vec<String> = files.iter().map(|file| format!("{stem}-{file}")).collect();
            let hashes: Vec<u64> = names.iter().map(|name| hash(name)).collect();
            if !hashes.iter().any(|hash| self.taken.contains(hash)) {
                self.taken.extend(hashes);
                return names;
            }
        }
        unreachable!("there are more candidates than names")
    }
}

/// The same for names that differ only in case or in their Unicode form, because some file systems take them for one
/// name.
fn hash(name: &str) -> u64 {
    // The hash has fixed keys, so that a second pass gives the same names.
    let mut hasher = DefaultHasher::new();
    folded(name).hash(&mut hasher);
    hasher.finish()
}

fn stem(image: &str) -> &str {
    match image.rsplit_once('.') {
        Some((stem, extension))
            if !stem.is_empty() && !extension.is_empty() && extension.chars().all(char::is_alphanumeric) =>
        {
            stem
        }
        _ => image,
    }
}

fn safe(stem: &str, room: usize) -> String {
    let safe: String = stem.chars().map(|c| if is_unsafe(c) { '_' } else { c }).collect();
    let safe = cut(safe.trim().trim_start_matches('.'), room.saturating_sub(1));
    let before_dot = safe.split('.').next().unwrap_or_default().trim();
    match safe {
        "" => "image".into(),
        _ if safe.contains('.') && DEVICES.contains(&before_dot.to_lowercase().as_str()) => format!("_{safe}"),
        _ => safe.into(),
    }
}

/// Characters that separate folders, that Windows reserves, or that make a name look like another one.
fn is_unsafe(c: char) -> bool {
    let is_reserved = matches!(c, '<' | '>' | ':' | '"' | '/' | '\\' | '|' | '?' | '*');
    let turns_text = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || is_reserved || turns_text
}

fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "0-resize.jpg";

    fn named(images: &[&str]) -> Vec<String> {
        let mut names = Names::default();
        images.iter().map(|image| names.of(image, &[FILE]).remove(0).replace("-0-resize.jpg", "")).collect()
    }

    #[test]
    fn names_are_the_images_without_their_extension() {
        let images = ["cat.jpg", "猫.tar.gz", "none", ".hidden", "CON.x.jpg", "com1.jpg", "..", "", "a b.png"];
        let expected = ["cat", "猫.tar", "none", "hidden", "_CON.x", "com1", "image", "image~2", "a b"];
        assert_eq!(named(&images), expected);
    }

    #[test]
    fn names_climb_nowhere_and_mean_nothing_to_any_system() {
        let images = ["../../etc/passwd", "C:\\x\\y.png", "a<b>|?*\".png", "x\u{202e}gpj.exe", "line\r\nbreak", "/abs"];
        let expected = ["_.._etc_passwd", "C__x_y", "a_b_____", "x_gpj", "line__break", "_abs"];
        assert_eq!(named(&images), expected);
    }

    #[test]
    fn same_names_are_told_apart_as_case_blind_systems_see_them() {
        let images = ["cat.jpg", "Cat.JPG", "cat.png", "cat.jpg", "cat.jpg~2", "cat.jpg"];
        assert_eq!(named(&images), ["cat", "Cat.JPG", "cat.png", "cat.jpg~2", "cat.jpg~2~2", "cat.jpg~3"]);
        let mut names = Names::without("results.json");
        names.of("a", &["0-x-0-resize.jpg"]);
        assert_eq!(names.of("a-0-x", &["0-resize.jpg"]), ["a-0-x~2-0-resize.jpg"], "however the parts are cut");
    }

    #[test]
    fn same_names_are_told_apart_whatever_their_unicode_form() {
        let images = [
            "\u{e9}.png",
            "e\u{301}.png",
            "E\u{301}.png",
            "\u{c9}.png",
            "stra\u{df}e",
            "STRASSE",
            "\u{3c3}",
            "\u{3c2}",
        ];
        let names = named(&images);
        let folded: HashSet<String> = names.iter().map(|name| folded(name).into_owned()).collect();
        assert_eq!(folded.len(), images.len(), "{names:?}");
        assert_eq!(
            (names[0].as_str(), names[1].as_str()),
            ("\u{e9}", "e\u{301}.png"),
            "names are kept as they were sent"
        );
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let image = format!("{}.jpg", "ü".repeat(255));
        let mut names = Names::default();
        let first = names.of(&image, &[FILE]).remove(0);
        let next = names.of(&image, &[FILE]).remove(0);
        assert!(first.len() <= NAME_BYTES && first.len() > 250 && next.len() <= NAME_BYTES && first != next);
    }
}
