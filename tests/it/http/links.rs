//! Signed links: where API keys are configured, the paths of a status open without one, for a while.

use serde_json::Value;

use super::access::locked;
use crate::support::client::{Answer, id, images};
use crate::support::pictures::{decoded, plain_png};
use crate::support::service::Service;
use crate::support::until;

async fn keyed(service: &Service, method: &str, path: &str) -> Answer {
    Answer::of(service.request(method, path).bearer_auth("sesame")).await
}

async fn done(service: &Service) -> Value {
    let post = service.request("POST", "/api/upload").bearer_auth("sesame");
    let accepted = Answer::of(post.multipart(images([("a.png", plain_png(900, 700))]))).await.json();
    until("the group ends", async || {
        let status = keyed(service, "GET", &format!("/api/task_status/{}", id(&accepted))).await.json();
        (status["status"] != "processing").then_some(status)
    })
    .await
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn link_of_a_status_opens_without_a_key() {
    let (home, file) = locked();
    let service = home.serve_with(&["--config", &file]);
    let status = done(&service).await;
    let link = text(&status["result"][0]["paths"][0]);
    assert_eq!(text(&status["result"][0]["outputs"][0]["path"]), link);
    assert!(link.contains("?expires=") && link.contains("&signature="), "{link}");
    let picture = service.get(&link).await;
    assert_eq!(picture.status, 200);
    assert_eq!(decoded(&picture.body).dimensions(), (800, 600));
    assert_eq!(service.get(&format!("{link}&download=1")).await.status, 200);
    assert_eq!(service.get(&text(&status["links"]["archive"])).await.status, 200);
    let plain = link.split('?').next().unwrap();
    assert_eq!(keyed(&service, "GET", plain).await.status, 200, "a key opens it too");
    assert_eq!(service.get(plain).await.problem()["code"], "unauthorized");
    let job = text(&status["result"][0]["job_id"]);
    let job = keyed(&service, "GET", &format!("/api/jobs/{job}")).await.json();
    assert_eq!(job["result"][0]["paths"][0], link.as_str(), "renewed, and still the same for caches");
}

#[tokio::test]
async fn changed_link_is_refused() {
    let (home, file) = locked();
    let service = home.serve_with(&["--config", &file]);
    let status = done(&service).await;
    let paths = &status["result"][0]["paths"];
    let (link, other) = (text(&paths[0]), text(&paths[1]));
    let (path, query) = link.split_once('?').unwrap();
    let expires = query.strip_prefix("expires=").unwrap().split('&').next().unwrap();
    for changed in [
        format!("{}?{query}", other.split('?').next().unwrap()),
        link.replace(expires, "99999999999"),
        format!("{path}?expires={expires}&signature=AAAA"),
        format!("{link}AA"),
    ] {
        let problem = service.get(&changed).await.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&403.into(), &"link-invalid".into()), "{changed}");
    }
    let group = text(&status["task_id"]);
    for other in [format!("/api/groups/{group}?{query}"), format!("/metrics?{query}")] {
        assert_eq!(service.get(&other).await.problem()["code"], "unauthorized", "{other}");
    }
    let archive = text(&status["links"]["archive"]);
    assert_eq!(service.send("DELETE", &archive).await.status, 405);
}

#[tokio::test]
async fn expired_link_is_refused() {
    let (home, file) = locked();
    let service = home.serve_with(&["--config", &file]);
    let status = done(&service).await;
    let link = text(&status["result"][0]["paths"][0]);
    drop(service);
    let home = home.at_time("+20h");
    let service = home.serve_with(&["--config", &file]);
    assert_eq!(service.get(&link).await.status, 200, "the secret outlives a restart");
    drop(service);
    let home = home.at_time("+26h");
    let service = home.serve_with(&["--config", &file]);
    let problem = service.get(&link).await.problem();
    assert_eq!((&problem["status"], &problem["code"]), (&403.into(), &"link-expired".into()));
    assert_eq!(keyed(&service, "GET", &link).await.status, 200, "a key opens it still");
    let renewed = keyed(&service, "GET", &format!("/api/task_status/{}", id(&status))).await.json();
    let renewed = text(&renewed["result"][0]["paths"][0]);
    assert_ne!(renewed, link);
    assert_eq!(service.get(&renewed).await.status, 200);
}
