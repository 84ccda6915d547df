//! What is mutated: the corpus, if `PIXMILL_CORPUS` names it, and always the project's own fixtures.

use std::io::Cursor;
use std::path::Path;

use imaging::{Limits, probe};

use crate::targets::Target;

/// Longer files are slow to mutate and teach little.
const LONGEST: u64 = 200_000;

/// The seeds of a target, in a fixed order.
pub fn of(target: Target) -> Vec<Vec<u8>> {
    let Some(format) = target.format() else {
        return OPERATIONS.iter().map(|json| json.as_bytes().to_vec()).collect();
    };
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let corpus = std::env::var_os("PIXMILL_CORPUS").map(std::path::PathBuf::from);
    let files = [Some(own), corpus]
        .into_iter()
        .flatten()
        .flat_map(|folder| walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().filter_map(Result::ok));
    let short =
        files.filter(|file| file.metadata().is_ok_and(|meta| meta.is_file() && (1..LONGEST).contains(&meta.len())));
    let read = short.filter_map(|file| Some((file.path().to_owned(), std::fs::read(file.path()).ok()?)));
    // What is too broken to be probed goes by its name.
    let fits = |path: &Path, bytes: &[u8]| match probe(Cursor::new(bytes), &Limits::default()) {
        Ok(header) => header.format == format,
        Err(_) => path.extension().is_some_and(|extension| {
            extension.eq_ignore_ascii_case(format.extension()) || extension.eq_ignore_ascii_case(format.name())
        }),
    };
    read.filter(|(path, bytes)| fits(path, bytes)).map(|(_, bytes)| bytes).collect()
}

const OPERATIONS: [&str; 8] = [
    r#"[{"type":"resize","width":800,"height":600,"fit":"cover","gravity":"top-left","format":"webp","quality":80}]"#,
    r#"[{"type":"thumbnail","size":[150,150],"name":"small"}]"#,
    r#"[{"type":"watermark","text":"MySite","position":"bottom-right","margin":10,"size":36,"color":[255,255,255,128]}]"#,
    r#"[{"type":"pipeline","operations":[{"type":"resize","width":10},{"type":"convert","format":"png"}]}]"#,
    r#"[{"type":"crop","left":1,"top":2,"width":30,"height":40},{"type":"rotate","angle":90}]"#,
    r#"[{"type":"blur","sigma":2.5},{"type":"sharpen"},{"type":"gamma","gamma":2.2},{"type":"invert"}]"#,
    r#"[{"type":"pad","width":100,"height":100,"color":[0,0,0]},{"type":"trim"},{"type":"round","radius":"circle"}]"#,
    r#"[{"type":"info"},{"type":"convert","format":"avif","quality":"auto","keep":["icc","exif"]}]"#,
];
