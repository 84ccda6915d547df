//! The error codes: one closed list for HTTP problems, rejected pictures, failed jobs and `pixmill batch`.
//!
//! `docs/errors.md` and the pages at `/problems/…` are made from [`ALL`]. Debug builds panic on a code that is not in
//! the list, and a test looks for such codes in the sources.

mod table;

use std::fmt::Write;

pub use table::ALL;

/// The documented meaning of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// The code in kebab case. It never changes.
    pub name: &'static str,
    /// The HTTP statuses that it comes with; empty if it is never the code of an answer.
    pub statuses: &'static [u16],
    pub places: &'static [Place],
    pub retry: Retry,
    /// One or two sentences.
    pub meaning: &'static str,
    pub remedy: &'static str,
}

/// Where clients find a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A problem document.
    Answer,
    /// An entry of `rejected`: a picture that was rejected before a job was made for it.
    Rejected,
    /// The `error` of a picture that has ended.
    Job,
    /// A failure in the output of `pixmill batch`.
    Batch,
}

/// Whether repeating the same request may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    Never,
    /// Later: the answer's `Retry-After` says when. A failed job was retried as often as its `retries` allow.
    Later,
}

/// The code with this name.
pub fn find(name: &str) -> Option<&'static Code> {
    ALL.iter().find(|code| code.name == name)
}

/// In debug builds, panics if the code does not exist or does not come with this status.
pub(crate) fn hold(name: &str, status: Option<u16>) {
    debug_assert!(
        find(name).is_some_and(|code| status.is_none_or(|status| code.statuses.contains(&status))),
        "the code `{name}` {} is not in src/errors/codes/table.rs",
        status.map_or("of a failure".into(), |status| format!("with status {status}")),
    );
}

impl Code {
    /// The statuses as shown in documents.
    pub fn statuses_shown(&self) -> String {
        self.statuses.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
    }

    pub fn places_shown(&self) -> String {
        self.places.iter().map(|place| place.shown()).collect::<Vec<_>>().join(", ")
    }
}

impl Place {
    pub fn shown(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Rejected => "`rejected`",
            Self::Job => "ended picture",
            Self::Batch => "`pixmill batch`",
        }
    }
}

impl Retry {
    pub fn shown(self) -> &'static str {
        match self {
            Self::Never => "no",
            Self::Later => "later",
        }
    }
}

/// The text of `docs/errors.md`.
pub fn markdown() -> String {
    let mut text = String::from(INTRODUCTION);
    for code in ALL {
        let statuses = if code.statuses.is_empty() { "—".into() } else { code.statuses_shown() };
        let _ = writeln!(
            text,
            "| <a id=\"{name}\"></a>`{name}` | {statuses} | {} | {} | {} {} |",
            code.places_shown(),
            code.retry.shown(),
            code.meaning,
            code.remedy,
            name = code.name,
        );
    }
    text
}

const INTRODUCTION: &str = "\
# Error codes

<!-- Made from src/errors/codes/table.rs: write it again with `pixmill errors > docs/errors.md`. -->

Whatever goes wrong has a code of this list. A code stays the same for ever; the sentence beside it (`detail`) is for
people and may change. The same code stands

- in an **answer** with a status of 400 or more: an `application/problem+json` document (RFC 9457), whose `type` is
  `/problems/<code>`. That is an address on the same server, too: it tells what stands here.
- under **`rejected`**, for a picture that was refused while its neighbours were taken. Were all refused, the answer is
  a problem with their common status and code, or 422 `images-rejected`.
- in the `error` of an **ended picture** in a status, with `retryable`: whether it was tried again until its attempts were
  used up.
- in the report of **`pixmill batch`**.

*Again?* says whether the same request, or the same picture, may succeed later. Where an answer has `Retry-After`, it
says when. An output's `warnings` begin with a code of this list as well, and are no errors.

| code | status | where | again? | what it means, and what to do |
|---|---|---|---|---|
";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The calls that give a failure or a problem its code, as written in the sources.
    const GIVERS: [&str; 12] = [
        "Problem::new(",
        "Problem::bad_request(",
        "Problem::unprocessable(",
        "Problem::unavailable(",
        "Self::new(",
        "Self::bad_request(",
        "Self::unprocessable(",
        "Self::unavailable(",
        "Self::permanent(",
        "Self::transient(",
        "Failure::permanent(",
        "Failure::transient(",
    ];

    #[test]
    fn codes_are_unique_and_in_kebab_case() {
        let names: BTreeSet<&str> = ALL.iter().map(|code| code.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(names.iter().all(|name| is_code(name)), "{names:?}");
        assert!(ALL.is_sorted_by_key(|code| code.name), "the table is in the order of the alphabet");
    }

    #[test]
    fn answers_have_statuses_and_whole_sentences() {
        for Code { name, statuses, places, meaning, remedy, .. } in ALL {
            assert_eq!(places.contains(&Place::Answer), !statuses.is_empty(), "{name}");
            assert!(!places.is_empty(), "{name}");
            for sentence in [meaning, remedy] {
                assert!(sentence.ends_with('.') && !sentence.contains('|'), "{name}: {sentence}");
            }
        }
    }

    #[test]
    fn every_code_in_the_sources_is_in_the_table() {
        let given: BTreeSet<String> = sources().iter().flat_map(|(_, text)| given(text)).collect();
        assert!(given.len() > 20, "the sources are read: {given:?}");
        let unknown: Vec<_> = given.iter().filter(|name| find(name).is_none()).collect();
        assert!(unknown.is_empty(), "add these to src/errors/codes/table.rs: {unknown:?}");
    }

    #[test]
    fn every_code_in_the_table_is_in_the_sources() {
        let texts = sources();
        for code in ALL {
            let literal = format!("\"{}\"", code.name);
            assert!(texts.iter().any(|(_, text)| text.contains(&literal)), "nothing says {}", code.name);
        }
    }

    #[test]
    fn calls_are_understood() {
        let text = r#"Problem::new(StatusCode::CONFLICT, "not-retryable", format!("a-b {}", f("c-d")))
            Failure::transient(code, "no-code here") Self::unavailable("queue-full", x, 30) Problem::new(
                StatusCode::FORBIDDEN,
                "forbidden-host",
                detail,
            ) Failure::permanent("internal", "in-detail")"#;
        let expected = ["forbidden-host", "internal", "not-retryable", "queue-full"];
        assert_eq!(given(text), expected.map(str::to_owned).into());
    }

    fn is_code(text: &str) -> bool {
        let word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
        text.split('-').all(word)
    }

    /// The codes in calls of [`GIVERS`]: the first or second argument, if it is a literal.
    fn given(text: &str) -> BTreeSet<String> {
        let calls = GIVERS.iter().flat_map(|giver| text.match_indices(giver).map(|(at, _)| &text[at + giver.len()..]));
        let named = calls.filter_map(|arguments| {
            let first = arguments.trim_start();
            let literal = match first.strip_prefix('"') {
                Some(literal) => literal,
                // The first argument is a status.
                None => first.strip_prefix("StatusCode::")?.split_once(',')?.1.trim_start().strip_prefix('"')?,
            };
            literal.split_once('"').map(|(code, _)| code.to_owned()).filter(|code| is_code(code))
        });
        named.collect()
    }

    /// All source files of the three crates, except the folder of the table.
    fn sources() -> Vec<(std::path::PathBuf, String)> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folders = ["src", "crates/imaging/src", "crates/queue/src"].map(|folder| root.join(folder));
        let files = folders.iter().flat_map(walkdir::WalkDir::new).map(|entry| entry.unwrap().into_path());
        files
            .filter(|path| {
                path.extension().is_some_and(|end| end == "rs") && !path.starts_with(root.join("src/errors/codes"))
            })
            .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
            .collect()
    }
}
