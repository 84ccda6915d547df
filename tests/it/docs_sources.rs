//! The commands of docs/sources.md, run as they stand there.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::origin::{Origin, Reply};
use crate::support::pictures::plain_png;
use crate::support::service::Home;

const PAGE: &str = include_str!("../../docs/sources.md");

/// What stands between fences of this kind.
fn blocks(kind: &str) -> Vec<String> {
    let fence = format!("```{kind}\n");
    PAGE.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_the_page_do_what_it_says() {
    let home = Home::sqlite();
    let share = home.folder().join("share");
    fs::create_dir_all(share.join("incoming")).unwrap();
    for name in ["a", "b", "c"] {
        fs::write(share.join(format!("incoming/{name}.png")), plain_png(30, 20)).unwrap();
    }
    fs::write(home.folder().join("cat.png"), plain_png(30, 20)).unwrap();
    let origin = Origin::start(|_, _| Reply::picture(plain_png(30, 20))).await;
    let pictures = format!("127.0.0.1:{}", origin.port());
    let settings = blocks("toml").remove(0).replace("SHARE", share.to_str().unwrap()).replace("PICTURES", &pictures);
    let file = home.folder().join("settings.toml");
    fs::write(&file, settings).unwrap();
    let service = home.serve_with(&["--config", file.to_str().unwrap()]);
    let server = format!("http://{}", service.address());
    let mut answers = Vec::new();
    for block in blocks("sh") {
        let run = Command::new("bash")
            .args(["-ec", &block.replace("\ncurl", "; echo; curl")])
            .envs([("SERVER", &server), ("PICTURES", &pictures)])
            .current_dir(home.folder())
            .output()
            .unwrap();
        assert!(run.status.success(), "{block}\n{run:?}");
        let told = String::from_utf8(run.stdout).unwrap();
        for line in told.lines().filter(|line| !line.is_empty()) {
            answers.push(serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}")));
        }
    }
    let totals: Vec<&Value> = answers.iter().map(|answer| &answer["total_images"]).collect();
    assert_eq!(totals, [1, 1, 3, 1, 1], "{answers:?}");
    assert_eq!(answers[1]["rejected"][0]["error"]["code"], "source-forbidden");
    assert!(answers[4]["links"]["then"].is_string(), "{}", answers[4]);
    for answer in &answers {
        let status = service.finished(answer["task_id"].as_str().unwrap()).await;
        assert_eq!(status["status"], "completed", "{status}");
    }
}
