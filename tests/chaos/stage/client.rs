//! A client that goes on uploading, and remembers what it was told.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::multipart::Form;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{LOOK, SMALL, Stage};
use crate::history::{History, What};
use crate::support::client::{Client, images};
use crate::support::pictures::{photo, plain_png};
use crate::support::until_within;

/// Groups that the client leaves open before it uploads the next.
const OPEN_GROUPS: usize = 2;
/// A request in all: longer than the service takes to give a broker up.
const REQUEST: Duration = Duration::from_secs(20);

/// The client at work, until it is dropped.
pub(super) struct Uploads {
    pub(super) stop: DropGuard,
    taken: Arc<AtomicUsize>,
    pub(super) task: JoinHandle<()>,
}

impl Stage {
    /// From now on a client uploads group after group, every second one of pictures that take their time.
    pub fn upload(&mut self) {
        let (stop, taken) = (CancellationToken::new(), Arc::default());
        let uploading = go_on_uploading(self.client(), self.history.clone(), Arc::clone(&taken), stop.clone());
        self.uploads = Some(Uploads { stop: stop.drop_guard(), taken, task: tokio::spawn(uploading) });
    }

    /// Waits until one more group of the client is acknowledged.
    pub async fn acknowledged(&self) {
        let taken = &self.uploads.as_ref().expect("a client uploads").taken;
        let before = taken.load(Ordering::SeqCst);
        until_within(self.pace.patience, "uploads are taken", async || {
            (taken.load(Ordering::SeqCst) > before).then_some(())
        })
        .await;
    }

    /// Uploads until that is refused.
    pub async fn refused(&self) {
        let client = self.client();
        until_within(self.pace.patience, "uploads are refused", async || {
            submit(&client, small(1), &self.history).await.is_none().then_some(())
        })
        .await;
    }

    /// Uploads one group of pictures whose outputs fit on no disk of `megabytes`, though each of them does; its id.
    pub async fn upload_too_large(&self, count: usize, megabytes: usize) -> String {
        // Three bytes a pixel, without compression.
        let side = (megabytes as f64 * 1e6 / 2.0 / 3.0).sqrt() as usize;
        let resize =
            |i: usize| json!({"type": "resize", "width": side - i, "height": side, "fit": "fill", "format": "bmp"});
        let operations = (0..3).map(resize).collect::<Value>().to_string();
        let form = pictures(count).text("operations", operations);
        submit(&self.client(), form, &self.history).await.expect("nothing refuses it yet")
    }

    /// Uploads one group of pictures that keep their worker busy: `count` of them, each with `outputs`. Answers its id.
    pub async fn upload_long(&self, count: usize, outputs: usize) -> String {
        submit(&self.client(), long(count, outputs), &self.history).await.expect("nothing refuses it yet")
    }
}

async fn go_on_uploading(client: Client, history: Arc<History>, taken: Arc<AtomicUsize>, stop: CancellationToken) {
    let mut open: VecDeque<String> = VecDeque::new();
    let mut number = 0;
    while !stop.is_cancelled() {
        tokio::time::sleep(LOOK).await;
        if let Some(group) = open.front().filter(|_| open.len() >= OPEN_GROUPS) {
            match status(&client, group).await {
                Ok(status) if status["status"] == "processing" => continue,
                Ok(_) => drop(open.pop_front()),
                // Nobody knows how the group stands: a client like this one uploads all the more.
                Err(_) => {}
            }
        }
        let form = if number % 2 == 0 { long(2, 1) } else { small(4) };
        if let Some(group) = submit(&client, form, &history).await {
            open.push_back(group);
            number += 1;
            taken.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Uploads once; the group, if it was acknowledged.
async fn submit(client: &Client, form: Form, history: &History) -> Option<String> {
    let answer = client.request("POST", "/api/upload").multipart(form).timeout(REQUEST).send().await;
    let status = answer.as_ref().ok().map(|answer| answer.status().as_u16());
    if status == Some(202)
        && let Ok(accepted) = answer.ok()?.json::<Value>().await
    {
        let group = accepted["task_id"].as_str().expect("an id").to_owned();
        let jobs = accepted["total_images"].as_u64().expect("a count") as usize;
        history.add(What::Acknowledged { group: group.clone(), jobs });
        return Some(group);
    }
    history.add(What::Refused { status });
    None
}

/// The status document; the HTTP status where there is none, or nothing where nobody answers.
pub(super) async fn status(client: &Client, group: &str) -> Result<Value, Option<u16>> {
    let request = client.request("GET", &format!("/api/task_status/{group}")).timeout(REQUEST);
    let answer = request.send().await.map_err(|_| None)?;
    if !answer.status().is_success() {
        return Err(Some(answer.status().as_u16()));
    }
    answer.json().await.map_err(|_| None)
}

/// Pictures that are done in milliseconds.
fn small(count: usize) -> Form {
    let names: Vec<String> = (0..count).map(|i| format!("{i}.png")).collect();
    let form = images(names.iter().map(|name| (name.as_str(), plain_png(120, 90))));
    form.text("operations", SMALL)
}

/// Pictures that each keep a core busy for a while.
fn long(count: usize, outputs: usize) -> Form {
    pictures(count).text("operations", long_operations(outputs))
}

fn pictures(count: usize) -> Form {
    let names: Vec<String> = (0..count).map(|i| format!("{i}.jpg")).collect();
    images(names.iter().map(|name| (name.as_str(), photo())))
}

/// Each takes some tenths of a second, and none can be made from another.
pub(super) fn long_operations(outputs: usize) -> String {
    let resize = |i: usize| json!({"type": "resize", "width": 1000 - i, "height": 700 - i, "format": "webp"});
    (0..outputs).map(resize).collect::<Value>().to_string()
}
