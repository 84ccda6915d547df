use serde_json::json;

use super::*;
use crate::schedules::definition::tests::settings;

fn now() -> Timestamp {
    "2026-12-01T12:00:00Z".parse().unwrap()
}

fn document(cron: &str) -> Document {
    Document::read(&json!({"cron": cron, "run": {"prefix": "incoming/"}})).unwrap()
}

fn shelf(folder: &tempfile::TempDir, declared: &Value) -> Shelf {
    let declared = serde_json::from_value(declared.clone()).unwrap();
    Shelf::new(Storage::local(folder.path()).unwrap(), settings(), &declared).unwrap()
}

fn any(_: &str) -> bool {
    true
}

#[test]
fn definition_is_read_back_by_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let (mine, theirs) = (shelf(&folder, &json!({})), shelf(&folder, &json!({})));
    let made = mine.create("nightly", document("0 1 * * *"), Some("ops".into()), now()).unwrap();
    let read = theirs.get("nightly").unwrap().unwrap();
    assert_eq!((read.version, read.tag, read.owner.as_deref()), (made.version, made.tag, Some("ops")));
    assert_eq!((read.document, read.since), (document("0 1 * * *"), Some(now())));
    assert!(matches!(theirs.create("nightly", document("@daily"), None, now()), Err(Fault::Exists(_))));
    assert!(matches!(mine.create("../x", document("@daily"), None, now()), Err(Fault::Invalid(_))));
    assert!(matches!(mine.create("x", document("0 0 31 2 *"), None, now()), Err(Fault::Invalid(_))));
    theirs.remove("nightly", any).unwrap();
    assert!(mine.get("nightly").unwrap().is_none() && mine.list().unwrap().entries.is_empty());
    assert!(matches!(mine.remove("nightly", any), Err(Fault::Unknown(_))));
}

#[test]
fn change_of_an_older_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = shelf(&folder, &json!({}));
    let first = shelf.create("x", document("0 1 * * *"), None, now()).unwrap();
    let is_first = |tag: &str| tag == first.tag;
    let second = shelf.replace("x", &document("0 2 * * *"), is_first, now()).unwrap();
    assert_eq!(second.previous, [first.version.as_str()]);
    let refused = shelf.replace("x", &document("0 3 * * *"), is_first, now());
    assert!(matches!(refused, Err(Fault::Changed { now, .. }) if now == second.tag));
    assert!(matches!(shelf.remove("x", is_first), Err(Fault::Changed { .. })));
    assert_eq!(shelf.get("x").unwrap().unwrap().document, document("0 2 * * *"));
}

#[test]
fn pausing_and_notes_keep_the_version() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = shelf(&folder, &json!({}));
    let made = shelf.create("x", document("0 1 * * *"), None, now()).unwrap();
    let paused = shelf.pause("x", "vacation", now()).unwrap();
    assert_eq!((&paused.version, paused.tag == made.tag), (&made.version, false));
    assert_eq!(shelf.pause("x", "other", now()).unwrap().paused.unwrap().note, "vacation");
    let noted = Document { note: "new".into(), paused: true, ..document("0 1 * * *") };
    assert_eq!(shelf.replace("x", &noted, any, now()).unwrap().version, made.version);
    let resumed = shelf.resume("x", now()).unwrap();
    assert_eq!((resumed.paused, resumed.version), (None, made.version));
    assert!(matches!(shelf.pause("x", &"x".repeat(501), now()), Err(Fault::Invalid(_))));
    assert!(matches!(shelf.resume("y", now()), Err(Fault::Unknown(_))));
}

#[test]
fn schedule_of_the_configuration_is_paused_and_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let declared = json!({"nightly": {"cron": "0 1 * * *", "run": {"prefix": "incoming/"}},
        "off": {"cron": "@daily", "paused": true, "run": {"prefix": "incoming/"}}});
    let shelf = shelf(&folder, &declared);
    let entry = shelf.get("nightly").unwrap().unwrap();
    assert_eq!((entry.origin, entry.paused.clone()), (Origin::Configuration, None));
    assert!(matches!(shelf.replace("nightly", &document("@daily"), any, now()), Err(Fault::ReadOnly(_))));
    assert!(matches!(shelf.remove("nightly", any), Err(Fault::ReadOnly(_))));
    assert!(matches!(shelf.create("nightly", document("@daily"), None, now()), Err(Fault::Exists(_))));
    let paused = shelf.pause("nightly", "", now()).unwrap();
    assert!(paused.paused.is_some() && paused.version == entry.version && paused.tag != entry.tag);
    assert_eq!(shelf.resume("nightly", now()).unwrap().paused, None);
    assert!(shelf.get("off").unwrap().unwrap().paused.is_some());
    assert!(matches!(shelf.resume("off", now()), Err(Fault::ReadOnly(said)) if said.contains("schedules.off.paused")));
}

#[test]
fn damaged_definition_costs_no_other_one() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = shelf(&folder, &json!({}));
    shelf.create("x", document("@daily"), None, now()).unwrap();
    let path = |name: &str| folder.path().join(format!("schedules/{name}.json"));
    std::fs::write(path("y"), "{").unwrap();
    std::fs::copy(path("x"), path("z")).unwrap();
    let listing = shelf.list().unwrap();
    assert_eq!(listing.entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["x"]);
    assert_eq!(listing.damaged.len(), 2, "{:?}", listing.damaged);
}

#[test]
fn settings_name_the_schedule_that_is_wrong() {
    let fault = |declared: Value| check_declared(&settings(), &serde_json::from_value(declared).unwrap()).unwrap_err();
    assert!(fault(json!({"a b": {}})).starts_with("schedules: `a b` is not a name"));
    assert!(fault(json!({"x": {"cron": "@daily"}})).starts_with("schedules.x: run: is missing"));
    let zone = json!({"x": {"cron": "@daily", "zone": "Nowhere", "run": {"prefix": "a"}}});
    assert!(fault(zone).starts_with("schedules.x: zone: `Nowhere`"));
}

#[test]
fn copy_of_a_position_is_that_of_its_version() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = shelf(&folder, &json!({}));
    let position = Position::new(now());
    shelf.copy_position("x", "v1", &position).unwrap();
    assert_eq!(shelf.copied_position("x", "v1").unwrap(), Some(position));
    assert_eq!(shelf.copied_position("x", "v2").unwrap(), None);
    assert_eq!(shelf.copied_position("y", "v1").unwrap(), None);
}
