//! Follows everything: the service's statistics first, then each event of the broker by its kind.

use std::sync::Arc;
use std::time::Duration;

use axum::response::sse;
use queue::{Event, EventKind};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::feed::{Heard, Subscription};
use super::{Follow, event, is_kept, sign_of_life, with_id};
use crate::http::Services;
use crate::http::monitoring::stats;
use crate::http::problem::Problem;

/// Missed events that are sent at a time.
const PAGE: usize = 1_000;

pub(super) struct Follower {
    services: Arc<Services>,
    news: Subscription,
    /// The last event that was sent.
    at: Option<String>,
    owed: Owed,
    heartbeat: Duration,
    heartbeat_at: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owed {
    Nothing,
    /// The current statistics, at the beginning and after a gap.
    Status,
    /// Events after `at` and before the subscription.
    Missed,
}

impl Follower {
    pub(super) async fn start(
        services: Arc<Services>,
        last: Option<String>,
        heartbeat: Duration,
    ) -> Result<Self, Problem> {
        let news = services.feed.subscribe().await?;
        let (at, owed) = match last {
            Some(last) if is_kept(&services.broker, &last).await? => (Some(last), Owed::Missed),
            _ => (news.since.clone(), Owed::Status),
        };
        Ok(Self { services, news, at, owed, heartbeat, heartbeat_at: Instant::now() + heartbeat })
    }

    async fn pay(&mut self) -> Result<Vec<sse::Event>, Problem> {
        if self.owed == Owed::Status {
            let status = event("status", &stats::document(&self.services).await?);
            self.owed = Owed::Nothing;
            return Ok(vec![with_id(status, self.at.as_deref())]);
        }
        let missed = self.services.broker.events(self.at.as_deref(), PAGE).await?;
        if missed.len() < PAGE {
            self.owed = Owed::Nothing;
        }
        Ok(self.tell(&missed))
    }

    /// Events that have not been sent yet.
    fn tell(&mut self, events: &[Event]) -> Vec<sse::Event> {
        let fresh: Vec<&Event> =
            events.iter().filter(|event| self.at.as_ref().is_none_or(|at| event.id > *at)).collect();
        if let Some(last) = fresh.last() {
            self.at = Some(last.id.clone());
        }
        // Jobs of the service itself matter only when they fail.
        let shown = fresh.iter().filter(|event| event.kind == EventKind::Failed || !event.group.is_scheduled());
        shown.map(|happened| event(happened.kind.as_str(), &told(happened)).id(&happened.id)).collect()
    }
}

impl Follow for Follower {
    async fn next(&mut self) -> Option<Vec<sse::Event>> {
        if self.owed != Owed::Nothing {
            // The reason has been logged.
            let paid = if self.news.may_ask(&self.services.broker).await { self.pay().await.ok() } else { None };
            let Some(told) = paid else { return self.news.pause().await.then(|| vec![sign_of_life()]) };
            return Some(told);
        }
        let told = match self.news.next(self.heartbeat_at).await {
            Heard::News(news) => self.tell(&news),
            Heard::Gap => {
                self.owed = Owed::Status;
                Vec::new()
            }
            Heard::Silence => vec![sign_of_life()],
            Heard::End => return None,
        };
        if !told.is_empty() {
            self.heartbeat_at = Instant::now() + self.heartbeat;
        }
        Some(told)
    }
}

pub(super) fn told(event: &Event) -> Value {
    let mut told = json!({"event": event.kind.as_str(), "at": event.at, "group": event.group});
    if let Some(job) = event.job {
        told["job"] = json!(job);
    }
    told
}
