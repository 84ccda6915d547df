//! Requests as command lines.

use serde_json::Value;

use super::description::{Operation, content, example, is_file, resolved, text};

/// The request as a command line.
pub(super) fn curl(document: &Value, operation: &Operation, address: &str) -> String {
    let mut path = operation.path.to_owned();
    let mut lines = Vec::new();
    let mut query = Vec::new();
    for parameter in operation.parameters(document) {
        let (name, must) = (text(&parameter["name"]), parameter["required"] == true);
        let example = example(parameter);
        let value = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
        match text(&parameter["in"]) {
            "path" if !example.is_null() => path = path.replace(&format!("{{{name}}}"), &value),
            "query" if must => query.push(format!("{name}={value}")),
            "header" if must => lines.push(format!("-H '{name}: {value}'")),
            _ => {}
        }
    }
    if operation.needs_key(document) {
        lines.push("-H \"Authorization: Bearer $PIXMILL_API_KEY\"".into());
    }
    let body = resolved(document, &operation.about["requestBody"]);
    if let Some((media_type, content, example)) = content(body) {
        if media_type == "multipart/form-data" {
            lines.extend(form(&content["schema"], example));
        } else {
            lines.push(format!("-H 'Content-Type: {media_type}'"));
            lines.push(format!("-d {}", quoted(&example.to_string())));
        }
    }
    if !query.is_empty() {
        path = format!("{path}?{}", query.join("&"));
    }
    let method = match operation.method {
        "get" => String::new(),
        "head" => "--head ".into(),
        "post" if !body.is_null() => String::new(),
        other => format!("-X {} ", other.to_uppercase()),
    };
    lines.insert(0, format!("curl {method}{}", quoted(&format!("{address}{path}"))));
    lines.join(" \\\n  ")
}

/// `-F` for each field of the example. The example has the names of files.
fn form(schema: &Value, example: &Value) -> Vec<String> {
    let mut parts = Vec::new();
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        match &example[name] {
            Value::Null => {}
            Value::Array(files) if is_file(&schema["items"]) => {
                parts.extend(files.iter().map(|file| format!("-F {name}=@{}", text(file))));
            }
            Value::String(file) if is_file(schema) => parts.push(format!("-F {name}=@{file}")),
            Value::String(value) => parts.push(format!("-F {}", quoted(&format!("{name}={value}")))),
            value => parts.push(format!("-F {}", quoted(&format!("{name}={value}")))),
        }
    }
    parts
}

/// Quoted for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::description::operations;
    use super::*;

    #[test]
    fn request_is_a_command_line() {
        let document = json!({
            "security": [{"key": []}],
            "paths": {
                "/things/{id}": {
                    "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "string", "examples": ["a7"]}}],
                    "put": {
                        "parameters": [{"name": "deep", "in": "query", "required": true, "schema": {"type": "boolean", "examples": [true]}}],
                        "requestBody": {"content": {"application/json": {"example": {"it's": 1}}}},
                    },
                },
                "/open": {"get": {"security": []}},
            },
        });
        let operations = operations(&document);
        let [put, open] = operations.as_slice() else { panic!("two operations") };
        assert_eq!(
            curl(&document, put, "https://x.example/mill"),
            "curl -X PUT 'https://x.example/mill/things/a7?deep=true' \\\n  -H \"Authorization: Bearer $PIXMILL_API_KEY\" \
             \\\n  -H 'Content-Type: application/json' \\\n  -d '{\"it'\\''s\":1}'"
        );
        assert_eq!(curl(&document, open, "http://x"), "curl 'http://x/open'");
    }

    #[test]
    fn forms_are_sent_part_by_part() {
        let schema = json!({"properties": {
            "images": {"type": "array", "items": {"contentMediaType": "application/octet-stream"}},
            "operations": {"type": "array"},
            "options": {"type": "object"},
        }});
        let example = json!({"images": ["cat.jpg", "dog.png"], "operations": [{"type": "flip"}]});
        assert_eq!(
            form(&schema, &example),
            ["-F images=@cat.jpg", "-F images=@dog.png", "-F 'operations=[{\"type\":\"flip\"}]'",]
        );
    }
}
