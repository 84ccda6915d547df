//! A TCP proxy that does to replies what networks do: loses them with their connection, holds them back, swallows them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub struct Proxy {
    port: u16,
    to_lose: Arc<AtomicUsize>,
    lost: Arc<AtomicUsize>,
    /// Connections taken so far.
    taken: Arc<AtomicUsize>,
    weather: watch::Sender<Weather>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Weather {
    #[default]
    Fair,
    /// Replies wait.
    Held,
    /// Connections whose replies wait are cut; all others go on.
    Cut,
    /// The connections of before this number hear nothing any more, and are not told so.
    Deaf { before: usize },
}

impl Proxy {
    /// Before the server at `port` of the loopback.
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            to_lose: Arc::default(),
            lost: Arc::default(),
            taken: Arc::default(),
            weather: watch::Sender::default(),
        };
        let (to_lose, lost, taken) = (proxy.to_lose.clone(), proxy.lost.clone(), proxy.taken.clone());
        let weather = proxy.weather.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = taken.fetch_add(1, Ordering::SeqCst);
                // Where there is no server at present, the connection ends as it would without a proxy.
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                let line = Line { number, to_lose: to_lose.clone(), lost: lost.clone(), weather: weather.clone() };
                tokio::spawn(line.pass(client, server));
            }
        });
        proxy
    }

    /// What a client of the Redis behind it connects to.
    pub fn redis_url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// From now on, the next reply is lost.
    pub fn lose_next_reply(&self) {
        self.lose_replies(1);
    }

    /// From now on, as many replies are lost.
    pub fn lose_replies(&self, count: usize) {
        self.to_lose.store(count, Ordering::SeqCst);
    }

    /// Replies lost so far.
    pub fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }

    /// From now on, replies are held back; requests go through.
    pub fn hold_replies(&self) {
        self.weather.send_replace(Weather::Held);
    }

    /// Delivers the replies that were held back.
    pub fn let_go(&self) {
        self.weather.send_replace(Weather::Fair);
    }

    /// Loses the replies that are held back, with their connections. What comes from now on arrives.
    pub fn cut(&self) {
        self.weather.send_replace(Weather::Cut);
    }

    /// The connections that there are hear nothing any more, and nobody tells them; new ones do.
    pub fn deafen(&self) {
        self.weather.send_replace(Weather::Deaf { before: self.taken.load(Ordering::SeqCst) });
    }
}

/// One connection through it.
struct Line {
    number: usize,
    to_lose: Arc<AtomicUsize>,
    lost: Arc<AtomicUsize>,
    weather: watch::Receiver<Weather>,
}

impl Line {
    async fn pass(self, client: TcpStream, server: TcpStream) {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let requests = async {
            let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
        };
        let replies = async {
            let mut bytes = vec![0; 65_536];
            while let Ok(read @ 1..) = from_server.read(&mut bytes).await {
                match self.fate().await {
                    Fate::Arrives if to_client.write_all(&bytes[..read]).await.is_ok() => {}
                    Fate::Swallowed => {}
                    Fate::Arrives | Fate::Lost => break,
                }
            }
        };
        // The end of either cuts both.
        tokio::select! { () = requests => {}, () = replies => {} }
    }

    /// What becomes of a reply.
    async fn fate(&self) -> Fate {
        if self.to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            self.lost.fetch_add(1, Ordering::SeqCst);
            return Fate::Lost;
        }
        let mut weather = self.weather.clone();
        let was_held = *weather.borrow() == Weather::Held;
        // It fails only when the proxy is gone, and with it the test.
        let Ok(weather) = weather.wait_for(|weather| *weather != Weather::Held).await else { return Fate::Lost };
        match *weather {
            Weather::Cut if was_held => Fate::Lost,
            Weather::Deaf { before } if self.number < before => Fate::Swallowed,
            _ => Fate::Arrives,
        }
    }
}

enum Fate {
    Arrives,
    /// With its connection.
    Lost,
    /// Without a word.
    Swallowed,
}
