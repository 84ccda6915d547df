//! `pixmill batch` in process.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::SystemTime;

use pixmill::queue::{Broker, Policy};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{Desk, Running, json_lines, stderr};
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
fn folder_gets_the_default_three_and_a_broken_picture_fails_alone() {
    let desk = Desk::new();
    desk.put("photo.jpg", "in/2024/photo.jpg");
    desk.put("alpha.png", "in/photo.png");
    desk.put_broken("in/broken.jpg");
    std::fs::write(desk.path("in/notes.txt"), "not a picture").unwrap();
    let output = desk.run(&["batch", "in", "--json"]);
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

    std::fs::remove_file(desk.path("pixmill-out/a-0-thumbnail.jpg")).unwrap();
    desk.put("alpha.png", "in/b.jpg");
    let mended = statuses(&json_lines(&desk.run(&line)));
    assert!(mended.values().all(|status| status == "done"), "a result was deleted, a source changed: {mended:?}");
    assert_eq!(desk.size("pixmill-out/a-0-thumbnail.jpg"), (40, 30));
    assert_eq!(desk.size("pixmill-out/b-0-thumbnail.png"), (40, 40));
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
    let line = ["batch", "in", "--json"];
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
    let line = ["batch", "in", "--json"];
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
    let line = ["batch", &path("in"), "--out", &path("out"), "--json"];
    let first = Process::plain(&line);
    // One that has become what it is to be: until then, the other waits for it.
    let computes = |pid: &i32| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"pixmill\0compute"))
    };
    let child = until("a process computes", async || first.children().into_iter().find(computes)).await;
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
    assert!(depths[0].active == 0 && depths[0].waiting > 0, "nobody has to wait for a lease: {depths:?}");
}

#[test]
fn dry_run_writes_nothing() {
    let desk = Desk::new();
    desk.put("photo.jpg", "in/a.jpg");
    let output = desk.run(&["batch", "in", "--thumbnail", "40", "--dry-run"]);
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("in/a.jpg") && said.contains("pixmill-out/a-0-thumbnail"), "{said}");
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
    std::fs::remove_file(desk.path("pixmill-out/deleted-0-thumbnail.jpg")).unwrap();
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
        assert!(said.contains("2 pictures to do, 1 results each"), "{said}");
        assert!(said.contains("1 done before, 1 failed"), "{said}");
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
    assert_eq!(desk.size("pixmill-out/a-0-small.jpg"), (40, 30));
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
        (&["batch", "nowhere"][..], "nowhere: no such file or folder"),
        (&["batch", "*.gif"], "*.gif: nothing matches"),
        (&["batch", "empty"], "no pictures in empty"),
        (&["batch"], "required arguments were not provided"),
        (&["batch", "X"], "X: no such file or folder; did you mean x?"),
        (&["batch", "x", "--server", "localhost:8080"], "write the whole address: http://localhost:8080"),
        (&["batch", "x", "--queue", "priority"], "--server <URL>"),
        (&["batch", "x", "--min-size", "huge"], "write bytes, with a unit if you like"),
        (&["batch", "x", "--newer-than", "yesterday"], "write how long ago"),
        (&["batch", "x", "--null"], "--null is for lists"),
        (&["batch", "-", "--list", "-"], "can be read once only"),
        (&["batch", "x", "--out", "x"], "--out"),
        (&["batch", "x", "--resize", "1000000x"], "exceeds limits.max_output_side (16384)"),
    ] {
        let output = desk.run(line);
        assert_eq!(output.status.code(), Some(2), "{line:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(said), "{line:?}: {}", stderr(&output));
    }
}
