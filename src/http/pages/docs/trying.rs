//! Forms that send the requests that the page describes. Its script (`try.js`) shows them; without it they stay hidden.

use std::fmt::Write;

use serde_json::Value;

use super::description::{Operation, content, example, is_file, resolved, text};
use crate::http::base::path;
use crate::http::pages::page::escaped;

/// The field for a key, for readers who are not logged in. The page does not store it.
pub(super) const KEY: &str = "<form class=\"key\" hidden><label>API key <input id=\"key\" type=\"password\" autocomplete=\"off\" \
    spellcheck=\"false\"></label> <span class=\"quiet\">for what is sent from this page; not needed after a login, and not \
    kept</span></form>";

/// One operation's form.
pub(super) fn form(document: &Value, operation: &Operation) -> String {
    let mut fields = String::new();
    for parameter in operation.parameters(document) {
        let (name, place, must) = (text(&parameter["name"]), text(&parameter["in"]), parameter["required"] == true);
        let example = if must { plain(example(parameter)) } else { String::new() };
        let _ = write!(
            fields,
            "<label><span>{0} <span class=\"quiet\">{1}</span></span><input name=\"{0}\" data-in=\"{1}\" value=\"{2}\"{3}></label>",
            escaped(name),
            escaped(place),
            escaped(&example),
            if must { " required" } else { "" },
        );
    }
    let body = resolved(document, &operation.about["requestBody"]);
    let mut media = "";
    if let Some((media_type, content, example)) = content(body) {
        media = media_type;
        fields += &if media_type == "multipart/form-data" {
            parts(&content["schema"], example)
        } else {
            area("body", example)
        };
    }
    format!(
        "<form class=\"try\" data-method=\"{}\" data-path=\"{}\" data-media=\"{}\" hidden>{fields}\
         <p><button>Send</button> <button type=\"button\" class=\"stop\" hidden>Stop</button></p>\
         <div class=\"answer\" role=\"status\"></div></form>",
        operation.method.to_uppercase(),
        escaped(&path(operation.path)),
        escaped(media),
    )
}

/// The fields of a form that is sent part by part.
fn parts(schema: &Value, example: &Value) -> String {
    let fields = schema["properties"].as_object().into_iter().flatten().map(|(name, schema)| {
        if is_file(schema) || is_file(&schema["items"]) {
            let several = if schema["items"].is_object() { " multiple" } else { "" };
            return format!(
                "<label><span>{0}</span><input type=\"file\" name=\"{0}\" data-in=\"part\"{several}></label>",
                escaped(name)
            );
        }
        area(name, &example[name])
    });
    fields.collect()
}

/// A field for text, with its example.
fn area(name: &str, example: &Value) -> String {
    let example = if example.is_null() {
        String::new()
    } else {
        example.as_str().map_or_else(|| serde_json::to_string_pretty(example).expect("JSON serialises"), str::to_owned)
    };
    let place = if name == "body" { "body" } else { "part" };
    format!(
        "<label><span>{0}</span><textarea name=\"{0}\" data-in=\"{place}\" rows=\"{1}\" spellcheck=\"false\">{2}</textarea></label>",
        escaped(name),
        example.lines().count().clamp(1, 12),
        escaped(&example),
    )
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn form_has_a_field_for_each_parameter_and_part() {
        let about = json!({
            "parameters": [
                {"name": "id", "in": "path", "required": true, "schema": {"examples": ["a\"7"]}},
                {"name": "deep", "in": "query", "schema": {}},
            ],
            "requestBody": {"content": {"multipart/form-data": {
                "schema": {"properties": {"images": {"items": {"contentMediaType": "application/octet-stream"}}, "operations": {}}},
                "example": {"images": ["cat.jpg"], "operations": [{"type": "flip"}]},
            }}},
        });
        let form = form(&json!({}), &Operation { method: "post", path: "/things/{id}", about: &about });
        for part in [
            "data-method=\"POST\" data-path=\"/things/{id}\" data-media=\"multipart/form-data\" hidden",
            "<input name=\"id\" data-in=\"path\" value=\"a&quot;7\" required>",
            "<input name=\"deep\" data-in=\"query\" value=\"\">",
            "<input type=\"file\" name=\"images\" data-in=\"part\" multiple>",
            "<textarea name=\"operations\" data-in=\"part\"",
        ] {
            assert!(form.contains(part), "{part} is not in {form}");
        }
    }
}
