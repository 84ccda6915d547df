//! Workflows: submit, list, look at, cancel, retry.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use queue::{GroupFilter, GroupId, ListPosition};
use serde_json::{Map, Value, json};

use super::lists::{label, label_parameter, links, list_parameters, page, period};
use crate::http::Services;
use crate::http::access::Caller;
use crate::http::answers::fresh;
use crate::http::base::path;
use crate::http::groups::task;
use crate::http::monitoring::readiness::takes_work;
use crate::http::operation::{Operation, in_path, ok, one_of, parameter, reference};
use crate::http::problem::Problem;
use crate::http::request::{NoQuery, Parameters, QueryOf, UrlPath, json, query};
use crate::http::server::request_id;
use crate::http::submissions::uploads::{idempotency_key, sender};
use crate::submission::Meta;
use crate::submission::manifest::WORKFLOW;
use crate::workflows::engine::{Refused, StepView, Submitted, View};
use crate::workflows::outcome::{Counts, State as StepState};

const STATUSES: [&str; 4] = ["processing", "completed", "failed", "cancelled"];
/// Calls of the broker for one page of the list.
const CALLS: usize = 10;

pub(super) async fn create(
    State(services): State<Arc<Services>>,
    Extension(caller): Extension<Caller>,
    nothing: QueryOf<NoQuery>,
    request: Request,
) -> Result<Response, Problem> {
    query(nothing)?;
    takes_work(&services).await?;
    let sender = sender(&caller, request.headers());
    let key = idempotency_key(request.headers(), &caller)?;
    let value = Value::Object(json::object(request, services.limits.max_body_bytes, "{\"steps\": {…}, …}").await?);
    let Services { workflows, storage, broker, .. } = &*services;
    match workflows.submit(storage, broker, sender, &value, key).await {
        Ok(submitted) => Ok(accepted(submitted)),
        Err(Refused::Document(code, detail)) => Err(Problem::unprocessable(code, detail)),
        Err(Refused::Submission(error)) => Err(error.into()),
    }
}

pub(super) fn create_docs() -> Operation {
    let answer = json!({
        "description": "Taken; ask for the status at `links.self`.",
        "headers": {"Location": {"schema": {"type": "string"}, "description": "The status's path."}},
        "content": {"application/json": {"schema": reference("WorkflowSubmitted")}},
    });
    Operation::new("createWorkflow", "work", "Submit a workflow: steps that come after each other.", ("202", answer))
        .details(
            "The document is checked whole before the answer, and an acknowledged workflow is owed until its last step has \
            ended. `{\"workflow\": \"NAME\", \"input\": {…}}` names a template of the settings. docs/workflows.md describes \
            the document.",
        )
        .parameters([parameter("idempotency_key")])
        .body(json!({"required": true, "content": {"application/json": {"schema": reference("Workflow")}}}))
        .problems(&["400", "409", "413", "415", "422", "503"])
}

pub(super) async fn status(
    State(services): State<Arc<Services>>,
    Extension(caller): Extension<Caller>,
    UrlPath(id): UrlPath<String>,
    nothing: QueryOf<NoQuery>,
) -> Result<Response, Problem> {
    query(nothing)?;
    Ok(fresh(document(&visible(&services, &caller, &id).await?)))
}

pub(super) fn status_docs() -> Operation {
    Operation::new(
        "workflow",
        "work",
        "The status of a workflow and of its steps.",
        ok("The status.", "WorkflowStatus"),
    )
    .parameters([id_parameter()])
    .problems(&["400", "404", "503"])
}

pub(super) async fn cancel(
    State(services): State<Arc<Services>>,
    Extension(caller): Extension<Caller>,
    UrlPath(id): UrlPath<String>,
    nothing: QueryOf<NoQuery>,
) -> Result<Response, Problem> {
    query(nothing)?;
    let view = visible(&services, &caller, &id).await?;
    services.workflows.cancel(&services.storage, &services.broker, view.id).await?;
    Ok(fresh(document(&visible(&services, &caller, &id).await?)))
}

pub(super) fn cancel_docs() -> Operation {
    let answer = ok("The status; steps that were at work may still be open.", "WorkflowStatus");
    Operation::new("cancelWorkflow", "work", "Cancel what has not ended of a workflow, and begin nothing more.", answer)
        .parameters([id_parameter()])
        .problems(&["400", "404", "503"])
}

pub(super) async fn retry(
    State(services): State<Arc<Services>>,
    Extension(caller): Extension<Caller>,
    UrlPath(id): UrlPath<String>,
    nothing: QueryOf<NoQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    query(nothing)?;
    let view = visible(&services, &caller, &id).await?;
    let request = request_id::of(&headers).map(str::to_owned);
    let again = services.workflows.retry(&services.storage, &services.broker, view.id, request).await?;
    again.map(accepted).ok_or_else(|| no_workflow(&id))
}

pub(super) fn retry_docs() -> Operation {
    let answer = json!({
        "description": "Taken.",
        "headers": {"Location": {"schema": {"type": "string"}, "description": "The new workflow's status."}},
        "content": {"application/json": {"schema": reference("WorkflowSubmitted")}},
    });
    Operation::new(
        "retryWorkflow",
        "work",
        "Do again what has failed or was cancelled, and what follows it.",
        ("202", answer),
    )
    .details(
        "As a new workflow, whose status names the first in `retry_of`. Steps that have succeeded are not done again.",
    )
    .parameters([id_parameter()])
    .problems(&["400", "404", "409", "503"])
}

pub(super) async fn list(
    State(services): State<Arc<Services>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Response, Problem> {
    let asked = Parameters::of(&uri, &["status", "label", "since", "until", "limit", "cursor"])?;
    let takes = format!("one of {}", STATUSES.join(", "));
    let status = asked.get("status", &takes, |status| STATUSES.into_iter().find(|known| *known == status))?;
    let label = label(&asked)?;
    let filter = GroupFilter { label: Some(WORKFLOW.into()), submitted: period(&asked)? };
    let (limit, mut below) = page(&asked)?;
    let mut found: Vec<Value> = Vec::new();
    'pages: for _ in 0..CALLS {
        let page = services.broker.groups(&filter, below, limit).await?;
        for group in &page.entries {
            let meta = Meta::of(group);
            let is_labelled = label.as_ref().is_none_or(|label| meta.labels.words().contains(label));
            if !caller.sees(&meta) || !is_labelled {
                continue;
            }
            let Some(view) = services.workflows.view(&services.storage, &services.broker, group.id).await? else {
                continue;
            };
            if status.is_none_or(|status| status == view.status.as_str()) {
                found.push(document(&view));
            }
            if found.len() == limit {
                below = Some(ListPosition { created_at: group.created_at, group: group.id, index: 0 });
                break 'pages;
            }
        }
        below = page.next;
        if below.is_none() {
            break;
        }
    }
    Ok(fresh(json!({"workflows": found, "links": links(&uri, &asked, below)})))
}

pub(super) fn list_docs() -> Operation {
    Operation::new("workflows", "watching", "Workflows, the newest first.", ok("A page.", "Workflows"))
        .parameters([one_of("status", "As the workflow's status says.", &STATUSES), label_parameter()])
        .parameters(list_parameters())
        .problems(&["400", "503"])
}

fn id_parameter() -> Value {
    in_path("id", "The workflow's id.", json!({"type": "string", "format": "uuid"}))
}

fn no_workflow(id: &str) -> Problem {
    Problem::not_found(format!("There is no workflow `{}`.", id.escape_debug()))
}

/// A workflow that the caller may see.
async fn visible(services: &Services, caller: &Caller, id: &str) -> Result<View, Problem> {
    let parsed: GroupId = id.parse().map_err(|_| no_workflow(id))?;
    let view = services.workflows.view(&services.storage, &services.broker, parsed).await?;
    view.filter(|view| caller.sees(&view.meta)).ok_or_else(|| no_workflow(id))
}

fn accepted(Submitted { workflow }: Submitted) -> Response {
    let own = path(&format!("/api/workflows/{workflow}"));
    let body = json!({"workflow_id": workflow, "status": "processing", "links": {"self": own}});
    (StatusCode::ACCEPTED, [(header::LOCATION, own)], Json(body)).into_response()
}

fn document(view: &View) -> Value {
    let steps: Map<String, Value> = view.steps.iter().map(|step| (step.name.clone(), of_step(step))).collect();
    let mut document = json!({
        "workflow_id": view.id,
        "name": view.name,
        "status": view.status.as_str(),
        "created_at": view.created_at,
        "finished_at": view.finished_at,
        "steps": steps,
        "links": {"self": path(&format!("/api/workflows/{}", view.id))},
    });
    if !view.meta.labels.is_empty() {
        document["labels"] = json!(view.meta.labels);
    }
    if let Some(first) = view.retry_of {
        document["retry_of"] = json!(first);
    }
    if let Some(request) = &view.meta.request_id {
        document["request_id"] = json!(request);
    }
    document
}

fn of_step(step: &StepView) -> Value {
    let Counts { succeeded, failed, cancelled } = step.counts;
    let mut document = json!({
        "state": step.state.as_str(),
        "kind": step.kind,
        "after": step.after,
        "on": step.on,
        "total": step.total,
        "succeeded": succeeded,
        "failed": failed,
        "cancelled": cancelled,
        "finished_at": step.finished_at,
    });
    if let StepState::Skipped(reason) = &step.state {
        document["reason"] = json!(reason.to_string());
    }
    if let Some(group) = step.group {
        document["task_id"] = json!(group);
        document["links"] = json!({"self": task(group)});
    }
    if let Some(error) = &step.error {
        document["error"] = json!({"code": error.code, "detail": error.detail, "retryable": error.retryable});
    }
    document
}
