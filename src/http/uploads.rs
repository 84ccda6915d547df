//! `POST /api/upload`: multipart pictures in, a group of jobs out.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryStreamExt};
use multer::{Constraints, Field, Multipart, SizeLimit};
use serde_json::{Value, json};

use super::groups::links;
use super::{Problem, Services, problem};
use crate::imaging::operation;
use crate::submission::{Options, Submission, Submitted};

pub(super) async fn upload(State(services): State<Arc<Services>>, request: Request) -> Result<Response, Problem> {
    has_room(&services)?;
    let boundary = boundary(request.headers())?;
    let limit = SizeLimit::new().whole_stream(services.limits.max_request_bytes);
    let constraints = Constraints::new().size_limit(limit);
    let form = Multipart::with_constraints(request.into_body().into_data_stream(), boundary, constraints);
    let submission = Submission::begin(services.storage.clone(), &services.limits);
    let Form { submission, operations, options } = receive(&services, form, submission).await?;

    services.metrics.images_rejected.inc_by(submission.rejected().len() as u64);
    let operations = match operations {
        None => operation::defaults(),
        Some(json) => operation::parse(&json, &services.limits.imaging())
            .map_err(|error| Problem::unprocessable(error.code.as_str(), error.detail))?,
    };
    let options = match options {
        None => Options::default(),
        Some(json) => Options::parse(&json, &services.queues)
            .map_err(|detail| Problem::unprocessable("invalid-options", detail))?,
    };
    if submission.received() == 0 {
        let detail = "The form has no picture: send at least one file in the field `images`.";
        return Err(Problem::bad_request("no-images", detail));
    }
    if submission.received() == submission.rejected().len() {
        return Err(Problem::all_rejected(submission.rejected()));
    }
    let submitted = submission.enqueue(&services.broker, &operations, &options, services.max_attempts).await?;
    services.metrics.images_accepted.inc_by(submitted.images as u64);
    Ok(accepted(&submitted))
}

fn accepted(submitted: &Submitted) -> Response {
    let links = links(submitted.group);
    let location = links["self"].as_str().unwrap_or_default().to_owned();
    let body = json!({
        "status": "processing",
        "task_id": submitted.group,
        "total_images": submitted.images,
        "rejected": submitted.rejected.iter().map(problem::rejected).collect::<Vec<Value>>(),
        "links": links,
    });
    (StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(body)).into_response()
}

/// Refuses new work on a nearly full disk, while what is queued can still be finished.
fn has_room(services: &Services) -> Result<(), Problem> {
    let (free, least) = (services.storage.free_share()?, services.limits.min_free_disk);
    if free >= least {
        return Ok(());
    }
    let detail = format!(
        "Only {:.1} % of the disk is free; uploads are taken again above {:.1} % (limits.min_free_disk).",
        free * 100.0,
        least * 100.0
    );
    Err(Problem::unavailable("storage-full", detail, 60))
}

fn boundary(headers: &HeaderMap) -> Result<String, Problem> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    multer::parse_boundary(media_type).map_err(|_| {
        let detail = format!(
            "The content type is `{media_type}`; send the pictures as multipart/form-data with a boundary, each in a \
             field `images`."
        );
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-multipart", detail)
    })
}

/// What a form had in it.
struct Form {
    submission: Submission,
    operations: Option<String>,
    options: Option<String>,
}

async fn receive(services: &Services, mut form: Multipart<'_>, submission: Submission) -> Result<Form, Problem> {
    let limits = &services.limits;
    let mut received = Form { submission, operations: None, options: None };
    while let Some(field) = form.next_field().await.map_err(unreadable)? {
        let name = field.name().unwrap_or_default().to_owned();
        match name.as_str() {
            "images" => {
                if received.submission.received() == limits.max_files {
                    let detail = format!("More files than limits.max_files ({}).", limits.max_files);
                    return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-many-files", detail));
                }
                image(services, &mut received.submission, field).await?;
            }
            "operations" => set(&mut received.operations, &name, text(field, limits.max_field_bytes).await?)?,
            "options" => set(&mut received.options, &name, text(field, limits.max_field_bytes).await?)?,
            other => {
                let detail = format!("Unknown field `{other}`; known: images, operations, options.");
                return Err(Problem::bad_request("unknown-field", detail));
            }
        }
    }
    Ok(received)
}

async fn image(services: &Services, submission: &mut Submission, field: Field<'_>) -> Result<(), Problem> {
    let name = field.file_name().unwrap_or_default().to_owned();
    let mut chunks = Box::pin(futures::stream::try_unfold(field, |mut field| async move {
        loop {
            match field.chunk().await? {
                // multer's first chunk of an empty file.
                Some(chunk) if chunk.is_empty() => {}
                chunk => return Ok::<_, multer::Error>(chunk.map(|chunk| (chunk, field))),
            }
        }
    }));
    if name.is_empty() {
        // What a browser sends for a file input that nobody filled has no bytes either.
        let Some(first) = chunks.try_next().await.map_err(unreadable)? else { return Ok(()) };
        let body = futures::stream::iter([Ok(first)]).chain(chunks);
        return store(services, submission, "", body).await;
    }
    store(services, submission, &name, chunks).await
}

async fn store(
    services: &Services,
    submission: &mut Submission,
    name: &str,
    body: impl futures::Stream<Item = Result<bytes::Bytes, multer::Error>>,
) -> Result<(), Problem> {
    use crate::submission::Error;
    let bytes = submission.receive(name, body).await.map_err(|error| match error {
        Error::Source(cause) => match cause.downcast::<multer::Error>() {
            Ok(cause) => unreadable(*cause),
            Err(cause) => Error::Source(cause).into(),
        },
        other => other.into(),
    })?;
    services.metrics.uploaded_bytes.inc_by(bytes);
    Ok(())
}

async fn text(mut field: Field<'_>, limit: usize) -> Result<String, Problem> {
    let name = field.name().unwrap_or_default().to_owned();
    let mut text = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(unreadable)? {
        if text.len() + chunk.len() > limit {
            let detail = format!("The field `{name}` has more bytes than limits.max_field_bytes ({limit}).");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "field-too-large", detail));
        }
        text.extend_from_slice(&chunk);
    }
    String::from_utf8(text)
        .map_err(|_| Problem::bad_request("invalid-multipart", format!("The field `{name}` is not UTF-8.")))
}

fn set(slot: &mut Option<String>, name: &str, text: String) -> Result<(), Problem> {
    match slot.replace(text) {
        None => Ok(()),
        Some(_) => Err(Problem::bad_request("repeated-field", format!("The field `{name}` is there twice."))),
    }
}

/// A form that cannot be read to its end.
fn unreadable(error: multer::Error) -> Problem {
    match error {
        multer::Error::StreamSizeExceeded { limit } => {
            let detail = format!("The request has more bytes than limits.max_request_bytes ({limit}).");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "request-too-large", detail)
        }
        other => Problem::bad_request("invalid-multipart", format!("The form is malformed or was cut off: {other}.")),
    }
}
