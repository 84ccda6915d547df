//! What keys may do, whose groups are, and how keys come and go under a running service.

use reqwest::multipart::Form;
use serde_json::{Value, json};

use crate::support::client::{Answer, id, images};
use crate::support::pictures::{plain_png, truncated};
use crate::support::service::{Home, Service};
use crate::support::until;

/// A client with a key.
struct Bearer<'a> {
    service: &'a Service,
    key: String,
}

impl Service {
    fn with<'a>(&'a self, key: &Value) -> Bearer<'a> {
        Bearer { service: self, key: key["key"].as_str().unwrap().into() }
    }
}

impl Bearer<'_> {
    async fn send(&self, method: &str, path: &str) -> Answer {
        Answer::of(self.service.request(method, path).bearer_auth(&self.key)).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path).await
    }

    async fn upload(&self, form: Form) -> Answer {
        Answer::of(self.service.request("POST", "/api/upload").bearer_auth(&self.key).multipart(form)).await
    }

    /// Uploads, and waits for the end.
    async fn done(&self, form: Form) -> Value {
        let accepted = self.upload(form).await;
        assert_eq!(accepted.status, 202, "{}", accepted.text());
        self.finished(id(&accepted.json())).await
    }

    async fn finished(&self, id: &str) -> Value {
        until(&format!("task {id} ends"), async || {
            let status = self.get(&format!("/api/task_status/{id}")).await.json();
            (status["status"] != "processing").then_some(status)
        })
        .await
    }

    async fn is_taken(&self) -> bool {
        self.get("/api/jobs/x").await.status == 404
    }
}

fn picture() -> Form {
    images([("a.png", plain_png(9, 9))])
}

#[tokio::test]
async fn route_is_refused_to_a_key_without_its_scope() {
    let home = Home::sqlite();
    let admin = home.key(&["--name", "ops", "--scopes", "admin"]).await;
    let (submit, read) = (home.key(&["--name", "shop"]).await, home.key(&["--name", "eye", "--scopes", "read"]).await);
    let service = home.serve();
    let (admin, submit, read) = (service.with(&admin), service.with(&submit), service.with(&read));
    for (caller, method, path, needed) in [
        (&submit, "GET", "/metrics", "admin"),
        (&read, "GET", "/metrics", "admin"),
        (&read, "DELETE", "/api/jobs/x", "submit"),
        (&read, "POST", "/api/groups/x/retry", "submit"),
    ] {
        let problem = caller.send(method, path).await.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(403), &json!("forbidden-scope")), "{method} {path}");
        assert!(problem["detail"].as_str().unwrap().contains(&format!("`{needed}`")), "{problem}");
    }
    assert_eq!(read.upload(picture()).await.problem()["code"], "forbidden-scope");
    assert_eq!(service.get("/metrics").await.status, 401);
    assert_eq!(submit.upload(picture()).await.status, 202);
    assert_eq!(admin.upload(picture()).await.status, 202);
    let metrics = admin.get("/metrics").await.text();
    for line in [
        r#"pixmill_http_refusals_total{code="forbidden-scope"} 5"#,
        r#"pixmill_http_refusals_total{code="unauthorized"} 1"#,
    ] {
        assert!(metrics.contains(line), "no `{line}` in {metrics}");
    }
}

#[tokio::test]
async fn group_is_hidden_from_keys_of_other_names() {
    for home in [Home::sqlite(), Home::redis()] {
        let keys = [
            home.key(&["--name", "shop"]).await,
            home.key(&["--name", "shop"]).await,
            home.key(&["--name", "shop", "--scopes", "read"]).await,
            home.key(&["--name", "ops", "--scopes", "admin"]).await,
            home.key(&["--name", "blog"]).await,
        ];
        let service = home.serve();
        let [shop, exchanged, eye, admin, blog] = keys.each_ref().map(|key| service.with(key));
        let status = shop.done(images([("a.png", plain_png(9, 9)), ("b.jpg", truncated())])).await;
        let (group, job) = (id(&status), status["result"][0]["job_id"].as_str().unwrap());
        let link = status["result"][0]["paths"][0].as_str().unwrap();
        let file = link.split('?').next().unwrap();
        let [task, task_of_job, by_group, by_job] =
            [("task_status", group), ("task_status", job), ("groups", group), ("jobs", job)]
                .map(|(route, id)| format!("/api/{route}/{id}"));
        let (events, archive) = (format!("{by_group}/events"), format!("{by_group}/archive"));
        for path in [&task, &task_of_job, &by_group, &by_job, &events, &archive, file] {
            for friend in [&exchanged, &eye, &admin] {
                assert_eq!(friend.get(path).await.status, 200, "{path}");
            }
            assert_eq!(blog.get(path).await.problem()["code"], "not-found", "{path}");
        }
        for (method, path) in [
            ("DELETE", by_group.clone()),
            ("DELETE", by_job.clone()),
            ("POST", format!("{by_group}/retry")),
            ("POST", format!("{by_job}/retry")),
        ] {
            assert_eq!(blog.send(method, &path).await.problem()["code"], "not-found", "{method} {path}");
        }
        assert_eq!(blog.get(link).await.status, 200, "a link is for whoever has it");
        for list in ["groups", "jobs"] {
            let listed = async |caller: &Bearer<'_>| caller.get(&format!("/api/{list}")).await.text();
            assert!(listed(&shop).await.contains(group) && !listed(&blog).await.contains(group), "{list}");
        }
        let sources = json!({"sources": [{"group": group}]});
        let posted = service.request("POST", "/api/groups").bearer_auth(&blog.key).json(&sources);
        let refused = Answer::of(posted).await.problem();
        assert_eq!(refused["rejected"][0]["error"]["code"], "source-gone", "{refused}");

        // What the stranger is told is what is told of a group that never was.
        let never = queue::GroupId::new().to_string();
        let told = blog.get(&by_group).await.text().replace(group, &never);
        assert_eq!(told, blog.get(&format!("/api/groups/{never}")).await.text());

        let again = admin.send("POST", &format!("{by_group}/retry")).await;
        assert_eq!(again.status, 202, "{}", again.text());
        let again = shop.finished(id(&again.json())).await;
        assert_eq!((&again["retry_of"], &again["failed"]), (&json!(group), &json!(1)), "it is still the shop's");
        assert_eq!(blog.get(&format!("/api/groups/{}", id(&again))).await.status, 404);
    }
}

#[tokio::test]
async fn what_the_service_does_for_itself_is_hidden_from_all_but_admin() {
    for home in [Home::sqlite(), Home::redis()] {
        let keys = [
            home.key(&["--name", "ops", "--scopes", "admin"]).await,
            home.key(&["--name", "shop"]).await,
            home.key(&["--name", "blog"]).await,
        ];
        let service = home.serve_with(&["--no-workers"]);
        let [admin, shop, blog] = keys.each_ref().map(|key| service.with(key));
        let then = json!({"then": {"on": "always", "operations": [{"type": "info"}]}});
        let first = shop.upload(picture().text("options", then.to_string())).await;
        assert_eq!(first.status, 202, "{}", first.text());
        shop.send("DELETE", &format!("/api/groups/{}", id(&first.json()))).await;
        for kind in ["group.follow", "outbox.sweep", "storage.sweep"] {
            let list = format!("/api/jobs?kind={kind}");
            let job =
                until(&format!("a job {kind} waits"), async || admin.get(&list).await.json()["jobs"].get(0).cloned())
                    .await;
            let (group, job) = (job["group"].as_str().unwrap(), job["id"].as_str().unwrap());
            for key in [&shop, &blog] {
                assert_eq!(key.get(&list).await.json()["jobs"], json!([]), "{kind}");
                assert!(!key.get("/api/groups").await.text().contains(group), "{kind}");
                for (method, path) in [
                    ("GET", format!("/api/jobs/{job}")),
                    ("DELETE", format!("/api/jobs/{job}")),
                    ("POST", format!("/api/jobs/{job}/retry")),
                    ("GET", format!("/api/groups/{group}")),
                    ("DELETE", format!("/api/groups/{group}?files=true")),
                ] {
                    assert_eq!(key.send(method, &path).await.status, 404, "{kind}: {method} {path}");
                }
            }
            assert_eq!(admin.get(&format!("/api/jobs/{job}")).await.json()["status"], "processing", "{kind}");
        }
        let _worker = home.worker().await;
        let follows = first.json()["links"]["then"].as_str().unwrap().to_owned();
        let follows = until("the shop's follow-up is made", async || {
            let answer = shop.get(&follows).await;
            (answer.status == 200).then(|| answer.json())
        })
        .await;
        assert_eq!(follows["follows"], json!(id(&first.json())));
    }
}

#[tokio::test]
async fn group_that_the_broker_lost_is_hidden_from_keys_of_other_names() {
    for home in [Home::sqlite(), Home::redis()] {
        let (shop, blog) = (home.key(&["--name", "shop"]).await, home.key(&["--name", "blog"]).await);
        let service = home.serve_with(&["--no-workers"]);
        let (shop, blog) = (service.with(&shop), service.with(&blog));
        let accepted = shop.upload(picture()).await.json();
        let (group, broker) = (id(&accepted).parse().unwrap(), home.broker().await);
        broker.cancel_group(group).await.unwrap();
        assert!(broker.remove_group(group).await.unwrap(), "as a flush would");
        for (route, told) in [("archive", 409), ("events", 200), ("", 200)] {
            let path = format!("/api/groups/{group}/{route}");
            let path = path.trim_end_matches('/');
            let answer = service.request("GET", path).bearer_auth(&shop.key).send().await.unwrap();
            assert_eq!(answer.status(), told, "{path}");
            assert_eq!(blog.get(path).await.status, 404, "{path}");
        }
    }
}

#[tokio::test]
async fn file_that_outlives_its_record_stays_its_owners() {
    for home in [Home::sqlite(), Home::redis()] {
        let (shop, blog) = (home.key(&["--name", "shop"]).await, home.key(&["--name", "blog"]).await);
        let service = home.serve();
        let (shop, blog) = (service.with(&shop), service.with(&blog));
        let status = shop.done(picture()).await;
        let file = status["result"][0]["paths"][0].as_str().unwrap().split('?').next().unwrap();
        assert!(home.broker().await.remove_group(id(&status).parse().unwrap()).await.unwrap());
        assert_eq!((shop.get(file).await.status, blog.get(file).await.status), (200, 404));
    }
}

#[tokio::test]
async fn service_closes_with_its_first_key_and_stays_closed() {
    let home = Home::sqlite();
    let service = home.serve();
    let before = service.done(picture()).await;
    let key = home.key(&["--name", "shop"]).await;
    let status = format!("/api/task_status/{}", id(&before));
    until("a key is asked for", async || (service.get(&status).await.status == 401).then_some(())).await;
    let shop = service.with(&key);
    assert_eq!(shop.get(&status).await.status, 200, "what was made without keys is everybody's to see");
    let (group, job) = (id(&before), before["result"][0]["job_id"].as_str().unwrap());
    for (method, path) in [
        ("DELETE", format!("/api/groups/{group}")),
        ("DELETE", format!("/api/groups/{group}?files=true")),
        ("DELETE", format!("/api/jobs/{job}")),
        ("POST", format!("/api/groups/{group}/retry")),
        ("POST", format!("/api/jobs/{job}/retry")),
    ] {
        let problem = shop.send(method, &path).await.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(403), &json!("forbidden-scope")), "{method} {path}");
    }
    assert!(shop.get(&status).await.json().get("files").is_none(), "nothing was erased");
    let (ended, ..) = home.start(&["keys", "revoke", "shop"]).ends().await;
    assert!(ended.success());
    until("the revoked key is refused", async || (!shop.is_taken().await).then_some(())).await;
    assert_eq!(service.get(&status).await.status, 401, "without any key it is not open again");
    drop(service);
    assert_eq!(home.serve().get(&status).await.status, 401, "nor after a restart");
}

#[tokio::test]
async fn revoked_and_expired_keys_stop_while_others_go_on() {
    let home = Home::sqlite();
    let (gone, short) = (home.key(&["--name", "shop"]).await, home.key(&["--name", "shop", "--expires", "1s"]).await);
    let stays = home.key(&["--name", "shop"]).await;
    let service = home.serve();
    let [gone_key, short, stays] = [&gone, &short, &stays].map(|key| service.with(key));
    assert!(gone_key.is_taken().await && stays.is_taken().await);
    let (ended, ..) = home.start(&["keys", "revoke", gone["id"].as_str().unwrap()]).ends().await;
    assert!(ended.success());
    until("the revoked key is refused", async || (!gone_key.is_taken().await).then_some(())).await;
    let expired = until("the short key ends", async || {
        let answer = short.get("/api/jobs/x").await;
        (answer.status == 401).then_some(answer)
    })
    .await;
    assert!(expired.problem()["detail"].as_str().unwrap().contains("expired"), "{}", expired.text());
    assert!(stays.is_taken().await);
}

#[tokio::test]
async fn idempotency_keys_are_those_of_the_name() {
    let home = Home::sqlite();
    let keys =
        [home.key(&["--name", "shop"]).await, home.key(&["--name", "shop"]).await, home.key(&["--name", "blog"]).await];
    let service = home.serve();
    let mut ids = Vec::new();
    for key in &keys {
        let posted = service.request("POST", "/api/upload").bearer_auth(key["key"].as_str().unwrap());
        let answer = Answer::of(posted.header("Idempotency-Key", "order-1").multipart(picture())).await;
        ids.push(id(&answer.json()).to_owned());
    }
    assert!(ids[0] == ids[1] && ids[0] != ids[2], "{ids:?}");
}
