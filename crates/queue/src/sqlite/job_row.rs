//! The columns of a job's row that a move to another state needs.

use rusqlite::Row;

use super::encoding::state;
use crate::State;

#[derive(Debug, Clone, Copy)]
pub(super) struct JobRow {
    pub(super) seq: i64,
    pub(super) id: [u8; 16],
    /// The queue's row.
    pub(super) queue: i64,
    pub(super) group: [u8; 16],
    pub(super) state: State,
    /// A settlement moves the job: its token is stored, so that a repeated settlement gets the same answer.
    pub(super) settled: bool,
}

impl JobRow {
    /// Reads a row that begins with seq, id, queue, grp and state.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            id: row.get(1)?,
            queue: row.get(2)?,
            group: row.get(3)?,
            state: state(row, 4)?,
            settled: false,
        })
    }
}

/// An active job.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeasedJob {
    pub(super) row: JobRow,
    pub(super) stalls: u32,
    pub(super) alone: bool,
    pub(super) cancelling: bool,
}

impl LeasedJob {
    /// Reads a row with the columns of [`JobRow::read`], then stalls, alone and cancelling.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { row: JobRow::read(row)?, stalls: row.get(5)?, alone: row.get(6)?, cancelling: row.get(7)? })
    }
}
