//! A group's outputs as one zip, as programs that nobody here wrote read it.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::client::{Answer, id, images};
use crate::support::pictures::{photo, plain_png, truncated};
use crate::support::service::{Home, Service};

fn run(program: &str, package: &str, arguments: &[&str], file: &Path) -> String {
    let mut command = Command::new(program);
    command.args(arguments).arg(file).stdin(Stdio::null());
    let output = command.output().unwrap_or_else(|_| panic!("cannot run {program}: apt-get install {package}"));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// What Python finds in an archive: its entries by name, as the SHA-256 of each; and its results.
fn opened(file: &Path) -> Value {
    let script = "import sys, json, zipfile, hashlib\n\
        archive = zipfile.ZipFile(sys.argv[1])\n\
        assert archive.testzip() is None\n\
        print(json.dumps({'names': archive.namelist(), 'results': json.loads(archive.read('results.json')),\n\
          'digests': [hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()]}))";
    serde_json::from_str(&run("python3", "python3", &["-c", script], file)).unwrap()
}

async fn fetched(service: &Service, path: &str) -> (Answer, tempfile::NamedTempFile) {
    let answer = service.get(path).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &answer.body).unwrap();
    (answer, file)
}

fn names(archive: &Value) -> Vec<&str> {
    archive["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

#[tokio::test]
async fn archive_holds_every_output_and_tells_of_failures() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve();
        let operations =
            json!([{"type": "thumbnail", "size": [90, 90]}, {"type": "info"}, {"type": "convert", "format": "png"}]);
        let pictures = [("cat.jpg", photo()), ("cut.jpg", truncated()), ("猫.png", plain_png(40, 30))];
        let status = service.done(images(pictures).text("operations", operations.to_string())).await;
        let path = status["links"]["archive"].as_str().unwrap();
        let (answer, file) = fetched(&service, path).await;
        assert_eq!(answer.header("content-type"), "application/zip");
        assert_eq!(
            answer.header("content-disposition"),
            format!("attachment; filename=\"pixmill-{}.zip\"", id(&status))
        );
        assert_eq!(answer.header("content-encoding"), "");
        let archive = opened(file.path());
        let expected =
            ["cat-0-thumbnail.jpg", "cat-2-convert.png", "猫-0-thumbnail.png", "猫-2-convert.png", "results.json"];
        assert_eq!(names(&archive), expected);

        let results = &archive["results"];
        assert_eq!(results["task_id"], status["task_id"]);
        assert_eq!(results["result"][1], status["result"][1], "failures too");
        assert_eq!(results["result"][1]["error"]["code"], "truncated-image");
        assert_eq!(results["result"][0]["outputs"][0]["file"], "cat-0-thumbnail.jpg");
        assert_eq!(results["result"][0]["outputs"][1], status["result"][0]["outputs"][1], "an answer has no file");
        assert_eq!(results["result"][2]["outputs"][2]["file"], "猫-2-convert.png");
        let kept =
            home.folder().join(status["result"][0]["paths"][0].as_str().unwrap().replacen("/files/", "outputs/", 1));
        let digest = run("sha256sum", "coreutils", &["--zero"], &kept);
        assert!(digest.starts_with(archive["digests"][0].as_str().unwrap()), "byte for byte");

        run("unzip", "unzip", &["-t"], file.path());
        let seeking = run("bsdtar", "libarchive-tools", &["-tf"], file.path());
        assert_eq!(seeking.lines().count(), 5);
        // As it comes: without the directory at its end.
        let streaming = Command::new("bsdtar")
            .args(["-xOf", "-"])
            .stdin(std::fs::File::open(file.path()).unwrap())
            .output()
            .unwrap();
        assert!(streaming.status.success(), "{}", String::from_utf8_lossy(&streaming.stderr));
        assert!(streaming.stdout.ends_with(b"]}\n"));

        let head = service.send("HEAD", path).await;
        assert_eq!((head.status, head.header("content-type"), head.body.len()), (200, "application/zip", 0));
    }
}

#[tokio::test]
async fn hostile_names_stay_inside_and_apart() {
    let home = Home::sqlite();
    let service = home.serve();
    let hostile = [
        "../../../etc/passwd",
        "..\\..\\x.png",
        "a.png",
        "A.png",
        "a.png",
        "con.x.png",
        "q:|<x>\tSet-Cookie: a=b.png",
        "..",
    ];
    let form = images(hostile.map(|name| (name, plain_png(8, 8))));
    let status = service.done(form.text("operations", r#"[{"type": "convert", "format": "png"}]"#)).await;
    let (answer, file) = fetched(&service, status["links"]["archive"].as_str().unwrap()).await;
    assert_eq!(answer.header("set-cookie"), "");
    let archive = opened(file.path());
    let names = names(&archive);
    assert_eq!(names.len(), hostile.len() + 1, "{names:?}");
    let lower: std::collections::HashSet<String> = names.iter().map(|name| name.to_lowercase()).collect();
    assert_eq!(lower.len(), names.len(), "{names:?}");
    for name in &names {
        let plain = |c: char| !c.is_control() && !"/\\:*?\"<>|".contains(c);
        assert!(name.chars().all(plain) && !name.starts_with('.'), "{name}");
    }
    assert!(names.contains(&"_con.x-0-convert.png"), "{names:?}");
    run("unzip", "unzip", &["-t"], file.path());
}

#[tokio::test]
async fn group_that_has_not_ended_is_archived_only_in_part() {
    for home in [Home::sqlite(), Home::redis()] {
        let service = home.serve_with(&["--no-workers"]);
        let accepted = service.upload(images([("a.png", plain_png(9, 9))])).await;
        let path = format!("/api/groups/{}/archive", id(&accepted));
        let problem = service.get(&path).await.problem();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(409), &json!("not-finished")));
        assert!(problem["detail"].as_str().unwrap().contains("partial=true"), "{problem}");
        let (_, file) = fetched(&service, &format!("{path}?partial=true")).await;
        let archive = opened(file.path());
        assert_eq!((names(&archive), &archive["results"]["result"]), (vec!["results.json"], &json!([])));
    }
}

#[tokio::test]
async fn unknown_group_has_no_archive() {
    let home = Home::sqlite();
    let service = home.serve_with(&["--no-workers"]);
    for group in ["0198c0de-0000-7000-8000-000000000000", "..%2f..%2fqueue.db"] {
        assert_eq!(service.get(&format!("/api/groups/{group}/archive")).await.problem()["code"], "not-found");
    }
}

#[tokio::test]
async fn file_that_is_gone_breaks_the_archive_off() {
    let home = Home::sqlite();
    let service = home.serve();
    let operations = json!([{"type": "convert", "format": "png"}, {"type": "convert", "format": "png"}]);
    let form = images([("a.jpg", photo())]).text("operations", operations.to_string());
    let status = service.done(form).await;
    let paths = status["result"][0]["paths"].as_array().unwrap();
    let file = |i: usize| home.folder().join(paths[i].as_str().unwrap().replacen("/files/", "outputs/", 1));
    let archive = status["links"]["archive"].as_str().unwrap();
    let whole = service.get(archive).await.body;
    std::fs::remove_file(file(1)).unwrap();
    let broken = service.request("GET", archive).send().await.unwrap();
    assert_eq!(broken.status(), 200, "its first file is larger than what is gathered");
    broken.bytes().await.unwrap_err();
    service.process.says("is broken off: a-1-convert.png is gone").await;
    assert!(whole.len() > 200_000);
    // What is missing from the start is told.
    std::fs::remove_file(file(0)).unwrap();
    let problem = service.get(archive).await.problem();
    assert_eq!((&problem["status"], &problem["code"]), (&json!(410), &json!("outputs-gone")));
}
