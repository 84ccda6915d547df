//! Batches that are killed, again and again, here and against a server that is killed too: every result is
//! there once.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::SystemTime;

use rustix::process::Signal;
use serde_json::Value;

use super::{Desk, Running, json_lines, stderr};
use crate::support::free_port;
use crate::support::pictures::plain_png;
use crate::support::until;

/// Enough that a run is still at work when it is cut off.
const MANY: usize = 480;
/// Lines of a run that is then killed.
const LINES: usize = 25;

/// Many small pictures in a few folders.
fn desk() -> Desk {
    let desk = Desk::new();
    for i in 0..MANY {
        let file = desk.path(&format!("in/{}/{i:03}.png", i % 4));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        // No two alike, so that a result in the wrong place would be seen.
        std::fs::write(file, plain_png(8 + i as u32, 8)).unwrap();
    }
    desk
}

/// What the runs of one batch have said.
#[derive(Default)]
struct Told {
    /// When the results of each picture that was told as done were written.
    done: HashMap<String, Vec<(PathBuf, SystemTime)>>,
}

impl Told {
    fn hear(&mut self, desk: &Desk, line: &Value) {
        if line["status"] != "done" {
            return;
        }
        let image = line["image"].as_str().unwrap().to_owned();
        let files = line["outputs"].as_array().unwrap().iter().map(|output| {
            let file = desk.path(output["path"].as_str().unwrap());
            let written = file.metadata().unwrap().modified().unwrap();
            (file, written)
        });
        let twice = self.done.insert(image.clone(), files.collect());
        assert!(twice.is_none(), "{image} was done twice");
    }

    fn hear_all(&mut self, desk: &Desk, lines: &[String]) {
        for line in lines {
            self.hear(desk, &serde_json::from_str(line).unwrap());
        }
    }

    /// The last run has come to its end: every picture has one result, and none was written again.
    fn holds(&mut self, desk: &Desk, line: &[&str]) {
        let output = desk.run(line);
        assert!(output.status.success(), "{}", stderr(&output));
        let lines = json_lines(&output);
        for line in &lines {
            self.hear(desk, line);
        }
        let ended = lines.iter().filter(|line| line["status"] == "done" || line["status"] == "already-done");
        let ended: HashSet<&str> = ended.map(|line| line["image"].as_str().unwrap()).collect();
        assert_eq!(ended.len(), MANY, "{}", stderr(&output));
        for (file, written) in self.done.values().flatten() {
            assert_eq!(file.metadata().unwrap().modified().unwrap(), *written, "{} again", file.display());
        }
        for i in 0..MANY {
            let result = format!("out/{}/{i:03}.png", i % 4);
            assert_eq!(desk.size(&result), (8 + i as u32, 20), "{result}");
        }
        let results = walkdir::WalkDir::new(desk.path("out")).into_iter().map(Result::unwrap);
        let results = results.filter(|entry| entry.file_name().to_string_lossy().ends_with(".png"));
        assert_eq!(results.count(), MANY);
    }
}

fn start(desk: &Desk, line: &[&str]) -> Running {
    Running::start(desk.command(line))
}

fn kill(mut run: Running) -> Vec<String> {
    run.signal(Signal::KILL);
    run.child.wait().unwrap();
    run.rest()
}

/// Waits for some pictures that this run itself has done.
fn some_done(run: &Running) -> Vec<String> {
    let mut lines = Vec::new();
    while lines.iter().filter(|line: &&String| line.contains(r#""status":"done""#)).count() < LINES {
        lines.push(run.line());
    }
    lines
}

#[test]
fn batch_killed_three_times_does_every_picture_once() {
    let desk = desk();
    let line = ["batch", "in", "--out", "out", "--pad", "0,0,12,0", "--json", "--concurrency", "1"];
    let mut told = Told::default();
    for _ in 0..3 {
        let run = start(&desk, &line);
        told.hear_all(&desk, &some_done(&run));
        told.hear_all(&desk, &kill(run));
    }
    assert!(told.done.len() < MANY, "the runs were over before they were killed");
    told.holds(&desk, &line);
    assert_eq!(std::fs::read_dir(desk.path("out/.pixmill/outputs")).unwrap().count(), 0, "leftovers");
}

/// `pixmill serve` where it was before.
pub fn serve(desk: &Desk, port: u16) -> Running {
    let listen = format!("127.0.0.1:{port}");
    let mut command = desk.command(&["serve", "--listen", &listen, "--data-dir", "data"]);
    command.env("PIXMILL__LOG__LEVEL", "warn").env("PIXMILL__LIMITS__MIN_FREE_DISK", "0");
    // What a killed server had at work comes back soon.
    command.env("PIXMILL__QUEUE__LEASE", "3s").env("PIXMILL__QUEUE__BEAT", "1s");
    let running = Running::start(command);
    assert_eq!(running.line(), format!("listening on http://{listen}"));
    running
}

#[test]
fn batch_and_server_killed_in_turns_do_every_picture_once() {
    let desk = desk();
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let line = ["batch", "in", "--out", "out", "--pad", "0,0,12,0", "--json", "--server", &url];
    let mut told = Told::default();

    // Both at once.
    let server = serve(&desk, port);
    let run = start(&desk, &line);
    told.hear_all(&desk, &some_done(&run));
    told.hear_all(&desk, &kill(run));
    kill(server);

    // The server alone, under a run that goes on when it is back; then the run.
    let server = serve(&desk, port);
    let run = start(&desk, &line);
    told.hear_all(&desk, &some_done(&run));
    kill(server);
    let _server = serve(&desk, port);
    told.hear_all(&desk, &some_done(&run));
    told.hear_all(&desk, &kill(run));

    // The run alone.
    let run = start(&desk, &line);
    told.hear_all(&desk, &some_done(&run));
    told.hear_all(&desk, &kill(run));

    assert!(told.done.len() < MANY, "the runs were over before they were killed");
    told.holds(&desk, &line);
    let jobs = walkdir::WalkDir::new(desk.path("data/outputs")).min_depth(2).max_depth(2).into_iter();
    assert_eq!(jobs.count(), MANY, "the server made each picture once");
    let parts = walkdir::WalkDir::new(desk.path("out")).into_iter().map(Result::unwrap);
    let parts = parts.filter(|entry| entry.file_name().to_string_lossy().ends_with(".part"));
    assert_eq!(parts.count(), 0, "leftovers");
}

#[tokio::test]
async fn results_of_an_upload_are_fetched_by_the_next_run_without_another_upload() {
    let desk = Desk::new();
    desk.put("photo.jpg", "in/a.jpg");
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let line = ["batch", "in", "--out", "out", "--thumbnail", "40", "--json", "--server", &url];
    let server = serve(&desk, port);
    let mut paused = desk.command(&["control", "pause", "cpu_intensive", "--data-dir", "data"]);
    assert!(paused.output().unwrap().status.success());
    let run = start(&desk, &line);
    let journal = desk.path("out/.pixmill/uploads.db");
    // The upload is under way for as long as the queue is paused.
    until("the upload has a task", async || {
        let journal = rusqlite::Connection::open(&journal).ok()?;
        journal.query_row("SELECT task FROM upload WHERE task IS NOT NULL", [], |row| row.get::<_, String>(0)).ok()
    })
    .await;
    kill(run);
    let resumed = desk.command(&["control", "resume", "cpu_intensive", "--data-dir", "data"]).output().unwrap();
    assert!(resumed.status.success());

    let output = desk.run(&line);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(json_lines(&output)[0]["status"], "done");
    assert!(stderr(&output).contains("fetching 1 pictures that an earlier run had uploaded"), "{}", stderr(&output));
    assert_eq!(std::fs::read_dir(desk.path("data/outputs")).unwrap().count(), 1);

    // A server that has forgotten everything is sent the picture anew, if its results are gone.
    kill(server);
    std::fs::remove_dir_all(desk.path("data")).unwrap();
    std::fs::remove_file(desk.path("out/a.jpg")).unwrap();
    let _server = serve(&desk, port);
    assert_eq!(json_lines(&desk.run(&line))[0]["status"], "done");
}
