//! Parses a step's fields and checks all that does not concern other steps.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

use super::reference::{self, Pointer};
use super::rules::{Refusal, Rules, invalid, is_word, number, object, only, read, shown};
use super::steps::{CallFields, Concurrency, Fan, On, Operations, Step, Work};
use super::values::{header_of, key_of, list_of_items, url_of, wanted};
use crate::duration;
use crate::kinds::http_call::{self, MOST_HEADERS, Method};
use crate::kinds::{HttpCall, ImageProcess};
use crate::net::Guard;
use crate::submission::{Asked, Wanted};

/// Items of a chunk.
const MOST_PER_CHUNK: u64 = 1_000;
const MOST_SHARDS: u64 = 1_000;
/// Jobs that a limit of a step may allow at a time.
const MOST_AT_A_TIME: u64 = 10_000;

const COMMON: [&str; 5] = ["kind", "after", "on", "options", "concurrency"];
const OF_PICTURES: [&str; 2] = ["sources", "operations"];
const OF_CALLS: [&str; 8] = ["method", "url", "headers", "json", "timeout", "each", "chunk_size", "shards"];
/// Options that a call has, of those of a submission.
const OPTIONS_OF_CALLS: [&str; 4] = ["queue", "priority", "retries", "eta"];
/// Kinds of steps that this version does not have.
const LATER: [&str; 3] = ["notify", "report", "event"];

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
