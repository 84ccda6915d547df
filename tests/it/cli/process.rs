//! `pixmill process`.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Stdio;

use super::{Desk, fixture_path, stderr};
use crate::support::disk::SmallDisk;

#[test]
fn operations_are_chained_into_one_output_in_the_format_of_its_name() {
    let desk = Desk::new();
    desk.put("photo.jpg", "photo.jpg");
    let line = ["process", "photo.jpg", "out.webp", "--resize", "400x", "--thumbnail", "200x50", "--watermark", "a"];
    let output = desk.run(&line);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(desk.size("out.webp"), (67, 50));
    assert!(std::fs::read(desk.path("out.webp")).unwrap().starts_with(b"RIFF"));
    let said = stderr(&output);
    assert!(said.contains("67×50 WebP") && said.lines().count() == 1, "{said}");
}

#[test]
fn every_ending_that_is_written_names_its_format() {
    let desk = Desk::new();
    desk.put("photo.jpg", "photo.jpg");
    for (ending, title) in [
        ("gif", "GIF"),
        ("avif", "AVIF"),
        ("tiff", "TIFF"),
        ("TIF", "TIFF"),
        ("bmp", "BMP"),
        ("dib", "BMP"),
        ("qoi", "QOI"),
        ("apng", "PNG"),
        ("jpeg", "JPEG"),
    ] {
        let output = desk.run(&["process", "photo.jpg", &format!("out.{ending}"), "--thumbnail", "20"]);
        assert!(stderr(&output).contains(&format!("20×15 {title},")), "{ending}: {}", stderr(&output));
    }
}

#[test]
fn info_is_told_on_standard_output() {
    let desk = Desk::new();
    desk.put("photo.jpg", "photo.jpg");
    for line in [&["process", "photo.jpg", "--info"][..], &["process", "photo.jpg", "-", "--info", "--colors", "2"]] {
        let output = desk.run(line);
        assert!(output.status.success(), "{}", stderr(&output));
        let info: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&info["format"], &info["width"]), (&"jpeg".into(), &1200.into()), "{info}");
    }
    assert!(desk.run(&["process", "photo.jpg", "photo.json", "--info"]).status.success());
    assert!(desk.run(&["process", "photo.jpg", "answer.png", "--info"]).status.success());
    assert!(std::fs::read_to_string(desk.path("photo.json")).unwrap().contains("\"thumbhash\""));
    assert_eq!(desk.run(&["process", "photo.jpg", "--flip"]).status.code(), Some(2), "a picture needs a place");
}

#[test]
fn standard_input_goes_to_standard_output() {
    let desk = Desk::new();
    let mut child = desk.command(&["process", "-", "-", "--resize", "60x40", "--format", "png"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&std::fs::read(fixture_path("photo.jpg")).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    let picture = image::load_from_memory_with_format(&output.stdout, image::ImageFormat::Png).unwrap();
    assert_eq!((picture.width(), picture.height()), (60, 40));
}

#[test]
fn picture_may_be_processed_onto_itself() {
    let desk = Desk::new();
    desk.put("photo.jpg", "photo.jpg");
    assert!(desk.run(&["process", "photo.jpg", "photo.jpg", "--resize", "100x75"]).status.success());
    assert_eq!(desk.size("photo.jpg"), (100, 75));
    assert_eq!(std::fs::read_dir(desk.path("")).unwrap().count(), 1, "a temporary file stayed behind");
}

#[test]
fn picture_that_is_replaced_keeps_its_mode_and_its_owner() {
    let desk = Desk::new();
    for mode in [0o600, 0o640, 0o755, 0o444] {
        desk.put("photo.jpg", "photo.jpg");
        let file = desk.path("photo.jpg");
        std::os::unix::fs::chown(&file, Some(1234), Some(4321)).expect("this test gives a file away: run it as root");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let output = desk.run(&["process", "photo.jpg", "photo.jpg", "--resize", "100x75"]);
        assert!(output.status.success(), "{}", stderr(&output));
        let meta = file.metadata().unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.uid(), meta.gid()), (mode, 1234, 4321));
        assert_eq!(desk.size("photo.jpg"), (100, 75));
    }
}

#[test]
fn group_that_cannot_stay_gets_no_more_than_others() {
    let desk = Desk::new();
    desk.put("photo.jpg", "photo.jpg");
    for (mode, left) in [(0o664, 0o644), (0o660, 0o600)] {
        std::os::unix::fs::chown(desk.path("photo.jpg"), None, Some(4321)).expect("run it as root");
        std::fs::set_permissions(desk.path("photo.jpg"), std::fs::Permissions::from_mode(mode)).unwrap();
        // Root, who may give files away, without that right.
        let mut command = std::process::Command::new("setpriv");
        command.args(["--inh-caps=-chown", "--bounding-set=-chown", "--", env!("CARGO_BIN_EXE_pixmill")]);
        command.args(["process", "photo.jpg", "photo.jpg", "--resize", "50x"]).current_dir(desk.path(""));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let meta = desk.path("photo.jpg").metadata().unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.gid()), (left, 0));
    }
}

#[test]
fn picture_stays_where_its_successor_finds_no_room() {
    let desk = Desk::new();
    let small = SmallDisk::mount("4m");
    let file = small.path().join("photo.jpg");
    std::fs::copy(fixture_path("photo.jpg"), &file).unwrap();
    let before = std::fs::read(&file).unwrap();
    let _filler = small.fill();
    let path = file.to_str().unwrap();
    let output = desk.run(&["process", path, path, "--flip", "--quality", "95"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("photo.jpg cannot be written"), "{}", stderr(&output));
    assert_eq!(std::fs::read(&file).unwrap(), before);
    assert_eq!(std::fs::read_dir(small.path()).unwrap().count(), 2, "a temporary file stayed behind");
}

#[test]
fn overlay_is_a_path_or_a_name_of_the_folder() {
    let desk = Desk::new();
    desk.put("photo.jpg", "photo.jpg");
    desk.put("alpha.png", "logo.png");
    desk.put("alpha.png", "marks/mark.png");
    std::fs::write(desk.path("settings.toml"), "[watermark]\noverlays = \"marks\"\n").unwrap();
    let mut made = Vec::new();
    for (overlay, more) in [
        ("./logo.png", &[][..]),
        ("logo.png", &[]),
        (desk.path("logo.png").to_str().unwrap(), &[]),
        ("mark.png", &["--config", "settings.toml"]),
        ("./logo.png", &["--config", "settings.toml"]),
    ] {
        let line = [&["process", "photo.jpg", "out.png", "--overlay", overlay, "--size", "40"], more].concat();
        let output = desk.run(&line);
        assert!(output.status.success(), "{overlay}: {}", stderr(&output));
        made.push(std::fs::read(desk.path("out.png")).unwrap());
    }
    made.dedup();
    assert_eq!(made.len(), 1);
    let output = desk.run(&["process", "photo.jpg", "out.png", "--overlay", "./logo.pgn"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--overlay ./logo.pgn: no such file or folder; did you mean ./logo.png?"));
    let output = desk.run(&["process", "photo.jpg", "out.png", "--overlay", "none.png"]);
    assert!(stderr(&output).contains("--overlay none.png: "), "{}", stderr(&output));
}

#[test]
fn broken_picture_fails_by_its_code_and_leaves_the_old_output() {
    let desk = Desk::new();
    desk.put_broken("broken.jpg");
    desk.put("grey.jpg", "out.jpg");
    let output = desk.run(&["process", "broken.jpg", "out.jpg", "--thumbnail", "50"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("broken.jpg: truncated-image:"), "{said}");
    assert_eq!(std::fs::read(desk.path("out.jpg")).unwrap(), std::fs::read(fixture_path("grey.jpg")).unwrap());
}

#[test]
fn wrong_calls_end_with_2_and_say_what_to_write() {
    let desk = Desk::new();
    desk.put("photo.jpg", "photo.jpg");
    for (line, said) in [
        (&["process", "photo.jpg", "out.jpg", "--resize", "800"][..], "write 800x600"),
        (&["process", "photo.jpg", "out.jpg", "--resize", "0x1"], "--resize 0x1: width: 0 is less than 1"),
        (&["process", "photo.jpg", "out.xyz", "--resize", "8x6"], "add --format"),
        (&["process", "photo.jpg", "-"], "nothing to do"),
        (&["process", "photo.jpg", "out.jpg", "--operations", "{"], "--operations: operations: not valid JSON"),
        (&["process", "photo.jpg"], "<OUT>"),
    ] {
        let output = desk.run(line);
        assert_eq!(output.status.code(), Some(2), "{line:?}");
        assert!(stderr(&output).contains(said), "{line:?}: {}", stderr(&output));
    }
}

#[test]
fn explain_tells_the_plan_and_makes_nothing() {
    let desk = Desk::new();
    desk.put("photo.jpg", "photo.jpg");
    let output = desk.run(&["process", "photo.jpg", "--explain", "--thumbnail", "50", "--watermark", "a"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("path         coefficients") && told.contains("  1  watermark"), "{told}");
    let output = desk.run(&["process", "photo.jpg", "out.png", "--explain", "--thumbnail", "50"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("  0  thumbnail") && told.contains("png; from what is decoded"), "{told}");
    assert_eq!(std::fs::read_dir(desk.path("")).unwrap().count(), 1, "it made something");
    assert!(!desk.run(&["process", "photo.jpg", "--thumbnail", "50"]).status.success(), "without OUT");
}

#[test]
fn preset_stands_for_its_operations() {
    let desk = Desk::new();
    desk.put("photo.jpg", "photo.jpg");
    let settings =
        "[presets]\ncard = [{ type = \"crop\", aspect = \"1:1\" }, { type = \"thumbnail\", size = [40, 40] }]\n";
    std::fs::write(desk.path("settings.toml"), settings).unwrap();
    let line = |name: &'static str| ["process", "photo.jpg", "out.png", "--config", "settings.toml", "--preset", name];
    let output = desk.run(&line("card"));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(desk.size("out.png"), (40, 40));
    let output = desk.run(&line("cart"));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--preset: unknown preset `cart`; known: card"), "{}", stderr(&output));
    let output = desk.run(&[&line("card")[..], &["--flip"]].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("'--preset <NAME>' cannot be used with"), "{}", stderr(&output));
}
