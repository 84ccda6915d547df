//! The judge of the chaos suite, fed with made-up histories: a suite that finds nothing must not be blind.

#[path = "../chaos/check.rs"]
#[allow(dead_code, reason = "only the suite's own rounds break off")]
mod check;
#[path = "../chaos/history.rs"]
#[allow(dead_code, reason = "the suite reads and writes it; here it is made up")]
mod history;

use std::time::Duration;

use jiff::Timestamp;

use check::{End, JobEnd, Outcome, Recovery, Terms, Violation, disturbed, judge, recovery};
use history::{Entry, What};

fn at(ms: i64, what: What) -> Entry {
    Entry { at: Timestamp::from_millisecond(ms).unwrap(), by: "worker-1".into(), what }
}

fn acknowledged() -> Entry {
    at(0, What::Acknowledged { group: "g".into(), jobs: 2 })
}

fn started(ms: i64, job: &str, run: u32) -> Entry {
    at(ms, What::Started { job: job.into(), run: run.to_string(), process: None })
}

fn settled(ms: i64, job: &str, run: u32, outcome: &str) -> Entry {
    at(ms, What::Settled { job: job.into(), run: run.to_string(), outcome: outcome.into() })
}

/// Two jobs; `b` lost its first run to a fault at 1,000 ms.
fn history() -> Vec<Entry> {
    vec![
        acknowledged(),
        started(100, "a", 1),
        settled(200, "a", 1, "succeeded"),
        started(900, "b", 1),
        at(1_000, What::Injected { hit: vec!["worker-1".into()] }),
        started(2_000, "b", 2),
        settled(2_500, "b", 2, "succeeded"),
    ]
}

fn succeeded(job: &str, run: u32) -> JobEnd {
    JobEnd { job: job.into(), outcome: Outcome::Succeeded { run: run.to_string(), whole: true } }
}

fn end() -> End {
    let jobs = vec![succeeded("a", 1), succeeded("b", 2)];
    let refused = Vec::new();
    End { group: "g".into(), finished: true, total: 2, succeeded: 2, failed: 0, cancelled: 0, jobs, refused }
}

fn found(history: &[Entry], ends: &[End]) -> Vec<Violation> {
    judge(history, ends, &Terms::default()).violations
}

#[test]
fn recovered_round_is_clean_and_measured() {
    let verdict = judge(&history(), &[end()], &Terms::default());
    assert_eq!(verdict.violations, []);
    assert_eq!((verdict.jobs, verdict.duplicates), (2, 1));
    let [again, end] = [1_000, 1_500].map(Duration::from_millis);
    assert_eq!(verdict.recovery, Some(Recovery { again, end }));
}

#[test]
fn group_that_nobody_can_read_must_say_so() {
    let terms = Terms { unreadable: [("g".into(), "manifest-damaged".into())].into(), ..Terms::default() };
    let ended = |refused: &[&str]| {
        let refused = refused.iter().map(ToString::to_string).collect();
        End { total: 0, succeeded: 0, jobs: Vec::new(), refused, ..end() }
    };
    let found = |end: End| judge(&history(), &[end], &terms).violations;
    assert_eq!(found(ended(&["manifest-damaged"])), []);
    for wrong in [ended(&[]), ended(&["storage"]), end()] {
        assert!(matches!(found(wrong).as_slice(), [Violation::Lost(_)]));
    }
}

#[test]
fn recovery_counts_from_the_end_of_a_fault_that_lasts() {
    let mut history = history();
    history.insert(5, at(1_800, What::Healed));
    assert_eq!(recovery(&history).unwrap().again, Duration::from_millis(200));
}

#[test]
fn job_that_does_not_run_again_has_no_recovery() {
    assert_eq!(recovery(&history()[..5]), None);
}

#[test]
fn undisturbed_program_does_not_count() {
    let mut history = history();
    history[4].what = What::Injected { hit: vec!["worker-2".into()] };
    assert!(disturbed(&history).is_empty());
}

#[test]
fn lost_jobs_are_found() {
    let lost = |ends: &[End]| assert!(matches!(found(&history(), ends)[0], Violation::Lost(_)), "{ends:?}");
    lost(&[]);
    lost(&[End { total: 1, succeeded: 1, jobs: vec![succeeded("a", 1)], ..end() }]);
    let incomplete = JobEnd { job: "b".into(), outcome: Outcome::Succeeded { run: "2".into(), whole: false } };
    lost(&[End { jobs: vec![succeeded("a", 1), incomplete], ..end() }]);
}

#[test]
fn failure_is_a_loss_unless_the_fault_makes_it_lawful() {
    let failed = |job: &str| JobEnd { job: job.into(), outcome: Outcome::Failed { code: "poison".into() } };
    let ends = [End { succeeded: 0, failed: 2, jobs: vec![failed("a"), failed("b")], ..end() }];
    let history = [acknowledged()];
    assert_eq!(found(&history, &ends).len(), 2);
    let mut terms = Terms::default();
    terms.failing.insert("g".into(), "poison".into());
    assert_eq!(judge(&history, &ends, &terms).violations, []);
    assert_eq!(judge(&history, &[end()], &terms).violations.len(), 2, "the poison was not noticed");
}

#[test]
fn damaged_record_is_a_loss_unless_the_queues_bits_were_changed() {
    let failed = |job: &str| JobEnd { job: job.into(), outcome: Outcome::Failed { code: "payload-damaged".into() } };
    let ends = [End { succeeded: 0, failed: 2, jobs: vec![failed("a"), failed("b")], ..end() }];
    assert_eq!(found(&[acknowledged()], &ends).len(), 2);
    let terms = Terms { damaged: true, ..Terms::default() };
    assert_eq!(judge(&[acknowledged()], &ends, &terms).violations, []);
}

#[test]
fn doubled_jobs_are_found() {
    let doubled = |history: &[Entry], ends: &[End]| {
        let found = found(history, ends);
        assert!(matches!(found[..], [Violation::Doubled(_)]), "{found:?}");
    };
    let mut late = history();
    late.push(settled(3_000, "b", 1, "succeeded"));
    doubled(&late, &[end()]);
    let other_run = [End { jobs: vec![succeeded("a", 1), succeeded("b", 1)], ..end() }];
    doubled(&history(), &other_run);
}

#[test]
fn job_listed_twice_is_found() {
    let ends = [End { jobs: vec![succeeded("a", 1), succeeded("a", 1)], ..end() }];
    assert!(matches!(found(&history(), &ends)[..], [Violation::Lost(_)]));
}

#[test]
fn broker_that_forgot_may_publish_again_but_only_once() {
    let mut history = history();
    history.push(settled(3_000, "b", 1, "succeeded"));
    let forgotten_at = Some(Timestamp::from_millisecond(2_600).unwrap());
    let terms = Terms { forgotten_at, ..Terms::default() };
    let ends = [End { jobs: vec![succeeded("a", 1), succeeded("b", 1)], ..end() }];
    assert_eq!(judge(&history, &ends, &terms).violations, []);
    history.push(settled(3_100, "b", 2, "succeeded"));
    assert!(matches!(judge(&history, &ends, &terms).violations[..], [Violation::Doubled(_)]));
    assert!(matches!(judge(&history, &[], &terms).violations[..], [Violation::Lost(_)]));
    let terms = Terms { over: ["g".to_owned()].into(), ..terms };
    assert_eq!(judge(&history, &[], &terms).violations, []);
}

#[test]
fn stuck_groups_are_found() {
    let stuck = [End { finished: false, succeeded: 1, jobs: vec![succeeded("a", 1)], ..end() }];
    assert!(matches!(found(&history()[..4], &stuck)[..], [Violation::Stuck(_)]));
    let mut twice = history();
    twice.extend([1, 2].map(|ms| at(2_600 + ms, What::Fired { group: "g".into() })));
    assert!(matches!(found(&twice, &[end()])[..], [Violation::Stuck(_)]));
}

#[test]
fn untrue_counters_are_found() {
    let ends = [End { succeeded: 1, failed: 1, ..end() }];
    assert!(matches!(found(&history(), &ends)[..], [Violation::Miscounted(_)]));
}

#[test]
fn repeats_count_where_nothing_excuses_them() {
    let terms = Terms { no_repeats: true, ..Terms::default() };
    let violations = judge(&history(), &[end()], &terms).violations;
    assert!(matches!(violations[..], [Violation::Repeated(_)]), "{violations:?}");
}
