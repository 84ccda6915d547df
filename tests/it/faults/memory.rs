//! `worker.memory`: pictures are computed at a time only as far as their estimates fit.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{all_is_well, attempts, gated_group, patient, reaches, stands_at, talkative};
use crate::broker::world::ask;
use crate::support::client::{id, images};
use crate::support::gate::Gate;
use crate::support::pictures::{liar, liar_in_alpha, plain_png, webp};
use crate::support::service::{Home, Process};
use crate::support::until;

/// Waits for pictures to have begun, and answers how many have.
async fn begun(worker: &Process, count: usize) -> usize {
    until("pictures begin", async || Some(worker.starts().len()).filter(|&begun| begun >= count)).await
}

/// The estimate that the next waiting job carries.
async fn estimate(home: &Home) -> u64 {
    let broker = home.broker().await;
    let claimed = broker.claim(&ask("who-only-looks", 1, 1)).await.unwrap().jobs.remove(0);
    broker.release(std::slice::from_ref(&claimed.lease), None).await.unwrap();
    let payload: Value = serde_json::from_slice(&claimed.payload).unwrap();
    payload["peak"].as_u64().expect("an estimate")
}

#[tokio::test]
async fn pictures_wait_for_memory_although_slots_are_free() {
    for home in [Home::sqlite(), Home::redis()] {
        let home = patient(talkative(home)).set("worker.cpu", "4");
        let service = home.serve_with(&["--no-workers"]);
        let (group, mut gates) = gated_group(&home, &service, 8, 0..4).await;
        let two_and_a_half = estimate(&home).await * 5 / 2;
        let home = home.set("worker.memory", &two_and_a_half.to_string());
        let worker = home.worker().await;
        stands_at(&home, 8, 0).await;
        for done in 0..3 {
            assert_eq!(begun(&worker, done + 2).await, done + 2, "two have memory at a time");
            gates.remove(0).open();
            // The third frees memory for the last four, which no gate holds up.
            reaches(&service, &group, if done == 2 { 7 } else { done as u64 + 1 }).await;
        }
        gates.remove(0).open();
        let status = all_is_well(&home, &service, &group, 8).await;
        assert_eq!(attempts(&status), [1; 8], "{status}");
    }
}

#[tokio::test]
async fn picture_above_the_whole_memory_is_computed_alone() {
    for home in [Home::sqlite(), Home::redis()] {
        let home = patient(talkative(home)).set("worker.cpu", "4").set("worker.memory", "1");
        let service = home.serve();
        let (group, gates) = gated_group(&home, &service, 6, 0..4).await;
        stands_at(&home, 6, 0).await;
        for (done, gate) in gates.into_iter().enumerate() {
            assert_eq!(begun(&service.process, done + 1).await, done + 1, "each has it for itself");
            gate.open();
            reaches(&service, &group, if done == 3 { 6 } else { done as u64 + 1 }).await;
        }
        let status = all_is_well(&home, &service, &group, 6).await;
        assert_eq!(attempts(&status), [1; 6], "{status}");
    }
}

/// What is allocated beyond the estimates ends the process that asks for it. A WebP's codes can take 4,000 times its length.
#[tokio::test]
async fn picture_that_takes_far_more_than_its_estimate_ends_only_its_own_process() {
    let home = talkative(Home::sqlite()).set("worker.memory", "1").set("worker.cpu", "1");
    let service = home.serve();
    let form = images([("liar.webp", liar()), ("alpha.webp", liar_in_alpha()), ("a.png", plain_png(9, 9))]);
    let status = service.finished(id(&service.upload(form).await)).await;
    assert_eq!((&status["succeeded"], &status["failed"]), (&json!(1), &json!(2)), "{status}");
    for liar in 0..2 {
        assert_eq!(status["result"][liar]["error"]["code"], "poison", "{status}");
    }
}

/// Where one takes all memory, libwebp finds none for those beside it: they are computed again, and none is blamed.
#[tokio::test]
async fn neighbours_of_a_picture_that_takes_far_more_than_its_estimate_succeed() {
    let home = talkative(Home::sqlite()).set("worker.memory", "100000000").set("worker.cpu", "2");
    let service = home.serve();
    let innocent = ["a", "b", "c", "d", "e", "f", "g", "h"].map(|name| (name, webp()));
    let form = images([("liar.webp", liar())].into_iter().chain(innocent));
    let status = service.finished(id(&service.upload(form).await)).await;
    assert_eq!((&status["succeeded"], &status["failed"]), (&json!(8), &json!(1)), "{status}");
    assert_eq!(status["result"][0]["error"]["code"], "poison", "{status}");
}

/// Memory that a dead process had is there again, or the worker would stand still for ever.
#[tokio::test]
async fn memory_of_a_killed_process_is_given_back() {
    // With one slot, which is kept for the dead one until the broker has heard of it: the next does not overtake it.
    let home = patient(talkative(Home::sqlite())).set("worker.memory", "1").set("worker.cpu", "1");
    let service = home.serve();
    let (group, gates) = gated_group(&home, &service, 4, 0..2).await;
    for death in 0..2 {
        begun(&service.process, death + 1).await;
        let (_, pid) = service.process.starts()[death];
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }
    begun(&service.process, 3).await;
    gates.into_iter().for_each(Gate::open);
    let status = all_is_well(&home, &service, &group, 4).await;
    assert_eq!(attempts(&status), [3, 1, 1, 1], "{status}");
}
