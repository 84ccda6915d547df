//! A step, and the jobs that are made of it when it begins.

use std::time::Duration;

use imaging::Operation;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::reference::{self, Part, Pointer, Scope};
use super::rules::{Refusal, Rules, invalid};
use super::values::{header_of, key_of, list_of_items, url_of, wanted};
use crate::duration;
use crate::kinds::http_call::Method;
use crate::kinds::{HttpCall, ImageProcess};
use crate::submission::{Asked, Wanted};

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
