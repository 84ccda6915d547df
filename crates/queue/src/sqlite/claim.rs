//! The claim: what is due waits again, what expired is recovered, a cancel that was broken off goes on, then the session
//! takes its share.

use std::time::Duration;

use rusqlite::{OptionalExtension, params};
use uuid::Uuid;

use super::ledger::{Ledger, Standing, Tally};
use super::settle::Active;
use crate::State;
use crate::clock::millis;
use crate::{CHUNK, Claim, ClaimRequest, ClaimedJob, EventKind, Lease, policy};

/// Jobs that one claim promotes, recovers or finds cancelled at the most, so that a flood of them blocks nobody for long.
const SWEEP: i64 = 1_000;
/// Answers of sessions silent for so long are forgotten.
const SAID_MS: i64 = 24 * 60 * 60 * 1_000;

/// What a session was told: the job's row and its run, whose token it got.
type Said = (i64, u32);

/// What a claim has taken so far, and may still take.
struct Share {
    tally: Tally,
    said: Vec<Said>,
    jobs: Vec<ClaimedJob>,
    room: usize,
    /// Whether a job that waits may be one of a cancelled group.
    filters: bool,
    /// Jobs of cancelled groups that it may still end.
    skips: i64,
}

impl Ledger<'_> {
    pub(super) fn claim(&self, request: &ClaimRequest) -> rusqlite::Result<Claim> {
        self.promote_due()?;
        self.recover_expired()?;
        self.walk_on()?;
        let jobs = if request.limit == 0 {
            Vec::new()
        } else if let Some(said) = self.said(request)? {
            self.say_again(request, &said)?
        } else {
            self.take(request)?
        };
        Ok(Claim { jobs, next_due: self.next_due()? })
    }

    fn promote_due(&self) -> rusqlite::Result<()> {
        let due: Vec<Standing> = self
            .db
            .prepare_cached(
                "SELECT seq, id, queue, grp, state FROM job WHERE state = 1 AND due <= ?1 ORDER BY due, seq LIMIT ?2",
            )?
            .query_map([self.now, SWEEP], Standing::read)?
            .collect::<rusqlite::Result<_>>()?;
        if due.is_empty() {
            return Ok(());
        }
        let mut tally = Tally::default();
        for (place, job) in (self.places_behind(due.len())?..).zip(due) {
            self.line_up(&mut tally, job, place)?;
        }
        self.work_was_made();
        self.write(tally)
    }

    fn recover_expired(&self) -> rusqlite::Result<()> {
        let expired: Vec<Active> = self
            .db
            .prepare_cached(
                "SELECT seq, id, queue, grp, state, stalls, alone, cancelling FROM job \
                 WHERE state = 2 AND due <= ?1 ORDER BY due, seq LIMIT ?2",
            )?
            .query_map([self.now, SWEEP], Active::read)?
            .collect::<rusqlite::Result<_>>()?;
        if expired.is_empty() {
            return Ok(());
        }
        let mut tally = Tally::default();
        for (place, job) in (self.places_in_front(expired.len())?..).zip(expired) {
            // The token goes without being recorded as committed, or a zombie would believe that it won.
            if self.is_cancelling(&job)? {
                self.end(&mut tally, job.standing, State::Cancelled)?;
            } else {
                self.stall(&mut tally, &job, job.alone, place)?;
            }
        }
        self.write(tally)
    }

    fn take(&self, request: &ClaimRequest) -> rusqlite::Result<Vec<ClaimedJob>> {
        let mut share = Share {
            tally: Tally::default(),
            said: Vec::new(),
            jobs: Vec::new(),
            room: request.limit.min(CHUNK),
            // Only while a group is still being walked may one of its jobs wait.
            filters: self.walks()?,
            skips: SWEEP,
        };
        let mut priorities: Vec<u8> = (1..=10).rev().collect();
        if policy::looks_from_below(request.sequence) {
            priorities.reverse();
        }
        for name in &request.queues {
            let queue: Option<i64> = self
                .db
                .prepare_cached("SELECT id FROM queue WHERE name = ?1 AND waiting > 0 AND NOT paused")?
                .query_row([name], |row| row.get(0))
                .optional()?;
            let Some(queue) = queue else { continue };
            for &priority in &priorities {
                self.take_from(request, (queue, priority), &mut share)?;
            }
        }
        self.write(share.tally)?;
        if !share.said.is_empty() {
            self.remember(request, &share.said)?;
        }
        Ok(share.jobs)
    }

    /// Takes from one line until it or the share's room is used up.
    fn take_from(
        &self,
        request: &ClaimRequest,
        (queue, priority): (i64, u8),
        share: &mut Share,
    ) -> rusqlite::Result<()> {
        let mut waiting = self.db.prepare_cached(
            "SELECT seq, id, queue, grp, state, coalesce(due, created_at) FROM job \
             WHERE state = 0 AND queue = ?1 AND class = ?2 AND priority = ?3 ORDER BY place LIMIT ?4",
        )?;
        let mut lease = self.db.prepare_cached(
            "UPDATE job SET state = 2, attempt = attempt + 1, runs = runs + 1, due = ?2, \
             token = ?3 || ':' || (runs + 1) WHERE seq = ?1",
        )?;
        let expiry = self.now + millis(self.policy.lease);
        // The sequence is the session's own: the count comes again where the file goes back in time.
        let claim = claim_of(request);
        while share.room > 0 && share.skips > 0 {
            let found: Vec<(Standing, i64)> = waiting
                .query_map(params![queue, super::class_code(request.class), priority, share.room as i64], |row| {
                    Ok((Standing::read(row)?, row.get(5)?))
                })?
                .collect::<rusqlite::Result<_>>()?;
            if found.is_empty() {
                break;
            }
            for (job, since) in found {
                if share.filters && self.group_is_cancelling(job.group)? {
                    self.end(&mut share.tally, job, State::Cancelled)?;
                    share.skips -= 1;
                    continue;
                }
                lease.execute(params![job.seq, expiry, claim])?;
                share.tally.moved(queue, State::Waiting, State::Active);
                self.happened(EventKind::Started, job.group, job.id);
                let (claimed, run) = self.claimed(job.seq)?;
                share.said.push((job.seq, run));
                let waited = Some(Duration::from_millis((self.now - since).max(0) as u64));
                share.jobs.push(ClaimedJob { waited, ..claimed });
                share.room -= 1;
            }
        }
        Ok(())
    }

    fn claimed(&self, seq: i64) -> rusqlite::Result<(ClaimedJob, u32)> {
        self.db
            .prepare_cached(
                "SELECT id, token, grp, idx, kind, attempt, max_attempts, bytes, runs, alone \
                 FROM job JOIN payload USING (seq) WHERE seq = ?1",
            )?
            .query_row([seq], |row| {
                let job = ClaimedJob {
                    lease: Lease { job: Uuid::from_bytes(row.get(0)?).into(), token: row.get(1)? },
                    group: Uuid::from_bytes(row.get(2)?).into(),
                    index: row.get(3)?,
                    kind: row.get(4)?,
                    attempt: row.get(5)?,
                    max_attempts: row.get(6)?,
                    alone: row.get(9)?,
                    waited: None,
                    payload: row.get::<_, Vec<u8>>(7)?.into(),
                };
                Ok((job, row.get(8)?))
            })
    }

    /// The answer to this very claim, where it has been given; empty for one that came after a later one.
    fn said(&self, request: &ClaimRequest) -> rusqlite::Result<Option<Vec<Said>>> {
        let last: Option<(i64, Vec<u8>)> = self
            .db
            .prepare_cached("SELECT sequence, answer FROM said WHERE session = ?1")?
            .query_row([&request.session], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        Ok(match last {
            Some((last, answer)) if last == request.sequence as i64 => Some(unpacked(&answer)),
            Some((last, _)) if last > request.sequence as i64 => Some(Vec::new()),
            _ => None,
        })
    }

    /// What it was told before, without the leases that it has lost or settled since.
    fn say_again(&self, request: &ClaimRequest, said: &[Said]) -> rusqlite::Result<Vec<ClaimedJob>> {
        let mut held = self.db.prepare_cached("SELECT 1 FROM job WHERE seq = ?1 AND state = 2 AND token = ?2")?;
        let claim = claim_of(request);
        let mut jobs = Vec::with_capacity(said.len());
        for &(seq, run) in said {
            if held.exists(params![seq, format!("{claim}:{run}")])? {
                jobs.push(self.claimed(seq)?.0);
            }
        }
        Ok(jobs)
    }

    fn remember(&self, request: &ClaimRequest, said: &[Said]) -> rusqlite::Result<()> {
        let answer: Vec<u8> =
            said.iter().flat_map(|(seq, run)| seq.to_le_bytes().into_iter().chain(run.to_le_bytes())).collect();
        let sequence = request.sequence as i64;
        let known = self
            .db
            .prepare_cached("UPDATE said SET sequence = ?2, at = ?3, answer = ?4 WHERE session = ?1")?
            .execute(params![request.session, sequence, self.now, answer])?;
        if known == 0 {
            self.db.prepare_cached("DELETE FROM said WHERE at < ?1")?.execute([self.now - SAID_MS])?;
            self.db.prepare_cached("INSERT INTO said VALUES (?1, ?2, ?3, ?4)")?.execute(params![
                request.session,
                sequence,
                self.now,
                answer
            ])?;
        }
        Ok(())
    }

    fn next_due(&self) -> rusqlite::Result<Option<Duration>> {
        let next: Option<i64> = self
            .db
            .prepare_cached(
                "SELECT min(due) FROM (SELECT min(due) AS due FROM job WHERE state = 1 \
                 UNION ALL SELECT min(due) FROM job WHERE state = 2)",
            )?
            .query_row([], |row| row.get(0))?;
        Ok(next.map(|due| Duration::from_millis((due - self.now).max(0) as u64)))
    }
}

/// What the tokens begin with that a claim gives.
fn claim_of(request: &ClaimRequest) -> String {
    format!("{}:{}", request.session, request.sequence)
}

fn unpacked(answer: &[u8]) -> Vec<Said> {
    answer
        .chunks_exact(12)
        .map(|pair| {
            let (seq, run) = pair.split_at(8);
            (
                i64::from_le_bytes(seq.try_into().expect("eight of twelve bytes")),
                u32::from_le_bytes(run.try_into().expect("four of twelve bytes")),
            )
        })
        .collect()
}
