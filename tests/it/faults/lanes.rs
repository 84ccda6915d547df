//! Several calls to the broker on their way at a time.

use super::{all_is_well, attempts, gated_group, patient, reaches, talkative};
use crate::support::gate::Gate;
use crate::support::proxy::Proxy;
use crate::support::redis::RedisServer;
use crate::support::service::{Home, Process};

/// The same home for a worker that reaches Redis through `proxy`.
fn behind(proxy: &Proxy, home: &Home) -> Home {
    patient(talkative(Home::at(home.folder()).using(&proxy.redis_url())))
}

/// Every picture was computed once.
fn each_once(worker: &Process, count: usize) {
    let mut jobs: Vec<String> = worker.starts().into_iter().map(|(job, _)| job).collect();
    jobs.sort_unstable();
    jobs.dedup();
    assert_eq!((worker.starts().len(), jobs.len()), (count, count), "{}", worker.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn results_do_not_wait_for_the_answers_to_those_before() {
    let redis = RedisServer::start(&[]);
    let proxy = Proxy::before(redis.port()).await;
    let home = patient(Home::on(&redis.url()));
    let service = home.serve_with(&["--no-workers"]);
    let worker = behind(&proxy, &home).worker().await;
    let (group, mut gates) = gated_group(&home, &service, 12, 3..7).await;
    reaches(&service, &group, 3).await;
    proxy.hold_replies();
    gates.remove(0).open();
    // The broker has this result, and the worker no answer.
    reaches(&service, &group, 4).await;
    gates.remove(0).open();
    reaches(&service, &group, 5).await;
    proxy.let_go();
    gates.into_iter().for_each(Gate::open);
    let status = all_is_well(&home, &service, &group, 12).await;
    assert_eq!(attempts(&status), [1; 12], "{status}");
    each_once(&worker, 12);
}

/// Two lanes settle and claim, and the answers to both are lost: whatever they were given they are given again, under
/// the same leases. Those are of minutes: one that was lost would not be found again within this test.
#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_of_several_lanes_cost_no_lease() {
    let redis = RedisServer::start(&[]);
    let proxy = Proxy::before(redis.port()).await;
    let home = patient(Home::on(&redis.url()));
    let service = home.serve_with(&["--no-workers"]);
    let worker = behind(&proxy, &home).worker().await;
    for _ in 0..3 {
        let before = worker.starts().len();
        let (group, mut gates) = gated_group(&home, &service, 12, 3..7).await;
        reaches(&service, &group, 3).await;
        proxy.hold_replies();
        for done in 4..6 {
            gates.remove(0).open();
            reaches(&service, &group, done).await;
        }
        proxy.cut();
        gates.into_iter().for_each(Gate::open);
        let status = all_is_well(&home, &service, &group, 12).await;
        assert_eq!(attempts(&status), [1; 12], "{status}");
        each_once(&worker, before + 12);
    }
}
