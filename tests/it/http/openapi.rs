//! The API's description, held against what a real service answers.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::cli::Desk;
use crate::support::client::{Answer, Client, id, images};
use crate::support::pictures::{photo, plain_png, truncated};
use crate::support::service::Home;
use crate::support::stream::Stream;
use crate::support::until;

/// Beside HEAD, which goes with GET, and OPTIONS, which goes with all.
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "DELETE", "PATCH", "TRACE"];

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
    for path in ["/api/jobs", "/api/groups", "/api/queues", "/api/workers", "/api/stats"] {
        described.holds("get", path, &service.get(path).await);
    }
    described.holds("get", "/api/jobs", &service.get("/api/jobs?state=lost").await);
    let stream = format!("/api/groups/{group}/events");
    described.holds("get", "/api/groups/{group}/events", &service.get(&stream).await);
    let session = until("the worker is listed", async || {
        Some(service.get("/api/workers").await.json()["workers"][0]["session"].as_str()?.to_owned())
    })
    .await;
    for (method, path, described_path) in [
        ("POST", "/api/queues/critical/pause".to_owned(), "/api/queues/{queue}/pause"),
        ("POST", "/api/queues/critical/resume".to_owned(), "/api/queues/{queue}/resume"),
        ("DELETE", "/api/queues/critical/jobs".to_owned(), "/api/queues/{queue}/jobs"),
        ("POST", format!("/api/workers/{session}/grow"), "/api/workers/{session}/grow"),
        ("POST", format!("/api/workers/{session}/shrink"), "/api/workers/{session}/shrink"),
        ("POST", "/api/workers/nobody/shutdown".to_owned(), "/api/workers/{session}/shutdown"),
    ] {
        described.holds(&method.to_lowercase(), described_path, &service.send(method, &path).await);
    }
    let run = json!({"prefix": "a/", "operations": "none"});
    let schedule = json!({"name": "nightly", "cron": "0 1 * * *", "zone": "Europe/Berlin", "run": {"prefix": "a/"}});
    for (method, path, described_path, body) in [
        ("POST", "/api/schedules", "/api/schedules", schedule.clone()),
        ("POST", "/api/schedules", "/api/schedules", schedule),
        ("POST", "/api/schedules", "/api/schedules", json!({"name": "x", "every": "1h", "run": run})),
        ("GET", "/api/schedules", "/api/schedules", json!({})),
        ("POST", "/api/schedules/preview", "/api/schedules/preview", json!({"every": "90s"})),
        ("POST", "/api/schedules/preview", "/api/schedules/preview", json!({"every": "soon"})),
        ("PUT", "/api/schedules/nightly", "/api/schedules/{name}", json!({"every": "1h", "run": {"prefix": "a/"}})),
        ("POST", "/api/schedules/nightly/pause", "/api/schedules/{name}/pause", json!({"note": "why"})),
        ("POST", "/api/schedules/nightly/resume", "/api/schedules/{name}/resume", json!({})),
        ("POST", "/api/schedules/nightly/run", "/api/schedules/{name}/run", json!({})),
        (
            "POST",
            "/api/schedules/nightly/backfill",
            "/api/schedules/{name}/backfill",
            json!({"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T03:00:00Z"}),
        ),
        ("POST", "/api/schedules/nightly/backfill", "/api/schedules/{name}/backfill", json!({"from": "then"})),
        ("GET", "/api/schedules/nightly", "/api/schedules/{name}", json!({})),
        ("GET", "/api/schedules/outbox.sweep", "/api/schedules/{name}", json!({})),
        ("DELETE", "/api/schedules/outbox.sweep", "/api/schedules/{name}", json!({})),
        ("DELETE", "/api/schedules/nightly", "/api/schedules/{name}", json!({})),
        ("GET", "/api/schedules/nightly", "/api/schedules/{name}", json!({})),
    ] {
        let answer = Answer::of(service.request(method, path).json(&body)).await;
        described.holds(&method.to_lowercase(), described_path, &answer);
    }
    let mut events = Stream::open(&service, "/api/events").await;
    described.fits("Stats", &events.next().await.unwrap().data);
    service.upload(images([("b.jpg", photo())])).await;
    described.fits("Event", &events.next().await.unwrap().data);
    let archive = format!("/api/groups/{group}/archive");
    described.holds("get", "/api/groups/{group}/archive", &service.get(&archive).await);
    described.holds("get", "/api/groups/{group}/archive", &service.get(&format!("{archive}?part=1")).await);
    let output = document["result"][0]["paths"][0].as_str().unwrap();
    described.holds("get", "/files/{group}/{job}/{run}/{file}", &service.get(output).await);
    let ask = async |body: Value| Answer::of(service.request("POST", "/api/groups").json(&body)).await;
    let options = json!({"then": {"on": "always", "operations": everything}, "retention": {"outputs": "1h"}});
    let again = ask(json!({"sources": [{"group": group}, {"key": "a"}], "options": options})).await;
    described.holds("post", "/api/groups", &again);
    service.finished(id(&again.json())).await;
    let status = service.get(again.json()["links"]["self"].as_str().unwrap()).await;
    described.holds("get", "/api/groups/{group}", &status);
    let follows = again.json()["links"]["then"].as_str().unwrap().to_owned();
    let follows = until("it has begun", async || {
        let answer = service.get(&follows).await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    described.holds("get", "/api/task_status/{id}", &follows);
    described.holds("post", "/api/groups", &ask(json!({"sources": [{"key": "a"}]})).await);
    described.holds("post", "/api/groups", &ask(json!({"source": []})).await);
    described.holds("get", "/api/presets", &service.get("/api/presets").await);
    for (name, value) in [("Range", "bytes=0-9"), ("Range", "bytes=999999999-"), ("If-Match", "\"x\"")] {
        let answer = Answer::of(service.request("GET", output).header(name, value)).await;
        assert_ne!(answer.status, 200);
        described.holds("get", "/files/{group}/{job}/{run}/{file}", &answer);
    }
    let erased = service.send("DELETE", &format!("/api/groups/{group}?files=true")).await;
    described.holds("delete", "/api/groups/{group}", &erased);
    described.holds("get", "/files/{group}/{job}/{run}/{file}", &service.get(output).await);
    described.holds("get", "/api/groups/{group}/archive", &service.get(&archive).await);
    for path in ["/healthz", "/readyz", "/openapi.json", "/metrics", "/docs", "/problems", "/login", "/"] {
        described.holds("get", path, &service.get(path).await);
    }
    for path in ["/".to_owned(), format!("/groups/{group}"), "/groups/none".into()] {
        let page = Answer::of(service.request("GET", &path).header("Accept", "text/html")).await;
        described.holds("get", if path == "/" { "/" } else { "/groups/{group}" }, &page);
    }
    described.holds("get", "/groups/{group}", &service.get("/groups/none").await);
    described.holds("get", "/problems/{code}", &service.get("/problems/too-large").await);
    described.holds("get", "/problems/{code}", &service.get("/problems/none").await);
    described.holds("post", "/api/logout", &service.send("POST", "/api/logout").await);
    described.holds("post", "/api/login", &service.send("POST", "/api/login").await);
    let wrong = service.request("POST", "/api/login").json(&json!({"key": "pxm_none"}));
    described.holds("post", "/api/login", &Answer::of(wrong).await);

    described.holds("post", "/api/upload", &service.post(images([("not.png", b"no picture".to_vec())])).await);
    for (accept, bytes) in
        [("text/html", b"no picture".to_vec()), ("*/*", b"no picture".to_vec()), ("*/*", plain_png(9, 9))]
    {
        let form = images([("not.png", bytes)]);
        let request = service.request("POST", "/upload").header("Accept", accept).multipart(form);
        let answer = Answer::of(request).await;
        // The client of the tests goes on to where it is led.
        let (method, path) = if answer.status == 200 { ("get", "/groups/{group}") } else { ("post", "/upload") };
        described.holds(method, path, &answer);
    }
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
            // The head alone: a stream's body does not end.
            if service.request(method, &path.join("/")).send().await.unwrap().status() != 405 {
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

#[tokio::test]
async fn examples_are_what_they_are_examples_of() {
    let home = Home::sqlite();
    let service = home.serve_with(&["--no-workers"]);
    let Described { document } = Described::by(&service).await;
    let mut held = 0;
    let mut places = vec![&document];
    while let Some(place) = places.pop() {
        if let (Some(example), schema @ Value::Object(_)) = (place.get("example"), &place["schema"]) {
            let mut schema = schema.clone();
            // JSON Pointers into the document itself.
            schema["components"] = document["components"].clone();
            let validator = jsonschema::draft202012::new(&schema).unwrap();
            let faults: Vec<String> = validator.iter_errors(example).map(|fault| fault.to_string()).collect();
            assert!(faults.is_empty(), "{faults:#?} in {example:#}");
            held += 1;
        }
        match place {
            Value::Object(fields) => places.extend(fields.values()),
            Value::Array(items) => places.extend(items),
            _ => {}
        }
    }
    assert!(held >= 10, "only {held} examples");
    // Their codes are real, too.
    for response in document["components"]["responses"].as_object().unwrap().values() {
        let example = &response["content"]["application/problem+json"]["example"];
        if let Some(address) = example["type"].as_str() {
            let code = service.get(address).await.json();
            assert!(code["statuses"].as_array().unwrap().contains(&example["status"]), "{example}");
        }
    }
}

/// Neither a field too many nor one too few, in the description and in the README.
#[tokio::test]
async fn examples_have_the_fields_that_are_really_sent() {
    let home = Home::sqlite();
    let service = home.serve();
    let Described { document } = Described::by(&service).await;
    let pictures = [("a.jpg", photo()), ("not.png", b"no picture".to_vec()), ("cut.jpg", truncated())];
    let resize = json!([{"type": "resize", "width": 80}]);
    let taken = service.post(images(pictures).text("operations", resize.to_string())).await.json();
    let group = id(&taken).to_owned();
    let completed = service.finished(&group).await;
    let (idle, one) = (Home::sqlite(), [("b.jpg", photo())]);
    let idle_service = idle.serve_with(&["--no-workers"]);
    let waiting = idle_service.upload(images(one)).await;
    let cancelled = idle_service.send("DELETE", &format!("/api/groups/{}", id(&waiting))).await.json();
    let refused = service.get("/api/task_status/none").await.problem();
    let example = |method: &str, path: &str, status: &str| {
        document["paths"][path][method]["responses"][status]["content"]["application/json"]["example"].clone()
    };
    for (what, example, real) in [
        ("upload", example("post", "/api/upload", "202"), &taken),
        ("retry", example("post", "/api/groups/{group}/retry", "202"), &taken),
        ("task_status", example("get", "/api/task_status/{id}", "200"), &completed),
        ("group", example("get", "/api/groups/{group}", "200"), &completed),
        ("cancel", example("delete", "/api/groups/{group}", "200"), &cancelled),
        (
            "404",
            document["components"]["responses"]["404"]["content"]["application/problem+json"]["example"].clone(),
            &refused,
        ),
    ] {
        same_fields(what, &[&example], &[real]);
    }
    let readme = include_str!("../../../README.md");
    let blocks = readme.split("\n```json\n").skip(1).map(|block| block.split("\n```").next().unwrap());
    let blocks: Vec<Value> = blocks.take(2).map(|block| serde_json::from_str(block).unwrap()).collect();
    same_fields("README: upload", &[&blocks[0]], &[&taken]);
    // That one has no picture that failed.
    let mut completed = completed.clone();
    completed["result"].as_array_mut().unwrap().retain(|picture| picture["success"] == true);
    same_fields("README: status", &[&blocks[1]], &[&completed]);
}

/// The same fields in two sets of values, and below them; lists where both have something in them.
fn same_fields(what: &str, some: &[&Value], others: &[&Value]) {
    let fields = |values: &[&Value]| -> BTreeSet<String> {
        values.iter().filter_map(|value| value.as_object()).flat_map(|fields| fields.keys().cloned()).collect()
    };
    let names = fields(others);
    if some.iter().any(|value| value.is_object()) && !names.is_empty() {
        assert_eq!(fields(some), names, "{what}");
    }
    for name in names {
        let below = |values: &[&Value]| -> Vec<Value> {
            values
                .iter()
                .flat_map(|value| match &value[&name] {
                    Value::Array(items) => items.clone(),
                    other => vec![other.clone()],
                })
                .collect()
        };
        let (some, others) = (below(some), below(others));
        same_fields(&format!("{what}.{name}"), &some.iter().collect::<Vec<_>>(), &others.iter().collect::<Vec<_>>());
    }
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
        if media_type.starts_with("image/") && answer.status == 206 {
            return;
        }
        let content = &response["content"][&media_type];
        assert!(content.is_object(), "{what} as {media_type} is not described");
        let Some(schema) = content["schema"]["$ref"].as_str() else { return };
        self.valid(schema, &answer.json(), &what);
    }

    fn fits(&self, schema: &str, document: &Value) {
        self.valid(&format!("#/components/schemas/{schema}"), document, schema);
    }

    fn valid(&self, reference: &str, body: &Value, what: &str) {
        // JSON Pointers into the document itself.
        let schema = json!({"$ref": reference, "components": self.document["components"]});
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let faults: Vec<String> =
            validator.iter_errors(body).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
        assert!(faults.is_empty(), "{what}: {faults:#?} in {body:#}");
    }
}
