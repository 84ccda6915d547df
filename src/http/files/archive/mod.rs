//! `GET /api/groups/{id}/archive`: a group's outputs as one zip, streamed while it is made.
//!
//! Only a buffer and the archive's directory are in memory, some 100 bytes for each file. Any failure midway, also a
//! missing file, breaks the answer off, so that nobody takes a part for the whole. `results.json` is the last entry:
//! the status of each picture, also of failed ones, with the names of its files in the archive.

mod names;
mod zip;

use std::future::ready;
use std::io;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use queue::{Broker, Group, GroupId, State as JobState};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use tokio::sync::mpsc;
use tracing::warn;

use super::file::erased;
use crate::http::Services;
use crate::http::access::Caller;
use crate::http::access::links::{self, Signer};
use crate::http::base::Base;
use crate::http::groups::{self, Picture, PictureEntry};
use crate::http::operation::{Operation, flag};
use crate::http::problem::Problem;
use crate::http::request::{Flag, QueryOf, UrlPath, query};
use crate::kinds::Output;
use crate::maintenance::erasure;
use crate::storage::{self, Storage, output_key};
use crate::submission::Meta;
use crate::submission::outbox::{self, Owed};

use names::Names;
use zip::Zip;

/// Bytes that are sent together.
const PIECE: usize = 64 << 10;
/// Results read at a time.
const PAGE: usize = 1_000;
const RESULTS: &str = "results.json";
/// Most bytes of one picture's entry in `results.json`.
const MOST_TOLD: u64 = 80 << 10;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Wish {
    /// The outputs so far, of a group that has not ended.
    #[serde(default)]
    partial: Flag,
    // The guard reads these two.
    #[serde(rename = "expires")]
    _expires: Option<IgnoredAny>,
    #[serde(rename = "signature")]
    _signature: Option<IgnoredAny>,
}

/// A reason to break an archive off.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{0} is gone, or not what it was")]
    Gone(String),
    #[error(transparent)]
    Storage(#[from] storage::Error),
    #[error(transparent)]
    Queue(#[from] queue::Error),
    #[error(transparent)]
    Read(#[from] io::Error),
    /// Not an error of this service.
    #[error("its client is gone")]
    Unwanted,
}

/// What the writer sends: bytes, and `None` when the archive is whole.
type Piece = Option<Bytes>;

pub(in crate::http) async fn archive(
    State(services): State<Arc<Services>>,
    caller: Option<Extension<Caller>>,
    UrlPath(id): UrlPath<String>,
    wish: QueryOf<Wish>,
) -> Result<Response, Problem> {
    let Wish { partial, .. } = query(wish)?;
    let group: GroupId = groups::parsed(&id)?;
    let unfinished = || {
        let detail = "The group has not ended; `?partial=true` gives what there is so far.";
        Problem::new(StatusCode::CONFLICT, "not-finished", detail)
    };
    // A request with a signed link has no caller. Somebody who may see the group made the link.
    let sees = |meta: &Meta| caller.is_none_or(|Extension(caller)| caller.sees(meta));
    let Some(found) = services.broker.group(group).await? else {
        return Err(match outbox::read(&services.storage, group).await? {
            Some(Owed::Work(manifest)) if sees(&manifest.meta) => unfinished(),
            _ => groups::unknown::<GroupId>(&id),
        });
    };
    if !sees(&Meta::of(&found)) {
        return Err(groups::unknown::<GroupId>(&id));
    }
    if erasure::stands(&services.storage, group).await?.is_some() {
        return Err(erased(group));
    }
    if found.finished_at.is_none() && partial == Flag::No {
        return Err(unfinished());
    }
    let (sender, mut pieces) = mpsc::channel(1);
    tokio::spawn(Base::current().scope(write(services, found, sender)));
    // Files that are missing already are reported before the answer begins.
    let first = match pieces.recv().await {
        Some(first) => first?,
        None => return Err(Problem::internal(&"an archive's writer panicked")),
    };
    let about = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/zip")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    let name = [(header::CONTENT_DISPOSITION, format!("attachment; filename=\"pixmill-{group}.zip\""))];
    Ok((about, name, Body::from_stream(body(first, pieces))).into_response())
}

pub(in crate::http) fn archive_docs() -> Operation {
    let answer = json!({
        "description": "The archive.",
        "headers": {"Content-Disposition": {"schema": {"type": "string"}}},
        "content": {"application/zip": {}},
    });
    let summary = "All outputs of a group as one zip, streamed while it is made.";
    Operation::new("archive", "pictures", summary, ("200", answer))
        .details(
            "Files are called `<image stem>-<index>-<type>.<ext>`; `results.json`, the last one, has what the \
            status says of each picture, and as `file` of each output its name in the archive. Should a file be \
            missing midway, the answer breaks off.",
        )
        .subject("group")
        .parameters([flag("partial", "What there is so far, of a group that has not ended.")])
        .parameters(links::parameters())
        .problems(&["400", "404", "409", "410", "503"])
}

/// The bytes that the writer sends, until it reports the end.
fn body(first: Piece, pieces: mpsc::Receiver<Result<Piece, Broken>>) -> impl Stream<Item = Result<Bytes, Broken>> {
    let rest = stream::unfold(pieces, |mut pieces| async move {
        // A channel that closes without a report must not count as the end.
        let piece = pieces.recv().await.unwrap_or_else(|| Err(io::Error::other("its writer panicked").into()));
        Some((piece, pieces))
    });
    stream::iter([Ok(first)])
        .chain(rest)
        .try_take_while(|piece| ready(Ok(piece.is_some())))
        .map_ok(Option::unwrap_or_default)
}

async fn write(services: Arc<Services>, group: Group, sender: mpsc::Sender<Result<Piece, Broken>>) {
    let mut out = Out { sender, gathered: BytesMut::new() };
    let Err(broken) = fill(&services, &group, &mut out).await else { return };
    if !matches!(broken, Broken::Unwanted) {
        warn!("the archive of group {} is broken off: {broken}", group.id);
        let _ = out.sender.send(Err(broken)).await;
    }
}

async fn fill(services: &Services, group: &Group, out: &mut Out) -> Result<(), Broken> {
    let (storage, broker) = (&services.storage, &services.broker);
    let mut zip = Zip::new(group.finished_at.unwrap_or(group.created_at));
    let mut names = Names::without(RESULTS);
    // The group may go on meanwhile, so `results.json` has only the pictures that are in the archive.
    let mut packed = Vec::new();
    let mut from = 0;
    loop {
        let page = broker.results(group.id, from, PAGE).await?;
        let Some(last) = page.last() else { break };
        from = last.index + 1;
        for result in page {
            for (key, name) in files(group.id, &Picture::of(&result), &mut names) {
                copy(storage, &mut zip, &key, name, out).await?;
            }
            packed.push(result.index);
        }
    }
    tell(broker, group, &packed, &mut zip, out).await?;
    out.put(&zip.finish()).await?;
    out.end().await
}

/// A picture's outputs by their keys, with their names in the archive.
fn files(group: GroupId, picture: &Picture, names: &mut Names) -> Vec<(String, String)> {
    let Picture { job, state: JobState::Succeeded, image, known: Some(known), .. } = picture else { return Vec::new() };
    let files: Vec<&str> = known
        .outputs
        .iter()
        .filter_map(|output| match output {
            Output::File(output) => Some(output.file.as_str()),
            Output::Answer(_) => None,
        })
        .collect();
    let called = names.of(image.as_deref().unwrap_or_default(), &files);
    files.iter().map(|file| output_key(group, *job, known.run, file)).zip(called).collect()
}

async fn copy(storage: &Storage, zip: &mut Zip, key: &str, name: String, out: &mut Out) -> Result<(), Broken> {
    let Some(mut stored) = storage.open(key).await? else { return Err(Broken::Gone(name)) };
    let (mut entry, header) = zip.begin(name.clone(), stored.size);
    out.put(&header).await?;
    while let Some(bytes) = stored.body.try_next().await? {
        entry.passes(&bytes);
        out.put(&bytes).await?;
    }
    if entry.size() != stored.size {
        return Err(Broken::Gone(name));
    }
    out.put(&zip.end(entry)).await
}

/// The last entry: the results of the pictures in the archive.
async fn tell(broker: &Broker, group: &Group, packed: &[u32], zip: &mut Zip, out: &mut Out) -> Result<(), Broken> {
    let most = MOST_TOLD * packed.len() as u64;
    let (mut entry, header) = zip.begin(RESULTS.into(), most);
    out.put(&header).await?;
    let mut names = Names::without(RESULTS);
    let mut before = format!("{{\"task_id\": \"{}\", \"result\": [\n", group.id);
    let (mut from, end) = (0, packed.last().map_or(0, |last| last + 1));
    while from < end {
        let mut page = broker.results(group.id, from, PAGE).await?;
        from = page.last().map_or(end, |last| last.index + 1);
        page.retain(|result| packed.binary_search(&result.index).is_ok());
        for picture in groups::pictures(broker, &page).await? {
            let line = format!("{before}{}", told(group.id, picture, &mut names));
            entry.passes(line.as_bytes());
            out.put(line.as_bytes()).await?;
            before = ",\n".into();
        }
    }
    let end = if packed.is_empty() { format!("{before}]}}\n") } else { "\n]}\n".into() };
    entry.passes(end.as_bytes());
    out.put(end.as_bytes()).await?;
    if entry.size() > most.max(PIECE as u64) {
        return Err(io::Error::other(format!("{RESULTS} is larger than it can be")).into());
    }
    out.put(&zip.end(entry)).await
}

/// An entry of the status, with the names of its files in the archive.
fn told(group: GroupId, picture: Picture, names: &mut Names) -> String {
    let called = files(group, &picture, names);
    let mut entry = PictureEntry::of(group, picture, &Signer::none());
    entry.name_files(called.into_iter().map(|(_, name)| name));
    serde_json::to_string(&entry).expect("strings and numbers always serialise")
}

/// Collects the bytes that are written, and sends them as fast as the client takes them.
struct Out {
    sender: mpsc::Sender<Result<Piece, Broken>>,
    gathered: BytesMut,
}

impl Out {
    async fn put(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() < PIECE {
            return Ok(());
        }
        let piece = self.gathered.split().freeze();
        self.send(Some(piece)).await
    }

    async fn end(&mut self) -> Result<(), Broken> {
        let piece = self.gathered.split().freeze();
        self.send(Some(piece)).await?;
        self.send(None).await
    }

    async fn send(&self, piece: Piece) -> Result<(), Broken> {
        self.sender.send(Ok(piece)).await.map_err(|_| Broken::Unwanted)
    }
}

impl From<Broken> for Problem {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Gone(file) => {
                let detail = format!("{file} is no longer kept, and so there is no archive (retention.outputs).");
                Self::new(StatusCode::GONE, "outputs-gone", detail)
            }
            Broken::Storage(error) => error.into(),
            Broken::Queue(error) => error.into(),
            Broken::Read(_) | Broken::Unwanted => Self::internal(&broken),
        }
    }
}
