//! What the service says of itself: pages of the API and of its error codes, whole without the internet.

use serde_json::{Value, json};

use crate::cli::Desk;
use crate::support::browser::Browser;
use crate::support::client::Answer;
use crate::support::pictures::plain_png;
use crate::support::service::{Home, Service};
use crate::support::until;

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
        // The one script stands in the page, and the policy has its hash.
        let scripts = usize::from(path == "/docs");
        assert_eq!(policy.matches("script-src 'sha256-").count(), scripts, "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        let page = page.text();
        assert_eq!(page.matches("<script").count(), scripts, "{path}");
        for loading in ["<script src", "<link", "<img", " style=", " onclick=", "url("] {
            assert!(!page.contains(loading), "{path} has {loading}");
        }
    }
}

/// The page's own forms send what it describes: a picture, JSON, a query, and a stream that is stopped.
#[tokio::test]
async fn requests_are_sent_from_the_page() {
    let home = Home::sqlite();
    let service = home.serve();
    let address = format!("http://{}", service.address());
    let cat = home.folder().join("cat.png");
    std::fs::write(&cat, plain_png(9, 9)).unwrap();
    let browser = Browser::start(1280).await;
    browser.open(&format!("{address}/docs")).await;
    assert_eq!(browser.run("return document.getElementById('address').textContent;").await, address);
    let curl = browser.run("return document.querySelector('#upload pre').textContent;").await;
    assert!(curl.as_str().unwrap().starts_with(&format!("curl '{address}/api/upload'")), "{curl}");
    let answered = async |id: &str, words: &str| {
        let script = format!("return document.querySelector('#{id} .answer').textContent;");
        until(&format!("`{words}` is the answer to {id}"), async || {
            let said = browser.run(&script).await;
            said.as_str().filter(|said| said.contains(words)).map(str::to_owned)
        })
        .await
    };

    browser.run("document.querySelector('#upload textarea[name=operations]').value = '';").await;
    browser.fill("#upload input[type=file]", cat.to_str().unwrap()).await;
    browser.click("#upload form button").await;
    let said = answered("upload", "\"task_id\": \"").await;
    assert!(said.contains("202"), "{said}");
    let group = said.split("\"task_id\": \"").nth(1).unwrap().split('"').next().unwrap();
    let status = service.finished(group).await;
    // A picture is shown.
    let path = status["result"][0]["paths"][0].as_str().unwrap();
    let parts: Vec<&str> = path.split('/').skip(2).collect();
    for (name, value) in ["group", "job", "run", "file"].iter().zip(&parts) {
        browser.run(&format!("document.querySelector('#file input[name={name}]').value = '{value}';")).await;
    }
    browser.click("#file form button").await;
    answered("file", "200").await;
    until("the picture is there", async || {
        let width = browser.run("return document.querySelector('#file .answer img')?.naturalWidth;").await;
        width.as_u64().filter(|width| *width > 0)
    })
    .await;
    // JSON in, and a refusal in the server's words.
    browser.run("document.querySelector('#createGroup textarea').value = '{\"sources\": []}';").await;
    browser.click("#createGroup form button").await;
    answered("createGroup", "The list `sources` is empty").await;
    // A stream goes on until it is stopped.
    browser.click("#events form button").await;
    answered("events", "event: status").await;
    browser.click("#events .stop").await;
    answered("events", "Stopped.").await;
    let complaints = browser.complaints().await;
    assert!(complaints.iter().all(|one| one.contains("status of 422")), "{complaints:?}");
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

#[tokio::test]
async fn browser_of_a_test_leaves_nothing_behind() {
    let home = Home::sqlite();
    let service = home.serve_with(&["--no-workers"]);
    let browser = Browser::start(1280).await;
    browser.open(&format!("http://{}/docs", service.address())).await;
    let folder = browser.folder().to_owned();
    assert!(folder.join("profile").is_dir());
    drop(browser);
    assert!(!folder.exists(), "{}", folder.display());
}
