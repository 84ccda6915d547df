//! Cursors and their notes.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use redis::Value;

use super::answer::{damaged, instant, parsed};
use super::broker::RedisBroker;
use super::enqueue::{chunk_args, refusal};
use super::script;
use crate::{Advance, Advanced, CURSOR_NOTES, Cursor, NewGroup, NewJob, Result};

impl RedisBroker {
    pub async fn advance(&self, advance: &Advance, work: Option<(&NewGroup, &[NewJob])>) -> Result<Advanced> {
        let Advance { cursor, expected, next, not_before, notes } = advance;
        let mut call = self.transition(&script::ADVANCE);
        call.arg(cursor).arg(u8::from(expected.is_some())).arg(expected.as_deref().unwrap_or_default()).arg(next);
        call.arg(not_before.map_or(0, Timestamp::as_millisecond)).arg(CURSOR_NOTES).arg(notes.len());
        for note in notes {
            call.arg(&note[..]);
        }
        if let Some((group, jobs)) = work {
            chunk_args(&mut call, group, jobs, "1", &self.policy);
        }
        let answer = parsed::<Vec<Value>>(self.link.one(call).await?)?;
        let field = |at: usize| answer.get(at).cloned().ok_or_else(damaged);
        match parsed::<String>(field(0)?)?.as_str() {
            "moved" => Ok(Advanced::Moved),
            "elsewhere" => Ok(Advanced::Elsewhere { at: answer.get(1).cloned().map(parsed).transpose()? }),
            "early" => Ok(Advanced::Early { wait: Duration::from_millis(parsed(field(1)?)?) }),
            _ => Err(refusal(&answer, self.policy.queue_cap)?.unwrap_or_else(damaged)),
        }
    }

    pub async fn cursor(&self, name: &str) -> Result<Option<Cursor>> {
        let read = redis::cmd("HGET").arg(format!("{}cursors", self.prefix)).arg(name).to_owned();
        let Some(stored) = parsed::<Option<String>>(self.link.one(read).await?)? else { return Ok(None) };
        let (moved_at, at) = stored.split_once(' ').ok_or_else(damaged)?;
        Ok(Some(Cursor { at: at.to_owned(), moved_at: instant(Some(moved_at.as_bytes()))? }))
    }

    pub async fn notes(&self, cursor: &str, limit: usize) -> Result<Vec<Bytes>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let last = limit.min(CURSOR_NOTES) - 1;
        let read = redis::cmd("LRANGE").arg(format!("{}notes:{cursor}", self.prefix)).arg(0).arg(last).to_owned();
        let notes: Vec<Vec<u8>> = parsed(self.link.one(read).await?)?;
        Ok(notes.into_iter().map(Bytes::from).collect())
    }

    pub async fn note(&self, cursor: &str, note: &Bytes) -> Result<()> {
        let mut call = self.call(&script::NOTE);
        call.arg(cursor).arg(CURSOR_NOTES).arg(&note[..]);
        self.link.one(call).await.map(drop)
    }

    pub async fn remove_cursor(&self, name: &str) -> Result<()> {
        let cursor = redis::cmd("HDEL").arg(format!("{}cursors", self.prefix)).arg(name).to_owned();
        let notes = redis::cmd("UNLINK").arg(format!("{}notes:{name}", self.prefix)).to_owned();
        self.link.run([cursor, notes]).await.map(drop)
    }
}
