//! `pixmill batch` in process.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::SystemTime;

use queue::{Broker, Policy, QueueDepth};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{Desk, Running, fixture_path, json_lines, stderr};
use crate::support::free_port;
use crate::support::pictures::plain_png;
use crate::support::service::Process;
use crate::support::until;

/// Enough that a run is still at work when it is cut off.
const MANY: usize = 60;

fn many() -> Desk {
    let desk = Desk::new();
    for i in 0..MANY {
        desk.put("photo.jpg", &format!("in/{}/{i}.jpg", i % 3));
    }
    desk
}

/// How each picture ended, by its name.
fn statuses(lines: &[Value]) -> HashMap<String, String> {
    let pictures = lines.iter().filter(|line| line["summary"].is_null());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let named: Vec<_> = pictures.map(|line| (text(&line["image"]), text(&line["status"]))).collect();
    let count = named.len();
    let by_name: HashMap<_, _> = named.into_iter().collect();
    assert_eq!(by_name.len(), count, "a picture was named twice");
    by_name
}

fn outputs(lines: &[Value]) -> Vec<PathBuf> {
    let outputs = lines.iter().filter_map(|line| line["outputs"].as_array()).flatten();
    outputs.map(|output| output["path"].as_str().unwrap().into()).collect()
}

fn written(desk: &Desk, files: &[PathBuf]) -> Vec<SystemTime> {
    files.iter().map(|file| desk.path("").join(file).metadata().unwrap().modified().unwrap()).collect()
}

#[test]
fn folder_gets_the_tutorials_three_and_a_broken_picture_fails_alone() {
    let desk = Desk::new();
    desk.put("photo.jpg", "in/2024/photo.jpg");
    desk.put("alpha.png", "in/photo.png");
    desk.put_broken("in/broken.jpg");
    std::fs::write(desk.path("in/notes.txt"), "not a picture").unwrap();
    let output = desk.run(&["batch", "in", "--tutorial", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let lines = json_lines(&output);
    let expected = [("in/2024/photo.jpg", "done"), ("in/broken.jpg", "failed"), ("in/photo.png", "done")];
    assert_eq!(statuses(&lines), expected.map(|(name, status)| (name.into(), status.into())).into());
    let summary = lines.last().unwrap();
    assert_eq!((&summary["total"], &summary["done"], &summary["failed"]), (&3.into(), &2.into(), &1.into()));
    assert_eq!(desk.size("pixmill-out/2024/photo-0-resize.jpg"), (800, 600));
    assert_eq!(desk.size("pixmill-out/2024/photo-1-thumbnail.jpg"), (150, 113));
    assert_eq!(desk.size("pixmill-out/2024/photo-2-watermark.jpg"), (1200, 900));
    assert_eq!(desk.size("pixmill-out/photo-0-resize.png"), (800, 600));
    let said = stderr(&output);
    assert!(said.contains("failed: in/broken.jpg: truncated-image:"), "{said}");
    assert_eq!(said.matches("failed: in/broken.jpg").count(), 1, "{said}");
    for line in [
        "done                 2  6 results,",
        "failed               1  1 truncated-image",
        "passed over          1  1 not pictures by their names",
        "of                   3  in ",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
}

#[test]
fn what_is_done_is_not_done_again() {
    let desk = Desk::new();
    desk.put("photo.jpg", "in/a.jpg");
    desk.put("grey.jpg", "in/b.jpg");
    let line = ["batch", "in", "--thumbnail", "40", "--json"];
    let first = json_lines(&desk.run(&line));
    let (files, before) = (outputs(&first), written(&desk, &outputs(&first)));
    assert_eq!(files.len(), 2);
    let again = desk.run(&line);
    assert!(again.status.success());
    assert!(statuses(&json_lines(&again)).values().all(|status| status == "already-done"));
    assert_eq!(written(&desk, &files), before);

    std::fs::remove_file(desk.path("pixmill-out/a.jpg")).unwrap();
    desk.put("alpha.png", "in/b.jpg");
    let mended = statuses(&json_lines(&desk.run(&line)));
    assert!(mended.values().all(|status| status == "done"), "a result was deleted, a source changed: {mended:?}");
    assert_eq!(desk.size("pixmill-out/a.jpg"), (40, 30));
    assert_eq!(desk.size("pixmill-out/b.png"), (40, 40));
}

/// The files in a folder of results, by their paths, with what is in them.
fn results(desk: &Desk, out: &str) -> BTreeMap<String, Vec<u8>> {
    let files = walkdir::WalkDir::new(desk.path(out)).into_iter().filter_entry(|entry| entry.file_name() != ".pixmill");
    let files = files.map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    let below = |entry: &walkdir::DirEntry| entry.path().strip_prefix(desk.path(out)).unwrap().display().to_string();
    files.map(|entry| (below(&entry), std::fs::read(entry.path()).unwrap())).collect()
}

#[test]
fn results_of_other_operations_or_other_hands_are_made_again_here_and_by_a_server() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("in")).unwrap();
    std::fs::write(desk.path("in/a.png"), plain_png(64, 48)).unwrap();
    let port = free_port();
    let _server = super::batch_resume::serve(&desk, port);
    let server = format!("http://127.0.0.1:{port}");
    // BMPs of one size have one length.
    let pad = |color| ["--pad", "80x80", "--background", color, "--format", "bmp"];
    for (out, rest) in [("local", &[][..]), ("remote", &["--server", &server])] {
        let run = |operations: &[&str]| {
            let output = desk.run(&[&["batch", "in", "--out", out, "--json"], rest, operations].concat());
            assert!(output.status.success(), "{out}: {}", stderr(&output));
            let summary = json_lines(&output).pop().unwrap();
            (summary["done"].as_u64().unwrap(), results(&desk, out))
        };
        let (red, blue) = (pad("#ff0000"), pad("#0000ff"));
        let (first, second, third, fourth) = (run(&red), run(&blue), run(&red), run(&red));
        assert_eq!(first.1.keys().collect::<Vec<_>>(), ["a.bmp"], "{out}");
        assert_eq!(first.1["a.bmp"].len(), second.1["a.bmp"].len());
        assert_ne!(first, second, "{out}");
        assert_eq!(third, first, "{out}: what the second run left is replaced");
        assert_eq!(fourth, (0, first.1.clone()), "{out}: and known again");

        let file = desk.path(out).join("a.bmp");
        std::fs::write(&file, vec![b'x'; first.1["a.bmp"].len()]).unwrap();
        assert_eq!(run(&red), first, "{out}: a changed result is made again");
        // As if the disk had changed it, and its times were as before.
        let seen = std::fs::metadata(&file).unwrap().modified().unwrap();
        let mut bytes = first.1["a.bmp"].clone();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&file, bytes).unwrap();
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(seen).unwrap();
        assert_eq!(run(&red), first, "{out}: by its content, not by its length and time");
    }
}

#[test]
fn files_that_others_made_are_not_replaced_unless_asked_for() {
    let desk = Desk::new();
    desk.put("photo.jpg", "in/a.jpg");
    desk.put("photo.jpg", "other/a.jpg");
    desk.put("grey.jpg", "out/a.jpg");
    let port = free_port();
    let _server = super::batch_resume::serve(&desk, port);
    let server = format!("http://127.0.0.1:{port}");
    let grey = std::fs::read(fixture_path("grey.jpg")).unwrap();
    for rest in [&[][..], &["--server", &server]] {
        std::fs::write(desk.path("out/a.jpg"), &grey).unwrap();
        let _ = std::fs::remove_dir_all(desk.path("out/.pixmill"));
        let run = |folder: &str, more: &[&str]| {
            desk.run(&[&["batch", folder, "--out", "out", "--thumbnail", "40", "--json"], rest, more].concat())
        };
        for more in [&["--dry-run"][..], &[], &[]] {
            let refused = run("in", more);
            assert_eq!(refused.status.code(), Some(1), "{}", stderr(&refused));
            let error = &json_lines(&refused)[0]["error"];
            assert_eq!(error["code"], "name-taken");
            let said = error["detail"].as_str().unwrap();
            assert!(said.starts_with("out/a.jpg is there already") && said.contains("--overwrite"), "{said}");
            assert_eq!(std::fs::read(desk.path("out/a.jpg")).unwrap(), grey);
        }
        let output = run("in", &["--overwrite"]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(desk.size("out/a.jpg"), (40, 30));

        let said = stderr(&run("other", &[]));
        assert!(said.contains("name-taken: out/a.jpg is the result of ") && said.contains("in/a.jpg"), "{said}");
        std::fs::rename(desk.path("in"), desk.path("gone")).unwrap();
        assert!(run("other", &[]).status.success(), "the other picture is no longer there");
        std::fs::rename(desk.path("gone"), desk.path("in")).unwrap();
    }
}

#[test]
fn names_are_those_that_the_pattern_says_and_a_dry_run_tells() {
    let desk = Desk::new();
    desk.put("photo.jpg", "in/2024/a.JPG");
    desk.put("photo.jpg", "in/b.jpg");
    desk.put("alpha.png", "in/b.png");
    desk.put("alpha.png", "in/c.jpg");
    for (i, (operations, expected)) in [
        (&["--thumbnail", "20"][..], ["2024/a.JPG", "b.jpg", "b.png", "c.png"]),
        (&["--thumbnail", "20", "--format", "webp"], ["2024/a.webp", "b.jpg.webp", "b.png.webp", "c.webp"]),
        (
            &["--flip", "--name", "{op}/{stem}@{index}.{ext}"],
            ["flip/a@0.JPG", "flip/b@0.jpg", "flip/b@0.png", "flip/c@0.png"],
        ),
        (&["--info"], ["2024/a.json", "b.jpg.json", "b.png.json", "c.json"]),
    ]
    .into_iter()
    .enumerate()
    {
        let out = format!("out{i}");
        let line = [&["batch", "in", "--out", &out, "--json"], operations].concat();
        let planned = desk.run(&[&line[..], &["--dry-run"]].concat());
        let planned: BTreeSet<String> = json_lines(&planned)
            .iter()
            .map(|line| line["results"][0].as_str().unwrap().strip_prefix(&format!("{out}/")).unwrap().to_owned())
            .collect();
        let output = desk.run(&line);
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(results(&desk, &out).into_keys().collect::<Vec<_>>(), expected);
        assert_eq!(planned.iter().collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>(), "the dry run");
    }
    let several = desk.run(&["batch", "in", "--out", "several", "--flip", "--thumbnail", "9", "--limit", "1"]);
    assert!(several.status.success(), "{}", stderr(&several));
    assert_eq!(results(&desk, "several").into_keys().collect::<Vec<_>>(), ["b-0-flip.jpg", "b-1-thumbnail.jpg"]);
}

#[test]
fn folder_that_is_named_in_two_ways_is_taken_once() {
    let desk = Desk::new();
    desk.put("photo.jpg", "in/a.jpg");
    let output = desk.run(&["batch", "in", "in/../in", "--thumbnail", "4", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let summary = json_lines(&output).pop().unwrap();
    assert_eq!((&summary["done"], &summary["passed_over"]["named-twice"]), (&1.into(), &1.into()), "{summary}");
}

#[test]
fn overlay_is_found_by_its_path_and_another_one_is_other_work() {
    let desk = Desk::new();
    desk.put("photo.jpg", "in/a.jpg");
    desk.put("alpha.png", "marks/logo.png");
    let line = ["batch", "in", "--overlay", "marks/logo.png", "--json"];
    let first = desk.run(&line);
    assert!(first.status.success(), "{}", stderr(&first));
    let before = results(&desk, "pixmill-out");
    assert_eq!(json_lines(&desk.run(&line))[0]["status"], "already-done");
    std::fs::write(desk.path("marks/logo.png"), plain_png(90, 90)).unwrap();
    assert_eq!(json_lines(&desk.run(&line))[0]["status"], "done");
    assert_ne!(results(&desk, "pixmill-out"), before);
    let output = desk.run(&["batch", "in", "--overlay", "marks/logo.png", "--server", "http://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("a server lays on what its own watermark.overlays has"), "{}", stderr(&output));
}

#[test]
fn failed_picture_is_remembered_until_asked_for() {
    let desk = Desk::new();
    desk.put_broken("in/broken.jpg");
    let line = ["batch", "in", "--thumbnail", "40", "--retry-failed", "--json"];
    for line in [&line[..4], &line[..4], &line[..5]] {
        let output = desk.run(line);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("truncated-image"), "{}", stderr(&output));
    }
    assert_eq!(std::fs::read_dir(desk.path("pixmill-out/.pixmill/outputs")).unwrap().count(), 0, "leftovers");
}

#[test]
fn killed_run_goes_on_where_it_was() {
    let desk = many();
    let line = ["batch", "in", "--tutorial", "--json"];
    let mut first = Running::start(desk.command(&line));
    let mut before: Vec<Value> = (0..8).map(|_| serde_json::from_str(&first.line()).unwrap()).collect();
    first.signal(Signal::KILL);
    first.child.wait().unwrap();
    before.extend(first.rest().iter().map(|line| serde_json::from_str(line).unwrap()));
    assert!(before.len() < MANY, "the run was over before it was killed");
    let (files, times) = (outputs(&before), written(&desk, &outputs(&before)));

    let output = desk.run(&line);
    assert!(output.status.success(), "{}", stderr(&output));
    let after = json_lines(&output);
    let ended = statuses(&after);
    assert_eq!(ended.len(), MANY);
    for (name, _) in statuses(&before) {
        assert_eq!(ended[&name], "already-done", "{name}");
    }
    assert_eq!(written(&desk, &files), times, "a finished result was written again");
    let all = outputs(&after);
    assert_eq!(all.len(), 3 * MANY);
    assert!(all.iter().all(|file| desk.path("").join(file).exists()));
    assert_eq!(std::fs::read_dir(desk.path("pixmill-out/.pixmill/outputs")).unwrap().count(), 0, "leftovers");
}

#[test]
fn interrupted_run_drains_and_says_how_to_go_on() {
    let desk = many();
    let line = ["batch", "in", "--tutorial", "--json"];
    let mut first = Running::start(desk.command(&line));
    let mut lines = vec![first.line()];
    first.signal(Signal::INT);
    assert_eq!(first.child.wait().unwrap().code(), Some(130));
    lines.extend(first.rest());
    let summary: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert_eq!(summary["stopped"], true);
    assert_eq!(summary["done"], lines.len() as u64 - 1);
    let output = desk.run(&line);
    assert!(output.status.success(), "{}", stderr(&output));
    let summary = json_lines(&output).pop().unwrap();
    assert_eq!(summary["already_done"], lines.len() as u64 - 1);
    assert_eq!(summary["done"], (MANY - lines.len() + 1) as u64);
}

#[tokio::test]
async fn second_interrupt_gives_back_what_is_being_made() {
    let desk = many();
    let path = |name: &str| desk.path(name).to_str().unwrap().to_owned();
    let line = ["batch", &path("in"), "--out", &path("out"), "--tutorial", "--json"];
    let first = Process::plain(&line);
    // One that has become what it is to be: until then, the other waits for it.
    let computes = |pid: &i32| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"pixmill\0compute"))
    };
    let child = until("a process computes", async || first.children().into_iter().find(computes)).await;
    // All pictures were enqueued together, and most of them wait.
    let done = || {
        std::fs::read_dir(desk.path("out"))
            .is_ok_and(|mut results| results.any(|one| one.unwrap().file_name() != ".pixmill"))
    };
    until("a picture is done", async || done().then_some(())).await;
    // Whatever it is at, it does not finish.
    kill_process(Pid::from_raw(child).unwrap(), Signal::STOP).unwrap();
    first.signal(Signal::INT);
    first.says("Ctrl-C again ends at once").await;
    first.signal(Signal::INT);
    let (status, said, log) = first.ends().await;
    assert_eq!(status.code(), Some(130), "{log}");
    let summary: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(summary["stopped"], true);

    let journal = Broker::open_sqlite(&desk.path("out/.pixmill/queue.db"), Policy::default()).unwrap();
    let depths = journal.depths().await.unwrap();
    let all = |of: fn(&QueueDepth) -> u64| depths.iter().map(of).sum::<u64>();
    assert!(
        all(|depth| depth.active) == 0 && all(|depth| depth.waiting) > 0,
        "nobody has to wait for a lease: {depths:?}"
    );
}

#[test]
fn dry_run_writes_nothing() {
    let desk = Desk::new();
    desk.put("photo.jpg", "in/a.jpg");
    let output = desk.run(&["batch", "in", "--thumbnail", "40", "--dry-run"]);
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("in/a.jpg") && said.contains("→ ./pixmill-out/a.jpg"), "{said}");
    assert!(!desk.path("pixmill-out").exists());
}

#[test]
fn dry_run_tells_what_was_done_before_and_changes_nothing() {
    let desk = Desk::new();
    desk.put("photo.jpg", "in/done.jpg");
    desk.put("photo.jpg", "in/deleted.jpg");
    desk.put_broken("in/broken.jpg");
    let line = ["batch", "in", "--thumbnail", "40", "--json", "--dry-run"];
    desk.run(&line[..5]);
    desk.put("photo.jpg", "in/new.jpg");
    std::fs::remove_file(desk.path("pixmill-out/deleted.jpg")).unwrap();
    let journal = || {
        let files = std::fs::read_dir(desk.path("pixmill-out/.pixmill")).unwrap();
        let names: BTreeSet<_> = files.map(|file| file.unwrap().file_name()).collect();
        (names, std::fs::read(desk.path("pixmill-out/.pixmill/queue.db")).unwrap())
    };
    let before = journal();
    for _ in 0..2 {
        let output = desk.run(&line);
        assert_eq!(output.status.code(), Some(1), "one fails again: {}", stderr(&output));
        let expected = [
            ("in/broken.jpg", "would-fail"),
            ("in/deleted.jpg", "would-do"),
            ("in/done.jpg", "already-done"),
            ("in/new.jpg", "would-do"),
        ];
        assert_eq!(
            statuses(&json_lines(&output)),
            expected.map(|(name, status)| (name.into(), status.into())).into(),
            "{}",
            stderr(&output)
        );
        let said = stderr(&output);
        assert!(said.contains("2 pictures to do, 1 result each"), "{said}");
        assert!(said.contains("1 done before, 1 would fail"), "{said}");
    }
    assert!(journal() == before, "the journal was written");
    let all = statuses(&json_lines(&desk.run(&["batch", "in", "--thumbnail", "41", "--json", "--dry-run"])));
    assert!(all.values().all(|status| status == "would-do"), "other operations are other work: {all:?}");
    let summary = json_lines(&desk.run(&line[..5])).pop().unwrap();
    assert_eq!((&summary["done"], &summary["already_done"]), (&2.into(), &1.into()), "{summary}");
}

#[test]
fn dry_run_takes_a_journal_without_tables_for_an_empty_one() {
    let desk = Desk::new();
    desk.put("photo.jpg", "in/a.jpg");
    std::fs::create_dir_all(desk.path("pixmill-out/.pixmill")).unwrap();
    std::fs::write(desk.path("pixmill-out/.pixmill/queue.db"), "").unwrap();
    let output = desk.run(&["batch", "in", "--thumbnail", "40", "--json", "--dry-run"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(statuses(&json_lines(&output)), [("in/a.jpg".into(), "would-do".into())].into());
}

#[test]
fn preset_names_the_operations() {
    let desk = Desk::new();
    desk.put("photo.jpg", "in/a.jpg");
    let settings = "[presets]\ncard = [{ type = \"thumbnail\", size = [40, 40], name = \"small\" }]\n";
    std::fs::write(desk.path("settings.toml"), settings).unwrap();
    let output = desk.run(&["batch", "in", "--config", "settings.toml", "--preset", "card"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(desk.size("pixmill-out/a.jpg"), (40, 30));
    let output = desk.run(&["batch", "in", "--preset", "card"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--preset: unknown preset `card`; known: none (presets)"), "{}", stderr(&output));
}

#[test]
fn wrong_calls_end_with_2() {
    let desk = Desk::new();
    desk.put("photo.jpg", "x/a.jpg");
    desk.put("photo.jpg", "y/a.jpg");
    std::fs::create_dir(desk.path("empty")).unwrap();
    for (line, said) in [
        (&["batch", "nowhere", "--flip"][..], "nowhere: no such file or folder"),
        (&["batch", "*.gif", "--flip"], "*.gif: nothing matches"),
        (&["batch", "empty", "--flip"], "no pictures in empty"),
        (&["batch"], "required arguments were not provided"),
        (&["batch", "x"], "nothing to do: name an operation, such as\n  --thumbnail 300 "),
        (&["batch", "x", "--quality", "60"], "nothing to do: name an operation"),
        (
            &["batch", "x", "--flip", "--name", "{stem}-{width}.{ext}"],
            "there is no field {width}; known: {dir}, {stem}",
        ),
        (&["batch", "x", "--tutorial", "--name", "{stem}.{ext}"], "operations 0 and 1 would have one name"),
        (&["batch", "x", "--tutorial", "--flip"], "cannot be used with"),
        (&["batch", "x", "--overlay", "./logo.png"], "--overlay ./logo.png: no such file or folder"),
        (&["batch", "X", "--flip"], "X: no such file or folder; did you mean x?"),
        (&["batch", "x", "--server", "localhost:8080"], "write the whole address: http://localhost:8080"),
        (&["batch", "x", "--queue", "priority"], "--server <URL>"),
        (&["batch", "x", "--min-size", "huge"], "write bytes, with a unit if you like"),
        (&["batch", "x", "--newer-than", "yesterday"], "write how long ago"),
        (&["batch", "x", "--flip", "--null"], "--null is for lists"),
        (&["batch", "-", "--list", "-", "--flip"], "can be read once only"),
        (&["batch", "x", "--flip", "--out", "x"], "--out"),
        (&["batch", "x", "--resize", "1000000x"], "exceeds limits.max_output_side (16384)"),
    ] {
        let output = desk.run(line);
        assert_eq!(output.status.code(), Some(2), "{line:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(said), "{line:?}: {}", stderr(&output));
    }
}
