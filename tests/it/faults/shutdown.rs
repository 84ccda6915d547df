//! SIGTERM: running pictures are finished, the others given back at once.

use std::time::Instant;

use rustix::process::Signal;

use super::{all_is_well, long_group, slow_group, underway};
use crate::support::client::images;
use crate::support::pictures::plain_png;
use crate::support::service::Home;

/// With leases of minutes: whoever waited for one to run out would not be done in time.
fn patient(home: Home) -> Home {
    home.set("queue.lease", "10m").set("queue.beat", "3m")
}

#[tokio::test]
async fn terminated_worker_hands_over_without_waiting_for_a_lease() {
    let home = patient(Home::redis()).set("worker.prefetch", "6");
    let service = home.serve_with(&["--no-workers"]);
    let worker = home.worker().await;
    let group = long_group(&service, 30).await;
    underway(&service, &group, 3).await;
    worker.signal(Signal::TERM);
    let (status, _, log) = worker.ends().await;
    assert!(status.success(), "{status}: {log}");
    assert!(log.contains("given back") && log.contains("has ended"), "{log}");
    let metrics = service.get("/metrics").await.text();
    assert!(metrics.contains(r#"pixmill_jobs{queue="cpu_intensive",state="active"} 0"#), "{metrics}");
    let _next = home.worker().await;
    let status = all_is_well(&home, &service, &group, 30).await;
    let results = status["result"].as_array().unwrap();
    assert!(results.iter().all(|entry| entry["attempts"] == 1), "given back without blame: {status}");
}

#[tokio::test]
async fn terminated_service_drains_and_goes_on_after_a_restart() {
    let home = patient(Home::sqlite());
    let service = home.serve();
    let group = long_group(&service, 30).await;
    underway(&service, &group, 3).await;
    service.process.signal(Signal::TERM);
    let (status, _, log) = service.process.ends().await;
    assert!(status.success(), "{status}: {log}");
    let service = home.serve();
    let status = all_is_well(&home, &service, &group, 30).await;
    assert!(status["result"].as_array().unwrap().iter().all(|entry| entry["attempts"] == 1), "{status}");
}

#[tokio::test]
async fn run_cut_off_by_the_grace_period_shares_no_folder_with_the_next() {
    let home = patient(Home::redis()).set("server.shutdown_grace", "0s");
    let service = home.serve_with(&["--no-workers"]);
    let worker = home.worker().await;
    let group = long_group(&service, 30).await;
    underway(&service, &group, 1).await;
    worker.signal(Signal::TERM);
    let (status, _, log) = worker.ends().await;
    assert!(status.success(), "{status}: {log}");
    let _next = home.worker().await;
    let status = all_is_well(&home, &service, &group, 30).await;
    let results = status["result"].as_array().unwrap();
    assert!(results.iter().all(|entry| entry["attempts"] == 1), "given back without blame: {status}");
    let second_runs = results.iter().filter(|entry| entry["paths"][0].as_str().unwrap().contains("/2/"));
    assert!(second_runs.count() > 0, "nothing was given back: {status}");
}

#[tokio::test]
async fn second_signal_gives_back_what_runs() {
    for home in [Home::sqlite(), Home::redis()] {
        let home = patient(home).set("server.shutdown_grace", "10m");
        let service = home.serve_with(&["--no-workers"]);
        let worker = home.worker().await;
        let group = slow_group(&service, 6).await;
        underway(&service, &group, 1).await;
        worker.signal(Signal::TERM);
        worker.says("given back").await;
        worker.signal(Signal::STOP);
        // Whatever it had nearly finished, it has not.
        for child in worker.children() {
            rustix::process::kill_process(rustix::process::Pid::from_raw(child).unwrap(), Signal::STOP).unwrap();
        }
        worker.signal(Signal::TERM);
        worker.signal(Signal::CONT);
        let (status, _, log) = worker.ends().await;
        assert!(status.success() && log.contains("once more ends at once"), "{status}: {log}");
        let metrics = service.get("/metrics").await.text();
        assert!(metrics.contains(r#"pixmill_jobs{queue="cpu_intensive",state="active"} 0"#), "{metrics}");
        let _next = home.worker().await;
        let status = all_is_well(&home, &service, &group, 6).await;
        assert!(status["result"].as_array().unwrap().iter().all(|entry| entry["attempts"] == 1), "{status}");
    }
}

#[tokio::test]
async fn idle_service_ends_at_once() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve();
        service.done(images([("a.png", plain_png(9, 9))])).await;
        let asked = Instant::now();
        service.process.signal(Signal::TERM);
        let (status, _, log) = service.process.ends().await;
        assert!(status.success() && asked.elapsed().as_secs() < 10, "{status} after {:?}: {log}", asked.elapsed());
    }
}
