//! The table of codes, in alphabetical order.

use super::Place::{Answer, Batch, Job, Rejected};
use super::Retry::{Later, Never};
use super::{Code, Place, Retry};

/// Two lines for each code: name, statuses, places, retry; then the meaning and the next step.
macro_rules! codes {
    ($($name:literal [$($status:literal)*] [$($place:ident)*] $retry:ident: $meaning:literal $remedy:literal;)*) => {
        /// Every code.
        pub const ALL: &[Code] = &[$(Code {
            name: $name,
            statuses: &[$($status),*],
            places: { const PLACES: &[Place] = &[$($place),*]; PLACES },
            retry: { const RETRY: Retry = $retry; RETRY },
            meaning: $meaning,
            remedy: $remedy,
        }),*];
    };
}

codes! {
    "answer-too-large" [] [Job] Never:
        "A server answered a call with success and with more than 64 KiB." "The server has done what the call asks for; let it answer with less.";
    "broker-unavailable" [503] [Answer Job] Later:
        "The job queue cannot be reached." "Wait for `Retry-After`; if it stays so, look whether Redis runs.";
    "call-failed" [] [Job] Later:
        "A call had no answer in time, no connection, or an answer that says to try again (408, 425, 429, 5xx)." "It is tried again by itself; the detail has the server's answer.";
    "call-redirected" [] [Job] Never:
        "A server answered a call with a redirect, which calls do not follow." "Name the address that it leads to.";
    "call-refused" [] [Job] Never:
        "A server refused a call." "The detail has its status and the first KiB of its answer.";
    "cancelled" [] [Job] Never:
        "The picture was cancelled before it was done." "Have it tried again with `POST …/retry`, if that was a mistake.";
    "corrupt-image" [422] [Answer Rejected Job] Never:
        "The file begins as a picture and cannot be decoded." "Open it in a viewer; export it anew from its source.";
    "crashed" [] [Job] Later:
        "The process that computed the picture died." "Report it with the picture, if it happens again.";
    "decoder-failure" [422] [Answer Rejected Job] Never:
        "A decoder broke off on this file in a way that it should not." "Report it with the picture; export the picture anew meanwhile.";
    "download" [] [Batch] Later:
        "A result could not be fetched from the server." "Run the same command again: it goes on with what is missing.";
    "empty-file" [422] [Answer Rejected Job] Never:
        "The file has no bytes." "Send the picture itself; an upload that broke off on your side looks like this.";
    "encoded-body" [415] [Answer] Never:
        "The request's body has a `Content-Encoding`, such as gzip; only bodies without one are taken." "Send it without; pictures hardly shrink.";
    "expired" [] [Job] Never:
        "No worker had begun the job by the time that `options.expires` names." "Have it tried again with `POST …/retry`, or submit it with more time; add workers if it happens often.";
    "fetch-failed" [] [Job Batch] Later:
        "A URL could not be fetched: no connection, no answer in time, or a server's fault." "It is tried again by itself; look whether the address answers.";
    "fetch-refused" [] [Job Batch] Never:
        "A URL's server refused to give the picture." "Open the address where pixmill runs; the detail has the server's answer.";
    "field-too-large" [413] [Answer] Never:
        "A form field other than a picture is larger than `limits.max_field_bytes`." "Send fewer operations at a time, or raise the limit.";
    "files-erased" [410] [Answer] Never:
        "The group's files were erased at its owner's wish." "Upload the pictures again, if they are wanted after all.";
    "forbidden-host" [403] [Answer] Never:
        "There are no API keys, and the request's `Host` is not this machine." "Create a key to serve others: `pixmill keys create`, or `auth.keys`.";
    "forbidden-origin" [403] [Answer] Never:
        "There are no API keys, and the request comes from a page of another machine; or it bears a login, and comes from a page of another server." "Send an API key; pages elsewhere may where `server.cors_origins` says so.";
    "forbidden-scope" [403] [Answer] Never:
        "The API key may not do that." "Take a key with the scope that the detail names: `pixmill keys create --scopes …`.";
    "head-too-large" [431] [Answer] Never:
        "The request's head has too many bytes or lines." "Send fewer headers and cookies.";
    "idempotency-key-in-use" [409] [Answer] Later:
        "A request with this `Idempotency-Key` is still being received." "Wait for `Retry-After` and send it again: you get the first one's answer.";
    "idempotency-key-reused" [422] [Answer] Never:
        "This `Idempotency-Key` stands for other pictures, operations or options." "Take a new key for new content.";
    "images-rejected" [413 415 422] [Answer] Never:
        "Each picture of the request was refused, for various reasons." "`rejected` says why for each.";
    "internal" [500] [Answer Job Batch] Never:
        "A fault of ours." "The log has the cause, under the answer's `x-request-id`; report it.";
    "invalid-call" [] [Job] Never:
        "A call cannot be sent: one of its headers is not allowed, or its body is too large." "The detail names the field and the limit.";
    "invalid-idempotency-key" [400] [Answer] Never:
        "The `Idempotency-Key` is empty, too long, or has other characters than visible ASCII." "Take 1 to 200 such characters; a UUID will do.";
    "invalid-json" [400] [Answer] Never:
        "The body is not valid JSON." "The detail says where it breaks; let a library write it.";
    "invalid-line" [] [Batch] Never:
        "A line of a list names no picture." "The detail has its number; mend the line and run the command again.";
    "invalid-login" [400 415] [Answer] Never:
        "The body of a login is not a key." "Send `{\"key\": …}` as application/json, or a form's field `key`.";
    "invalid-multipart" [400] [Answer] Never:
        "The form cannot be read: it was cut off, or its parts are malformed." "The detail says where; let a library make the form, or check the connection.";
    "invalid-operation" [422] [Answer Job] Never:
        "An entry of `operations` has an unknown field, or a value that is not allowed." "The detail names the entry, the field and what is allowed.";
    "invalid-options" [422] [Answer] Never:
        "`options` has an unknown field, or a value that is not allowed." "The detail names the field and what is allowed.";
    "invalid-query" [400] [Answer] Never:
        "The query has an unknown parameter, or a value that is not allowed." "The detail names it.";
    "invalid-schedule" [422] [Answer] Never:
        "The schedule has an unknown field, a value that is not allowed, or never fires." "The detail names the field, the value and what is allowed.";
    "invalid-sources" [422] [Answer Job] Never:
        "`sources` has an unknown field, or a value that is not allowed." "The detail names the entry, the field and what is allowed.";
    "invalid-url" [422] [Answer Rejected Batch] Never:
        "A source's `url` is not one." "Write it whole, from `https://` on.";
    "invalid-workflow" [422] [Answer] Never:
        "A workflow's document has an unknown field, a value that is not allowed, a reference that leads nowhere, or a cycle." "The detail names the step, the field and what is allowed; `pixmill workflow check FILE` says the same.";
    "keys-unavailable" [503] [Answer] Later:
        "The folder of the created API keys cannot be read, so that nobody knows which are revoked: none is taken." "The service's log has the system's reason; look at `keys` in the data folder, and at the disk.";
    "link-expired" [403] [Answer] Never:
        "A signed link is older than `server.link_lifetime`." "Ask for the status again: it has a fresh one.";
    "link-invalid" [403] [Answer] Never:
        "A signed link was changed, or is not one of ours." "Take it from the status as it stands there.";
    "malformed-request" [400] [Answer] Never:
        "The request cannot be read as HTTP, or has no `Host` line or several." "Mend the program that sends it; the detail has the reason.";
    "manifest-damaged" [500] [Answer Rejected] Never:
        "The group's manifest, which lists its work, was damaged on the disk, and the broker does not have the group either: the work is lost." "Upload the pictures again; look at the disk that holds `data_dir`.";
    "method-not-allowed" [405] [Answer] Never:
        "The address is known and does not take this method." "`Allow` says which it takes.";
    "missing-glyph" [422] [Answer Job] Never:
        "No font has some characters of a watermark's text." "Leave out the characters that the detail names, or add a font (`watermark.fonts`).";
    "name-taken" [] [Batch] Never:
        "A result would have the name of another picture's, or of a file that pixmill did not make." "Use another `--out`, or `--name`; `--overwrite` replaces the file.";
    "no-images" [400] [Answer] Never:
        "The form has no picture." "Send at least one file in the field `images`.";
    "no-result" [] [Batch] Later:
        "The server's answer leaves this picture out." "Run the same command again.";
    "no-worker" [503] [Answer] Later:
        "No worker takes pictures from the queue where uploads go (`/readyz` only); uploads are taken and wait." "Start `pixmill worker`, or find out why none reports itself.";
    "not-finished" [409] [Answer] Later:
        "The group is still being processed." "Wait until its status is no longer `processing`, or ask for what is there with `?partial=true`.";
    "not-found" [404] [Answer] Never:
        "There is nothing at this address, or no longer: records and files are removed when their time is over." "Check the id; see `[retention]` in the settings.";
    "not-json" [415] [Answer] Never:
        "The request's content type is not `application/json`." "Send the header `Content-Type: application/json`.";
    "not-multipart" [415] [Answer] Never:
        "The body of an upload is not `multipart/form-data` with a boundary." "Send a form; most libraries set the content type themselves, so do not set it by hand.";
    "not-retryable" [409] [Answer] Never:
        "Nothing of it has failed or was cancelled, or its originals are gone." "Upload the pictures again if they are to be made once more.";
    "output-too-large" [422] [Answer Job] Never:
        "An operation would make a picture beyond the limits, or one that cannot be as small as its `max_bytes`." "Ask for a smaller one; the detail names the limit.";
    "outputs-gone" [410] [Answer] Never:
        "The outputs are no longer kept (`retention.outputs`)." "Process the originals again, or keep outputs for longer.";
    "overloaded" [503] [Answer Job] Later:
        "The service has no connections (`server.max_connections`), file descriptors (`ulimit -n`) or memory (`limits.max_buffered_bytes`) left at present." "Wait for `Retry-After`; raise the limit if it happens often.";
    "payload-damaged" [] [Job] Never:
        "The job's payload, which says what to do with the picture, was damaged in the broker." "Upload it again; look at the disk and the memory of the machine that holds the queue.";
    "poison" [] [Job] Never:
        "The job took its process down again and again." "Report it with the picture.";
    "precondition-failed" [412] [Answer] Never:
        "The file or schedule is not what `If-Match` or `If-Unmodified-Since` takes it for." "Ask without the precondition, and compare.";
    "queue-full" [503] [Answer] Later:
        "As many jobs wait as the queue takes (`queue.cap`), or Redis has used up its memory." "Wait for `Retry-After`; add workers if it happens often.";
    "range-not-satisfiable" [416] [Answer] Never:
        "No byte of the file is in the `Range` that was asked for." "`Content-Range` tells the file's size.";
    "rate-limited" [429] [Answer] Later:
        "The API key has made more requests or uploads in a minute than `limits` or its own allow." "Wait for `Retry-After`; the field `RateLimit` of each answer to the key says what is left.";
    "repeated-field" [400] [Answer] Never:
        "A form field that may be there once is there twice." "Put all operations into one list.";
    "request-timeout" [408] [Answer] Later:
        "The upload did not come on for `server.idle_timeout`." "Look at the connection, and send it again.";
    "request-too-large" [413] [Answer] Never:
        "The request has more bytes than `limits.max_request_bytes`." "Send the pictures in several requests.";
    "result-beside-source" [] [Batch] Never:
        "A picture's results would be beside it, and the next run would take them for sources." "Name another folder with `--out`.";
    "result-damaged" [] [Job] Never:
        "The picture has ended, and the record of its result was damaged in the broker." "Upload it again; look at the disk and the memory of the machine that holds the queue.";
    "result-missing" [] [Batch] Later:
        "A result was made, and is no longer there or has changed." "Run the same command again.";
    "schedule-exists" [409] [Answer] Never:
        "There is a schedule of this name already." "Replace it with PUT, or take another name.";
    "schedule-read-only" [409] [Answer] Never:
        "The configuration declares the schedule, or it is the service's own." "Change the configuration and restart the services.";
    "source-damaged" [] [Job] Never:
        "The stored original was damaged on the disk: its checksum does not match." "Upload it again; look at the disk that holds `data_dir`.";
    "source-forbidden" [422] [Answer Rejected Job] Never:
        "A source's key leads where keys may not lead, or no folder is configured." "Name a file below `sources.folder`.";
    "source-gone" [422] [Answer Rejected] Never:
        "The original of an earlier group is no longer kept." "Upload it again, or keep originals for longer (`retention.originals`).";
    "source-missing" [422] [Answer Rejected Job] Never:
        "The original is no longer stored." "Upload it again.";
    "source-unreadable" [] [Batch] Never:
        "A file on your side cannot be read." "The detail has the system's reason.";
    "stopped" [] [Job] Later:
        "The attempt was stopped with its worker." "Nothing: it is tried again.";
    "storage" [503] [Answer Job Batch] Later:
        "A file could not be read or written." "The detail has the system's reason; look at the disk.";
    "storage-full" [503] [Answer Job Batch] Later:
        "The disk has no room, or less than `limits.min_free_disk`; or a picture's outputs do not fit on it." "Free some, for example by erasing groups; uploads are taken again by themselves.";
    "time-limit" [422] [Answer Rejected Job] Never:
        "The picture took longer than `worker.soft_time_limit` or `worker.hard_time_limit`." "Ask for less at a time, or raise the limit.";
    "too-large" [413] [Answer Rejected Job Batch] Never:
        "A file has more bytes than `limits.max_file_bytes`, or a picture is longer on a side, or needs more memory, than a limit allows." "Send a smaller one, or raise the limit that the detail names.";
    "too-many-files" [413] [Answer Job] Never:
        "The request has more files than `limits.max_files`." "Send the pictures in several requests.";
    "too-many-frames" [422] [Answer Rejected Job] Never:
        "An animation has more frames than a limit allows." "Ask for `still`, shorten it, or raise the limit that the detail names.";
    "too-many-pixels" [422] [Answer Rejected Job] Never:
        "A picture has more pixels than a limit allows; that is also what a decompression bomb says of itself." "Make it smaller, or raise the limit that the detail names.";
    "too-many-wrong-keys" [429] [Answer] Later:
        "This address has sent too many API keys that are not known." "Mend the client that sends them, and wait for `Retry-After`.";
    "truncated-image" [422] [Answer Rejected Job] Never:
        "The file ends before the picture does." "Send the whole file, or ask for what there is with the option `lenient`.";
    "unauthorized" [401] [Answer] Never:
        "An API key is needed, or the one sent is not known or has expired, or the login has ended." "Send `Authorization: Bearer <key>`, or log in at `/login`.";
    "unexpected-body" [400] [Answer] Never:
        "The request has a body, and this route takes none." "Leave the body out; put parameters into the address.";
    "unknown-field" [400] [Answer] Never:
        "The form has a field of a name that is not known." "The detail lists the known ones; pictures go into `images`.";
    "unknown-preset" [422] [Answer] Never:
        "The preset that is named is not configured." "The detail lists those that are; so does `GET /api/presets`.";
    "unsupported-format" [415] [Answer Rejected Job] Never:
        "The file is not a picture in a format that is read here; its name and its announced type do not count." "Convert it to one of those that the detail lists.";
    "uri-too-long" [414] [Answer] Never:
        "The request's target is too long." "Ask for less at a time.";
    "url-forbidden" [422] [Answer Rejected Job] Never:
        "A URL that must not be asked: its host is not in `sources.urls` (for calls, `calls.urls`), or leads into a private network." "Add the host there; private networks are opened by `allow_private` beside it.";
    "worker-deaf" [503] [Answer] Later:
        "Jobs wait, and the workers of this process claim none (`/readyz` only)." "Restart the process; report it with its log.";
    "worker-ending" [503] [Answer] Later:
        "The worker was told to end: it finishes what it has (a worker's `/readyz` only)." "Nothing: it is gone in a moment.";
    "worker-silent" [503] [Answer] Later:
        "A worker has not answered an order within five seconds; it obeys if it wakes within a minute." "See in `/api/workers` whether it has, and at its machine why it is silent.";
}
