//! Tests that apply to every kind.

use std::time::Duration;

use super::*;

fn all() -> Vec<Payload> {
    let picture = ImageProcess {
        source: Source::Stored("uploads/g/0".into()),
        image: "cat.jpg".into(),
        operations: imaging::operation::defaults(),
        lenient: false,
        peak: Some(7),
        check: None,
    };
    let terms = crate::job::Terms {
        operations: Vec::new(),
        lenient: false,
        queue: "default".into(),
        fetch_queue: "io_intensive".into(),
        priority: 5,
        max_attempts: 3,
    };
    let (zero, group) = (Duration::ZERO, queue::GroupId::new());
    let keep = crate::job::Keep::default();
    vec![
        Payload::ImageProcess(picture.clone()),
        Payload::SourceFetch(SourceFetch { from: Origin::InPlace, picture, queue: "default".into() }),
        Payload::SourceScan(SourceScan { group }),
        Payload::GroupFollow(GroupFollow { of: group, group, terms: terms.clone(), keep }),
        Payload::HttpCall(HttpCall {
            method: http_call::Method::Put,
            url: "https://pay.example/charges".parse().unwrap(),
            headers: [("x-shop".to_owned(), "7".to_owned())].into(),
            json: Some(serde_json::json!({"order": "A-17"})),
            timeout: Some(Duration::from_secs(5)),
        }),
        Payload::WorkflowAdvance(WorkflowAdvance { workflow: group }),
        Payload::ScheduleRun(ScheduleRun {
            occasion: Occasion { name: "nightly".into(), slot: jiff::Timestamp::UNIX_EPOCH, from: None, manual: false },
            group,
            owner: Some("shop".into()),
            sources: serde_json::json!([{"prefix": "incoming/"}]),
            terms,
            keep,
            max_files: 1000,
            chunk: 1000,
            scan_queue: "io_intensive".into(),
        }),
        Payload::StorageSweep(StorageSweep { records: zero, originals: zero, outputs: zero }),
        Payload::OutboxSweep(OutboxSweep { age: zero }),
    ]
}

#[test]
fn kinds_are_stored_under_their_names_and_read_back() {
    let known = [
        ("image.process", Class::Cpu, "cpu_intensive", false),
        ("source.fetch", Class::Io, "io_intensive", false),
        ("source.scan", Class::Io, "io_intensive", false),
        ("group.follow", Class::Io, "io_intensive", false),
        ("http.call", Class::Io, "io_intensive", false),
        ("workflow.advance", Class::Io, "io_intensive", true),
        ("schedule.run", Class::Io, "scheduled", false),
        ("storage.sweep", Class::Io, "scheduled", true),
        ("outbox.sweep", Class::Io, "scheduled", true),
    ];
    for (payload, (kind, class, queue, is_maintenance)) in all().into_iter().zip(known) {
        let stored: serde_json::Value = serde_json::to_value(&payload).unwrap();
        assert_eq!(stored["kind"], kind);
        assert_eq!((payload.kind(), payload.class(), payload.default_queue()), (kind, class, queue));
        assert_eq!(Payload::is_maintenance(kind), is_maintenance, "{kind}");
        assert_eq!(Payload::from_bytes(&payload.to_bytes(Some("r"))).unwrap(), payload);
    }
    assert!(!Payload::is_maintenance("video.process"));
}

#[test]
fn failed_attempt_is_read_as_a_picture_that_failed() {
    let attempt = Ended { attempts: 2, run: RunId::of("session.0:1:1"), duration_ms: 12 };
    let error = Failure::transient("storage", "the disk is gone");
    for payload in all() {
        let result = ImageResult::from_bytes(&payload.failed(&attempt, &error)).unwrap();
        assert_eq!((result.success, result.attempts, result.duration_ms), (false, 2, Some(12)));
        assert_eq!(result.image.as_deref(), payload.picture().map(|picture| &*picture.image));
        // Only a computed attempt has a folder of outputs.
        let has_run = payload.class() == Class::Cpu;
        assert_eq!(result.run == attempt.run, has_run, "{}", payload.kind());
        assert_eq!(result.error, Some(error.clone()));
        assert_eq!(Failure::told_by(&payload.failed(&attempt, &error)), Some(error.clone()));
    }
}

#[test]
fn missing_files_are_known_by_kind_and_code() {
    let misses = |code: &str| all().iter().map(|payload| payload.misses(code)).collect::<Vec<_>>();
    let (own, others) = (Some(Missing::Original), Some(Missing::OthersOriginals));
    assert_eq!(misses("source-missing"), [own, own, None, None, None, None, None, None, None]);
    assert_eq!(misses("source-gone"), [None, None, None, others, None, None, others, None, None]);
    assert_eq!(misses("storage"), [None; 9]);
}
