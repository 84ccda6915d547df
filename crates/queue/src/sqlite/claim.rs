//! The claim. First, jobs that have expired are cancelled, delayed jobs that are due wait again, jobs with expired leases are recovered, and an interrupted
//! cancel goes on. Then the session takes its jobs.

use std::time::Duration;

use rusqlite::{OptionalExtension, params};
use uuid::Uuid;

use super::encoding::class_code;
use super::job_row::{JobRow, LeasedJob};
use super::ledger::Ledger;
use super::tally::Tally;
use crate::clock::millis;
use crate::contract::CHUNK;
use crate::{Claim, ClaimRequest, ClaimedJob, EventKind, Lease, State, policy};

/// Largest number of jobs that one claim promotes, recovers, or ends because their group is cancelled, so that no claim
/// takes long.
const SWEEP: i64 = 1_000;
/// How long the last answer of a silent session is stored, in milliseconds.
const ANSWER_MEMORY: i64 = 24 * 60 * 60 * 1_000;

/// A job in a claim's answer: its row, and the number of its claims, which is the last part of its token.
type Answered = (i64, u32);

/// What a claim has taken so far, and what it may still take.
struct Taking {
    tally: Tally,
    answer: Vec<Answered>,
    jobs: Vec<ClaimedJob>,
    room: usize,
    /// Whether a waiting job may be one of a cancelled group.
    checks_groups: bool,
    /// How many jobs of cancelled groups it may still end.
    skips: i64,
}

impl Ledger<'_> {
    pub(super) fn claim(&self, request: &ClaimRequest) -> rusqlite::Result<Claim> {
        self.cancel_unclaimed()?;
        self.promote_due()?;
        self.recover_expired()?;
        self.continue_a_cancel()?;
        let jobs = if request.limit == 0 {
            Vec::new()
        } else if let Some(answer) = self.stored_answer(request)? {
            self.repeat_answer(request, &answer)?
        } else {
            self.take(request)?
        };
        Ok(Claim { jobs, next_due: self.next_due()? })
    }

    /// Ends the jobs that have expired before anybody has claimed them.
    fn cancel_unclaimed(&self) -> rusqlite::Result<()> {
        let expired: Vec<JobRow> = self
            .db
            .prepare_cached(
                "SELECT seq, id, queue, grp, state FROM job \
                 WHERE expires <= ?1 AND expires IS NOT NULL AND state <= 1 AND runs = 0 ORDER BY expires, seq LIMIT ?2",
            )?
            .query_map([self.now, SWEEP], JobRow::read)?
            .collect::<rusqlite::Result<_>>()?;
        if expired.is_empty() {
            return Ok(());
        }
        let mut tally = Tally::default();
        for job in expired {
            self.store_result(job.seq, &policy::expired())?;
            self.end(&mut tally, job, State::Cancelled)?;
        }
        self.write_counters(tally)
    }

    fn promote_due(&self) -> rusqlite::Result<()> {
        let due: Vec<JobRow> = self
            .db
            .prepare_cached(
                "SELECT seq, id, queue, grp, state FROM job WHERE state = 1 AND due <= ?1 ORDER BY due, seq LIMIT ?2",
            )?
            .query_map([self.now, SWEEP], JobRow::read)?
            .collect::<rusqlite::Result<_>>()?;
        if due.is_empty() {
            return Ok(());
        }
        let mut tally = Tally::default();
        for (place, job) in (self.places_at_end(due.len())?..).zip(due) {
            self.make_waiting(&mut tally, job, place)?;
        }
        self.wake_workers();
        self.write_counters(tally)
    }

    fn recover_expired(&self) -> rusqlite::Result<()> {
        let expired: Vec<LeasedJob> = self
            .db
            .prepare_cached(
                "SELECT seq, id, queue, grp, state, stalls, alone, cancelling FROM job \
                 WHERE state = 2 AND due <= ?1 ORDER BY due, seq LIMIT ?2",
            )?
            .query_map([self.now, SWEEP], LeasedJob::read)?
            .collect::<rusqlite::Result<_>>()?;
        if expired.is_empty() {
            return Ok(());
        }
        let mut tally = Tally::default();
        for (place, job) in (self.places_at_front(expired.len())?..).zip(expired) {
            // The token is removed and not stored as committed, or the former holder would believe that its settlement
            // counted.
            if self.is_cancelling(&job)? {
                self.end(&mut tally, job.row, State::Cancelled)?;
            } else {
                self.stall(&mut tally, &job, job.alone, place)?;
            }
        }
        self.write_counters(tally)
    }

    fn take(&self, request: &ClaimRequest) -> rusqlite::Result<Vec<ClaimedJob>> {
        let mut taking = Taking {
            tally: Tally::default(),
            answer: Vec::new(),
            jobs: Vec::new(),
            room: request.limit.min(CHUNK),
            // Jobs of a cancelled group wait only until its cancel has reached them.
            checks_groups: self.has_unfinished_cancel()?,
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
                self.take_from(request, (queue, priority), &mut taking)?;
            }
        }
        self.write_counters(taking.tally)?;
        if !taking.answer.is_empty() {
            self.store_answer(request, &taking.answer)?;
        }
        Ok(taking.jobs)
    }

    /// Takes from one line until it is empty or there is no more room.
    fn take_from(
        &self,
        request: &ClaimRequest,
        (queue, priority): (i64, u8),
        taking: &mut Taking,
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
        // The count alone would be given twice if the file went back in time; a session never repeats a sequence
        // number.
        let claim = claim_of(request);
        while taking.room > 0 && taking.skips > 0 {
            let found: Vec<(JobRow, i64)> = waiting
                .query_map(params![queue, class_code(request.class), priority, taking.room as i64], |row| {
                    Ok((JobRow::read(row)?, row.get(5)?))
                })?
                .collect::<rusqlite::Result<_>>()?;
            if found.is_empty() {
                break;
            }
            for (job, since) in found {
                if taking.checks_groups && self.group_is_cancelling(job.group)? {
                    self.end(&mut taking.tally, job, State::Cancelled)?;
                    taking.skips -= 1;
                    continue;
                }
                lease.execute(params![job.seq, expiry, claim])?;
                taking.tally.moved(queue, State::Waiting, State::Active);
                self.record(EventKind::Started, job.group, job.id);
                let (claimed, claims) = self.claimed(job.seq)?;
                taking.answer.push((job.seq, claims));
                let waited = Some(Duration::from_millis((self.now - since).max(0) as u64));
                taking.jobs.push(ClaimedJob { waited, ..claimed });
                taking.room -= 1;
            }
        }
        Ok(())
    }

    /// An active job as its holder sees it, and the number of its claims.
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

    /// The answer to this claim if it was given before; empty if a later claim was answered since.
    fn stored_answer(&self, request: &ClaimRequest) -> rusqlite::Result<Option<Vec<Answered>>> {
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

    /// The same answer again, without the leases that were lost or settled since.
    fn repeat_answer(&self, request: &ClaimRequest, answer: &[Answered]) -> rusqlite::Result<Vec<ClaimedJob>> {
        let mut held = self.db.prepare_cached("SELECT 1 FROM job WHERE seq = ?1 AND state = 2 AND token = ?2")?;
        let claim = claim_of(request);
        let mut jobs = Vec::with_capacity(answer.len());
        for &(seq, claims) in answer {
            if held.exists(params![seq, format!("{claim}:{claims}")])? {
                jobs.push(self.claimed(seq)?.0);
            }
        }
        Ok(jobs)
    }

    fn store_answer(&self, request: &ClaimRequest, answer: &[Answered]) -> rusqlite::Result<()> {
        let answer: Vec<u8> =
            answer.iter().flat_map(|(seq, claims)| seq.to_le_bytes().into_iter().chain(claims.to_le_bytes())).collect();
        let sequence = request.sequence as i64;
        let known = self
            .db
            .prepare_cached("UPDATE said SET sequence = ?2, at = ?3, answer = ?4 WHERE session = ?1")?
            .execute(params![request.session, sequence, self.now, answer])?;
        if known == 0 {
            self.db.prepare_cached("DELETE FROM said WHERE at < ?1")?.execute([self.now - ANSWER_MEMORY])?;
            self.db.prepare_cached("INSERT INTO said VALUES (?1, ?2, ?3, ?4)")?.execute(params![
                request.session,
                sequence,
                self.now,
                answer
            ])?;
        }
        Ok(())
    }

    /// Time until the next delayed job is due, the next lease ends or the next job expires.
    fn next_due(&self) -> rusqlite::Result<Option<Duration>> {
        let next: Option<i64> = self
            .db
            .prepare_cached(
                "SELECT min(due) FROM (SELECT min(due) AS due FROM job WHERE state = 1 \
                 UNION ALL SELECT min(due) FROM job WHERE state = 2 UNION ALL SELECT min(expires) FROM job \
                 WHERE expires IS NOT NULL AND state <= 1 AND runs = 0)",
            )?
            .query_row([], |row| row.get(0))?;
        Ok(next.map(|due| Duration::from_millis((due - self.now).max(0) as u64)))
    }
}

/// The first part of all tokens of a claim.
fn claim_of(request: &ClaimRequest) -> String {
    format!("{}:{}", request.session, request.sequence)
}

fn unpacked(answer: &[u8]) -> Vec<Answered> {
    answer
        .chunks_exact(12)
        .map(|pair| {
            let (seq, claims) = pair.split_at(8);
            (
                i64::from_le_bytes(seq.try_into().expect("eight of twelve bytes")),
                u32::from_le_bytes(claims.try_into().expect("four of twelve bytes")),
            )
        })
        .collect()
}
