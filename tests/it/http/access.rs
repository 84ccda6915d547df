//! Who may call, and what a start refuses.

use crate::support::client::{Answer, images};
use crate::support::pictures::plain_png;
use crate::support::service::{Home, Process, Service};

/// A home whose service wants the key `sesame`, and its configuration file.
pub fn locked() -> (Home, String) {
    let home = Home::sqlite();
    // printf %s sesame | sha256sum
    let digest = "d0c04f4b1951e4aeaaec8223ed2039e542f3aae805a6fa7f6d794e5afff5d272";
    let file = home.folder().join("pixmill.toml");
    let keys = format!("keys = [{{ name = \"shop\", sha256 = \"{digest}\", scopes = [\"admin\"] }}]");
    std::fs::write(&file, format!("[auth]\n{keys}\n")).unwrap();
    let file = file.to_str().unwrap().to_owned();
    (home, file)
}

async fn asked(service: &Service, path: &str, header: (&str, &str)) -> Answer {
    Answer::of(service.request("GET", path).header(header.0, header.1)).await
}

#[tokio::test]
async fn without_keys_only_this_machines_names_and_pages_may_call() {
    let home = Home::sqlite();
    let service = home.serve();
    let path = "/api/task_status/x";
    for (header, code) in [
        (("Host", "pixmill.example"), "forbidden-host"),
        (("Host", "127.0.0.1.evil.example:80"), "forbidden-host"),
        (("Origin", "https://evil.example"), "forbidden-origin"),
        (("Origin", "null"), "forbidden-origin"),
    ] {
        let problem = asked(&service, path, header).await.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&403.into(), &code.into()), "{header:?}");
        assert!(problem["detail"].as_str().unwrap().contains(header.1), "{problem}");
    }
    for header in [("Host", "localhost:1"), ("Origin", "http://localhost:3000"), ("Origin", "http://127.0.0.1")] {
        assert_eq!(asked(&service, path, header).await.status, 404, "{header:?}");
    }
    let posted = service.request("POST", "/api/upload").header("Origin", "https://evil.example");
    let answer = Answer::of(posted.multipart(images([("a.png", plain_png(9, 9))]))).await;
    assert_eq!(answer.problem()["code"], "forbidden-origin");
    assert_eq!(asked(&service, "/healthz", ("Host", "pixmill.example")).await.status, 200);
    home.is_left_empty().await;
}

#[tokio::test]
async fn with_keys_only_who_bears_one_may_call() {
    let (home, file) = locked();
    let service = home.serve_with(&["--config", &file]);
    for path in ["/api/task_status/x", "/files/a/b/1/c.jpg", "/metrics"] {
        let bare = service.get(path).await;
        assert_eq!((bare.problem()["status"].clone(), bare.header("www-authenticate")), (401.into(), "Bearer"));
        for wrong in ["Bearer open", "Basic sesame", "Bearer ", "sesame"] {
            assert_eq!(asked(&service, path, ("Authorization", wrong)).await.problem()["status"], 401, "{wrong}");
        }
    }
    let post = |key: &str| service.request("POST", "/api/upload").header("Authorization", format!("Bearer {key}"));
    let picture = || images([("a.png", plain_png(9, 9))]);
    assert_eq!(Answer::of(post("open").multipart(picture())).await.problem()["code"], "unauthorized");
    assert_eq!(Answer::of(post("sesame").multipart(picture())).await.status, 202);
    // A key is proof enough, whatever name the server goes by.
    let named = service.request("GET", "/metrics").header("Host", "pixmill.example").bearer_auth("sesame");
    assert_eq!(Answer::of(named).await.status, 200);
    for open in ["/healthz", "/readyz"] {
        assert_eq!(service.get(open).await.status, 200);
    }
}

#[tokio::test]
async fn public_address_without_keys_is_refused_at_start() {
    let home = Home::sqlite();
    let (status, _, log) = home.start(&["serve", "--listen", "0.0.0.0:0"]).ends().await;
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("server.listen: 0.0.0.0:0") && log.contains("auth.keys"), "{log}");
    assert!(log.contains("pixmill keys create --name NAME --data-dir"), "{log}");
    let public = Home::at(home.folder()).set("server.listen", "0.0.0.0:0");
    let (status, _, log) = public.start(&["config", "check"]).ends().await;
    assert!(status.code() == Some(1) && log.contains("pixmill keys create"), "{log}");
    home.key(&["--name", "shop"]).await;
    let (status, ..) = public.start(&["config", "check"]).ends().await;
    assert!(status.success());
    let service = home.start(&["serve", "--listen", "0.0.0.0:0"]);
    service.says("takes jobs from").await;
}

#[tokio::test]
async fn pages_elsewhere_may_call_where_the_settings_say_so() {
    let (home, file) = locked();
    let home = home.set("server.cors_origins", "https://shop.example,http://localhost:3000");
    let service = home.serve_with(&["--config", &file]);
    let preflight = |origin: &str| {
        let asked = service.request("OPTIONS", "/api/upload").header("Origin", origin);
        let asked = asked.header("Access-Control-Request-Method", "POST");
        Answer::of(asked.header("Access-Control-Request-Headers", "authorization, idempotency-key"))
    };
    let allowed = preflight("https://shop.example").await;
    assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (200, "https://shop.example"));
    assert!(allowed.header("access-control-allow-headers").contains("authorization"));
    assert!(allowed.header("access-control-allow-methods").contains("POST"));
    assert_eq!(preflight("https://evil.example").await.header("access-control-allow-origin"), "");
    for (key, status) in [("sesame", 404), ("open", 401)] {
        let asked =
            service.request("GET", "/api/task_status/x").header("Origin", "https://shop.example").bearer_auth(key);
        let answer = Answer::of(asked).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (status, "https://shop.example"));
        let exposed = answer.header("access-control-expose-headers").to_lowercase();
        assert!(["location", "retry-after", "ratelimit", "x-request-id"].iter().all(|name| exposed.contains(name)));
        assert_eq!(answer.header("access-control-allow-credentials"), "");
        assert!(answer.header("vary").to_lowercase().contains("origin"));
    }
}

#[tokio::test]
async fn without_settings_no_page_elsewhere_is_answered() {
    let (home, file) = locked();
    let service = home.serve_with(&["--config", &file]);
    let asked = service.request("GET", "/api/task_status/x").header("Origin", "https://shop.example");
    assert_eq!(Answer::of(asked.bearer_auth("sesame")).await.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn config_check_names_every_fault() {
    let home = Home::sqlite()
        .set("queue.lease", "3s")
        .set("worker.niceness", "50")
        .set("broker.redis", "http://127.0.0.1/")
        .set("limits.min_free_disk", "5");
    let (status, output, log) = home.start(&["config", "check"]).ends().await;
    assert_eq!((status.code(), output.as_str()), (Some(1), ""));
    for named in ["queue.lease: 3s", "worker.niceness: 50", "broker.redis: ", "limits.min_free_disk: 5"] {
        assert!(log.contains(named), "{named} is missing: {log}");
    }
}

#[tokio::test]
async fn config_check_is_content_with_the_defaults_and_strict_with_names() {
    let (status, output, _) = Process::plain(&["config", "check"]).ends().await;
    assert!(status.success() && output.contains("valid"), "{output}");
    let home = Home::sqlite().set("limits.max_fils", "3");
    let (status, _, log) = home.start(&["config", "check"]).ends().await;
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("did you mean PIXMILL__LIMITS__MAX_FILES?"), "{log}");
    let (status, _, log) = Process::plain(&["config", "check", "--config", "/nowhere/pixmill.toml"]).ends().await;
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("cannot read the configuration file /nowhere/pixmill.toml"), "{log}");
}
