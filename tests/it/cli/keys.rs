//! `pixmill keys`.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use serde_json::{Value, json};

use super::{Desk, stderr};

fn text(desk: &Desk, line: &[&str]) -> String {
    let run = desk.run(line);
    assert!(run.status.success(), "{line:?}: {}", stderr(&run));
    String::from_utf8(run.stdout).unwrap()
}

fn document(desk: &Desk, line: &[&str]) -> Value {
    serde_json::from_str(&text(desk, &[line, &["--json"]].concat())).unwrap()
}

#[test]
fn key_is_printed_alone_and_once_and_kept_as_a_hash() {
    let desk = Desk::new();
    let run = desk.run(&["keys", "create", "--name", "shop", "--data-dir", "data"]);
    let key = String::from_utf8(run.stdout.clone()).unwrap();
    let secret = key.trim_end().strip_prefix("pxm_").expect("a scanner finds it");
    assert!(secret.len() == 43 && stderr(&run).contains("not shown again"), "{key} {}", stderr(&run));
    let files: Vec<_> = std::fs::read_dir(desk.path("data/keys")).unwrap().map(|file| file.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    let (kept, mode) = (std::fs::read_to_string(file).unwrap(), file.metadata().unwrap().permissions().mode());
    assert!(!kept.contains(secret) && mode & 0o777 == 0o600, "{kept} {mode:o}");
    let listed = document(&desk, &["keys", "list", "--data-dir", "data"]);
    assert_eq!((&listed[0]["name"], &listed[0]["scopes"]), (&json!("shop"), &json!(["read", "submit"])));
    assert!(!listed.to_string().contains(secret));
}

#[test]
fn key_that_root_creates_is_the_services() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("data")).unwrap();
    std::os::unix::fs::chown(desk.path("data"), Some(65_534), Some(65_534)).expect("run the tests as root");
    text(&desk, &["keys", "create", "--name", "shop", "--data-dir", "data"]);
    let file = std::fs::read_dir(desk.path("data/keys")).unwrap().next().unwrap().unwrap().path();
    for path in [desk.path("data/keys"), file] {
        assert_eq!(std::fs::metadata(&path).unwrap().uid(), 65_534, "{}", path.display());
    }
}

#[test]
fn keys_are_listed_with_where_they_are_from_and_how_they_stand() {
    let desk = Desk::new();
    let keys = format!("[auth]\nkeys = [{{ name = \"old\", sha256 = \"{}\" }}]", "ab".repeat(32));
    std::fs::write(desk.path("pixmill.toml"), keys).unwrap();
    let create = |more: &[&str]| document(&desk, &[&["keys", "create"], more].concat());
    let first = create(&["--name", "shop", "--expires", "90d", "--scopes", "read,admin"]);
    let second = create(&["--name", "shop", "--uploads-per-minute", "3"]);
    assert_ne!(first["key"], second["key"]);
    let list = |more: &[&str]| document(&desk, &[&["keys", "list", "--config", "pixmill.toml"], more].concat());
    let listed = list(&[]);
    let all: Vec<_> =
        listed.as_array().unwrap().iter().map(|key| (&key["name"], &key["from"], &key["state"])).collect();
    let (old, shop) = (json!("old"), json!("shop"));
    let (from, created, active) = (json!("auth.keys"), json!("created"), json!("active"));
    assert_eq!(all, [(&old, &from, &active), (&shop, &created, &active), (&shop, &created, &active)]);
    assert!(listed[1]["expires_at"].is_string() && listed[1]["scopes"] == json!(["read", "admin"]), "{listed}");
    assert_eq!(listed[2]["uploads_per_minute"], 3);

    let ambiguous = desk.run(&["keys", "revoke", "shop"]);
    assert!(ambiguous.status.code() == Some(2) && stderr(&ambiguous).contains(first["id"].as_str().unwrap()));
    let configured = desk.run(&["keys", "revoke", "old", "--config", "pixmill.toml"]);
    assert!(configured.status.code() == Some(1) && stderr(&configured).contains("auth.keys"));
    let revoked = document(&desk, &["keys", "revoke", first["id"].as_str().unwrap()]);
    assert_eq!(revoked, json!([{"id": first["id"], "name": "shop", "revoked": true}]));
    assert_eq!(list(&[]).as_array().unwrap().len(), 2);
    assert_eq!(list(&["--all"])[1]["state"], "revoked");
    assert!(text(&desk, &["keys", "revoke", "shop"]).contains("is revoked"));
    let gone = desk.run(&["keys", "revoke", "shop", "--json"]);
    let told: Value = serde_json::from_slice(&gone.stdout).unwrap();
    assert_eq!((gone.status.code(), told), (Some(1), json!([{"asked": "shop", "revoked": false}])));
}

#[test]
fn damaged_file_keeps_no_key_from_being_listed_and_revoked() {
    let desk = Desk::new();
    let key = document(&desk, &["keys", "create", "--name", "shop"]);
    let id = key["id"].as_str().unwrap();
    std::fs::write(desk.path("pixmill-data/keys/0123456789abcdef.json"), "{").unwrap();
    for (line, said) in [(&["keys", "list"][..], id), (&["keys", "revoke", "shop"], "is revoked")] {
        let run = desk.run(line);
        assert!(run.status.success() && String::from_utf8_lossy(&run.stdout).contains(said), "{}", stderr(&run));
        assert!(stderr(&run).contains("0123456789abcdef.json is not taken for an API key: "), "{}", stderr(&run));
    }
    assert_eq!(document(&desk, &["keys", "list", "--all"])[0]["state"], "revoked");
}

#[test]
fn wrong_calls_say_what_would_be_right() {
    let desk = Desk::new();
    for (more, said) in [
        (&["--name", ""][..], "1 to 64 characters"),
        (&["--name", "a", "--scopes", "write"], "admin"),
        (&["--name", "a", "--expires", "soon"], "90d"),
        (&[], "--name"),
    ] {
        let run = desk.run(&[&["keys", "create"], more].concat());
        assert!(run.status.code() == Some(2) && stderr(&run).contains(said), "{more:?}: {}", stderr(&run));
    }
    let nowhere = desk.run(&["keys", "list", "--data-dir", "nowhere"]);
    assert!(nowhere.status.code() == Some(1) && stderr(&nowhere).contains("data_dir"), "{}", stderr(&nowhere));
}
