//! Clients that nobody here wrote, and the programs of the documents: each run as it stands against a real service.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::client::{Answer, Client, id, images};
use crate::support::pictures::{photo, plain_png, truncated};
use crate::support::service::{Home, Service};
use crate::support::until;

const CLIENTS: &str = include_str!("../../../../docs/clients.md");
const TUTORIAL: &str = include_str!("../../../../docs/tutorial.md");
const PAGE: &str = include_str!("../../../../examples/upload.html");
/// A key, and the configuration of who wants it.
const KEY: &str = "sesame";
const KEYS: &str = "[auth]\nkeys = [{ name = \"shop\", \
                    sha256 = \"d0c04f4b1951e4aeaaec8223ed2039e542f3aae805a6fa7f6d794e5afff5d272\" }]\n";

/// What scripts/clients installed.
fn installed(path: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_pixmill")).ancestors().nth(2).unwrap();
    let path = target.join("clients").join(path);
    assert!(path.exists(), "the tests need {}: run scripts/clients", path.display());
    path
}

fn python() -> PathBuf {
    installed("python/bin/python")
}

/// The programs of a document, by the names in their first lines.
fn programs(document: &str) -> BTreeMap<String, String> {
    let blocks = document.split("\n```").skip(1).step_by(2);
    let programs = blocks.map(|block| {
        let (_language, program) = block.split_once('\n').unwrap();
        let first = program.lines().next().unwrap();
        let name = first.trim_start_matches(['#', '/', ' ']).to_owned();
        (name, format!("{program}\n"))
    });
    programs.collect()
}

/// A folder with pictures, and a service that wants a key.
struct Bench {
    _home: Home,
    service: Service,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with(&[("cat.jpg", photo()), ("dog.png", plain_png(900, 400))])
    }

    fn with(pictures: &[(&str, Vec<u8>)]) -> Self {
        let (home, folder) = (Home::sqlite(), tempfile::tempdir().unwrap());
        let settings = folder.path().join("pixmill.toml");
        std::fs::write(&settings, KEYS).unwrap();
        for (name, bytes) in pictures {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        let service = home.serve_with(&["--config", settings.to_str().unwrap()]);
        Self { _home: home, service, folder }
    }

    /// Runs `program`, saved under `name`, by `interpreter`; what it printed.
    fn run(&self, interpreter: &Path, name: &str, program: &str) -> String {
        let output = self.output(interpreter, name, program, KEY);
        let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{name}: {said}\n{complained}");
        said.into_owned()
    }

    /// As [`run`](Self::run), with a key, for a program that has to fail; what it complained of.
    fn fails(&self, interpreter: &Path, name: &str, program: &str, key: &str) -> String {
        let output = self.output(interpreter, name, program, key);
        assert!(!output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn output(&self, interpreter: &Path, name: &str, program: &str, key: &str) -> Output {
        std::fs::write(self.folder.path().join(name), program).unwrap();
        Command::new(interpreter)
            .arg(name)
            .current_dir(self.folder.path())
            .env("PIXMILL", format!("http://{}", self.service.address()))
            .env("PIXMILL_API_KEY", key)
            .env("NODE_MODULES", installed("node/node_modules"))
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}; scripts/clients installs it", interpreter.display()))
    }

    fn size(&self, name: &str) -> (u32, u32) {
        let bytes = std::fs::read(self.folder.path().join(name)).unwrap();
        let header = imaging::probe(std::io::Cursor::new(bytes), &imaging::Limits::default());
        header.map(|header| (header.width, header.height)).unwrap()
    }

    /// Runs a program of docs/clients.md: once with good pictures, once with a broken one among them.
    fn run_documented(interpreter: &Path, name: &str) {
        let program = &programs(CLIENTS)[name];
        let bench = Self::new();
        let said = bench.run(interpreter, name, program);
        assert_eq!(said.lines().collect::<Vec<_>>(), ["cat.jpg.webp", "dog.png.webp"]);
        assert_eq!((bench.size("cat.jpg.webp"), bench.size("dog.png.webp")), ((300, 225), (300, 133)));

        let bench = Self::with(&[("cat.jpg", truncated()), ("dog.png", plain_png(900, 400))]);
        let said = bench.run(interpreter, name, program);
        assert!(said.contains("cat.jpg: ") && said.contains("dog.png.webp"), "{said}");

        // What the server says of an error is what the program says.
        let said = bench.fails(interpreter, name, program, "pxm_wrong");
        assert!(said.contains("unauthorized: This API key is not known."), "{said}");
        let bench = Self::with(&[("cat.jpg", b"no picture".to_vec()), ("dog.png", Vec::new())]);
        let said = bench.fails(interpreter, name, program, KEY);
        for words in ["images-rejected: None of the 2 pictures", "cat.jpg: not a picture", "dog.png: "] {
            assert!(said.contains(words), "{words} is not in {said}");
        }
    }
}

#[test]
fn every_program_in_the_documents_is_run() {
    let known = |document| programs(document).into_keys().collect::<Vec<_>>();
    assert_eq!(known(CLIENTS), ["<!doctype html>", "upload.mjs", "upload.py", "upload.sh"]);
    assert_eq!(known(TUTORIAL), ["tutorial.py"]);
    assert_eq!(programs(CLIENTS)["<!doctype html>"], PAGE, "docs/clients.md shows examples/upload.html");
}

#[tokio::test]
async fn documented_curl_commands_do_what_they_say() {
    Bench::run_documented(Path::new("sh"), "upload.sh");
}

#[tokio::test]
async fn documented_python_does_what_it_says() {
    Bench::run_documented(&python(), "upload.py");
}

#[tokio::test]
async fn documented_javascript_does_what_it_says() {
    Bench::run_documented(Path::new("node"), "upload.mjs");
}

/// Whoever wrote it had never heard of 202, of keys or of a second state.
#[tokio::test]
async fn client_of_the_tutorial_works_unchanged() {
    let home = Home::sqlite();
    let service = home.serve();
    let bench = Bench { _home: home, service, ..Bench::new() };
    let said = bench.run(&python(), "tutorial.py", &programs(TUTORIAL)["tutorial.py"]);
    assert_eq!(said.lines().collect::<Vec<_>>(), ["uploaded 2", "completed", "True 3", "True 3"]);
}

#[tokio::test]
async fn httpx_uploads_over_one_connection_and_as_a_stream() {
    let said = Bench::new().run(&python(), "httpx_client.py", include_str!("httpx_client.py"));
    assert_eq!(said, "completed 2\ncompleted 1\n415 unsupported-format\n");
}

#[tokio::test]
async fn undici_uploads_with_its_own_forms_and_as_a_stream() {
    let said = Bench::new().run(Path::new("node"), "undici_client.mjs", include_str!("undici_client.mjs"));
    assert_eq!(said, "completed 2\ncompleted 1\n415 unsupported-format\n");
}

/// curl in the ways of curl: asking first, chunked from a pipe, escaped names, HTTP/1.0, HTTP/2 without asking.
#[tokio::test]
async fn curl_is_understood_in_all_its_ways() {
    let bench = Bench::new();
    let said = bench.run(Path::new("sh"), "curl_client.sh", include_str!("curl_client.sh"));
    assert_eq!(
        said,
        "asking first: 202\nfrom a pipe: 202\nchunked: 202\nHTTP/1.0: 202\nHTTP/2: 202\nhostile name: a\"b;c.png\n\
         unknown field: 400 unknown-field\n"
    );
}

/// The site of the examples, which adds the key; gone when dropped.
struct Site(Child, String);

impl Site {
    fn before(service: &Client) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/site.mjs");
        let mut site = Command::new("node")
            .arg(script)
            .env("PIXMILL", format!("http://{}", service.address()))
            .env("PIXMILL_API_KEY", KEY)
            .env("PORT", "0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the tests need node: scripts/clients installs it");
        let mut line = String::new();
        BufReader::new(site.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self(site, line.trim().to_owned())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn form_in_a_browser_shows_progress_and_results() {
    let bench = Bench::with(&[("cat.jpg", photo()), ("dog.png", plain_png(900, 400)), ("not.png", b"no".to_vec())]);
    let Site(_, url) = &Site::before(&bench.service);
    let browser = Browser::start(390).await;
    browser.open(url).await;
    // Every value that the bar has had.
    browser
        .run(
            "window.seen = []; const bar = document.getElementById('bar');
             const value = Object.getOwnPropertyDescriptor(HTMLProgressElement.prototype, 'value');
             Object.defineProperty(bar, 'value', {get() { return value.get.call(bar); },
               set(share) { seen.push(share); value.set.call(bar, share); }});",
        )
        .await;
    let path = |name: &str| bench.folder.path().join(name).to_str().unwrap().to_owned();
    browser.fill("input[type=file]", &["cat.jpg", "dog.png", "not.png"].map(path).join("\n")).await;
    browser.click("button").await;
    until("the page says that it is done", async || {
        let said = browser.run("return document.getElementById('said').textContent;").await;
        (said == "Done: 2 of 2 pictures.").then_some(())
    })
    .await;
    let loaded = "return [...document.images].every(image => image.complete) &&
        [...document.images].map(image => [image.naturalWidth, image.naturalHeight]);";
    let sizes = until("the results are loaded", async || Some(browser.run(loaded).await).filter(Value::is_array)).await;
    assert_eq!(sizes, json!([[300, 225], [300, 133]]));
    let captions = "return [...document.querySelectorAll('figcaption')].map(one => one.textContent);";
    let captions = browser.run(captions).await;
    assert_eq!((&captions[0], &captions[1]), (&json!("cat.jpg"), &json!("dog.png")), "{captions}");
    assert!(captions[2].as_str().unwrap().starts_with("not.png: not a picture"), "{captions}");
    let seen = browser.run("return seen;").await;
    let seen: Vec<f64> = seen.as_array().unwrap().iter().map(|share| share.as_f64().unwrap()).collect();
    assert!(seen.len() >= 2 && seen.iter().all(|share| (0.0..=1.0).contains(share)), "{seen:?}");
    assert_eq!(seen.last(), Some(&1.0));

    // A refusal is told in the server's words.
    browser.open(url).await;
    browser.fill("input[type=file]", &path("not.png")).await;
    browser.click("button").await;
    until("the page says why not", async || {
        let said = browser.run("return document.getElementById('said').textContent;").await;
        said.as_str().is_some_and(|said| said.contains("not a picture")).then_some(())
    })
    .await;
}

/// As a page sends it that has no script at all.
#[tokio::test]
async fn plain_form_of_a_browser_is_taken() {
    let home = Home::sqlite();
    let service = home.serve();
    let bench = Bench { _home: home, service, ..Bench::new() };
    let browser = Browser::start(1280).await;
    // The address of a page of the service's own: a form from anywhere else would be refused for its origin.
    let page = format!("http://{}/healthz", bench.service.address());
    browser.open(&page).await;
    let write = "document.body.innerHTML = `<form action='/api/upload' method='post' enctype='multipart/form-data'>
        <input type='file' name='images' multiple><input type='file' name='images'>
        <textarea name='operations'>[{\"type\": \"resize\", \"width\": 30, \"height\": 20}]</textarea><button>Go</button></form>`;";
    browser.run(write).await;
    let hostile = bench.folder.path().join("a\"b\\c;d.png");
    std::fs::write(&hostile, plain_png(9, 9)).unwrap();
    let cat = bench.folder.path().join("cat.jpg");
    browser.fill("input[type=file]", &format!("{}\n{}", cat.display(), hostile.display())).await;
    browser.click("button").await;
    let accepted = until("the answer is there", async || {
        let text = browser.run("return document.body.innerText;").await;
        serde_json::from_str::<Value>(text.as_str().unwrap()).ok().filter(|json| json["task_id"].is_string())
    })
    .await;
    assert_eq!((&accepted["total_images"], &accepted["rejected"]), (&json!(2), &json!([])), "{accepted}");
    let status = bench.service.finished(accepted["task_id"].as_str().unwrap()).await;
    assert_eq!(status["result"][0]["outputs"][0]["width"], 30, "{status}");
    // The part behind a backslash is a name's last on some systems.
    assert_eq!((&status["result"][0]["image"], &status["result"][1]["image"]), (&json!("cat.jpg"), &json!("c;d.png")));
}

/// Logged in by the form, as whoever looks after a service is.
#[tokio::test]
async fn event_source_of_a_browser_that_is_logged_in_follows_a_group_to_its_end() {
    let home = Home::sqlite();
    let key = home.key(&["--name", "shop"]).await;
    let key = key["key"].as_str().unwrap();
    let service = home.serve_with(&["--no-workers"]);
    let form = images([("a.png", plain_png(40, 30)), ("b.png", plain_png(30, 40))]);
    let accepted = Answer::of(service.request("POST", "/api/upload").bearer_auth(key).multipart(form)).await.json();
    let group = id(&accepted);
    let site = format!("http://{}", service.address());
    let follow = format!(
        "window.seen = []; window.stream = new EventSource('/api/groups/{group}/events');
         for (const name of ['status', 'progress', 'finished', 'error']) stream.addEventListener(name, event =>
           seen.push([name, name == 'error' ? null : JSON.parse(event.data).status]));"
    );
    let seen = "return [stream.readyState, seen];";
    let browser = Browser::start(1280).await;
    // The service has no page with a script; the answers of its API forbid everything.
    browser.bypass_policies().await;

    // Without a login it is refused, and a browser does not ask again then.
    browser.open(&format!("{site}/healthz")).await;
    browser.run(&follow).await;
    let refused =
        until("the stream is closed", async || Some(browser.run(seen).await).filter(|seen| seen[0] == 2)).await;
    assert_eq!(refused[1], json!([["error", null]]));

    browser.open(&format!("{site}/login")).await;
    browser.fill("#key", key).await;
    browser.click("button").await;
    until("the page knows the key", async || {
        let said = browser.run("return document.body.innerText;").await;
        said.as_str().is_some_and(|said| said.contains("Logged in as shop")).then_some(())
    })
    .await;
    browser.open(&format!("{site}/healthz")).await;
    browser.run(&follow).await;
    let first =
        until("it says how things stand", async || Some(browser.run(seen).await).filter(|seen| seen[1] != json!([])))
            .await;
    assert_eq!(first, json!([1, [["status", "processing"]]]));
    let _worker = home.worker().await;
    let ended = until("the stream is closed", async || Some(browser.run(seen).await).filter(|seen| seen[0] == 2)).await;
    let ended = ended[1].as_array().unwrap();
    let finished = ended.iter().position(|event| event[0] == "finished").expect("it is told of the end");
    assert_eq!(ended[finished], json!(["finished", "completed"]));
    assert!(ended[1..finished].iter().all(|event| event[0] == "progress"), "{ended:?}");
    // The stream's end, and the answer 204 to asking again.
    assert!(ended[finished + 1..].iter().all(|event| event[0] == "error"), "{ended:?}");
}
