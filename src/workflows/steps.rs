//! A step: its kind, its fields, and the jobs that are made of it when it begins.

use std::time::Duration;

use imaging::Operation;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::Url;

use super::reference::{self, Part, Pointer, Scope};
use super::rules::{Refusal, Rules, invalid, is_word, number, object, only, read, shown};
use crate::duration;
use crate::kinds::http_call::{self, MOST_HEADERS, Method};
use crate::kinds::{HttpCall, ImageProcess};
use crate::net::Guard;
use crate::submission::{Asked, Wanted};

/// Items of `each`.
const MOST_ITEMS: usize = 10_000;
/// Items of a chunk.
const MOST_PER_CHUNK: u64 = 1_000;
const MOST_SHARDS: u64 = 1_000;
/// Characters of the key of a limit.
const MOST_KEY: usize = 128;
/// Jobs that a limit of a step may allow at a time.
const MOST_AT_A_TIME: u64 = 10_000;

const COMMON: [&str; 5] = ["kind", "after", "on", "options", "concurrency"];
const OF_PICTURES: [&str; 2] = ["sources", "operations"];
const OF_CALLS: [&str; 8] = ["method", "url", "headers", "json", "timeout", "each", "chunk_size", "shards"];
/// Options that a call has, of those of a submission.
const OPTIONS_OF_CALLS: [&str; 4] = ["queue", "priority", "retries", "eta"];
/// Kinds of steps that this version does not have.
const LATER: [&str; 3] = ["notify", "report", "event"];

/// A step of a document. Its references are resolved when it begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub name: String,
    /// The steps that must have ended before this one begins or is skipped.
    pub after: Vec<String>,
    pub on: On,
    pub work: Work,
    pub fan: Fan,
    /// As a submission has them, checked, without `preset` and `then`.
    pub options: Map<String, Value>,
    pub concurrency: Option<Concurrency>,
}

/// Which end of the steps before lets a step begin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum On {
    /// All of them have succeeded.
    #[default]
    Success,
    /// One of them has failed or was cancelled.
    Failure,
    /// All of them have ended or were skipped.
    Always,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub enum Work {
    #[serde(rename = "image.process")]
    Pictures { sources: Value, operations: Operations },
    #[serde(rename = "http.call")]
    Call(CallFields),
}

/// The fields of an `http.call`, with references.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallFields {
    pub method: Method,
    pub url: Value,
    /// By name; a value is a text or a reference.
    pub headers: Map<String, Value>,
    pub json: Option<Value>,
    #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

/// What becomes of each picture of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operations {
    Known(Vec<Operation>),
    /// With references to what is known only when the step begins.
    Open(Value),
}

/// The jobs that a step is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fan {
    One,
    /// One for each picture of `sources`.
    Sources,
    /// One for each item of a list; or for each chunk of so many items.
    Each {
        items: Value,
        chunk_size: Option<usize>,
    },
    /// So many, each with its number.
    Shards(u32),
}

/// How many jobs with the same key may run at a time, over all workers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Concurrency {
    /// A text or a reference.
    pub key: Value,
    pub limit: u64,
}

/// As [`Concurrency`], with its key resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    pub key: String,
    /// Jobs at a time.
    pub most: u64,
}

impl On {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Always => "always",
        }
    }
}

impl Work {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Pictures { .. } => ImageProcess::NAME,
            Self::Call(_) => HttpCall::NAME,
        }
    }
}

impl Step {
    /// Parses a step and checks all of it that does not concern other steps. `input` is `None` for a template, whose input
    /// comes later.
    pub(super) fn parse(name: &str, value: &Value, input: Option<&Value>, rules: Rules<'_>) -> Result<Self, Refusal> {
        if !is_word(name) {
            let name: String = name.escape_debug().take(64).collect();
            return Err(invalid(format!(
                "steps: `{name}` is not a name of 1 to 64 letters, digits, `-` and `_` that begins with a letter"
            )));
        }
        let path = format!("steps.{name}");
        let fields = object(value, &path)?;
        let kind = match fields.get("kind") {
            Some(Value::String(kind)) => kind.as_str(),
            Some(other) => return Err(invalid(format!("{path}.kind: {} is not a text", shown(other)))),
            None => return Err(invalid(format!("{path}.kind: is missing; known: {}", known_kinds()))),
        };
        let own: &[&str] = match kind {
            ImageProcess::NAME => &OF_PICTURES,
            HttpCall::NAME => &OF_CALLS,
            later if LATER.contains(&later) => {
                let known = known_kinds();
                return Err(invalid(format!("{path}.kind: steps of the kind `{later}` come later; known: {known}")));
            }
            _ => {
                return Err(invalid(format!(
                    "{path}.kind: unknown kind {}; known: {}",
                    shown(&json!(kind)),
                    known_kinds()
                )));
            }
        };
        only(fields, &[&COMMON, own].concat(), &path)?;
        let field = |name: &str| fields.get(name).filter(|value| !value.is_null());
        let after = field("after").map(|value| read(value, &format!("{path}.after"))).transpose()?.unwrap_or_default();
        let on = match field("on") {
            None => On::Success,
            Some(value) => On::deserialize(value)
                .map_err(|_| invalid(format!("{path}.on: {} is not one of success, failure, always", shown(value))))?,
        };
        let concurrency =
            field("concurrency").map(|value| concurrency(value, &format!("{path}.concurrency"))).transpose()?;
        let options = match field("options") {
            None => Map::new(),
            Some(value) => object(value, &format!("{path}.options"))?.clone(),
        };
        let (work, fan, options) = if kind == HttpCall::NAME {
            let fan = fan(&field, &path)?;
            (Work::Call(call(&field, &path, rules)?), fan, options_of_call(options, &path, rules)?)
        } else {
            let sources = field("sources").ok_or_else(|| invalid(format!("{path}.sources: is missing")))?.clone();
            let (operations, options) = operations(field("operations"), options, input, &path, rules)?;
            (Work::Pictures { sources, operations }, Fan::Sources, options)
        };
        let step = Self { name: name.into(), after, on, work, fan, options, concurrency };
        step.check_pointers(input)?;
        step.check_known(input, rules)?;
        Ok(step)
    }

    /// The fields that may hold references, each with its path below the step.
    fn templates(&self) -> Vec<(String, &Value)> {
        let mut all = Vec::new();
        match &self.work {
            Work::Pictures { sources, operations } => {
                all.push(("sources".to_owned(), sources));
                if let Operations::Open(list) = operations {
                    all.push(("operations".to_owned(), list));
                }
            }
            Work::Call(CallFields { url, headers, json, .. }) => {
                all.push(("url".to_owned(), url));
                all.extend(headers.iter().map(|(name, value)| (format!("headers.{name}"), value)));
                all.extend(json.iter().map(|json| ("json".to_owned(), json)));
            }
        }
        if let Fan::Each { items, .. } = &self.fan {
            all.push(("each".to_owned(), items));
        }
        all.extend(self.concurrency.iter().map(|limit| ("concurrency.key".to_owned(), &limit.key)));
        all
    }

    /// Every reference of the step, by the path of its field.
    ///
    /// # Errors
    /// What `visit` says, behind the path.
    pub(super) fn each_pointer(
        &self,
        visit: &mut dyn FnMut(&str, Pointer) -> Result<(), String>,
    ) -> Result<(), Refusal> {
        for (field, template) in self.templates() {
            let path = format!("steps.{}.{field}", self.name);
            reference::each(template, &path, &mut |pointer| visit(&field, pointer)).map_err(invalid)?;
        }
        Ok(())
    }

    /// The parts of earlier steps that the step takes values from.
    pub fn needs(&self) -> Vec<(String, Part)> {
        let mut needed = Vec::new();
        let collected = self.each_pointer(&mut |_, pointer| {
            if let Pointer::Step { name, part, .. } = pointer
                && !needed.contains(&(name.clone(), part))
            {
                needed.push((name, part));
            }
            Ok(())
        });
        debug_assert!(collected.is_ok(), "its references were checked");
        needed
    }

    /// References into the input, and to the job of a fan-out.
    fn check_pointers(&self, input: Option<&Value>) -> Result<(), Refusal> {
        let (mut item, mut items, mut shard) = (false, false, false);
        match &self.fan {
            Fan::One | Fan::Sources => {}
            Fan::Each { chunk_size: None, .. } => item = true,
            Fan::Each { .. } => items = true,
            Fan::Shards(_) => shard = true,
        }
        self.each_pointer(&mut |field, pointer| {
            let inside = field != "each";
            match pointer {
                Pointer::Input(rest) => match input {
                    Some(input) if input.pointer(&rest).is_none() => Err(format!("`/input{rest}` is not in `input`")),
                    _ => Ok(()),
                },
                Pointer::Item(_) if !(item && inside) => {
                    Err("`/item` is for the fields of a step with `each` and without `chunk_size`".into())
                }
                Pointer::Items(_) if !(items && inside) => {
                    Err("`/items` is for the fields of a step with `each` and `chunk_size`".into())
                }
                Pointer::Shard | Pointer::Shards if !shard => {
                    Err("`/shard` and `/shards` are for the fields of a step with `shards`".into())
                }
                _ => Ok(()),
            }
        })
    }

    /// What is known before the step begins.
    fn check_known(&self, input: Option<&Value>, rules: Rules<'_>) -> Result<(), Refusal> {
        let path = format!("steps.{}", self.name);
        if let Fan::Each { items, .. } = &self.fan
            && let Some(items) = reference::known(items, input)
        {
            list_of_items(&items).map_err(|fault| invalid(format!("{path}.{fault}")))?;
        }
        if let Some(key) = self.concurrency.as_ref().and_then(|limit| reference::known(&limit.key, input)) {
            key_of(&key).map_err(|fault| invalid(format!("{path}.{fault}")))?;
        }
        match &self.work {
            Work::Pictures { sources, .. } => {
                if let Some(sources) = reference::known(sources, input) {
                    let wanted = wanted(&sources, rules.max_files).map_err(|fault| at(&path, fault))?;
                    return check_urls(&wanted, rules.sources, &path);
                }
                // The entries that are known are checked all the same.
                let Some(entries) = sources.as_array() else { return Ok(()) };
                for (i, entry) in entries.iter().enumerate() {
                    let Some(entry) = reference::known(entry, input) else { continue };
                    let entry = wanted(&Value::Array(vec![entry]), rules.max_files).map_err(|(code, detail)| {
                        (code, format!("{path}.{}", detail.replacen("sources[0]", &format!("sources[{i}]"), 1)))
                    })?;
                    check_urls(&entry, rules.sources, &path)?;
                }
                Ok(())
            }
            Work::Call(fields) => {
                if let Some(url) = reference::known(&fields.url, input) {
                    let url = url_of(&url).map_err(|fault| invalid(format!("{path}.{fault}")))?;
                    rules
                        .calls
                        .check(&url)
                        .map_err(|failure| ("url-forbidden", format!("{path}.url: {}", failure.detail)))?;
                }
                for (name, value) in &fields.headers {
                    let name = http_call::header_name(name).map_err(|fault| invalid(format!("{path}.{fault}")))?;
                    if let Some(value) = reference::known(value, input) {
                        header_of(name.as_str(), &value).map_err(|fault| invalid(format!("{path}.{fault}")))?;
                    }
                }
                if fields.json.is_some() && fields.method == Method::Get {
                    return Err(invalid(format!("{path}.json: a call with the method GET has no body")));
                }
                Ok(())
            }
        }
    }

    /// The calls that the step is made of, each with its limit. Empty for a step of another kind, or an `each` without items.
    ///
    /// # Errors
    /// A sentence that names the field: a reference that leads to nothing, or a value that is not allowed.
    pub fn calls(&self, scope: &Scope<'_>) -> Result<Vec<(HttpCall, Option<Limit>)>, String> {
        let Work::Call(fields) = &self.work else { return Ok(Vec::new()) };
        let call = |scope: Scope<'_>| Ok((fields.call(&scope)?, self.limit(&scope)?));
        match &self.fan {
            Fan::One | Fan::Sources => Ok(vec![call(*scope)?]),
            Fan::Shards(shards) => {
                (0..*shards).map(|shard| call(Scope { shard: Some((shard, *shards)), ..*scope })).collect()
            }
            Fan::Each { items, chunk_size } => {
                let items = reference::resolve(items, scope).map_err(|fault| format!("each: {fault}"))?;
                let items = list_of_items(&items)?;
                match chunk_size {
                    None => items.iter().map(|item| call(Scope { item: Some(item), ..*scope })).collect(),
                    Some(size) => {
                        let chunks = items.chunks(*size).map(|chunk| Value::Array(chunk.to_vec()));
                        chunks.map(|chunk| call(Scope { items: Some(&chunk), ..*scope })).collect()
                    }
                }
            }
        }
    }

    /// The pictures of the step, and what is to be done with them. `None` for a step of another kind.
    ///
    /// # Errors
    /// As for [`calls`](Self::calls), with the code.
    pub fn pictures(&self, scope: &Scope<'_>, rules: Rules<'_>) -> Result<Option<(Vec<Wanted>, Asked)>, Refusal> {
        let Work::Pictures { sources, operations } = &self.work else { return Ok(None) };
        let resolve = |template: &Value, field: &str| {
            reference::resolve(template, scope).map_err(|fault| invalid(format!("{field}: {fault}")))
        };
        let wanted = wanted(&resolve(sources, "sources")?, rules.max_files)?;
        let options = Value::Object(self.options.clone());
        let asked = match operations {
            Operations::Known(operations) => {
                let asked = Asked::parse(None, Some(&options), rules.pictures)?;
                Asked { operations: operations.clone(), ..asked }
            }
            Operations::Open(list) => {
                let list = resolve(list, "operations")?;
                Asked::parse(Some(&list), Some(&options), rules.pictures)?
            }
        };
        Ok(Some((wanted, asked)))
    }

    /// How many jobs may run at a time with those of the same key, if the step says so.
    ///
    /// # Errors
    /// As for [`calls`](Self::calls).
    pub fn limit(&self, scope: &Scope<'_>) -> Result<Option<Limit>, String> {
        let Some(Concurrency { key, limit }) = &self.concurrency else { return Ok(None) };
        let key = reference::resolve(key, scope).map_err(|fault| format!("concurrency.key: {fault}"))?;
        Ok(Some(Limit { key: key_of(&key)?, most: *limit }))
    }
}

impl CallFields {
    fn call(&self, scope: &Scope<'_>) -> Result<HttpCall, String> {
        let resolve = |template: &Value, field: &str| {
            reference::resolve(template, scope).map_err(|fault| format!("{field}: {fault}"))
        };
        let header = |(name, value): (&String, &Value)| {
            let value = resolve(value, &format!("headers.{name}"))?;
            Ok((name.clone(), header_of(name, &value)?))
        };
        let call = HttpCall {
            method: self.method,
            url: url_of(&resolve(&self.url, "url")?)?,
            headers: self.headers.iter().map(header).collect::<Result<_, String>>()?,
            json: self.json.as_ref().map(|json| resolve(json, "json")).transpose()?,
            timeout: self.timeout,
        };
        call.check()?;
        Ok(call)
    }
}

fn known_kinds() -> String {
    [ImageProcess::NAME, HttpCall::NAME].join(", ")
}

fn at(path: &str, (code, detail): Refusal) -> Refusal {
    (code, format!("{path}.{detail}"))
}

fn concurrency(value: &Value, path: &str) -> Result<Concurrency, Refusal> {
    let fields = object(value, path)?;
    only(fields, &["key", "limit"], path)?;
    let key = fields.get("key").cloned().ok_or_else(|| invalid(format!("{path}.key: is missing")))?;
    let limit = fields.get("limit").ok_or_else(|| invalid(format!("{path}.limit: is missing")))?;
    Ok(Concurrency { key, limit: number(limit, &format!("{path}.limit"), MOST_AT_A_TIME)? })
}

fn fan<'v>(field: &impl Fn(&str) -> Option<&'v Value>, path: &str) -> Result<Fan, Refusal> {
    let chunk_size = field("chunk_size").map(|size| number(size, &format!("{path}.chunk_size"), MOST_PER_CHUNK));
    match (field("each"), field("shards"), chunk_size.transpose()?) {
        (Some(_), Some(_), _) => Err(invalid(format!("{path}.shards: `each` is there, too; a step has one of both"))),
        (None, _, Some(_)) => Err(invalid(format!("{path}.chunk_size: there is no `each` to make chunks of"))),
        (Some(items), None, size) => Ok(Fan::Each { items: items.clone(), chunk_size: size.map(|size| size as usize) }),
        (None, Some(shards), None) => Ok(Fan::Shards(number(shards, &format!("{path}.shards"), MOST_SHARDS)? as u32)),
        (None, None, None) => Ok(Fan::One),
    }
}

fn call<'v>(field: &impl Fn(&str) -> Option<&'v Value>, path: &str, rules: Rules<'_>) -> Result<CallFields, Refusal> {
    let method = match field("method") {
        None => Method::default(),
        Some(value) => Method::deserialize(value).map_err(|_| {
            invalid(format!("{path}.method: {} is not one of GET, POST, PUT, PATCH, DELETE", shown(value)))
        })?,
    };
    let url = field("url").ok_or_else(|| invalid(format!("{path}.url: is missing")))?.clone();
    let headers = match field("headers") {
        None => Map::new(),
        Some(value) => object(value, &format!("{path}.headers"))?.clone(),
    };
    if headers.len() > MOST_HEADERS {
        return Err(invalid(format!("{path}.headers: {} are more than {MOST_HEADERS}", headers.len())));
    }
    let timeout = match field("timeout") {
        None => None,
        Some(value) => {
            let path = format!("{path}.timeout");
            let asked =
                duration::parse(&read::<String>(value, &path)?).map_err(|fault| invalid(format!("{path}: {fault}")))?;
            let (most, shown) = (rules.timeout, duration::show(asked));
            if asked.is_zero() || asked > most {
                let most = duration::show(most);
                return Err(invalid(format!("{path}: {shown} is zero or exceeds calls.timeout ({most})")));
            }
            Some(asked)
        }
    };
    Ok(CallFields { method, url, headers, json: field("json").cloned(), timeout })
}

fn options_of_call(options: Map<String, Value>, path: &str, rules: Rules<'_>) -> Result<Map<String, Value>, Refusal> {
    only(&options, &OPTIONS_OF_CALLS, &format!("{path}.options"))?;
    let checked = Asked::parse(None, Some(&Value::Object(options.clone())), rules.pictures);
    checked.map_err(|refusal| at(path, refusal))?;
    Ok(options)
}

/// What becomes of each picture, and the options without the preset that they may name.
fn operations(
    asked: Option<&Value>,
    mut options: Map<String, Value>,
    input: Option<&Value>,
    path: &str,
    rules: Rules<'_>,
) -> Result<(Operations, Map<String, Value>), Refusal> {
    if options.contains_key("then") {
        let detail = format!("{path}.options.then: what follows a step is a step: name this one in its `after`");
        return Err(("invalid-options", detail));
    }
    let known = asked.map(|template| (template, reference::known(template, input)));
    let parse = |operations: Option<&Value>, options: &Map<String, Value>| {
        let options = Value::Object(options.clone());
        Asked::parse(operations, Some(&options), rules.pictures).map_err(|refusal| at(path, refusal))
    };
    let operations = match known {
        Some((template, None)) => {
            let named = parse(None, &options)?;
            if options.remove("preset").is_some_and(|preset| !preset.is_null()) {
                let detail = format!("{path}.options.preset: {path}.operations are given, too; name one of both");
                return Err(("invalid-options", detail));
            }
            drop(named);
            Operations::Open(template.clone())
        }
        Some((_, Some(list))) => Operations::Known(parse(Some(&list), &options)?.operations),
        None => Operations::Known(parse(None, &options)?.operations),
    };
    options.remove("preset");
    Ok((operations, options))
}

/// The pictures that a step names; a plain text is a URL.
fn wanted(sources: &Value, most: usize) -> Result<Vec<Wanted>, Refusal> {
    let refused = |detail: String| ("invalid-sources", detail);
    let entries = sources.as_array().ok_or_else(|| refused(format!("sources: {} is not a list", shown(sources))))?;
    if entries.len() > most {
        return Err(refused(format!("sources: {} entries are more than limits.max_files ({most})", entries.len())));
    }
    let whole = |entry: &Value| match entry {
        Value::String(url) => json!({"url": url}),
        other => other.clone(),
    };
    Wanted::parse_all(&Value::Array(entries.iter().map(whole).collect())).map_err(refused)
}

fn check_urls(wanted: &[Wanted], guard: &Guard, path: &str) -> Result<(), Refusal> {
    for wanted in wanted {
        let Wanted::Url { url, .. } = wanted else { continue };
        let shown = shown(&json!(url));
        let parsed = Url::parse(url)
            .map_err(|error| ("invalid-url", format!("{path}.sources: {shown} is not a URL: {error}")))?;
        guard.check(&parsed).map_err(|failure| ("url-forbidden", format!("{path}.sources: {}", failure.detail)))?;
    }
    Ok(())
}

fn list_of_items(items: &Value) -> Result<&[Value], String> {
    let list = items.as_array().ok_or_else(|| format!("each: {} is not a list", shown(items)))?;
    if list.len() > MOST_ITEMS {
        return Err(format!("each: {} items are more than {MOST_ITEMS}", list.len()));
    }
    Ok(list)
}

fn url_of(value: &Value) -> Result<Url, String> {
    let text = value.as_str().ok_or_else(|| format!("url: {} is not a text", shown(value)))?;
    Url::parse(text).map_err(|error| format!("url: {} is not a URL: {error}", shown(value)))
}

fn header_of(name: &str, value: &Value) -> Result<String, String> {
    let text = value.as_str().ok_or_else(|| format!("headers.{name}: its value is not a text"))?;
    http_call::header_value(name, text)?;
    Ok(text.to_owned())
}

fn key_of(value: &Value) -> Result<String, String> {
    let text = value.as_str().ok_or_else(|| format!("concurrency.key: {} is not a text", shown(value)))?;
    if text.is_empty() || text.chars().count() > MOST_KEY {
        return Err(format!("concurrency.key: {} has not 1 to {MOST_KEY} characters", shown(value)));
    }
    Ok(text.to_owned())
}
