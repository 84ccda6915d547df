//! Pictures that nobody uploads: fetched by URL, read in a folder, taken from an earlier group.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::client::{Answer, Client, id, images};
use crate::support::origin::{Origin, Reply};
use crate::support::pictures::plain_png;
use crate::support::service::Home;
use crate::support::until;

const SMALL: &str = r#"[{"type": "resize", "width": 20, "height": 20, "format": "jpeg"}]"#;

fn small() -> Value {
    serde_json::from_str(SMALL).unwrap()
}

async fn post(service: &Client, body: &Value) -> Answer {
    Answer::of(service.request("POST", "/api/groups").json(body)).await
}

/// Is accepted; the answer.
async fn taken(service: &Client, sources: Value, options: Value) -> Value {
    let answer = post(service, &json!({"sources": sources, "operations": small(), "options": options})).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(answer.header("location"), answer.json()["links"]["self"]);
    answer.json()
}

async fn done(service: &Client, sources: Value) -> Value {
    let accepted = taken(service, sources, json!({})).await;
    service.finished(id(&accepted)).await
}

/// Fetches from this machine, and tries again at once.
fn fetching(home: Home) -> Home {
    home.set("sources.allow_private", "127.0.0.1/32").set("queue.backoff_base", "1ms").set("queue.backoff_cap", "2ms")
}

/// A folder of pictures beside the home's own things.
fn shared(home: Home) -> (Home, PathBuf) {
    let folder = home.folder().join("share");
    fs::create_dir_all(folder.join("incoming/2024")).unwrap();
    let home = home.set("sources.folder", folder.to_str().unwrap());
    (home, folder)
}

fn codes(list: &Value) -> Vec<(u64, &str)> {
    let told = list.as_array().unwrap().iter();
    told.map(|one| (one["index"].as_u64().unwrap(), one["error"]["code"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn urls_become_pictures_and_bad_ones_are_told_beside_them() {
    for home in [Home::sqlite(), Home::redis()] {
        let origin = Origin::start(|path, _| match path {
            "/moved.png" => Reply::redirect("/a.png"),
            // Raw, as servers write it.
            "/%E7%8C%AB%20x.png" => Reply::redirect("/ü/a.png"),
            // What it says of the type is not believed.
            "/lies.png" => Reply::Whole(200, vec!["Content-Type: text/html".into()], plain_png(30, 30)),
            "/page.png" => Reply::Whole(200, vec!["Content-Type: image/png".into()], b"<html>".to_vec()),
            _ => Reply::picture(plain_png(40, 30)),
        })
        .await;
        let home = fetching(home).set("sources.urls", &format!("127.0.0.1:{}", origin.port()));
        let service = home.serve();
        let sources = json!([
            {"url": origin.url("/a.png")},
            {"url": "http://10.0.0.1/a.png"},
            {"url": origin.url("/moved.png"), "name": "moved to here.png"},
            {"url": "no url"},
            {"url": origin.url("/lies.png?token=secret")},
            {"url": origin.url("/page.png")},
            {"url": origin.url("/%E7%8C%AB%20x.png")},
            {"url": "ftp://127.0.0.1/a.png"},
        ]);
        let accepted = taken(&service, sources, json!({"retries": 2})).await;
        assert_eq!(accepted["total_images"], 5);
        let rejected = codes(&accepted["rejected"]);
        assert_eq!(rejected, [(1, "url-forbidden"), (3, "invalid-url"), (7, "url-forbidden")], "{accepted}");
        let status = service.finished(id(&accepted)).await;
        let counts = json!([status["status"], status["total_images"], status["succeeded"], status["failed"]]);
        assert_eq!(counts, json!(["completed", 5, 4, 1]), "{status}");
        assert_eq!(codes(&status["rejected"]), rejected);
        let told: Vec<_> =
            status["result"].as_array().unwrap().iter().map(|one| json!([one["image"], one["attempts"]])).collect();
        let names = ["a.png", "moved to here.png", "lies.png", "page.png", "猫 x.png"];
        assert_eq!(json!(told), json!(names.map(|name| json!([name, 1]))));
        assert_eq!(status["result"][3]["error"]["code"], "unsupported-format", "{status}");
        assert!(service.file(&status["result"][0]["paths"][0]).await.ends_with(b"\xff\xd9"));
        assert!(!status.to_string().contains("secret"));
        let metrics = service.get("/metrics").await.text();
        assert!(metrics.contains(r#"pixmill_fetches_total{outcome="fetched"} 5"#), "{metrics}");
        assert!(!metrics.contains("pixmill_fetched_bytes_total 0"), "{metrics}");
        until("nothing but the originals is left", async || (home.files("uploads").len() == 5).then_some(())).await;
    }
}

#[tokio::test]
async fn server_that_asks_for_a_pause_gets_it_within_bounds() {
    for home in [Home::sqlite(), Home::redis()] {
        let origin = Origin::start(|path, _| {
            let after = if path == "/short.png" { "600" } else { "Tue, 31 Dec 2999 23:59:59 GMT" };
            Reply::Whole(503, vec![format!("Retry-After: {after}")], Vec::new())
        })
        .await;
        let home = fetching(home).set("sources.urls", &format!("127.0.0.1:{}", origin.port()));
        let home = home.set("sources.max_retry_after", "2h");
        let service = home.serve();
        for (path, minutes) in [("/short.png", 10), ("/long.png", 120)] {
            let accepted = taken(&service, json!([{"url": origin.url(path)}]), json!({})).await;
            let listed = format!("/api/jobs?group={}&state=delayed", id(&accepted));
            let job = until("it waits for another attempt", async || {
                let jobs = service.get(&listed).await.json();
                jobs["jobs"].as_array().unwrap().first().cloned()
            })
            .await;
            let instant = |name: &str| job[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
            let waits = instant("due_at").duration_since(instant("created_at")).as_mins();
            // How long the first attempt took is the machine's affair.
            assert!((minutes..minutes + 5).contains(&waits), "{path}: {job}");
            assert_eq!(job["error_code"], "fetch-failed", "{job}");
        }
    }
}

#[tokio::test]
async fn failed_fetch_is_tried_again_and_a_refused_one_is_not() {
    for home in [Home::sqlite(), Home::redis()] {
        let origin = Origin::start(|path, before| match (path, before) {
            ("/shaky.png", 0) => Reply::status(500),
            ("/shaky.png", 1) => Reply::Cut(5_000, b"half a".to_vec()),
            ("/busy.png", 0) => Reply::status(429),
            ("/down.png", _) => Reply::status(503),
            ("/gone.png", _) => Reply::status(404),
            ("/loop.png", _) => Reply::redirect("/loop.png"),
            ("/endless.png", _) => Reply::Endless,
            ("/huge.png", _) => Reply::Cut(40_000, Vec::new()),
            _ => Reply::picture(plain_png(40, 30)),
        })
        .await;
        let home = fetching(home).set("sources.urls", &format!("127.0.0.1:{}", origin.port()));
        let home = home.set("limits.max_file_bytes", "20000");
        let service = home.serve();
        let names = ["shaky", "busy", "down", "gone", "loop", "endless", "huge"];
        let sources: Value =
            names.map(|name| json!({"url": origin.url(&format!("/{name}.png"))})).into_iter().collect();
        let status = done(&service, sources).await;
        let told: Value = status["result"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| json!([one["image"], one["attempts"], one["error"]["code"]]))
            .collect();
        let expected = json!([
            ["shaky.png", 1, null],
            ["busy.png", 1, null],
            ["down.png", 4, "fetch-failed"],
            ["gone.png", 1, "fetch-refused"],
            ["loop.png", 1, "fetch-refused"],
            ["endless.png", 1, "too-large"],
            ["huge.png", 1, "too-large"],
        ]);
        assert_eq!(told, expected, "{status}");
        let asked = |path: &str| origin.heads().iter().filter(|head| head.starts_with(&format!("GET {path} "))).count();
        assert_eq!([asked("/shaky.png"), asked("/down.png"), asked("/gone.png")], [3, 4, 1]);
        // What failed in its first stage is tried again from there.
        let again = service.send("POST", &format!("/api/groups/{}/retry", id(&status))).await;
        assert_eq!(again.status, 202, "{}", again.text());
        let again = service.finished(id(&again.json())).await;
        assert_eq!((&again["total_images"], &again["failed"]), (&json!(5), &json!(5)), "{again}");
        assert_eq!(asked("/gone.png"), 2);
    }
}

#[tokio::test]
async fn slow_server_costs_its_picture_and_nobody_elses() {
    let origin = Origin::start(|path, _| match path {
        "/silent.png" => Reply::Silent,
        _ => Reply::picture(plain_png(40, 30)),
    })
    .await;
    let home = fetching(Home::sqlite()).set("sources.urls", &format!("127.0.0.1:{}", origin.port()));
    let home = home.set("sources.timeout", "2s").set("worker.cpu", "1");
    let service = home.serve();
    let silent: Vec<Value> = (0..20).map(|_| json!({"url": origin.url("/silent.png")})).collect();
    let slow = taken(&service, json!(silent), json!({"retries": 0})).await;
    until("all are waited for", async || (origin.heads().len() == 20).then_some(())).await;
    // All of them are in their first stage, and the one slot for computing is free.
    let quick = service.done(images([("a.png", plain_png(9, 9))])).await;
    assert_eq!(quick["succeeded"], 1);
    let status = service.finished(id(&slow)).await;
    assert_eq!(status["failed"], 20);
    let error = &status["result"][0]["error"];
    assert_eq!((&error["code"], &error["retryable"]), (&json!("fetch-failed"), &json!(true)), "{error}");
    assert!(error["detail"].as_str().unwrap().contains("sources.timeout (2s)"), "{error}");
}

#[tokio::test]
async fn names_and_redirects_into_this_machine_are_refused() {
    let trap = Origin::start(|_, _| Reply::picture(plain_png(40, 30))).await;
    let at_trap = trap.port();
    let origin = Origin::at("127.0.0.3:0", move |path, _| match path {
        "/loopback" => Reply::redirect(format!("http://127.0.0.1:{at_trap}/")),
        "/name" => Reply::redirect(format!("http://localhost:{at_trap}/")),
        "/metadata" => Reply::redirect("http://169.254.169.254/latest/meta-data/"),
        "/decimal" => Reply::redirect(format!("//2130706433:{at_trap}/")),
        "/mapped" => Reply::redirect(format!("http://[::ffff:127.0.0.1]:{at_trap}/")),
        "/elsewhere" => Reply::redirect("http://other.example:81/"),
        _ => Reply::redirect("file:///etc/passwd"),
    })
    .await;
    let home = Home::sqlite().set("sources.allow_private", "127.0.0.3/32");
    let home = home.set("sources.urls", &format!("*,*:{},*:{at_trap}", origin.port()));
    let service = home.serve();
    let redirecting = ["loopback", "name", "metadata", "decimal", "mapped", "elsewhere", "file"];
    let url = |path: &str| json!({"url": format!("http://127.0.0.3:{}/{path}", origin.port())});
    let mut sources: Vec<Value> = redirecting.map(url).into();
    sources.push(json!({"url": format!("http://localhost:{at_trap}/")}));
    let status = done(&service, json!(sources)).await;
    assert_eq!(status["failed"], 8, "{status}");
    for one in status["result"].as_array().unwrap() {
        assert_eq!((&one["error"]["code"], &one["attempts"]), (&json!("url-forbidden"), &json!(1)), "{one}");
    }
    assert_eq!(trap.heads(), Vec::<String>::new());
}

#[tokio::test]
async fn sources_that_are_off_are_refused_by_the_settings_name() {
    let home = Home::sqlite();
    let service = home.serve_with(&["--no-workers"]);
    for (source, code, setting) in [
        (json!({"url": "https://example.com/a.png"}), "url-forbidden", "sources.urls"),
        (json!({"key": "a.png"}), "source-forbidden", "sources.folder"),
        (json!({"prefix": "a/"}), "source-forbidden", "sources.folder"),
    ] {
        let problem = post(&service, &json!({"sources": [source]})).await.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(422), &json!(code)), "{problem}");
        assert!(problem["rejected"][0]["error"]["detail"].as_str().unwrap().contains(setting), "{problem}");
    }
    home.is_left_empty().await;
}

#[tokio::test]
async fn fetch_of_a_killed_service_is_begun_again_on_sqlite() {
    let origin = Origin::start(|_, _| Reply::Gated(plain_png(40, 30))).await;
    let home = fetching(Home::sqlite()).set("sources.urls", &format!("127.0.0.1:{}", origin.port()));
    let home = home.set("queue.lease", "3s").set("queue.beat", "500ms");
    let service = home.serve();
    let sources: Vec<Value> = (0..3).map(|i| json!({"url": origin.url(&format!("/{i}.png"))})).collect();
    let accepted = taken(&service, json!(sources), json!({})).await;
    until("all are being fetched", async || (origin.heads().len() == 3).then_some(())).await;
    service.process.kill();
    let service = home.serve();
    until("all are fetched again", async || (origin.heads().len() == 6).then_some(())).await;
    origin.open_gate();
    let status = service.finished(id(&accepted)).await;
    assert_eq!((&status["total_images"], &status["succeeded"]), (&json!(3), &json!(3)), "{status}");
}

#[tokio::test]
async fn fetch_of_a_killed_worker_is_begun_again_on_redis() {
    let origin = Origin::start(|_, before| match before {
        0 => Reply::Gated(plain_png(40, 30)),
        _ => Reply::picture(plain_png(40, 30)),
    })
    .await;
    let home = fetching(Home::redis()).set("sources.urls", &format!("127.0.0.1:{}", origin.port()));
    let home = home.set("queue.lease", "3s").set("queue.beat", "500ms");
    let service = home.serve_with(&["--no-workers"]);
    let first = home.worker().await;
    let sources: Vec<Value> = (0..5).map(|i| json!({"url": origin.url(&format!("/{i}.png"))})).collect();
    let accepted = taken(&service, json!(sources), json!({})).await;
    until("all are being fetched", async || (origin.heads().len() == 5).then_some(())).await;
    first.kill();
    let _second = home.worker().await;
    let status = service.finished(id(&accepted)).await;
    assert_eq!((&status["total_images"], &status["succeeded"]), (&json!(5), &json!(5)), "{status}");
    assert_eq!(origin.heads().len(), 10);
}

#[tokio::test]
async fn cancelled_fetch_ends_as_cancelled() {
    let origin = Origin::start(|_, _| Reply::Silent).await;
    let home = fetching(Home::sqlite()).set("sources.urls", &format!("127.0.0.1:{}", origin.port()));
    let home = home.set("queue.lease", "3s").set("queue.beat", "200ms");
    let service = home.serve();
    let accepted = taken(&service, json!([{"url": origin.url("/a.png")}]), json!({})).await;
    until("it is being fetched", async || (origin.heads().len() == 1).then_some(())).await;
    service.send("DELETE", &format!("/api/groups/{}", id(&accepted))).await;
    let status = service.finished(id(&accepted)).await;
    assert_eq!(status["status"], "cancelled");
    assert_eq!(status["result"][0]["image"], "a.png");
}

#[tokio::test]
async fn files_of_the_folder_are_read_where_they_lie() {
    for home in [Home::sqlite(), Home::redis()] {
        let (home, folder) = shared(home);
        for name in ["incoming/b.png", "incoming/a.png", "incoming/2024/c.png", "top.png"] {
            fs::write(folder.join(name), plain_png(30, 20)).unwrap();
        }
        fs::write(folder.join("incoming/notes.txt"), "no picture").unwrap();
        fs::write(folder.join("incoming/.hidden.png"), plain_png(30, 20)).unwrap();
        fs::write(home.folder().join("secret.png"), plain_png(30, 20)).unwrap();
        symlink("../secret.png", folder.join("leads-out.png")).unwrap();
        let service = home.serve();
        let sources = json!([
            {"key": "top.png", "name": "named.png"},
            {"key": "../secret.png"},
            {"key": "leads-out.png"},
            {"key": "/etc/passwd"},
            {"key": "incoming/.hidden.png"},
            {"key": "none.png"},
            {"prefix": "incoming/"},
            {"prefix": "none/"},
        ]);
        let accepted = taken(&service, sources, json!({})).await;
        assert_eq!(accepted["total_images"], 4, "{accepted}");
        let forbidden = "source-forbidden";
        assert_eq!(
            codes(&accepted["rejected"]),
            [
                (1, forbidden),
                (2, forbidden),
                (3, forbidden),
                (4, forbidden),
                (5, "source-missing"),
                (9, "unsupported-format"),
                (10, "source-missing")
            ],
            "{accepted}"
        );
        let status = service.finished(id(&accepted)).await;
        assert_eq!(status["succeeded"], 4, "{status}");
        let names: Vec<&str> =
            status["result"].as_array().unwrap().iter().map(|one| one["image"].as_str().unwrap()).collect();
        assert_eq!(names, ["named.png", "incoming/2024/c.png", "incoming/a.png", "incoming/b.png"]);
        assert!(home.files("uploads").is_empty(), "nothing is copied");
    }
}

/// Between the look at a file and its turn, somebody changes it.
#[tokio::test]
async fn file_that_is_exchanged_for_a_link_is_not_followed() {
    let (home, folder) = shared(Home::sqlite());
    fs::write(folder.join("a.png"), plain_png(30, 20)).unwrap();
    fs::write(folder.join("b.png"), plain_png(30, 20)).unwrap();
    fs::write(home.folder().join("secret.png"), plain_png(30, 20)).unwrap();
    let service = home.serve();
    home.broker().await.pause("cpu_intensive").await.unwrap();
    let accepted = taken(&service, json!([{"key": "a.png"}, {"key": "b.png"}]), json!({})).await;
    fs::remove_file(folder.join("a.png")).unwrap();
    symlink("../secret.png", folder.join("a.png")).unwrap();
    fs::remove_file(folder.join("b.png")).unwrap();
    home.broker().await.resume("cpu_intensive").await.unwrap();
    let status = service.finished(id(&accepted)).await;
    let codes: Value = status["result"].as_array().unwrap().iter().map(|one| one["error"]["code"].clone()).collect();
    assert_eq!(codes, json!(["source-forbidden", "source-missing"]), "{status}");
}

#[tokio::test]
async fn long_prefix_is_one_group_whose_total_is_known_at_once() {
    for home in [Home::sqlite(), Home::redis()] {
        let (home, folder) = shared(home);
        for i in 0..25 {
            fs::write(folder.join(format!("incoming/{i:02}.png")), plain_png(30, 20)).unwrap();
        }
        fs::write(folder.join("incoming/25.txt"), "no picture").unwrap();
        let home = home.set("limits.max_files", "10");
        let service = home.serve();
        let accepted = taken(&service, json!([{"prefix": "incoming/"}]), json!({"chunk_size": 4})).await;
        assert_eq!((&accepted["total_images"], &accepted["rejected"]), (&json!(26), &json!([])), "{accepted}");
        assert_eq!(service.status(id(&accepted)).await["total_images"], 26);
        let status = service.finished(id(&accepted)).await;
        let counts = json!([status["total_images"], status["succeeded"], status["failed"]]);
        assert_eq!(counts, json!([26, 25, 1]), "{status}");
        for (i, one) in status["result"].as_array().unwrap().iter().take(25).enumerate() {
            assert_eq!(one["image"], format!("incoming/{i:02}.png"));
        }
        assert_eq!(status["result"][25]["error"]["code"], "unsupported-format");

        let problem = post(&service, &json!({"sources": [{"prefix": "incoming/"}, {"key": "a"}]})).await.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(413), &json!("too-many-files")), "{problem}");
        let many: Vec<Value> = (0..11).map(|_| json!({"key": "a"})).collect();
        let problem = post(&service, &json!({"sources": many})).await.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(413), &json!("too-many-files")), "{problem}");
    }
}

#[tokio::test]
async fn long_prefix_without_a_scan_is_completed_by_the_upkeep() {
    for home in [Home::sqlite(), Home::redis()] {
        let (home, folder) = shared(home);
        for i in 0..12 {
            fs::write(folder.join(format!("incoming/{i:02}.png")), plain_png(30, 20)).unwrap();
        }
        let home = home.set("limits.max_files", "2").set("retention.outbox_age", "1s");
        let service = home.serve_with(&["--no-workers"]);
        let body = json!({"sources": [{"prefix": "incoming/"}], "operations": small(), "options": {"chunk_size": 5}});
        let request = || service.request("POST", "/api/groups").header("Idempotency-Key", "long").json(&body);
        let accepted = Answer::of(request()).await.json();
        assert_eq!(Answer::of(request()).await.json(), accepted, "also before the rest is enqueued");
        let broker = home.broker().await;
        let scans = broker.purge("io_intensive").await.unwrap();
        assert_eq!(scans, 6, "the scan and the five pictures of the first chunk");
        let group = broker.group(id(&accepted).parse().unwrap()).await.unwrap().unwrap();
        assert_eq!((group.total, group.cancelled, group.sealed), (5, 5, false));
        let worker = home.worker().await;
        let status = service.finished(id(&accepted)).await;
        let counts = json!([status["total_images"], status["succeeded"], status["cancelled"]]);
        assert_eq!(counts, json!([12, 7, 5]), "{status}");
        drop(worker);
    }
}

/// The total of one that was cancelled while it was being listed shrank to what had been enqueued.
#[tokio::test]
async fn cancelled_long_prefix_keeps_its_total_and_lists_each_picture() {
    for home in [Home::sqlite(), Home::redis()] {
        let (home, folder) = shared(home);
        for i in 0..12 {
            fs::write(folder.join(format!("incoming/{i:02}.png")), plain_png(30, 20)).unwrap();
        }
        let home = home.set("limits.max_files", "2");
        let service = home.serve_with(&["--no-workers"]);
        let sources = json!([{"prefix": "incoming/"}]);
        let accepted = taken(&service, sources.clone(), json!({"chunk_size": 5})).await;
        service.send("DELETE", &format!("/api/groups/{}", id(&accepted))).await.json();
        // Nobody works, so only the service itself can have counted them.
        let cancelled = service.finished(id(&accepted)).await;
        let counts = json!([cancelled["status"], cancelled["total_images"], cancelled["cancelled"]]);
        assert_eq!(counts, json!(["cancelled", 12, 12]), "{cancelled}");
        let listed = cancelled["result"].as_array().unwrap();
        assert_eq!(listed.len(), 12);
        for (i, one) in listed.iter().enumerate() {
            assert_eq!(
                (&one["image"], &one["error"]["code"]),
                (&json!(format!("incoming/{i:02}.png")), &json!("cancelled"))
            );
        }
        let again = service.send("POST", &format!("/api/groups/{}/retry", id(&accepted))).await.json();
        assert_eq!(again["total_images"], 12, "{again}");
        service.send("DELETE", &format!("/api/groups/{}", id(&again))).await.json();

        // By the command line, and with its files erased.
        let second = taken(&service, sources.clone(), json!({"chunk_size": 5})).await;
        let (status, output, log) = home.start(&["control", "cancel", id(&second)]).ends().await;
        assert!(status.success() && output.contains("12 jobs cancelled"), "{output}{log}");
        assert_eq!(service.finished(id(&second)).await["cancelled"], 12);
        let third = taken(&service, sources, json!({"chunk_size": 5})).await;
        service.send("DELETE", &format!("/api/groups/{}?files=true", id(&third))).await.json();
        let erased = service.finished(id(&third)).await;
        assert_eq!((&erased["total_images"], &erased["cancelled"]), (&json!(12), &json!(12)), "{erased}");

        // A scan that is at work then adds nothing that would run.
        let _worker = home.worker().await;
        let broker = home.broker().await;
        until("the scans have ended", async || {
            let depths = broker.depths().await.unwrap();
            depths.iter().all(|depth| depth.waiting + depth.active + depth.delayed == 0).then_some(())
        })
        .await;
        assert_eq!(service.status(id(&accepted)).await, cancelled);
    }
}

#[tokio::test]
async fn originals_of_an_earlier_group_are_used_again_while_they_are_kept() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve();
        let pictures = [("bad.txt", b"no picture".to_vec()), ("a.png", plain_png(9, 9)), ("b.png", plain_png(8, 8))];
        let first = service.done(images(pictures)).await;
        let group = id(&first);
        let all = done(&service, json!([{"group": group}])).await;
        assert_eq!((&all["total_images"], &all["succeeded"]), (&json!(2), &json!(2)), "{all}");
        let sources = json!([{"group": group, "index": 1}, {"group": group, "index": 2}, {"group": id(&all)}]);
        let accepted = taken(&service, sources, json!({})).await;
        assert_eq!(codes(&accepted["rejected"]), [(1, "source-gone")], "{accepted}");
        let some = service.finished(id(&accepted)).await;
        let names: Value = some["result"].as_array().unwrap().iter().map(|one| one["image"].clone()).collect();
        assert_eq!(names, json!(["b.png", "a.png", "b.png"]), "{some}");
        // Its end takes nothing from those that use it.
        fs::remove_dir_all(home.folder().join("uploads").join(group)).unwrap();
        let again = done(&service, json!([{"group": id(&some)}])).await;
        assert_eq!(again["succeeded"], 3, "{again}");
        for gone in [group, "01980b54-2f6c-7c4e-9d3a-6a1f0c8e5b27"] {
            let problem = post(&service, &json!({"sources": [{"group": gone}]})).await.problem();
            assert_eq!((&problem["status"], &problem["code"]), (&json!(422), &json!("source-gone")), "{problem}");
        }
    }
}

#[tokio::test]
async fn same_request_under_one_key_gets_the_same_answer() {
    for home in [Home::sqlite(), Home::redis()] {
        let (home, folder) = shared(home);
        fs::write(folder.join("incoming/a.png"), plain_png(30, 20)).unwrap();
        let service = home.serve();
        let body = json!({"sources": [{"prefix": "incoming/"}, {"key": "none.png"}], "operations": small()});
        let post = async |body: &Value| {
            Answer::of(service.request("POST", "/api/groups").header("Idempotency-Key", "k").json(body)).await
        };
        let first = post(&body).await;
        assert_eq!(first.status, 202, "{}", first.text());
        service.finished(id(&first.json())).await;
        // What the folder holds by now does not change what was answered.
        fs::write(folder.join("incoming/b.png"), plain_png(30, 20)).unwrap();
        let again = post(&body).await;
        assert_eq!((again.status, again.json()), (202, first.json()));
        let mut other = body.clone();
        other["sources"][1]["key"] = "other.png".into();
        let problem = post(&other).await.problem();
        assert_eq!(
            (&problem["status"], &problem["code"]),
            (&json!(422), &json!("idempotency-key-reused")),
            "{problem}"
        );
        let (name, refused) = ("refused", json!({"sources": [{"key": "none.png"}]}));
        let keyed = |body: &Value| service.request("POST", "/api/groups").header("Idempotency-Key", name).json(body);
        assert_eq!(Answer::of(keyed(&refused)).await.status, 422);
        assert_eq!(Answer::of(keyed(&json!({"sources": [{"key": "incoming/a.png"}]}))).await.status, 202, "it is free");
    }
}
