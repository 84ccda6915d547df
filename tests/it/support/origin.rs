//! A server that pictures are fetched from, and that is called: it answers as the test says, well or badly, and remembers what it was asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub enum Reply {
    /// Status, further header lines, body.
    Whole(u16, Vec<String>, Vec<u8>),
    /// Announces so many bytes and sends these, then the end of the connection.
    Cut(usize, Vec<u8>),
    /// A body without end and without an announced length.
    Endless,
    /// Nothing, for ever.
    Silent,
    /// The head and half of the body at once, the rest when the gate opens.
    Gated(Vec<u8>),
}

impl Reply {
    pub fn picture(bytes: Vec<u8>) -> Self {
        Self::Whole(200, vec!["Content-Type: image/png".into()], bytes)
    }

    pub fn status(status: u16) -> Self {
        Self::Whole(status, Vec::new(), b"<p>no picture</p>".to_vec())
    }

    pub fn redirect(to: impl std::fmt::Display) -> Self {
        Self::Whole(302, vec![format!("Location: {to}")], Vec::new())
    }
}

pub struct Origin {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
    gate: watch::Sender<bool>,
}

impl Origin {
    /// Answers each path by `reply`, which is told how often the path was asked for before.
    pub async fn start(reply: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0", reply).await
    }

    pub async fn at(address: &str, reply: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let origin = Self {
            port: listener.local_addr().unwrap().port(),
            heads: Arc::default(),
            bodies: Arc::default(),
            gate: watch::Sender::default(),
        };
        let (heads, bodies, gate) = (origin.heads.clone(), origin.bodies.clone(), origin.gate.subscribe());
        tokio::spawn(async move {
            let (reply, asked) = (Arc::new(reply), Arc::new(Mutex::new(HashMap::<String, usize>::new())));
            while let Ok((stream, _)) = listener.accept().await {
                let (reply, asked, gate) = (reply.clone(), asked.clone(), gate.clone());
                let (heads, bodies) = (heads.clone(), bodies.clone());
                tokio::spawn(async move {
                    let mut stream = stream;
                    let Some(head) = head(&mut stream).await else { return };
                    let Some(body) = body(&mut stream, &head).await else { return };
                    bodies.lock().unwrap().push(body);
                    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                    heads.lock().unwrap().push(head);
                    let before = {
                        let mut asked = asked.lock().unwrap();
                        let count = asked.entry(path.clone()).or_default();
                        *count += 1;
                        *count - 1
                    };
                    // Whoever hangs up has heard enough.
                    let _ = answer(&mut stream, reply(&path, before), gate).await;
                });
            }
        });
        origin
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The heads of all requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// The bodies of all requests so far, in the order in which they were received.
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        self.bodies.lock().unwrap().clone()
    }

    pub fn open_gate(&self) {
        self.gate.send_replace(true);
    }
}

async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// The body of the length that the head announces.
async fn body(stream: &mut TcpStream, head: &str) -> Option<Vec<u8>> {
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).map_or("0", str::trim);
    let mut body = vec![0; length.parse().ok()?];
    stream.read_exact(&mut body).await.ok()?;
    Some(body)
}

async fn answer(stream: &mut TcpStream, reply: Reply, mut gate: watch::Receiver<bool>) -> std::io::Result<()> {
    match reply {
        Reply::Whole(status, headers, body) => {
            let headers: String = headers.iter().flat_map(|line| [line.as_str(), "\r\n"]).collect();
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n");
            stream.write_all(&[head.as_bytes(), &body].concat()).await?;
        }
        Reply::Cut(length, body) => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            stream.write_all(&[head.as_bytes(), &body].concat()).await?;
        }
        Reply::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await?;
            loop {
                stream.write_all(&[7; 4_096]).await?;
            }
        }
        Reply::Silent => std::future::pending::<()>().await,
        Reply::Gated(body) => {
            let (length, half) = (body.len(), body.len() / 2);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            stream.write_all(&[head.as_bytes(), &body[..half]].concat()).await?;
            let _ = gate.wait_for(|open| *open).await;
            stream.write_all(&body[half..]).await?;
        }
    }
    stream.shutdown().await
}
