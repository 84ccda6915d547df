//! Refusals of pages: a page for browsers, a problem document for programs.

use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::page::{self, Page, escaped, inline};
use super::parts::{bar, login_link};
use crate::http::answers::go_on_to;
use crate::http::base::path;
use crate::http::problem::Problem;

/// The answer to a request for a page that is refused or unknown. A browser without a login is led to the page to log in on.
pub(in crate::http) fn page(problem: Problem, uri: &Uri, headers: &HeaderMap) -> Response {
    if !page::is_wanted(headers) {
        return problem.into_response();
    }
    if problem.status() == StatusCode::UNAUTHORIZED {
        // A form that was sent is lost. Its page is where it can be sent again.
        let next = if uri.path() == "/upload" { "/" } else { uri.path_and_query().map_or("/", |next| next.as_str()) };
        return go_on_to(&login_link(next)).into_response();
    }
    let title = problem.status().canonical_reason().unwrap_or("Refused");
    let body = format!(
        "<div class=\"note x\" role=\"alert\"><h1>{title}</h1><p>{}</p><p class=\"q\"><a href=\"{}\">What \
         <code>{code}</code> means</a></p></div><p><a href=\"{}\">Back to the first page</a></p>",
        inline(problem.detail()),
        path(&format!("/problems/{}", problem.code())),
        path("/"),
        code = escaped(problem.code()),
    );
    let page = Page::to_work_with(title, "", &bar(None, false), "", &body);
    (problem.status(), [(header::CACHE_CONTROL, "no-store")], page).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn who_is_not_let_in_logs_in_and_comes_back() {
        let problem = || Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "Who is there?");
        let browser = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("text/html,*/*"))]);
        for (uri, next) in [("/groups/1?from=2", "%2Fgroups%2F1%3Ffrom%3D2"), ("/upload", "%2F")] {
            let answer = page(problem(), &uri.parse().unwrap(), &browser);
            assert_eq!(answer.status(), StatusCode::SEE_OTHER);
            assert_eq!(answer.headers()[header::LOCATION], format!("/login?next={next}"));
        }
        let program = page(problem(), &"/groups/1".parse().unwrap(), &HeaderMap::new());
        assert_eq!(program.status(), StatusCode::UNAUTHORIZED);
    }
}
