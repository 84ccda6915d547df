//! Workers that are killed while they make what follows a group: it is made, and once.

use queue::EventKind;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{impatient, names};
use crate::support::client::{Client, id, images};
use crate::support::gate::Wall;
use crate::support::pictures::plain_png;
use crate::support::redis::RedisServer;
use crate::support::service::{Home, Process, Service};
use crate::support::until;

const COUNT: usize = 3;
/// Where the job waits that makes what follows.
const QUEUE: &str = "io_intensive";

/// A group of the originals of an earlier one, done but for what follows it, which stands before a wall at its last
/// picture.
struct Scene {
    service: Service,
    worker: Process,
    first: String,
    next: String,
    wall: Wall,
}

impl Scene {
    async fn set(home: &Home) -> Self {
        let service = home.serve_with(&["--no-workers"]);
        let worker = home.worker().await;
        let names = names(COUNT);
        let earlier = service.done(images(names.iter().map(|name| (name.as_str(), plain_png(40, 40))))).await;
        home.broker().await.pause(QUEUE).await.unwrap();
        let then = json!({"on": "success", "operations": [{"type": "thumbnail", "size": [8, 8], "format": "jpeg"}]});
        let operations = json!([{"type": "thumbnail", "size": [20, 20]}]);
        let sources = json!([{"group": id(&earlier)}]);
        let body = json!({"sources": sources, "operations": operations, "options": {"then": then}});
        let accepted = service.request("POST", "/api/groups").json(&body).send().await.unwrap();
        let accepted: Value = accepted.json().await.unwrap();
        let first = service.finished(id(&accepted)).await;
        let next = first["then"]["task_id"].as_str().unwrap().to_owned();
        let first = id(&first).to_owned();
        let last = |group: &str| home.folder().join(format!("uploads/{group}/{}", COUNT - 1));
        let wall = Wall::before(&last(&first));
        home.broker().await.resume(QUEUE).await.unwrap();
        until("the worker stands before the wall", async || last(&next).exists().then_some(())).await;
        Self { service, worker, first, next, wall }
    }
}

/// What follows has begun once, and ends with so many pictures, each done once.
async fn followed_once(home: &Home, client: &Client, first: &str, next: &str, count: usize) {
    until("it has begun", async || (client.get(&format!("/api/task_status/{next}")).await.status == 200).then_some(()))
        .await;
    let status = client.finished(next).await;
    let counts = json!([status["follows"], status["status"], status["total_images"], status["succeeded"]]);
    assert_eq!(counts, json!([first, "completed", count, count]), "{status}");
    let groups = client.get("/api/groups").await.json();
    let mut following = Vec::new();
    for group in groups["groups"].as_array().unwrap() {
        if client.status(id(group)).await["follows"] == first {
            following.push(id(group));
        }
    }
    assert_eq!(following, [next], "{groups}");
    let events = home.broker().await.events(None, 1_000).await.unwrap();
    let fired = events.iter().filter(|event| event.kind == EventKind::Fired && event.group.to_string() == first);
    assert_eq!(fired.count(), 1);
    let jobs = home.folder().join("outputs").join(next);
    let folders = std::fs::read_dir(jobs).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
    assert_eq!(folders, count, "one for each job");
    assert_eq!(std::fs::read_dir(home.folder().join("uploads").join(next)).unwrap().count(), count);
}

#[tokio::test]
async fn worker_killed_while_it_takes_the_pictures_of_a_follow_up_is_followed_up_once() {
    for home in [Home::sqlite(), Home::redis()] {
        let home = impatient(home);
        let Scene { service, worker, first, next, wall } = Scene::set(&home).await;
        assert_eq!(service.get(&format!("/api/task_status/{next}")).await.status, 404, "not before it is whole");
        worker.kill();
        wall.remove();
        let _worker = home.worker().await;
        followed_once(&home, &service, &first, &next, COUNT).await;
    }
}

#[tokio::test]
async fn worker_killed_between_manifest_and_enqueue_of_a_follow_up_is_followed_up_once() {
    let redis = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let home = impatient(Home::on(&redis.url()));
    let Scene { service, worker, first, next, wall } = Scene::set(&home).await;
    redis.signal(Signal::STOP);
    wall.let_in();
    let manifest = home.folder().join(format!("outbox/{next}.json"));
    until("the manifest is written", async || manifest.exists().then_some(())).await;
    worker.kill();
    wall.remove();
    // What stood in its sockets has gone with it.
    redis.down();
    redis.up();
    let _worker = home.worker().await;
    // Nothing was behind the wall: that picture is told of as one that cannot be taken.
    followed_once(&home, &service, &first, &next, COUNT - 1).await;
}
