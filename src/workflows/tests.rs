//! Documents: what is taken, what is refused and by which words, and what their steps become.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::drawing;
use super::reference::{Part, Scope};
use super::{Document, Fan, Operations, Refusal, Settings, Templates, Work, group_of};
use crate::config::{Config, Presets};

/// Of a service that fetches and calls some servers.
fn settings() -> Settings {
    let hosts = ["photos.example", "pay.example"].map(|host| toml::Value::from(vec![host]));
    let [sources, calls] = hosts;
    let config = Config::load(None, vec![("sources.urls", sources), ("calls.urls", calls)]).unwrap();
    let limits = config.limits.imaging();
    let card = imaging::operation::parse(r#"[{"type": "resize", "width": 80}]"#, &limits).unwrap();
    Settings {
        queues: config.queue.names.clone(),
        retention: config.retention.clone(),
        presets: Presets::from([("card".to_owned(), card)]),
        limits,
        max_files: 3,
        sources: config.sources.guard().unwrap(),
        calls: config.calls.guard().unwrap(),
        timeout: Duration::from_secs(30),
    }
}

fn parse_with(value: &Value, templates: &BTreeMap<String, Value>) -> Result<Document, Refusal> {
    let settings = settings();
    let templates = Templates::parse(templates, settings.rules()).map_err(|detail| ("template", detail))?;
    Document::parse(value, &templates, settings.rules())
}

fn parse(value: &Value) -> Result<Document, Refusal> {
    parse_with(value, &BTreeMap::new())
}

fn order() -> Value {
    json!({
        "name": "order", "input": {"order_id": "A-17", "photos": ["https://photos.example/1.jpg"]},
        "labels": {"order": "A-17"},
        "steps": {
            "photos": {"kind": "image.process", "sources": {"$ref": "/input/photos"}, "operations": "card"},
            "tell": {
                "kind": "http.call", "after": ["photos", "inventory"], "url": "https://pay.example/mail",
                "json": {"done": {"$ref": "/steps/photos/counts/succeeded"}, "all": {"$ref": "/steps/photos/results"}}
            },
            "payment": {
                "kind": "http.call", "url": "https://pay.example/charges", "json": {"order": {"$ref": "/input/order_id"}},
                "concurrency": {"key": "order:A-17", "limit": 1}
            },
            "inventory": {
                "kind": "http.call", "after": ["payment"], "url": "https://pay.example/stock",
                "json": {"payment": {"$ref": "/steps/payment/result/payment_id"}}
            },
            "refund": {
                "kind": "http.call", "after": ["inventory"], "on": "failure", "url": "https://pay.example/refund",
                "json": {"payment": {"$ref": "/steps/payment/result/payment_id"}}
            }
        }
    })
}

#[test]
fn order_is_parsed_with_its_steps_behind_those_that_they_come_after() {
    let document = parse(&order()).unwrap();
    let names: Vec<&str> = document.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["photos", "payment", "inventory", "tell", "refund"]);
    let photos = document.step("photos").unwrap();
    let Work::Pictures { operations: Operations::Known(operations), .. } = &photos.work else { panic!("{photos:?}") };
    assert_eq!((operations.len(), &photos.fan), (1, &Fan::Sources));
    assert_eq!(document.step("inventory").unwrap().needs(), [("payment".to_owned(), Part::Result)]);
    let stored = serde_json::to_string(&document).unwrap();
    assert_eq!(serde_json::from_str::<Document>(&stored).unwrap(), document, "{stored}");
}

#[test]
fn call_takes_its_values_from_the_input_and_from_earlier_steps() {
    let document = parse(&order()).unwrap();
    let steps = json!({"payment": {"result": {"payment_id": "p-1"}}});
    let scope = Scope { input: Some(&document.input), steps: steps.as_object(), ..Scope::default() };
    let calls = document.step("payment").unwrap().calls(&scope).unwrap();
    let (call, limit) = &calls[0];
    assert_eq!((calls.len(), call.json.clone()), (1, Some(json!({"order": "A-17"}))));
    let limit = limit.as_ref().unwrap();
    assert_eq!((limit.key.as_str(), limit.most), ("order:A-17", 1));
    let calls = document.step("refund").unwrap().calls(&scope).unwrap();
    assert_eq!(calls[0].0.json, Some(json!({"payment": "p-1"})));
    let nothing = Scope { input: Some(&document.input), ..Scope::default() };
    assert_eq!(
        document.step("refund").unwrap().calls(&nothing).unwrap_err(),
        "json: the reference `/steps/payment/result/payment_id` leads to nothing"
    );
    assert_eq!(document.step("photos").unwrap().calls(&scope), Ok(Vec::new()));
}

/// The order with one step changed.
fn with(step: &str, fields: &Value) -> Value {
    let mut document = order();
    let whole = document["steps"].as_object_mut().unwrap();
    let own = whole.entry(step).or_insert_with(|| json!({"kind": "http.call", "url": "https://pay.example/"}));
    own.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    document
}

#[test]
fn fan_outs_make_a_call_for_each_item_chunk_or_shard() {
    let body = |fields: &Value| {
        let document = parse(&with("many", fields)).unwrap();
        let scope = Scope { input: Some(&document.input), ..Scope::default() };
        let calls = document.step("many").unwrap().calls(&scope).unwrap();
        calls.into_iter().map(|(call, _)| call.json.unwrap()).collect::<Vec<_>>()
    };
    let each = json!({"each": [{"n": 1}, {"n": 2}, {"n": 3}], "json": {"$ref": "/item/n"}});
    assert_eq!(body(&each), [json!(1), json!(2), json!(3)]);
    let chunks = json!({"each": [1, 2, 3, 4, 5], "chunk_size": 2, "json": {"$ref": "/items"}});
    assert_eq!(body(&chunks), [json!([1, 2]), json!([3, 4]), json!([5])]);
    let shards = json!({"shards": 2, "json": [{"$ref": "/shard"}, {"$ref": "/shards"}]});
    assert_eq!(body(&shards), [json!([0, 2]), json!([1, 2])]);
    let of_input = json!({"each": {"$ref": "/input/photos"}, "json": {"$ref": "/item"}});
    assert_eq!(body(&of_input), [json!("https://photos.example/1.jpg")]);
    assert_eq!(body(&json!({"each": [], "json": 1})), Vec::<Value>::new());
}

#[test]
fn pictures_are_taken_from_earlier_steps_and_checked_when_they_are_known() {
    let step = json!({
        "kind": "image.process", "after": ["payment"],
        "sources": ["https://photos.example/2.jpg", {"url": {"$ref": "/steps/payment/result/url"}, "name": "a.jpg"}],
        "operations": [{"type": "resize", "width": {"$ref": "/steps/payment/result/width"}}]
    });
    let mut whole = order();
    whole["steps"]["late"] = step;
    let document = parse(&whole).unwrap();
    let steps = json!({"payment": {"result": {"url": "https://photos.example/3.jpg", "width": 90}}});
    let scope = Scope { input: Some(&document.input), steps: steps.as_object(), ..Scope::default() };
    let settings = settings();
    let rules = settings.rules();
    let late = document.step("late").unwrap();
    let (wanted, asked) = late.pictures(&scope, rules).unwrap().unwrap();
    assert_eq!((wanted.len(), asked.operations.len()), (2, 1));
    let wide = json!({"payment": {"result": {"url": "https://photos.example/3.jpg", "width": 0}}});
    let (code, detail) = late.pictures(&Scope { steps: wide.as_object(), ..scope }, rules).unwrap_err();
    assert!(code == "invalid-operation" && detail.contains("width"), "{detail}");
}

#[test]
fn faults_name_the_step_the_field_the_value_and_the_limit() {
    let many: Map<String, Value> =
        (0..33).map(|n| (format!("s{n}"), json!({"kind": "http.call", "url": "https://pay.example/"}))).collect();
    let labels: Map<String, Value> = (0..17).map(|n| (format!("l{n}"), json!("x"))).collect();
    let whole = |name: &str, value: Value| {
        let mut document = order();
        document[name] = value;
        document
    };
    for (document, said) in [
        (json!([]), "the workflow: [] is not an object"),
        (json!({}), "steps: is missing"),
        (whole("steps", json!({})), "steps: 0 are not 1 to 32"),
        (whole("steps", Value::Object(many)), "steps: 33 are not 1 to 32"),
        (whole("step", json!({})), "the workflow: unknown field `step`; known: name, input, labels, steps"),
        (whole("name", json!("a\nb")), "name: `a\\nb` has not 1 to 128 characters"),
        (whole("input", json!([1])), "input: [1] is not an object"),
        (whole("labels", Value::Object(labels)), "labels: 17 are more than 16"),
        (whole("labels", json!({"a b": "x"})), "labels: `a b` is not a name"),
        (whole("labels", json!({"a": 1})), "labels.a: 1 is not a text of 1 to 128"),
        (with("1st", &json!({})), "steps: `1st` is not a name of 1 to 64"),
        (with("a b", &json!({})), "steps: `a b` is not a name of 1 to 64"),
        (
            with("x", &json!({"kind": "notify"})),
            "steps.x.kind: steps of the kind `notify` come later; known: image.process, http.call",
        ),
        (with("x", &json!({"kind": "report"})), "steps.x.kind: steps of the kind `report` come later"),
        (with("x", &json!({"kind": "event"})), "steps.x.kind: steps of the kind `event` come later"),
        (
            with("x", &json!({"kind": "http.cal"})),
            "steps.x.kind: unknown kind `http.cal`; known: image.process, http.call",
        ),
        (with("x", &json!({"kind": 1})), "steps.x.kind: 1 is not a text"),
        (
            with("x", &json!({"sources": []})),
            "steps.x: unknown field `sources`; known: kind, after, on, options, concurrency, method",
        ),
        (
            with("photos", &json!({"shards": 2})),
            "steps.photos: unknown field `shards`; known: kind, after, on, options, concurrency, sources",
        ),
        (with("x", &json!({"on": "never"})), "steps.x.on: `never` is not one of success, failure, always"),
        (with("x", &json!({"after": "payment"})), "steps.x.after: `payment`: "),
        (
            with("x", &json!({"after": ["none"]})),
            "steps.x.after: there is no step `none`; others are: photos, tell, payment",
        ),
        (with("x", &json!({"after": ["x"]})), "steps: there is a cycle, in which each step comes after itself: x → x"),
        (
            with("payment", &json!({"after": ["refund"]})),
            "steps: there is a cycle, in which each step comes after itself: payment → inventory → refund → payment",
        ),
        (with("x", &json!({"method": "HEAD"})), "steps.x.method: `HEAD` is not one of GET, POST, PUT, PATCH, DELETE"),
        (with("x", &json!({"url": 1})), "steps.x.url: 1 is not a text"),
        (with("x", &json!({"url": "pay"})), "steps.x.url: `pay` is not a URL: "),
        (with("x", &json!({"url": null})), "steps.x.url: is missing"),
        (with("x", &json!({"timeout": "31s"})), "steps.x.timeout: 31s is zero or exceeds calls.timeout (30s)"),
        (with("x", &json!({"timeout": "0s"})), "steps.x.timeout: 0s is zero or exceeds"),
        (with("x", &json!({"timeout": 5})), "steps.x.timeout: 5: "),
        (with("x", &json!({"headers": {"Host": "a"}})), "steps.x.headers.Host: pixmill sets this header"),
        (
            with("x", &json!({"headers": {"Webhook-Id": {"$ref": "/input/order_id"}}})),
            "steps.x.headers.Webhook-Id: pixmill sets",
        ),
        (with("x", &json!({"headers": {"a": 1}})), "steps.x.headers.a: its value is not a text"),
        (with("x", &json!({"headers": []})), "steps.x.headers: [] is not an object"),
        (with("x", &json!({"method": "GET", "json": 1})), "steps.x.json: a call with the method GET has no body"),
        (with("x", &json!({"each": 1})), "steps.x.each: 1 is not a list"),
        (with("x", &json!({"each": vec![0; 10_001]})), "steps.x.each: 10001 items are more than 10000"),
        (with("x", &json!({"each": [], "shards": 2})), "steps.x.shards: `each` is there, too"),
        (with("x", &json!({"shards": 1_001})), "steps.x.shards: 1001 is not a whole number from 1 to 1000"),
        (
            with("x", &json!({"each": [], "chunk_size": 0})),
            "steps.x.chunk_size: 0 is not a whole number from 1 to 1000",
        ),
        (with("x", &json!({"chunk_size": 2})), "steps.x.chunk_size: there is no `each`"),
        (with("x", &json!({"concurrency": {"key": "k"}})), "steps.x.concurrency.limit: is missing"),
        (
            with("x", &json!({"concurrency": {"key": "", "limit": 1}})),
            "steps.x.concurrency.key: `` has not 1 to 128 characters",
        ),
        (
            with("x", &json!({"concurrency": {"key": "k", "limit": 0}})),
            "steps.x.concurrency.limit: 0 is not a whole number from 1 to 10000",
        ),
        (
            with("x", &json!({"json": {"a": {"$ref": "/input/none"}}})),
            "steps.x.json.a: `/input/none` is not in `input`",
        ),
        (
            with("x", &json!({"json": {"$ref": "/item"}})),
            "steps.x.json: `/item` is for the fields of a step with `each`",
        ),
        (with("x", &json!({"each": [{"$ref": "/item"}]})), "steps.x.each[0]: `/item` is for the fields"),
        (with("x", &json!({"each": [1], "json": {"$ref": "/items"}})), "steps.x.json: `/items` is for"),
        (with("x", &json!({"each": [1], "chunk_size": 1, "json": {"$ref": "/item"}})), "steps.x.json: `/item` is for"),
        (with("x", &json!({"each": [1], "json": {"$ref": "/shard"}})), "steps.x.json: `/shard` and `/shards` are for"),
        (with("x", &json!({"json": {"$ref": "/steps/none/result"}})), "steps.x.json: there is no step `none`"),
        (
            with("x", &json!({"json": {"$ref": "/steps/payment/result"}})),
            "steps.x.json: `x` does not come after `payment`",
        ),
        (with("x", &json!({"json": {"$ref": "/steps/x/result"}})), "steps.x.json: `x` does not come after `x`"),
        (
            with("tell", &json!({"json": {"$ref": "/steps/photos/result"}})),
            "steps.tell.json: `/steps/photos/result` is of a step that is one job",
        ),
        (
            with("tell", &json!({"json": {"$ref": "/steps/payment/results"}})),
            "steps.tell.json: `/steps/payment/results` is of a step that is many jobs",
        ),
        (
            with("tell", &json!({"json": {"$ref": "/steps/payment/error"}})),
            "steps.tell.json: the reference `/steps/payment/error` does not name",
        ),
    ] {
        let (code, detail) = parse(&document).expect_err(said);
        assert!(code == "invalid-workflow" && detail.starts_with(said), "{said}\n{detail}");
    }
}

#[test]
fn faults_of_pictures_have_the_codes_of_submissions() {
    for (document, wanted, said) in [
        (with("photos", &json!({"sources": "a"})), "invalid-sources", "steps.photos.sources: `a` is not a list"),
        (
            with("photos", &json!({"sources": [{"urll": "a"}]})),
            "invalid-sources",
            "steps.photos.sources[0]: has none or several",
        ),
        (
            with("photos", &json!({"sources": [{"$ref": "/steps/payment/result"}, {}], "after": ["payment"]})),
            "invalid-sources",
            "steps.photos.sources[1]: has none or several",
        ),
        (
            with("photos", &json!({"sources": ["", "", "", ""]})),
            "invalid-sources",
            "steps.photos.sources: 4 entries are more than limits.max_files (3)",
        ),
        (with("photos", &json!({"sources": ["no url"]})), "invalid-url", "steps.photos.sources: `no url` is not a URL"),
        (
            with("photos", &json!({"sources": ["https://other.example/"]})),
            "url-forbidden",
            "steps.photos.sources: https://other.example/: sources.urls does not allow it",
        ),
        (
            with("payment", &json!({"url": "https://other.example/"})),
            "url-forbidden",
            "steps.payment.url: https://other.example/: calls.urls does not allow it",
        ),
        (
            with("photos", &json!({"operations": "cart"})),
            "unknown-preset",
            "steps.photos.operations: unknown preset `cart`",
        ),
        (with("photos", &json!({"operations": [{"type": "grow"}]})), "invalid-operation", "steps.photos.operations[0]"),
        (
            with("photos", &json!({"options": {"priority": 11}})),
            "invalid-options",
            "steps.photos.options.priority: 11 is not within 1 to 10",
        ),
        (
            with("photos", &json!({"options": {"then": {}}})),
            "invalid-options",
            "steps.photos.options.then: what follows a step is a step",
        ),
        (
            with("payment", &json!({"options": {"retries": 101}})),
            "invalid-options",
            "steps.payment.options.retries: 101 exceeds 100",
        ),
    ] {
        let (code, detail) = parse(&document).expect_err(said);
        assert!(code == wanted && detail.starts_with(said), "{said}\n{code}: {detail}");
    }
}

#[test]
fn template_takes_the_input_and_labels_over_its_own() {
    let mut template = order();
    template.as_object_mut().unwrap().shift_remove("name");
    template["input"] = json!({"photos": []});
    let templates = BTreeMap::from([("order".to_owned(), template.clone())]);
    let asked = json!({"workflow": "order", "input": {"order_id": "B-1"}, "labels": {"shop": "7"}});
    let document = parse_with(&asked, &templates).unwrap();
    assert_eq!(document.name.as_deref(), Some("order"));
    assert_eq!(document.input, json!({"photos": [], "order_id": "B-1"}));
    assert_eq!(document.labels, [("order", "A-17"), ("shop", "7")].map(|(a, b)| (a.to_owned(), b.to_owned())).into());
    for (asked, said) in [
        (json!({"workflow": "order"}), "steps.payment.json.order: `/input/order_id` is not in `input`"),
        (json!({"workflow": "other"}), "workflow: unknown workflow `other`; known: order"),
        (
            json!({"workflow": "order", "steps": {}}),
            "the workflow, which names a template (`workflow`): unknown field `steps`",
        ),
    ] {
        let (_, detail) = parse_with(&asked, &templates).unwrap_err();
        assert!(detail.starts_with(said), "{detail}");
    }
    template["steps"]["payment"]["method"] = json!("HEAD");
    let templates = BTreeMap::from([("order".to_owned(), template)]);
    let (_, detail) = parse_with(&order(), &templates).unwrap_err();
    assert!(detail.starts_with("workflows.order: steps.payment.method: `HEAD`"), "{detail}");
    assert_eq!(
        parse(&json!({"workflow": "x"})).unwrap_err().1,
        "workflow: unknown workflow `x`; known: none (workflows)"
    );
}

/// Blocks of a page between fences of this kind.
fn blocks(page: &str, kind: &str) -> Vec<String> {
    let fence = format!("```{kind}\n");
    page.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
}

#[test]
fn documents_of_the_page_are_valid_and_drawn_as_it_shows() {
    let page = include_str!("../../docs/workflows.md");
    let [sections, template] = blocks(page, "toml").try_into().expect("settings and a template");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), sections + &template).unwrap();
    let config = Config::load(Some(file.path()), vec![]).unwrap();
    let settings = Settings {
        presets: config.presets().unwrap(),
        sources: config.sources.guard().unwrap(),
        calls: config.calls.guard().unwrap(),
        ..settings()
    };
    let templates = Templates::parse(&config.workflows, settings.rules()).unwrap();
    let documents = blocks(page, "json");
    assert_eq!(documents.len(), 3);
    let parsed = documents.iter().map(|text| {
        let value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        Document::parse(&value, &templates, settings.rules()).unwrap_or_else(|refusal| panic!("{refusal:?}: {text}"))
    });
    let parsed: Vec<Document> = parsed.collect();
    let drawn = drawing::draw(&parsed[0].steps, drawing::name);
    assert_eq!(blocks(page, "text"), [drawn]);
}

#[test]
fn group_of_a_step_is_always_the_same_and_shown_to_people() {
    let (workflow, other) = (Uuid::now_v7(), Uuid::now_v7());
    assert_eq!(group_of(workflow, "payment"), group_of(workflow, "payment"));
    assert_ne!(group_of(workflow, "payment"), group_of(workflow, "refund"));
    assert_ne!(group_of(workflow, "payment"), group_of(other, "payment"));
    assert!(!group_of(workflow, "payment").is_scheduled());
}
