//! References in a document: `{"$ref": "/input/order_id"}` is a JSON pointer (RFC 6901) to a value that is known by the time
//! the step begins.
//!
//! A value that a reference leads to is taken as it is: a `$ref` inside of it is data.

use serde_json::{Map, Value};

/// The name of a reference's only field.
const FIELD: &str = "$ref";
const KNOWN: &str = "/input/…, /steps/NAME/result|results|results_url|counts, /item, /items, /shard, /shards";

/// Where a reference leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pointer {
    /// Into the workflow's `input`; the rest is a pointer below it.
    Input(String),
    /// Into what is known of an earlier step.
    Step { name: String, part: Part, rest: String },
    /// Into the item that a job of a fan-out is for.
    Item(String),
    /// Into the list of items that a job of a fan-out in chunks is for.
    Items(String),
    /// The job's number among the shards, from 0.
    Shard,
    /// The number of shards.
    Shards,
}

/// What is known of a step that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The result of a step that is one job.
    Result,
    /// The results of a fan-out, by index.
    Results,
    /// The address of all results of a fan-out.
    ResultsUrl,
    /// How many jobs succeeded, failed and were cancelled.
    Counts,
}

/// The values that references lead to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope<'s> {
    pub input: Option<&'s Value>,
    /// By the step's name an object of its parts.
    pub steps: Option<&'s Map<String, Value>>,
    pub item: Option<&'s Value>,
    /// A list.
    pub items: Option<&'s Value>,
    /// The job's number and the number of shards.
    pub shard: Option<(u32, u32)>,
}

impl Part {
    const ALL: [Self; 4] = [Self::Result, Self::Results, Self::ResultsUrl, Self::Counts];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Result => "result",
            Self::Results => "results",
            Self::ResultsUrl => "results_url",
            Self::Counts => "counts",
        }
    }
}

impl Pointer {
    /// # Errors
    /// A sentence that quotes the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let shown: String = text.escape_debug().take(128).collect();
        let fault = |why: &str| Err(format!("the reference `{shown}` {why}"));
        let escapes = text.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
        if !escapes {
            return fault("has a `~` that is not written as `~0`, and is not the `/` that `~1` stands for");
        }
        let Some(whole) = text.strip_prefix('/') else { return fault(&format!("begins with none of {KNOWN}")) };
        let (first, rest) = split(whole);
        match (first, rest) {
            ("input", rest) => Ok(Self::Input(rest.into())),
            ("item", rest) => Ok(Self::Item(rest.into())),
            ("items", rest) => Ok(Self::Items(rest.into())),
            ("shard", "") => Ok(Self::Shard),
            ("shards", "") => Ok(Self::Shards),
            ("steps", rest) => {
                let (name, rest) = split(rest.strip_prefix('/').unwrap_or_default());
                let (part, rest) = split(rest.strip_prefix('/').unwrap_or_default());
                let Some(part) = Part::ALL.into_iter().find(|known| known.as_str() == part) else {
                    let known = Part::ALL.map(Part::as_str).join(", ");
                    return fault(&format!(
                        "does not name what of a step it means; write /steps/NAME/ and one of {known}"
                    ));
                };
                Ok(Self::Step { name: name.into(), part, rest: rest.into() })
            }
            _ => fault(&format!("begins with none of {KNOWN}")),
        }
    }
}

/// The first part of a pointer without its slash, and the rest with it.
fn split(pointer: &str) -> (&str, &str) {
    pointer.find('/').map_or((pointer, ""), |slash| pointer.split_at(slash))
}

/// The pointer's text, if the value is a reference.
fn text_of(value: &Value) -> Result<Option<&str>, String> {
    match value.as_object() {
        Some(fields) if fields.contains_key(FIELD) => match (fields.len(), &fields[FIELD]) {
            (1, Value::String(text)) => Ok(Some(text)),
            (1, _) => Err(format!("`{FIELD}` is not a text; it is a JSON pointer such as /input/order_id")),
            _ => Err(format!("a reference has no other field beside `{FIELD}`")),
        },
        _ => Ok(None),
    }
}

/// Calls `visit` with every reference in a template and the path of the field where it is.
///
/// # Errors
/// A sentence that begins with the path: what is no reference, or what `visit` says.
pub fn each(template: &Value, path: &str, visit: &mut dyn FnMut(Pointer) -> Result<(), String>) -> Result<(), String> {
    let at = |fault: String| format!("{path}: {fault}");
    if let Some(text) = text_of(template).map_err(at)? {
        return Pointer::parse(text).and_then(&mut *visit).map_err(at);
    }
    match template {
        Value::Array(list) => {
            list.iter().enumerate().try_for_each(|(i, inner)| each(inner, &format!("{path}[{i}]"), visit))
        }
        Value::Object(fields) => fields.iter().try_for_each(|(name, inner)| {
            let name: String = name.escape_debug().take(64).collect();
            each(inner, &format!("{path}.{name}"), visit)
        }),
        _ => Ok(()),
    }
}

/// The template with each reference replaced by the value that it leads to.
///
/// # Errors
/// A sentence that names the first reference which leads to nothing.
pub fn resolve(template: &Value, scope: &Scope<'_>) -> Result<Value, String> {
    if let Some(text) = text_of(template)? {
        return scope.find(text);
    }
    Ok(match template {
        Value::Array(list) => Value::Array(list.iter().map(|inner| resolve(inner, scope)).collect::<Result<_, _>>()?),
        Value::Object(fields) => {
            let resolved = fields.iter().map(|(name, inner)| Ok((name.clone(), resolve(inner, scope)?)));
            Value::Object(resolved.collect::<Result<_, String>>()?)
        }
        other => other.clone(),
    })
}

/// The template's value, if all its references lead into `input`, and `input` is known; `None` if it is known only later.
pub fn known(template: &Value, input: Option<&Value>) -> Option<Value> {
    let mut later = false;
    each(template, "", &mut |pointer| {
        later |= input.is_none() || !matches!(pointer, Pointer::Input(_));
        Ok(())
    })
    .ok()?;
    if later { None } else { resolve(template, &Scope { input, ..Scope::default() }).ok() }
}

impl Scope<'_> {
    fn find(&self, text: &str) -> Result<Value, String> {
        let found = match Pointer::parse(text)? {
            Pointer::Input(rest) => self.input.and_then(|input| input.pointer(&rest)).cloned(),
            Pointer::Step { name, part, rest } => {
                let step = self.steps.and_then(|steps| steps.get(&name)?.get(part.as_str()));
                step.and_then(|value| value.pointer(&rest)).cloned()
            }
            Pointer::Item(rest) => self.item.and_then(|item| item.pointer(&rest)).cloned(),
            Pointer::Items(rest) => self.items.and_then(|items| items.pointer(&rest)).cloned(),
            Pointer::Shard => self.shard.map(|(shard, _)| shard.into()),
            Pointer::Shards => self.shard.map(|(_, shards)| shards.into()),
        };
        found.ok_or_else(|| format!("the reference `{}` leads to nothing", text.escape_debug()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pointers_lead_into_input_steps_and_the_job_of_a_fan_out() {
        let input = json!({"order": {"id": "A-17", "a/b": 1, "~": 2}, "list": [1, {"x": true}]});
        let steps = json!({
            "pay": {"result": {"payment_id": "p-1"}, "counts": {"succeeded": 1, "failed": 0}},
            "many": {"results": [{"n": 1}, {"n": 2}], "results_url": "/api/groups/g"}
        });
        let (item, items) = (json!({"sku": 7}), json!([1, 2]));
        let scope = Scope {
            input: Some(&input),
            steps: steps.as_object(),
            item: Some(&item),
            items: Some(&items),
            shard: Some((3, 8)),
        };
        for (pointer, value) in [
            ("/input", input.clone()),
            ("/input/order/id", json!("A-17")),
            ("/input/order/a~1b", json!(1)),
            ("/input/order/~0", json!(2)),
            ("/input/list/1/x", json!(true)),
            ("/steps/pay/result", json!({"payment_id": "p-1"})),
            ("/steps/pay/result/payment_id", json!("p-1")),
            ("/steps/pay/counts/failed", json!(0)),
            ("/steps/many/results/1/n", json!(2)),
            ("/steps/many/results_url", json!("/api/groups/g")),
            ("/item", item.clone()),
            ("/item/sku", json!(7)),
            ("/items/1", json!(2)),
            ("/shard", json!(3)),
            ("/shards", json!(8)),
        ] {
            let template = json!({"a": [{"$ref": pointer}, "$ref"], "b": null});
            assert_eq!(resolve(&template, &scope), Ok(json!({"a": [value, "$ref"], "b": null})), "{pointer}");
        }
        for pointer in ["/input/none", "/input/list/2", "/steps/none/result", "/steps/pay/results", "/item/a"] {
            let fault = resolve(&json!({"$ref": pointer}), &scope).unwrap_err();
            assert_eq!(fault, format!("the reference `{pointer}` leads to nothing"));
        }
        assert!(resolve(&json!({"$ref": "/item"}), &Scope::default()).is_err());
    }

    #[test]
    fn reference_inside_a_value_that_is_referred_to_is_data() {
        let input = json!({"order": {"$ref": "/steps/secret/result"}});
        let scope = Scope { input: Some(&input), ..Scope::default() };
        let template = json!({"a": {"$ref": "/input/order"}});
        assert_eq!(resolve(&template, &scope), Ok(json!({"a": {"$ref": "/steps/secret/result"}})));
        assert_eq!(known(&template, Some(&input)), Some(json!({"a": {"$ref": "/steps/secret/result"}})));
    }

    #[test]
    fn only_what_the_input_alone_decides_is_known_at_once() {
        let input = json!({"a": 1});
        assert_eq!(known(&json!([{"$ref": "/input/a"}]), Some(&input)), Some(json!([1])));
        assert_eq!(known(&json!({"$ref": "/input/a"}), None), None);
        assert_eq!(known(&json!([{"$ref": "/input/a"}, {"$ref": "/item"}]), Some(&input)), None);
        assert_eq!(known(&json!("plain"), None), Some(json!("plain")));
    }

    #[test]
    fn faulty_references_are_named_with_their_place() {
        for (template, said) in [
            (json!({"a": [{"$ref": "input/x"}]}), "json.a[0]: the reference `input/x` begins with none of /input/…"),
            (json!({"$ref": "/inputs/x"}), "json: the reference `/inputs/x` begins with none of"),
            (json!({"$ref": ""}), "json: the reference `` begins with none of"),
            (json!({"$ref": "/shard/0"}), "json: the reference `/shard/0` begins with none of"),
            (json!({"$ref": "/steps/pay"}), "json: the reference `/steps/pay` does not name what of a step it means"),
            (json!({"$ref": "/steps/pay/error"}), "json: the reference `/steps/pay/error` does not name"),
            (json!({"$ref": "/input/a~2"}), "json: the reference `/input/a~2` has a `~`"),
            (json!({"$ref": 1}), "json: `$ref` is not a text"),
            (json!({"$ref": "/input", "x": 1}), "json: a reference has no other field beside `$ref`"),
        ] {
            let fault = each(&template, "json", &mut |_| Ok(())).unwrap_err();
            assert!(fault.starts_with(said), "{template}: {fault}");
        }
    }
}
