//! A workflow's document: its input, its labels, and its steps in an order in which each is behind those that it comes after.
//!
//! It is checked whole when it is parsed. What remains for later is what only earlier steps can tell.

use std::collections::{BTreeMap, BTreeSet};

use queue::GroupId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::graph;
use super::reference::{Part, Pointer};
use super::rules::{Refusal, Rules, invalid, is_word, object, only, shown};
use super::steps::{Fan, Step};

pub const MOST_STEPS: usize = 32;
const MOST_LABELS: usize = 16;
/// Characters of a workflow's name, and of a label's value.
const MOST_NAME: usize = 128;

const FIELDS: [&str; 4] = ["name", "input", "labels", "steps"];
/// Of a document that names a template.
const FIELDS_BY_NAME: [&str; 3] = ["workflow", "input", "labels"];

/// A document that can be carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    pub name: Option<String>,
    /// An object.
    pub input: Value,
    pub labels: BTreeMap<String, String>,
    /// Each is behind those that it comes after.
    pub steps: Vec<Step>,
}

/// The workflows of the settings, by name. Each can be carried out as soon as its input is there.
#[derive(Debug, Clone, Default)]
pub struct Templates {
    documents: BTreeMap<String, Value>,
}

/// The id of a step's group: always the same for the same workflow and step.
///
/// It is a UUID of version 8 made as one of version 5, because a group of version 5 is one that the service made for itself,
/// see [`GroupId::is_scheduled`].
pub fn group_of(workflow: Uuid, step: &str) -> GroupId {
    let named = Uuid::new_v5(&workflow, step.as_bytes());
    uuid::Builder::from_custom_bytes(named.into_bytes()).into_uuid().into()
}

impl Document {
    /// Parses and checks a whole document, or one that names a template: `{"workflow": "NAME", "input": {…}}`.
    ///
    /// # Errors
    /// `invalid-workflow`; or the code of a part: `invalid-sources`, `invalid-operation`, `invalid-options`, `unknown-preset`,
    /// `invalid-url`, `url-forbidden`. The sentence names the step, the field, the value and the limit.
    pub fn parse(value: &Value, templates: &Templates, rules: Rules<'_>) -> Result<Self, Refusal> {
        let fields = object(value, "the workflow")?;
        if !fields.contains_key("workflow") {
            return Self::of(fields, true, rules);
        }
        only(fields, &FIELDS_BY_NAME, "the workflow, which names a template (`workflow`)")?;
        Self::of(&templates.fill(fields)?, true, rules)
    }

    /// `has_input` is false for a template, whose input comes later.
    fn of(fields: &Map<String, Value>, has_input: bool, rules: Rules<'_>) -> Result<Self, Refusal> {
        only(fields, &FIELDS, "the workflow")?;
        let field = |name: &str| fields.get(name).filter(|value| !value.is_null());
        let name = field("name").map(name_of).transpose()?;
        let input = match field("input") {
            None => Value::Object(Map::new()),
            Some(input) => Value::Object(object(input, "input")?.clone()),
        };
        let labels = field("labels").map(labels_of).transpose()?.unwrap_or_default();
        let listed = object(field("steps").ok_or_else(|| invalid("steps: is missing"))?, "steps")?;
        if listed.is_empty() || listed.len() > MOST_STEPS {
            return Err(invalid(format!("steps: {} are not 1 to {MOST_STEPS}", listed.len())));
        }
        let known = has_input.then_some(&input);
        let steps = listed.iter().map(|(name, value)| Step::parse(name, value, known, rules));
        let steps = steps.collect::<Result<Vec<_>, _>>()?;
        let order = graph::order(&named(&steps)).map_err(invalid)?;
        let steps: Vec<Step> = order.into_iter().map(|i| steps[i].clone()).collect();
        check_references(&steps)?;
        Ok(Self { name, input, labels, steps })
    }

    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }
}

fn named(steps: &[Step]) -> Vec<(&str, &[String])> {
    steps.iter().map(|step| (step.name.as_str(), step.after.as_slice())).collect()
}

/// References to other steps: only to those that have ended when the step begins, and to what there is of them.
fn check_references(steps: &[Step]) -> Result<(), Refusal> {
    let ancestors = graph::ancestors(&named(steps));
    for step in steps {
        let before: &BTreeSet<&str> = &ancestors[step.name.as_str()];
        step.each_pointer(&mut |_, pointer| {
            let Pointer::Step { name, part, .. } = pointer else { return Ok(()) };
            let Some(other) = steps.iter().find(|other| other.name == name) else {
                return Err(format!("there is no step `{}`", name.escape_debug().take(64).collect::<String>()));
            };
            if !before.contains(name.as_str()) {
                let own = &step.name;
                return Err(format!(
                    "`{own}` does not come after `{name}`: name `{name}` in `after`, or a step behind it"
                ));
            }
            let part_of = format!("/steps/{name}/{}", part.as_str());
            match (part, &other.fan) {
                (Part::Result, Fan::One)
                | (Part::Results | Part::ResultsUrl, Fan::Sources | Fan::Each { .. } | Fan::Shards(_)) => Ok(()),
                (Part::Counts, _) => Ok(()),
                (Part::Result, _) => {
                    Err(format!("`{part_of}` is of a step that is one job, and `{name}` is many: take `results`"))
                }
                (_, Fan::One) => {
                    Err(format!("`{part_of}` is of a step that is many jobs, and `{name}` is one: take `result`"))
                }
            }
        })?;
    }
    Ok(())
}

fn name_of(value: &Value) -> Result<String, Refusal> {
    let name = value.as_str().filter(|name| is_line(name));
    let name = name.ok_or_else(|| {
        invalid(format!("name: {} has not 1 to {MOST_NAME} characters without control characters", shown(value)))
    })?;
    Ok(name.to_owned())
}

fn is_line(text: &str) -> bool {
    (1..=MOST_NAME).contains(&text.chars().count()) && !text.contains(char::is_control)
}

fn labels_of(value: &Value) -> Result<BTreeMap<String, String>, Refusal> {
    let fields = object(value, "labels")?;
    if fields.len() > MOST_LABELS {
        return Err(invalid(format!("labels: {} are more than {MOST_LABELS}", fields.len())));
    }
    let label = |(name, value): (&String, &Value)| {
        if !is_word(name) {
            let name: String = name.escape_debug().take(64).collect();
            return Err(invalid(format!(
                "labels: `{name}` is not a name of 1 to 64 letters, digits, `-` and `_` that begins with a letter"
            )));
        }
        match value.as_str() {
            Some(text) if is_line(text) => Ok((name.clone(), text.to_owned())),
            _ => Err(invalid(format!(
                "labels.{name}: {} is not a text of 1 to {MOST_NAME} characters without control characters",
                shown(value)
            ))),
        }
    };
    fields.iter().map(label).collect()
}

impl Templates {
    /// Checks the workflows of the settings, but for what their input decides.
    ///
    /// # Errors
    /// A sentence that names the template, the step and the field.
    pub fn parse(documents: &BTreeMap<String, Value>, rules: Rules<'_>) -> Result<Self, String> {
        for (name, document) in documents {
            if !is_word(name) {
                let name: String = name.escape_debug().take(64).collect();
                return Err(format!(
                    "workflows: `{name}` is not a name of 1 to 64 letters, digits, `-` and `_` that begins with a letter"
                ));
            }
            let checked = object(document, "the workflow").and_then(|fields| Document::of(fields, false, rules));
            checked.map_err(|(_, detail)| format!("workflows.{name}: {detail}"))?;
        }
        Ok(Self { documents: documents.clone() })
    }

    /// The template that a document names, with the document's input and labels over its own.
    fn fill(&self, fields: &Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
        let name = &fields["workflow"];
        let found = name.as_str().and_then(|name| Some((name, self.documents.get(name)?)));
        let Some((name, template)) = found else {
            let known: Vec<&str> = self.documents.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none (workflows)".to_owned() } else { known.join(", ") };
            return Err(invalid(format!("workflow: unknown workflow {}; known: {known}", shown(name))));
        };
        let mut filled = object(template, "the workflow")?.clone();
        if !filled.contains_key("name") {
            filled.insert("name".into(), name.into());
        }
        for part in ["input", "labels"] {
            let Some(given) = fields.get(part).filter(|value| !value.is_null()) else { continue };
            let own = filled.entry(part).or_insert_with(|| Value::Object(Map::new()));
            let mut merged = own.as_object().cloned().unwrap_or_default();
            merged.extend(object(given, part)?.clone());
            *own = Value::Object(merged);
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::config::{Config, Presets};
    use crate::workflows::reference::Scope;
    use crate::workflows::{Operations, Settings, Work};

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
        let Work::Pictures { operations: Operations::Known(operations), .. } = &photos.work else {
            panic!("{photos:?}")
        };
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
            (
                with("x", &json!({"after": ["x"]})),
                "steps: there is a cycle, in which each step comes after itself: x → x",
            ),
            (
                with("payment", &json!({"after": ["refund"]})),
                "steps: there is a cycle, in which each step comes after itself: payment → inventory → refund → payment",
            ),
            (
                with("x", &json!({"method": "HEAD"})),
                "steps.x.method: `HEAD` is not one of GET, POST, PUT, PATCH, DELETE",
            ),
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
            (
                with("x", &json!({"each": [1], "chunk_size": 1, "json": {"$ref": "/item"}})),
                "steps.x.json: `/item` is for",
            ),
            (
                with("x", &json!({"each": [1], "json": {"$ref": "/shard"}})),
                "steps.x.json: `/shard` and `/shards` are for",
            ),
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
            (
                with("photos", &json!({"sources": ["no url"]})),
                "invalid-url",
                "steps.photos.sources: `no url` is not a URL",
            ),
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
            (
                with("photos", &json!({"operations": [{"type": "grow"}]})),
                "invalid-operation",
                "steps.photos.operations[0]",
            ),
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
        assert_eq!(
            document.labels,
            [("order", "A-17"), ("shop", "7")].map(|(a, b)| (a.to_owned(), b.to_owned())).into()
        );
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
            Document::parse(&value, &templates, settings.rules())
                .unwrap_or_else(|refusal| panic!("{refusal:?}: {text}"))
        });
        let parsed: Vec<Document> = parsed.collect();
        let drawn = crate::workflows::drawing::draw(&parsed[0].steps, crate::workflows::drawing::name);
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
}
