//! Events of the queue as they happen: one reader of the broker's events for all streams of a process.
//!
//! The reader exists while there is a listener. It waits in the broker instead of asking again and again.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use queue::{Broker, Event};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{AGAIN, note};

/// Events read in one call.
const READ: usize = 1_000;
/// Reads that a slow listener may be behind before it loses news.
const BEHIND: usize = 128;
/// Pause between reads, so that few reads serve a busy queue.
const PACE: Duration = Duration::from_millis(50);
/// How long one call waits in the broker.
const WAIT: Duration = Duration::from_secs(30);

type News = Arc<[Event]>;

/// Where streams subscribe. Cheap to clone.
#[derive(Clone)]
pub struct Feed(Arc<Shared>);

struct Shared {
    broker: Broker,
    closing: CancellationToken,
    reader: Mutex<Weak<Reader>>,
}

/// The reader. It ends when nobody holds it.
struct Reader {
    news: broadcast::Sender<News>,
    task: JoinHandle<()>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One listener.
pub(super) struct Subscription {
    /// The last event before the subscription. The listener hears everything after it, and maybe some events before it
    /// again.
    pub(super) since: Option<String>,
    news: broadcast::Receiver<News>,
    closing: CancellationToken,
    /// The last call of the broker failed.
    shaken: bool,
    _reader: Arc<Reader>,
}

pub(super) enum Heard {
    News(News),
    /// Events were lost, because this listener was too slow.
    Gap,
    /// Nothing happened in time.
    Silence,
    /// The service is shutting down.
    End,
}

impl Feed {
    /// The streams end with `closing`.
    pub fn new(broker: Broker, closing: CancellationToken) -> Self {
        Self(Arc::new(Shared { broker, closing, reader: Mutex::default() }))
    }

    pub(super) async fn subscribe(&self) -> queue::Result<Subscription> {
        let shared = &self.0;
        let begin = shared.broker.last_event().await?;
        let reader = {
            let mut kept = shared.reader.lock().unwrap_or_else(PoisonError::into_inner);
            kept.upgrade().unwrap_or_else(|| {
                let started = Arc::new(Reader::start(shared.broker.clone(), begin));
                *kept = Arc::downgrade(&started);
                started
            })
        };
        let news = reader.news.subscribe();
        // Asked a second time, because a reader that already ran may have sent the events in between.
        let since = shared.broker.last_event().await?;
        Ok(Subscription { since, news, closing: shared.closing.clone(), shaken: false, _reader: reader })
    }
}

impl Subscription {
    pub(super) async fn next(&mut self, until: Instant) -> Heard {
        tokio::select! {
            biased;
            () = self.closing.cancelled() => Heard::End,
            told = timeout_at(until, self.news.recv()) => match told {
                Ok(Ok(news)) => Heard::News(news),
                Ok(Err(RecvError::Lagged(_))) => Heard::Gap,
                Ok(Err(RecvError::Closed)) => Heard::End,
                Err(_) => Heard::Silence,
            },
        }
    }

    /// Waits before another try after a failure. Returns whether the service goes on.
    pub(super) async fn pause(&mut self) -> bool {
        self.shaken = true;
        tokio::time::timeout(AGAIN, self.closing.cancelled()).await.is_err()
    }

    /// Whether the failure should be logged.
    pub(super) async fn may_ask(&mut self, broker: &Broker) -> bool {
        self.shaken = self.shaken && broker.ping().await.is_err();
        !self.shaken
    }
}

#[cfg(test)]
impl Subscription {
    /// A subscription that keeps this many messages, and the sender that it listens to.
    pub(super) fn to(kept: usize) -> (broadcast::Sender<News>, Self) {
        let (news, heard) = broadcast::channel(kept);
        let reader = Reader { news: news.clone(), task: tokio::spawn(std::future::pending()) };
        let subscription = Self {
            since: None,
            news: heard,
            closing: CancellationToken::new(),
            shaken: false,
            _reader: Arc::new(reader),
        };
        (news, subscription)
    }
}

impl Reader {
    fn start(broker: Broker, after: Option<String>) -> Self {
        let (news, _) = broadcast::channel(BEHIND);
        let task = tokio::spawn(read(broker, after, news.clone()));
        Self { news, task }
    }
}

async fn read(broker: Broker, mut after: Option<String>, news: broadcast::Sender<News>) {
    let mut noted = false;
    loop {
        match look(&broker, after.as_deref()).await {
            Ok(events) => {
                noted = false;
                let Some(last) = events.last() else { continue };
                after = Some(last.id.clone());
                let whole = events.len() < READ;
                // The last listener may have gone just now.
                let _ = news.send(events.into());
                if whole {
                    sleep(PACE).await;
                }
            }
            Err(error) => {
                note(&error, &mut noted);
                sleep(AGAIN).await;
            }
        }
    }
}

/// Events since the last call. Waits if there are none.
async fn look(broker: &Broker, after: Option<&str>) -> queue::Result<Vec<Event>> {
    let events = broker.events(after, READ).await?;
    if events.is_empty() {
        broker.await_event(after, WAIT).await?;
    }
    Ok(events)
}
