//! `operations` and `options` do what they say.

use reqwest::multipart::Form;
use serde_json::{Value, json};

use crate::support::client::{Client, id, image, images};
use crate::support::pictures::{decoded, photo, plain_png};
use crate::support::service::Home;

fn asking(operations: &Value, name: &str, picture: Vec<u8>) -> Form {
    image(Form::new().text("operations", operations.to_string()), name, picture)
}

#[tokio::test]
async fn formats_names_and_pipelines_are_honoured() {
    let home = Home::sqlite();
    let service = home.serve();
    let operations = json!([
        {"type": "convert", "format": "png", "name": "lossless"},
        {"type": "resize", "width": 320, "format": "webp"},
        {"type": "pipeline", "operations": [
            {"type": "resize", "width": 200, "height": 200, "fit": "cover"},
            {"type": "watermark", "text": "猫", "position": "top-left", "size": 20},
            {"type": "convert", "format": "jpeg", "quality": 70}]},
    ]);
    let status = service.done(asking(&operations, "cat.jpg", photo())).await;
    assert_eq!(status["status"], "completed", "{status}");
    let outputs = &status["result"][0]["outputs"];
    let names = ["0-lossless.png", "1-resize.webp", "2-pipeline.jpg"];
    let sides = [(1200, 900), (320, 240), (200, 200)];
    let opens: [&[u8]; 3] = [b"\x89PNG", b"RIFF", b"\xff\xd8"];
    for i in 0..3 {
        let path = outputs[i]["path"].as_str().unwrap();
        assert!(path.ends_with(names[i]), "{path}");
        let bytes = service.file(&outputs[i]["path"]).await;
        assert!(bytes.starts_with(opens[i]), "{path}");
        assert_eq!(decoded(&bytes).dimensions(), sides[i]);
    }
}

#[tokio::test]
async fn info_is_an_answer_without_a_file() {
    let home = Home::sqlite();
    let service = home.serve();
    let operations = json!([{"type": "info", "colors": 3}, {"type": "thumbnail", "size": [50, 50]}]);
    let status = service.done(asking(&operations, "cat.jpg", photo())).await;
    let result = &status["result"][0];
    assert_eq!((&result["paths"][0], &result["outputs"][0]["path"]), (&Value::Null, &Value::Null), "{status}");
    let info = &result["outputs"][0];
    assert_eq!((&info["type"], &info["format"]), (&json!("info"), &json!("jpeg")));
    assert_eq!((&info["width"], &info["height"], &info["frames"]), (&json!(1200), &json!(900), &json!(1)));
    assert_eq!(info["blurhash"].as_str().map(str::len), Some(28));
    assert!(info["colors"][0]["color"].as_str().is_some_and(|color| color.starts_with('#')), "{info}");
    let thumbnail = service.file(&result["paths"][1]).await;
    assert_eq!(decoded(&thumbnail).dimensions(), (50, 38));
}

#[tokio::test]
async fn lower_quality_makes_a_smaller_file() {
    let home = Home::sqlite();
    let service = home.serve();
    let at = |quality: u8| json!({"type": "resize", "width": 400, "quality": quality});
    let status = service.done(asking(&json!([at(95), at(40)]), "cat.jpg", photo())).await;
    let outputs = &status["result"][0]["outputs"];
    assert!(outputs[0]["bytes"].as_u64() > outputs[1]["bytes"].as_u64().map(|bytes| 2 * bytes), "{outputs}");
}

#[tokio::test]
async fn fields_come_in_any_order() {
    let home = Home::sqlite();
    let service = home.serve();
    let operations = r#"[{"type": "thumbnail", "size": [50, 50]}]"#;
    for form in [
        images([("a.png", plain_png(100, 100))]).text("operations", operations).text("options", r#"{"priority": 9}"#),
        image(Form::new().text("options", r#"{"priority": 9}"#), "a.png", plain_png(100, 100))
            .text("operations", operations),
    ] {
        let status = service.done(form).await;
        assert_eq!(status["result"][0]["outputs"][0]["width"], 50, "{status}");
    }
}

#[tokio::test]
async fn task_with_an_eta_in_the_future_stays_open() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve();
        let later = images([("a.png", plain_png(20, 20))]).text("options", r#"{"eta": "2199-01-01T00:00:00Z"}"#);
        let delayed = service.upload(later).await;
        let past = images([("b.png", plain_png(20, 20))]).text("options", r#"{"eta": "2001-01-01T00:00:00Z"}"#);
        service.done(past).await;
        let status = service.status(id(&delayed)).await;
        assert_eq!(
            (&status["status"], &status["done"], &status["progress"]),
            (&json!("processing"), &json!(0), &json!(0.0))
        );
        let metrics = service.get("/metrics").await.text();
        assert!(metrics.contains(r#"pixmill_jobs{queue="cpu_intensive",state="delayed"} 1"#), "{metrics}");
    }
}

#[tokio::test]
async fn urgent_task_overtakes_those_that_wait() {
    for home in [Home::sqlite(), Home::redis()] {
        let home = home.set("worker.cpu", "1").set("worker.prefetch", "1");
        let home = home.set("log.level", "info,pixmill::worker=debug");
        let service = home.serve_with(&["--no-workers"]);
        let upload = async |options: &str| {
            let form = images([("a.png", plain_png(60, 60))]).text("options", options.to_owned());
            id(&service.upload(form).await).to_owned()
        };
        let mut ids = Vec::new();
        for options in [r#"{"priority": 2}"#, "{}", r#"{"priority": 10}"#, r#"{"queue": "critical", "priority": 1}"#] {
            ids.push(upload(options).await);
        }
        // The broker orders them; whoever works, works on the same queue.
        drop(service);
        let service = home.serve();
        let mut jobs = Vec::new();
        for id in ids.iter().rev() {
            jobs.push(service.finished(id).await["result"][0]["job_id"].as_str().unwrap().to_owned());
        }
        // Not the order of their ends: a disk may make one wait for longer than the next.
        let began: Vec<String> = service.process.starts().into_iter().map(|(job, _)| job).collect();
        assert_eq!(began, jobs);
    }
}

#[tokio::test]
async fn retries_are_the_attempts_after_the_first() {
    let home = Home::sqlite().set("queue.backoff_base", "1ms");
    let service = home.serve_with(&["--no-workers"]);
    let form = images([("a.png", plain_png(20, 20))]).text("options", r#"{"retries": 2}"#);
    let accepted = service.upload(form).await;
    // A file where the outputs' folder should be: what a broken disk does to an attempt.
    std::fs::write(home.folder().join("outputs"), "in the way").unwrap();
    drop(service);
    let service = home.serve();
    let status = service.finished(id(&accepted)).await;
    assert_eq!((&status["status"], &status["result"][0]["attempts"]), (&json!("failed"), &json!(3)), "{status}");
    let error = &status["result"][0]["error"];
    assert_eq!((&error["code"], &error["retryable"]), (&json!("storage"), &json!(true)), "{status}");
}

async fn fault(service: &Client, field: &'static str, json: &str) -> (String, String) {
    let form = image(Form::new().text(field, json.to_owned()), "a.png", plain_png(10, 10));
    let problem = service.refused(form).await;
    assert_eq!(problem["status"], 422, "{problem}");
    (problem["code"].as_str().unwrap().into(), problem["detail"].as_str().unwrap().into())
}

#[tokio::test]
async fn wrong_operations_are_refused_by_name() {
    let home = Home::sqlite();
    let service = home.serve();
    let many = format!("[{}]", [r#"{"type": "resize", "width": 1}"#; 33].join(","));
    for (operations, named) in [
        ("[{", "operations: not valid JSON"),
        ("[]", "operations: the list is empty"),
        (r#"{"type": "resize"}"#, "operations: {\"type\":\"resize\"} is not a list"),
        (r#"[{"type": "explode"}]"#, "operations[0]: unknown operation `explode`; known: resize,"),
        (r#"[{"type": "resize", "width": 5, "colour": 1}]"#, "operations[0]: unknown field `colour` of resize"),
        (r#"[{"type": "resize", "width": 0}]"#, "operations[0].width: 0 is less than 1"),
        (r#"[{"type": "resize", "width": -5}]"#, "operations[0].width: -5 is not a whole number"),
        (r#"[{"type": "resize", "width": 1000000000}]"#, "exceeds limits.max_output_side (16384)"),
        (r#"[{"type": "thumbnail", "size": [1000000000, 0]}]"#, "operations[0].size[0]: 1000000000 exceeds"),
        (r#"[{"type": "resize", "width": 5}, {"type": "convert"}]"#, "operations[1].format: is missing"),
        (r#"[{"type": "resize", "width": 5, "name": "../x"}]"#, "operations[0].name: `../x` is not a file stem"),
        (&many, "limits.max_operations (32)"),
    ] {
        let (code, detail) = fault(&service, "operations", operations).await;
        assert_eq!(code, "invalid-operation");
        assert!(detail.contains(named), "{operations}: {detail}");
    }
    home.is_left_empty().await;
}

#[tokio::test]
async fn wrong_options_are_refused_by_name() {
    let home = Home::sqlite();
    let service = home.serve();
    for (options, named) in [
        ("nonsense", "options: "),
        (r#"{"prioritty": 1}"#, "unknown field `prioritty`"),
        (r#"{"priority": 11}"#, "options.priority: 11 is not within 1 to 10"),
        (r#"{"priority": 0}"#, "options.priority: 0 is not within 1 to 10"),
        (r#"{"queue": "fast"}"#, "options.queue: unknown queue `fast`; known: critical, priority"),
        (r#"{"eta": "tomorrow"}"#, "options.eta: "),
        (r#"{"retries": 101}"#, "options.retries: 101 exceeds 100"),
    ] {
        let (code, detail) = fault(&service, "options", options).await;
        assert_eq!(code, "invalid-options");
        assert!(detail.contains(named), "{options}: {detail}");
    }
}
