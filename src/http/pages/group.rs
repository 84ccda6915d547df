//! A group's page: its progress, and each picture with its outputs. While the group is processed, the page reloads itself.

use std::fmt::Write;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use queue::GroupId;
use serde_json::Value;

use super::page::{Page, escaped, inline};
use super::parts::{bar, mark, moment, size, state};
use super::refusal;
use crate::http::Services;
use crate::http::access::Caller;
use crate::http::base::path;
use crate::http::groups::{self, Page as Results};
use crate::http::operation::{Operation, ok_as, parameter};
use crate::http::problem::Problem;
use crate::http::request::{QueryOf, UrlPath, query};

/// Seconds until a page is loaded again.
const AGAIN: u32 = 2;
/// Formats that browsers show.
const SHOWN: [&str; 6] = ["jpeg", "png", "webp", "gif", "avif", "bmp"];

/// `GET /groups/{id}`.
pub(in crate::http) async fn group(
    State(services): State<Arc<Services>>,
    Extension(caller): Extension<Caller>,
    UrlPath(id): UrlPath<String>,
    results: QueryOf<Results>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    match document(&services, &caller, &id, results).await {
        Ok(document) => {
            let page = page(&id, &document, &bar(Some(&caller), services.access.wants_keys()));
            ([(header::CACHE_CONTROL, "no-store")], page).into_response()
        }
        Err(problem) => refusal::page(problem, &uri, &headers),
    }
}

pub(in crate::http) fn group_docs() -> Operation {
    let summary = "A group's page, which reloads itself until the group has ended.";
    Operation::new("groupPage", "pages", summary, ok_as("The page.", &["text/html"]))
        .details("A browser without a login is redirected to `/login`.")
        .subject("group")
        .parameters([parameter("from")])
        .problems(&["303", "400", "404", "503"])
}

/// The status document, as the API sends it.
async fn document(services: &Services, caller: &Caller, id: &str, results: QueryOf<Results>) -> Result<Value, Problem> {
    let Results { from } = query(results)?;
    let group = groups::parsed::<GroupId>(id)?;
    let document = groups::document(services, group, from, |meta| caller.sees(meta)).await?;
    let document = document.ok_or_else(|| groups::unknown::<GroupId>(id))?;
    Ok(serde_json::to_value(&document).expect("strings and numbers always serialise"))
}

fn page(id: &str, document: &Value, bar: &str) -> Page {
    let total = document.get("total_images").unwrap_or(&document["total"]);
    let done = &document["done"];
    let is_open = document["status"] == "processing";
    let mut body = format!(
        "<div class=\"head\"><div><h1>Upload of {}</h1><p class=\"q\">{done} of {total} pictures done · \
         <span class=\"mono\">{}</span></p></div>{}</div>",
        moment(&document["created_at"]),
        escaped(id),
        state(&document["status"]),
    );
    if is_open {
        let _ = write!(
            body,
            "<progress value=\"{}\" max=\"1\" aria-label=\"Pictures done\"></progress>",
            document["progress"]
        );
    }
    let gone = document["files"].is_string();
    if gone {
        body += "<div class=\"note\"><p>Its files are erased.</p></div>";
    }
    body += "<p class=\"row\">";
    if let (Some(archive), false, false) = (document["links"]["archive"].as_str(), is_open, gone)
        && document["succeeded"] != 0
    {
        let _ = write!(body, "<a class=\"btn main\" href=\"{}\">Download all as zip</a>", escaped(archive));
    }
    let (own, again) = (document["links"]["self"].as_str().unwrap_or_default(), path("/"));
    let _ =
        write!(body, "<a class=\"btn\" href=\"{again}\">Upload more</a><a href=\"{}\">As JSON</a></p>", escaped(own));
    let pictures = ["rejected", "result"].into_iter().flat_map(|name| document[name].as_array().into_iter().flatten());
    let pictures: String = pictures.map(|one| picture(one, gone)).collect();
    if !pictures.is_empty() {
        let _ = write!(body, "<div class=\"sheet\">{pictures}</div>");
    }
    if let Some(from) =
        document["links"]["next"].as_str().and_then(|next| next.rsplit_once("from=")).map(|(_, from)| from)
    {
        let next = path(&format!("/groups/{id}?from={from}"));
        let _ = write!(body, "<p><a href=\"{}\">More pictures</a></p>", escaped(&next));
    }
    let head = if is_open { format!("<meta http-equiv=\"refresh\" content=\"{AGAIN}\">") } else { String::new() };
    Page::to_work_with("Upload", &head, bar, "", &body)
}

/// A picture that is done, was given up, or was never taken.
fn picture(picture: &Value, gone: bool) -> String {
    let name = picture["image"].as_str().unwrap_or("(without a name)");
    if let Some(error) = picture["error"].as_object() {
        let (detail, code) = (error["detail"].as_str().unwrap_or_default(), error["code"].as_str().unwrap_or_default());
        let status = if code == "cancelled" { "cancelled" } else { "failed" };
        return format!(
            "<figure><div class=\"shot\">{mark}</div><figcaption><b>{name}</b><span class=\"st {status}\">{mark}{status}</span>\
             <span>{detail}</span><a href=\"{about}\"><code>{code}</code></a></figcaption></figure>",
            mark = mark(status),
            name = escaped(name),
            detail = inline(detail),
            about = path(&format!("/problems/{}", escaped(code))),
            code = escaped(code),
        );
    }
    let outputs = picture["outputs"].as_array().into_iter().flatten();
    let shot = outputs.clone().find(|output| !gone && SHOWN.iter().any(|format| output["format"] == *format));
    let shot = shot.map_or_else(
        || mark("completed"),
        |output| {
            let (path, kind) =
                (output["path"].as_str().unwrap_or_default(), output["type"].as_str().unwrap_or_default());
            format!(
                "<a href=\"{0}\"><img src=\"{0}\" alt=\"{1}: {2}\" loading=\"lazy\" width=\"{3}\" height=\"{4}\"></a>",
                escaped(path),
                escaped(name),
                escaped(kind),
                output["width"],
                output["height"],
            )
        },
    );
    let made: String = outputs.map(|output| made(output, gone)).collect();
    format!(
        "<figure><div class=\"shot\">{shot}</div><figcaption><b>{}</b><ul>{made}</ul></figcaption></figure>",
        escaped(name)
    )
}

/// One output: a file, or data.
fn made(output: &Value, gone: bool) -> String {
    let kind = escaped(output["type"].as_str().unwrap_or_default());
    let Some(path) = output["path"].as_str() else {
        let told = serde_json::to_string_pretty(output).expect("JSON always serialises");
        return format!(
            "<li><details><summary>{kind}</summary><pre tabindex=\"0\">{}</pre></details></li>",
            escaped(&told)
        );
    };
    let about = format!(
        "{} × {} · {} · {}",
        output["width"],
        output["height"],
        escaped(output["format"].as_str().unwrap_or_default()),
        size(output["bytes"].as_u64().unwrap_or_default()),
    );
    let name = if gone { kind } else { format!("<a href=\"{}\">{kind}</a>", escaped(path)) };
    let warnings = output["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let warnings = warnings.map(|warning| format!("<span class=\"q\">{}</span>", inline(warning)));
    let warnings: String = warnings.collect();
    format!("<li>{name}<span class=\"q\">{about}</span>{warnings}</li>")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_and_errors_cannot_become_markup() {
        let failed = picture(
            &json!({"success": false, "image": "<b>.png", "error": {"code": "corrupt-image", "detail": "<i>`x`"}}),
            false,
        );
        assert!(failed.contains("<b>&lt;b&gt;.png</b>") && failed.contains("&lt;i&gt;<code>x</code>"), "{failed}");
        let output = json!({"type": "resize", "path": "/files/a?x=1&y=\"", "format": "jpeg", "width": 8, "height": 6, "bytes": 1});
        let done = picture(&json!({"success": true, "image": "a\"b", "outputs": [output]}), false);
        assert!(
            done.contains("src=\"/files/a?x=1&amp;y=&quot;\"") && done.contains("alt=\"a&quot;b: resize\""),
            "{done}"
        );
    }

    #[test]
    fn open_group_is_loaded_again() {
        let document =
            |status: &str| json!({"status": status, "done": 1, "total_images": 2, "progress": 0.5, "links": {}});
        let text = |status: &str| page("id", &document(status), "").into_text();
        assert!(text("processing").contains("http-equiv=\"refresh\"") && text("processing").contains("value=\"0.5\""));
        assert!(!text("completed").contains("http-equiv"));
    }
}
