//! What the service says of itself: pages of the API and of its error codes, whole without the internet.

use serde_json::{Value, json};

use crate::cli::Desk;
use crate::support::browser::Browser;
use crate::support::client::Answer;
use crate::support::service::{Home, Service};

#[test]
fn committed_list_of_codes_is_what_the_program_prints() {
    let run = Desk::new().run(&["errors"]);
    let printed = String::from_utf8(run.stdout).unwrap();
    let committed = include_str!("../../../docs/errors.md");
    assert!(printed == committed, "write it again with `pixmill errors > docs/errors.md`");
}

async fn accepting(service: &Service, path: &str, accept: &str) -> Answer {
    Answer::of(service.request("GET", path).header("accept", accept)).await
}

const BROWSERS: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

#[tokio::test]
async fn type_of_a_problem_leads_to_what_it_means() {
    let home = Home::sqlite();
    let service = home.serve_with(&["--no-workers"]);
    let problem = service.get("/api/task_status/none").await.problem();
    let address = problem["type"].as_str().unwrap();

    let told = service.get(address).await;
    assert_eq!((told.status, told.header("content-type")), (200, "application/json"));
    let told = told.json();
    assert_eq!((&told["code"], &told["statuses"]), (&json!("not-found"), &json!([404])));
    assert_eq!(told["type"], problem["type"]);

    let page = accepting(&service, address, BROWSERS).await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.text().contains("<h1><code>not-found</code></h1>"), "{}", page.text());
    assert_eq!(accepting(&service, address, "application/json, text/html").await.json(), told);

    let listed = service.get("/problems").await.json();
    let listed: Vec<&Value> = listed.as_array().unwrap().iter().map(|one| &one["code"]).collect();
    assert!(listed.contains(&&json!("not-found")) && listed.contains(&&json!("poison")), "{listed:?}");
    assert_eq!(service.get("/problems/no-such-code").await.problem()["code"], "not-found");
    assert_eq!(service.get("/problems/%3Cscript%3E").await.problem()["status"], 404);
}

#[tokio::test]
async fn page_has_every_operation_and_every_schema() {
    let home = Home::sqlite();
    let service = home.serve_with(&["--no-workers"]);
    let document = service.get("/openapi.json").await.json();
    let page = service.get("/docs").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let page = page.text();
    for (path, methods) in document["paths"].as_object().unwrap() {
        assert!(page.contains(&format!("<code>{path}</code>")), "{path}");
        for described in methods.as_object().unwrap().values() {
            let id = described["operationId"].as_str().unwrap();
            assert!(page.contains(&format!("<article id=\"{id}\">")), "{path}");
        }
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(page.contains(&format!("<article id=\"schema-{name}\">")), "{name}");
    }
    assert!(page.contains("-F images=@cat.jpg"), "an upload as a command line");
}

#[tokio::test]
async fn pages_may_load_nothing() {
    let home = Home::sqlite();
    let service = home.serve_with(&["--no-workers"]);
    for path in ["/docs", "/problems", "/problems/too-large"] {
        let page = accepting(&service, path, BROWSERS).await;
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        let page = page.text();
        for loading in ["<script", "<link", "<img", " style=", " onclick=", "url("] {
            assert!(!page.contains(loading), "{path} has {loading}");
        }
    }
}

/// On a desk and on a phone: the style is in force, nothing is wider than the window, and links lead to their places.
#[tokio::test]
async fn pages_are_readable_in_a_browser_of_any_width() {
    let home = Home::sqlite();
    let service = home.serve_with(&["--no-workers"]);
    for width in [1280, 390] {
        let browser = Browser::start(width).await;
        for path in ["/docs", "/problems", "/problems/too-large"] {
            browser.open(&format!("http://{}{path}", service.address())).await;
            let seen = browser
                .run(
                    "const dead = [...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.hash.slice(1))
                       .filter(id => !document.getElementById(id));
                     const cut = [...document.querySelectorAll('main *')].filter(e => !e.closest('pre'))
                       .filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80));
                     return {overflow: document.documentElement.scrollWidth - innerWidth, dead, cut,
                       styled: getComputedStyle(document.querySelector('main')).paddingTop !== '0px',
                       language: document.documentElement.lang, headings: document.querySelectorAll('h1').length};",
                )
                .await;
            assert!(seen["overflow"].as_i64().unwrap() <= 0, "{path} at {width}: {seen}");
            assert_eq!((&seen["dead"], &seen["cut"]), (&json!([]), &json!([])), "{path} at {width}");
            assert_eq!((&seen["styled"], &seen["language"]), (&json!(true), &json!("en")), "{path} at {width}");
            assert_eq!(seen["headings"], 1, "{path}");
        }
        // With the keyboard alone: the first stop leads past the contents.
        browser.open(&format!("http://{}/docs", service.address())).await;
        browser.press("\u{E004}").await;
        assert_eq!(browser.run("return document.activeElement.hash;").await, "#main");
        browser.press("\u{E007}").await;
        assert_eq!(browser.run("return document.activeElement.id;").await, "main");
        assert_eq!(browser.complaints().await, Vec::<String>::new());
    }
}
