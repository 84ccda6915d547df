//! A batch on a server: uploads in small groups, results fetched into the same names.
//!
//! Two groups are under way at a time, so that the server works on one while the other is
//! uploaded or fetched. There is no journal: a picture whose results are all there and newer than
//! it is passed over.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use futures::{StreamExt, stream};
use url::Url;

use super::client::{Entry, Rejected, Server, Uploaded};
use super::report::{Ending, Made, Report};
use super::sources::Picture;
use super::{Batch, result_path, stem, told};
use crate::imaging::Format;
use crate::imaging::operation::Action;
use crate::job::Failure;

/// Pictures in one upload: far below the server's limits, and few to repeat when one is cut off.
const GROUP: usize = 20;
/// Groups under way.
const AT_ONCE: usize = 2;
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LONGEST_LOOK: Duration = Duration::from_secs(2);

pub(super) async fn run(batch: &Batch, url: &Url, key: Option<&str>, report: &mut Report) -> Result<()> {
    let server = Server::new(url, key, batch.stop.clone())?;
    let operations = serde_json::to_string(&batch.operations)?;
    let mut wanted = Vec::new();
    for picture in &batch.pictures {
        match already_there(batch, picture) {
            Some(outputs) => report.ended(&batch.name(picture), Ending::AlreadyDone { outputs }),
            None => wanted.push(picture),
        }
    }
    let groups = wanted.chunks(GROUP).take_while(|_| !batch.stop.is_cancelled());
    let mut under_way = stream::iter(groups)
        .map(async |group| Ok::<_, anyhow::Error>((group, process(batch, &server, group, &operations).await?)))
        .buffer_unordered(AT_ONCE);
    let mut told = false;
    loop {
        let next = tokio::select! {
            next = under_way.next() => next,
            () = batch.stop.cancelled(), if !told => {
                told = true;
                report.say("finishing the uploads under way; Ctrl-C again ends at once");
                continue;
            }
        };
        let Some(group) = next else { return Ok(()) };
        let (pictures, endings) = group?;
        for (picture, ending) in pictures.iter().zip(endings) {
            report.ended(&batch.name(picture), ending);
        }
    }
}

/// Takes one group from upload to results; one ending a picture.
async fn process(batch: &Batch, server: &Server, group: &[&Picture], operations: &str) -> Result<Vec<Ending>> {
    let mut endings: Vec<Option<Ending>> = group.iter().map(|picture| unreadable(&picture.file)).collect();
    // Indexes of the pictures that are uploaded, by their place in the upload.
    let sent: Vec<usize> = (0..group.len()).filter(|&i| endings[i].is_none()).collect();
    if !sent.is_empty() {
        let files: Vec<(&Path, String)> =
            sent.iter().map(|&i| (group[i].file.as_path(), batch.name(group[i]))).collect();
        match server.upload(&files, operations, batch.lenient).await? {
            Uploaded::Rejected(rejected) => refuse(&mut endings, &sent, rejected),
            Uploaded::TooLarge(said) => {
                for &i in &sent {
                    endings[i] = Some(Ending::Failed(Failure::permanent("too-large", said.clone())));
                }
            }
            Uploaded::Accepted { task, rejected } => {
                refuse(&mut endings, &sent, rejected);
                let accepted: Vec<usize> = sent.into_iter().filter(|&i| endings[i].is_none()).collect();
                let results = finished(server, &task).await?;
                // The results stand in the upload's order, without what was rejected.
                for (i, entry) in accepted.into_iter().zip(results) {
                    endings[i] = Some(fetch(batch, server, group[i], entry).await);
                }
            }
        }
    }
    let lost = || Ending::Failed(Failure::transient("no-result", "the server's answer leaves this picture out"));
    Ok(endings.into_iter().map(|ending| ending.unwrap_or_else(lost)).collect())
}

fn refuse(endings: &mut [Option<Ending>], sent: &[usize], rejected: Vec<Rejected>) {
    for Rejected { index, error } in rejected {
        if let Some(&i) = sent.get(index) {
            endings[i] = Some(Ending::Failed(error.into()));
        }
    }
}

/// Waits for the group's end.
async fn finished(server: &Server, task: &str) -> Result<Vec<Entry>> {
    let mut look = FIRST_LOOK;
    loop {
        let status = server.status(task).await?;
        if status.status != "processing" {
            return Ok(status.result);
        }
        tokio::time::sleep(look).await;
        look = (look * 3 / 2).min(LONGEST_LOOK);
    }
}

async fn fetch(batch: &Batch, server: &Server, picture: &Picture, entry: Entry) -> Ending {
    if !entry.success {
        let unknown = || Failure::permanent("internal", "the server does not say why");
        return Ending::Failed(entry.error.map_or_else(unknown, Failure::from));
    }
    let mut outputs = Vec::with_capacity(entry.paths.len());
    for (i, (path, output)) in entry.paths.iter().zip(entry.outputs).enumerate() {
        let Some(path) = path else {
            match told(&batch.out, picture, i, &output) {
                Ok(made) => outputs.push(made),
                Err((path, error)) => {
                    let detail = format!("{} cannot be made: {error}", path.display());
                    return Ending::Failed(Failure::transient("storage", detail));
                }
            }
            continue;
        };
        let Some(file) = file_name(path) else {
            let detail = format!("the server names a result `{path}`, which is no file name");
            return Ending::Failed(Failure::permanent("download", detail));
        };
        let to = result_path(&batch.out, picture, file);
        let made = match fs::create_dir_all(to.parent().unwrap_or(&to)) {
            Ok(()) => server.download(path, &to).await,
            Err(error) => Err(error.into()),
        };
        match made {
            Ok(bytes) => {
                let number = |name: &str| output[name].as_u64().and_then(|number| u32::try_from(number).ok());
                let kind = output["type"].as_str().unwrap_or_default().to_owned();
                let warnings = output["warnings"].as_array().map(Vec::as_slice).unwrap_or_default();
                let warnings = warnings.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect();
                outputs.push(Made {
                    path: to,
                    kind,
                    width: number("width"),
                    height: number("height"),
                    frames: number("frames"),
                    duration_ms: output["duration_ms"].as_u64(),
                    bytes,
                    warnings,
                });
            }
            Err(error) => return Ending::Failed(Failure::transient("download", format!("{error:#}"))),
        }
    }
    Ending::Done { outputs, duration_ms: entry.duration_ms }
}

/// The last part of a result's path, where it is a plain name: nobody writes outside `OUT`.
fn file_name(path: &str) -> Option<&str> {
    let path = path.split(['?', '#']).next()?;
    let name = path.rsplit('/').next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (!name.is_empty() && !name.starts_with('.') && name.chars().all(plain)).then_some(name)
}

fn unreadable(file: &Path) -> Option<Ending> {
    let error = fs::File::open(file).err()?;
    Some(Ending::Failed(Failure::permanent("source-unreadable", error.to_string())))
}

/// The picture's results, if all are there and newer than it.
fn already_there(batch: &Batch, picture: &Picture) -> Option<Vec<Made>> {
    let changed = fs::metadata(&picture.file).and_then(|meta| meta.modified()).ok()?;
    let there = |(i, operation)| there(batch, picture, i, operation, changed);
    batch.operations.iter().enumerate().map(there).collect()
}

fn there(
    batch: &Batch,
    picture: &Picture,
    i: usize,
    operation: &crate::imaging::Operation,
    changed: SystemTime,
) -> Option<Made> {
    // Where no format is asked for, the source's decides, and only the server has looked at it.
    let extensions = match (&operation.action, operation.save.format) {
        (Action::Info(_), _) => vec!["json"],
        (_, Some(format)) => vec![format.extension()],
        (_, None) => [Format::Jpeg, Format::Png, Format::WebP].map(Format::extension).to_vec(),
    };
    extensions.into_iter().find_map(|extension| {
        let path = result_path(&batch.out, picture, &format!("{i}-{}.{extension}", stem(operation)));
        let meta = fs::metadata(&path).ok().filter(|meta| meta.modified().is_ok_and(|at| at >= changed))?;
        Some(Made { path, kind: operation.kind().into(), bytes: meta.len(), ..Made::default() })
    })
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
