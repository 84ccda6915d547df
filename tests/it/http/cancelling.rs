//! Cancelling groups and jobs.

use serde_json::json;

use crate::support::client::{id, images};
use crate::support::pictures::plain_png;
use crate::support::service::Home;

#[tokio::test]
async fn group_that_nobody_works_on_is_cancelled_at_once() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve_with(&["--no-workers"]);
        let pictures = [("a.png", plain_png(9, 9)), ("b.png", plain_png(9, 9))];
        let accepted = service.upload(images(pictures)).await;
        let answer = service.send("DELETE", &format!("/api/groups/{}", id(&accepted))).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let status = answer.json();
        assert_eq!(
            (&status["status"], &status["cancelled"], &status["done"]),
            (&json!("cancelled"), &json!(2), &json!(2))
        );
        for (entry, name) in status["result"].as_array().unwrap().iter().zip(["a.png", "b.png"]) {
            assert_eq!((&entry["success"], &entry["image"]), (&json!(false), &json!(name)));
            assert_eq!(entry["error"]["code"], "cancelled");
        }
        assert_eq!(service.status(id(&accepted)).await, status);
        let again = service.send("DELETE", &format!("/api/groups/{}", id(&accepted))).await;
        assert_eq!((again.status, again.json()), (200, status), "cancelling what has ended changes nothing");
    }
}

#[tokio::test]
async fn one_picture_is_cancelled_and_its_neighbour_done() {
    let home = Home::redis();
    let service = home.serve_with(&["--no-workers"]);
    let both = service.upload(images([("a.png", plain_png(9, 9)), ("b.png", plain_png(9, 9))])).await;
    let alone = service.upload(images([("c.png", plain_png(9, 9))])).await;
    service.send("DELETE", &format!("/api/groups/{}", id(&alone))).await;
    let cancelled = service.status(id(&alone)).await["result"][0]["job_id"].as_str().unwrap().to_owned();
    let job = service.get(&format!("/api/jobs/{cancelled}")).await.json();
    assert_eq!((&job["state"], &job["status"]), (&json!("cancelled"), &json!("cancelled")), "{job}");
    assert_eq!(job["result"][0]["image"], "c.png");
    let _worker = home.worker().await;
    let done = service.finished(id(&both)).await;
    assert_eq!(done["succeeded"], 2);
    let succeeded = done["result"][0]["job_id"].as_str().unwrap();
    let answer = service.send("DELETE", &format!("/api/jobs/{succeeded}")).await;
    assert_eq!((answer.status, &answer.json()["state"]), (200, &json!("succeeded")), "what has ended stays so");
}

#[tokio::test]
async fn unknown_groups_jobs_and_parameters_are_refused() {
    let home = Home::sqlite();
    let service = home.serve_with(&["--no-workers"]);
    let nobody = "0198c0de-0000-7000-8000-000000000000";
    for (method, path) in [
        ("GET", format!("/api/groups/{nobody}")),
        ("GET", format!("/api/jobs/{nobody}")),
        ("DELETE", format!("/api/groups/{nobody}")),
        ("DELETE", format!("/api/jobs/{nobody}")),
        ("DELETE", "/api/jobs/never-heard-of".into()),
        ("POST", format!("/api/groups/{nobody}/retry")),
        ("POST", format!("/api/jobs/{nobody}/retry")),
    ] {
        let problem = service.send(method, &path).await.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(404), &json!("not-found")), "{method} {path}");
    }
    let accepted = service.upload(images([("a.png", plain_png(9, 9))])).await;
    let problem = service.send("DELETE", &format!("/api/groups/{}?file=true", id(&accepted))).await.problem();
    assert_eq!((&problem["status"], &problem["code"]), (&json!(400), &json!("invalid-query")));
    assert!(problem["detail"].as_str().unwrap().contains("file"), "{problem}");
    assert_eq!(service.status(id(&accepted)).await["status"], "processing");
}
