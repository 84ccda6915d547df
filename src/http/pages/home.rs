//! The first page, where pictures are uploaded by a form. A program that asks for `/` without preferring HTML gets links.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::page::{self, Page, escaped, inline};
use super::parts::{bar, login_link, mark, moment, state};
use crate::config::{self, Presets, Scope};
use crate::http::access::Caller;
use crate::http::answers::go_on_to;
use crate::http::base::path;
use crate::http::monitoring::readiness;
use crate::http::operation::{Operation, ok_as};
use crate::http::problem::Problem;
use crate::http::submissions::uploads;
use crate::http::{Services, lists};

/// Groups on the first page.
const RECENT: usize = 12;

/// What the form offers beside presets: a name and its operations.
const CHOICES: [(&str, &str); 4] = [
    (
        "Smaller, for the web: within 1600 × 1600, WebP",
        r#"[{"type":"resize","width":1600,"height":1600,"fit":"inside","enlarge":false,"format":"webp"}]"#,
    ),
    ("A thumbnail within 300 × 300", r#"[{"type":"thumbnail","size":[300,300]}]"#),
    ("The same picture as JPEG", r#"[{"type":"convert","format":"jpeg"}]"#),
    ("Facts, and no picture: size, EXIF, colours", r#"[{"type":"info"}]"#),
];

/// `GET /`.
pub(in crate::http) async fn start(State(services): State<Arc<Services>>, request: Request) -> Response {
    let request = request.into_parts().0;
    let mut response = if page::is_wanted(&request.headers) {
        let caller = services.access.visitor(&request).await;
        let address = services.access.address(&request);
        first(&services, caller, &address, None).await.into_response()
    } else {
        Json(links()).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("accept, cookie"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(in crate::http) fn start_docs() -> Operation {
    let about = "The first page, to upload pictures on; links where `Accept` does not prefer HTML.";
    Operation::new("start", "documentation", about, ok_as(about, &["application/json", "text/html"]))
}

/// `POST /upload`: the first page's form. The answer leads to the group's page.
pub(in crate::http) async fn upload(
    State(services): State<Arc<Services>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let (address, is_wanted) = (services.access.address(&parts), page::is_wanted(&parts.headers));
    let request = Request::from_parts(parts, body);
    match uploads::take(&services, &caller, request, uploads::Repeated::LastCounts).await {
        Ok(submitted) => go_on_to(&path(&format!("/groups/{}", submitted.group))).into_response(),
        Err(problem) if !is_wanted => problem.into_response(),
        Err(problem) => {
            let status = problem.status();
            let page = first(&services, Ok(caller), &address, Some(problem)).await;
            (status, [(header::CACHE_CONTROL, "no-store")], page).into_response()
        }
    }
}

pub(in crate::http) fn upload_docs(limits: &config::Limits) -> Operation {
    let answer = json!({
        "description": "Taken; the group's page.",
        "headers": {"Location": {"schema": {"type": "string"}}},
    });
    let summary = "An upload from the first page's form, which works without a script.";
    Operation::new("uploadPage", "pages", summary, ("303", answer))
        .details("The form of `/api/upload`. If a field is there twice, the last one that is not blank counts.")
        .body(uploads::form_docs(limits))
        .problems(&["400", "408", "409", "413", "415", "422", "503"])
}

/// For programs: where everything is.
fn links() -> Value {
    let to = |own: &str| Value::from(path(own));
    json!({
        "name": "pixmill",
        "version": env!("CARGO_PKG_VERSION"),
        "links": {
            "self": to("/"),
            "upload": to("/api/upload"),
            "groups": to("/api/groups"),
            "jobs": to("/api/jobs"),
            "presets": to("/api/presets"),
            "openapi": to("/openapi.json"),
            "docs": to("/docs"),
            "problems": to("/problems"),
            "login": to("/login"),
            "ready": to("/readyz"),
        },
    })
}

/// The first page, for a caller or for a visitor without access. `wrong` is the reason why a form was refused.
async fn first(
    services: &Arc<Services>,
    caller: Result<Caller, Problem>,
    address: &str,
    wrong: Option<Problem>,
) -> Page {
    let mut body = format!("<div class=\"head\"><div><h1>Upload pictures</h1></div>{}</div>", ready(services).await);
    if let Some(wrong) = wrong {
        body += &problem(&wrong);
    }
    let mut left = String::new();
    let caller = match caller {
        Ok(caller) => {
            if caller.allows(Scope::Submit) {
                left += &form(&services.presets, services.limits.max_files);
            } else {
                let scopes = escaped(&caller.scopes());
                let _ =
                    write!(left, "<div class=\"note\"><p>This key may not upload: its scopes are {scopes}.</p></div>");
            }
            left += &recent(services, &caller).await;
            Some(caller)
        }
        Err(refused) if refused.status() == StatusCode::UNAUTHORIZED => {
            let _ = write!(
                left,
                "<section class=\"panel\"><h2>Log in</h2><div class=\"pad\"><p>Uploading needs an API \
                 key.</p><p><a class=\"btn main\" href=\"{}\">Log in</a></p></div></section>",
                login_link("/")
            );
            None
        }
        Err(refused) => {
            left += &problem(&refused);
            None
        }
    };
    let _ = write!(body, "<div class=\"stack\">{left}</div><div class=\"stack\">{}</div>", programs(services, address));
    let bar = bar(caller.as_ref(), services.access.wants_keys());
    Page::to_work_with("Upload pictures", "", &bar, "wide", &body)
}

/// Whether uploads would be taken now.
async fn ready(services: &Arc<Services>) -> String {
    match readiness::ready(State(services.clone())).await {
        Ok(_) => format!("<p class=\"st ready\">{}Ready</p>", mark("completed")),
        Err(problem) => format!(
            "<p class=\"st failed\" role=\"status\">{}Not ready</p><p class=\"q\">{}</p>",
            mark("failed"),
            inline(problem.detail())
        ),
    }
}

fn problem(wrong: &Problem) -> String {
    let mut said = format!("<div class=\"note x\" role=\"alert\"><p>{}</p>", inline(wrong.detail()));
    if !wrong.rejected().is_empty() {
        said += "<ul>";
        for one in wrong.rejected() {
            let _ = write!(said, "<li><b>{}</b>: {}</li>", escaped(&one.image), inline(&one.error.detail));
        }
        said += "</ul>";
    }
    let code = escaped(wrong.code());
    let about = path(&format!("/problems/{code}"));
    said + &format!("<p class=\"q\"><a href=\"{about}\">What <code>{code}</code> means</a></p></div>")
}

fn form(presets: &Presets, most: usize) -> String {
    let option =
        |name: &str, operations: &str| format!("<option value=\"{}\">{}</option>", escaped(operations), escaped(name));
    let mut choices: String = presets.keys().map(|name| option(name, &json!(name).to_string())).collect();
    if !choices.is_empty() {
        choices = format!("<optgroup label=\"Presets\">{choices}</optgroup>");
    }
    let usual: String = CHOICES.iter().map(|(name, operations)| option(name, operations)).collect();
    format!(
        "<form class=\"panel\" method=\"post\" action=\"{action}\" enctype=\"multipart/form-data\"><div class=\"pad\">\
         <div class=\"drop\"><label for=\"images\">Pictures</label>\
         <input id=\"images\" type=\"file\" name=\"images\" accept=\"image/*\" multiple required>\
         <small>JPEG, PNG, WebP, GIF, AVIF, JPEG XL, TIFF, BMP, ICO or QOI; at most {most}.</small></div>\
         <div class=\"field\"><label for=\"choice\">What is made of each</label>\
         <select id=\"choice\" name=\"operations\">{usual}{choices}</select></div>\
         <details><summary>Or write the operations yourself</summary><div class=\"field\">\
         <label for=\"own\">A JSON list; it counts instead of the choice above</label>\
         <textarea id=\"own\" name=\"operations\" spellcheck=\"false\" \
         placeholder=\"{example}\"></textarea></div></details>\
         <p><button class=\"btn main\">Upload</button></p></div></form>",
        action = path("/upload"),
        example = escaped(r#"[{"type": "resize", "width": 800, "format": "webp"}]"#),
    )
}

/// The caller's latest groups.
async fn recent(services: &Services, caller: &Caller) -> String {
    let groups = match lists::latest(services, caller, RECENT).await {
        Ok(groups) => groups,
        Err(refused) => return problem(&refused),
    };
    let mut rows = String::new();
    for group in &groups {
        // Serialized, so that the page has the same values as the API.
        let group = serde_json::to_value(group).expect("strings and numbers always serialise");
        let total = group.get("total_images").unwrap_or(&group["total"]);
        let (id, done) = (group["task_id"].as_str().unwrap_or_default(), &group["done"]);
        let _ = write!(
            rows,
            "<tr><td><a href=\"{}\">{}</a></td><td class=\"n\">{done} of {total}</td><td>{}</td></tr>",
            path(&format!("/groups/{id}")),
            moment(&group["created_at"]),
            state(&group["status"]),
        );
    }
    let inside = if rows.is_empty() {
        "<p class=\"pad void\">Nothing yet. What you upload is listed here.</p>".to_owned()
    } else {
        format!(
            "<table><thead><tr><th scope=\"col\">Uploaded</th><th scope=\"col\" class=\"n\">Pictures done</th>\
             <th scope=\"col\">State</th></tr></thead><tbody>{rows}</tbody></table>"
        )
    };
    format!("<section class=\"panel\"><h2>Recent uploads</h2>{inside}</section>")
}

/// Links for programs and their authors.
fn programs(services: &Services, address: &str) -> String {
    let key = if services.access.wants_keys() { "-H \"Authorization: Bearer $PIXMILL_API_KEY\" \\\n  " } else { "" };
    let curl = format!("curl -F images=@cat.jpg \\\n  {key}{address}/api/upload");
    let link = |own: &str, name: &str, about: &str| {
        format!("<li><a href=\"{}\">{name}</a><span class=\"q\">{about}</span></li>", path(own))
    };
    format!(
        "<section class=\"panel\"><h2>For programs</h2><div class=\"pad\"><p class=\"q\">The API is at \
         <code>{}</code></p><pre tabindex=\"0\">{}</pre><ul class=\"links\">{}{}{}{}</ul></div></section>\
         <p class=\"q\">pixmill {}</p>",
        escaped(address),
        escaped(&curl),
        link("/docs", "Documentation", "Every route and field, to try in the page"),
        link("/openapi.json", "OpenAPI", "The same for tools"),
        link("/problems", "Error codes", "What each means, and what to do"),
        link("/readyz", "Status", "Whether uploads are taken, for monitors"),
        env!("CARGO_PKG_VERSION"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use imaging::{Limits, operation};

    #[test]
    fn every_choice_of_the_form_is_a_list_of_operations() {
        for (name, operations) in CHOICES {
            assert!(operation::parse(operations, &Limits::default()).is_ok(), "{name}");
        }
    }

    #[test]
    fn form_offers_presets_by_their_names() {
        let list = operation::parse(CHOICES[1].1, &Limits::default()).unwrap();
        let presets = Presets::from([("card".to_owned(), list)]);
        assert!(form(&presets, 9).contains("<option value=\"&quot;card&quot;\">card</option>"));
        assert!(!form(&Presets::new(), 9).contains("optgroup"));
    }
}
