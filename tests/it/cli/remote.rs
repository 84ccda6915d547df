//! `pixmill batch --server`, against a real server process.

use super::{Desk, Running, json_lines, stderr};

/// `pixmill serve` on a free port, and its address.
fn server(desk: &Desk) -> (Running, String) {
    server_with(desk, &[])
}

fn server_with(desk: &Desk, arguments: &[&str]) -> (Running, String) {
    let line = ["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"];
    let mut command = desk.command(&[&line, arguments].concat());
    command.env("PIXMILL__LOG__LEVEL", "warn");
    let running = Running::start(command);
    let line = running.line();
    let url = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("the server says: {line}")).to_owned();
    (running, url)
}

#[test]
fn server_makes_the_same_files_as_the_command_line() {
    let desk = Desk::new();
    for i in 0..23 {
        desk.put("photo.jpg", &format!("in/{i:02}.jpg"));
    }
    desk.put("alpha.png", "in/sub/alpha.png");
    desk.put_broken("in/10-broken.jpg");
    std::fs::write(desk.path("in/empty.jpg"), "").unwrap();
    let (_server, url) = server(&desk);

    let remote = desk.run(&["batch", "in", "--out", "remote", "--tutorial", "--server", &url, "--json"]);
    let local = desk.run(&["batch", "in", "--out", "local", "--tutorial"]);
    assert_eq!((remote.status.code(), local.status.code()), (Some(1), Some(1)), "{}", stderr(&remote));
    let summary = json_lines(&remote).pop().unwrap();
    assert_eq!((&summary["done"], &summary["failed"]), (&24.into(), &2.into()), "{}", stderr(&remote));
    let said = stderr(&remote);
    assert!(said.contains("failed: in/10-broken.jpg: truncated-image:"), "{said}");
    assert!(said.contains("failed: in/empty.jpg: empty-file:"), "{said}");
    for name in ["00-0-resize.jpg", "22-2-watermark.jpg", "sub/alpha-1-thumbnail.png"] {
        let read = |out: &str| std::fs::read(desk.path(&format!("{out}/{name}"))).unwrap();
        assert_eq!(read("remote"), read("local"), "{name}");
    }

    let again = desk.run(&["batch", "in", "--out", "remote", "--tutorial", "--server", &url, "--json"]);
    let summary = json_lines(&again).pop().unwrap();
    assert_eq!((&summary["done"], &summary["already_done"]), (&0.into(), &24.into()));
}

#[test]
fn operations_go_along() {
    let desk = Desk::new();
    desk.put("photo.jpg", "in/a.jpg");
    let (_server, url) = server(&desk);
    let line = ["batch", "in", "--server", &url, "--resize", "90x30", "--fit", "cover", "--convert", "webp"];
    let output = desk.run(&line);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(desk.size("pixmill-out/a-0-resize.jpg"), (90, 30));
    assert_eq!(desk.size("pixmill-out/a-1-convert.webp"), (1200, 900));
}

#[test]
fn preset_is_the_servers_with_its_overlays() {
    let desk = Desk::new();
    desk.put("photo.jpg", "in/a.jpg");
    desk.put("alpha.png", "marks/logo.png");
    let settings = "[watermark]\noverlays = \"marks\"\n[presets]\n\
                    signed = [{ type = \"watermark\", image = \"logo.png\" }, { type = \"thumbnail\", size = [40, 40] }]\n";
    std::fs::write(desk.path("settings.toml"), settings).unwrap();
    let (_server, url) = server_with(&desk, &["--config", "settings.toml"]);
    let line = |name: &'static str| ["batch", "in", "--server", &url, "--preset", name, "--quality", "50"];
    let output = desk.run(&line("signed"));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(desk.size("pixmill-out/a-0-watermark.jpg"), (1200, 900));
    assert_eq!(desk.size("pixmill-out/a-1-thumbnail.jpg"), (40, 30));
    let output = desk.run(&line("card"));
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("--preset: unknown preset `card`; known: signed"), "{}", stderr(&output));
}

#[test]
fn dry_run_tells_what_a_server_has_done_before() {
    let desk = Desk::new();
    desk.put("photo.jpg", "in/a.jpg");
    desk.put_broken("in/broken.jpg");
    let (server, url) = server(&desk);
    let line = ["batch", "in", "--server", &url, "--thumbnail", "40", "--dry-run", "--json"];
    assert_eq!(statuses(&desk, &line), ["would-do", "would-do"]);
    desk.run(&line[..6]);
    drop(server);
    assert_eq!(statuses(&desk, &line), ["already-done", "would-fail"]);
    desk.put("alpha.png", "in/a.jpg");
    assert_eq!(statuses(&desk, &[&line[..], &["--retry-failed"]].concat()), ["would-do", "would-do"]);
}

/// What a dry run says of the pictures, in their order.
fn statuses(desk: &Desk, line: &[&str]) -> Vec<String> {
    let mut told: Vec<_> = json_lines(&desk.run(line));
    told.sort_by_key(|line| line["image"].as_str().unwrap().to_owned());
    told.iter().map(|line| line["status"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn all_rejected_pictures_fail_by_name() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("in")).unwrap();
    std::fs::write(desk.path("in/text.jpg"), "no picture").unwrap();
    let (_server, url) = server(&desk);
    let output = desk.run(&["batch", "in", "--flip", "--server", &url]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("failed: in/text.jpg: unsupported-format:"), "{}", stderr(&output));
}

#[test]
fn answers_are_written_beside_the_pictures_here_and_from_a_server() {
    let desk = Desk::new();
    desk.put("photo.jpg", "in/cat.jpg");
    let (_server, url) = server(&desk);
    for (out, rest) in [("local", &[][..]), ("remote", &["--server", &url])] {
        let line = [&["batch", "in", "--out", out, "--info", "--thumbnail", "50"][..], rest].concat();
        for _ in 0..2 {
            let output = desk.run(&line);
            assert!(output.status.success(), "{out}: {}", stderr(&output));
        }
        let told = std::fs::read(desk.path(&format!("{out}/cat-0-info.json"))).unwrap();
        let info: serde_json::Value = serde_json::from_slice(&told).unwrap();
        assert_eq!((&info["type"], &info["width"]), (&"info".into(), &1200.into()), "{out}");
        assert!(desk.path(&format!("{out}/cat-1-thumbnail.jpg")).exists(), "{out}");
    }
}
