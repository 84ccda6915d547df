//! Describes that optional fields of requests may be `null`, which is the same as leaving them out.

use serde_json::{Value, json};

/// Lets optional fields of the options and of each operation be `null`.
pub(super) fn allow_null(schemas: &mut Value) {
    allow_null_in(&mut schemas["Options"]);
    each_entry(&mut schemas["Operations"]);
}

/// The entries of a list of operations, and those of the lists in them.
fn each_entry(operations: &mut Value) {
    for entry in operations["items"]["oneOf"].as_array_mut().into_iter().flatten() {
        allow_null_in(entry);
        if entry["properties"]["operations"]["items"]["oneOf"].is_array() {
            each_entry(&mut entry["properties"]["operations"]);
        }
    }
}

fn allow_null_in(object: &mut Value) {
    let required = object["required"].clone();
    let is_optional = |name: &str| !required.as_array().is_some_and(|names| names.iter().any(|one| one == name));
    let fields = object["properties"].as_object_mut().into_iter().flatten();
    fields.filter(|(name, _)| is_optional(name)).for_each(|(_, schema)| nullable(schema));
}

fn nullable(schema: &mut Value) {
    if let Some(kind @ Value::String(_)) = schema.get_mut("type") {
        *kind = json!([kind.take(), "null"]);
    }
    if let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        values.push(Value::Null);
    }
    if let Some(schemas) = ["oneOf", "anyOf"]
        .into_iter()
        .find(|name| schema.get(name).is_some())
        .and_then(|name| schema[name].as_array_mut())
    {
        schemas.push(json!({"type": "null"}));
    }
}
