//! The operations and options of a request, parsed and checked against the settings.

use std::time::Duration;

use imaging::{Operation, operation};
use jiff::Timestamp;
use queue::{GroupId, JobId, On};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::manifest::{Entry, Key, Then};
use super::{Next, routing};
use crate::config::{self, Presets};
use crate::duration::show;
use crate::job::{Keep, Labels, Terms};
use crate::kinds::{GroupFollow, ImageProcess, Kind, Payload, SourceFetch};

/// Most pictures handed to the broker in one step, which is the limit of one of its transitions.
pub const MOST_PER_CHUNK: usize = 1_000;

/// Longest window of `options.dedupe`.
const LONGEST_WINDOW: Duration = Duration::from_hours(30 * 24);

const FIELDS: &str = "queue, priority, eta, expires, retries, lenient, retention, labels, dedupe, then, \
                      chunk_size, preset";

/// Namespace of the ids of follow-up groups, so that they are the same whenever they are made.
const NAMESPACE: Uuid = Uuid::from_u128(0x51f0_8a6d_3c2e_5b7f_9e14_60ab_c8d2_7735);

/// What a client wants done with the pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    pub operations: Vec<Operation>,
    pub options: Options,
}

/// The options of a request.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Options {
    pub queue: Option<String>,
    /// 1 to 10, 10 first.
    pub priority: Option<u8>,
    /// The earliest start.
    pub eta: Option<Timestamp>,
    /// Cancelled, if not begun by then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Further attempts after the first.
    pub retries: Option<u32>,
    /// Uses the readable part of a truncated file, with a warning, instead of refusing it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lenient: bool,
    /// Retention times shorter than those of the settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<Keep>,
    /// Of the group, for lists.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dedupe: Option<Dedupe>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then: Option<Box<After>>,
    /// Number of pictures of a long prefix that are enqueued at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk_size: Option<usize>,
}

/// A second submission with the same key within the window is answered with the first one's group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dedupe {
    /// 1 to 128 bytes.
    pub key: String,
    /// From the first submission on, 1 s to 30 d.
    #[serde(with = "crate::duration::required")]
    pub window: Duration,
}

impl Dedupe {
    fn parse(value: &Value, path: &str) -> Result<Self, String> {
        let dedupe: Self = read(value, path)?;
        if !(1..=128).contains(&dedupe.key.len()) {
            return Err(format!("{path}.key: has {} bytes; it takes 1 to 128", dedupe.key.len()));
        }
        if !(Duration::from_secs(1)..=LONGEST_WINDOW).contains(&dedupe.window) {
            return Err(format!("{path}.window: {} is not within 1s to {}", show(dedupe.window), show(LONGEST_WINDOW)));
        }
        Ok(dedupe)
    }

    /// As the broker keeps it: a hash of owner and key. The space distinguishes it from idempotency keys, which have none.
    pub(super) fn key(&self, owner: Option<&str>) -> Key {
        let whole = serde_json::to_vec(&(owner, &self.key)).expect("strings always serialise");
        let name = format!("dedupe {:x}", bytes::Bytes::copy_from_slice(&Sha256::digest(whole)));
        Key { name, fingerprint: String::new(), memory: Some(self.window) }
    }
}

/// The originals once more, with other operations, when all are done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct After {
    pub on: On,
    pub operations: Vec<Operation>,
    pub options: Options,
}

/// The settings that restrict a request.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'s> {
    pub queues: &'s [String],
    pub retention: &'s config::Retention,
    pub presets: &'s Presets,
    pub limits: &'s imaging::Limits,
}

/// Why a request is refused: a code, and a sentence that names the field, the value and the limit.
pub type Refusal = (&'static str, String);

impl Asked {
    /// Parses and checks the values of `operations` and `options`.
    ///
    /// The operations are a list, or the name of a preset, which may also be in `options.preset`. The default is a list
    /// of three operations.
    ///
    /// # Errors
    /// `invalid-operation`, `invalid-options` or `unknown-preset`.
    pub fn parse(operations: Option<&Value>, options: Option<&Value>, rules: Rules<'_>) -> Result<Self, Refusal> {
        let (options, preset) = match options {
            None => (Options::default(), None),
            Some(value) => Options::parse(value, "options", rules, Depth::First)?,
        };
        let operations = choose(operations, preset, "", rules)?.unwrap_or_else(operation::defaults);
        Ok(Self { operations, options })
    }

    /// Where the pictures go, and what becomes of each.
    pub fn terms(&self, settings: &config::Queue) -> Terms {
        self.options.terms(self.operations.clone(), settings)
    }
}

/// Whether a follow-up is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    First,
    Then,
}

impl Options {
    /// Parses the options; also returns the preset that they name.
    fn parse(
        value: &Value,
        path: &str,
        rules: Rules<'_>,
        depth: Depth,
    ) -> Result<(Self, Option<Vec<Operation>>), Refusal> {
        let invalid = |detail: String| ("invalid-options", detail);
        let fields = object(value, path).map_err(invalid)?;
        let (mut options, mut named) = (Self::default(), None);
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
            let (whole, path) = (path, format!("{path}.{name}"));
            match (name.as_str(), depth) {
                ("queue", _) => options.queue = Some(queue(value, &path, rules).map_err(invalid)?),
                ("priority", _) => options.priority = Some(number(value, &path, 1, 10).map_err(invalid)? as u8),
                ("retries", _) => options.retries = Some(number(value, &path, 0, 100).map_err(invalid)? as u32),
                ("lenient", _) => options.lenient = read(value, &path).map_err(invalid)?,
                ("retention", _) => options.retention = Some(keep(value, &path, rules.retention).map_err(invalid)?),
                ("preset", _) => {
                    let name = read::<String>(value, &path).map_err(invalid)?;
                    named = if is_blank(&name) { None } else { Some(preset(&name, &path, rules)?) };
                }
                ("eta", Depth::First) => options.eta = Some(read(value, &path).map_err(invalid)?),
                ("expires", Depth::First) => options.expires = Some(read(value, &path).map_err(invalid)?),
                ("chunk_size", Depth::First) => {
                    let size = number(value, &path, 1, MOST_PER_CHUNK as u64).map_err(invalid)?;
                    options.chunk_size = Some(size as usize);
                }
                ("labels", Depth::First) => options.labels = Labels::parse(value, &path).map_err(invalid)?,
                ("dedupe", Depth::First) => options.dedupe = Some(Dedupe::parse(value, &path).map_err(invalid)?),
                ("then", Depth::First) => options.then = Some(Box::new(After::parse(value, &path, rules)?)),
                ("eta" | "expires" | "chunk_size" | "labels" | "dedupe" | "then", Depth::Then) => {
                    return Err(invalid(format!("{path}: what follows a group has none of its own")));
                }
                _ => return Err(invalid(format!("{whole}: unknown field `{}`; known: {FIELDS}", name.escape_debug()))),
            }
        }
        if let (Some(eta), Some(expires)) = (options.eta, options.expires)
            && expires <= eta
        {
            return Err(invalid(format!("{path}.expires: {expires} is not after {path}.eta ({eta})")));
        }
        Ok((options, named))
    }

    /// The terms of the submission with these operations: queues and all that applies to every picture.
    pub(super) fn terms(&self, operations: Vec<Operation>, settings: &config::Queue) -> Terms {
        let priority = self.priority.unwrap_or(5);
        let routed = |kind: &str, own: &str| {
            let asked = self.queue.as_deref().unwrap_or(own);
            routing::queue(&settings.routes, kind, asked, priority).to_owned()
        };
        Terms {
            operations,
            lenient: self.lenient,
            queue: routed(ImageProcess::NAME, ImageProcess::QUEUE),
            fetch_queue: routed(SourceFetch::NAME, SourceFetch::QUEUE),
            priority,
            max_attempts: self.retries.map_or(settings.max_attempts, |retries| retries + 1),
        }
    }

    /// Pictures of a long prefix that are enqueued at a time.
    pub fn chunk(&self) -> usize {
        self.chunk_size.unwrap_or(MOST_PER_CHUNK)
    }
}

impl After {
    fn parse(value: &Value, path: &str, rules: Rules<'_>) -> Result<Self, Refusal> {
        let invalid = |detail: String| ("invalid-options", detail);
        let fields = object(value, path).map_err(invalid)?;
        if let Some(other) = fields.keys().find(|name| !["on", "operations", "options"].contains(&name.as_str())) {
            let other = other.escape_debug();
            return Err(invalid(format!("{path}: unknown field `{other}`; known: on, operations, options")));
        }
        let on = match fields.get("on") {
            None => On::Success,
            Some(value) => read(value, &format!("{path}.on")).map_err(invalid)?,
        };
        let (options, preset) = match fields.get("options") {
            None => (Options::default(), None),
            Some(value) => Options::parse(value, &format!("{path}.options"), rules, Depth::Then)?,
        };
        let operations = choose(fields.get("operations"), preset, &format!("{path}."), rules)?
            .ok_or_else(|| invalid(format!("{path}.operations: is missing: say what is to be done then")))?;
        Ok(Self { on, operations, options })
    }

    /// The follow-up of `group`: its description for the record, and the job that the broker enqueues.
    pub(super) fn follow(&self, group: GroupId, settings: &config::Queue) -> (Next, Then) {
        let id = |what: &str| Uuid::new_v5(&NAMESPACE, format!("{group}/{what}").as_bytes());
        // Version 8, because a group id of version 5 marks a group that the service made for itself, see
        // `GroupId::is_scheduled`.
        let next = uuid::Builder::from_custom_bytes(id("then").into_bytes()).into_uuid();
        let follow = GroupFollow {
            of: group,
            group: next.into(),
            terms: self.options.terms(self.operations.clone(), settings),
            keep: self.options.retention.unwrap_or_default(),
        };
        let next = Next { on: self.on, group: follow.group };
        let payload = Payload::GroupFollow(follow);
        let priority = self.options.priority.unwrap_or(5);
        let job = Entry {
            id: JobId::from(id("job")),
            queue: routing::queue(&settings.routes, payload.kind(), payload.default_queue(), priority).into(),
            priority,
            max_attempts: settings.max_attempts,
            after: None,
            retry_of: None,
            payload,
        };
        (next, Then { on: self.on, group: id("step").into(), job })
    }
}

/// The operations of a request: a list, or the preset that `operations` or the options name.
fn choose(
    value: Option<&Value>,
    preset_of_options: Option<Vec<Operation>>,
    path: &str,
    rules: Rules<'_>,
) -> Result<Option<Vec<Operation>>, Refusal> {
    let chosen = match value {
        None => return Ok(preset_of_options),
        Some(Value::String(name)) if is_blank(name) => return Ok(preset_of_options),
        Some(Value::String(name)) => preset(name, &format!("{path}operations"), rules)?,
        Some(list) => operations_of(list, path, rules.limits)?,
    };
    if preset_of_options.is_some() {
        let detail = format!("{path}options.preset: {path}operations are given, too; name one of both");
        return Err(("invalid-options", detail));
    }
    Ok(Some(chosen))
}

/// Whether a text is that of an empty form field, which counts as absent.
fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

fn operations_of(list: &Value, path: &str, limits: &imaging::Limits) -> Result<Vec<Operation>, Refusal> {
    operation::parse(&list.to_string(), limits)
        .map_err(|error| (error.code.as_str(), format!("{path}{}", error.detail)))
}

fn preset(name: &str, path: &str, rules: Rules<'_>) -> Result<Vec<Operation>, Refusal> {
    let known = config::preset(rules.presets, name).cloned();
    known.map_err(|said| ("unknown-preset", format!("{path}: {said}")))
}

fn object<'v>(value: &'v Value, path: &str) -> Result<&'v Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("{path}: {} is not an object", shown(value)))
}

fn read<T: DeserializeOwned>(value: &Value, path: &str) -> Result<T, String> {
    T::deserialize(value).map_err(|error| format!("{path}: {error}"))
}

fn number(value: &Value, path: &str, least: u64, most: u64) -> Result<u64, String> {
    match value.as_u64() {
        Some(number) if (least..=most).contains(&number) => Ok(number),
        Some(number) if least == 0 => Err(format!("{path}: {number} exceeds {most}")),
        Some(number) => Err(format!("{path}: {number} is not within {least} to {most}")),
        None => Err(format!("{path}: {} is not a whole number from {least} to {most}", shown(value))),
    }
}

fn queue(value: &Value, path: &str, rules: Rules<'_>) -> Result<String, String> {
    let queue: String = read(value, path)?;
    if rules.queues.contains(&queue) {
        return Ok(queue);
    }
    Err(format!("{path}: unknown queue {}; known: {}", shown(value), rules.queues.join(", ")))
}

fn keep(value: &Value, path: &str, settings: &config::Retention) -> Result<Keep, String> {
    let keep: Keep = read(value, path)?;
    for (name, asked, most) in [
        ("records", keep.records, settings.records),
        ("originals", keep.originals, settings.originals),
        ("outputs", keep.outputs, settings.outputs),
    ] {
        let Some(asked) = asked else { continue };
        if asked < Duration::from_secs(1) {
            return Err(format!("{path}.{name}: {} is below 1s", show(asked)));
        }
        if !most.is_zero() && asked > most {
            return Err(format!("{path}.{name}: {} exceeds retention.{name} ({})", show(asked), show(most)));
        }
    }
    Ok(keep)
}

/// A value as it is shown in a sentence.
fn shown(value: &Value) -> String {
    let text: String = value.to_string().chars().take(64).collect();
    match value {
        Value::String(_) => format!("`{}`", text.trim_matches('"')),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Config;

    fn parse(operations: Option<&Value>, options: &Value) -> Result<Asked, Refusal> {
        let config = Config::load(None, vec![("retention.outputs", "48h".into())]).unwrap();
        let (limits, queues) = (config.limits.imaging(), ["default".to_owned(), "critical".to_owned()]);
        let card = operation::parse(r#"[{"type": "resize", "width": 80}]"#, &limits).unwrap();
        let presets = Presets::from([("card".to_owned(), card)]);
        let rules = Rules { queues: &queues, retention: &config.retention, presets: &presets, limits: &limits };
        Asked::parse(operations, Some(options), rules)
    }

    #[test]
    fn options_name_the_field_the_value_and_the_limit() {
        for (options, said) in [
            (json!({"priority": 11}), "options.priority: 11 is not within 1 to 10"),
            (json!({"priority": "high"}), "options.priority: `high` is not a whole number from 1 to 10"),
            (json!({"queue": "fast"}), "options.queue: unknown queue `fast`; known: default, critical"),
            (json!({"retries": 101}), "options.retries: 101 exceeds 100"),
            (json!({"chunk_size": 0}), "options.chunk_size: 0 is not within 1 to 1000"),
            (json!({"eta": "soon"}), "options.eta: "),
            (json!({"lenient": 1}), "options.lenient: "),
            (json!({"prioritty": 1}), "options: unknown field `prioritty`; known: queue, "),
            (json!([1]), "options: [1] is not an object"),
            (
                json!({"retention": {"outputs": "49h"}}),
                "options.retention.outputs: 49h exceeds retention.outputs (48h)",
            ),
            (json!({"retention": {"records": "0s"}}), "options.retention.records: 0s is below 1s"),
            (json!({"retention": {"ever": "1h"}}), "options.retention: unknown field `ever`"),
            (json!({"then": {"on": "success"}}), "options.then.operations: is missing"),
            (json!({"then": {"on": "never", "operations": "card"}}), "options.then.on: "),
            (json!({"then": {"do": 1}}), "options.then: unknown field `do`; known: on, operations, options"),
            (
                json!({"then": {"operations": "card", "options": {"then": {}}}}),
                "options.then.options.then: what follows a group has none of its own",
            ),
        ] {
            let (code, detail) = parse(None, &options).unwrap_err();
            assert!(code == "invalid-options" && detail.starts_with(said), "{options}: {detail}");
        }
    }

    #[test]
    fn preset_stands_for_its_operations() {
        let by_name = parse(Some(&json!("card")), &json!({})).unwrap();
        assert_eq!(parse(None, &json!({"preset": "card"})).unwrap(), by_name);
        let (code, detail) = parse(Some(&json!("cart")), &json!({})).unwrap_err();
        assert_eq!((code, detail.as_str()), ("unknown-preset", "operations: unknown preset `cart`; known: card"));
        let list = json!([{"type": "flip"}]);
        assert_eq!(parse(Some(&list), &json!({"preset": " "})).unwrap(), parse(Some(&list), &json!({})).unwrap());
        assert_eq!(parse(Some(&json!("")), &json!({"preset": "card"})).unwrap(), by_name);
        assert_eq!(parse(Some(&json!(" ")), &json!({"preset": ""})).unwrap(), parse(None, &json!({})).unwrap());
        let (_, detail) = parse(Some(&list), &json!({"preset": "card"})).unwrap_err();
        assert!(detail.contains("name one of both"), "{detail}");
        let (code, detail) = parse(None, &json!({"then": {"operations": [{"type": "grow"}]}})).unwrap_err();
        assert!(code == "invalid-operation" && detail.starts_with("options.then.operations[0]: "), "{detail}");
    }

    #[test]
    fn what_follows_a_group_is_named_by_it() {
        let asked = parse(None, &json!({"then": {"on": "always", "operations": "card"}})).unwrap();
        let then = asked.options.then.unwrap();
        let queue = Config::load(None, vec![]).unwrap().queue;
        let (group, other) = (GroupId::new(), GroupId::new());
        assert_eq!(then.follow(group, &queue), then.follow(group, &queue));
        assert_ne!(then.follow(group, &queue).0, then.follow(other, &queue).0);
        assert!(!then.follow(group, &queue).0.group.is_scheduled(), "its events are shown");
    }
}
