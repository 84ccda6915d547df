//! The API's description, held against what a real service answers.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::cli::Desk;
use crate::support::client::{Answer, Client, id, images};
use crate::support::pictures::{photo, plain_png, truncated};
use crate::support::service::Home;
use crate::support::until;

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"];

#[test]
fn committed_copy_is_what_the_program_prints() {
    let run = Desk::new().run(&["openapi"]);
    let printed: Value = serde_json::from_slice(&run.stdout).unwrap();
    let committed: Value = serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap();
    assert_eq!(printed, committed, "write it again with `pixmill openapi > docs/openapi.json`");
}

#[tokio::test]
async fn every_answer_has_the_form_that_is_described() {
    let home = Home::sqlite();
    let service = home.serve();
    let described = Described::by(&service).await;
    let pictures = || [("a.jpg", photo()), ("not.png", b"no picture".to_vec()), ("cut.jpg", truncated())];
    let everything = json!([{"type": "resize", "width": 80}, {"type": "info", "colors": 3}]);

    let taken = service.post(images(pictures()).text("operations", everything.to_string())).await;
    described.holds("post", "/api/upload", &taken);
    let group = id(&taken.json()).to_owned();
    service.finished(&group).await;
    let status = service.get(&format!("/api/task_status/{group}")).await;
    described.holds("get", "/api/task_status/{id}", &status);
    let document = status.json();
    assert_eq!((&document["succeeded"], &document["failed"]), (&json!(1), &json!(1)), "{document}");
    described.holds("get", "/api/groups/{group}", &service.get(&format!("/api/groups/{group}")).await);
    described.holds("delete", "/api/groups/{group}", &service.send("DELETE", &format!("/api/groups/{group}")).await);
    described.holds(
        "post",
        "/api/groups/{group}/retry",
        &service.send("POST", &format!("/api/groups/{group}/retry")).await,
    );
    let job = document["result"][0]["job_id"].as_str().unwrap();
    described.holds("get", "/api/jobs/{job}", &service.get(&format!("/api/jobs/{job}")).await);
    described.holds("delete", "/api/jobs/{job}", &service.send("DELETE", &format!("/api/jobs/{job}")).await);
    described.holds("post", "/api/jobs/{job}/retry", &service.send("POST", &format!("/api/jobs/{job}/retry")).await);
    let output = document["result"][0]["paths"][0].as_str().unwrap();
    described.holds("get", "/files/{group}/{job}/{run}/{file}", &service.get(output).await);
    for path in ["/healthz", "/readyz", "/openapi.json", "/metrics", "/login"] {
        described.holds("get", path, &service.get(path).await);
    }
    described.holds("post", "/api/logout", &service.send("POST", "/api/logout").await);
    described.holds("post", "/api/login", &service.send("POST", "/api/login").await);
    let wrong = service.request("POST", "/api/login").json(&json!({"key": "pxm_none"}));
    described.holds("post", "/api/login", &Answer::of(wrong).await);

    described.holds("post", "/api/upload", &service.post(images([("not.png", b"no picture".to_vec())])).await);
    let unknown = json!([{"type": "enlarge"}]);
    let refused = service.post(images([("a.png", plain_png(9, 9))]).text("operations", unknown.to_string())).await;
    assert_eq!(refused.status, 422);
    described.holds("post", "/api/upload", &refused);
    described.holds("get", "/api/task_status/{id}", &service.get("/api/task_status/none").await);
    described.holds("get", "/api/groups/{group}", &service.get(&format!("/api/groups/{group}?form=1")).await);
}

#[tokio::test]
async fn answers_to_keys_have_the_form_that_is_described() {
    let home = Home::sqlite().set("limits.requests_per_minute", "3");
    let service = home.serve_with(&["--no-workers"]);
    let described = Described::by(&service).await;
    let key = home.key(&["--name", "shop"]).await["key"].as_str().unwrap().to_owned();
    until("the service knows of keys", async || (service.get("/metrics").await.status == 401).then_some(())).await;
    let asked = |path: &str| Answer::of(service.request("GET", path).bearer_auth(&key));
    described.holds("get", "/api/jobs/{job}", &service.get("/api/jobs/x").await);
    for status in [404, 403, 404, 429] {
        let (path, described_path) =
            if status == 403 { ("/metrics", "/metrics") } else { ("/api/jobs/x", "/api/jobs/{job}") };
        let answer = asked(path).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        described.holds("get", described_path, &answer);
    }
    let login = service.request("POST", "/api/login").json(&json!({"key": key}));
    described.holds("post", "/api/login", &Answer::of(login).await);
}

/// A method that is there and not described would be missed by nobody who reads the description.
#[tokio::test]
async fn every_method_of_every_path_is_described() {
    let home = Home::sqlite();
    let service = home.serve_with(&["--no-workers"]);
    let described = Described::by(&service).await;
    for (path, methods) in described.document["paths"].as_object().unwrap() {
        let known: BTreeSet<String> = methods.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        let path = path.split('/').map(|part| if part.starts_with('{') { "1" } else { part }).collect::<Vec<_>>();
        let mut taken = BTreeSet::new();
        for method in METHODS {
            if service.send(method, &path.join("/")).await.status != 405 {
                taken.insert(method.to_owned());
            }
        }
        assert_eq!(taken, known, "{}", path.join("/"));
    }
}

#[tokio::test]
async fn description_is_one() {
    let home = Home::sqlite();
    let service = home.serve_with(&["--no-workers"]);
    let Described { document } = Described::by(&service).await;
    let mut ids = BTreeSet::new();
    let mut tell = |value: &Value| assert!(ids.insert(value.as_str().unwrap().to_owned()), "{value} is there twice");
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, described) in methods.as_object().unwrap() {
            tell(&described["operationId"]);
            let named: BTreeSet<&str> =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            let parameters = described["parameters"].as_array().into_iter().flatten();
            let parameters = parameters.map(|one| one["$ref"].as_str().map_or(one, |at| referred(&document, at)));
            let asked: BTreeSet<&str> =
                parameters.filter(|one| one["in"] == "path").map(|one| one["name"].as_str().unwrap()).collect();
            assert_eq!(named, asked, "{method} {path}");
        }
    }
    let mut references = Vec::new();
    collect(&document, &mut references);
    for reference in references {
        assert!(!referred(&document, &reference).is_null(), "{reference}");
    }
    jsonschema::meta::validate(&json!({"$defs": document["components"]["schemas"]})).unwrap();
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            references.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| collect(value, references));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}

fn referred<'a>(document: &'a Value, reference: &str) -> &'a Value {
    document.pointer(reference.strip_prefix('#').unwrap()).unwrap_or(&Value::Null)
}

struct Described {
    document: Value,
}

impl Described {
    async fn by(service: &Client) -> Self {
        let answer = service.get("/openapi.json").await;
        assert_eq!(answer.status, 200);
        Self { document: answer.json() }
    }

    fn holds(&self, method: &str, path: &str, answer: &Answer) {
        let what = format!("{method} {path}: {}", answer.status);
        let responses = &self.document["paths"][path][method]["responses"];
        let response = &responses[answer.status.to_string()];
        assert!(response.is_object(), "{what} is not described: {}", answer.text());
        let response = response["$ref"].as_str().map_or(response, |at| referred(&self.document, at));
        if answer.body.is_empty() {
            return assert!(response["content"].is_null(), "{what} has no content");
        }
        let media_type = answer.header("content-type").split(';').next().unwrap().to_owned();
        let content = &response["content"][&media_type];
        assert!(content.is_object(), "{what} as {media_type} is not described");
        let Some(schema) = content["schema"]["$ref"].as_str() else { return };
        // JSON Pointers into the document itself.
        let schema = json!({"$ref": schema, "components": self.document["components"]});
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let body = answer.json();
        let faults: Vec<String> =
            validator.iter_errors(&body).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
        assert!(faults.is_empty(), "{what}: {faults:#?} in {body:#}");
    }
}
