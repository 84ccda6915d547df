//! The name that somebody may have meant.

/// Similarity from which a name is suggested: 0 is nothing in common, 1 the same.
const CLOSE: f64 = 0.85;

/// The one of `names` that is most like `name`; `None` where none is like it. Case and doubled underscores do not count.
pub(super) fn nearest(name: &str, names: impl Iterator<Item = String>) -> Option<String> {
    let plain = |name: &str| name.to_lowercase().replace("__", "_");
    let rated = names.map(|other| (strsim::jaro_winkler(&plain(name), &plain(&other)), other));
    let close = rated.filter(|(likeness, _)| *likeness >= CLOSE);
    close.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, name)| name)
}
