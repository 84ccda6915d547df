//! What a batch is told to take: lists, standard input, addresses, filters.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::{Desk, fixture_path, json_lines, stderr};
use crate::support::free_port;

fn fed(desk: &Desk, line: &[&str], stdin: &[u8]) -> Output {
    let mut command = desk.command(line);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    child.wait_with_output().unwrap()
}

/// Of the pictures in the lines: names with their ends or the codes of their failures, sorted.
fn ends(output: &Output) -> Vec<(String, String)> {
    let lines = json_lines(output);
    let pictures = lines.iter().filter(|line| line["summary"].is_null());
    let mut ends: Vec<_> = pictures
        .map(|line| {
            let end = line["error"]["code"].as_str().or(line["status"].as_str());
            (line["image"].as_str().unwrap().to_owned(), end.unwrap().to_owned())
        })
        .collect();
    ends.sort();
    ends
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.map(|(name, end)| (name.to_owned(), end.to_owned())).into()
}

#[test]
fn lists_name_pictures_and_what_their_results_are_called() {
    let desk = Desk::new();
    desk.put("photo.jpg", "p/a, b.jpg");
    desk.put("grey.jpg", "p/c.jpg");
    let csv = "id,path,name,out\n1,\"p/a, b.jpg\",tom,web/cats\n2,p/c.jpg,,\n3,p/none.jpg,,\n4,p/c.jpg,x,../up\n";
    std::fs::write(desk.path("l.csv"), csv).unwrap();
    std::fs::write(desk.path("l.jsonl"), "{\"path\": \"p/c.jpg\", \"out\": \"flat\"}\nnonsense\n").unwrap();
    let line = ["batch", "--list", "l.csv", "--list", "l.jsonl", "--thumbnail", "20", "--json"];
    let output = desk.run(&line);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let expected = [
        ("l.csv:5", "invalid-line"),
        ("l.jsonl:2", "invalid-line"),
        ("p/a, b.jpg", "done"),
        ("p/c.jpg", "done"),
        ("p/c.jpg", "done"),
        ("p/none.jpg", "source-unreadable"),
    ];
    assert_eq!(ends(&output), pairs(expected));
    for result in ["web/cats/tom", "p/c", "flat/c"] {
        assert!(desk.path(&format!("pixmill-out/{result}.jpg")).exists(), "{result}");
    }
    let again = desk.run(&line);
    assert_eq!(json_lines(&again).last().unwrap()["already_done"], 3);
}

#[test]
fn names_come_from_other_programs() {
    let desk = Desk::new();
    desk.put("photo.jpg", "p/line\nend.jpg");
    desk.put("photo.jpg", "p/b.jpg");
    let output = fed(&desk, &["batch", "-", "-0", "--thumbnail", "20", "--json"], b"p/line\nend.jpg\0p/b.jpg\0");
    assert_eq!(ends(&output), pairs([("p/b.jpg", "done"), ("p/line\nend.jpg", "done")]), "{}", stderr(&output));
    let output = fed(&desk, &["batch", "--list", "-", "--thumbnail", "20", "--json"], b"p/b.jpg\r\n\np/b.jpg\n");
    assert_eq!(ends(&output), pairs([("p/b.jpg", "already-done")]), "{}", stderr(&output));
    assert_eq!(json_lines(&output).last().unwrap()["passed_over"]["named-twice"], 1);
    let output = fed(&desk, &["batch", "-", "--flip", "--json"], b"");
    assert!(output.status.success(), "an empty list is no fault: {}", stderr(&output));
    assert_eq!(json_lines(&output).last().unwrap()["total"], 0);
}

#[test]
fn filters_pass_over_and_tell_how_many() {
    let desk = Desk::new();
    for name in ["in/a.jpg", "in/draft-a.jpg", "in/raw/b.jpg", "in/raw/deep/c.jpg", "in/.hidden/d.jpg"] {
        desk.put("photo.jpg", name);
    }
    desk.put("alpha.png", "in/e.png");
    std::fs::write(desk.path("in/tiny.jpg"), "tiny").unwrap();
    let old = std::fs::File::open(desk.path("in/raw/b.jpg")).unwrap();
    old.set_modified(std::time::SystemTime::now() - std::time::Duration::from_hours(30 * 24)).unwrap();
    let line = ["batch", "in", "--thumbnail", "20", "--json", "--include", "*.jpg", "--exclude", "draft*"];
    let line = [&line[..], &["--min-size", "1k", "--newer-than", "7d", "--max-depth", "2"]].concat();
    let output = desk.run(&line);
    assert_eq!(ends(&output), pairs([("in/a.jpg", "done")]), "{}", stderr(&output));
    let passed = json_lines(&output).last().unwrap()["passed_over"].clone();
    let expected = serde_json::json!({
        "hidden": 1, "not-included": 1, "excluded": 1, "too-small": 1, "too-old": 1, "too-deep": 1
    });
    assert_eq!(passed, expected);
    let said = stderr(&output);
    assert!(said.contains("passed over          6  1 hidden, 1 not in --include, 1 in --exclude"), "{said}");

    let output = desk.run(&["batch", "in", "--hidden", "--limit", "2", "--thumbnail", "20", "--json"]);
    assert_eq!(json_lines(&output).last().unwrap()["total"], 2);
    let output = desk.run(&["batch", "in", "--flip", "--older-than", "2000-01-01", "--json", "--out", "other"]);
    assert!(output.status.success() && !desk.path("other").exists(), "nothing to do is no fault");
}

#[test]
fn dry_run_tells_lists_and_faults_without_reading_pictures() {
    let desk = Desk::new();
    desk.put("photo.jpg", "in/a.jpg");
    let output =
        fed(&desk, &["batch", "-", "in", "--thumbnail", "9", "--dry-run"], b"nowhere.jpg\nhttps://example.org/b.png\n");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    for line in ["nowhere.jpg ✗ source-unreadable", "pixmill-out/example.org/b.png", "pixmill-out/a.jpg"] {
        assert!(said.contains(line), "{line}: {said}");
    }
}

/// A web server of a few pages, and what it was asked for.
struct Site {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Site {
    /// `answer` gets the path and how often it was asked for before.
    fn open(answer: impl Fn(&str, usize) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let Some(first) = lines.next() else { continue };
                let path = first.split(' ').nth(1).unwrap().to_owned();
                lines.find(String::is_empty);
                let before = {
                    let mut heard = heard.lock().unwrap();
                    heard.push(path.clone());
                    heard.iter().filter(|one| **one == path).count() - 1
                };
                let _ = stream.write_all(&answer(&path, before));
                let _ = stream.shutdown(std::net::Shutdown::Write);
                let _ = stream.read(&mut [0]);
            }
        });
        Self { url, asked }
    }

    fn asked(&self, path: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|one| *one == path).count()
    }
}

fn ok(length: usize, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn site() -> Site {
    let photo = std::fs::read(fixture_path("photo.jpg")).unwrap();
    Site::open(move |path, before| match path {
        "/a/moved.jpg" => b"HTTP/1.1 302 Found\r\nLocation: /a/cat.jpg\r\nContent-Length: 0\r\n\r\n".to_vec(),
        "/flaky.jpg" if before == 0 => b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n".to_vec(),
        "/flaky.jpg" if before == 1 => ok(photo.len(), &photo[..999]),
        "/flaky.jpg" | "/a/cat.jpg" | "/b/cat.jpg?size=1" => ok(photo.len(), &photo),
        "/loop" => b"HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n".to_vec(),
        "/huge.jpg" => ok(1 << 40, b""),
        "/endless.jpg" => [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".as_slice(), &vec![7; 3 << 20]].concat(),
        _ => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
    })
}

#[test]
fn addresses_are_fetched_once_within_limits_here_and_for_a_server() {
    let desk = Desk::new();
    let port = free_port();
    let _server = super::batch_resume::serve(&desk, port);
    let server = format!("http://127.0.0.1:{port}");
    for (out, rest) in [("local", &[][..]), ("remote", &["--server", &server])] {
        let site = site();
        let urls =
            ["a/cat.jpg", "a/moved.jpg", "b/cat.jpg?size=1", "flaky.jpg", "loop", "huge.jpg", "endless.jpg", "no"];
        let list = urls.map(|path| format!("{}/{path}", site.url)).join("\n");
        std::fs::write(desk.path("list.txt"), list).unwrap();
        let line = ["batch", "--list", "list.txt", "--out", out, "--thumbnail", "20", "--json"];
        let mut command = desk.command(&[&line[..], rest].concat());
        let output = command.env("PIXMILL__LIMITS__MAX_FILE_BYTES", (2 << 20).to_string()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        let url = |path: &str| format!("{}/{path}", site.url);
        let mut expected: Vec<(String, String)> = urls.map(|path| (url(path), "done".into())).into();
        for (i, code) in [(4, "fetch-failed"), (5, "too-large"), (6, "too-large"), (7, "fetch-failed")] {
            expected[i].1 = code.into();
        }
        expected.sort();
        assert_eq!(ends(&output), expected, "{out}: {}", stderr(&output));
        let host = site.url.strip_prefix("http://").unwrap().replace(':', "_");
        assert_eq!(desk.size(&format!("{out}/{host}/a/cat.jpg")), (20, 15), "{out}");
        assert_eq!(std::fs::read_dir(desk.path(&format!("{out}/.pixmill/fetched"))).unwrap().count(), 0, "leftovers");

        let again = desk.run(&[&line[..], rest].concat());
        let summary: Value = json_lines(&again).pop().unwrap();
        assert_eq!((&summary["already_done"], &summary["failed"]), (&4.into(), &4.into()), "{}", stderr(&again));
        assert_eq!(site.asked("/b/cat.jpg?size=1"), 1, "{out}: what is done is not fetched again");
    }
}
