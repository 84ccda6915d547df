//! What people see first: the page at `/`, its form, a group's page, and the login on the way.

use reqwest::RequestBuilder;
use reqwest::redirect::Policy;
use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::client::{Answer, id, images};
use crate::support::pictures::{photo, plain_png};
use crate::support::service::{Home, Service};
use crate::support::until;

const BROWSERS: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// As a browser that goes nowhere by itself.
fn ask(service: &Service, method: &str, path: &str) -> RequestBuilder {
    let browser = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    let asked = browser.request(method.parse().unwrap(), format!("http://{}{path}", service.address()));
    asked.header("Accept", BROWSERS)
}

#[tokio::test]
async fn first_address_is_a_page_for_people_and_links_for_programs() {
    let home = Home::sqlite();
    let service = home.serve();
    until("it is ready", async || (service.get("/readyz").await.status == 200).then_some(())).await;
    let page = Answer::of(ask(&service, "GET", "/")).await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("script-src"), "{policy}");
    assert!(policy.contains("form-action 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    for loading in ["<script", "<link", " style=", " onclick=", "url("] {
        assert!(!page.text().contains(loading), "{loading}");
    }
    let address = service.address();
    for words in ["Nothing yet.", "href=\"/docs\"", "Ready", &format!("http://{address}/api/upload")] {
        assert!(page.text().contains(words), "{words} is not in {}", page.text());
    }
    for accept in ["*/*", "application/json", "application/json, text/html"] {
        let links = Answer::of(service.request("GET", "/").header("Accept", accept)).await;
        assert_eq!((links.status, links.header("content-type")), (200, "application/json"), "{accept}");
        for (name, place) in links.json()["links"].as_object().unwrap() {
            let status = service.get(place.as_str().unwrap()).await.status;
            assert!(status == 200 || (name == "upload" && status == 405), "{name}: {status}");
        }
    }
}

/// Without a script, from the first page to the pictures, at a desk and on a phone.
#[tokio::test]
async fn form_uploads_and_leads_to_what_was_made() {
    let home = Home::sqlite();
    let service = home.serve();
    let (folder, site) = (tempfile::tempdir().unwrap(), format!("http://{}", service.address()));
    let file = |name: &str, bytes: Vec<u8>| {
        std::fs::write(folder.path().join(name), bytes).unwrap();
        folder.path().join(name).to_str().unwrap().to_owned()
    };
    let cat = file("cat & <b>dog.jpg", photo());
    let broken = file("not.png", b"no picture".to_vec());
    for width in [1280, 390] {
        let browser = Browser::start(width).await;
        let fits = async |what: &str| {
            let seen = "const cut = [...document.querySelectorAll('body *')].filter(e => !e.closest('pre, table, .skip'))
                .filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 90));
                return {over: document.documentElement.scrollWidth - innerWidth, cut, headings: document.querySelectorAll('h1').length,
                    unnamed: [...document.querySelectorAll('input, select, textarea')].filter(e => !e.labels?.length).length};";
            let seen = browser.run(seen).await;
            assert_eq!(
                seen,
                json!({"over": seen["over"], "cut": [], "headings": 1, "unnamed": 0}),
                "{what} at {width}"
            );
            assert!(seen["over"].as_i64().unwrap() <= 0, "{what} at {width}: {seen}");
        };
        browser.open(&site).await;
        fits("the first page").await;
        // A group's page loads itself again until the group has ended.
        let sent = async || {
            browser.click("button.main").await;
            let path = until("the group's page is there", async || {
                let path = browser.run("return location.pathname;").await;
                path.as_str().filter(|path| path.starts_with("/groups/")).map(str::to_owned)
            })
            .await;
            service.finished(path.rsplit('/').next().unwrap()).await;
            browser.open(&format!("{site}{path}")).await;
        };
        browser.fill("#images", &format!("{cat}\n{broken}")).await;
        sent().await;
        let loaded = "return [...document.images].length > 0 && [...document.images].every(i => i.complete)
            && [...document.images].map(i => [i.naturalWidth, i.naturalHeight]);";
        let sizes =
            until("the result is shown", async || Some(browser.run(loaded).await).filter(Value::is_array)).await;
        assert_eq!(sizes, json!([[1200, 900]]), "the first choice enlarges nothing");
        let text = browser.run("return document.body.innerText;").await.as_str().unwrap().to_owned();
        for words in ["completed", "1 of 1 pictures done", "cat & <b>dog.jpg", "not.png", "not a picture", "webp"] {
            assert!(text.contains(words), "{words} is not in {text}");
        }
        fits("a group's page").await;
        let archive = browser.run("return document.querySelector('a.main').href;").await;
        let zip = service.get(archive.as_str().unwrap().strip_prefix(&site).unwrap()).await;
        assert_eq!(zip.header("content-type"), "application/zip");

        // What is written counts instead of the choice.
        browser.open(&site).await;
        browser.fill("#images", &cat).await;
        browser.click("summary").await;
        browser.fill("#own", r#"[{"type": "thumbnail", "size": [50, 50]}, {"type": "info"}]"#).await;
        sent().await;
        let sizes =
            until("the result is shown", async || Some(browser.run(loaded).await).filter(Value::is_array)).await;
        assert_eq!(sizes, json!([[50, 38]]));
        assert_eq!(browser.run("return document.querySelectorAll('figure details').length;").await, 1);

        // A refusal is told on the page, in the server's words, above the form.
        browser.open(&site).await;
        browser.fill("#images", &broken).await;
        browser.click("button.main").await;
        let said = until("the page says why not", async || {
            let said = browser.run("return document.querySelector('[role=alert]')?.innerText;").await;
            said.as_str().map(str::to_owned)
        })
        .await;
        assert!(said.contains("not.png") && said.contains("not a picture"), "{said}");
        fits("a refusal").await;
        let recent = browser.run("return [...document.querySelectorAll('tbody tr')].map(r => r.innerText);").await;
        assert!(recent.as_array().unwrap().len() >= 2, "{recent}");
        // The refusal is an answer of 415, and nothing else was complained of.
        let complaints = browser.complaints().await;
        assert!(complaints.iter().all(|one| one.contains("status of 415")), "{complaints:?}");
    }
}

#[tokio::test]
async fn login_leads_back_to_the_page_that_asked() {
    let home = Home::sqlite();
    let key = home.key(&["--name", "shop"]).await["key"].as_str().unwrap().to_owned();
    let other = home.key(&["--name", "blog"]).await["key"].as_str().unwrap().to_owned();
    let service = home.serve();
    let form = images([("a.png", plain_png(9, 9))]);
    let taken = Answer::of(service.request("POST", "/api/upload").bearer_auth(&key).multipart(form)).await.json();
    let page = format!("/groups/{}", id(&taken));

    let first = Answer::of(ask(&service, "GET", "/")).await.text();
    assert!(first.contains("href=\"/login?next=%2F\"") && !first.contains("enctype"), "{first}");
    let asked = Answer::of(ask(&service, "GET", &format!("{page}?from=0"))).await;
    assert_eq!(
        (asked.status, asked.header("location")),
        (303, &*format!("/login?next={}%3Ffrom%3D0", page.replace('/', "%2F")))
    );
    let browser = Browser::start(1280).await;
    let site = format!("http://{}", service.address());
    browser.open(&format!("{site}{page}")).await;
    browser.fill("#key", &key).await;
    browser.click("button").await;
    until("the group's page is there", async || {
        let place = browser.run("return location.pathname;").await;
        (place == page).then_some(())
    })
    .await;
    browser.open(&site).await;
    let text = browser.run("return document.body.innerText;").await;
    assert!(text.as_str().unwrap().contains("Logged in as shop"), "{text}");
    browser.click("header button").await;
    until("the login has ended", async || {
        let place = browser.run("return location.pathname;").await;
        (place == "/login").then_some(())
    })
    .await;

    // Programs are told as programs.
    let program = service.get(&page).await.problem();
    assert_eq!(program["code"], "unauthorized");
    // What belongs to another key is not there.
    let strange = Answer::of(ask(&service, "GET", &page).bearer_auth(&other)).await;
    assert_eq!(strange.status, 404);
    assert!(strange.text().contains("There is no group"), "{}", strange.text());
    let listed = Answer::of(ask(&service, "GET", "/").bearer_auth(&other)).await.text();
    assert!(listed.contains("Nothing yet."), "{listed}");
    let reader = home.key(&["--name", "eye", "--scopes", "read"]).await["key"].as_str().unwrap().to_owned();
    until("the new key is known", async || {
        let page = Answer::of(ask(&service, "GET", "/").bearer_auth(&reader)).await.text();
        (page.contains("This key may not upload") && !page.contains("enctype")).then_some(())
    })
    .await;
    let refused = Answer::of(
        ask(&service, "POST", "/upload").bearer_auth(&reader).multipart(images([("a.png", plain_png(9, 9))])),
    );
    let refused = refused.await;
    assert!(refused.status == 403 && refused.text().contains("needs a key with the scope"), "{}", refused.text());
}

/// Whatever the page, a form of another site's does nothing here.
#[tokio::test]
async fn form_of_another_site_uploads_nothing() {
    let home = Home::sqlite();
    let service = home.serve_with(&["--no-workers"]);
    let form = || images([("a.png", plain_png(9, 9))]);
    let forged = ask(&service, "POST", "/upload").header("Origin", "https://evil.example").multipart(form());
    assert_eq!(Answer::of(forged).await.status, 403);
    let key = home.key(&["--name", "shop"]).await["key"].as_str().unwrap().to_owned();
    until("the service knows of keys", async || (service.get("/metrics").await.status == 401).then_some(())).await;
    let login = Answer::of(service.request("POST", "/api/login").json(&json!({"key": key}))).await;
    let cookie = login.header("set-cookie").split(';').next().unwrap().to_owned();
    let with = |origin: &str| {
        let asked = ask(&service, "POST", "/upload").header("Cookie", &cookie).header("Origin", origin);
        Answer::of(asked.multipart(form()))
    };
    assert_eq!(with("https://evil.example").await.status, 403);
    assert_eq!(with(&format!("http://{}", service.address())).await.status, 303);
}
