//! A headless Chromium, driven by chromedriver over W3C `WebDriver`: no more of it than the tests need.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::PATIENCE;
use super::client::{Answer, Client};

/// One window of one browser, with a profile of its own; gone when dropped, with all that it has written.
pub struct Browser {
    /// Its profile, and the temporary files of driver and browser: both forget some.
    folder: PathBuf,
    driver: Child,
    client: Client,
    session: String,
}

impl Browser {
    /// As wide as a desk's window or a phone.
    pub async fn start(width: u32) -> Self {
        let folder = tempfile::tempdir().unwrap().keep();
        let mut driver = Command::new("chromedriver")
            .args(["--port=0", "--allowed-ips=127.0.0.1"])
            .env("TMPDIR", &folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the tests need chromedriver: scripts/test installs it");
        let said = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut ports = said.filter_map(|line| {
            let port: String = line.rsplit_once("on port ")?.1.chars().take_while(char::is_ascii_digit).collect();
            port.parse::<u16>().ok().filter(|port| *port != 0)
        });
        let port = ports.next().expect("chromedriver says its port");
        let client = Client::new(&format!("http://127.0.0.1:{port}"));
        // Metrics of a device: a headless window is never narrower than 500 pixels.
        let device = json!({"deviceMetrics": {"width": width, "height": 900, "pixelRatio": 1.0, "touch": false}});
        let profile = format!("--user-data-dir={}", folder.join("profile").display());
        let arguments = [
            "--headless=new",
            // Pages scroll smoothly otherwise, and a click misses what still moves.
            "--force-prefers-reduced-motion",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-breakpad",
            "--disable-component-update",
            "--disable-sync",
            profile.as_str(),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": arguments, "mobileEmulation": device},
        }}});
        let mut browser = Self { folder, driver, client, session: String::new() };
        let session = browser.ask("POST", "/session", &wanted).await;
        browser.session = format!("/session/{}", session["sessionId"].as_str().unwrap());
        browser
    }

    /// Where everything is that it writes, until it is dropped.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Lets scripts of the tests do on any page what its Content-Security-Policy forbids.
    pub async fn bypass_policies(&self) {
        let command = json!({"cmd": "Page.setBypassCSP", "params": {"enabled": true}});
        self.post("/goog/cdp/execute", &command).await;
    }

    /// Waits until the page is there.
    pub async fn open(&self, url: &str) {
        self.post("/url", &json!({"url": url})).await;
    }

    /// What a function's body returns.
    pub async fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": []})).await
    }

    /// A key, by its `WebDriver` code, to whatever has the focus.
    pub async fn press(&self, key: &str) {
        let actions = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        self.post("/actions", &json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]})).await;
    }

    pub async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        self.post(&format!("/element/{element}/click"), &json!({})).await;
    }

    /// Types into a field; into one for files, their paths, one a line.
    pub async fn fill(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.post(&format!("/element/{element}/value"), &json!({"text": text})).await;
    }

    /// What pages complained of since they were last asked: errors, refused loads.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.post("/se/log", &json!({"type": "browser"})).await;
        let entries = log.as_array().unwrap().iter().map(|entry| entry["message"].as_str().unwrap().to_owned());
        // No page of ours has an icon.
        entries.filter(|entry| !entry.contains("/favicon.ico")).collect()
    }

    async fn element(&self, selector: &str) -> String {
        let found = self.post("/element", &json!({"using": "css selector", "value": selector})).await;
        found.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned()
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", &format!("{}{path}", self.session), body).await
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = Answer::of(self.client.request(method, path).json(body)).await;
        let value = answer.json()["value"].take();
        assert_eq!(answer.status, 200, "{method} {path}: {value:#}");
        value
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser goes with its session, and not with its driver.
        if let Ok(mut stream) = TcpStream::connect(self.client.address()) {
            let request = format!("DELETE {} HTTP/1.1\r\nHost: localhost\r\n\r\n", self.session);
            // It answers when the browser is gone, and keeps the connection.
            let _ = stream.set_read_timeout(Some(PATIENCE));
            let _ = stream.write_all(request.as_bytes()).and_then(|()| stream.read(&mut [0; 512]));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        // A process of the browser may still be writing while the folder is removed.
        let deadline = Instant::now() + PATIENCE;
        while std::fs::remove_dir_all(&self.folder).is_err() && self.folder.exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
