//! Logging in: a cookie instead of a key, for pages.

use reqwest::redirect::Policy;
use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::service::{Home, Service};
use crate::support::until;

/// As a browser that goes nowhere by itself.
fn request(service: &Service, method: &str, path: &str) -> reqwest::RequestBuilder {
    let browser = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    browser.request(method.parse().unwrap(), format!("http://{}{path}", service.address()))
}

async fn log_in(service: &Service, key: &Value) -> Answer {
    let answer = Answer::of(request(service, "POST", "/api/login").json(&json!({"key": key["key"]}))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

/// What the browser sends back.
fn cookie(answer: &Answer) -> String {
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn login_stands_for_its_key_until_that_is_revoked() {
    let home = Home::sqlite();
    let key = home.key(&["--name", "shop"]).await;
    home.key(&["--name", "other"]).await;
    let service = home.serve_with(&["--no-workers"]);
    let answer = log_in(&service, &key).await;
    let told = answer.json();
    assert_eq!((&told["name"], &told["scopes"]), (&json!("shop"), &json!(["read", "submit"])));
    let set = answer.header("set-cookie");
    assert!(set.starts_with("pixmill_session=") && !set.contains("Secure"), "{set}");
    for attribute in ["; Path=/", "; HttpOnly", "; SameSite=Strict", "; Max-Age=43"] {
        assert!(set.contains(attribute), "{set}");
    }
    assert!(!set.contains(&key["key"].as_str().unwrap()[4..]), "the key is not in it");
    let cookie = cookie(&answer);
    let asked = async |path: &str| Answer::of(request(&service, "GET", path).header("Cookie", &cookie)).await;
    assert_eq!(asked("/api/jobs/x").await.status, 404);
    assert_eq!(asked("/metrics").await.problem()["code"], "forbidden-scope");
    let forged = cookie.replace("pixmill_session=", "pixmill_session=0");
    assert_eq!(Answer::of(request(&service, "GET", "/api/jobs/x").header("Cookie", forged)).await.status, 401);

    let left = Answer::of(request(&service, "POST", "/api/logout")).await;
    assert_eq!(left.status, 204);
    let cleared: Vec<_> = left.headers.get_all("set-cookie").iter().map(|set| set.to_str().unwrap()).collect();
    let [plain, secure] = cleared[..] else { panic!("{cleared:?}") };
    assert!(plain.starts_with("pixmill_session=; Path=/; Max-Age=0;") && !plain.contains("Secure"), "{plain}");
    assert!(
        secure.starts_with("__Host-pixmill_session=; Path=/; Max-Age=0;") && secure.ends_with("; Secure"),
        "{secure}"
    );

    let (ended, ..) = home.start(&["keys", "revoke", "shop"]).ends().await;
    assert!(ended.success());
    until("the login ends with its key", async || (asked("/api/jobs/x").await.status == 401).then_some(())).await;
}

#[tokio::test]
async fn page_elsewhere_can_do_nothing_with_a_login() {
    let home = Home::sqlite();
    let key = home.key(&["--name", "shop"]).await;
    let service = home.serve_with(&["--no-workers"]);
    let cookie = cookie(&log_in(&service, &key).await);
    let own = format!("http://{}", service.address());
    for (fields, status) in [
        (vec![("Origin", "https://evil.example")], 403),
        (vec![("Origin", "null")], 403),
        (vec![("Sec-Fetch-Site", "cross-site"), ("Origin", &own)], 403),
        (vec![("Sec-Fetch-Site", "same-site")], 403),
        (vec![("Sec-Fetch-Site", "same-origin"), ("Origin", &own)], 404),
        (vec![("Origin", &own)], 404),
        (vec![], 404),
    ] {
        for (method, path) in [("POST", "/api/jobs/x/retry"), ("DELETE", "/api/jobs/x")] {
            let asked = request(&service, method, path).header("Cookie", &cookie);
            let answer =
                Answer::of(fields.iter().fold(asked, |asked, (name, value)| asked.header(*name, *value))).await;
            assert_eq!(answer.status, status, "{fields:?}: {}", answer.text());
            assert!(status != 403 || answer.problem()["code"] == "forbidden-origin");
        }
        let login = request(&service, "POST", "/api/login").json(&json!({"key": key["key"]}));
        let login = Answer::of(fields.iter().fold(login, |asked, (name, value)| asked.header(*name, *value))).await;
        assert_eq!(login.status == 403, status == 403, "nobody is logged in from elsewhere: {fields:?}");
    }
    // A key that a page has of its own is another matter.
    let asked = request(&service, "DELETE", "/api/jobs/x").header("Origin", "https://elsewhere.example");
    assert_eq!(Answer::of(asked.bearer_auth(key["key"].as_str().unwrap())).await.status, 404);
}

#[tokio::test]
async fn page_takes_the_key_and_goes_on_to_local_paths_only() {
    let home = Home::sqlite();
    let service = home.serve_with(&["--no-workers"]);
    let open = Answer::of(request(&service, "GET", "/login?next=/docs")).await;
    assert_eq!((open.status, open.header("location")), (303, "/docs"), "without keys there is nothing to log in to");
    let key = home.key(&["--name", "shop <b>"]).await;
    until("the service knows of keys", async || (service.get("/metrics").await.status == 401).then_some(())).await;

    let page = Answer::of(request(&service, "GET", "/login?next=/a%3Fb%3D%22%3E")).await;
    assert!(page.status == 200 && page.header("content-type").starts_with("text/html"));
    assert!(page.text().contains(r#"name="next" value="/a?b=&quot;&gt;""#), "{}", page.text());
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("style-src 'sha256-"), "{policy}");
    assert!(!page.text().contains("http://") && !page.text().contains("https://"), "it loads nothing");

    let post = |key: &str, next: &str| {
        let form =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs([("key", key), ("next", next)]).finish();
        let posted =
            request(&service, "POST", "/api/login").header("Content-Type", "application/x-www-form-urlencoded");
        Answer::of(posted.body(form))
    };
    let wrong = post("pxm_wrong", "/docs").await;
    assert!(
        wrong.status == 401 && wrong.text().contains("role=\"alert\">This API key is not known."),
        "{}",
        wrong.text()
    );
    assert!(wrong.text().contains("value=\"/docs\"") && wrong.header("set-cookie").is_empty());
    let secret = key["key"].as_str().unwrap();
    for (next, place) in [
        ("/docs?x=1", "/docs?x=1"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example/", "/"),
        ("/\t/evil.example", "/"),
        ("", "/"),
    ] {
        let answer = post(secret, next).await;
        assert_eq!((answer.status, answer.header("location")), (303, place), "{next:?}");
        let cookie = cookie(&answer);
        let held = Answer::of(request(&service, "GET", "/login").header("Cookie", &cookie)).await;
        assert!(held.text().contains("Logged in as shop &lt;b&gt;"), "{}", held.text());
        let passed = Answer::of(request(&service, "GET", "/login?next=/docs").header("Cookie", &cookie)).await;
        assert_eq!((passed.status, passed.header("location")), (303, "/docs"));
    }
    let out = request(&service, "POST", "/api/logout").header("Content-Type", "application/x-www-form-urlencoded");
    assert_eq!(Answer::of(out).await.header("location"), "/login");
}

#[tokio::test]
async fn malformed_login_is_refused_by_what_is_wrong() {
    let home = Home::sqlite();
    home.key(&["--name", "shop"]).await;
    let service = home.serve_with(&["--no-workers"]);
    let post = || request(&service, "POST", "/api/login");
    for (asked, status, code) in [
        (post().body("key"), 415, "invalid-login"),
        (post().header("Content-Type", "application/json").body("{"), 400, "invalid-login"),
        (post().json(&json!({"password": "x"})), 400, "invalid-login"),
        (post().json(&json!({"key": "x".repeat(5_000)})), 400, "invalid-login"),
        (post().json(&json!({"key": ""})), 401, "unauthorized"),
    ] {
        let problem = Answer::of(asked).await.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(code)), "{problem}");
    }
}

#[tokio::test]
async fn cookie_is_for_https_only_where_browsers_use_that() {
    let home = Home::sqlite();
    let key = home.key(&["--name", "shop"]).await;
    let public = Home::at(home.folder()).set("server.public_url", "https://pictures.example");
    let service = public.serve_with(&["--no-workers"]);
    let answer = log_in(&service, &key).await;
    let set = answer.header("set-cookie");
    assert!(set.starts_with("__Host-pixmill_session=") && set.ends_with("; Secure"), "{set}");
    let own = request(&service, "DELETE", "/api/jobs/x").header("Cookie", cookie(&answer));
    assert_eq!(Answer::of(own.header("Origin", "https://pictures.example")).await.status, 404);
    // A neighbour of the domain may have planted this one.
    let planted = cookie(&answer).replace("__Host-", "");
    let asked = |path| Answer::of(request(&service, "GET", path).header("Cookie", &planted));
    assert_eq!(asked("/api/jobs/x").await.status, 401);
    assert!(!asked("/login").await.text().contains("Logged in"));
    drop(service);

    for (trusted, secure) in [("127.0.0.1", true), ("192.0.2.1", false)] {
        let proxied = Home::at(home.folder()).set("server.trusted_proxies", trusted);
        let service = proxied.serve_with(&["--no-workers"]);
        let login = request(&service, "POST", "/api/login").header("X-Forwarded-Proto", "https");
        let answer = Answer::of(login.json(&json!({"key": key["key"]}))).await;
        assert_eq!(answer.header("set-cookie").contains("Secure"), secure, "{trusted}");
    }
}
