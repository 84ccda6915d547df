//! What was acknowledged is on the disk: a power cut forgets whatever was written and not synced.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::support::client::{id, images};
use crate::support::pictures::plain_png;
use crate::support::service::Home;
use crate::support::until;

/// The paths below `folder` that were synced, as `strace` has noted them: a file that is still called
/// `<name>#<number>` by that name alone.
fn synced(trace: &Path, folder: &Path) -> BTreeSet<String> {
    let calls = std::fs::read_to_string(trace).unwrap();
    let paths = calls.lines().filter_map(|line| {
        let path = line.split_once('<')?.1.split_once('>')?.0.strip_prefix(folder.to_str()?)?.trim_start_matches('/');
        Some(path.split('#').next().unwrap_or_default().to_owned())
    });
    paths.collect()
}

#[tokio::test]
async fn originals_manifests_and_outputs_are_synced_with_the_folders_that_name_them() {
    let home = Home::sqlite().set("limits.ballast", "1000000");
    let folder = home.folder().canonicalize().unwrap();
    let trace = tempfile::NamedTempFile::new().unwrap();
    let service = home.serve();
    let ballast = folder.join("ballast");
    until("there is ballast", async || ballast.exists().then_some(())).await;
    let mut strace = Command::new("strace")
        .args(["-f", "-qq", "-y", "-e", "trace=fsync,fdatasync", "-o"])
        .arg(trace.path())
        .args(["-p", &service.process.id().as_raw_nonzero().to_string()])
        .spawn()
        .expect("cannot run strace: apt-get install strace");
    until("the service is watched", async || {
        let threads = std::fs::read_dir(format!("/proc/{}/task", service.process.id().as_raw_nonzero())).unwrap();
        let is_watched = |thread: std::fs::DirEntry| {
            // One that has ended meanwhile syncs nothing.
            let about = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
            !about.contains("TracerPid:\t0\n")
        };
        threads.filter_map(Result::ok).all(is_watched).then_some(())
    })
    .await;

    let accepted = service.upload(images([("a.png", plain_png(30, 30))])).await;
    let group = id(&accepted).to_owned();
    let acknowledged = synced(trace.path(), &folder);
    for path in [format!("uploads/{group}/0"), format!("outbox/{group}.json"), "queue.db-wal".into()] {
        assert!(acknowledged.contains(&path), "{path} was not synced before 202: {acknowledged:#?}");
    }

    let status = service.finished(&group).await;
    let published = synced(trace.path(), &folder);
    let outputs = status["result"][0]["paths"].as_array().unwrap();
    assert_eq!(outputs.len(), 3, "{status}");
    for output in outputs {
        let output = output.as_str().unwrap().replacen("/files/", "outputs/", 1);
        // The file, the folders of its run, its job and its group, and the one that names the group.
        for path in Path::new(&output).ancestors().take(5) {
            let path = path.to_str().unwrap();
            assert!(published.contains(path), "{path} was not synced before the picture was done: {published:#?}");
        }
    }

    std::fs::remove_file(&ballast).unwrap();
    until("there is ballast again", async || ballast.exists().then_some(())).await;
    assert!(synced(trace.path(), &folder).contains("ballast.making"), "the ballast has its room before its name");
    kill_process(rustix::process::Pid::from_child(&strace), Signal::INT).unwrap();
    strace.wait().unwrap();
}

#[test]
fn keys_are_synced_with_their_folder_and_so_is_their_end() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().canonicalize().unwrap();
    let traced = |arguments: &[&str]| {
        let trace = tempfile::NamedTempFile::new().unwrap();
        let ended = Command::new("strace")
            .args(["-f", "-qq", "-y", "-e", "trace=fsync,fdatasync", "-o"])
            .arg(trace.path())
            .args([env!("CARGO_BIN_EXE_pixmill"), "keys"])
            .args(arguments)
            .args(["--json", "--data-dir"])
            .arg(&folder)
            .output()
            .expect("cannot run strace: apt-get install strace");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        let answer: Value = serde_json::from_slice(&ended.stdout).unwrap();
        (synced(trace.path(), &folder), answer)
    };
    let (created, key) = traced(&["create", "--name", "shop"]);
    // Until it is synced, a key's file has a name that begins with a dot.
    assert!(created.iter().any(|path| path.starts_with("keys/.")), "{created:#?}");
    // The folder that names the file, and the one that names the folder.
    assert!(created.contains("keys") && created.contains(""), "{created:#?}");
    let (revoked, _) = traced(&["revoke", key["id"].as_str().unwrap()]);
    assert!(revoked.contains("keys"), "{revoked:#?}");
}
