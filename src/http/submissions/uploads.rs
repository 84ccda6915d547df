//! `POST /api/upload`: receives pictures as multipart and enqueues them as a group.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

use crate::config;
use crate::http::Services;
use crate::http::access::Caller;
use crate::http::monitoring::readiness::takes_work;
use crate::http::operation::{Operation, accepted as taken, operations_or_preset, parameter, reference};
use crate::http::problem::Problem;
use crate::http::request::form::{Field, Form, unreadable};
use crate::http::server::request_id;
use crate::http::submissions::prefer::{answer, finished_docs};
use crate::submission::{Asked, Rules, Sender, Submission, Submitted};

/// Most characters of an idempotency key. With the caller's name before it, it stays within the broker's limit.
pub(in crate::http) const MOST_KEY_CHARS: usize = 200;

/// What happens when a field comes twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Repeated {
    /// It is refused, because the program has made a mistake.
    Refused,
    /// The last value counts: the first page has a list of choices, and after it a text field of the same name.
    LastCounts,
}

pub(in crate::http) async fn upload(
    State(services): State<Arc<Services>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let submitted = take(&services, &caller, request, Repeated::Refused).await?;
    Ok(answer(&services, &headers, &submitted).await)
}

pub(in crate::http) fn upload_docs(limits: &config::Limits) -> Operation {
    let answer = taken("Taken; ask for the status at `links.self`.", "The status's path.");
    Operation::new("upload", "pictures", "Upload pictures and have them processed.", answer)
        .details(
            "All pictures of a request become one group. A picture that cannot be taken is told in `rejected` \
            and fails no other. 202 means that everything is on disk: no acknowledged picture is lost.",
        )
        .parameters([parameter("idempotency_key"), parameter("prefer")])
        .answer("200", finished_docs())
        .body(form_docs(limits))
        .problems(&["400", "408", "409", "413", "415", "422", "503"])
}

/// The body of an upload.
pub(in crate::http) fn form_docs(limits: &config::Limits) -> Value {
    json!({
        "required": true,
        "content": {"multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["images"],
                "additionalProperties": false,
                "properties": {
                    "images": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": limits.max_files,
                        "items": {"type": "string", "contentMediaType": "application/octet-stream"},
                        "description": format!(
                            "The pictures, at most {} bytes each, {} in all.",
                            limits.max_file_bytes, limits.max_request_bytes
                        ),
                    },
                    "operations": operations_or_preset(),
                    "options": reference("Options"),
                    "preset": {"type": "string", "description": "A preset's name, as in `options`; for forms without a script. \
                        A blank field counts as left out, as do blank `operations` and `options`."},
                },
            },
            "encoding": {
                "operations": {"contentType": "application/json"},
                "options": {"contentType": "application/json"},
            },
        }},
    })
}

/// Receives a form's pictures and enqueues them as a group.
///
/// # Errors
/// Why the whole form is refused. Single pictures that are refused are in the result.
pub(in crate::http) async fn take(
    services: &Services,
    caller: &Caller,
    request: Request,
    repeated: Repeated,
) -> Result<Submitted, Problem> {
    takes_work(services).await?;
    let sender = sender(caller, request.headers());
    let mut submission = Submission::begin(services.storage.clone(), &services.limits).by(sender);
    if let Some(key) = idempotency_key(request.headers(), caller)? {
        submission.reserve(&services.broker, key).await?;
    }
    let asked = receive(services, request, &mut submission, repeated).await;
    services.metrics.images_rejected.inc_by(submission.rejected().len() as u64);
    let asked = match asked {
        Ok(asked) => asked,
        Err(problem) => {
            submission.unreserve().await;
            return Err(problem);
        }
    };
    let submitted = submission.enqueue(&services.broker, &asked, &services.queue).await?;
    services.metrics.images_accepted.inc_by(submitted.images as u64);
    Ok(submitted)
}

/// The owner of a submission, and the id of its request.
pub(in crate::http) fn sender(caller: &Caller, headers: &HeaderMap) -> Sender {
    Sender { owner: caller.owner().map(str::to_owned), request_id: request_id::of(headers).map(str::to_owned) }
}

/// Reads the form, and passes its pictures to the submission.
async fn receive(
    services: &Services,
    request: Request,
    submission: &mut Submission,
    repeated: Repeated,
) -> Result<Asked, Problem> {
    let boundary = boundary(request.headers())?;
    let form = Form::new(request, boundary, services.limits.max_request_bytes);
    let Fields { operations, options, preset } = read(services, form, submission, repeated).await?;
    let operations = operations.map(|json| parsed(&json, "operations", "invalid-operation")).transpose()?;
    let mut options = options.map(|json| parsed(&json, "options", "invalid-options")).transpose()?;
    if let Some(name) = preset {
        set_preset(options.get_or_insert_with(|| json!({})), &name)?;
    }
    let asked = asked(services, operations.as_ref(), options.as_ref())?;
    if submission.received() == 0 {
        let detail = "The form has no picture: send at least one file in the field `images`.";
        return Err(Problem::bad_request("no-images", detail));
    }
    if submission.received() == submission.rejected().len() {
        return Err(Problem::all_rejected(submission.rejected()));
    }
    Ok(asked)
}

fn parsed(json: &str, name: &str, code: &str) -> Result<Value, Problem> {
    // A file that is sent as a field may begin with a byte order mark.
    let json = json.trim_start_matches('\u{feff}');
    serde_json::from_str(json).map_err(|error| Problem::unprocessable(code, format!("{name}: not valid JSON: {error}")))
}

/// The form's field `preset` sets the option of this name, for forms without a script.
fn set_preset(options: &mut Value, name: &str) -> Result<(), Problem> {
    // Options that are not an object are refused later.
    let Some(options) = options.as_object_mut() else { return Ok(()) };
    if options.get("preset").is_some_and(|other| !other.is_null() && other != "") {
        let detail = "options.preset: the form has the field `preset`, too; send one of both";
        return Err(Problem::unprocessable("invalid-options", detail));
    }
    options.insert("preset".into(), name.trim().into());
    Ok(())
}

/// The parsed operations and options of a request.
pub(in crate::http) fn asked(
    services: &Services,
    operations: Option<&Value>,
    options: Option<&Value>,
) -> Result<Asked, Problem> {
    let Services { queue, retention, presets, limits, .. } = services;
    let limits = limits.imaging();
    let rules = Rules { queues: &queue.names, retention, presets, limits: &limits };
    Asked::parse(operations, options, rules).map_err(|(code, detail)| Problem::unprocessable(code, detail))
}

/// The request's idempotency key with the caller's name before it, so that two callers never share a key.
pub(in crate::http) fn idempotency_key(headers: &HeaderMap, caller: &Caller) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let visible = |key: &&str| key.bytes().all(|byte| byte.is_ascii_graphic());
    let visible = key.to_str().ok().filter(visible).filter(|key| (1..=MOST_KEY_CHARS).contains(&key.len()));
    let key = visible.ok_or_else(|| {
        let detail = format!("The Idempotency-Key is not 1 to {MOST_KEY_CHARS} visible ASCII characters.");
        Problem::bad_request("invalid-idempotency-key", detail)
    })?;
    Ok(Some(format!("{}:{key}", caller.word())))
}

fn boundary(headers: &HeaderMap) -> Result<String, Problem> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    multer::parse_boundary(media_type).ok().filter(|boundary| !boundary.is_empty()).ok_or_else(|| {
        let detail = format!(
            "The content type is `{media_type}`; send the pictures as multipart/form-data with a boundary, each in a \
             field `images`."
        );
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-multipart", detail)
    })
}

/// The form's fields other than pictures.
#[derive(Default)]
struct Fields {
    operations: Option<String>,
    options: Option<String>,
    preset: Option<String>,
}

async fn read(
    services: &Services,
    mut form: Form,
    submission: &mut Submission,
    repeated: Repeated,
) -> Result<Fields, Problem> {
    let limits = &services.limits;
    let mut fields = Fields::default();
    while let Some(field) = form.next_field().await? {
        let name = field.name().to_owned();
        match name.as_str() {
            "images" => {
                if submission.received() == limits.max_files {
                    let detail = format!("More files than limits.max_files ({}).", limits.max_files);
                    return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-many-files", detail));
                }
                image(services, submission, field).await?;
            }
            "operations" => set(&mut fields.operations, &name, text(field, limits.max_field_bytes).await?, repeated)?,
            "options" => set(&mut fields.options, &name, text(field, limits.max_field_bytes).await?, repeated)?,
            "preset" => set(&mut fields.preset, &name, text(field, limits.max_field_bytes).await?, repeated)?,
            other => {
                let detail = format!("Unknown field `{other}`; known: images, operations, options, preset.");
                return Err(Problem::bad_request("unknown-field", detail));
            }
        }
    }
    Ok(fields)
}

async fn image(services: &Services, submission: &mut Submission, field: Field) -> Result<(), Problem> {
    let name = field.file_name().to_owned();
    let mut chunks = Box::pin(futures::stream::try_unfold(field, |mut field| async move {
        loop {
            match field.chunk().await? {
                // multer's first chunk of an empty file is empty.
                Some(chunk) if chunk.is_empty() => {}
                chunk => return Ok::<_, multer::Error>(chunk.map(|chunk| (chunk, field))),
            }
        }
    }));
    if name.is_empty() {
        // Browsers send an empty part for a file input that nobody filled.
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

async fn text(mut field: Field, limit: usize) -> Result<String, Problem> {
    let name = field.name().to_owned();
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

/// A blank field counts as left out, because browsers send empty fields as empty text.
fn set(slot: &mut Option<String>, name: &str, text: String, repeated: Repeated) -> Result<(), Problem> {
    if text.trim().is_empty() {
        return Ok(());
    }
    match slot.replace(text) {
        Some(_) if repeated == Repeated::Refused => {
            Err(Problem::bad_request("repeated-field", format!("The field `{name}` is there twice.")))
        }
        _ => Ok(()),
    }
}
