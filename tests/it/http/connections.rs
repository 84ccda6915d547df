//! Slow clients, many clients, and clients that are at it when the service is told to end.

use std::net::TcpStream as Socket;

use bytes::Bytes;
use rustix::process::Signal;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::support::client::{Answer, id, images, rest_of};
use crate::support::pictures::{photo, plain_png};
use crate::support::service::{Home, Service};
use crate::support::until;

/// Waits until a counter or gauge has a value.
async fn counts(service: &Service, line: &str) {
    until(&format!("the metrics say `{line}`"), async || {
        service.get("/metrics").await.text().lines().any(|told| told == line).then_some(())
    })
    .await;
}

/// Clients cut off so far.
async fn slow_clients(service: &Service) -> u64 {
    let metrics = service.get("/metrics").await.text();
    let count = metrics.lines().find_map(|line| line.strip_prefix("pixmill_http_slow_clients_total "));
    count.unwrap().parse().unwrap()
}

fn impatient() -> Home {
    Home::sqlite().set("server.idle_timeout", "1s").set("server.keep_alive", "1s")
}

#[tokio::test]
async fn upload_that_stops_coming_is_given_up_and_leaves_nothing() {
    let home = impatient();
    let service = home.serve_with(&["--no-workers"]);
    let halted = service.halted_upload("", &photo()).await;
    let problem = halted.answer().await.problem();
    assert_eq!((&problem["status"], &problem["code"]), (&408.into(), &"request-timeout".into()));
    assert!(problem["detail"].as_str().unwrap().contains("server.idle_timeout"), "{problem}");
    counts(&service, "pixmill_http_slow_clients_total 1").await;
    home.is_left_empty().await;
}

#[tokio::test]
async fn connection_without_a_whole_request_is_closed() {
    let home = impatient();
    let service = home.serve_with(&["--no-workers"]);
    let half = "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ";
    for begun in ["", "G", half, "PRI * HTTP/2.0\r\n"] {
        let mut stream = TcpStream::connect(service.address()).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        let reply = rest_of(&mut stream).await;
        assert!(!reply.starts_with(b"HTTP/1.1 2"), "{begun:?}");
    }
    // One that is kept alive goes too, after its answer.
    let mut stream = TcpStream::connect(service.address()).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let reply = rest_of(&mut stream).await;
    assert!(reply.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&reply));
}

#[tokio::test]
async fn client_that_does_not_take_its_answer_is_cut_off() {
    let home = impatient();
    let service = home.serve();
    let status = service.done(images([("a.png", plain_png(9, 9))])).await;
    let path = status["result"][0]["paths"][0].as_str().unwrap();
    // More than all buffers on the way hold.
    let file = home.folder().join(path.replacen("/files/", "outputs/", 1));
    std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(64 << 20).unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut deaf = socket.connect(service.address().parse().unwrap()).await.unwrap();
    deaf.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    counts(&service, "pixmill_http_slow_clients_total 1").await;
    // Who takes it gets all of it.
    assert_eq!(service.get(path).await.body.len(), 64 << 20);
}

/// A connection that speaks HTTP/2, and takes so many bytes of each answer.
async fn http2(service: &Service, window: u32) -> h2::client::SendRequest<Bytes> {
    let stream = TcpStream::connect(service.address()).await.unwrap();
    let (client, connection) = h2::client::Builder::new().initial_window_size(window).handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client
}

fn ask(service: &Service, method: &str, path: &str) -> hyper::http::request::Builder {
    hyper::Request::builder().method(method).uri(format!("http://{}{path}", service.address()))
}

/// All of an answer, taken as it comes.
async fn whole(mut body: h2::RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        bytes.extend_from_slice(&piece);
        body.flow_control().release_capacity(piece.len())?;
    }
    Ok(bytes)
}

#[tokio::test]
async fn http2_upload_that_stops_coming_is_given_up_and_its_neighbours_go_on() {
    let home = impatient().set("server.keep_alive", "10m");
    let service = home.serve_with(&["--no-workers"]);
    let mut client = http2(&service, 65_535).await;
    let head = ask(&service, "POST", "/api/upload").header("Content-Type", "multipart/form-data; boundary=b");
    let (answer, mut upload) = client.send_request(head.body(()).unwrap(), false).unwrap();
    let begun = "--b\r\nContent-Disposition: form-data; name=\"images\"; filename=\"a.jpg\"\r\n\r\n";
    upload.send_data([begun.as_bytes(), &photo()[..1_000]].concat().into(), false).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 408);
    let problem = whole(answer.into_body()).await.unwrap();
    let problem: serde_json::Value = serde_json::from_slice(&problem).unwrap();
    assert_eq!(problem["code"], "request-timeout", "{problem}");
    counts(&service, "pixmill_http_slow_clients_total 1").await;
    home.is_left_empty().await;
    let (answer, _) = client.send_request(ask(&service, "GET", "/healthz").body(()).unwrap(), true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200, "on the same connection");
}

#[tokio::test]
async fn http2_client_that_does_not_take_its_answer_is_cut_off() {
    // On a busy machine a second of idleness may be the machine's: only who must be cut off talks to the impatient one.
    let home = Home::sqlite();
    let patient = home.serve();
    let status = patient.done(images([("a.png", plain_png(9, 9))])).await;
    let path = status["result"][0]["paths"][0].as_str().unwrap();
    let file = home.folder().join(path.replacen("/files/", "outputs/", 1));
    std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(1 << 20).unwrap();
    let service = Home::at(home.folder()).set("server.idle_timeout", "1s").serve_with(&["--no-workers"]);
    // Nothing at all, and something and then nothing more: the client never says that it has taken it.
    for window in [0, 10_000] {
        let before = slow_clients(&service).await;
        let mut client = http2(&service, window).await;
        let (answer, _) = client.send_request(ask(&service, "GET", path).body(()).unwrap(), true).unwrap();
        let mut body = answer.await.unwrap().into_body();
        let mut came = 0;
        let broke = loop {
            match body.data().await {
                Some(Ok(piece)) => came += piece.len(),
                other => break other,
            }
        };
        assert!(matches!(broke, Some(Err(_))), "an answer of {came} bytes is not whole");
        // What was on its way when the connection was cut may be lost with it.
        assert!(came <= window as usize, "{came} bytes of a window of {window}");
        until("it is counted", async || (slow_clients(&service).await > before).then_some(())).await;
    }
    // Who takes it gets all of it.
    let mut client = http2(&patient, 10_000).await;
    let (answer, _) = client.send_request(ask(&patient, "GET", path).body(()).unwrap(), true).unwrap();
    assert_eq!(whole(answer.await.unwrap().into_body()).await.unwrap().len(), 1 << 20);
}

#[tokio::test]
async fn newcomers_wait_when_all_connections_are_taken() {
    let home = Home::sqlite().set("server.max_connections", "2");
    let service = home.serve_with(&["--no-workers"]);
    let first = service.halted_upload("", &photo()).await;
    let second = service.halted_upload("", &photo()).await;
    let (answer, ()) = tokio::join!(service.raw_get("/healthz"), async {
        service.process.says("server.max_connections are open").await;
        assert_eq!(first.finish().await.status, 202);
    });
    assert_eq!(answer.status, 200);
    assert_eq!(second.finish().await.status, 202);
}

#[tokio::test]
async fn newcomer_that_finds_no_room_is_told_to_come_again() {
    let home = Home::sqlite().set("server.max_connections", "2").set("server.idle_timeout", "10m");
    let service = home.serve_with(&["--no-workers"]);
    let silent: Vec<Socket> = (0..2).map(|_| Socket::connect(service.address()).unwrap()).collect();
    let request = service.halted_upload("", &photo()).await;
    for answer in [request.answer().await, service.raw_get("/healthz").await] {
        let problem = answer.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&503.into(), &"overloaded".into()), "{problem}");
        assert_eq!(answer.header("retry-after"), "5");
    }
    drop(silent);
    assert_eq!(service.raw_get("/healthz").await.status, 200);
}

#[tokio::test]
async fn silent_connections_take_no_descriptor_from_the_pictures() {
    const SILENT: usize = 400;
    for home in [Home::sqlite(), Home::redis()] {
        let home = home.with_files(512).set("server.idle_timeout", "10m");
        let service = home.serve();
        service.process.says("connections are taken at a time instead of 8192").await;
        // On a connection that stays open.
        assert_eq!(service.get("/healthz").await.status, 200);
        let names: Vec<String> = (0..64).map(|i| format!("{i}.png")).collect();
        let form = images(names.iter().map(|name| (name.as_str(), plain_png(60, 60))));
        let broker = home.broker().await;
        broker.pause("cpu_intensive").await.unwrap();
        let accepted = service.upload(form).await;
        let silent: Vec<Socket> = (0..SILENT).filter_map(|_| Socket::connect(service.address()).ok()).collect();
        assert!(silent.len() > 200, "{}", silent.len());
        until("newcomers are turned away", async || service.raw_get("/healthz").await.status.eq(&503).then_some(()))
            .await;
        broker.resume("cpu_intensive").await.unwrap();
        let all = async || {
            let group = broker.group(id(&accepted).parse().unwrap()).await.unwrap().unwrap();
            group.finished_at.map(|_| group)
        };
        let group = until("all pictures are done", all).await;
        assert_eq!((group.succeeded, group.failed), (64, 0));
        drop(silent);
        let status = service.finished(id(&accepted)).await;
        assert!(status["result"].as_array().unwrap().iter().all(|picture| picture["attempts"] == 1), "{status}");
    }
}

#[tokio::test]
async fn connection_between_two_requests_makes_room() {
    let home = Home::sqlite().set("server.max_connections", "1").set("server.keep_alive", "1h");
    let service = home.serve_with(&["--no-workers"]);
    assert_eq!(service.get("/healthz").await.status, 200, "its connection stays open");
    assert_eq!(service.raw_get("/healthz").await.status, 200);
    assert_eq!(service.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn service_out_of_files_goes_on_when_there_are_some_again() {
    let home = Home::sqlite().set("server.idle_timeout", "10m");
    let service = home.serve_with(&["--no-workers"]);
    let process = service.process.id();
    let open = std::fs::read_dir(format!("/proc/{}/fd", process.as_raw_nonzero())).unwrap().count() as u64;
    let limit = rustix::process::Rlimit { current: Some(open + 8), maximum: Some(open + 8) };
    rustix::process::prlimit(Some(process), rustix::process::Resource::Nofile, limit).unwrap();
    let address = service.address();
    let silent: Vec<Socket> = (0..16).map(|_| Socket::connect(address).unwrap()).collect();
    service.process.says("no connection can be taken at present").await;
    drop(silent);
    assert_eq!(service.raw_get("/healthz").await.status, 200);
}

#[tokio::test]
async fn upload_that_runs_at_a_shutdown_completes() {
    for home in [Home::sqlite(), Home::redis()] {
        let home = home.set("server.shutdown_grace", "10m");
        let service = home.serve_with(&["--no-workers"]);
        let halted = service.halted_upload("", &photo()).await;
        let idle = TcpStream::connect(service.address()).await.unwrap();
        until("the upload has begun", async || home.files("uploads").first().map(drop)).await;
        service.process.signal(Signal::TERM);
        until("no more connections are taken", async || TcpStream::connect(service.address()).await.err()).await;
        assert_eq!(halted.finish().await.status, 202);
        let (status, _, log) = service.process.ends().await;
        assert!(status.success() && !log.contains("cut off"), "{log}");
        drop(idle);
    }
}

#[tokio::test]
async fn upload_that_outlasts_the_grace_period_is_cut_off() {
    let home = Home::sqlite().set("server.shutdown_grace", "1s");
    let service = home.serve_with(&["--no-workers"]);
    let halted = service.halted_upload("", &photo()).await;
    until("the upload has begun", async || home.files("uploads").first().map(drop)).await;
    service.process.signal(Signal::TERM);
    let (status, _, log) = service.process.ends().await;
    assert!(status.success() && log.contains("cut off"), "{log}");
    drop(halted);
}

/// Each connection could have the service hold 4 MiB, without a sum.
#[tokio::test]
async fn unfinished_bodies_have_one_budget_and_pictures_come_in_beside_them() {
    const BODY: usize = 200_000;
    let home = Home::sqlite().set("limits.max_buffered_bytes", "1048576").set("limits.max_body_bytes", "500000");
    let home = home.set("server.idle_timeout", "10m");
    let service = home.serve();
    let half = async || {
        let mut stream = TcpStream::connect(service.address()).await.unwrap();
        let head = format!(
            "POST /api/groups HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            service.address(),
            BODY + 1
        );
        stream.write_all(&[head.as_bytes(), &vec![b' '; BODY]].concat()).await.unwrap();
        stream
    };
    // The question's own head is among them.
    let held = async || {
        let metrics = service.get("/metrics").await.text();
        let held = metrics.lines().find_map(|line| line.strip_prefix("pixmill_http_buffered_bytes "));
        held.unwrap().parse::<usize>().unwrap()
    };
    let mut waiting = [half().await, half().await];
    until("both bodies are held", async || (held().await >= 2 * BODY).then_some(())).await;
    let mut refused = half().await;
    refused.write_all(b" ").await.unwrap();
    let reply = String::from_utf8(rest_of(&mut refused).await).unwrap();
    assert!(reply.starts_with("HTTP/1.1 503 ") && reply.contains("retry-after: 5"), "{reply}");
    assert!(reply.contains("overloaded") && reply.contains("limits.max_buffered_bytes (1048576)"), "{reply}");
    assert_eq!(service.done(images([("a.jpg", photo())])).await["succeeded"], 1);
    for stream in &mut waiting {
        stream.write_all(b" ").await.unwrap();
        let reply = String::from_utf8(rest_of(stream).await).unwrap();
        assert!(reply.starts_with("HTTP/1.1 400 ") && reply.contains("invalid-json"), "{reply}");
    }
    until("nothing is held any more", async || (held().await < BODY / 10).then_some(())).await;
}

#[tokio::test]
async fn hundreds_of_slow_uploaders_harm_nobody() {
    const SLOW: usize = 400;
    let home = Home::sqlite();
    let service = home.serve();
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        slow.push(service.halted_upload("", &plain_png(30, 30)).await);
    }
    let before = service.process.resident();
    let status = service.done(images([("a.jpg", photo())])).await;
    assert_eq!(status["status"], "completed");
    counts(&service, &format!("pixmill_http_connections {}", SLOW + 1)).await;
    assert!(before < 150 << 20, "{before} bytes for {SLOW} slow uploaders");
    for halted in slow {
        assert_eq!(halted.finish().await.status, 202);
    }
}

#[tokio::test]
async fn refused_upload_that_waits_for_leave_is_answered_at_once() {
    let home = Home::sqlite();
    let service = home.serve_with(&["--no-workers"]);
    let host = service.address();
    let head = format!(
        "POST /api/upload HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nExpect: 100-continue\r\n\
         Content-Type: text/plain\r\nContent-Length: 1000000\r\n\r\n"
    );
    let answer: Answer = service.raw(head.as_bytes()).await;
    assert_eq!(answer.problem()["code"], "not-multipart");
}
