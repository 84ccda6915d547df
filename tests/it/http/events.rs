//! Streams of events, of one group and of everything.

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::{Answer, Client, id, images};
use crate::support::pictures::{plain_png, truncated};
use crate::support::redis::RedisServer;
use crate::support::service::Home;
use crate::support::stream::{Stream, Told};
use crate::support::until;

const NOBODY: &str = "0198c0de-0000-7000-8000-000000000000";

/// Uploads so many good pictures, and a bad one.
async fn upload(service: &Client, good: usize) -> String {
    let pictures = (0..good).map(|_| ("a.png", plain_png(9, 9))).chain([("cut.jpg", truncated())]);
    id(&service.upload(images(pictures)).await).to_owned()
}

fn path(group: &str) -> String {
    format!("/api/groups/{group}/events")
}

/// What `progress` says has happened, in order.
fn changes(told: &[Told]) -> Vec<String> {
    let progress = told.iter().filter(|told| told.event == "progress");
    progress
        .flat_map(|told| told.data["changes"].as_array().unwrap())
        .map(|change| change["event"].as_str().unwrap().to_owned())
        .collect()
}

fn count(words: &[String], word: &str) -> usize {
    words.iter().filter(|other| *other == word).count()
}

#[tokio::test]
async fn stream_of_a_group_tells_each_change_and_ends_with_the_status() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve_with(&["--no-workers"]);
        let group = upload(&service, 3).await;
        let other = upload(&service, 1).await;
        let mut stream = Stream::open(&service, &path(&group)).await;
        let status = stream.next().await.unwrap();
        assert_eq!(status.event, "status");
        let asked = service.status(&group).await;
        for field in ["status", "task_id", "total_images", "done", "progress", "created_at"] {
            assert_eq!(status.data[field], asked[field], "{field}");
        }
        assert_eq!(status.data["result"], Value::Null);
        assert_eq!(
            (&status.data["links"]["events"], &asked["links"]["events"]),
            (&json!(path(&group)), &json!(path(&group)))
        );
        let _worker = home.worker().await;

        let told = stream.rest().await;

        let happened = changes(&told);
        let counted = ["started", "succeeded", "failed", "finished"].map(|word| count(&happened, word));
        assert_eq!((counted, happened.len()), ([4, 3, 1, 1], 9), "{happened:?}");
        let done: Vec<u64> = told.iter().map(|told| told.data["done"].as_u64().unwrap()).collect();
        assert!(done.is_sorted() && done.last() == Some(&4), "{done:?}");
        let last = told.last().unwrap();
        assert_eq!(last.event, "finished");
        assert_eq!(last.data, service.status(&group).await);
        assert_eq!(told.iter().filter(|told| told.event == "finished").count(), 1);
        // A browser asks again when a stream ends: told that nothing follows, it leaves off.
        let again = service.request("GET", &path(&group)).header("Last-Event-ID", last.id.as_ref().unwrap());
        assert_eq!(again.send().await.unwrap().status(), 204);
        service.finished(&other).await;
    }
}

#[tokio::test]
async fn stream_goes_on_after_a_cut_without_a_gap() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve_with(&["--no-workers"]);
        let group = upload(&service, 3).await;
        let mut stream = Stream::open(&service, &path(&group)).await;
        let last = stream.next().await.unwrap().id.unwrap();
        drop(stream);
        let worker = home.worker().await;
        service.finished(&group).await;
        drop(worker);

        let by_query = Stream::open(&service, &format!("{}?last_event_id={last}", path(&group))).await;
        for stream in [Stream::after(&service, &path(&group), Some(&last)).await, by_query] {
            let told = stream.rest().await;

            let happened = changes(&told);
            assert_eq!((count(&happened, "succeeded"), happened.len()), (3, 9), "{happened:?}");
            let events: Vec<&str> = told.iter().map(|told| told.event.as_str()).collect();
            assert_eq!(events, ["progress", "finished"]);
            // Cut off between the two, it is told the end all the same.
            assert_eq!((&told[0].id, told[1].id.is_some()), (&None, true));
        }
    }
}

#[tokio::test]
async fn listeners_at_any_moment_are_all_told_the_end() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve();
        let group = upload(&service, 12).await;
        let mut streams = Vec::new();
        loop {
            let done = service.status(&group).await["status"] != "processing";
            streams.push(Stream::open(&service, &path(&group)).await);
            if done {
                break;
            }
        }
        for stream in streams {
            let told = stream.rest().await;
            assert_eq!((told[0].event.as_str(), told.last().unwrap().event.as_str()), ("status", "finished"));
            assert_eq!(told.last().unwrap().data["done"], 13);
        }
    }
}

#[tokio::test]
async fn who_comes_after_the_end_gets_state_and_end_at_once() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve();
        let group = upload(&service, 1).await;
        let status = service.finished(&group).await;
        let told = Stream::open(&service, &path(&group)).await.rest().await;
        assert_eq!(told.iter().map(|told| told.event.as_str()).collect::<Vec<_>>(), ["status", "finished"]);
        assert_eq!((&told[0].data["status"], &told[1].data), (&json!("completed"), &status));
        // An id that is not known, or of another broker, is no reason to tell less.
        for last in ["0000000000000001", "9999999999999999", "000000000001.000", "999999999999.999", "x"] {
            let told = Stream::after(&service, &path(&group), Some(last)).await.rest().await;
            assert_eq!(told.last().unwrap().data, status, "{last}");
        }
    }
}

#[tokio::test]
async fn stream_of_everything_tells_of_all_groups_and_goes_on_after_any_event() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve_with(&["--no-workers"]);
        let mut stream = Stream::open(&service, "/api/events").await;
        let status = stream.next().await.unwrap();
        assert_eq!((status.event.as_str(), &status.data["version"]), ("status", &json!(env!("CARGO_PKG_VERSION"))));
        let groups = [upload(&service, 2).await, upload(&service, 1).await];
        let _worker = home.worker().await;
        let mut told = Vec::new();
        while told
            .iter()
            .filter(|told: &&Told| groups.iter().any(|group| told.data["group"] == *group) && told.event == "finished")
            .count()
            < 2
        {
            told.push(stream.next().await.unwrap());
        }

        for (group, pictures) in groups.iter().zip([3, 2]) {
            let of_group: Vec<&Told> = told.iter().filter(|told| told.data["group"] == *group).collect();
            let started =
                of_group.iter().filter(|told| told.event == "started" && told.data["job"].is_string()).count();
            assert_eq!((of_group[0].event.as_str(), started), ("enqueued", pictures));
            assert_eq!(of_group.len(), 1 + 2 * pictures + 1);
        }
        assert!(told.iter().all(|told| told.data["event"] == told.event), "{told:?}");
        assert!(told.is_sorted_by(|one, other| one.id < other.id), "{told:?}");
        for at in [0, told.len() / 2, told.len() - 2] {
            let mut again = Stream::after(&service, "/api/events", told[at].id.as_deref()).await;
            for expected in &told[at + 1..] {
                assert_eq!(again.next().await.unwrap(), *expected);
            }
        }
        let mut anew = Stream::after(&service, "/api/events", Some("0000000000000001")).await;
        assert_eq!(anew.next().await.unwrap().event, "status");
    }
}

#[tokio::test]
async fn open_streams_do_not_hold_up_a_shutdown() {
    for home in [Home::sqlite(), Home::redis()] {
        let home = home.set("server.shutdown_grace", "1h");
        let service = home.serve_with(&["--no-workers"]);
        let group = upload(&service, 1).await;
        let streams = [
            Stream::open(&service, &path(&group)).await,
            Stream::open(&service, &path(&group)).await,
            Stream::open(&service, "/api/events").await,
        ];
        service.process.signal(Signal::TERM);
        for stream in streams {
            let told = stream.rest().await;
            assert_eq!(told[0].event, "status");
        }
        let (status, _, log) = service.process.ends().await;
        assert!(status.success(), "{log}");
    }
}

#[tokio::test]
async fn open_streams_end_with_the_key_or_the_login_that_opened_them() {
    for home in [Home::sqlite(), Home::redis()] {
        let keys = [
            home.key(&["--name", "gone", "--scopes", "admin"]).await,
            home.key(&["--name", "login", "--scopes", "admin"]).await,
            home.key(&["--name", "stays"]).await,
        ];
        let service = home.serve_with(&["--no-workers"]);
        let [gone, login, stays] = keys.each_ref().map(|key| key["key"].as_str().unwrap());
        let post = || service.request("POST", "/api/upload").bearer_auth(stays);
        let upload = async || Answer::of(post().multipart(images([("a.png", plain_png(9, 9))]))).await.json();
        let first = upload().await;
        let group = path(id(&first));
        let with = |key: &str, path: &str| Stream::by(service.request("GET", path).bearer_auth(key));
        let mut watched = with(stays, &group).await;
        let mut cut = vec![with(gone, &group).await, with(gone, "/api/events").await];
        let session = Answer::of(service.request("POST", "/api/login").json(&json!({"key": login}))).await;
        let cookie = session.header("set-cookie").split(';').next().unwrap().to_owned();
        cut.push(Stream::by(service.request("GET", "/api/events").header("Cookie", cookie)).await);
        for stream in cut.iter_mut().chain([&mut watched]) {
            assert_eq!(stream.next().await.unwrap().event, "status");
        }
        for name in ["gone", "login"] {
            let (ended, ..) = home.start(&["keys", "revoke", name]).ends().await;
            assert!(ended.success());
        }
        for key in [gone, login] {
            let asked = || Answer::of(service.request("GET", "/api/jobs/x").bearer_auth(key));
            until("the key is refused", async || (asked().await.status == 401).then_some(())).await;
        }
        let later = upload().await;
        let cancel = service.request("DELETE", group.trim_end_matches("/events")).bearer_auth(stays);
        assert_eq!(Answer::of(cancel).await.status, 200);
        for mut stream in cut {
            while let Some(told) = stream.next().await {
                assert!(told.event != "finished" && !told.data.to_string().contains(id(&later)), "{told:?}");
            }
        }
        assert_eq!(watched.rest().await.last().unwrap().event, "finished", "whose key holds is told the end");
    }
}

#[tokio::test]
async fn streams_are_counted_while_they_are_open() {
    let home = Home::sqlite();
    let service = home.serve_with(&["--no-workers"]);
    let group = upload(&service, 1).await;
    let says = async |line: &str| {
        until(line, async || service.get("/metrics").await.text().contains(line).then_some(())).await;
    };
    let mut streams = [Stream::open(&service, &path(&group)).await, Stream::open(&service, "/api/events").await];
    for stream in &mut streams {
        stream.next().await.unwrap();
    }
    says("pixmill_event_streams 2\n").await;
    drop(streams);
    says("pixmill_event_streams 0\n").await;
}

#[tokio::test]
async fn streams_outlive_a_broker_that_goes_away() {
    let redis = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let home = Home::on(&redis.url());
    let service = home.serve_with(&["--no-workers"]);
    let group = upload(&service, 2).await;
    let mut streams = [Stream::open(&service, &path(&group)).await, Stream::open(&service, "/api/events").await];
    for stream in &mut streams {
        assert_eq!(stream.next().await.unwrap().event, "status");
    }
    redis.down();
    service.process.says("event streams stand still").await;
    redis.up();
    let _worker = home.worker().await;
    let [of_group, mut of_everything] = streams;
    assert_eq!(of_group.rest().await.last().unwrap().event, "finished");
    while of_everything.next().await.unwrap().event != "finished" {}
}

#[tokio::test]
async fn stream_with_nothing_to_tell_is_no_slow_client() {
    let home = Home::sqlite().set("server.idle_timeout", "1s");
    let service = home.serve_with(&["--no-workers"]);
    let group = upload(&service, 1).await;
    let mut stream = Stream::open(&service, &path(&group)).await;
    assert_eq!(stream.next().await.unwrap().event, "status");
    for _ in 0..3 {
        let mut slow = TcpStream::connect(service.address()).await.unwrap();
        slow.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
        let _ = slow.read_to_end(&mut Vec::new()).await;
    }
    let _worker = home.worker().await;
    assert_eq!(stream.rest().await.last().unwrap().event, "finished");
}

#[tokio::test]
async fn streams_of_what_is_not_there_are_refused() {
    let home = Home::sqlite();
    let service = home.serve_with(&["--no-workers"]);
    for unknown in [NOBODY, "never-heard-of"] {
        let problem = service.get(&path(unknown)).await.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(404), &json!("not-found")));
        assert!(problem["detail"].as_str().unwrap().contains(unknown), "{problem}");
    }
    for wrong in ["/api/events?since=now".to_owned(), format!("{}?last=1", path(NOBODY))] {
        assert_eq!(service.get(&wrong).await.problem()["code"], "invalid-query");
    }
}
