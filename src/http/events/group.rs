//! Follows one group to its end.
//!
//! A stream sends the state of the group with the changes since the last message, so several changes at one moment make
//! one `progress`. The end is read from the state, after an event or at the latest at the next sign of life, so it
//! cannot be missed. An id means that all events up to it were sent. The end has its own id, and the message before it
//! has none: a client that breaks off there gets the end again.

use std::sync::Arc;
use std::time::Duration;

use axum::response::sse;
use queue::{Broker, Event, GroupId};
use serde_json::Value;
use tokio::time::Instant;

use super::feed::{Heard, Subscription};
use super::{Follow, event, everything, is_kept, sign_of_life, with_id};
use crate::http::problem::Problem;
use crate::http::{Services, groups};

/// Missed events that are read at a time.
const PAGE: usize = 1_000;
/// Most changes that are sent one by one; after more of them the state says more.
const CHANGES: usize = 1_000;

pub(super) struct Follower {
    services: Arc<Services>,
    group: GroupId,
    news: Subscription,
    /// The last event that the next message covers.
    at: Option<String>,
    changes: Vec<Value>,
    owed: Owed,
    ended: bool,
    heartbeat: Duration,
    heartbeat_at: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owed {
    Nothing,
    /// The state without the changes that led to it, at the beginning and after a gap.
    Status,
    Progress,
    /// A sign of life, and the end if the group has ended.
    Look,
}

impl Follower {
    /// `None` if `last` is the end of the group, so that there is nothing left to send.
    pub(super) async fn start(
        services: Arc<Services>,
        group: GroupId,
        last: Option<&str>,
        heartbeat: Duration,
    ) -> Result<Option<Self>, Problem> {
        let news = services.feed.subscribe().await?;
        Self::with(services, news, group, last, heartbeat).await
    }

    async fn with(
        services: Arc<Services>,
        news: Subscription,
        group: GroupId,
        last: Option<&str>,
        heartbeat: Duration,
    ) -> Result<Option<Self>, Problem> {
        // Read before the missed events. Otherwise an end that comes in between would count as sent.
        let finished = groups::standing(&services, group).await?.is_some_and(|(standing, _)| standing.is_final());
        let (mut at, mut changes, mut owed) = (news.since.clone(), Vec::new(), Owed::Status);
        match missed(&services.broker, group, last).await? {
            None => {}
            Some(missed) if !missed.changes.is_empty() => {
                (at, changes, owed) = (Some(missed.upto), missed.changes, Owed::Progress);
            }
            Some(_) if finished => return Ok(None),
            Some(missed) => (at, owed) = (Some(missed.upto), Owed::Nothing),
        }
        let heartbeat_at = Instant::now() + heartbeat;
        Ok(Some(Self { services, group, news, at, changes, owed, ended: false, heartbeat, heartbeat_at }))
    }

    fn hear(&mut self, news: &[Event]) {
        let before = self.changes.len();
        let fresh = news.iter().filter(|event| self.at.as_ref().is_none_or(|at| event.id > *at));
        self.changes.extend(fresh.filter(|event| event.group == self.group).map(everything::told));
        self.at = self.at.take().max(news.last().map(|last| last.id.clone()));
        if self.changes.len() > CHANGES {
            self.owed = Owed::Status;
        } else if self.changes.len() > before {
            self.owed = Owed::Progress;
        }
    }

    async fn pay(&mut self) -> Result<Vec<sse::Event>, Problem> {
        let Some((mut document, _)) = groups::standing(&self.services, self.group).await? else {
            // The group was removed meanwhile, so it had ended.
            self.ended = true;
            return Ok(Vec::new());
        };
        let end =
            if document.is_final() { groups::document(&self.services, self.group, 0, |_| true).await? } else { None };
        let first = match self.owed {
            Owed::Progress => {
                document.changes = Some(std::mem::take(&mut self.changes));
                event("progress", &document)
            }
            Owed::Status => event("status", &document),
            Owed::Nothing | Owed::Look => sign_of_life(),
        };
        self.changes.clear();
        let is_sign = !matches!(self.owed, Owed::Progress | Owed::Status);
        self.owed = Owed::Nothing;
        let id = self.at.as_deref();
        let Some(end) = end else {
            return Ok(vec![if is_sign { first } else { with_id(first, id) }]);
        };
        self.ended = true;
        Ok(vec![first, with_id(event("finished", &end), id)])
    }
}

impl Follow for Follower {
    async fn next(&mut self) -> Option<Vec<sse::Event>> {
        if self.ended {
            return None;
        }
        if self.owed != Owed::Nothing {
            // The reason has been logged.
            let paid = if self.news.may_ask(&self.services.broker).await { self.pay().await.ok() } else { None };
            let Some(told) = paid else { return self.news.pause().await.then(|| vec![sign_of_life()]) };
            self.heartbeat_at = Instant::now() + self.heartbeat;
            return Some(told);
        }
        match self.news.next(self.heartbeat_at).await {
            Heard::News(news) => self.hear(&news),
            Heard::Gap => self.owed = Owed::Status,
            Heard::Silence => self.owed = Owed::Look,
            Heard::End => return None,
        }
        Some(Vec::new())
    }
}

/// What happened to a group while its client was away.
struct Missed {
    changes: Vec<Value>,
    /// The last event that was read.
    upto: String,
}

/// The events after `last`; `None` if they are no longer known, or too many to send.
async fn missed(broker: &Broker, group: GroupId, last: Option<&str>) -> queue::Result<Option<Missed>> {
    let Some(last) = last else { return Ok(None) };
    if !is_kept(broker, last).await? {
        return Ok(None);
    }
    let mut missed = Missed { changes: Vec::new(), upto: last.to_owned() };
    loop {
        let events = broker.events(Some(&missed.upto), PAGE).await?;
        missed.changes.extend(events.iter().filter(|event| event.group == group).map(everything::told));
        if missed.changes.len() > CHANGES {
            return Ok(None);
        }
        if let Some(last) = events.last() {
            missed.upto.clone_from(&last.id);
        }
        if events.len() < PAGE {
            return Ok(Some(missed));
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jiff::Timestamp;

    use super::*;
    use queue::Class;
    use queue::{Clock, EventKind, NewGroup, NewJob, Policy};

    const SOON: Duration = Duration::from_millis(1);
    const NEVER: Duration = Duration::from_hours(1);

    struct World {
        services: Arc<Services>,
        group: GroupId,
        _home: tempfile::TempDir,
    }

    impl World {
        async fn of_one_job() -> Self {
            let home = tempfile::tempdir().unwrap();
            let file = home.path().join("queue.db");
            let broker = Broker::open_sqlite_unsynced(&file, Policy::default(), Clock::default()).unwrap();
            let group = GroupId::new();
            let job = NewJob::new("image.process", "cpu_intensive", Class::Cpu, Bytes::new());
            broker.enqueue(&NewGroup::new(group, Bytes::new()), &[job]).await.unwrap();
            let services = Services::of_a_test(broker, home.path());
            Self { services: Arc::new(services), group, _home: home }
        }

        async fn listens(&self, news: Subscription, heartbeat: Duration) -> Follower {
            let services = Arc::clone(&self.services);
            Follower::with(services, news, self.group, None, heartbeat).await.unwrap().unwrap()
        }

        fn news(&self, id: &str) -> Arc<[Event]> {
            let (id, at, kind) = (id.to_owned(), Timestamp::now(), EventKind::Started);
            Arc::new([Event { id, at, kind, group: self.group, job: None }])
        }
    }

    /// The next events, as they go over the wire.
    async fn told(follower: &mut Follower) -> Option<String> {
        loop {
            let events = follower.next().await?;
            if !events.is_empty() {
                return Some(format!("{events:?}"));
            }
        }
    }

    #[tokio::test]
    async fn end_is_seen_though_no_news_of_it_come() {
        let world = World::of_one_job().await;
        let (_news, subscription) = Subscription::to(1);
        let mut follower = world.listens(subscription, SOON).await;
        assert!(told(&mut follower).await.unwrap().contains("event: status"));
        let sign = told(&mut follower).await.unwrap();
        assert!(!sign.contains("event:"), "{sign}");

        world.services.broker.cancel_group(world.group).await.unwrap();

        let mut last = String::new();
        while let Some(more) = told(&mut follower).await {
            last = more;
        }
        assert!(last.contains("event: finished"), "{last}");
    }

    #[tokio::test]
    async fn listener_that_fell_behind_gets_the_state_anew() {
        let world = World::of_one_job().await;
        let (news, subscription) = Subscription::to(1);
        let mut follower = world.listens(subscription, NEVER).await;
        told(&mut follower).await.unwrap();
        news.send(world.news("1")).unwrap();
        assert!(told(&mut follower).await.unwrap().contains("event: progress"));

        news.send(world.news("2")).unwrap();
        news.send(world.news("3")).unwrap();

        let anew = told(&mut follower).await.unwrap();
        assert!(anew.contains("event: status"), "{anew}");
    }

    #[tokio::test]
    async fn event_that_the_state_had_is_no_change() {
        let world = World::of_one_job().await;
        let (news, mut subscription) = Subscription::to(9);
        subscription.since = Some("2".into());
        let mut follower = world.listens(subscription, NEVER).await;
        told(&mut follower).await.unwrap();

        for id in ["1", "2", "3"] {
            news.send(world.news(id)).unwrap();
        }

        let progress = told(&mut follower).await.unwrap();
        assert_eq!(progress.matches("started").count(), 1, "{progress}");
        assert!(progress.contains("id: 3"), "{progress}");
    }
}
