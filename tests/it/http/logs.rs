//! What the log says, and in which form.

use serde_json::Value;

use crate::support::client::{Answer, id, images};
use crate::support::pictures::{plain_png, truncated};
use crate::support::service::{Home, Process};

/// The lines of a log that is JSON, all of it.
fn lines(process: &Process) -> Vec<Value> {
    let log = process.log();
    // The last one may be on its way.
    let log = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let line = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    log.lines().map(line).collect()
}

#[tokio::test]
async fn each_request_has_a_line_that_says_whose_it_was_and_how_it_ended() {
    let home = Home::sqlite().set("log.format", "json");
    let key = home.key(&["--name", "shop"]).await["key"].as_str().unwrap().to_owned();
    let service = home.serve_with(&["--no-workers"]);
    let asked = service.request("GET", "/api/jobs?limit=7").bearer_auth(&key).header("X-Request-Id", "order-4711");
    assert_eq!(Answer::of(asked).await.status, 200);
    service.process.says("answered 200").await;
    let lines = lines(&service.process);
    let line = lines.iter().find(|line| line["fields"]["status"] == 200).unwrap();
    let span = &line["span"];
    assert_eq!((&span["method"], &span["path"], &span["key"]), (&"GET".into(), &"/api/jobs".into(), &"shop".into()));
    assert_eq!((&span["id"], &line["level"]), (&"order-4711".into(), &"INFO".into()), "{line}");
    assert!(line["fields"]["ms"].is_u64(), "{line}");
    // Probes come all the time.
    service.get("/healthz").await;
    service.get("/api/nothing").await;
    service.process.says("answered 404").await;
    assert!(!service.process.log().contains("/healthz"));
}

#[tokio::test]
async fn failures_are_warnings_and_sweeps_are_not_told() {
    let home = Home::sqlite().set("log.format", "json").set("retention.outbox_age", "1s");
    let service = home.serve();
    let form = images([("a.png", plain_png(9, 9)), ("b.jpg", truncated())]);
    let group = id(&service.upload(form).await).to_owned();
    let status = service.finished(&group).await;
    let job = status["result"][1]["job_id"].as_str().unwrap();
    service.process.says(&format!("failed: job {job}")).await;
    // A sweep has been carried out.
    let swept = "pixmill_attempts_total{kind=\"outbox.sweep\",outcome=\"succeeded\"}";
    crate::support::until("a sweep has ended", async || {
        service.get("/metrics").await.text().contains(swept).then_some(())
    })
    .await;
    let lines = lines(&service.process);
    let said = |words: &str| lines.iter().find(|line| line["fields"]["message"].as_str().unwrap().contains(words));
    assert_eq!(said(&format!("failed: job {job}")).unwrap()["level"], "WARN");
    assert!(said("sweep").is_none(), "{lines:?}");
    assert!(!service.get("/api/jobs").await.text().contains("sweep"));
    assert_eq!(service.get("/api/groups").await.json()["groups"].as_array().unwrap().len(), 1);
}

/// Collectors that parse each line lost these: that of the address, and why a start failed.
#[tokio::test]
async fn json_log_is_json_from_its_first_line() {
    let home = Home::sqlite().set("log.format", "json");
    let service = home.serve();
    service.process.says("takes jobs from").await;
    assert!(
        lines(&service.process).iter().any(|line| line["fields"]["message"].as_str().unwrap().contains("listening"))
    );
    let folder = tempfile::tempdir().unwrap();
    let format = folder.path().join("format");
    std::fs::write(&format, "json\n").unwrap();
    let wrong = [
        Home::sqlite().set("limits.min_free_disk", "7").set("log.format", "json"),
        Home::sqlite().set("limits.min_free_disk", "7").set("log.format_file", format.to_str().unwrap()),
        Home::sqlite().set("worker.listen", "nowhere").set("log.format", "json"),
        Home::sqlite().set("log.level", "info,=x=").set("worker.cpu", "1").set("log.format", "json"),
        Home::on("redis://127.0.0.1:1/").set("broker.prefix", "{").set("log.format", "json"),
    ];
    for home in wrong {
        for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["worker"]] {
            let (status, output, log) = home.start(command).ends().await;
            assert_eq!((status.code(), output.as_str()), (Some(1), ""), "{log}");
            for line in log.lines() {
                let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
                assert_eq!(line["level"], "ERROR", "{line}");
            }
            assert!(!log.is_empty());
        }
    }
    let file = folder.path().join("pixmill.toml");
    std::fs::write(&file, "[log]\nformat = \"json\"\n[limits]\nmax_sidee = 1\n").unwrap();
    let (status, _, log) = Process::plain(&["worker", "--config", file.to_str().unwrap()]).ends().await;
    assert_eq!(status.code(), Some(1));
    let line: Value = serde_json::from_str(log.trim()).unwrap();
    assert!(line["fields"]["message"].as_str().unwrap().contains("max_sidee"), "{line}");
}
