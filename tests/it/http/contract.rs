//! The two endpoints that clients had before pixmill: upload, poll, fetch.

use image::RgbImage;
use serde_json::{Value, json};

use crate::support::client::{Client, id, images};
use crate::support::pictures::{decoded, photo, plain_png};
use crate::support::service::Home;
use crate::support::until;

#[tokio::test]
async fn three_pictures_become_nine_outputs_on_sqlite() {
    let home = Home::sqlite();
    three_pictures_become_nine_outputs(&home.serve()).await;
}

#[tokio::test]
async fn three_pictures_become_nine_outputs_on_redis() {
    let home = Home::redis();
    three_pictures_become_nine_outputs(&home.serve()).await;
}

#[tokio::test]
async fn three_pictures_become_nine_outputs_with_workers_in_other_processes() {
    let home = Home::redis();
    let service = home.serve_with(&["--no-workers"]);
    let accepted = service.upload(images([("waits.png", plain_png(10, 10))])).await;
    assert_eq!(service.status(id(&accepted)).await["status"], "processing");
    let _workers = (home.worker().await, home.worker().await);
    assert_eq!(service.finished(id(&accepted)).await["succeeded"], 1);
    three_pictures_become_nine_outputs(&service).await;
}

async fn three_pictures_become_nine_outputs(service: &Client) {
    let pictures = [("cat.jpg", photo()), ("dog.png", plain_png(1000, 500)), ("tall.png", plain_png(40, 120))];
    let answer = service.post(images(pictures)).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let accepted = answer.json();
    let task = id(&accepted);
    let status_path = format!("/api/task_status/{task}");
    assert_eq!(answer.header("location"), status_path);
    assert_eq!(
        accepted,
        json!({"status": "processing", "task_id": task, "total_images": 3, "rejected": [],
               "links": {"self": status_path, "events": format!("/api/groups/{task}/events")}})
    );

    let status = until("the task ends", async || {
        let status = service.status(task).await;
        let counted = status["done"].as_u64().unwrap();
        assert_eq!(counted, status["result"].as_array().unwrap().len() as u64, "{status}");
        (status["status"] != "processing").then_some(status)
    })
    .await;
    assert_eq!(redacted(status.clone(), task), whole_document());

    for entry in status["result"].as_array().unwrap() {
        let outputs = entry["outputs"].as_array().unwrap();
        for output in outputs {
            let bytes = service.file(&output["path"]).await;
            assert_eq!(bytes.len(), output["bytes"]);
            let is_jpeg = bytes.starts_with(b"\xff\xd8");
            assert_eq!(is_jpeg, output["format"] == "jpeg", "{output}");
            let picture = decoded(&bytes);
            assert_eq!(json!([picture.width(), picture.height()]), json!([output["width"], output["height"]]));
        }
    }
    let marked = service.file(&status["result"][1]["paths"][2]).await;
    mark_is_in_the_corner(&decoded(&marked));
    let job = service.status(status["result"][0]["job_id"].as_str().unwrap()).await;
    assert_eq!((&job["status"], &job["total_images"]), (&json!("completed"), &json!(1)));
    assert_eq!((&job["state"], &job["attempts"]), (&json!("succeeded"), &json!(1)));
    assert_eq!(job["result"][0], status["result"][0]);
    assert_eq!(job["links"]["group"], status_path);
}

/// What the status says, but for ids, times and sizes.
fn whole_document() -> Value {
    let output = |kind: &str, path: &str, format: &str, width: u32, height: u32| json!({"type": kind, "path": path, "format": format, "width": width, "height": height, "bytes": "…"});
    let entry = |image: &str, format: &str, extension: &str, sides: [[u32; 2]; 3]| {
        let kinds = ["resize", "thumbnail", "watermark"];
        let paths = [0, 1, 2].map(|i| format!("/files/TASK/JOB/RUN/{i}-{}.{extension}", kinds[i]));
        let outputs: Vec<Value> =
            (0..3).map(|i| output(kinds[i], &paths[i], format, sides[i][0], sides[i][1])).collect();
        json!({"success": true, "job_id": "JOB", "image": image, "attempts": 1, "duration_ms": "…", "paths": paths,
               "outputs": outputs})
    };
    json!({
        "status": "completed", "kind": "image.process", "task_id": "TASK", "total_images": 3, "done": 3, "succeeded": 3, "failed": 0,
        "cancelled": 0, "progress": 1.0, "created_at": "…", "finished_at": "…",
        "result": [
            entry("cat.jpg", "jpeg", "jpg", [[800, 600], [150, 113], [1200, 900]]),
            entry("dog.png", "png", "png", [[800, 600], [150, 75], [1000, 500]]),
            entry("tall.png", "png", "png", [[800, 600], [40, 120], [40, 120]]),
        ],
        "links": {"self": "/api/task_status/TASK", "events": "/api/groups/TASK/events", "archive": "/api/groups/TASK/archive"},
        "rejected": [],
    })
}

fn redacted(mut status: Value, task: &str) -> Value {
    for time in ["created_at", "finished_at"] {
        status[time].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        status[time] = "…".into();
    }
    assert!(status.as_object_mut().unwrap().remove("request_id").is_some_and(|id| id.is_string()));
    let mut text = status.to_string().replace(task, "TASK");
    for entry in status["result"].as_array().unwrap() {
        text = text.replace(entry["job_id"].as_str().unwrap(), "JOB");
        let run = entry["paths"][0].as_str().unwrap().split('/').nth(4).unwrap();
        assert!(run.len() == 32 && run.chars().all(|digit| digit.is_ascii_hexdigit()), "{run}");
        text = text.replace(run, "RUN");
    }
    let mut status: Value = serde_json::from_str(&text).unwrap();
    for entry in status["result"].as_array_mut().unwrap() {
        assert!(entry["duration_ms"].take().is_u64());
        entry["duration_ms"] = "…".into();
        for output in entry["outputs"].as_array_mut().unwrap() {
            assert!(output["bytes"].take().as_u64().unwrap() > 50);
            output["bytes"] = "…".into();
        }
    }
    status
}

/// The mark in white, half transparent, on the plain picture's colour, 10 px from the edges.
fn mark_is_in_the_corner(picture: &RgbImage) {
    let (width, height) = picture.dimensions();
    let changed: Vec<(u32, u32)> = picture
        .enumerate_pixels()
        .filter(|(_, _, pixel)| pixel.0.iter().zip([90, 120, 150]).any(|(&is, was): (&u8, u8)| is.abs_diff(was) > 3))
        .map(|(x, y, _)| (x, y))
        .collect();
    assert!(changed.len() > 200, "{} pixels of the mark", changed.len());
    let right = changed.iter().map(|at| at.0).max().unwrap();
    let (left, top) = (changed.iter().map(|at| at.0).min().unwrap(), changed.iter().map(|at| at.1).min().unwrap());
    let bottom = changed.iter().map(|at| at.1).max().unwrap();
    assert!(
        (width - 14..width - 8).contains(&right) && (height - 14..height - 8).contains(&bottom),
        "{right} {bottom}"
    );
    assert!(left > width - 180 && top > height - 60, "{left} {top}");
    // Half of white (alpha 128) over the colour.
    let brightest = changed.iter().map(|&(x, y)| picture.get_pixel(x, y).0[0]).max().unwrap();
    assert!((165..=180).contains(&brightest), "{brightest}");
}

#[tokio::test]
async fn unknown_task_is_not_found() {
    let home = Home::sqlite();
    let service = home.serve();
    for id in ["0198c0de-0000-7000-8000-000000000000", "never-heard-of"] {
        let problem = service.get(&format!("/api/task_status/{id}")).await.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(404), &json!("not-found")));
        assert!(problem["detail"].as_str().unwrap().contains(id), "{problem}");
    }
}
