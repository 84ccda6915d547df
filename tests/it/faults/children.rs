//! The processes that compute: killed, hung, worn out, and whatever breaks them.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::{
    all_is_well, attempts, gated_group, gated_group_of, impatient, patient, reaches, slow_operations, stands_at,
    talkative,
};
use crate::support::client::{id, images};
use crate::support::gate::Gate;
use crate::support::pictures::{noise_png, plain_png};
use crate::support::service::{Home, Process};
use crate::support::{until, until_within};

/// For what a broken worker would never come to: long for a busy machine, and shorter than a test is given up by others.
const BOUND: Duration = Duration::from_secs(45);

fn signal(pid: i32, signal: Signal) {
    // It may have ended by itself.
    let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
}

/// What the kernel tells of a process.
fn read(pid: i32, about: &str) -> String {
    String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/{about}")).unwrap()).into_owned()
}

/// Waits for the next picture after the first `before` to begin; its process.
async fn begun(process: &Process, before: usize) -> i32 {
    until("a picture is being computed", async || process.starts().get(before).map(|(_, pid)| *pid)).await
}

#[tokio::test]
async fn pictures_outlive_the_process_that_computes_them() {
    for home in [Home::sqlite(), Home::redis()] {
        let home = patient(talkative(home));
        let service = home.serve();
        let (group, mut gates) = gated_group(&home, &service, 12, 2..12).await;
        let mut starts = 0;
        for death in 0..3 {
            // Two more are done, and the next two hang in the process that all share.
            starts += 4;
            let shared = begun(&service.process, starts - 1).await;
            signal(shared, Signal::KILL);
            assert_eq!(service.get("/healthz").await.status, 200);
            assert_eq!(service.get("/readyz").await.status, 200);
            // They begin again, each in a process of its own.
            starts += 2;
            begun(&service.process, starts - 1).await;
            let pids: Vec<i32> = service.process.starts()[starts - 3..].iter().map(|(_, pid)| *pid).collect();
            assert!(pids[0] == shared && pids[1] != shared && pids[1] != pids[2] && pids[2] != shared, "{pids:?}");
            // With them, those that are done before the next ones hang.
            let next = if death < 2 { 4 } else { 2 };
            gates.drain(..next).for_each(Gate::open);
        }
        let status = all_is_well(&home, &service, &group, 12).await;
        let hit_once = [1, 1, 2, 2, 1, 1, 2, 2, 1, 1, 2, 2];
        assert_eq!(attempts(&status), hit_once, "{status}");
        let log = service.process.log();
        for entry in status["result"].as_array().unwrap() {
            let said = format!("succeeded: job {} ", entry["job_id"].as_str().unwrap());
            assert_eq!(log.matches(&said).count(), 1, "{said}");
        }
    }
}

#[tokio::test]
async fn picture_that_kills_its_process_three_times_is_poison_and_its_neighbours_are_not() {
    for home in [Home::sqlite(), Home::redis()] {
        let home = patient(talkative(home));
        let service = home.serve();
        let (killer, _gates) = gated_group(&home, &service, 1, 0..1).await;
        for death in 0..3 {
            let began = async || service.process.starts().get(death).map(|(_, pid)| *pid);
            let pid = until_within(BOUND, "it is computed again after its process died", began).await;
            signal(pid, Signal::KILL);
        }
        let status = service.finished_within(BOUND, &killer).await;
        assert_eq!(status["result"][0]["error"]["code"], "poison", "{status}");
        let form = images([("a.png", plain_png(9, 9)), ("b.png", plain_png(8, 8))]);
        assert_eq!(service.done(form).await["succeeded"], 2);
    }
}

/// Three deaths make poison. The first of these four may have been the neighbour's fault.
#[tokio::test]
async fn death_beside_a_neighbour_is_not_held_against_a_picture() {
    let home = patient(talkative(Home::sqlite()));
    let service = home.serve();
    let (group, gates) = gated_group(&home, &service, 2, 0..2).await;
    let mut next = begun(&service.process, 1).await;
    // Both begin again, each in a process of its own; one of these dies twice more.
    for starts in [3, 4, 5] {
        signal(next, Signal::KILL);
        next = begun(&service.process, starts).await;
    }
    gates.into_iter().for_each(Gate::open);
    let mut attempts = attempts(&all_is_well(&home, &service, &group, 2).await);
    attempts.sort_unstable();
    assert_eq!(attempts, [2, 4]);
}

#[tokio::test]
async fn hung_picture_ends_at_the_hard_limit_and_what_waits_behind_it_goes_on() {
    // The first picture hangs; the second is given to the same process, which does not take it.
    let home = talkative(Home::sqlite()).set("worker.hard_time_limit", "2s").set("worker.soft_time_limit", "2s");
    let service = home.serve();
    let (hung, _gates) = gated_group(&home, &service, 1, 0..1).await;
    let pid = begun(&service.process, 0).await;
    signal(pid, Signal::STOP);
    let behind = service.upload(images([("1.png", plain_png(9, 9))])).await;
    let failed = service.finished_within(BOUND, &hung).await;
    let error = &failed["result"][0]["error"];
    assert_eq!((&error["code"], &error["retryable"]), (&json!("time-limit"), &json!(false)), "{failed}");
    assert!(error["detail"].as_str().unwrap().contains("worker.hard_time_limit (2s)"), "{failed}");
    let done = service.finished(id(&behind)).await;
    assert_eq!((&done["succeeded"], &done["result"][0]["attempts"]), (&json!(1), &json!(1)), "{done}");
    assert!(!service.process.children().contains(&pid));
}

#[tokio::test]
async fn cancelled_picture_that_does_not_stop_is_killed_and_its_neighbour_begins_again() {
    for home in [Home::sqlite(), Home::redis()] {
        // Whoever waited for a heartbeat would not be done in time.
        let home = patient(talkative(home));
        let service = home.serve();
        let (neighbour, mut gates) = gated_group(&home, &service, 1, 0..1).await;
        let shared = begun(&service.process, 0).await;
        let (deaf, _never_opened) = gated_group(&home, &service, 1, 0..1).await;
        assert_eq!(begun(&service.process, 1).await, shared);
        // Like an encoder that does not look whether it shall go on.
        signal(shared, Signal::STOP);
        assert_eq!(service.send("DELETE", &format!("/api/groups/{deaf}")).await.status, 200);
        let cancelled = service.finished(&deaf).await;
        assert_eq!((&cancelled["status"], &cancelled["cancelled"]), (&json!("cancelled"), &json!(1)), "{cancelled}");
        service.process.says("is cancelled and does not stop: its process is killed").await;
        assert_ne!(begun(&service.process, 2).await, shared);
        gates.remove(0).open();
        let status = all_is_well(&home, &service, &neighbour, 1).await;
        assert_eq!(attempts(&status), [1], "{status}");
        let said = format!("succeeded: job {} ", status["result"][0]["job_id"].as_str().unwrap());
        assert_eq!(service.process.log().matches(&said).count(), 1, "{said}");
        assert_eq!(service.done(images([("a.png", plain_png(9, 9))])).await["succeeded"], 1);
    }
}

/// An AVIF's encoder does not look whether it shall go on, and takes half a minute for this one.
#[tokio::test]
async fn cancelled_avif_ends_as_cancelled() {
    let home = patient(talkative(Home::sqlite()));
    let service = home.serve();
    let avif = json!([{"type": "convert", "format": "avif", "effort": 10}]).to_string();
    let accepted = service.upload(images([("noise.png", noise_png(1600, 1200))]).text("operations", avif)).await;
    begun(&service.process, 0).await;
    assert_eq!(service.send("DELETE", &format!("/api/groups/{}", id(&accepted))).await.status, 200);
    let status = service.finished(id(&accepted)).await;
    assert_eq!((&status["status"], &status["cancelled"]), (&json!("cancelled"), &json!(1)), "{status}");
    // It was not made to its end.
    service.process.says("is cancelled and does not stop: its process is killed").await;
    let left = async || home.files("outputs").iter().all(|path| !path.is_file()).then_some(());
    until("nothing of it is left", left).await;
}

#[tokio::test]
async fn neighbour_of_a_picture_at_the_hard_limit_begins_again_without_losing_an_attempt() {
    let home = talkative(Home::sqlite()).set("worker.hard_time_limit", "3s").set("worker.soft_time_limit", "3s");
    let service = home.serve();
    let (hung, _never_opened) = gated_group(&home, &service, 1, 0..1).await;
    let shared = begun(&service.process, 0).await;
    let (neighbour, mut gates) = gated_group(&home, &service, 1, 0..1).await;
    assert_eq!(begun(&service.process, 1).await, shared);
    let failed = service.finished(&hung).await;
    assert_eq!(failed["result"][0]["error"]["code"], "time-limit", "{failed}");
    assert_ne!(begun(&service.process, 2).await, shared);
    gates.remove(0).open();
    assert_eq!(attempts(&all_is_well(&home, &service, &neighbour, 1).await), [1]);
}

#[tokio::test]
async fn worn_process_is_followed_by_a_fresh_one() {
    let home = talkative(Home::sqlite()).set("worker.max_jobs_per_child", "3");
    let service = home.serve();
    let names: Vec<String> = (0..12).map(|i| format!("{i}.png")).collect();
    let form = images(names.iter().map(|name| (name.as_str(), plain_png(40, 40))));
    let status = service.done(form).await;
    assert_eq!(status["succeeded"], 12);
    assert!(status["result"].as_array().unwrap().iter().all(|entry| entry["attempts"] == 1), "{status}");
    let starts = service.process.starts();
    let mut pids: Vec<i32> = starts.iter().map(|(_, pid)| *pid).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!((starts.len(), pids.len()), (12, 4), "{starts:?}");
    let left = async || service.process.children().iter().all(|pid| !pids[..3].contains(pid)).then_some(());
    until("the worn ones have ended", left).await;
}

#[tokio::test]
async fn process_that_computes_knows_no_secret_and_ends_with_its_worker() {
    let home = Home::redis();
    let worker = home.worker().await;
    let children = worker.children();
    let [child] = children[..] else { panic!("one process computes: {children:?}") };
    // It sees to that when it is done with its signals.
    let victim = async || (read(child, "oom_score_adj").trim() == "500").then_some(());
    until("the kernel prefers it to the API", victim).await;
    for about in ["environ", "cmdline"] {
        let text = read(child, about).to_lowercase();
        assert!(!text.contains("redis") && !text.contains("pixmill__"), "{text}");
    }
    // A service manager's signal reaches every process.
    signal(child, Signal::TERM);
    signal(child, Signal::INT);
    assert_eq!(worker.children(), children);
    worker.kill();
    let gone = async || (!std::path::Path::new(&format!("/proc/{child}")).exists()).then_some(());
    until("it ends with its worker", gone).await;
}

#[tokio::test]
async fn cancelled_picture_is_stopped_and_leaves_nothing() {
    for home in [Home::sqlite(), Home::redis()] {
        let home = impatient(talkative(home));
        let service = home.serve();
        // The first one is done, two are at work, two more are held.
        let (group, gates) = gated_group_of(&home, &service, 6, 1..3, &slow_operations()).await;
        reaches(&service, &group, 1).await;
        stands_at(&home, 4, 1).await;
        home.broker().await.cancel_group(group.parse().unwrap()).await.unwrap();
        // The worker has heard of it; the two have yet to be told, and then to be computed for a second.
        until_within(BOUND, "the worker ends what was cancelled", async || {
            service.process.log().contains("cancelled: job").then_some(())
        })
        .await;
        gates.into_iter().for_each(Gate::open);
        let status = service.finished_within(BOUND, &group).await;
        let counts = json!([status["status"], status["succeeded"], status["cancelled"]]);
        assert_eq!(counts, json!(["cancelled", 1, 5]), "{status}");
        let outputs = async || {
            let files = home.files("outputs").into_iter().filter(|path| path.is_file()).count();
            (files == 5).then_some(())
        };
        until("only what succeeded is there", outputs).await;
        assert_eq!(service.done(images([("a.png", plain_png(9, 9))])).await["succeeded"], 1);
    }
}
