//! File names as disks compare them that ignore case and Unicode form.

use std::borrow::Cow;

use icu_normalizer::{ComposingNormalizer, DecomposingNormalizer};

/// Maps all names that are one name on such a disk to the same text: `É`, `é`, and `e` with a combining accent.
pub fn folded(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return Cow::Borrowed(name);
    }
    if name.is_ascii() {
        return Cow::Owned(name.to_ascii_lowercase());
    }
    // Decomposing first puts accents in one order, and lets letters be folded without them. Upper case then makes SS of
    // ß, and one letter of σ and ς.
    let decomposed = DecomposingNormalizer::new_nfd().normalize(name);
    let cased: String = decomposed.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
    Cow::Owned(ComposingNormalizer::new_nfc().normalize(&cased).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_case_or_unicode_form_fold_to_one() {
        for names in [
            &["cat.jpg", "Cat.JPG"][..],
            &["\u{e9}", "e\u{301}", "\u{c9}", "E\u{301}"],
            &["stra\u{df}e", "STRASSE"],
            &["\u{3c3}", "\u{3c2}", "\u{3a3}"],
            // The same accents in different orders.
            &["\u{1fb4}", "\u{3b1}\u{301}\u{345}", "\u{3b1}\u{345}\u{301}"],
        ] {
            for name in names {
                assert_eq!(folded(name), folded(names[0]), "{}", name.escape_unicode());
            }
        }
        assert_ne!(folded("e"), folded("\u{e9}"));
    }
}
