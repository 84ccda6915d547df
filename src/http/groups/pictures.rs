//! Pictures that have ended, made of the results of their jobs.

use queue::{Broker, GroupResult, Job, JobId, State};

use crate::kinds::{ImageResult, image_name};

/// A picture that is done or was given up.
pub(in crate::http) struct Picture {
    pub(in crate::http) job: JobId,
    pub(in crate::http) state: State,
    /// The name that the client sent.
    pub(in crate::http) image: Option<String>,
    /// `None` if the broker itself ended the job, or if the result is `damaged`.
    pub(in crate::http) known: Option<ImageResult>,
    /// There is a result, but its checksum does not match.
    pub(in crate::http) damaged: bool,
}

impl Picture {
    /// The name is empty if the broker itself ended the job.
    pub(in crate::http) fn of(result: &GroupResult) -> Self {
        Self::read(result.job, result.state, &result.result)
    }

    pub(super) fn of_job(job: &Job) -> Self {
        let mut picture = Self::read(job.id, job.state, job.result.as_deref().unwrap_or_default());
        picture.image = picture.image.or_else(|| image_of(job));
        picture
    }

    fn read(job: JobId, state: State, result: &[u8]) -> Self {
        let mut known = ImageResult::from_bytes(result).ok();
        let image = known.as_mut().and_then(|known| known.image.take());
        let damaged = known.is_none() && !result.is_empty();
        Self { job, state, image, known, damaged }
    }
}

/// The pictures of these results. If the broker itself ended a job, its result has no name, and the job is read for it.
pub(in crate::http) async fn pictures(broker: &Broker, results: &[GroupResult]) -> queue::Result<Vec<Picture>> {
    let mut pictures = Vec::with_capacity(results.len());
    for result in results {
        let mut picture = Picture::of(result);
        if picture.image.is_none() {
            // Boxed, because this is seldom needed and would be most of the future of a status.
            picture.image = Box::pin(broker.job(result.job)).await?.as_ref().and_then(image_of);
        }
        pictures.push(picture);
    }
    Ok(pictures)
}

pub(in crate::http) fn image_of(job: &Job) -> Option<String> {
    image_name(&job.payload)
}
