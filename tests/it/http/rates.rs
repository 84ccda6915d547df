//! How often: a key's own limits, and wrong keys.

use serde_json::json;

use super::access::locked;
use crate::support::client::{Answer, images};
use crate::support::pictures::plain_png;
use crate::support::service::Home;

#[tokio::test]
async fn answers_say_what_is_left_and_then_when_to_come_again() {
    let home = Home::sqlite().set("limits.requests_per_minute", "4").set("limits.uploads_per_minute", "1");
    let (shop, free) = (
        home.key(&["--name", "shop"]).await,
        home.key(&["--name", "free", "--requests-per-minute", "0", "--uploads-per-minute", "0"]).await,
    );
    let service = home.serve_with(&["--no-workers"]);
    let post = |key: &serde_json::Value| {
        let posted = service.request("POST", "/api/upload").bearer_auth(key["key"].as_str().unwrap());
        Answer::of(posted.multipart(images([("a.png", plain_png(9, 9))])))
    };
    let first = post(&shop).await;
    assert_eq!(first.status, 202, "{}", first.text());
    assert_eq!(first.header("ratelimit-policy"), r#""requests";q=4;w=60, "uploads";q=1;w=60"#);
    let left = first.header("ratelimit");
    assert!(left.starts_with(r#""requests";r=3;t="#) && left.contains(r#""uploads";r=0;t="#), "{left}");
    let refused = post(&shop).await;
    let problem = refused.problem();
    assert_eq!((&problem["status"], &problem["code"]), (&json!(429), &json!("rate-limited")));
    assert!(problem["detail"].as_str().unwrap().contains("limits.uploads_per_minute"), "{problem}");
    let wait: u32 = refused.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait) && refused.header("ratelimit").contains("\"uploads\";r=0"));
    for _ in 0..10 {
        let answer = post(&free).await;
        assert_eq!((answer.status, answer.header("ratelimit")), (202, ""));
    }
}

#[tokio::test]
async fn key_that_asks_too_often_waits_and_others_do_not() {
    let home = Home::sqlite().set("limits.requests_per_minute", "2");
    let (shop, blog) = (home.key(&["--name", "shop"]).await, home.key(&["--name", "blog"]).await);
    let service = home.serve_with(&["--no-workers"]);
    let get = |key: &serde_json::Value| {
        Answer::of(service.request("GET", "/api/jobs/x").bearer_auth(key["key"].as_str().unwrap()))
    };
    let statuses = [get(&shop).await.status, get(&shop).await.status, get(&shop).await.status, get(&blog).await.status];
    assert_eq!(statuses, [404, 404, 429, 404]);
    assert_eq!(service.get("/healthz").await.status, 200, "what is open is not counted");
}

#[tokio::test]
async fn guesser_is_slowed_down_and_locks_nobody_else_out() {
    let (home, file) = locked();
    let home = home.set("server.trusted_proxies", "127.0.0.1");
    let (used, unused) = (home.key(&["--name", "shop"]).await, home.key(&["--name", "blog"]).await);
    let service = home.serve_with(&["--no-workers", "--config", &file]);
    let asked = |key: &str, from: &str| {
        Answer::of(service.request("GET", "/api/jobs/x").header("X-Forwarded-For", from).bearer_auth(key))
    };
    let (used, unused) = (used["key"].as_str().unwrap(), unused["key"].as_str().unwrap());
    let guesser = "198.51.100.1";
    assert_eq!(asked(used, guesser).await.status, 404);
    let mut refused = None;
    for _ in 0..40 {
        let answer = asked("pxm_guess", guesser).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status, 401);
    }
    let refused = refused.expect("twenty are enough");
    assert_eq!(refused.problem()["code"], "too-many-wrong-keys");
    assert!(refused.header("retry-after").parse::<u32>().unwrap() >= 1, "{:?}", refused.headers);
    let login = service.request("POST", "/api/login").header("X-Forwarded-For", guesser);
    assert_eq!(Answer::of(login.json(&json!({"key": "pxm_guess"}))).await.problem()["code"], "too-many-wrong-keys");
    for key in [used, unused] {
        assert_eq!(asked(key, guesser).await.status, 404, "nobody guesses a created key");
    }
    assert_eq!(asked("sesame", guesser).await.status, 429, "but one of somebody's making");
    assert_eq!(asked("sesame", "198.51.100.2").await.status, 404, "other addresses are not concerned");
}
