//! A client as a program would be one: forms, status polls, downloads, and raw bytes for what no client sends.

use std::sync::Once;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::multipart::{Form, Part};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{PATIENCE, until_within};

pub struct Client {
    http: reqwest::Client,
    url: String,
}

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Client {
    pub fn new(url: &str) -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
        // A service that never answers fails its test.
        let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        Self { http, url: url.into() }
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method.parse().unwrap(), format!("{}{path}", self.url))
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request("GET", path)).await
    }

    /// A request without a body.
    pub async fn send(&self, method: &str, path: &str) -> Answer {
        Answer::of(self.request(method, path)).await
    }

    pub async fn post(&self, form: Form) -> Answer {
        Answer::of(self.request("POST", "/api/upload").multipart(form)).await
    }

    /// Uploads and expects to be accepted; the answer.
    pub async fn upload(&self, form: Form) -> Value {
        let answer = self.post(form).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer.json()
    }

    /// Uploads and expects to be refused; the problem, whose form is checked.
    pub async fn refused(&self, form: Form) -> Value {
        self.post(form).await.problem()
    }

    pub async fn status(&self, id: &str) -> Value {
        let answer = self.get(&format!("/api/task_status/{id}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// The status once it is no longer `processing`.
    pub async fn finished(&self, id: &str) -> Value {
        self.finished_within(PATIENCE, id).await
    }

    /// As [`finished`](Self::finished), with a patience of one's own.
    pub async fn finished_within(&self, patience: Duration, id: &str) -> Value {
        until_within(patience, &format!("task {id} ends"), async || {
            let status = self.status(id).await;
            (status["status"] != "processing").then_some(status)
        })
        .await
    }

    /// Uploads, and waits for the end.
    pub async fn done(&self, form: Form) -> Value {
        let accepted = self.upload(form).await;
        self.finished(id(&accepted)).await
    }

    /// A file that must be there.
    pub async fn file(&self, path: &Value) -> Vec<u8> {
        let answer = self.get(path.as_str().expect("a path")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.body
    }

    /// Sends these bytes on a connection of their own, and reads what comes back.
    pub async fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        Answer::parse(&rest_of(&mut stream).await)
    }

    /// A GET whose path no client would tidy up.
    pub async fn raw_get(&self, path: &str) -> Answer {
        let host = self.address();
        self.raw(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).await
    }

    /// Begins to upload `a.png` and stops before the form's end; `header` is a line more for its head.
    pub async fn halted_upload(&self, header: &str, picture: &[u8]) -> Halted {
        let before = "--b\r\nContent-Disposition: form-data; name=\"images\"; filename=\"a.png\"\r\n\r\n";
        let body = [before.as_bytes(), picture, b"\r\n--b--\r\n"].concat();
        let (host, length) = (self.address(), body.len());
        let head = format!(
            "POST /api/upload HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{header}\
             Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n"
        );
        let mut stream = TcpStream::connect(host).await.unwrap();
        let (first, rest) = body.split_at(length - 8);
        stream.write_all(&[head.as_bytes(), first].concat()).await.unwrap();
        Halted { stream, rest: rest.to_vec() }
    }

    /// A POST to `/api/upload` with a body of any bytes.
    pub async fn raw_post(&self, content_type: &str, body: &[u8]) -> Answer {
        let (host, length) = (self.address(), body.len());
        let head = format!(
            "POST /api/upload HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: {content_type}\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        self.raw(&[head.as_bytes(), body].concat()).await
    }
}

/// An upload of one picture that stops before the form's last bytes.
pub struct Halted {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl Halted {
    /// Sends nothing more; answers what comes back.
    pub async fn answer(mut self) -> Answer {
        Answer::parse(&rest_of(&mut self.stream).await)
    }

    /// Sends the rest; answers what comes back.
    pub async fn finish(mut self) -> Answer {
        self.stream.write_all(&self.rest).await.unwrap();
        Answer::parse(&rest_of(&mut self.stream).await)
    }
}

/// All that still comes on a connection.
///
/// # Panics
/// When it is not closed within [`PATIENCE`].
pub async fn rest_of(stream: &mut TcpStream) -> Vec<u8> {
    let mut reply = Vec::new();
    // A server that closes on unread bytes resets the connection behind its answer.
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut reply)).await;
    assert!(read.is_ok(), "the connection is not closed: {}", String::from_utf8_lossy(&reply));
    reply
}

impl Answer {
    pub async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.unwrap().into() }
    }

    fn parse(reply: &[u8]) -> Self {
        let end = reply.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer with a head");
        let head = String::from_utf8(reply[..end].to_vec()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        Self { status, headers, body: reply[end + 4..].to_vec() }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The problem document, after its form has been checked.
    pub fn problem(&self) -> Value {
        assert!(self.status >= 400, "{} is no refusal: {}", self.status, self.text());
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["type"], format!("/problems/{}", problem["code"].as_str().unwrap()));
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        problem
    }
}

/// The id that an answer gave.
pub fn id(answer: &Value) -> &str {
    answer["task_id"].as_str().unwrap()
}

/// A form of pictures, each with its file name.
pub fn images<'a>(pictures: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Form {
    pictures.into_iter().fold(Form::new(), |form, (name, bytes)| image(form, name, bytes))
}

/// One more picture.
pub fn image(form: Form, name: &str, bytes: Vec<u8>) -> Form {
    form.part("images", Part::bytes(bytes).file_name(name.to_owned()))
}
