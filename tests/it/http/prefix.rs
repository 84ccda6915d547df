//! Behind a proxy that has the service under a path of its own: every address that an answer has is under that path.

use reqwest::RequestBuilder;
use reqwest::redirect::Policy;
use serde_json::{Value, json};

use crate::support::client::{Answer, id, images};
use crate::support::pictures::{plain_png, truncated};
use crate::support::service::{Home, Service};
use crate::support::stream::Stream;
use crate::support::until;

const BROWSERS: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

/// As a browser behind a proxy: nothing is led on by itself.
fn ask(service: &Service, method: &str, path: &str) -> RequestBuilder {
    let browser = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    browser.request(method.parse().unwrap(), format!("http://{}{path}", service.address()))
}

/// Every address of this server in a document.
fn addresses(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) if text.starts_with('/') => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(addresses).collect(),
        Value::Object(fields) => fields.values().flat_map(addresses).collect(),
        _ => Vec::new(),
    }
}

/// Where a page leads, loads from and sends forms to on this server.
fn places(page: &str) -> Vec<String> {
    let attributes = ["href=\"/", "src=\"/", "action=\"/", "data-path=\"/"];
    let found = attributes.iter().flat_map(|attribute| page.split(attribute).skip(1));
    found.map(|rest| format!("/{}", rest.split('"').next().unwrap())).collect()
}

fn are_under(prefix: &str, what: &str, addresses: &[String]) {
    assert!(!addresses.is_empty(), "{what} has no address");
    let astray: Vec<_> = addresses.iter().filter(|address| !address.starts_with(&format!("{prefix}/"))).collect();
    assert!(astray.is_empty(), "{what}: {astray:?} are not under {prefix}");
}

/// Goes through the whole API and all pages under `prefix`; `through` sends a request as the proxy does.
async fn everything_is_under(
    prefix: &str,
    service: &Service,
    key: &str,
    through: impl Fn(&str, &str) -> RequestBuilder,
) {
    let own = |address: &str| address.strip_prefix(prefix).unwrap().to_owned();
    let with = |method: &str, path: &str| through(method, path).bearer_auth(key);
    let pictures = || images([("a.png", plain_png(9, 9)), ("cut.jpg", truncated())]);
    let taken = Answer::of(with("POST", "/api/upload").multipart(pictures())).await;
    assert_eq!(taken.status, 202, "{}", taken.text());
    let location = taken.header("location").to_owned();
    let taken = taken.json();
    assert_eq!(taken["links"]["self"], location);
    are_under(prefix, "the answer to an upload", &addresses(&taken));

    let group = id(&taken).to_owned();
    let status = until("the group ends", async || {
        let status = Answer::of(with("GET", &own(&location))).await.json();
        (status["status"] != "processing").then_some(status)
    })
    .await;
    are_under(prefix, "the status", &addresses(&status));
    for link in [&status["result"][0]["paths"][0], &status["links"]["archive"]] {
        let link = link.as_str().unwrap();
        assert!(link.contains("signature="), "{link}");
        assert_eq!(Answer::of(through("GET", &own(link))).await.status, 200, "{link} opens without a key");
        assert_eq!(service.get(&own(link)).await.status, 200, "{link} is signed for the service's own path");
    }
    for path in [
        format!("/api/groups/{group}"),
        format!("/api/jobs/{}", status["result"][0]["job_id"].as_str().unwrap()),
        "/api/jobs?limit=1".into(),
        "/api/groups?limit=1".into(),
        "/".into(),
        "/problems".into(),
        "/problems/not-found".into(),
    ] {
        are_under(prefix, &path, &addresses(&Answer::of(with("GET", &path)).await.json()));
    }
    let again = Answer::of(with("POST", &format!("/api/groups/{group}/retry"))).await;
    are_under(
        prefix,
        "the answer to a retry",
        &[vec![again.header("location").to_owned()], addresses(&again.json())].concat(),
    );
    for path in ["/api/jobs/x", "/nothing", "/files/a/b/1/c.png"] {
        let problem = Answer::of(with("GET", path)).await.json();
        assert_eq!(problem["type"], format!("{prefix}/problems/not-found"));
    }
    let events = Answer::of(with("GET", &format!("/api/groups/{group}/events"))).await.text();
    let finished = events.lines().filter_map(|line| line.strip_prefix("data: ")).next_back().unwrap();
    are_under(prefix, "the last event", &addresses(&serde_json::from_str(finished).unwrap()));
    let document = Answer::of(through("GET", "/openapi.json")).await.json();
    assert!(document["servers"][0]["url"].as_str().unwrap().ends_with(prefix), "{}", document["servers"]);

    for path in ["/", "/docs", "/problems", "/problems/too-large", "/login", &format!("/groups/{group}"), "/groups/x"] {
        let page = Answer::of(with("GET", path).header("Accept", BROWSERS)).await;
        assert!(page.header("content-type").starts_with("text/html"), "{path}: {}", page.status);
        are_under(prefix, path, &places(&page.text()));
    }
    let sent = Answer::of(with("POST", "/upload").header("Accept", BROWSERS).multipart(pictures())).await;
    assert_eq!(sent.status, 303);
    are_under(prefix, "the page after an upload", &[sent.header("location").to_owned()]);

    let stranger = Answer::of(through("GET", &format!("/groups/{group}")).header("Accept", BROWSERS)).await;
    assert_eq!(stranger.status, 303);
    assert_eq!(stranger.header("location"), format!("{prefix}/login?next=%2Fgroups%2F{group}"));
    for (next, place) in [("/docs", "/docs"), (&format!("{prefix}/docs"), "/docs"), ("//evil.example", "/"), ("", "/")]
    {
        let form =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs([("key", key), ("next", next)]).finish();
        let login =
            through("POST", "/api/login").header("Content-Type", "application/x-www-form-urlencoded").body(form);
        let answer = Answer::of(login).await;
        assert_eq!((answer.status, answer.header("location")), (303, format!("{prefix}{place}").as_str()), "{next}");
        assert!(answer.header("set-cookie").contains(&format!("; Path={prefix}; ")), "{}", answer.header("set-cookie"));
        let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
        let page = Answer::of(through("GET", "/").header("Accept", BROWSERS).header("Cookie", cookie)).await.text();
        assert!(page.contains("Logged in as shop"), "{page}");
    }
    let out = through("POST", "/api/logout").header("Content-Type", "application/x-www-form-urlencoded");
    let out = Answer::of(out).await;
    assert_eq!(out.header("location"), format!("{prefix}/login"));
    assert!(out.header("set-cookie").contains(&format!("; Path={prefix}; ")), "{}", out.header("set-cookie"));
}

#[tokio::test]
async fn addresses_are_under_the_configured_path() {
    let home = Home::sqlite().set("server.base_path", "/tools/mill");
    let key = home.key(&["--name", "shop"]).await["key"].as_str().unwrap().to_owned();
    let service = home.serve();
    // A proxy that passes the path on as it is, and one that takes the prefix off.
    everything_is_under("/tools/mill", &service, &key, |method, path| {
        ask(&service, method, &format!("/tools/mill{path}"))
    })
    .await;
    everything_is_under("/tools/mill", &service, &key, |method, path| ask(&service, method, path)).await;
    // The first page, without the slash that people leave out.
    let bare = Answer::of(ask(&service, "GET", "/tools/mill").header("Accept", BROWSERS)).await;
    assert!(bare.status == 200 && bare.text().contains("Log in"), "{}", bare.text());
    assert_eq!(Answer::of(ask(&service, "GET", "/tools/mills/docs")).await.status, 404);
}

#[tokio::test]
async fn addresses_are_under_what_a_trusted_proxy_says() {
    let home = Home::sqlite().set("server.trusted_proxies", "127.0.0.1").set("server.base_path", "/other");
    let key = home.key(&["--name", "shop"]).await["key"].as_str().unwrap().to_owned();
    let service = home.serve();
    let forwarded = |method: &str, path: &str| ask(&service, method, path).header("X-Forwarded-Prefix", "/mill/");
    everything_is_under("/mill", &service, &key, forwarded).await;
    let through = |prefix: &str| ask(&service, "GET", "/").header("X-Forwarded-Prefix", prefix);
    for (prefix, own) in
        [("/a, /b", "/a/b/"), ("/\"><script>", "/other/"), ("/a/../b", "/other/"), ("//evil.example", "/evil.example/")]
    {
        assert_eq!(Answer::of(through(prefix)).await.json()["links"]["self"], own, "{prefix}");
    }
    let hosted = through("/mill").header("X-Forwarded-Host", "pictures.example").header("X-Forwarded-Proto", "https");
    let page = Answer::of(hosted.header("Accept", BROWSERS)).await.text();
    assert!(page.contains("https://pictures.example/mill/api/upload"), "{page}");
}

#[tokio::test]
async fn strangers_cannot_say_where_the_service_is() {
    let home = Home::sqlite();
    let service = home.serve_with(&["--no-workers"]);
    let asked = |path: &str| {
        let asked = ask(&service, "GET", path).header("X-Forwarded-Prefix", "/evil");
        asked.header("X-Forwarded-Host", "evil.example")
    };
    assert_eq!(Answer::of(asked("/")).await.json()["links"]["self"], "/");
    assert_eq!(Answer::of(asked("/evil/docs")).await.status, 404);
    let document = Answer::of(asked("/openapi.json")).await.json();
    assert_eq!(document["servers"], json!([{"url": format!("http://{}", service.address())}]));
    for host in ["evil\"><script>", "user@evil.example", "a b"] {
        let page = Answer::of(ask(&service, "GET", "/docs").header("Host", host)).await;
        assert!(!page.text().contains("evil"), "{host}");
    }
}

/// The answer goes on being written after the request has been handled.
#[tokio::test]
async fn live_events_have_the_prefix_too() {
    let home = Home::sqlite().set("server.base_path", "/mill");
    let service = home.serve_with(&["--no-workers"]);
    let taken = service.upload(images([("a.png", plain_png(9, 9))])).await;
    let mut events = Stream::open(&service, &format!("/mill/api/groups/{}/events", id(&taken))).await;
    let _worker = home.worker().await;
    loop {
        let event = events.next().await.expect("it ends with `finished`");
        are_under("/mill", &event.event, &addresses(&event.data["links"]));
        if event.event == "finished" {
            assert_eq!(event.data["status"], "completed");
            break;
        }
    }
}

#[tokio::test]
async fn service_says_where_it_is() {
    let home = Home::sqlite().set("server.base_path", "/mill");
    let service = home.serve_with(&["--no-workers"]);
    assert_eq!(
        service.place,
        format!("upload pictures on http://{0}/mill/ (the API: http://{0}/mill/docs)", service.address())
    );
}
