//! `POST /api/groups`: pictures that are somewhere already, by URL, key, prefix or earlier group.
//!
//! The answer is the same as to an upload. `GET /api/presets` lists the operations that a request may name.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use serde_json::{Map, Value, json};

use crate::http::Services;
use crate::http::access::Caller;
use crate::http::monitoring::readiness::takes_work;
use crate::http::operation::{Operation, accepted as taken, ok, parameter, reference};
use crate::http::problem::Problem;
use crate::http::request::json::object;
use crate::http::request::{NoQuery, QueryOf, query};
use crate::http::submissions::prefer::{answer, finished_docs};
use crate::http::submissions::uploads::{asked, idempotency_key, sender};
use crate::submission::{Asked, Submission, Submitted, Wanted};

const FIELDS: [&str; 3] = ["sources", "operations", "options"];

pub(in crate::http) async fn create(
    State(services): State<Arc<Services>>,
    Extension(caller): Extension<Caller>,
    nothing: QueryOf<NoQuery>,
    request: Request,
) -> Result<Response, Problem> {
    query(nothing)?;
    takes_work(&services).await?;
    let sender = sender(&caller, request.headers());
    let mut submission = Submission::begin(services.storage.clone(), &services.limits).by(sender);
    let key = idempotency_key(request.headers(), &caller)?;
    let headers = request.headers().clone();
    let body = body(request, services.limits.max_body_bytes).await?;
    if let Some(key) = key {
        submission.reserve(&services.broker, key).await?;
    }
    match take(&services, &caller, &body, &mut submission).await {
        Ok(Taken::Before(known)) => Ok(answer(&services, &headers, &known).await),
        Ok(Taken::Now(asked)) => {
            let submitted = submission.enqueue(&services.broker, &asked, &services.queue).await?;
            services.metrics.images_accepted.inc_by(submitted.images as u64);
            Ok(answer(&services, &headers, &submitted).await)
        }
        Err(problem) => {
            submission.unreserve().await;
            Err(problem)
        }
    }
}

pub(in crate::http) fn create_docs() -> Operation {
    let answer = taken("Taken; ask for the status at `links.self`.", "The status's path.");
    let summary = "Have pictures processed that are somewhere already: by URL, key, prefix or earlier group.";
    Operation::new("createGroup", "pictures", summary, answer)
        .details(
            "Answered as an upload is. A source that cannot be taken is told in `rejected` and fails no other; a URL \
            that cannot be fetched fails as its picture does.",
        )
        .parameters([parameter("idempotency_key"), parameter("prefer")])
        .answer("200", finished_docs())
        .body(json!({"required": true, "content": {"application/json": {"schema": reference("Group")}}}))
        .problems(&["400", "409", "413", "415", "422", "503"])
}

enum Taken {
    /// The sources are taken. This is to be done with them.
    Now(Asked),
    /// The same request was answered before, with this.
    Before(Submitted),
}

async fn take(
    services: &Services,
    caller: &Caller,
    body: &Map<String, Value>,
    submission: &mut Submission,
) -> Result<Taken, Problem> {
    let limits = &services.limits;
    let asked = asked(services, body.get("operations"), body.get("options"))?;
    let sources = body.get("sources").unwrap_or(&Value::Null);
    let wanted = Wanted::parse_all(sources).map_err(|detail| Problem::unprocessable("invalid-sources", detail))?;
    if wanted.is_empty() {
        let detail = "The list `sources` is empty: name at least one picture, by url, key, prefix or group.";
        return Err(Problem::unprocessable("invalid-sources", detail));
    }
    if wanted.len() > limits.max_files {
        let detail = format!("{} sources are more than limits.max_files ({}).", wanted.len(), limits.max_files);
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-many-files", detail));
    }
    if let Some(known) = submission.asked_before(&services.broker, &wanted, &asked).await? {
        return Ok(Taken::Before(known));
    }
    let bounds = (limits.max_files, wanted.len() == 1);
    for source in &wanted {
        let sees = |meta: &_| caller.sees(meta);
        submission.take(source, &services.sources, &services.broker, &sees, bounds).await?;
    }
    services.metrics.images_rejected.inc_by(submission.rejected().len() as u64);
    if submission.is_hopeless() {
        return Err(Problem::all_rejected(submission.rejected()));
    }
    Ok(Taken::Now(asked))
}

pub(in crate::http) async fn presets(
    State(services): State<Arc<Services>>,
    nothing: QueryOf<NoQuery>,
) -> Result<Json<Value>, Problem> {
    query(nothing)?;
    let told = services.presets.iter().map(|(name, operations)| json!({"name": name, "operations": operations}));
    Ok(Json(json!({"presets": told.collect::<Vec<_>>()})))
}

pub(in crate::http) fn presets_docs() -> Operation {
    let answer = ok("All of them, by name.", "Presets");
    Operation::new("presets", "pictures", "The lists of operations that requests may name.", answer)
        .problems(&["400", "503"])
}

/// The JSON object of the request. Unknown fields are refused.
async fn body(request: Request, limit: usize) -> Result<Map<String, Value>, Problem> {
    let body = object(request, limit, "{\"sources\": [{\"url\": …}, …], …}").await?;
    match body.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        Some(other) => {
            let detail = format!("Unknown field `{}`; known: {}.", other.escape_debug(), FIELDS.join(", "));
            Err(Problem::bad_request("unknown-field", detail))
        }
        None => Ok(body),
    }
}
