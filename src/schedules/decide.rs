//! What becomes of the slots that are due: fired, skipped with a reason, or waiting. Pure: position and time come in.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use queue::GroupId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::definition::{CatchUp, MOST_CAUGHT_UP, Overlap, Policy};
use super::timing::Timing;

/// A slot that is decided after more than this is late. Without `catch_up`, it is skipped then.
pub const LATE: Duration = Duration::from_mins(1);

/// Names what follows from a slot or a group.
const NAMESPACE: Uuid = Uuid::from_u128(0x2d0e_7c1a_95b4_5f3e_8c6d_41a8_e0b7_93f2);

/// How far a schedule has come: the value of its cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// All slots up to this instant, itself included, are decided.
    pub decided: Timestamp,
    /// The group that fired last.
    pub last: Option<GroupId>,
    /// Another version of the schedule goes on from here.
    pub closed: bool,
}

/// The group that fired last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// There is none, or nothing is known of it any more.
    Unknown,
    Running,
    Succeeded {
        at: Timestamp,
    },
    Failed {
        at: Timestamp,
    },
}

/// Why a slot was skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    Paused,
    /// The group of the slot before had not ended.
    Overlap,
    /// Nobody fired it in time, and `catch_up` leaves it out.
    CatchUp,
}

/// Slots that are skipped together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skip {
    pub slot: Timestamp,
    /// The last one; the same as `slot` if it is one.
    pub through: Timestamp,
    pub reason: Reason,
}

/// A slot that fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fire {
    pub slot: Timestamp,
    pub late_by: Duration,
    /// The group that fired last is cancelled first.
    pub cancels: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing is due before this instant; without one, nothing is due any more.
    Sleep(Option<Timestamp>),
    /// A slot waits for the end of the group that fired last.
    Blocked,
    /// The schedule pauses, because the group that fired last has failed.
    Pause,
    Move(Move),
}

/// A move of the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The last slot that is decided.
    pub to: Timestamp,
    /// When it is due: the slot, or later by the jitter.
    pub due: Timestamp,
    pub skipped: Vec<Skip>,
    pub fire: Option<Fire>,
    /// The failure of the group that fired last has paused the schedule, and shall not do so again.
    pub forgets: bool,
}

/// A schedule at an instant.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    pub name: &'a str,
    pub timing: &'a Timing,
    pub policy: &'a Policy,
    pub paused: bool,
    pub position: Position,
    pub last: Last,
    pub now: Timestamp,
}

impl Position {
    pub fn new(decided: Timestamp) -> Self {
        Self { decided, last: None, closed: false }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.closed { "closed " } else { "" }, self.decided)?;
        self.last.map_or(Ok(()), |last| write!(f, " {last}"))
    }
}

impl FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (closed, rest) = text.strip_prefix("closed ").map_or((false, text), |rest| (true, rest));
        let (decided, last) = rest.split_once(' ').map_or((rest, None), |(decided, last)| (decided, Some(last)));
        let last = last.map(|last| last.parse().map_err(drop)).transpose()?;
        Ok(Self { decided: decided.parse().map_err(drop)?, last, closed })
    }
}

/// The id of the group that a slot makes. Version 8: a group of version 5 is one that the service made for itself.
pub fn group_of(cursor: &str, slot: Timestamp) -> GroupId {
    let name = format!("{cursor}/{slot}");
    uuid::Builder::from_custom_bytes(Uuid::new_v5(&NAMESPACE, name.as_bytes()).into_bytes()).into_uuid().into()
}

/// An id that follows from a group's.
pub fn derived(group: GroupId, what: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("{group}/{what}").as_bytes())
}

/// When a slot is due: later than the slot by up to the jitter, and the same for all services.
pub fn due(name: &str, policy: &Policy, slot: Timestamp) -> Timestamp {
    let most = policy.jitter.as_millis() as u64;
    if most == 0 {
        return slot;
    }
    let word = Uuid::new_v5(&NAMESPACE, format!("jitter/{name}/{slot}").as_bytes()).as_u64_pair().0;
    slot.checked_add(SignedDuration::from_millis((word % most) as i64)).unwrap_or(slot)
}

/// What is to be done now.
pub fn decide(situation: &Situation<'_>) -> Decision {
    let Situation { name, timing, policy, paused, position, last, now } = *situation;
    if policy.pause_on_failure && !paused && matches!(last, Last::Failed { .. }) {
        return Decision::Pause;
    }
    let due = |slot: Timestamp| due(name, policy, slot);
    let after = policy.begin(position.decided);
    let end = policy.ends.and_then(|ends| ends.checked_sub(SignedDuration::from_nanos(1)).ok());
    let mut slots = timing.between(after, end.map_or(now, |end| end.min(now)), MOST_CAUGHT_UP);
    // The jitter puts slots off, and the next one never comes before them.
    let due_slots = slots.latest.iter().take_while(|&&slot| due(slot) <= now).count();
    slots.latest.truncate(due_slots);
    let Some(&newest) = slots.latest.last() else {
        return Decision::Sleep(policy.next(timing, after).map(due));
    };
    let one = |slot: Timestamp, reason: Reason| Skip { slot, through: slot, reason };
    let earlier = |reason| slots.earlier.map(|(slot, through)| Skip { slot, through, reason });
    let moved = |to: Timestamp, skipped: Vec<Skip>, fire| {
        Decision::Move(Move { to, due: due(to), skipped, fire, forgets: false })
    };
    if paused {
        let all = slots.latest.iter().map(|&slot| one(slot, Reason::Paused));
        let skipped = earlier(Reason::Paused).into_iter().chain(all).collect();
        let forgets = matches!(last, Last::Failed { .. });
        return Decision::Move(Move { to: newest, due: due(newest), skipped, fire: None, forgets });
    }
    let is_running = last == Last::Running;
    let late_by = |slot: Timestamp| {
        // A slot that waited for the group before is not late by that.
        let ready = match last {
            Last::Succeeded { at } | Last::Failed { at } if policy.overlap == Overlap::QueueOne => due(slot).max(at),
            _ => due(slot),
        };
        Duration::try_from(now.duration_since(ready)).unwrap_or_default()
    };
    let in_time = |slot: Timestamp| match policy.catch_up {
        CatchUp::None => late_by(slot) <= LATE,
        CatchUp::Latest | CatchUp::All => late_by(slot) <= policy.catch_up_window,
    };
    let waits = is_running && policy.overlap == Overlap::QueueOne;
    let candidate = match policy.catch_up {
        CatchUp::All => slots.latest.iter().position(|&slot| waits || in_time(slot)),
        CatchUp::None | CatchUp::Latest => Some(slots.latest.len() - 1).filter(|_| waits || in_time(newest)),
    };
    let passed = candidate.unwrap_or(slots.latest.len());
    // Those that a newer one takes the place of while it waits.
    let reason = if waits { Reason::Overlap } else { Reason::CatchUp };
    let mut skipped: Vec<Skip> =
        earlier(reason).into_iter().chain(slots.latest[..passed].iter().map(|&slot| one(slot, reason))).collect();
    let Some(slot) = candidate.map(|index| slots.latest[index]) else { return moved(newest, skipped, None) };
    let fire = Fire { slot, late_by: late_by(slot), cancels: is_running && policy.overlap == Overlap::Cancel };
    match policy.overlap {
        Overlap::Skip if is_running => {
            skipped.push(one(slot, Reason::Overlap));
            moved(slot, skipped, None)
        }
        Overlap::QueueOne if is_running => match skipped.last().map(|skip| skip.through) {
            Some(to) => moved(to, skipped, None),
            None => Decision::Blocked,
        },
        Overlap::Skip | Overlap::QueueOne | Overlap::Allow | Overlap::Cancel => moved(slot, skipped, Some(fire)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-12-{text}Z").parse().unwrap()
    }

    fn hourly() -> Timing {
        Timing::parse(Some("@hourly"), None, None, "UTC").unwrap()
    }

    const DAY: Duration = Duration::from_hours(24);

    fn policy(catch_up: CatchUp, overlap: Overlap) -> Policy {
        Policy {
            catch_up,
            catch_up_window: DAY,
            overlap,
            pause_on_failure: false,
            jitter: Duration::ZERO,
            starts: None,
            ends: None,
        }
    }

    /// An hourly schedule that was decided up to 12:00 of the first.
    fn told(policy: &Policy, paused: bool, last: Last, now: &str) -> String {
        let position = Position::new(at("01T12:00:00"));
        let timing = hourly();
        let situation = Situation { name: "x", timing: &timing, policy, paused, position, last, now: at(now) };
        match decide(&situation) {
            Decision::Sleep(until) => format!("sleep {}", until.map_or("for good".into(), |until| until.to_string())),
            Decision::Blocked => "blocked".into(),
            Decision::Pause => "pause".into(),
            Decision::Move(Move { to, skipped, fire, .. }) => {
                let hour = |slot: Timestamp| slot.strftime("%d.%H").to_string();
                let mut said: Vec<String> = skipped
                    .iter()
                    .map(|skip| {
                        if skip.slot == skip.through {
                            format!("{} {:?}", hour(skip.slot), skip.reason)
                        } else {
                            format!("{}-{} {:?}", hour(skip.slot), hour(skip.through), skip.reason)
                        }
                    })
                    .collect();
                let late = |fire: Fire| if fire.late_by > LATE { " late" } else { "" };
                said.extend(fire.map(|fire| {
                    format!("{} fires{}{}", hour(fire.slot), late(fire), if fire.cancels { " cancels" } else { "" })
                }));
                format!("{} -> {}", said.join(", "), hour(to))
            }
        }
    }

    #[test]
    fn slots_are_decided_by_catch_up() {
        use CatchUp::{All, Latest, None};
        for (catch_up, now, expected) in [
            (Latest, "01T12:59:59", "sleep 2026-12-01T13:00:00Z"),
            (None, "01T13:00:00", "01.13 fires -> 01.13"),
            (None, "01T13:01:00", "01.13 fires -> 01.13"),
            (None, "01T13:01:01", "01.13 CatchUp -> 01.13"),
            (None, "01T15:00:30", "01.13 CatchUp, 01.14 CatchUp, 01.15 fires -> 01.15"),
            (Latest, "01T13:00:00", "01.13 fires -> 01.13"),
            (Latest, "01T13:40:00", "01.13 fires late -> 01.13"),
            (Latest, "01T15:30:00", "01.13 CatchUp, 01.14 CatchUp, 01.15 fires late -> 01.15"),
            (All, "01T15:30:00", "01.13 fires late -> 01.13"),
            (All, "02T14:30:00", "01.13 CatchUp, 01.14 CatchUp, 01.15 fires late -> 01.15"),
        ] {
            assert_eq!(
                told(&policy(catch_up, Overlap::Skip), false, Last::Unknown, now),
                expected,
                "{catch_up:?} {now}"
            );
        }
    }

    #[test]
    fn more_than_a_hundred_missed_slots_are_skipped_together() {
        let said = told(&policy(CatchUp::Latest, Overlap::Skip), false, Last::Unknown, "11T12:30:00");
        assert!(
            said.starts_with("01.13-07.08 CatchUp, 07.09 CatchUp, ") && said.ends_with(", 11.12 fires late -> 11.12"),
            "{said}"
        );
        let said = told(&policy(CatchUp::Latest, Overlap::Skip), true, Last::Unknown, "11T12:30:00");
        assert!(said.starts_with("01.13-07.08 Paused, ") && said.ends_with("11.12 Paused -> 11.12"), "{said}");
    }

    #[test]
    fn slots_are_decided_by_what_the_last_group_does() {
        use CatchUp::{All, Latest};
        let ended = Last::Succeeded { at: at("01T15:29:50") };
        for (catch_up, overlap, last, now, expected) in [
            (Latest, Overlap::Skip, Last::Running, "01T13:00:00", "01.13 Overlap -> 01.13"),
            (Latest, Overlap::Allow, Last::Running, "01T13:00:00", "01.13 fires -> 01.13"),
            (Latest, Overlap::Cancel, Last::Running, "01T13:00:00", "01.13 fires cancels -> 01.13"),
            (Latest, Overlap::Cancel, ended, "01T13:00:00", "01.13 fires -> 01.13"),
            (Latest, Overlap::QueueOne, Last::Running, "01T13:00:00", "blocked"),
            (Latest, Overlap::QueueOne, Last::Running, "01T14:00:00", "01.13 Overlap -> 01.13"),
            (CatchUp::None, Overlap::QueueOne, Last::Running, "01T13:30:00", "blocked"),
            (
                CatchUp::None,
                Overlap::QueueOne,
                ended,
                "01T15:30:00",
                "01.13 CatchUp, 01.14 CatchUp, 01.15 fires -> 01.15",
            ),
            (All, Overlap::QueueOne, Last::Running, "01T15:30:00", "blocked"),
            (All, Overlap::QueueOne, ended, "01T15:30:00", "01.13 fires -> 01.13"),
            (All, Overlap::Skip, Last::Running, "01T15:30:00", "01.13 Overlap -> 01.13"),
        ] {
            assert_eq!(told(&policy(catch_up, overlap), false, last, now), expected, "{catch_up:?} {overlap:?} {now}");
        }
    }

    #[test]
    fn failure_pauses_a_schedule_that_asks_for_it() {
        let pausing = Policy { pause_on_failure: true, ..policy(CatchUp::Latest, Overlap::Skip) };
        let failed = Last::Failed { at: at("01T12:10:00") };
        assert_eq!(told(&pausing, false, failed, "01T12:20:00"), "pause");
        assert_eq!(told(&pausing, true, failed, "01T13:00:00"), "01.13 Paused -> 01.13");
        assert_eq!(told(&pausing, false, Last::Unknown, "01T13:00:00"), "01.13 fires -> 01.13");
        assert_eq!(told(&policy(CatchUp::Latest, Overlap::Skip), false, failed, "01T13:00:00"), "01.13 fires -> 01.13");
    }

    #[test]
    fn nothing_fires_before_the_start_or_after_the_end() {
        let bounded = Policy {
            starts: Some(at("01T14:00:00")),
            ends: Some(at("01T16:00:00")),
            ..policy(CatchUp::All, Overlap::Skip)
        };
        assert_eq!(told(&bounded, false, Last::Unknown, "01T13:30:00"), "sleep 2026-12-01T14:00:00Z");
        assert_eq!(told(&bounded, false, Last::Unknown, "01T14:00:00"), "01.14 fires -> 01.14");
        let late = Policy { ends: Some(at("01T13:00:00")), ..policy(CatchUp::All, Overlap::Skip) };
        assert_eq!(told(&late, false, Last::Unknown, "01T16:00:00"), "sleep for good");
    }

    #[test]
    fn jitter_puts_a_slot_off_by_the_same_time_everywhere() {
        let jittered = Policy { jitter: Duration::from_mins(30), ..policy(CatchUp::Latest, Overlap::Skip) };
        let due_at = due("x", &jittered, at("01T13:00:00"));
        assert!(due_at > at("01T13:00:00") && due_at < at("01T13:30:00"), "{due_at}");
        assert_ne!(due_at, due("y", &jittered, at("01T13:00:00")));
        assert_eq!(told(&jittered, false, Last::Unknown, "01T13:00:00"), format!("sleep {due_at}"));
        assert_eq!(
            told(&jittered, false, Last::Unknown, "01T13:30:00"),
            "01.13 fires -> 01.13".replace("fires", {
                if at("01T13:30:00").duration_since(due_at) > SignedDuration::from_mins(1) {
                    "fires late"
                } else {
                    "fires"
                }
            })
        );
    }

    #[test]
    fn position_is_read_as_it_is_written() {
        let group = group_of("schedule:x:1", at("01T13:00:00"));
        assert!(!group.is_scheduled(), "people see it");
        // As any other process computes it: else each would fire for itself.
        assert_eq!(group.to_string(), "cd6289c1-cc9d-8af3-afd9-1f09bd7c7bd8");
        for (last, closed) in [(None, false), (Some(group), false), (Some(group), true), (None, true)] {
            let position = Position { decided: at("01T13:00:00.25"), last, closed };
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        for wrong in ["", "closed", "2026-12-01", "2026-12-01T13:00:00Z x"] {
            assert_eq!(wrong.parse::<Position>(), Err(()), "{wrong}");
        }
    }
}
