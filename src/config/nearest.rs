//! Finds the known name that is most similar to an unknown one.

/// Least similarity for a suggestion: 0 is nothing in common, 1 is equal.
const CLOSE: f64 = 0.85;

/// The most similar of `names`, ignoring case and doubled underscores; `None` if none is similar.
pub(super) fn nearest(name: &str, names: impl Iterator<Item = String>) -> Option<String> {
    let plain = |name: &str| name.to_lowercase().replace("__", "_");
    let rated = names.map(|other| (strsim::jaro_winkler(&plain(name), &plain(&other)), other));
    let close = rated.filter(|(likeness, _)| *likeness >= CLOSE);
    close.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, name)| name)
}
