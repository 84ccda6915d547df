//! The places of actions in a request.

use std::fmt;

use super::{Action, Operation};

/// Where an action stands in the request, for messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    index: usize,
    /// Inside a pipeline.
    inner: Option<usize>,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "operations[{}]", self.index)?;
        self.inner.map_or(Ok(()), |inner| write!(f, ".operations[{inner}]"))
    }
}

impl Operation {
    /// What it does to a picture, one after the other, each with its place in a request that has this operation at `index`.
    pub(crate) fn entries(&self, index: usize) -> impl Iterator<Item = (Entry, &Action)> {
        let nests = matches!(self.action, Action::Pipeline { .. });
        let actions = self.actions().iter().enumerate();
        actions.map(move |(i, action)| (Entry { index, inner: nests.then_some(i) }, action))
    }
}
