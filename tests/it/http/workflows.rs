//! Workflows over HTTP: steps in their order, references, fan-outs, failures, cancels, retries, and what survives.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{Answer, Client, id, images};
use crate::support::origin::{Origin, Reply};
use crate::support::pictures::plain_png;
use crate::support::redis::RedisServer;
use crate::support::service::{Home, Service};
use crate::support::{until, until_within};

fn calling(home: Home, origin: &Origin) -> Home {
    home.set("calls.urls", &format!("127.0.0.1:{}", origin.port()))
        .set("calls.allow_private", "127.0.0.1/32")
        .set("queue.backoff_base", "10ms")
        .set("queue.backoff_cap", "20ms")
        .set("retention.outbox_age", "1s")
}

fn answer(body: &Value) -> Reply {
    Reply::Whole(200, vec!["Content-Type: application/json".into()], body.to_string().into_bytes())
}

/// A shop's servers.
async fn shop() -> Origin {
    Origin::start(|path, _| match path {
        "/charges" => answer(&json!({"payment_id": "p-1"})),
        "/broken" => Reply::status(422),
        "/slow" => Reply::Silent,
        path => answer(&json!({"path": path})),
    })
    .await
}

async fn submit(client: &Client, document: &Value) -> String {
    let answer = Answer::of(client.request("POST", "/api/workflows").json(document)).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let body = answer.json();
    let id = body["workflow_id"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), format!("/api/workflows/{id}"));
    id
}

async fn status(client: &Client, id: &str) -> Value {
    let answer = client.get(&format!("/api/workflows/{id}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

async fn finished(service: &Service, id: &str) -> Value {
    let is_over = async || {
        let status = status(service, id).await;
        (status["status"] != "processing").then_some(status)
    };
    until_within(Duration::from_mins(2), "the workflow has ended", is_over).await
}

fn states(status: &Value) -> Vec<(&str, &str)> {
    let steps = status["steps"].as_object().unwrap();
    steps.iter().map(|(name, step)| (name.as_str(), step["state"].as_str().unwrap())).collect()
}

/// What the origin got under a path, in order.
fn sent(origin: &Origin, path: &str) -> Vec<Value> {
    let pairs = origin.heads().into_iter().zip(origin.bodies());
    let at_path = pairs.filter(|(head, _)| head.starts_with(&format!("POST {path} ")));
    at_path.map(|(_, body)| serde_json::from_slice(&body).unwrap_or_default()).collect()
}

#[tokio::test]
async fn steps_run_in_their_order_and_take_what_earlier_ones_answered() {
    for home in [Home::sqlite(), Home::redis()] {
        let origin = shop().await;
        let home = calling(home, &origin);
        let service = home.serve();
        let uploaded = service.done(images([("a.png", plain_png(40, 30)), ("b.png", plain_png(9, 9))])).await;
        let document = json!({
            "name": "order", "input": {"order_id": "A-17", "pictures": [{"group": id(&uploaded)}]},
            "labels": {"order": "A-17"},
            "steps": {
                "tell": {"kind": "http.call", "after": ["photos", "payment"], "url": origin.url("/mail"), "json": {
                    "made": {"$ref": "/steps/photos/counts/succeeded"}, "first": {"$ref": "/steps/photos/results/0/image"},
                    "payment": {"$ref": "/steps/payment/result/payment_id"}}},
                "photos": {"kind": "image.process", "sources": {"$ref": "/input/pictures"},
                    "operations": [{"type": "resize", "width": 4}]},
                "payment": {"kind": "http.call", "url": origin.url("/charges"), "json": {"order": {"$ref": "/input/order_id"}}},
                "refund": {"kind": "http.call", "after": ["payment"], "on": "failure", "url": origin.url("/refunds")},
            },
        });

        let workflow = submit(&service, &document).await;
        let done = finished(&service, &workflow).await;

        assert_eq!((&done["status"], &done["name"]), (&json!("completed"), &json!("order")), "{done}");
        let mut seen = states(&done);
        seen.sort_unstable();
        let expected =
            [("payment", "succeeded"), ("photos", "succeeded"), ("refund", "skipped"), ("tell", "succeeded")];
        assert_eq!(seen, expected, "{done}");
        assert_eq!(done["steps"]["refund"]["reason"], "nothing before it has failed");
        assert_eq!((&done["steps"]["photos"]["total"], &done["steps"]["photos"]["succeeded"]), (&json!(2), &json!(2)));
        assert_eq!(sent(&origin, "/charges"), [json!({"order": "A-17"})]);
        assert_eq!(sent(&origin, "/mail"), [json!({"made": 2, "first": "a.png", "payment": "p-1"})]);
        assert!(sent(&origin, "/refunds").is_empty());
        let photos = service.status(done["steps"]["photos"]["task_id"].as_str().unwrap()).await;
        assert_eq!((&photos["succeeded"], &photos["labels"]["order"]), (&json!(2), &json!("A-17")), "{photos}");
        for query in ["", "?status=completed", "?label=order:A-17"] {
            let listed = service.get(&format!("/api/workflows{query}")).await.json();
            assert_eq!(listed["workflows"][0]["workflow_id"], workflow, "{query}: {listed}");
        }
        for query in ["?status=failed", "?label=order:A-18"] {
            let listed = service.get(&format!("/api/workflows{query}")).await.json();
            assert_eq!(listed["workflows"], json!([]), "{query}");
        }
        // Its own group is not among the groups that people submit.
        let groups = service.get("/api/groups").await.json();
        assert!(groups["groups"].as_array().unwrap().iter().all(|group| group["task_id"] != workflow), "{groups}");
    }
}

#[tokio::test]
async fn failure_is_told_with_its_cause_and_answered_by_its_step() {
    let origin = shop().await;
    let home = calling(Home::sqlite(), &origin);
    let service = home.serve();
    let document = |answered: bool| {
        let mut steps = json!({
            "payment": {"kind": "http.call", "url": origin.url("/charges")},
            "stock": {"kind": "http.call", "after": ["payment"], "url": origin.url("/broken")},
            "ship": {"kind": "http.call", "after": ["stock"], "url": origin.url("/ship")},
            "log": {"kind": "http.call", "after": ["ship"], "on": "always", "url": origin.url("/log")},
        });
        if answered {
            steps["refund"] = json!({"kind": "http.call", "after": ["stock"], "on": "failure", "url": origin.url("/refunds"),
                "json": {"payment": {"$ref": "/steps/payment/result/payment_id"}}});
        }
        json!({"steps": steps})
    };

    let done = finished(&service, &submit(&service, &document(true)).await).await;

    assert_eq!(done["status"], "completed", "the failure was answered: {done}");
    let stock = &done["steps"]["stock"];
    assert_eq!((&stock["state"], &stock["failed"]), (&json!("failed"), &json!(1)), "{stock}");
    assert!(stock["error"]["detail"].as_str().unwrap().contains("422"), "{stock}");
    assert_eq!(done["steps"]["ship"]["reason"], "`stock` has not succeeded");
    assert_eq!(done["steps"]["log"]["state"], "succeeded");
    assert_eq!(sent(&origin, "/refunds"), [json!({"payment": "p-1"})]);
    assert!(sent(&origin, "/ship").is_empty());

    let failed = submit(&service, &document(false)).await;
    let done = finished(&service, &failed).await;
    assert_eq!(done["status"], "failed", "{done}");
    let retried = service.send("POST", &format!("/api/workflows/{failed}/retry")).await;
    assert_eq!(retried.status, 202, "{}", retried.text());
    let charged = sent(&origin, "/charges").len();
    let again = finished(&service, retried.json()["workflow_id"].as_str().unwrap()).await;
    assert_eq!((&again["retry_of"], &again["status"]), (&json!(failed), &json!("failed")), "{again}");
    assert_eq!(again["steps"]["payment"]["state"], "succeeded");
    assert_eq!(sent(&origin, "/charges").len(), charged, "what has succeeded is not done again");
}

#[tokio::test]
async fn fan_out_makes_a_job_for_each_item_and_an_empty_one_ends_at_once() {
    let origin = shop().await;
    let home = calling(Home::redis(), &origin);
    let service = home.serve();
    let document = json!({
        "input": {"ids": [1, 2, 3, 4, 5], "none": []},
        "steps": {
            "each": {"kind": "http.call", "each": {"$ref": "/input/ids"}, "url": origin.url("/item"),
                "json": {"id": {"$ref": "/item"}}},
            "chunks": {"kind": "http.call", "each": {"$ref": "/input/ids"}, "chunk_size": 2, "url": origin.url("/chunk"),
                "json": {"$ref": "/items"}},
            "shards": {"kind": "http.call", "shards": 3, "url": origin.url("/shard"),
                "json": [{"$ref": "/shard"}, {"$ref": "/shards"}]},
            "none": {"kind": "http.call", "each": {"$ref": "/input/none"}, "url": origin.url("/none")},
            "after": {"kind": "http.call", "after": ["none", "each", "chunks", "shards"], "url": origin.url("/after"),
                "json": {"none": {"$ref": "/steps/none/counts/succeeded"}, "second": {"$ref": "/steps/each/results/1/path"}}},
        },
    });

    let done = finished(&service, &submit(&service, &document).await).await;

    assert_eq!(done["status"], "completed", "{done}");
    let sorted = |path: &str| {
        let mut all: Vec<String> = sent(&origin, path).iter().map(Value::to_string).collect();
        all.sort_unstable();
        all
    };
    assert_eq!(sorted("/item"), (1..=5).map(|id| format!("{{\"id\":{id}}}")).collect::<Vec<_>>());
    assert_eq!(sorted("/chunk"), ["[1,2]", "[3,4]", "[5]"]);
    assert_eq!(sorted("/shard"), ["[0,3]", "[1,3]", "[2,3]"]);
    assert!(sent(&origin, "/none").is_empty());
    assert_eq!(sent(&origin, "/after"), [json!({"none": 0, "second": "/item"})]);
}

#[tokio::test]
async fn cancelled_workflow_begins_nothing_more() {
    for home in [Home::sqlite(), Home::redis()] {
        let origin = shop().await;
        let home = calling(home, &origin);
        let service = home.serve();
        let document = json!({"steps": {
            "slow": {"kind": "http.call", "url": origin.url("/slow")},
            "next": {"kind": "http.call", "after": ["slow"], "on": "always", "url": origin.url("/next")},
        }});
        let workflow = submit(&service, &document).await;
        until("the call is on its way", async || (!origin.heads().is_empty()).then_some(())).await;

        let answer = service.send("DELETE", &format!("/api/workflows/{workflow}")).await;

        assert_eq!(answer.status, 200, "{}", answer.text());
        let done = finished(&service, &workflow).await;
        assert_eq!(
            (&done["status"], &done["steps"]["next"]["state"]),
            (&json!("cancelled"), &json!("cancelled")),
            "{done}"
        );
        assert!(sent(&origin, "/next").is_empty());
        let again = service.send("DELETE", &format!("/api/workflows/{workflow}")).await;
        assert_eq!((again.status, &again.json()["status"]), (200, &json!("cancelled")));
    }
}

/// kill -9 in the middle of a step, and a flushed Redis: each call is made, and what has succeeded is not done again.
#[tokio::test]
async fn acknowledged_workflow_survives_kills_and_a_flushed_redis() {
    let redis = RedisServer::start(&[]);
    for flushed in [None, Some(&redis)] {
        let home = flushed.map_or_else(Home::sqlite, |redis| Home::on(&redis.url()));
        let origin = Origin::start(|path, before| match path {
            // The first answer never comes: its service is killed meanwhile.
            "/second" if before == 0 => Reply::Silent,
            path => answer(&json!({"path": path})),
        })
        .await;
        let home = calling(home, &origin).set("queue.lease", "3s").set("queue.beat", "500ms");
        let mut service = home.serve();
        let document = json!({"steps": {
            "first": {"kind": "http.call", "url": origin.url("/first")},
            "second": {"kind": "http.call", "after": ["first"], "url": origin.url("/second")},
            "third": {"kind": "http.call", "after": ["second"], "url": origin.url("/third"),
                "json": {"$ref": "/steps/first/result/path"}},
        }});
        let workflow = submit(&service, &document).await;
        until("the second call is on its way", async || (sent(&origin, "/second").len() == 1).then_some(())).await;

        service.process.signal(rustix::process::Signal::KILL);
        if let Some(redis) = flushed {
            redis.order("FLUSHALL").await;
        }
        service = home.serve();

        let done = finished(&service, &workflow).await;
        assert_eq!(done["status"], "completed", "{done}");
        assert_eq!(sent(&origin, "/first").len(), 1, "it had succeeded");
        assert_eq!(sent(&origin, "/third"), [json!("/first")]);
        let keys = origin.heads().into_iter().filter(|head| head.starts_with("POST /second ")).map(|head| {
            head.lines()
                .find_map(|line| line.to_lowercase().strip_prefix("idempotency-key: ").map(str::to_owned))
                .unwrap()
        });
        let keys: std::collections::HashSet<String> = keys.collect();
        assert_eq!(keys.len(), 1, "each try has the same key");
    }
}

#[tokio::test]
async fn wrong_workflows_are_refused_by_step_and_field() {
    let origin = shop().await;
    let home = calling(Home::sqlite(), &origin);
    let service = home.serve();
    let call = |more: Value| {
        let mut step = json!({"kind": "http.call", "url": origin.url("/x")});
        step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        step
    };
    for (document, said) in [
        (json!({"steps": {}}), "steps: 0 are not 1 to 32"),
        (json!({"steps": {"a": call(json!({"after": ["b"]})), "b": call(json!({"after": ["a"]}))}}), "a"),
        (json!({"steps": {"a": call(json!({"after": ["gone"]}))}}), "gone"),
        (json!({"steps": {"a": call(json!({"json": {"$ref": "/input/none"}}))}}), "steps.a.json"),
        (json!({"steps": {"a": {"kind": "http.call", "url": "http://10.0.0.1/"}}}), "steps.a.url"),
        (json!({"steps": {"a": {"kind": "notify"}}}), "steps.a.kind"),
        (json!({"steps": {"a": call(json!({"concurrency": {"key": "k", "limit": 1}}))}}), "steps.a.concurrency"),
        (json!({"workflow": "unknown"}), "unknown"),
    ] {
        let answer = Answer::of(service.request("POST", "/api/workflows").json(&document)).await;
        assert!(answer.status == 422 && answer.text().contains(said), "{said}: {} {}", answer.status, answer.text());
    }
    assert_eq!(service.get("/api/workflows").await.json()["workflows"], json!([]), "nothing is left");
    assert_eq!(service.get("/api/workflows/01980b54-0000-7000-8000-000000000000").await.status, 404);
    assert_eq!(service.get("/api/workflows/no-id").await.status, 404);
    let document = json!({"steps": {"a": call(json!({}))}});
    let post = async || {
        Answer::of(service.request("POST", "/api/workflows").header("Idempotency-Key", "k").json(&document))
            .await
            .json()
    };
    assert_eq!(post().await, post().await, "the same key, the same workflow");
    let other = service
        .request("POST", "/api/workflows")
        .header("Idempotency-Key", "k")
        .json(&json!({"steps": {"b": call(json!({}))}}));
    assert_eq!(Answer::of(other).await.status, 422);
}
