//! The path of an action in a request.

use std::fmt;

use super::{Action, Operation};

/// The path of an action in a request, for messages: `operations[1].operations[0]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ActionPath {
    index: usize,
    /// Inside a pipeline.
    inner: Option<usize>,
}

impl fmt::Display for ActionPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "operations[{}]", self.index)?;
        self.inner.map_or(Ok(()), |inner| write!(f, ".operations[{inner}]"))
    }
}

impl Operation {
    /// Its actions in order, each with its path in a request that has this operation at `index`.
    pub(crate) fn entries(&self, index: usize) -> impl Iterator<Item = (ActionPath, &Action)> {
        let nests = matches!(self.action, Action::Pipeline(_));
        let actions = self.actions().iter().enumerate();
        actions.map(move |(i, action)| (ActionPath { index, inner: nests.then_some(i) }, action))
    }
}
