//! The claim: what is due waits again, what expired is recovered, then the session takes its share.

use rusqlite::{OptionalExtension, params};
use uuid::Uuid;

use super::super::clock::millis;
use super::super::{CHUNK, Claim, ClaimRequest, ClaimedJob, Lease, policy};
use super::ledger::{Ledger, Tally};
use crate::job::State;

/// Jobs that one claim promotes or recovers at the most, so that a flood of them blocks nobody for long.
const SWEEP: i64 = 1_000;
/// Answers of sessions silent for so long are forgotten.
const SAID_MS: i64 = 24 * 60 * 60 * 1_000;

/// What a session was told: the job's row and its run, whose token it got.
type Said = (i64, u32);

impl Ledger<'_> {
    pub(super) fn claim(&self, request: &ClaimRequest) -> rusqlite::Result<Claim> {
        self.promote_due()?;
        self.recover_expired()?;
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
        let due: Vec<(i64, i64)> = self
            .db
            .prepare_cached("SELECT seq, queue FROM job WHERE state = 1 AND due <= ?1 ORDER BY due, seq LIMIT ?2")?
            .query_map([self.now, SWEEP], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        if due.is_empty() {
            return Ok(());
        }
        let mut tally = Tally::default();
        let mut promote = self.db.prepare_cached("UPDATE job SET state = 0, due = NULL, place = ?2 WHERE seq = ?1")?;
        for (place, (seq, queue)) in (self.places_behind(due.len())?..).zip(due) {
            promote.execute([seq, place])?;
            tally.moved(queue, State::Delayed, State::Waiting);
        }
        self.work_was_made();
        self.write(tally)
    }

    fn recover_expired(&self) -> rusqlite::Result<()> {
        // The last one first: each goes to the front, so the one that expired first ends up first in line.
        let expired: Vec<(i64, i64, [u8; 16], u32)> = self
            .db
            .prepare_cached(
                "SELECT seq, queue, grp, stalls + 1 FROM \
                 (SELECT * FROM job WHERE state = 2 AND due <= ?1 ORDER BY due, seq LIMIT ?2) ORDER BY due DESC, seq DESC",
            )?
            .query_map([self.now, SWEEP], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
            .collect::<rusqlite::Result<_>>()?;
        if expired.is_empty() {
            return Ok(());
        }
        let mut tally = Tally::default();
        let mut stall = self.db.prepare_cached("UPDATE job SET stalls = ?2 WHERE seq = ?1")?;
        // The token goes without being recorded as committed, or a zombie would believe that it won.
        let mut recover =
            self.db.prepare_cached("UPDATE job SET state = 0, due = NULL, token = NULL, place = ?2 WHERE seq = ?1")?;
        for (seq, queue, group, stalls) in expired {
            stall.execute(params![seq, stalls])?;
            if stalls >= self.policy.max_stalls {
                self.fail(&mut tally, (seq, queue, group), &policy::poison(stalls))?;
            } else {
                recover.execute([seq, self.place_in_front()?])?;
                tally.moved(queue, State::Active, State::Waiting);
            }
        }
        self.work_was_made();
        self.write(tally)
    }

    fn take(&self, request: &ClaimRequest) -> rusqlite::Result<Vec<ClaimedJob>> {
        let mut tally = Tally::default();
        let mut said: Vec<Said> = Vec::new();
        let mut jobs = Vec::new();
        let mut waiting = self.db.prepare_cached(
            "SELECT seq FROM job WHERE state = 0 AND queue = ?1 AND class = ?2 AND priority = ?3 ORDER BY place LIMIT ?4",
        )?;
        let mut lease = self.db.prepare_cached(
            "UPDATE job SET state = 2, attempt = attempt + 1, runs = runs + 1, due = ?2, \
             token = ?3 || ':' || (runs + 1) WHERE seq = ?1",
        )?;
        let expiry = self.now + millis(self.policy.lease);
        let mut priorities: Vec<u8> = (1..=10).rev().collect();
        if policy::looks_from_below(request.sequence) {
            priorities.reverse();
        }
        'full: for name in &request.queues {
            let queue: Option<i64> = self
                .db
                .prepare_cached("SELECT id FROM queue WHERE name = ?1 AND waiting > 0")?
                .query_row([name], |row| row.get(0))
                .optional()?;
            let Some(queue) = queue else { continue };
            for priority in &priorities {
                let room = request.limit.min(CHUNK) - jobs.len();
                if room == 0 {
                    break 'full;
                }
                let found: Vec<i64> = waiting
                    .query_map(params![queue, super::class_code(request.class), priority, room as i64], |row| {
                        row.get(0)
                    })?
                    .collect::<rusqlite::Result<_>>()?;
                for seq in found {
                    lease.execute(params![seq, expiry, request.session])?;
                    let (job, run) = self.claimed(seq)?;
                    tally.moved(queue, State::Waiting, State::Active);
                    said.push((seq, run));
                    jobs.push(job);
                }
            }
        }
        if !said.is_empty() {
            self.write(tally)?;
            self.remember(request, &said)?;
        }
        Ok(jobs)
    }

    fn claimed(&self, seq: i64) -> rusqlite::Result<(ClaimedJob, u32)> {
        self.db
            .prepare_cached(
                "SELECT id, token, grp, idx, kind, attempt, max_attempts, bytes, runs \
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
        let mut jobs = Vec::with_capacity(said.len());
        for &(seq, run) in said {
            if held.exists(params![seq, format!("{}:{run}", request.session)])? {
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

    fn next_due(&self) -> rusqlite::Result<Option<std::time::Duration>> {
        let next: Option<i64> = self
            .db
            .prepare_cached(
                "SELECT min(due) FROM (SELECT min(due) AS due FROM job WHERE state = 1 \
                 UNION ALL SELECT min(due) FROM job WHERE state = 2)",
            )?
            .query_row([], |row| row.get(0))?;
        Ok(next.map(|due| std::time::Duration::from_millis((due - self.now).max(0) as u64)))
    }
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
