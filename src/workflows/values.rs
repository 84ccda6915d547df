//! Values of fields, held against what is allowed: in a document where they are known, and when a step begins.

use serde_json::{Value, json};
use url::Url;

use super::rules::{Refusal, shown};
use crate::kinds::http_call;
use crate::submission::Wanted;

/// Items of `each`.
const MOST_ITEMS: usize = 10_000;
/// Characters of the key of a limit.
const MOST_KEY: usize = 128;

/// The pictures that a step names; a plain text is a URL.
pub(super) fn wanted(sources: &Value, most: usize) -> Result<Vec<Wanted>, Refusal> {
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

/// The items of `each`.
pub(super) fn list_of_items(items: &Value) -> Result<&[Value], String> {
    let list = items.as_array().ok_or_else(|| format!("each: {} is not a list", shown(items)))?;
    if list.len() > MOST_ITEMS {
        return Err(format!("each: {} items are more than {MOST_ITEMS}", list.len()));
    }
    Ok(list)
}

pub(super) fn url_of(value: &Value) -> Result<Url, String> {
    let text = value.as_str().ok_or_else(|| format!("url: {} is not a text", shown(value)))?;
    Url::parse(text).map_err(|error| format!("url: {} is not a URL: {error}", shown(value)))
}

pub(super) fn header_of(name: &str, value: &Value) -> Result<String, String> {
    let text = value.as_str().ok_or_else(|| format!("headers.{name}: its value is not a text"))?;
    http_call::header_value(name, text)?;
    Ok(text.to_owned())
}

pub(super) fn key_of(value: &Value) -> Result<String, String> {
    let text = value.as_str().ok_or_else(|| format!("concurrency.key: {} is not a text", shown(value)))?;
    if text.is_empty() || text.chars().count() > MOST_KEY {
        return Err(format!("concurrency.key: {} has not 1 to {MOST_KEY} characters", shown(value)));
    }
    Ok(text.to_owned())
}
