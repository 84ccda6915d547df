//! Examples in the OpenAPI document: usual requests and answers, and refusals. Also the links from one answer to the
//! next request.
//!
//! `tests/it/http/openapi.rs` compares each with its schema, and its fields with those of a real answer.

use serde_json::{Value, json};

const GROUP: &str = "01980b54-2f6c-7c4e-9d3a-6a1f0c8e5b27";
const JOB: &str = "01980b54-2f71-7a10-8a55-3f6a0b9b7e01";
/// The folder of the run.
const RUN: &str = "6f0c2b7d9a1e5438b6d0c4f1e8a73952";

/// Adds the examples. Places that the document does not have are skipped.
pub(super) fn add(document: &mut Value) {
    link(document);
    let json_answer = |method: &str, path: &str, status: &str| {
        let path = path.replace('/', "~1");
        format!("/paths/{path}/{method}/responses/{status}/content/application~1json")
    };
    let mut set = |place: String, example: Value| {
        if let Some(content) = document.pointer_mut(&place) {
            content["example"] = example;
        }
    };
    set(
        "/paths/~1api~1upload/post/requestBody/content/multipart~1form-data".into(),
        json!({
            "images": ["cat.jpg", "dog.png"],
            "operations": [
                {"type": "resize", "width": 800, "height": 600, "fit": "cover"},
                {"type": "thumbnail", "size": [150, 150], "format": "webp"},
                {"type": "watermark", "text": "© MySite", "position": "bottom-right"},
            ],
            "options": {"priority": 8, "retries": 2},
        }),
    );
    for path in ["/api/upload", "/api/groups/{group}/retry", "/api/jobs/{job}/retry"] {
        set(json_answer("post", path, "202"), submitted());
    }
    for (method, path) in [("get", "/api/task_status/{id}"), ("get", "/api/groups/{group}")] {
        set(json_answer(method, path, "200"), completed());
    }
    set(json_answer("delete", "/api/groups/{group}", "200"), cancelled());
    for (status, code, detail) in [
        ("400", "unknown-field", "Unknown field `image`; known: images, operations, options, preset."),
        ("404", "not-found", "There is no task `01980b54-0000-7000-8000-000000000000`."),
        ("409", "not-retryable", "Nothing of it has failed or was cancelled."),
        ("413", "too-many-files", "More files than limits.max_files (1000)."),
        ("415", "unsupported-format", "notes.txt: not a picture in a known format"),
        ("422", "invalid-operation", "operations[0].width: 0 is not within 1 to 16384"),
        ("503", "queue-full", "The queue `cpu_intensive` has 1000000 open jobs, as many as queue.cap allows."),
    ] {
        let number: u16 = status.parse().expect("a status is a number");
        let title = axum::http::StatusCode::from_u16(number).ok().and_then(|status| status.canonical_reason());
        set(
            format!("/components/responses/{status}/content/application~1problem+json"),
            json!({"type": format!("/problems/{code}"), "title": title, "status": number, "code": code, "detail": detail}),
        );
    }
}

/// Adds links: which operations take the ids of an answer.
fn link(document: &mut Value) {
    let to = |operation: &str, parameter: &str, at: &str| json!({"operationId": operation, "parameters": {parameter: format!("$response.body#/{at}")}});
    let from_upload = json!({
        "status": to("taskStatus", "id", "task_id"),
        "group": to("group", "group", "task_id"),
        "cancel": to("cancelGroup", "group", "task_id"),
        "retry": to("retryGroup", "group", "task_id"),
    });
    let from_status = json!({
        "firstJob": to("job", "job", "result/0/job_id"),
        "cancelFirstJob": to("cancelJob", "job", "result/0/job_id"),
        "retryFirstJob": to("retryJob", "job", "result/0/job_id"),
    });
    for (operation, links) in [
        ("/paths/~1api~1upload/post/responses/202", &from_upload),
        ("/paths/~1api~1groups~1{group}~1retry/post/responses/202", &from_upload),
        ("/paths/~1api~1jobs~1{job}~1retry/post/responses/202", &from_upload),
        ("/paths/~1api~1task_status~1{id}/get/responses/200", &from_status),
        ("/paths/~1api~1groups~1{group}/get/responses/200", &from_status),
    ] {
        if let Some(answer) = document.pointer_mut(operation) {
            answer["links"] = links.clone();
        }
    }
}

fn submitted() -> Value {
    json!({
        "status": "processing",
        "task_id": GROUP,
        "total_images": 1,
        "rejected": [{
            "index": 1,
            "image": "dog.png",
            "error": {"code": "truncated-image", "detail": "PNG: the file ends before the picture does"},
        }],
        "links": {"self": format!("/api/task_status/{GROUP}"), "events": format!("/api/groups/{GROUP}/events")},
    })
}

fn status(of: &str, done: u32, result: &Value) -> Value {
    json!({
        "status": of,
        "kind": "image.process",
        "task_id": GROUP,
        "total_images": 2,
        "done": done,
        "succeeded": u32::from(of == "completed"),
        "failed": u32::from(of == "completed"),
        "cancelled": if of == "cancelled" { 2 } else { 0 },
        "progress": f64::from(done) / 2.0,
        "created_at": "2026-03-01T09:30:00.125Z",
        "finished_at": "2026-03-01T09:30:00.611Z",
        "result": result,
        "links": {
            "self": format!("/api/task_status/{GROUP}"),
            "events": format!("/api/groups/{GROUP}/events"),
            "archive": format!("/api/groups/{GROUP}/archive"),
        },
        "rejected": [],
        "request_id": "order-4711",
    })
}

fn completed() -> Value {
    let path = format!("/files/{GROUP}/{JOB}/{RUN}/0-resize.jpg");
    status(
        "completed",
        2,
        &json!([
            {
                "success": true,
                "job_id": JOB,
                "image": "cat.jpg",
                "attempts": 1,
                "duration_ms": 61,
                "paths": [path],
                "outputs": [
                    {"type": "resize", "path": path, "format": "jpeg", "width": 800, "height": 600, "bytes": 95576},
                ],
            },
            {
                "success": false,
                "job_id": "01980b54-2f71-7a10-8a55-3f6a0b9b7e02",
                "image": "dog.jpg",
                "attempts": 1,
                "duration_ms": 12,
                "error": {
                    "code": "corrupt-image",
                    "detail": "JPEG: a Huffman table is missing",
                    "retryable": false,
                },
            },
        ]),
    )
}

fn cancelled() -> Value {
    let entry = |job: &str, image: &str| {
        json!({
            "success": false,
            "job_id": job,
            "image": image,
            "error": {
                "code": "cancelled",
                "detail": "The picture was cancelled before it was done.",
                "retryable": false,
            },
        })
    };
    let (first, second) = (entry(JOB, "cat.jpg"), entry("01980b54-2f71-7a10-8a55-3f6a0b9b7e02", "dog.jpg"));
    status("cancelled", 2, &json!([first, second]))
}
