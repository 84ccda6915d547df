//! Sources that a request names: URLs, keys and prefixes of the folder, pictures of an earlier group.
//!
//! A source that is known at once to be unusable is reported at once in `rejected`: a URL that is not allowed, a file
//! that is not a picture. A file of the folder is read where it is. A URL is fetched by the first stage of its job, on
//! any worker with a free slot. An earlier original is copied (a hard link on one disk), so that the retention of one
//! group does not affect the other.

use queue::{Broker, Group, GroupId, Job};
use serde::Serialize;
use serde_json::Value;
use url::Url;

use super::manifest::Manifest;
use super::outbox::{self, Owed};
use super::{Accepted, Asked, Error, Meta, Rejected, Seen, Submission, Submitted, shown_name};
use crate::errors::Failure;
use crate::errors::Lack;
use crate::kinds::{ImageProcess, Origin, Payload, Source};
use crate::probe;
use crate::sources::{Places, decoded};
use crate::storage::{self, Part, Storage, upload_key};

const KNOWN: &str = "url, key, prefix, group";
/// Number of results read at a time.
const PAGE: usize = 1_000;

/// A source as requested.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    Url { url: String, name: Option<String> },
    Key { key: String, name: Option<String> },
    Prefix(String),
    Group { group: GroupId, index: Option<u32> },
}

/// A picture of an earlier submission.
pub(super) struct Earlier {
    image: String,
    source: Source,
    check: Option<u32>,
}

impl Wanted {
    /// Parses a request's list of sources.
    ///
    /// # Errors
    /// A sentence that names the entry and the field.
    pub fn parse_all(value: &Value) -> Result<Vec<Self>, String> {
        let entries = value.as_array().ok_or("sources: is not a list")?;
        entries.iter().enumerate().map(|(i, entry)| Self::parse(entry, &format!("sources[{i}]"))).collect()
    }

    fn parse(entry: &Value, path: &str) -> Result<Self, String> {
        let fields = entry.as_object().ok_or_else(|| format!("{path}: is not an object"))?;
        let kinds = ["url", "key", "prefix", "group"];
        let mut named = kinds.into_iter().filter(|kind| fields.contains_key(*kind));
        let (Some(kind), None) = (named.next(), named.next()) else {
            return Err(format!("{path}: has none or several of {KNOWN}; a source is one of them"));
        };
        let others: &[&str] = match kind {
            "url" | "key" => &["name"],
            "group" => &["index"],
            _ => &[],
        };
        if let Some(other) = fields.keys().find(|name| *name != kind && !others.contains(&name.as_str())) {
            return Err(format!(
                "{path}: unknown field `{}` beside `{kind}`; known: {}",
                other.escape_debug(),
                others.join(", ")
            ));
        }
        let text = |name: &str| match fields.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("{path}.{name}: is not a string")),
        };
        let own = text(kind)?.unwrap_or_default();
        Ok(match kind {
            "url" => Self::Url { url: own, name: text("name")? },
            "key" => Self::Key { key: own, name: text("name")? },
            "prefix" => Self::Prefix(own),
            _ => {
                let group = own.parse().map_err(|_| format!("{path}.group: `{}` is not an id", own.escape_debug()))?;
                let index = match fields.get("index") {
                    None => None,
                    Some(index) => {
                        Some(index.as_u64().and_then(|index| u32::try_from(index).ok()).ok_or_else(|| {
                            format!("{path}.index: {index} is not the place of a picture in `result`, from 0")
                        })?)
                    }
                };
                Self::Group { group, index }
            }
        })
    }
}

impl Submission {
    /// The answer to the same request with the same idempotency key, if there was one. No source is looked at again.
    ///
    /// # Errors
    /// `KeyReused`; or if the broker fails.
    pub async fn asked_before(
        &mut self,
        broker: &Broker,
        wanted: &[Wanted],
        asked: &Asked,
    ) -> Result<Option<Submitted>, Error> {
        let Some(keyed) = &mut self.keyed else { return Ok(None) };
        keyed.note("sources", &serde_json::to_vec(wanted).expect("strings and numbers always serialise"));
        let key = keyed.key(&asked.operations, &asked.options);
        self.answered(broker, Some(&key)).await
    }

    /// Takes the pictures of one source, good and bad. At most `most` pictures in all are allowed, except for a prefix
    /// that is `alone` in its request.
    ///
    /// # Errors
    /// `TooMany`; or if the store or the broker fails.
    pub async fn take(
        &mut self,
        wanted: &Wanted,
        places: &Places,
        broker: &Broker,
        sees: &(dyn Fn(&Meta) -> bool + Sync),
        (most, alone): (usize, bool),
    ) -> Result<(), Error> {
        match wanted {
            Wanted::Url { url, name } => self.take_url(url, name.as_deref(), places),
            Wanted::Key { key, name } => self.take_key(key, name.as_deref(), places).await?,
            Wanted::Prefix(prefix) => self.take_prefix(prefix, places, (most, alone)).await?,
            Wanted::Group { group, index } => self.take_group(*group, *index, places, broker, sees).await?,
        }
        if self.received() > most {
            return Err(Error::TooMany(format!(
                "The sources hold more pictures than limits.max_files ({most}); a prefix that stands alone may hold more."
            )));
        }
        Ok(())
    }

    fn take_url(&mut self, text: &str, name: Option<&str>, places: &Places) {
        let url = Url::parse(text).map_err(|error| Failure::permanent("invalid-url", format!("not a URL: {error}")));
        let last = url.as_ref().ok().and_then(|url| url.path_segments()?.next_back().map(decoded));
        let image = shown_name(name.or(last.as_deref()).unwrap_or_default(), self.received());
        let checked = url.and_then(|url| match &places.fetcher {
            Some(fetcher) => fetcher.check(&url).map(|()| url),
            None => Err(Failure::permanent("url-forbidden", "no URLs are fetched here: sources.urls is empty")),
        });
        match checked {
            Ok(url) => {
                let source = Source::Stored(upload_key(self.group, self.received()));
                self.accepted.push(Accepted { image, source, check: None, seen: Seen::Elsewhere(Origin::Url(url)) });
            }
            Err(failure) => self.reject(image, failure),
        }
    }

    async fn take_key(&mut self, key: &str, name: Option<&str>, places: &Places) -> Result<(), Error> {
        let index = self.received();
        let image = name.map_or_else(|| key_name(key, index), |name| shown_name(name, index));
        let opened = match places.folder.clone() {
            None => Err(no_folder()),
            Some(folder) => on_disk(key, move |key| folder.open(key)).await?,
        };
        let seen = match opened {
            Err(failure) => Err(failure),
            Ok(file) => match probe::file(file, self.limits.clone()).await {
                Ok(probed) => probed.map_err(Failure::from),
                Err(error) if Lack::of(&error).is_some() => return Err(storage::Error::at(key, &error).into()),
                Err(error) => Err(Failure::transient("storage", format!("`{key}` cannot be read: {error}"))),
            },
        };
        match seen {
            Ok((bytes, header)) => {
                let source = Source::Shared(key.to_owned());
                self.accepted.push(Accepted { image, source, check: None, seen: Seen::Probed { bytes, header } });
            }
            Err(failure) => self.reject(image, failure),
        }
        Ok(())
    }

    async fn take_prefix(&mut self, prefix: &str, places: &Places, (most, alone): (usize, bool)) -> Result<(), Error> {
        let bound = places.max_listed;
        let listed = match places.folder.clone() {
            None => Err(no_folder()),
            Some(folder) => on_disk(prefix, move |prefix| folder.list(prefix, bound)).await?,
        };
        let image = key_name(prefix, self.received());
        match listed {
            Err(failure) => self.reject(image, failure),
            Ok(keys) if keys.is_empty() => {
                self.reject(
                    image,
                    Failure::permanent("source-missing", format!("there are no files under `{prefix}`")),
                );
            }
            Ok(keys) if self.received() + keys.len() <= most => {
                for key in keys {
                    self.take_key(&key, None, places).await?;
                }
            }
            Ok(keys) if alone => self.listed = Some(keys),
            Ok(keys) => {
                let more = keys.len();
                return Err(Error::TooMany(format!(
                    "`{prefix}` holds {more} files; with the other sources that is more than limits.max_files ({most}). \
                     Submit it alone."
                )));
            }
        }
        Ok(())
    }

    async fn take_group(
        &mut self,
        group: GroupId,
        index: Option<u32>,
        places: &Places,
        broker: &Broker,
        sees: &(dyn Fn(&Meta) -> bool + Sync),
    ) -> Result<(), Error> {
        let image = group.to_string();
        let gone = |detail: String| Failure::permanent("source-gone", detail);
        let known = broker.group(group).await?;
        let visible = known.filter(|known| sees(&Meta::of(known)));
        let Some(known) = visible else {
            self.reject(image, gone(format!("there is no group {group}")));
            return Ok(());
        };
        let earlier = pictures_of(&self.storage, broker, &known).await?;
        let wanted: Vec<Earlier> = match index {
            None => earlier,
            Some(index) => earlier.into_iter().skip(index as usize).take(1).collect(),
        };
        if wanted.is_empty() {
            let which = index.map_or(String::new(), |index| format!(" at {index}"));
            self.reject(image, gone(format!("group {group} has no picture{which}")));
        }
        for earlier in wanted {
            self.take_again(places, earlier).await?;
        }
        Ok(())
    }

    /// Takes a picture of an earlier submission.
    pub(super) async fn take_again(&mut self, places: &Places, earlier: Earlier) -> Result<(), Error> {
        let Earlier { image, source, check } = earlier;
        let original = match source {
            Source::Stored(original) => original,
            Source::Shared(key) => return self.take_key(&key, Some(&image), places).await,
            Source::File(path) => {
                self.reject(image, Failure::permanent("source-gone", format!("{} is not stored", path.display())));
                return Ok(());
            }
        };
        let key = upload_key(self.group, self.received());
        if !self.storage.copy(&original, &key).await? {
            let detail = "its original is no longer kept (retention.originals), or was never fetched";
            self.reject(image, Failure::permanent("source-gone", detail));
            return Ok(());
        }
        match probe::stored(&self.storage, &key, &self.limits).await? {
            Ok((bytes, header)) => {
                let seen = Seen::Probed { bytes, header };
                self.accepted.push(Accepted { image, source: Source::Stored(key), check, seen });
            }
            Err(error) => {
                self.storage.remove(&key).await?;
                self.reject(image, error.into());
            }
        }
        Ok(())
    }

    fn reject(&mut self, image: String, error: Failure) {
        self.rejected.push(Rejected { index: self.received(), image, error });
    }
}

/// The pictures of a group in order. If the group is still being enqueued, only the enqueued ones.
pub(super) async fn pictures_of(storage: &Storage, broker: &Broker, group: &Group) -> Result<Vec<Earlier>, Error> {
    let of = |payload: &Payload| {
        let earlier = |picture: &ImageProcess| Earlier {
            image: picture.image.clone(),
            source: picture.source.clone(),
            check: picture.check,
        };
        payload.picture().map(earlier)
    };
    // Pictures that will be erased are not copied.
    if storage.has(&Part::Erased.mark(group.id)).await? {
        return Ok(Vec::new());
    }
    if let Some(Owed::Work(Manifest { jobs, listed: None, .. })) = outbox::read(storage, group.id).await? {
        return Ok(jobs.iter().filter_map(|entry| of(&entry.payload)).collect());
    }
    let (mut pictures, mut from) = (Vec::new(), 0);
    loop {
        let results = broker.results(group.id, from, PAGE).await?;
        let Some(last) = results.last() else { return Ok(pictures) };
        from = last.index + 1;
        for result in &results {
            let Some(Job { payload, .. }) = broker.job(result.job).await? else { continue };
            pictures.extend(Payload::from_bytes(&payload).ok().and_then(|payload| of(&payload)));
        }
    }
}

fn no_folder() -> Failure {
    Failure::permanent("source-forbidden", "no keys are taken here: sources.folder is not set")
}

/// A key as it is shown: complete if it is printable and not too long.
fn key_name(key: &str, index: usize) -> String {
    let printable = !key.is_empty() && !key.chars().any(char::is_control) && key.chars().count() <= super::NAME_CHARS;
    if printable { key.to_owned() } else { shown_name(key, index) }
}

/// The result of `look`, or the reason why the source is rejected.
///
/// # Errors
/// If this process lacks a resource. Another try may succeed.
async fn on_disk<T: Send + 'static>(
    key: &str,
    look: impl FnOnce(&str) -> Result<T, crate::sources::Fault> + Send + 'static,
) -> Result<Result<T, Failure>, Error> {
    let key = key.to_owned();
    let looked = tokio::task::spawn_blocking(move || look(&key)).await.expect("looking at files does not panic");
    match looked {
        Ok(found) => Ok(Ok(found)),
        Err(fault) => match fault.lack() {
            Some(lack) => Err(storage::Error::lacking(lack, fault.to_string()).into()),
            None => Ok(Err(Failure::permanent(fault.code(), fault.to_string()))),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sources_name_the_entry_and_the_field() {
        for (sources, said) in [
            (json!({}), "sources: is not a list"),
            (json!(["a"]), "sources[0]: is not an object"),
            (json!([{}]), "sources[0]: has none or several of url, key, prefix, group"),
            (json!([{"key": "a", "url": "b"}]), "sources[0]: has none or several"),
            (
                json!([{"key": "a"}, {"key": "a", "nmae": "b"}]),
                "sources[1]: unknown field `nmae` beside `key`; known: name",
            ),
            (json!([{"prefix": "a/", "name": "b"}]), "sources[0]: unknown field `name` beside `prefix`"),
            (json!([{"url": 1}]), "sources[0].url: is not a string"),
            (json!([{"group": "x"}]), "sources[0].group: `x` is not an id"),
            (json!([{"group": GroupId::new(), "index": -1}]), "sources[0].index: -1 is not the place"),
        ] {
            let fault = Wanted::parse_all(&sources).unwrap_err();
            assert!(fault.starts_with(said), "{sources}: {fault}");
        }
    }
}
