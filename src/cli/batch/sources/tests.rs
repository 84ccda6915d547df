use std::os::unix::fs::symlink;

use super::*;

fn folder(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let file = folder.path().join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "x").unwrap();
    }
    folder
}

/// Targets, and `!code` for what cannot be used.
fn found(folder: &Path, paths: &[&str], lists: &[&str], filters: Filters) -> Result<Vec<String>, String> {
    let within = |names: &[&str]| names.iter().map(|name| folder.join(name)).collect::<Vec<_>>();
    let sources = Sources::new(&within(paths), &within(lists), false, filters, &folder.join("out"), Names::usual(3));
    let mut found = Vec::new();
    sources.map_err(|fault| fault.0)?.walk(&nothing_passed(), &mut |one| {
        found.push(match one {
            Found::Picture(picture) => picture.target.display().to_string(),
            Found::Unusable(_, failure) => format!("!{}", failure.code),
        });
        ControlFlow::Continue(())
    });
    Ok(found)
}

fn targets(folder: &Path, paths: &[&str]) -> Result<Vec<String>, String> {
    found(folder, paths, &[], Filters::default())
}

#[test]
fn folders_are_walked_without_hidden_files_and_results() {
    let folder = folder(&["b/c.PNG", "a.jpg", "notes.txt", ".git/x.png", "b/.hidden.jpg", "out/a-0-resize.jpg"]);
    assert_eq!(targets(folder.path(), &[""]).unwrap(), ["a", "b/c"]);
    let hidden = Filters { hidden: true, ..Filters::default() };
    assert_eq!(found(folder.path(), &[""], &[], hidden).unwrap(), ["a", ".git/x", "b/.hidden", "b/c"]);
}

#[test]
fn named_files_are_taken_whatever_their_name() {
    let folder = folder(&["b/scan", "a.dat"]);
    assert_eq!(targets(folder.path(), &["b/scan", "a.dat"]).unwrap(), ["scan", "a.dat"]);
}

#[test]
fn globs_keep_what_lies_below_their_fixed_part() {
    let folder = folder(&["2023/a.jpg", "2024/a.jpg", "2024/b.txt", "2025.d/x/c.jpg"]);
    assert_eq!(targets(folder.path(), &["20*/*.jpg"]).unwrap(), ["2023/a", "2024/a"]);
    assert_eq!(targets(folder.path(), &["*.d"]).unwrap(), ["2025.d/x/c"]);
    assert!(targets(folder.path(), &["*.gif"]).unwrap_err().contains("nothing matches"));
}

#[test]
fn file_named_twice_counts_once() {
    let folder = folder(&["a.jpg"]);
    assert_eq!(targets(folder.path(), &["a.jpg", "", "*.jpg"]).unwrap(), ["a"]);
}

#[test]
fn file_counts_once_however_its_folder_is_written() {
    let folder = folder(&["in/a.jpg", "in/sub/b.jpg"]);
    symlink(folder.path().join("in"), folder.path().join("link")).unwrap();
    for paths in [["in", "in/../in"], ["in", "link"], ["in/sub/../a.jpg", "in"], ["in/./a.jpg", "link"]] {
        assert_eq!(targets(folder.path(), &paths).unwrap(), ["a", "sub/b"], "{paths:?}");
    }
    let at = folder.path().display();
    let list = format!("{at}/in/a.jpg\n{at}/in/../in/a.jpg\n{at}/link/a.jpg\n");
    std::fs::write(folder.path().join("list.txt"), list).unwrap();
    assert_eq!(found(folder.path(), &[], &["list.txt"], Filters::default()).unwrap().len(), 1);
}

#[test]
fn each_name_within_a_folder_counts() {
    let folder = folder(&["in/a.jpg", "other/x.jpg"]);
    symlink(folder.path().join("in/a.jpg"), folder.path().join("in/b.jpg")).unwrap();
    std::fs::hard_link(folder.path().join("in/a.jpg"), folder.path().join("in/c.jpg")).unwrap();
    assert_eq!(targets(folder.path(), &["in", "other"]).unwrap(), ["a", "b", "c", "x"]);
}

#[test]
fn names_that_are_one_on_other_disks_are_told_apart() {
    let apart = folder(&["a.jpg", "A.JPG", "In/x.jpg", "in/x.jpg"]);
    let found = targets(apart.path(), &[""]).unwrap();
    let folded: std::collections::HashSet<_> = found.iter().map(|target| target.to_lowercase()).collect();
    assert_eq!((found.len(), folded.len()), (4, 4), "{found:?}");
    let two = folder(&["x/a.jpg", "y/A.jpg"]);
    assert_eq!(targets(two.path(), &["x", "y"]).unwrap(), ["a", "!name-taken"]);
}

#[test]
fn same_stems_keep_their_extensions_however_they_are_named() {
    let folder = folder(&["a.jpg", "a.png", "c.jpg.webp", "b.jpg"]);
    assert_eq!(targets(folder.path(), &[""]).unwrap(), ["a.jpg", "a.png", "b", "c.jpg"]);
    assert_eq!(targets(folder.path(), &["a.jpg", "b.jpg"]).unwrap(), ["a.jpg", "b"]);
    assert_eq!(targets(folder.path(), &["*.png"]).unwrap(), ["a.png"]);
}

#[test]
fn results_beside_their_sources_are_refused() {
    let folder = folder(&["out/a.jpg", "out/b.jpg"]);
    let fault = targets(folder.path(), &["out/a.jpg"]).unwrap_err();
    assert!(fault.contains("out/a.jpg") && fault.contains("--out"), "{fault}");
    assert_eq!(targets(folder.path(), &["out"]).unwrap(), [""; 0]);
    std::fs::write(folder.path().join("list.csv"), "path,out\n../x,../y\n").unwrap();
    let csv = format!("path,out\n{},.\n", folder.path().join("out/a.jpg").display());
    std::fs::write(folder.path().join("list.csv"), csv).unwrap();
    let listed = found(folder.path(), &[], &["list.csv"], Filters::default()).unwrap();
    assert_eq!(listed, ["!result-beside-source"]);
}

#[test]
fn same_names_below_two_paths_go_to_the_first_alone() {
    let folder = folder(&["x/a.jpg", "x/b.jpg", "y/a.jpg", "y/c.jpg"]);
    assert_eq!(targets(folder.path(), &["x", "y"]).unwrap(), ["a", "b", "!name-taken", "c"]);
}

#[test]
fn links_are_followed_but_not_in_circles() {
    let folder = folder(&["in/a.jpg", "in/sub/b.jpg", "elsewhere/c.jpg"]);
    let at = |name: &str| folder.path().join(name);
    symlink(at("in"), at("in/sub/circle")).unwrap();
    symlink(at("elsewhere"), at("in/linked")).unwrap();
    symlink(at("elsewhere/c.jpg"), at("in/d.jpg")).unwrap();
    symlink(at("nowhere"), at("in/dead.jpg")).unwrap();
    symlink(at("in/self.jpg"), at("in/self.jpg")).unwrap();
    let found = targets(folder.path(), &["in"]).unwrap();
    assert_eq!(found, ["a", "d", "dead", "self", "sub/b", "!source-unreadable", "linked/c"]);
}

#[test]
fn lists_keep_their_paths_and_may_name_results() {
    let folder = folder(&["p/a.jpg", "p/b.jpg", "q/a.jpg"]);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let csv = format!(
        "path,name,out\n{},,web\n{},one,web\n{},two,web\n{},,\n{},,..\n",
        path("p/a.jpg"),
        path("p/b.jpg"),
        path("p/b.jpg"),
        path("p/none.jpg"),
        path("q/a.jpg")
    );
    std::fs::write(folder.path().join("list.csv"), csv).unwrap();
    let listed = found(folder.path(), &[], &["list.csv"], Filters::default()).unwrap();
    assert_eq!(listed, ["web/a", "web/one", "web/two", "!source-unreadable", "!invalid-line"]);

    let text = format!("{}\n{}\nhttps://example.org/x.jpg\n", path("p"), path("q/a.jpg"));
    std::fs::write(folder.path().join("list.txt"), text).unwrap();
    let listed = found(folder.path(), &[], &["list.txt"], Filters::default()).unwrap();
    let below = name::below(folder.path());
    let expected = ["p/a", "p/b", "q/a"].map(|name| below.join(name).display().to_string());
    assert_eq!(listed[..3], expected);
    assert_eq!(listed[3], "example.org/x.jpg");
}

#[test]
fn limit_and_depth_end_the_walk() {
    let folder = folder(&["a.jpg", "b.jpg", "x/c.jpg", "x/y/d.jpg"]);
    let limit = Filters { limit: Some(3), ..Filters::default() };
    assert_eq!(found(folder.path(), &[""], &[], limit).unwrap(), ["a", "b", "x/c"]);
    let shallow = Filters { max_depth: Some(2), ..Filters::default() };
    assert_eq!(found(folder.path(), &[""], &[], shallow).unwrap(), ["a", "b", "x/c"]);
}

#[test]
fn mistyped_paths_are_told_with_what_is_there() {
    let folder = folder(&["photos/a.jpg", "list.csv"]);
    let fault = targets(folder.path(), &["photo"]).unwrap_err();
    assert!(fault.contains("did you mean") && fault.ends_with("photos?"), "{fault}");
    let fault = found(folder.path(), &[], &["list.csv"], Filters::default()).unwrap_err();
    assert!(fault.contains("no column `path` or `url`"), "{fault}");
}
