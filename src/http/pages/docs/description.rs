//! Reading an OpenAPI document: its operations, and what belongs to each.

use serde_json::Value;

const METHODS: [&str; 8] = ["get", "head", "post", "put", "patch", "delete", "options", "trace"];

/// One method of one path.
pub(super) struct Operation<'a> {
    pub(super) method: &'static str,
    pub(super) path: &'a str,
    pub(super) about: &'a Value,
}

/// All operations, in the order of the document.
pub(super) fn operations(document: &Value) -> Vec<Operation<'_>> {
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        let known = METHODS.into_iter().filter_map(|method| Some((method, methods.get(method)?)));
        found.extend(known.map(|(method, about)| Operation { method, path, about }));
    }
    found
}

/// The declared tags, then those that operations use without a declaration; each with its description.
pub(super) fn tags<'a>(document: &'a Value, operations: &[Operation<'a>]) -> Vec<(&'a str, &'a str)> {
    let declared = document["tags"].as_array().into_iter().flatten();
    let mut tags: Vec<_> = declared.map(|tag| (text(&tag["name"]), text(&tag["description"]))).collect();
    for operation in operations {
        if !tags.iter().any(|(name, _)| *name == operation.tag()) {
            tags.push((operation.tag(), ""));
        }
    }
    tags.retain(|(name, _)| operations.iter().any(|operation| operation.tag() == *name));
    tags
}

impl<'a> Operation<'a> {
    pub(super) fn tag(&self) -> &'a str {
        self.about["tags"][0].as_str().unwrap_or("other")
    }

    pub(super) fn id(&self) -> &'a str {
        text(&self.about["operationId"])
    }

    pub(super) fn parameters<'d>(&'d self, document: &'d Value) -> impl Iterator<Item = &'d Value> {
        let own = self.about["parameters"].as_array();
        let shared = document["paths"][self.path]["parameters"].as_array();
        own.into_iter().chain(shared).flatten().map(|parameter| resolved(document, parameter))
    }

    pub(super) fn needs_key(&self, document: &Value) -> bool {
        let security = self.about.get("security").unwrap_or(&document["security"]);
        security.as_array().is_some_and(|schemes| !schemes.is_empty())
    }
}

/// A body's first media type, with its first example.
pub(super) fn content(body: &Value) -> Option<(&str, &Value, &Value)> {
    let (media_type, content) = body["content"].as_object()?.iter().next()?;
    let example = content.get("example").or_else(|| content["examples"].as_object()?.values().next()?.get("value"));
    Some((media_type, content, example.unwrap_or(&Value::Null)))
}

/// A parameter's or a field's example.
pub(super) fn example(parameter: &Value) -> &Value {
    parameter.get("example").unwrap_or(&parameter["schema"]["examples"][0])
}

/// Whether a form's field is a file.
pub(super) fn is_file(schema: &Value) -> bool {
    !schema["contentMediaType"].is_null() || schema["format"] == "binary"
}

/// What a `$ref` refers to; any other value itself.
pub(super) fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let target = value["$ref"].as_str().and_then(|at| document.pointer(at.strip_prefix('#')?));
    target.unwrap_or(value)
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
