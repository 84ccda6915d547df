//! `Prefer: wait`: the answer to a submission is the finished status, if it comes in time.

use std::time::Duration;

use reqwest::multipart::Form;
use rustix::process::Signal;
use serde_json::json;

use crate::support::client::{Answer, Client, id, images};
use crate::support::pictures::plain_png;
use crate::support::service::Home;

async fn post(client: &Client, prefer: &str, form: Form) -> Answer {
    Answer::of(client.request("POST", "/api/upload").header("Prefer", prefer).multipart(form)).await
}

fn pictures() -> Form {
    images([("a.png", plain_png(9, 9)), ("notes.txt", b"not a picture".to_vec())])
}

#[tokio::test]
async fn submission_that_ends_in_time_is_answered_with_its_finished_status() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve();

        let answer = post(&service, "wait=60", pictures()).await;

        let done = answer.json();
        assert_eq!(
            (answer.status, &done["status"], &done["succeeded"]),
            (200, &json!("completed"), &json!(1)),
            "{done}"
        );
        assert_eq!(done["rejected"][0]["image"], "notes.txt", "{done}");
        assert_eq!(answer.header("preference-applied"), "wait=60");
        assert_eq!(answer.header("content-location"), format!("/api/task_status/{}", id(&done)));
        assert_eq!(done["result"], service.finished(id(&done)).await["result"]);
        let sources = json!({"sources": [{"group": id(&done)}], "operations": [{"type": "resize", "width": 4}]});
        let again = Answer::of(service.request("POST", "/api/groups").header("Prefer", "wait=60").json(&sources)).await;
        assert_eq!((again.status, &again.json()["succeeded"]), (200, &json!(1)), "{}", again.text());
    }
}

#[tokio::test]
async fn submission_that_takes_longer_is_answered_as_ever() {
    let home = Home::sqlite();
    let service = home.serve();
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let form = || pictures().text("options", json!({"eta": later.to_string()}).to_string());

    for (prefer, applied) in [("wait=1", Some("wait=1")), ("wait=0", Some("wait=0")), ("respond-async", None)] {
        let answer = post(&service, prefer, form()).await;
        assert_eq!((answer.status, answer.json()["task_id"].is_string()), (202, true), "{}", answer.text());
        let said = answer.headers.get("preference-applied").map(|value| value.to_str().unwrap());
        assert_eq!(said, applied);
        assert!(answer.header("location").starts_with("/api/task_status/"));
    }
}

/// What is acknowledged is answered, even while the service ends.
#[tokio::test]
async fn service_that_ends_meanwhile_answers_what_it_has_taken() {
    let home = Home::sqlite();
    let service = home.serve();
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let form = pictures().text("options", json!({"eta": later.to_string()}).to_string());
    let end = async {
        while home.files("outbox").is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        service.process.signal(Signal::TERM);
    };

    let (answer, ()) = tokio::join!(post(&service, "wait=60", form), end);

    assert_eq!(answer.status, 202, "{}", answer.text());
}
