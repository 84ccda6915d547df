//! What somebody may have meant who wrote a name that is not there.

use std::path::Path;

/// Entries of a folder that are looked at.
const MOST: usize = 10_000;
/// From 0, nothing in common, to 1, the same.
const CLOSE: f64 = 0.85;

/// Says that nothing is at `path`, and what is there that is nearly called so.
pub(super) fn no_such_file(path: &Path) -> String {
    let shown = path.display();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return format!("{shown}: no such file or folder; there is no folder {} either", folder.display());
    }
    match nearest(folder, &path.file_name().unwrap_or_default().to_string_lossy()) {
        Some(name) => format!("{shown}: no such file or folder; did you mean {}?", path.with_file_name(name).display()),
        None => format!("{shown}: no such file or folder"),
    }
}

fn nearest(folder: &Path, name: &str) -> Option<String> {
    let names =
        std::fs::read_dir(folder).ok()?.take(MOST).filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let likeness = |other: &String| strsim::jaro_winkler(&name.to_lowercase(), &other.to_lowercase());
    let rated = names.map(|other| (likeness(&other), other)).filter(|(likeness, _)| *likeness >= CLOSE);
    rated.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_right_names_are_suggested() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("photos"), "").unwrap();
        let said = |name: &str| no_such_file(&folder.path().join(name));
        assert!(said("Photo").ends_with("/photos?"), "{}", said("Photo"));
        assert!(said("zebra").ends_with("/zebra: no such file or folder"), "{}", said("zebra"));
        assert!(said("x/photos").contains("there is no folder"), "{}", said("x/photos"));
    }
}
