//! SIGTERM: running pictures are finished, the others given back at once.

use rustix::process::Signal;
use serde_json::Value;

use super::{all_is_well, attempts, gated_group, patient, reaches, stands_at};
use crate::support::client::images;
use crate::support::gate::Gate;
use crate::support::pictures::plain_png;
use crate::support::service::Home;

#[tokio::test]
async fn terminated_worker_hands_over_without_waiting_for_a_lease() {
    let home = patient(Home::redis()).set("worker.prefetch", "6");
    let service = home.serve_with(&["--no-workers"]);
    let worker = home.worker().await;
    let (group, gates) = gated_group(&home, &service, 12, 3..5).await;
    reaches(&service, &group, 3).await;
    stands_at(&home, 8, 1).await;
    worker.signal(Signal::TERM);
    worker.says("given back").await;
    gates.into_iter().for_each(Gate::open);
    let (status, _, log) = worker.ends().await;
    assert!(status.success(), "{status}: {log}");
    assert!(log.contains("has ended"), "{log}");
    stands_at(&home, 0, 7).await;
    let _next = home.worker().await;
    let status = all_is_well(&home, &service, &group, 12).await;
    assert_eq!(attempts(&status), [1; 12], "given back without blame: {status}");
}

#[tokio::test]
async fn terminated_service_drains_and_goes_on_after_a_restart() {
    let home = patient(Home::sqlite());
    let service = home.serve();
    let (group, gates) = gated_group(&home, &service, 10, 3..5).await;
    reaches(&service, &group, 3).await;
    stands_at(&home, 4, 3).await;
    service.process.signal(Signal::TERM);
    service.process.says("given back").await;
    gates.into_iter().for_each(Gate::open);
    let (status, _, log) = service.process.ends().await;
    assert!(status.success(), "{status}: {log}");
    let service = home.serve();
    let status = all_is_well(&home, &service, &group, 10).await;
    assert_eq!(attempts(&status), [1; 10], "{status}");
}

/// The runs that made an ended group's outputs.
fn runs(status: &Value) -> Vec<String> {
    let paths = status["result"].as_array().unwrap().iter().map(|entry| entry["paths"][0].as_str().unwrap());
    // /files/<group>/<job>/<run>/<file>
    paths.map(|path| path.split('/').nth(4).unwrap().to_owned()).collect()
}

#[tokio::test]
async fn run_cut_off_by_the_grace_period_shares_no_folder_with_the_next() {
    let home = patient(Home::redis()).set("server.shutdown_grace", "0s");
    let service = home.serve_with(&["--no-workers"]);
    let worker = home.worker().await;
    let (group, gates) = gated_group(&home, &service, 6, 1..3).await;
    reaches(&service, &group, 1).await;
    stands_at(&home, 4, 1).await;
    worker.signal(Signal::TERM);
    let (status, _, log) = worker.ends().await;
    assert!(status.success(), "{status}: {log}");
    gates.into_iter().for_each(Gate::open);
    let _next = home.worker().await;
    let status = all_is_well(&home, &service, &group, 6).await;
    assert_eq!(attempts(&status), [1; 6], "given back without blame: {status}");
    let runs = runs(&status);
    assert!(runs[1..5].iter().all(|run| *run != runs[0]), "{status}");
}

#[tokio::test]
async fn second_signal_gives_back_what_runs() {
    for home in [Home::sqlite(), Home::redis()] {
        let home = patient(home).set("server.shutdown_grace", "10m");
        let service = home.serve_with(&["--no-workers"]);
        let worker = home.worker().await;
        let (group, gates) = gated_group(&home, &service, 6, 1..3).await;
        reaches(&service, &group, 1).await;
        stands_at(&home, 4, 1).await;
        worker.signal(Signal::TERM);
        worker.says("given back").await;
        worker.signal(Signal::TERM);
        let (status, _, log) = worker.ends().await;
        assert!(status.success() && log.contains("once more ends at once"), "{status}: {log}");
        stands_at(&home, 0, 5).await;
        gates.into_iter().for_each(Gate::open);
        let _next = home.worker().await;
        let status = all_is_well(&home, &service, &group, 6).await;
        assert_eq!(attempts(&status), [1; 6], "{status}");
    }
}

#[tokio::test]
async fn idle_service_ends_at_once() {
    for home in [Home::sqlite(), Home::redis()] {
        // Whatever it waited for, it would not have within this test's patience.
        let home = home.set("server.shutdown_grace", "10m");
        let service = home.serve();
        service.done(images([("a.png", plain_png(9, 9))])).await;
        service.process.signal(Signal::TERM);
        let (status, _, log) = service.process.ends().await;
        assert!(status.success(), "{status}: {log}");
    }
}
