//! Jobs of the kind `http.call`, carried out by a real service against a server with a fault for each case.

use std::time::Duration;

use pixmill::kinds::{HttpCall, Payload};
use pixmill::net::Signer;
use queue::{Broker, Class, GroupId, Job, JobId, NewGroup, NewJob, State};
use serde_json::{Value, json};

use crate::support::origin::{Origin, Reply};
use crate::support::service::Home;
use crate::support::until;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// May call the origin, and waits for a retry no longer than it must.
fn calling(home: Home, origin: &Origin) -> Home {
    home.set("calls.urls", &format!("127.0.0.1:{}", origin.port()))
        .set("calls.allow_private", "127.0.0.1/32")
        .set("calls.secret", SECRET)
        .set("queue.backoff_base", "10ms")
        .set("queue.backoff_cap", "20ms")
}

async fn enqueue(broker: &Broker, calls: Vec<Value>, max_attempts: u32) -> Vec<JobId> {
    let job = |(index, call): (usize, Value)| {
        let payload = Payload::HttpCall(serde_json::from_value::<HttpCall>(call).unwrap());
        let new = NewJob::new(payload.kind(), payload.default_queue(), Class::Io, payload.to_bytes(None));
        NewJob { index: index as u32, max_attempts, ..new }
    };
    let jobs: Vec<NewJob> = calls.into_iter().enumerate().map(job).collect();
    broker.enqueue(&NewGroup::new(GroupId::new(), b"{}".as_slice().into()), &jobs).await.unwrap();
    jobs.iter().map(|job| job.id).collect()
}

/// A job as it ended, and its result.
async fn ended(broker: &Broker, id: JobId) -> (Job, Value) {
    let is_over = |job: &Job| matches!(job.state, State::Succeeded | State::Failed | State::Cancelled);
    let job = until("the call has ended", async || broker.job(id).await.unwrap().filter(is_over)).await;
    let result = serde_json::from_slice(job.result.as_deref().unwrap()).unwrap();
    (job, result)
}

fn json_answer(status: u16, body: &Value) -> Reply {
    Reply::Whole(status, vec!["Content-Type: application/json".into()], body.to_string().into_bytes())
}

#[tokio::test]
async fn call_is_signed_and_its_json_answer_is_the_result() {
    let origin = Origin::start(|_, _| json_answer(201, &json!({"payment_id": "p-1"}))).await;
    let home = calling(Home::sqlite(), &origin);
    let _service = home.serve();
    let broker = home.broker().await;
    let body = json!({"order": "A-17", "amount": 12});
    let call = json!({"url": origin.url("/charges?dry=1"), "headers": {"Authorization": "Bearer t"}, "json": body});
    let id = enqueue(&broker, vec![call], 4).await[0];
    let (job, result) = ended(&broker, id).await;
    assert_eq!((job.state, job.attempt), (State::Succeeded, 1));
    assert_eq!(result, json!({"success": true, "status": 201, "result": {"payment_id": "p-1"}}));
    let head = origin.heads().remove(0);
    let sent = origin.bodies().remove(0);
    assert_eq!(sent, body.to_string().into_bytes());
    let header = |name: &str| {
        let line = head.lines().find_map(|line| line.to_lowercase().strip_prefix(&format!("{name}: ")).map(|_| line));
        line.unwrap_or_else(|| panic!("no {name} in {head}"))[name.len() + 2..].to_owned()
    };
    assert!(head.starts_with("POST /charges?dry=1 HTTP/1.1\r\n"), "{head}");
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("authorization"), "Bearer t");
    assert_eq!((header("idempotency-key"), header("webhook-id")), (id.to_string(), id.to_string()));
    let seconds = header("webhook-timestamp").parse().unwrap();
    let at = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let [_, _, (_, signature)] = Signer::parse(SECRET).unwrap().headers(&id.to_string(), at, &sent);
    assert_eq!(header("webhook-signature"), signature);
    let age = std::time::SystemTime::now().duration_since(at).unwrap();
    assert!(age < Duration::from_mins(2), "{age:?}");
}

/// What the server at a path does, how the job ends, after how many attempts, and what its failure says.
#[tokio::test]
async fn each_fault_of_a_server_ends_as_documented() {
    let origin = Origin::start(|path, before| match path {
        "/text" => Reply::Whole(200, Vec::new(), b"done".to_vec()),
        "/nothing" => Reply::Whole(204, Vec::new(), Vec::new()),
        "/largest" => json_answer(200, &Value::String("a".repeat((64 << 10) - 2))),
        "/larger" => json_answer(200, &Value::String("a".repeat((64 << 10) - 1))),
        "/endless" => Reply::Endless,
        "/cut" => Reply::Cut(900, b"{".to_vec()),
        "/silent" => Reply::Silent,
        "/moved" => Reply::redirect("/text"),
        "/second" if before == 0 => Reply::status(503),
        "/asks" if before == 0 => Reply::Whole(429, vec!["Retry-After: 2".into()], Vec::new()),
        "/second" | "/asks" => json_answer(200, &json!(before)),
        "/long" => Reply::Whole(422, Vec::new(), "ä".repeat(4_000).into_bytes()),
        other => Reply::Whole(other[1..].parse().unwrap(), Vec::new(), br#"{"error": "no funds"}"#.to_vec()),
    })
    .await;
    let home = calling(Home::sqlite(), &origin);
    let _service = home.serve();
    let broker = home.broker().await;
    let success = |status: u16, result: Value| Ok(json!({"success": true, "status": status, "result": result}));
    let cases = [
        ("/text", success(200, Value::Null), 1),
        ("/nothing", success(204, Value::Null), 1),
        ("/largest", success(200, json!("a".repeat((64 << 10) - 2))), 1),
        ("/second", success(200, json!(1)), 2),
        ("/asks", success(200, json!(1)), 2),
        ("/larger", Err(("answer-too-large", "with more than 65536 bytes")), 1),
        ("/endless", Err(("answer-too-large", "with more than 65536 bytes")), 1),
        ("/moved", Err(("call-redirected", "302 Found to /text")), 1),
        ("/400", Err(("call-refused", r#"400 Bad Request: {"error": "no funds"}"#)), 1),
        ("/402", Err(("call-refused", r#"402 Payment Required: {"error": "no funds"}"#)), 1),
        ("/404", Err(("call-refused", "404 Not Found: ")), 1),
        ("/long", Err(("call-refused", "422 Unprocessable Entity: ä")), 1),
        ("/408", Err(("call-failed", "408 Request Timeout: ")), 2),
        ("/425", Err(("call-failed", "425 Too Early: ")), 2),
        ("/500", Err(("call-failed", r#"500 Internal Server Error: {"error": "no funds"}"#)), 2),
        ("/599", Err(("call-failed", "599")), 2),
        ("/cut", Err(("call-failed", "the answer broke off")), 2),
        ("/silent", Err(("call-failed", "it took longer than 200ms (timeout)")), 2),
    ];
    let call = |path: &str| {
        let timeout = if path == "/silent" { "200ms" } else { "30s" };
        json!({"url": origin.url(path), "timeout": timeout, "json": {"path": path}})
    };
    let ids = enqueue(&broker, cases.iter().map(|(path, ..)| call(path)).collect(), 2).await;
    for ((path, wanted, attempts), id) in cases.into_iter().zip(ids) {
        let (job, result) = ended(&broker, id).await;
        assert_eq!(job.attempt, attempts, "{path}: {result}");
        match wanted {
            Ok(wanted) => {
                assert_eq!((job.state, &result), (State::Succeeded, &wanted), "{path}");
                let took = job.finished_at.unwrap().duration_since(job.created_at);
                assert!(path != "/asks" || took.as_secs() >= 2, "{path}: tried again after {took}");
            }
            Err((code, said)) => {
                assert_eq!((job.state, &result["error"]["code"]), (State::Failed, &json!(code)), "{path}: {result}");
                let detail = result["error"]["detail"].as_str().unwrap();
                assert!(detail.contains(said) && detail.len() < 1_200, "{path}: {detail}");
                assert_eq!(result["error"]["retryable"], json!(attempts == 2), "{path}");
            }
        }
        let keys = origin.heads().iter().filter(|head| head.to_lowercase().contains(&id.to_string())).count();
        assert_eq!(keys as u32, attempts, "{path}: each attempt sends the job's id as its key");
    }
}

#[tokio::test]
async fn calls_that_may_not_be_made_are_refused_before_a_connection() {
    let origin = Origin::start(|_, _| json_answer(200, &json!({}))).await;
    let home = calling(Home::sqlite(), &origin);
    let _service = home.serve();
    let broker = home.broker().await;
    let cases = [
        (json!({"url": "https://pay.example/"}), "url-forbidden", "calls.urls does not allow it"),
        (
            json!({"url": format!("http://127.0.0.2:{}/", origin.port())}),
            "url-forbidden",
            "calls.urls does not allow it",
        ),
        (json!({"url": origin.url("/"), "headers": {"Host": "pay.example"}}), "invalid-call", "headers.Host"),
        (json!({"url": origin.url("/"), "method": "GET", "json": 1}), "invalid-call", "json: "),
    ];
    let ids = enqueue(&broker, cases.iter().map(|(call, ..)| call.clone()).collect(), 4).await;
    for ((call, code, said), id) in cases.into_iter().zip(ids) {
        let (job, result) = ended(&broker, id).await;
        assert_eq!((job.state, job.attempt), (State::Failed, 1), "{call}");
        assert_eq!(result["error"]["code"], code, "{call}: {result}");
        assert!(result["error"]["detail"].as_str().unwrap().contains(said), "{call}: {result}");
    }
    assert_eq!(origin.heads(), Vec::<String>::new());
}

#[tokio::test]
async fn host_in_a_private_network_is_not_called() {
    let origin = Origin::start(|_, _| json_answer(200, &json!({}))).await;
    let urls = format!("127.0.0.1:{port},localhost:{port}", port = origin.port());
    let home = calling(Home::sqlite(), &origin).set("calls.urls", &urls).set("calls.allow_private", "10.0.0.0/8");
    let _service = home.serve();
    let broker = home.broker().await;
    let calls = ["127.0.0.1", "localhost"].map(|host| json!({"url": format!("http://{host}:{}/", origin.port())}));
    for id in enqueue(&broker, calls.into(), 4).await {
        let (job, result) = ended(&broker, id).await;
        assert_eq!((job.state, job.attempt, &result["error"]["code"]), (State::Failed, 1, &json!("url-forbidden")));
        let detail = result["error"]["detail"].as_str().unwrap();
        assert!(detail.contains("(loopback), which calls.allow_private does not allow"), "{detail}");
    }
    assert_eq!(origin.heads(), Vec::<String>::new());
}

#[tokio::test]
async fn calls_to_one_host_take_turns_at_no_cost_of_an_attempt() {
    let origin = Origin::start(|_, _| Reply::Gated(b"12".to_vec())).await;
    let home = calling(Home::sqlite(), &origin).set("calls.per_host", "2");
    let _service = home.serve();
    let broker = home.broker().await;
    let ids = enqueue(&broker, vec![json!({"url": origin.url("/")}); 6], 1).await;
    until("two calls are under way", async || (origin.heads().len() == 2).then_some(())).await;
    // Longer than a call waits for its turn before it is given back.
    let given_back = async || {
        let mut delayed = 0;
        for id in &ids {
            let job = broker.job(*id).await.unwrap().unwrap();
            delayed += usize::from(job.state == State::Delayed);
        }
        (delayed > 0).then_some(())
    };
    until("a call that waits is given back", given_back).await;
    assert_eq!(origin.heads().len(), 2);
    origin.open_gate();
    for id in ids {
        let (job, result) = ended(&broker, id).await;
        assert_eq!((job.state, job.attempt, &result["result"]), (State::Succeeded, 1, &json!(12)));
    }
}
