//! The OpenAPI document as a page: operations by tag, then the schemas.
//!
//! It knows OpenAPI and nothing of this API, so whatever is added to the document appears on the page.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::curl::curl;
use super::description::{Operation, operations, resolved, tags, text};
use super::schema::{below, field, kind};
use super::trying;
use crate::http::base::path;
use crate::http::pages::page::{Page, TRYING, escaped, inline};

/// The page, with examples for a service at `address`.
pub(super) fn page(document: &Value, address: &str) -> Page {
    let operations = operations(document);
    let info = &document["info"];
    let (title, version) = (text(&info["title"]), text(&info["version"]));
    let (mut contents, mut body) = (String::from("<details open><summary>Contents</summary>"), String::new());
    let _ = write!(
        body,
        "<h1>{} <span class=\"quiet\">{}</span></h1><p>{}</p><p>The API is at \
         <code id=\"address\">{}</code>. <a href=\"{}\">This as OpenAPI {}</a> · <a href=\"{}\">All error codes</a> · \
         <a href=\"{}\">Upload pictures</a></p>{}",
        escaped(title),
        escaped(version),
        inline(text(&info["description"])),
        escaped(address),
        path("/openapi.json"),
        escaped(text(&document["openapi"])),
        path("/problems"),
        path("/"),
        trying::KEY,
    );
    for (tag, about) in tags(document, &operations) {
        let _ = write!(contents, "<p>{}</p><ul>", escaped(tag));
        let _ = write!(body, "<h2 id=\"tag-{0}\">{0}</h2><p>{1}</p>", escaped(tag), inline(about));
        for operation in operations.iter().filter(|operation| operation.tag() == tag) {
            let Operation { method, path, about } = operation;
            let _ = write!(
                contents,
                "<li><a href=\"#{}\" title=\"{}\"><span class=\"verb {method}\">{}</span> {}</a></li>",
                escaped(operation.id()),
                escaped(text(&about["summary"])),
                method.to_uppercase(),
                escaped(path),
            );
            body += &article(document, operation, address);
        }
        contents += "</ul>";
    }
    contents += "<p>schemas</p><ul>";
    body += "<h2 id=\"schemas\">schemas</h2>";
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let name = escaped(name);
        let _ = write!(contents, "<li><a href=\"#schema-{name}\">{name}</a></li>");
        let _ = write!(
            body,
            "<article id=\"schema-{name}\"><h3>{name} <span class=\"kind\">{}</span></h3>{}{}{}</article>",
            kind(schema),
            paragraph(&schema["description"]),
            below(schema),
            examples(schema),
        );
    }
    contents += "</ul></details>";
    Page::with_contents(&TRYING, title, &contents, &body)
}

fn article(document: &Value, operation: &Operation, address: &str) -> String {
    let Operation { method, path, about } = operation;
    let id = escaped(operation.id());
    let mut html = format!(
        "<article id=\"{id}\"><header><span class=\"method {method}\">{}</span><code>{}</code></header>\
         <h3>{}</h3>{}",
        method.to_uppercase(),
        escaped(path),
        inline(text(&about["summary"])),
        paragraph(&about["description"]),
    );
    if about["deprecated"] == true {
        html += "<p class=\"must\">Deprecated.</p>";
    }
    if !operation.needs_key(document) {
        html += "<p class=\"quiet\">Open: no key is needed.</p>";
    }
    let parameters: String = operation.parameters(document).map(parameter).collect();
    if !parameters.is_empty() {
        let _ = write!(html, "<h4>Parameters</h4><ul class=\"fields\">{parameters}</ul>");
    }
    let body = resolved(document, &about["requestBody"]);
    for (media_type, content) in body["content"].as_object().into_iter().flatten() {
        let must = if body["required"] == true { " <span class=\"must\">required</span>" } else { "" };
        let _ = write!(html, "<h4>Body: <code>{}</code>{must}</h4>{}", escaped(media_type), below(&content["schema"]));
        // The example of a form is the command line.
        if media_type != "multipart/form-data" {
            html += &examples(content);
        }
    }
    let _ = write!(
        html,
        "<h4>Try it</h4><pre tabindex=\"0\"><code>{}</code></pre>",
        escaped(&curl(document, operation, address))
    );
    html += &trying::form(document, operation);
    html += "<h4>Answers</h4>";
    for (status, response) in about["responses"].as_object().into_iter().flatten() {
        html += &answer(document, status, response);
    }
    html + "</article>"
}

fn parameter(parameter: &Value) -> String {
    let mut schema = parameter["schema"].clone();
    if schema.is_null() {
        schema = Value::Object(Map::new());
    }
    let about = [text(&parameter["description"]), text(&schema["description"])].join(" ");
    schema["description"] = format!("In the {}. {}", text(&parameter["in"]), about.trim()).into();
    field(text(&parameter["name"]), &schema, parameter["required"] == true)
}

fn answer(document: &Value, status: &str, response: &Value) -> String {
    let response = resolved(document, response);
    let mut inside = String::new();
    let headers = response["headers"].as_object().into_iter().flatten().map(|(name, header)| {
        let header = resolved(document, header);
        let mut schema = header["schema"].clone();
        if let (true, Some(about)) = (schema.is_object(), header["description"].as_str()) {
            schema["description"] = about.into();
        }
        field(name, &schema, false)
    });
    let headers: String = headers.collect();
    if !headers.is_empty() {
        let _ = write!(inside, "<p class=\"quiet\">Headers</p><ul class=\"fields\">{headers}</ul>");
    }
    let content: Vec<(&String, &Value)> = response["content"].as_object().into_iter().flatten().collect();
    // Media types without a schema share one line.
    let plain: Vec<String> = content
        .iter()
        .filter(|(_, content)| content["schema"].is_null())
        .map(|(media_type, _)| format!("<code>{}</code>", escaped(media_type)))
        .collect();
    if !plain.is_empty() {
        let _ = write!(inside, "<p>{}</p>", plain.join(", "));
    }
    for (media_type, content) in content.into_iter().filter(|(_, content)| !content["schema"].is_null()) {
        let _ = write!(
            inside,
            "<p><code>{}</code> {}</p>{}",
            escaped(media_type),
            kind(&content["schema"]),
            shape(content)
        );
    }
    let (status, about) = (escaped(status), inline(text(&response["description"])));
    if inside.is_empty() {
        return format!("<p><code>{status}</code> {about}</p>");
    }
    let open = if status.starts_with('2') { " open" } else { "" };
    format!("<details{open}><summary><code>{status}</code> {about}</summary>{inside}</details>")
}

/// The fields of a body whose schema has no name, and its examples.
fn shape(content: &Value) -> String {
    below(&content["schema"]) + &examples(content)
}

/// JSON in as few lines as are readable.
fn laid_out(value: &Value, indent: usize) -> String {
    const WIDTH: usize = 76;
    let whole = value.to_string();
    let (open, close, lines): (_, _, Vec<String>) = match value {
        _ if indent + whole.len() <= WIDTH => return whole,
        Value::Array(items) => ('[', ']', items.iter().map(|item| laid_out(item, indent + 2)).collect()),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                let name = Value::from(name.as_str());
                format!("{name}: {}", laid_out(value, indent + 2))
            };
            ('{', '}', fields.iter().map(field).collect())
        }
        _ => return whole,
    };
    let (inner, outer) = (" ".repeat(indent + 2), " ".repeat(indent));
    format!("{open}\n{inner}{}\n{outer}{close}", lines.join(&format!(",\n{inner}")))
}

/// The examples of a media type (`example`, `examples` by name) or of a schema (`examples` as a list).
fn examples(of: &Value) -> String {
    let mut told: Vec<(&str, &Value)> = of.get("example").map(|one| ("", one)).into_iter().collect();
    match &of["examples"] {
        Value::Array(list) => told.extend(list.iter().map(|one| ("", one))),
        Value::Object(named) => told.extend(
            named
                .iter()
                .filter_map(|(name, one)| Some((one["summary"].as_str().unwrap_or(name.as_str()), one.get("value")?))),
        ),
        _ => {}
    }
    let shown = told.into_iter().map(|(name, value)| {
        let value = value.as_str().map_or_else(|| laid_out(value, 0), str::to_owned);
        let name = if name.is_empty() { "Example".into() } else { format!("Example: {}", inline(name)) };
        format!("<p class=\"quiet\">{name}</p><pre tabindex=\"0\"><code>{}</code></pre>", escaped(&value))
    });
    shown.collect()
}

fn paragraph(value: &Value) -> String {
    value.as_str().map(|about| format!("<p>{}</p>", inline(about))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_the_document_has_is_on_the_page() {
        let document = json!({
            "openapi": "3.1.0",
            "info": {"title": "An <API>", "version": "9", "description": "With `code`."},
            "security": [{"key": []}],
            "paths": {
                "/things/{id}": {
                    "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "string", "examples": ["a7"]}}],
                    "put": {
                        "operationId": "putThing", "tags": ["new"], "summary": "Put it.",
                        "parameters": [{"name": "deep", "in": "query", "required": true, "schema": {"type": "boolean", "examples": [true]}}],
                        "requestBody": {"content": {"application/json": {"example": {"it's": 1}}}},
                        "responses": {"204": {"description": "Put.", "headers": {"X-Rest": {"schema": {"type": "integer"}}}}},
                    },
                },
                "/open": {"get": {"operationId": "open", "security": [], "summary": "Look.", "responses": {}}},
            },
            "components": {"schemas": {"Thing": {"type": "object", "properties": {"side": {"type": "integer", "minimum": 1}}}}},
        });
        let page = html(&document);
        for part in [
            "An &lt;API&gt;",
            "With <code>code</code>.",
            "tag-new",
            "tag-other",
            "id=\"putThing\"",
            "id=\"schema-Thing\"",
            "X-Rest",
            "integer, at least 1",
            "Open: no key is needed.",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
    }

    #[test]
    fn examples_take_few_lines() {
        let long = "x".repeat(60);
        let value = json!({"a": [1, 2], "b": {"c": long, "d": [{"e": long}]}});
        assert_eq!(
            laid_out(&value, 0),
            format!(
                "{{\n  \"a\": [1,2],\n  \"b\": {{\n    \"c\": \"{long}\",\n    \"d\": [{{\"e\":\"{long}\"}}]\n  }}\n}}"
            )
        );
    }

    fn html(document: &Value) -> String {
        page(document, "http://x").into_text()
    }
}
