//! The table of all routes: method, path, scope, handler, description. The router, the scopes, the refusal of bodies
//! and the `paths` of the OpenAPI document are made of it.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{MethodFilter, MethodRouter, on};
use queue::{GroupId, JobId};
use serde_json::Value;

use super::access::{Guard, Refusal, guard};
use super::monitoring::{health, readiness, stats};
use super::operation::Operation;
use super::pages::{docs, group, home, login, problems, refusal};
use super::server::bodies;
use super::submissions::{sources, uploads};
use super::{Services, bulk, events, files, groups, lists, openapi, queues, schedules, workers, workflows};
use crate::config::Scope::{Admin, Read, Submit};
use crate::config::{self, Scope};

/// No key is needed.
const OPEN: Option<Scope> = None;
const READ: Option<Scope> = Some(Read);
const SUBMIT: Option<Scope> = Some(Submit);
const ADMIN: Option<Scope> = Some(Admin);

/// One method of a path.
pub(super) struct Route {
    method: Method,
    path: &'static str,
    /// The scope that a key needs; `None` if no key is needed.
    scope: Option<Scope>,
    handler: MethodRouter<Arc<Services>>,
    operation: Operation,
    refusal: Refusal,
}

/// What a service answers, in the order of the OpenAPI document.
pub(super) fn of_service(limits: &config::Limits) -> Vec<Route> {
    let mut routes = vec![
        post("/api/upload", SUBMIT, uploads::upload, uploads::upload_docs(limits)),
        get("/api/task_status/{id}", READ, groups::task_status, groups::task_status_docs()),
        get("/api/groups/{id}", READ, groups::status::<GroupId>, groups::group_docs()),
        delete("/api/groups/{id}", SUBMIT, groups::cancel::<GroupId>, groups::cancel_group_docs()),
        get("/api/groups/{id}/archive", READ, files::archive, files::archive_docs()),
        post("/api/groups/{id}/retry", SUBMIT, groups::retry::<GroupId>, groups::retry_group_docs()),
        get("/api/jobs/{id}", READ, groups::status::<JobId>, groups::job_docs()),
        delete("/api/jobs/{id}", SUBMIT, groups::cancel::<JobId>, groups::cancel_job_docs()),
        post("/api/jobs/{id}/retry", SUBMIT, groups::retry::<JobId>, groups::retry_job_docs()),
        get("/files/{group}/{job}/{run}/{file}", READ, files::file, files::file_docs()),
        get("/", OPEN, home::start, home::start_docs()),
        get("/groups/{id}", READ, group::group, group::group_docs()).refused_as_page(),
        post("/upload", SUBMIT, home::upload, home::upload_docs(limits)).refused_as_page(),
    ];
    routes.extend(of_worker());
    routes.extend(vec![
        get("/openapi.json", OPEN, openapi::openapi, openapi::openapi_docs()),
        get("/login", OPEN, login::page, login::page_docs()),
        post("/api/login", OPEN, login::login, login::login_docs()),
        post("/api/logout", OPEN, login::logout, login::logout_docs()),
        get("/docs", OPEN, docs::reference, docs::reference_docs()),
        get("/problems", OPEN, problems::list, problems::list_docs()),
        get("/problems/{code}", OPEN, problems::one, problems::one_docs()),
        post("/api/groups", SUBMIT, sources::create, sources::create_docs()),
        get("/api/presets", READ, sources::presets, sources::presets_docs()),
        get("/api/groups", READ, lists::groups, lists::groups_docs()),
        get("/api/jobs", READ, lists::jobs, lists::jobs_docs()),
        post("/api/jobs/cancel", SUBMIT, bulk::cancel, bulk::cancel_docs()),
        post("/api/jobs/retry", SUBMIT, bulk::retry, bulk::retry_docs()),
        post("/api/workflows", SUBMIT, workflows::create, workflows::create_docs()),
        get("/api/workflows", READ, workflows::list, workflows::list_docs()),
        get("/api/workflows/{id}", READ, workflows::status, workflows::status_docs()),
        delete("/api/workflows/{id}", SUBMIT, workflows::cancel, workflows::cancel_docs()),
        post("/api/workflows/{id}/retry", SUBMIT, workflows::retry, workflows::retry_docs()),
        get("/api/groups/{id}/events", READ, events::of_group, events::of_group_docs()),
        get("/api/events", ADMIN, events::of_everything, events::of_everything_docs()),
        get("/api/queues", ADMIN, queues::queues, queues::queues_docs()),
        post("/api/queues/{queue}/pause", ADMIN, queues::pause, queues::pause_docs()),
        post("/api/queues/{queue}/resume", ADMIN, queues::resume, queues::resume_docs()),
        delete("/api/queues/{queue}/jobs", ADMIN, queues::purge, queues::purge_docs()),
        get("/api/workers", ADMIN, workers::workers, workers::workers_docs()),
        post("/api/workers/{session}/shutdown", ADMIN, workers::shutdown, workers::shutdown_docs()),
        post("/api/workers/{session}/grow", ADMIN, workers::grow, workers::grow_docs()),
        post("/api/workers/{session}/shrink", ADMIN, workers::shrink, workers::shrink_docs()),
        get("/api/stats", ADMIN, stats::stats, stats::stats_docs()),
        get("/api/schedules", ADMIN, schedules::list, schedules::list_docs()),
        post("/api/schedules", ADMIN, schedules::create, schedules::create_docs()),
        post("/api/schedules/preview", ADMIN, schedules::preview, schedules::preview_docs()),
        get("/api/schedules/{name}", ADMIN, schedules::show, schedules::show_docs()),
        put("/api/schedules/{name}", ADMIN, schedules::replace, schedules::replace_docs()),
        delete("/api/schedules/{name}", ADMIN, schedules::remove, schedules::remove_docs()),
        post("/api/schedules/{name}/pause", ADMIN, schedules::pause, schedules::pause_docs()),
        post("/api/schedules/{name}/resume", ADMIN, schedules::resume, schedules::resume_docs()),
        post("/api/schedules/{name}/run", ADMIN, schedules::run, schedules::run_docs()),
        post("/api/schedules/{name}/backfill", ADMIN, schedules::backfill, schedules::backfill_docs()),
    ]);
    routes
}

/// What a worker answers on `worker.listen`. A service answers it, too.
pub(super) fn of_worker() -> Vec<Route> {
    vec![
        get("/metrics", ADMIN, health::metrics, health::metrics_docs()),
        get("/healthz", OPEN, health::alive, health::alive_docs()),
        get("/readyz", OPEN, readiness::ready, readiness::ready_docs()),
    ]
}

/// The OpenAPI document of the service, with the limits that are in force.
pub fn document(limits: &config::Limits, queue: &config::Queue) -> Value {
    let mut paths = Value::Object(serde_json::Map::new());
    for Route { method, path, operation, .. } in of_service(limits) {
        paths[operation.path(path)][method.name()] = operation.described();
    }
    openapi::document(&paths, limits, queue)
}

/// The router of these routes.
pub(super) fn build(mut routes: Vec<Route>, services: &Arc<Services>) -> Router<Arc<Services>> {
    // The header `Allow` lists a path's methods in the order in which they are added.
    routes.sort_by_key(|route| route.method);
    routes.into_iter().fold(Router::new(), |router, route| {
        let reads_body = route.operation.reads_body();
        let mut methods = route.handler.route_layer(from_fn_with_state(reads_body, bodies::check));
        if let Some(scope) = route.scope {
            let state = Guard { services: services.clone(), scope, refusal: route.refusal };
            methods = methods.route_layer(from_fn_with_state(state, guard));
        }
        router.route(route.path, methods)
    })
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    fn filter(self) -> MethodFilter {
        match self {
            // The router answers HEAD as GET.
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Delete => MethodFilter::DELETE,
        }
    }

    /// As the OpenAPI document names it.
    fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Put => "put",
            Self::Delete => "delete",
        }
    }
}

fn get<T: 'static>(
    path: &'static str,
    scope: Option<Scope>,
    handler: impl Handler<T, Arc<Services>>,
    operation: Operation,
) -> Route {
    route(Method::Get, path, scope, handler, operation)
}

fn post<T: 'static>(
    path: &'static str,
    scope: Option<Scope>,
    handler: impl Handler<T, Arc<Services>>,
    operation: Operation,
) -> Route {
    route(Method::Post, path, scope, handler, operation)
}

fn put<T: 'static>(
    path: &'static str,
    scope: Option<Scope>,
    handler: impl Handler<T, Arc<Services>>,
    operation: Operation,
) -> Route {
    route(Method::Put, path, scope, handler, operation)
}

fn delete<T: 'static>(
    path: &'static str,
    scope: Option<Scope>,
    handler: impl Handler<T, Arc<Services>>,
    operation: Operation,
) -> Route {
    route(Method::Delete, path, scope, handler, operation)
}

fn route<T: 'static>(
    method: Method,
    path: &'static str,
    scope: Option<Scope>,
    handler: impl Handler<T, Arc<Services>>,
    operation: Operation,
) -> Route {
    let operation = if scope.is_none() { operation.without_key() } else { operation };
    let refusal: Refusal = |problem, _, _| problem.into_response();
    Route { method, path, scope, handler: on(method.filter(), handler), operation, refusal }
}

impl Route {
    /// Browsers that are refused see a page.
    fn refused_as_page(self) -> Self {
        Self { operation: self.operation.page(), refusal: refusal::page, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Vec<Route> {
        of_service(&config::Config::default().limits)
    }

    #[test]
    fn what_changes_anything_needs_more_than_the_scope_read() {
        for Route { method, path, scope, .. } in routes() {
            let is_login = matches!(path, "/api/login" | "/api/logout");
            let is_harmless = matches!(method, Method::Get) || is_login;
            assert!(is_harmless || matches!(scope, Some(Submit | Admin)), "{} {path}", method.name());
        }
    }

    #[test]
    fn what_concerns_all_callers_needs_the_scope_admin() {
        let of_all = ["/api/queues", "/api/workers", "/api/stats", "/api/events", "/api/schedules", "/metrics"];
        for Route { path, scope, .. } in routes() {
            let is_of_all = of_all.iter().any(|begin| path.starts_with(begin));
            assert_eq!(is_of_all, scope == Some(Admin), "{path}");
        }
    }
}
