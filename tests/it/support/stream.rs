//! A stream of server-sent events, read as a browser would.

use serde_json::Value;

use super::PATIENCE;
use super::client::Client;

/// One that is being listened to; dropped, its connection is cut.
pub struct Stream {
    response: reqwest::Response,
    text: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub event: String,
    pub id: Option<String>,
    pub data: Value,
}

impl Stream {
    pub async fn open(client: &Client, path: &str) -> Self {
        Self::after(client, path, None).await
    }

    /// Goes on after an event.
    pub async fn after(client: &Client, path: &str, last: Option<&str>) -> Self {
        let mut request = client.request("GET", path);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        Self::by(request).await
    }

    /// What a request opens.
    pub async fn by(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "text/event-stream");
        assert_eq!((header("cache-control"), header("x-accel-buffering")), ("no-store".into(), "no".into()));
        Self { response, text: String::new() }
    }

    /// The next event; none when the stream has ended. Comments and words about reconnecting are passed over.
    pub async fn next(&mut self) -> Option<Told> {
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let told = told(&self.text[..end]);
                self.text.drain(..end + 2);
                if told.is_some() {
                    return told;
                }
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            let Some(chunk) = chunk.expect("the stream goes on").expect("the stream is not cut off") else {
                assert_eq!(self.text, "", "the last event is whole");
                return None;
            };
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// All that comes until the stream ends.
    pub async fn rest(mut self) -> Vec<Told> {
        let mut all = Vec::new();
        while let Some(told) = self.next().await {
            all.push(told);
        }
        all
    }
}

fn told(block: &str) -> Option<Told> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let data = field("data")?;
    Some(Told {
        event: field("event").unwrap_or("message").into(),
        id: field("id").map(Into::into),
        data: serde_json::from_str(data).unwrap(),
    })
}
