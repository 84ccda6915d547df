//! How the OpenAPI document describes one method of a path. Each handler has such a description beside it.

use serde_json::{Map, Value, json};

/// A status and the OpenAPI response object for it.
pub(super) type Answer = (&'static str, Value);

/// One method of a path.
pub(super) struct Operation {
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    details: &'static str,
    /// The path's `{id}` has this name in the document.
    subject: Option<&'static str>,
    parameters: Vec<Value>,
    body: Option<Value>,
    success: Answer,
    problems: &'static [&'static str],
    answers: Vec<Answer>,
    needs_key: bool,
    is_page: bool,
}

impl Operation {
    /// `tag` is one of the document's `tags`.
    pub(super) fn new(id: &'static str, tag: &'static str, summary: &'static str, success: Answer) -> Self {
        Self {
            id,
            tag,
            summary,
            details: "",
            subject: None,
            parameters: Vec::new(),
            body: None,
            success,
            problems: &[],
            answers: Vec::new(),
            needs_key: true,
            is_page: false,
        }
    }

    /// A longer description.
    pub(super) fn details(self, details: &'static str) -> Self {
        Self { details, ..self }
    }

    /// Names the path's `{id}`, and describes it by the shared parameter of this name: `group`, `job` or `id`.
    pub(super) fn subject(self, name: &'static str) -> Self {
        Self { subject: Some(name), ..self }.parameters([parameter(name)])
    }

    /// Adds parameters.
    pub(super) fn parameters(mut self, parameters: impl IntoIterator<Item = Value>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    /// The body that the handler reads. Without a description, a request with a body is refused.
    pub(super) fn body(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    /// A JSON body that may replace the parameters of the query.
    pub(super) fn parameters_as_body(self) -> Self {
        let named = self.parameters.iter().filter(|one| one["in"] == "query");
        let fields: Map<_, _> =
            named.map(|one| (one["name"].as_str().unwrap_or_default().to_owned(), one["schema"].clone())).collect();
        let schema = json!({"type": "object", "properties": fields, "additionalProperties": false});
        self.body(json!({"description": "The same parameters as JSON, instead of in the address.",
            "content": {"application/json": {"schema": schema}}}))
    }

    /// Statuses of `components.responses` that it may answer with. Added to them are 400, 415 and 500, and 401, 403 and
    /// 429 if a key is needed.
    pub(super) fn problems(self, problems: &'static [&'static str]) -> Self {
        Self { problems, ..self }
    }

    /// An answer that only this operation has. It replaces a shared one of the same status.
    pub(super) fn answer(mut self, status: &'static str, answer: Value) -> Self {
        self.answers.push((status, answer));
        self
    }

    /// Marks that no key is needed.
    pub(super) fn without_key(self) -> Self {
        Self { needs_key: false, ..self }
    }

    /// Marks that browsers get its refusals as pages.
    pub(super) fn page(self) -> Self {
        Self { is_page: true, ..self }
    }

    /// Whether the handler reads the request's body.
    pub(super) fn reads_body(&self) -> bool {
        self.body.is_some()
    }

    /// The router's path as the document writes it.
    pub(super) fn path(&self, route: &str) -> String {
        self.subject.map_or_else(|| route.to_owned(), |name| route.replace("{id}", &format!("{{{name}}}")))
    }

    /// The OpenAPI operation object.
    pub(super) fn described(&self) -> Value {
        let mut described = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.summary,
            "responses": self.responses(),
        });
        if !self.details.is_empty() {
            described["description"] = self.details.into();
        }
        if !self.parameters.is_empty() {
            described["parameters"] = self.parameters.clone().into();
        }
        if let Some(body) = &self.body {
            described["requestBody"] = body.clone();
        }
        if !self.needs_key {
            described["security"] = json!([]);
        }
        described
    }

    fn responses(&self) -> Value {
        let (status, success) = &self.success;
        let mut responses = Map::from_iter([((*status).to_owned(), success.clone())]);
        let of_keys: &[&str] = if self.needs_key { &["401", "403", "429"] } else { &[] };
        // `server::bodies` refuses bodies that are encoded or not read.
        let of_bodies = ["400", "415"].into_iter().filter(|status| !self.problems.contains(status));
        for status in self.problems.iter().chain(of_keys).copied().chain(["500"]).chain(of_bodies) {
            let shared = if self.is_page && status.starts_with(['4', '5']) {
                problem_or_page("A problem document; for browsers, a page with it.")
            } else {
                json!({"$ref": format!("#/components/responses/{status}")})
            };
            responses.insert(status.into(), shared);
        }
        for (status, answer) in &self.answers {
            responses.insert((*status).into(), answer.clone());
        }
        responses.into()
    }
}

/// 200 with a document of this schema.
pub(super) fn ok(about: &str, schema: &str) -> Answer {
    ("200", json!({"description": about, "content": content(schema)}))
}

/// 200 with content of these media types, which have no schema.
pub(super) fn ok_as(about: &str, media_types: &[&str]) -> Answer {
    let content: Map<_, _> = media_types.iter().map(|&media_type| (media_type.to_owned(), json!({}))).collect();
    ("200", json!({"description": about, "content": content}))
}

/// 202 for new work. `Location` is the path of its status.
pub(super) fn accepted(about: &str, location: &str) -> Answer {
    let answer = json!({
        "description": about,
        "headers": {"Location": {"schema": {"type": "string"}, "description": location}},
        "content": content("Submitted"),
    });
    ("202", answer)
}

/// A refusal that is a problem document, or a page.
pub(super) fn problem_or_page(about: &str) -> Value {
    json!({
        "description": about,
        "content": {"application/problem+json": {"schema": reference("Problem")}, "text/html": {}},
    })
}

pub(super) fn content(schema: &str) -> Value {
    json!({"application/json": {"schema": reference(schema)}})
}

/// A schema of `components.schemas`.
pub(super) fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

/// A parameter of `components.parameters`.
pub(super) fn parameter(name: &str) -> Value {
    json!({"$ref": format!("#/components/parameters/{name}")})
}

#[allow(clippy::needless_pass_by_value, reason = "as json! makes it")]
pub(super) fn in_path(name: &str, about: &str, schema: Value) -> Value {
    json!({"name": name, "in": "path", "required": true, "description": about, "schema": schema})
}

#[allow(clippy::needless_pass_by_value, reason = "as json! makes it")]
pub(super) fn in_query(name: &str, about: &str, schema: Value) -> Value {
    json!({"name": name, "in": "query", "description": about, "schema": schema})
}

/// A parameter of the query that takes one of these values.
pub(super) fn one_of(name: &str, about: &str, values: &[&str]) -> Value {
    in_query(name, about, json!({"enum": values}))
}

/// A parameter of the query that is read as [`Flag`](super::request::Flag).
pub(super) fn flag(name: &str, about: &str) -> Value {
    one_of(name, about, &["true", "1", "false", "0"])
}

/// A list of operations, or a preset's name.
pub(super) fn operations_or_preset() -> Value {
    json!({"oneOf": [reference("Operations"), {"type": "string", "description": "A preset's name."}]})
}
