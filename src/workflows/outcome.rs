//! What follows from the steps that have ended: which begin, which are skipped, and how the workflow ends.
//!
//! Pure: the same facts give the same outcome, in whatever order they became true.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::steps::{On, Step};

/// How the jobs of an ended step's group ended. A group without jobs has succeeded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub succeeded: u64,
    pub failed: u64,
    pub cancelled: u64,
}

/// What is known of a step's group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// It is there and has not ended.
    Begun,
    Ended(Counts),
}

/// Where a step is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Steps before it have not ended, or it is about to begin.
    Waiting,
    Running,
    Succeeded,
    /// A job of it has failed.
    Failed,
    /// No job of it has failed, and one was cancelled; or the workflow was cancelled before the step began.
    Cancelled,
    Skipped(Reason),
}

/// Why a step is skipped; shown as a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// `on: success`, and this step before it failed or was cancelled.
    NotSucceeded(String),
    /// `on: success`, and this step before it was skipped.
    Skipped(String),
    /// `on: failure`, and none of the steps before it has failed or was cancelled.
    NoneFailed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Processing,
    /// Every step has succeeded or was skipped by its `on`, but for failures that a step with `on: failure` has answered.
    Completed,
    Failed,
    Cancelled,
}

impl Status {
    /// The word of the status document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What follows from the facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// One for each step, in their order.
    pub states: Vec<State>,
    /// The places of the steps that have not begun and begin now.
    pub due: Vec<usize>,
    pub status: Status,
}

impl Counts {
    fn state(self) -> State {
        match self {
            Self { failed: 1.., .. } => State::Failed,
            Self { cancelled: 1.., .. } => State::Cancelled,
            _ => State::Succeeded,
        }
    }
}

impl State {
    /// The word of the status document.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Skipped(_) => "skipped",
        }
    }

    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }

    fn is_unsuccessful(&self) -> bool {
        matches!(self, Self::Failed | Self::Cancelled)
    }
}

/// A sentence without a full stop.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSucceeded(step) => write!(f, "`{step}` has not succeeded"),
            Self::Skipped(step) => write!(f, "`{step}` was skipped"),
            Self::NoneFailed => f.write_str("nothing before it has failed"),
        }
    }
}

/// Decides by what is known of the steps' groups. A step without a fact has no group. `cancelled` says that the workflow was
/// cancelled: then nothing more begins.
///
/// The steps are in an order in which each is behind those that it comes after, as a [`Document`](super::Document) has them.
pub fn decide(steps: &[Step], facts: &BTreeMap<String, Fact>, cancelled: bool) -> Outcome {
    let mut states: Vec<State> = Vec::with_capacity(steps.len());
    let mut due = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        let before: Vec<(&str, &State)> = steps[..i]
            .iter()
            .zip(&states)
            .filter(|(other, _)| step.after.contains(&other.name))
            .map(|(other, state)| (other.name.as_str(), state))
            .collect();
        let state = match facts.get(&step.name) {
            Some(Fact::Ended(counts)) => counts.state(),
            Some(Fact::Begun) => State::Running,
            None if !before.iter().all(|(_, state)| state.is_final()) => State::Waiting,
            None => {
                if let Some(reason) = skipped(step.on, &before) {
                    State::Skipped(reason)
                } else {
                    due.push(i);
                    State::Waiting
                }
            }
        };
        states.push(match state {
            State::Waiting if cancelled => State::Cancelled,
            state => state,
        });
    }
    if cancelled {
        due.clear();
    }
    Outcome { status: status(steps, &states, cancelled), states, due }
}

/// Why a step whose steps before have ended does not begin; `None` if it does.
fn skipped(on: On, before: &[(&str, &State)]) -> Option<Reason> {
    let first =
        |fits: fn(&State) -> bool| before.iter().find(|(_, state)| fits(state)).map(|(name, _)| (*name).to_owned());
    match on {
        On::Always => None,
        On::Failure => first(State::is_unsuccessful).is_none().then_some(Reason::NoneFailed),
        On::Success => first(State::is_unsuccessful)
            .map(Reason::NotSucceeded)
            .or_else(|| first(|state| matches!(state, State::Skipped(_))).map(Reason::Skipped)),
    }
}

fn status(steps: &[Step], states: &[State], cancelled: bool) -> Status {
    if !states.iter().all(State::is_final) {
        return Status::Processing;
    }
    let answered = |failed: &Step| {
        let answers = |step: &Step| step.on == On::Failure && step.after.contains(&failed.name);
        steps.iter().zip(states).any(|(step, state)| answers(step) && *state == State::Succeeded)
    };
    let open: Vec<&State> = steps
        .iter()
        .zip(states)
        .filter(|(step, state)| state.is_unsuccessful() && !answered(step))
        .map(|(_, state)| state)
        .collect();
    if open.is_empty() {
        Status::Completed
    } else if cancelled || !open.contains(&&State::Failed) {
        Status::Cancelled
    } else {
        Status::Failed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, json};

    use super::*;
    use crate::kinds::http_call::Method;
    use crate::workflows::{CallFields, Fan, Work};

    fn step(name: &str, after: &[&str], on: On) -> Step {
        let call = CallFields {
            method: Method::Post,
            url: json!("https://a.example/"),
            headers: Map::new(),
            json: None,
            timeout: None,
        };
        Step {
            name: name.into(),
            after: after.iter().map(ToString::to_string).collect(),
            on,
            work: Work::Call(call),
            fan: Fan::One,
            options: Map::new(),
            concurrency: None,
        }
    }

    fn order() -> Vec<Step> {
        vec![
            step("photos", &[], On::Success),
            step("payment", &[], On::Success),
            step("inventory", &["payment"], On::Success),
            step("tell", &["photos", "inventory"], On::Success),
            step("refund", &["inventory"], On::Failure),
            step("log", &["tell", "refund"], On::Always),
        ]
    }

    const GOOD: Counts = Counts { succeeded: 2, failed: 0, cancelled: 0 };
    const BAD: Counts = Counts { succeeded: 1, failed: 1, cancelled: 1 };
    const STOPPED: Counts = Counts { succeeded: 1, failed: 0, cancelled: 1 };

    fn after(steps: &[Step], ended: &[(&str, Counts)], cancelled: bool) -> (String, Vec<String>, Status) {
        let facts = ended.iter().map(|(name, counts)| ((*name).to_owned(), Fact::Ended(*counts))).collect();
        let outcome = decide(steps, &facts, cancelled);
        let words: Vec<&str> = outcome.states.iter().map(State::as_str).collect();
        (words.join(" "), outcome.due.iter().map(|i| steps[*i].name.clone()).collect(), outcome.status)
    }

    #[test]
    fn steps_begin_when_those_before_have_ended_as_they_want() {
        let all = order();
        let at = |ended: &[(&str, Counts)]| after(&all, ended, false);
        let (words, due, status) = at(&[]);
        assert_eq!(words, "waiting waiting waiting waiting waiting waiting");
        assert_eq!((due, status), (vec!["photos".to_owned(), "payment".into()], Status::Processing));
        let (_, due, _) = at(&[("payment", GOOD)]);
        assert_eq!(due, ["photos", "inventory"]);
        let (words, due, _) = at(&[("payment", GOOD), ("inventory", GOOD)]);
        assert_eq!(
            (words.as_str(), due),
            ("waiting succeeded succeeded waiting skipped waiting", vec!["photos".to_owned()])
        );
        let good = ["photos", "payment", "inventory", "tell", "log"].map(|name| (name, GOOD));
        let (words, due, status) = at(&good);
        assert_eq!(words, "succeeded succeeded succeeded succeeded skipped succeeded");
        assert_eq!((due, status), (vec![], Status::Completed));
    }

    #[test]
    fn failure_that_is_answered_completes_the_workflow() {
        let all = order();
        let before = [("photos", GOOD), ("payment", GOOD), ("inventory", BAD)];
        let (words, due, status) = after(&all, &before, false);
        assert_eq!(words, "succeeded succeeded failed skipped waiting waiting");
        assert_eq!((due, status), (vec!["refund".to_owned()], Status::Processing));
        let ended = |refund: Counts, log: Counts| {
            after(&all, &[&before[..], &[("refund", refund), ("log", log)]].concat(), false).2
        };
        assert_eq!(ended(GOOD, GOOD), Status::Completed);
        assert_eq!(ended(BAD, GOOD), Status::Failed, "the answer has failed, and nothing answers it");
        assert_eq!(ended(GOOD, BAD), Status::Failed);
        assert_eq!(ended(GOOD, STOPPED), Status::Cancelled);
    }

    #[test]
    fn what_comes_after_a_failure_is_skipped_and_so_on_down_but_always() {
        let all = order();
        let ended = [("photos", GOOD), ("payment", STOPPED), ("log", GOOD)];
        let (words, _, status) = after(&all, &ended, false);
        assert_eq!(words, "succeeded cancelled skipped skipped skipped succeeded");
        assert_eq!(status, Status::Cancelled);
        let facts = BTreeMap::from([("payment".to_owned(), Fact::Ended(BAD)), ("photos".to_owned(), Fact::Begun)]);
        let outcome = decide(&all, &facts, false);
        assert_eq!(outcome.states[0], State::Running);
        let reason = |i: usize| match &outcome.states[i] {
            State::Skipped(reason) => reason.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(2), "`payment` has not succeeded");
        assert_eq!(reason(4), "nothing before it has failed", "what was never tried needs no answer");
        assert_eq!(outcome.states[3], State::Waiting, "photos has not ended");
    }

    #[test]
    fn cancelled_workflow_begins_nothing_more() {
        let all = order();
        let facts = BTreeMap::from([("photos".to_owned(), Fact::Begun), ("payment".to_owned(), Fact::Ended(GOOD))]);
        let outcome = decide(&all, &facts, true);
        let words: Vec<&str> = outcome.states.iter().map(State::as_str).collect();
        assert_eq!(words, ["running", "succeeded", "cancelled", "cancelled", "cancelled", "cancelled"]);
        assert_eq!((outcome.due, outcome.status), (vec![], Status::Processing));
        let ended = [("photos", BAD), ("payment", GOOD)];
        assert_eq!(after(&all, &ended, true).2, Status::Cancelled);
        let done = ["photos", "payment", "inventory", "tell", "log"].map(|name| (name, GOOD));
        assert_eq!(after(&all, &done, true).2, Status::Completed, "the cancel came after the end");
    }

    #[test]
    fn step_without_jobs_has_succeeded() {
        let steps = [step("a", &[], On::Success), step("b", &["a"], On::Success)];
        assert_eq!(after(&steps, &[("a", Counts::default())], false).1, ["b"]);
    }

    /// Steps that come after some of those before them, and how each ends if it begins.
    fn workflows() -> impl Strategy<Value = (Vec<Step>, Vec<Counts>)> {
        let ons = [On::Success, On::Failure, On::Always];
        let ends = [GOOD, GOOD, BAD, STOPPED, Counts::default()];
        let one = (any::<u32>(), prop::sample::select(ons.to_vec()), prop::sample::select(ends.to_vec()));
        prop::collection::vec(one, 1..12).prop_map(|drawn| {
            let mut steps: Vec<Step> = Vec::new();
            for (i, (bits, on, _)) in drawn.iter().enumerate() {
                // About a third of those before.
                let before: Vec<String> =
                    (0..i).filter(|other| (bits >> (2 * other)) % 4 == 0).map(|other| format!("s{other}")).collect();
                let on = if before.is_empty() { On::Success } else { *on };
                let names: Vec<&str> = before.iter().map(String::as_str).collect();
                steps.push(step(&format!("s{i}"), &names, on));
            }
            (steps, drawn.into_iter().map(|(_, _, end)| end).collect())
        })
    }

    /// Lets steps begin and end in an order by the numbers, until nothing is left to do.
    fn play(steps: &[Step], ends: &[Counts], numbers: &[u32]) -> Outcome {
        let mut facts: BTreeMap<String, Fact> = BTreeMap::new();
        let mut last: Option<Outcome> = None;
        for turn in 0.. {
            let outcome = decide(steps, &facts, false);
            if let Some(last) = &last {
                for (was, is) in last.states.iter().zip(&outcome.states) {
                    assert!(!was.is_final() || was == is, "a final state stays: {was:?} {is:?}");
                }
            }
            let running = (0..steps.len()).filter(|i| facts.get(&steps[*i].name) == Some(&Fact::Begun));
            let moves: Vec<usize> = outcome.due.iter().copied().chain(running).collect();
            if moves.is_empty() {
                return outcome;
            }
            let i = moves[numbers[turn % numbers.len()] as usize % moves.len()];
            let fact = if outcome.due.contains(&i) { Fact::Begun } else { Fact::Ended(ends[i]) };
            facts.insert(steps[i].name.clone(), fact);
            last = Some(outcome);
        }
        unreachable!("the loop has no end of its own")
    }

    proptest! {
        #[test]
        fn order_of_the_ends_decides_nothing_and_nothing_is_left_undecided(
            (steps, ends) in workflows(),
            first in prop::collection::vec(any::<u32>(), 1..40),
            second in prop::collection::vec(any::<u32>(), 1..40),
        ) {
            let outcome = play(&steps, &ends, &first);
            prop_assert!(outcome.states.iter().all(State::is_final), "{:?}", outcome.states);
            prop_assert_ne!(outcome.status, Status::Processing);
            prop_assert_eq!(&play(&steps, &ends, &second), &outcome);
        }
    }
}
