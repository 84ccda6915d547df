//! What may come in a batch's way: failures, hostile names, full disks, locked folders, servers that are not there.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use rustix::process::Signal;

use super::{Desk, Running, fixture_path, json_lines, stderr};
use crate::support::disk::SmallDisk;
use crate::support::free_port;
use crate::support::service::Process;

#[test]
fn batch_stops_at_a_failure_if_told_so() {
    let desk = Desk::new();
    desk.put_broken("in/0.jpg");
    for i in 1..900 {
        desk.put("photo.jpg", &format!("in/{i}.jpg"));
    }
    let line = ["batch", "in", "--thumbnail", "20", "--json", "--concurrency", "1"];
    let output = desk.run(&[&line[..], &["--on-error", "stop"]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("stopped at a failure; the same command goes on from here"));
    let summary = json_lines(&output).pop().unwrap();
    assert_eq!((&summary["failed"], &summary["stopped"]), (&1.into(), &true.into()));
    assert!(summary["done"].as_u64().unwrap() < 899, "{summary}");
    assert!(
        summary["total_is_known"] == false || summary["total"] == 900,
        "what was not looked at is not left out: {summary}"
    );
    let summary = json_lines(&desk.run(&[&line[..], &["--limit", "300"]].concat())).pop().unwrap();
    assert_eq!((&summary["failed"], &summary["total"]), (&1.into(), &300.into()));
}

#[tokio::test]
async fn batch_takes_pictures_again_whose_failure_may_pass() {
    let desk = Desk::new();
    desk.put("photo.jpg", "in/sub/a.jpg");
    desk.put_broken("in/b.jpg");
    // A file is where a result's folder is to be.
    std::fs::create_dir(desk.path("out")).unwrap();
    std::fs::write(desk.path("out/sub"), "").unwrap();
    let path = |name: &str| desk.path(name).to_str().unwrap().to_owned();
    let line = ["batch", &path("in"), "--out", &path("out"), "--thumbnail", "20", "--on-error", "retry", "--json"];
    let run = Process::plain(&line);
    run.says("trying 1 pictures again in 1s").await;
    std::fs::remove_file(desk.path("out/sub")).unwrap();
    let (status, said, log) = run.ends().await;
    assert_eq!(status.code(), Some(1), "the broken one stays broken: {log}");
    let lines: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "each is told once: {said}");
    let summary = lines.last().unwrap();
    assert_eq!((&summary["done"], &summary["failed"]), (&1.into(), &1.into()), "{said}");
}

#[test]
fn hostile_names_are_done_here_and_by_a_server() {
    let desk = Desk::new();
    let photo = std::fs::read(fixture_path("photo.jpg")).unwrap();
    let long = "ü".repeat(120);
    let names: [&[u8]; 9] = [
        b"new\nline\r",
        b"\xff\xfe",
        b"-rf",
        b"a b",
        b"'quote\"s;\\",
        b"%41%2f",
        b"..",
        b"\x1b[31mred",
        long.as_bytes(),
    ];
    std::fs::create_dir(desk.path("in")).unwrap();
    for name in names {
        let file = [name, b".jpg"].concat();
        std::fs::write(desk.path("in").join(OsStr::from_bytes(&file)), &photo).unwrap();
    }
    let port = free_port();
    let _server = super::batch_resume::serve(&desk, port);
    let server = format!("http://127.0.0.1:{port}");
    let results = |out: &str| {
        let entries = std::fs::read_dir(desk.path(out)).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = entries.filter(|name| name != ".pixmill").collect();
        names.sort();
        names
    };
    for (out, rest) in [("local", &[][..]), ("remote", &["--server", &server])] {
        // The name that begins with two dots is a hidden one.
        let line = ["batch", "in", "--out", out, "--hidden", "--thumbnail", "20", "--json"];
        let output = desk.run(&[&line[..], rest].concat());
        assert!(output.status.success(), "{out}: {}", stderr(&output));
        assert!(!stderr(&output).contains('\x1b'), "{out}: {}", stderr(&output));
        assert_eq!(json_lines(&output).last().unwrap()["done"], names.len(), "{out}");
        assert_eq!(results(out).len(), names.len(), "{out}");
    }
    assert_eq!(results("local"), results("remote"));
    assert!(results("local").contains(&OsStr::from_bytes(b"\xff\xfe.jpg").to_owned()));

    std::fs::rename(desk.path("in/-rf.jpg"), desk.path("-rf.jpg")).unwrap();
    let output = desk.run(&["batch", "--thumbnail", "20", "--", "-rf.jpg"]);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn locked_folders_and_circles_fail_by_name_alone() {
    let desk = Desk::new();
    desk.put("photo.jpg", "in/a.jpg");
    desk.put("photo.jpg", "in/locked/b.jpg");
    desk.put("photo.jpg", "in/c.jpg");
    symlink(desk.path("in"), desk.path("in/circle")).unwrap();
    let lock = |name: &str, mode| {
        std::fs::set_permissions(desk.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    lock("in/locked", 0);
    lock("in/c.jpg", 0);
    // Root, who may read everything, without that right.
    let mut command = Command::new("setpriv");
    command.args(["--inh-caps=-dac_override,-dac_read_search", "--bounding-set=-dac_override,-dac_read_search", "--"]);
    command.arg(env!("CARGO_BIN_EXE_pixmill")).args(["batch", "in", "--thumbnail", "20"]);
    let output = command.current_dir(desk.path("")).output().unwrap();
    lock("in/locked", 0o755);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for line in [
        "failed: in/locked: source-unreadable: Permission denied",
        "failed: in/circle: source-unreadable: the link leads back to a folder above it",
        "failed: in/c.jpg: ",
        "done                 1 ",
        "failed               3 ",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
}

#[test]
fn full_disk_breaks_nothing_that_more_room_does_not_mend() {
    let desk = Desk::new();
    for i in 0..6 {
        desk.put("photo.jpg", &format!("in/{i}.jpg"));
    }
    let port = free_port();
    let _server = super::batch_resume::serve(&desk, port);
    let server = format!("http://127.0.0.1:{port}");

    // Here: no work is begun that could not be written down.
    let small = SmallDisk::mount("40m");
    let out = small.path().to_str().unwrap();
    let line = ["batch", "in", "--out", out, "--tutorial", "--json"];
    let filler = small.fill();
    let output = desk.run(&line);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("error: "), "{}", stderr(&output));
    std::fs::remove_file(filler).unwrap();
    let output = desk.run(&line);
    assert_eq!(json_lines(&output).last().unwrap()["done"], 6, "{}", stderr(&output));

    // From a server: results that find no room fail, and are fetched by the next run.
    let small = SmallDisk::mount("40m");
    let out = small.path().to_str().unwrap();
    let line = ["batch", "in", "--out", out, "--tutorial", "--json", "--server", &server];
    let first = desk.run(&[&line[..], &["--limit", "1"]].concat());
    assert!(first.status.success(), "{}", stderr(&first));
    let filler = small.fill();
    // Room for the journal, and for hardly a result.
    let file = std::fs::OpenOptions::new().write(true).open(&filler).unwrap();
    file.set_len(file.metadata().unwrap().len() - (600 << 10)).unwrap();
    drop(file);
    let output = desk.run(&line);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let said = stderr(&output);
    assert!([": storage-full: ", "journal", "ledger"].iter().any(|words| said.contains(words)), "{said}");
    std::fs::remove_file(filler).unwrap();
    let output = desk.run(&line);
    assert!(output.status.success(), "{}", stderr(&output));
    let parts = walkdir::WalkDir::new(small.path()).into_iter().map(Result::unwrap);
    let parts: Vec<_> = parts.filter(|entry| entry.file_name().to_string_lossy().ends_with(".part")).collect();
    assert!(parts.is_empty(), "{parts:?}");
    let results = std::fs::read_dir(small.path()).unwrap().count();
    assert_eq!(results, 1 + 3 * 6, "the journal's folder, and three results each");
}

#[test]
fn second_batch_in_a_folder_is_refused() {
    let desk = Desk::new();
    for i in 0..60 {
        desk.put("photo.jpg", &format!("in/{i}.jpg"));
    }
    let first = Running::start(desk.command(&["batch", "in", "--tutorial", "--json"]));
    first.line();
    first.signal(Signal::STOP);
    let second = desk.run(&["batch", "in", "--flip"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("another pixmill batch works in"), "{}", stderr(&second));
}

#[test]
fn servers_that_are_not_there_are_told_with_what_to_do() {
    let desk = Desk::new();
    desk.put("photo.jpg", "in/a.jpg");
    let url = format!("http://127.0.0.1:{}", free_port());
    let output = desk.run(&["batch", "in", "--flip", "--server", &url]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    for words in [&format!("there is no pixmill at {url}/"), "is it running? `pixmill serve` starts one", "refused"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn servers_that_want_a_key_are_told_with_how_to_give_it() {
    let desk = Desk::new();
    desk.put("photo.jpg", "in/a.jpg");
    let port = free_port();
    // The digest of `secret`.
    let config = "[[auth.keys]]\nname = \"shop\"\n\
        sha256 = \"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\"\n";
    std::fs::write(desk.path("pixmill.toml"), config).unwrap();
    let listen = format!("127.0.0.1:{port}");
    let mut command = desk.command(&["serve", "--config", "pixmill.toml", "--listen", &listen, "--data-dir", "data"]);
    command.env("PIXMILL__LIMITS__MIN_FREE_DISK", "0").env("PIXMILL__LOG__LEVEL", "warn");
    let server = Running::start(command);
    server.line();
    let url = format!("http://{listen}");
    let line =
        ["batch", "in", "--flip", "--server", &url, "--api-key", "wrong", "--queue", "priority", "--priority", "9"];
    for (line, said) in [
        (&line[..5], "name a key with --api-key or PIXMILL_API_KEY"),
        (&line[..7], "is --api-key (or PIXMILL_API_KEY)"),
    ] {
        let output = desk.run(line);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
    let right = [&line[..6], &["secret"], &line[7..]].concat();
    let output = desk.run(&right);
    assert!(output.status.success(), "{}", stderr(&output));
    let wrong = [&line[..6], &["secret", "--out", "other", "--queue", "nowhere"]].concat();
    assert!(stderr(&desk.run(&wrong)).contains("unknown queue `nowhere`"), "the server's words are passed on");
}

/// What is seen on a terminal of this width, with all that steers it.
fn on_terminal(desk: &Desk, columns: u16, line: &str) -> String {
    let binary = env!("CARGO_BIN_EXE_pixmill");
    let command = format!("stty cols {columns} rows 30; {binary} {line}");
    let output = Command::new("script").args(["-qec", &command, "/dev/null"]).current_dir(desk.path("")).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[test]
fn terminal_gets_a_bar_and_anything_else_plain_lines() {
    let desk = Desk::new();
    for i in 0..8 {
        desk.put("photo.jpg", &format!("in/{i}.jpg"));
    }
    desk.put_broken("in/broken.jpg");
    let seen = on_terminal(&desk, 100, "batch in --tutorial");
    for words in ["━", "/9 · ", " failed · ", "/s", "failed: in/broken.jpg: truncated-image", "done                 8"]
    {
        assert!(seen.contains(words), "{words}: {seen}");
    }
    let plain = stderr(&desk.run(&["batch", "in", "--out", "other", "--tutorial"]));
    assert!(!plain.contains(['\x1b', '\r', '━']), "{plain:?}");
    let quiet = desk.run(&["batch", "in", "--out", "third", "--tutorial", "--quiet"]);
    assert_eq!(stderr(&quiet).lines().count(), 1, "{}", stderr(&quiet));
    assert!(stderr(&quiet).starts_with("failed: in/broken.jpg"), "{}", stderr(&quiet));
}
