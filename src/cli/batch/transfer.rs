//! One upload's way: sent, waited for, its results fetched to where they stay.
//!
//! Each step is in the journal before the next begins. Whoever waits hears of each picture's end when it
//! is written down.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::{StreamExt, stream};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use super::client::{Rejected, StatusEntry, Uploaded};
use super::journal::{Sent, Upload};
use super::ledger::{self, Together};
use super::names::Names;
use super::picture::Origin;
use super::remote::{Ended, Remote};
use super::report::{Ending, Made};
use super::{Told, give_name, made_by, result_part, unwritable};
use crate::errors::Failure;

/// Pictures whose results are fetched at a time.
const FETCHED: usize = 4;
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LONGEST_LOOK: Duration = Duration::from_secs(2);
/// How often a key is tried that a request cut off may still hold.
const KEY_TRIES: u32 = 10;
const KEY_PAUSE: Duration = Duration::from_secs(1);

impl Remote<'_> {
    /// Writes an upload down and sees it through.
    pub(super) async fn upload(&self, pictures: Vec<Sent>, ended: UnboundedSender<Ended>) -> Result<()> {
        let pictures: Vec<Sent> =
            pictures.into_iter().enumerate().map(|(place, sent)| Sent { place, ..sent }).collect();
        let (key, operations, options) = (new_key(), self.operations.clone(), self.options.clone());
        let names = self.batch.names.clone();
        let id = self.journal.begin(&key, &operations, &options, &names, &pictures)?;
        self.process(Upload { id, key, operations, options, names, task: None, pictures }, ended).await
    }

    /// Takes an upload from wherever it is to its results.
    pub(super) async fn process(&self, mut upload: Upload, ended: UnboundedSender<Ended>) -> Result<()> {
        let task = match upload.task.take() {
            Some(task) => Some(task),
            None => self.send(&mut upload, &ended).await?,
        };
        let lost = |said: &str| Ending::Failed(Failure::transient("no-result", said));
        let results = match &task {
            Some(task) => self.finished(task).await?,
            None => Some(Vec::new()),
        };
        let Some(results) = results else {
            // So that the next try is a new upload.
            self.journal.close(upload.id)?;
            for sent in upload.pictures {
                let _ = ended.send((sent, lost("the server does not know the upload any more")));
            }
            return Ok(());
        };
        let mut results: Vec<Option<StatusEntry>> = results.into_iter().map(Some).collect();
        let wanted = Wanted {
            names: &upload.names,
            operations: serde_json::from_str(&upload.operations).context("the journal's operations cannot be read")?,
        };
        let wanted = &wanted;
        let pictures = upload.pictures.into_iter().map(|sent| {
            let entry = results.get_mut(sent.place).and_then(Option::take);
            (sent, entry)
        });
        let mut fetching = stream::iter(pictures.collect::<Vec<_>>())
            .map(async |(sent, entry)| {
                let ending = match entry {
                    Some(entry) => self.take(&sent, entry, wanted).await?,
                    None => lost("the server's answer leaves this picture out"),
                };
                anyhow::Ok((sent, ending))
            })
            .buffer_unordered(FETCHED);
        while let Some(fetched) = fetching.next().await {
            let (sent, ending) = fetched?;
            self.end(sent, ending, &ended)?;
        }
        self.journal.close(upload.id)
    }

    /// Uploads; none where not one picture was taken. Those refused have ended and are no longer part of it.
    async fn send(&self, upload: &mut Upload, ended: &UnboundedSender<Ended>) -> Result<Option<String>> {
        let mut tries = 0;
        let refuse_all = |upload: &mut Upload, failure: &Failure| {
            let all = std::mem::take(&mut upload.pictures).into_iter();
            all.map(|sent| (sent, Ending::Failed(failure.clone()))).collect::<Vec<Ended>>()
        };
        loop {
            let files: Vec<(&Path, &str)> =
                upload.pictures.iter().map(|sent| (sent.file.as_path(), sent.name.as_str())).collect();
            let (task, refused) =
                match self.server.upload(&upload.key, &files, &upload.operations, &upload.options).await? {
                    Uploaded::Accepted { task, rejected } => (Some(task), refuse(upload, rejected)),
                    Uploaded::Rejected(rejected) => (None, refuse(upload, rejected)),
                    Uploaded::TooLarge(said) => (None, refuse_all(upload, &Failure::permanent("too-large", said))),
                    Uploaded::Unreadable(said) => {
                        (None, refuse_all(upload, &Failure::transient("source-unreadable", said)))
                    }
                    Uploaded::KeyInUse if tries < KEY_TRIES => {
                        tries += 1;
                        tokio::time::sleep(KEY_PAUSE).await;
                        continue;
                    }
                    // A server that was killed while it received holds the key on; nothing came of that request.
                    Uploaded::KeyInUse => {
                        upload.key = new_key();
                        self.journal.rekey(upload.id, &upload.key)?;
                        tries = 0;
                        continue;
                    }
                };
            if let Some(task) = &task {
                for (place, sent) in upload.pictures.iter_mut().enumerate() {
                    sent.place = place;
                }
                let refused: Vec<(Uuid, Ending)> =
                    refused.iter().map(|(sent, ending)| (sent.id, ending.clone())).collect();
                self.journal.accepted(upload.id, task, &refused, &upload.pictures)?;
            }
            for (sent, ending) in refused {
                self.end(sent, ending, ended)?;
            }
            return Ok(task);
        }
    }

    /// Waits for the task's end; none where the server does not know it.
    async fn finished(&self, task: &str) -> Result<Option<Vec<StatusEntry>>> {
        let mut look = FIRST_LOOK;
        loop {
            let Some(status) = self.server.status(task).await? else { return Ok(None) };
            if status.status != "processing" {
                return Ok(Some(status.result));
            }
            tokio::time::sleep(look).await;
            look = (look * 3 / 2).min(LONGEST_LOOK);
        }
    }

    fn end(&self, sent: Sent, ending: Ending, ended: &UnboundedSender<Ended>) -> Result<()> {
        self.journal.ended(sent.id, &ending)?;
        if matches!(sent.picture.origin, Origin::Url(_)) {
            self.fetcher.forget(sent.id);
        }
        let _ = ended.send((sent, ending));
        Ok(())
    }

    /// Fetches a picture's results to where they stay: all of them, then what they are is written down, then they get their
    /// names.
    async fn take(&self, sent: &Sent, entry: StatusEntry, wanted: &Wanted<'_>) -> Result<Ending> {
        if !entry.success {
            let unknown = || Failure::permanent("internal", "the server does not say why");
            return Ok(Ending::Failed(entry.error.map_or_else(unknown, Failure::from)));
        }
        let mut fetched = Vec::with_capacity(entry.paths.len());
        for (i, (path, output)) in entry.paths.iter().zip(&entry.outputs).enumerate() {
            match self.fetch_result(sent, i, path.as_deref(), output, wanted).await? {
                Ok(result) => fetched.push(result),
                Err(failure) => {
                    forget(&fetched);
                    return Ok(Ending::Failed(failure));
                }
            }
        }
        // Another picture may have taken a name meanwhile.
        let mut together = Together::default();
        for Fetched { entry, .. } in &fetched {
            if let Err(failure) = self.ledger.may_write(&entry.path, &sent.picture, &mut together)? {
                forget(&fetched);
                return Ok(Ending::Failed(failure));
            }
        }
        if let Err(error) = self.ledger.note(fetched.iter().map(|fetched| &fetched.entry)) {
            forget(&fetched);
            return Err(error);
        }
        let mut outputs = Vec::with_capacity(fetched.len());
        for Fetched { part, made, .. } in fetched {
            if let Err(failure) = give_name(&part, &made.path) {
                return Ok(Ending::Failed(failure));
            }
            outputs.push(made);
        }
        Ok(Ending::Done { outputs, duration_ms: entry.duration_ms })
    }

    /// Fetches one result, or writes an answer, beside the name that it is to have.
    async fn fetch_result(
        &self,
        sent: &Sent,
        i: usize,
        path: Option<&str>,
        output: &Value,
        wanted: &Wanted<'_>,
    ) -> Result<Result<Fetched, Failure>> {
        let told = path.is_none().then(|| Told::of(i, wanted.operations[i]["name"].as_str(), output));
        let Some(file) = told.as_ref().map(|told| told.file.as_str()).or(path.and_then(file_name)) else {
            let detail = format!("the server names a result `{}`, which is no file name", path.unwrap_or_default());
            return Ok(Err(Failure::permanent("download", detail)));
        };
        let below = wanted.names.path(&sent.picture, file);
        let to = self.batch.out.join(&below);
        // Of its own, should another picture's result have the same name.
        let part = result_part(&to.with_file_name({
            let mut name = to.file_name().unwrap_or_default().to_owned();
            name.push(format!(".{}", sent.id.simple()));
            name
        }));
        if let Err(failure) = self.ledger.may_write(&below, &sent.picture, &mut Together::default())? {
            return Ok(Err(failure));
        }
        let fetched = match (&told, path) {
            (Some(told), _) => told.write(&part).map(|()| told.text.len() as u64),
            (None, path) => self.download(path.unwrap_or_default(), &part).await,
        };
        let hashed = fetched.and_then(|bytes| {
            let sha256 = ledger::digest_of(&part).map_err(|error| unwritable(&part, &error))?;
            Ok((bytes, sha256))
        });
        let (bytes, sha256) = match hashed {
            Ok(hashed) => hashed,
            Err(failure) => {
                let _ = fs::remove_file(&part);
                return Ok(Err(failure));
            }
        };
        let made = match told {
            Some(told) => told.made(to),
            None => made_by(to, file, bytes, output),
        };
        let source = ledger::source_of(&sent.picture);
        Ok(Ok(Fetched { entry: ledger::LedgerEntry { path: below, source, picture: sent.id, sha256 }, made, part }))
    }

    async fn download(&self, path: &str, part: &Path) -> Result<u64, Failure> {
        fs::create_dir_all(part.parent().unwrap_or(part)).map_err(|error| unwritable(part, &error))?;
        self.server.download(path, part).await.map_err(|error| match error.downcast_ref::<std::io::Error>() {
            Some(error) => unwritable(part, error),
            None => Failure::transient("download", format!("{error:#}")),
        })
    }
}

/// What an upload asks for.
struct Wanted<'u> {
    names: &'u Names,
    /// As they were sent.
    operations: Value,
}

/// A result that has no name yet.
struct Fetched {
    entry: ledger::LedgerEntry,
    made: Made,
    part: PathBuf,
}

/// Removes what was fetched and is not to stay.
fn forget(fetched: &[Fetched]) {
    for Fetched { part, .. } in fetched {
        let _ = fs::remove_file(part);
    }
}

fn new_key() -> String {
    format!("batch-{}", Uuid::now_v7())
}

/// Takes out of the upload what the server has rejected.
fn refuse(upload: &mut Upload, rejected: Vec<Rejected>) -> Vec<Ended> {
    let mut reasons: Vec<(usize, Failure)> =
        rejected.into_iter().map(|Rejected { index, error }| (index, error.into())).collect();
    let mut refused = Vec::new();
    let mut left = Vec::new();
    for (i, sent) in std::mem::take(&mut upload.pictures).into_iter().enumerate() {
        match reasons.iter().position(|(index, _)| *index == i) {
            Some(found) => refused.push((sent, Ending::Failed(reasons.swap_remove(found).1))),
            None => left.push(sent),
        }
    }
    upload.pictures = left;
    refused
}

/// The last part of a result's path, where it is a plain name: nobody writes outside `OUT`.
fn file_name(path: &str) -> Option<&str> {
    let path = path.split(['?', '#']).next()?;
    let name = path.rsplit('/').next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (!name.is_empty() && !name.starts_with('.') && name.chars().all(plain)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn results_stay_in_the_output_folder() {
        assert_eq!(file_name("/files/a/b/1/0-resize.jpg?sig=x/../y"), Some("0-resize.jpg"));
        for hostile in ["/files/..", "/files/", "/files/.ssh", "/files/a%2F..%2Fb", "/files/a\\b"] {
            assert_eq!(file_name(hostile), None, "{hostile}");
        }
    }
}
