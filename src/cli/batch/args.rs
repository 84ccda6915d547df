//! The flags of `pixmill batch`, and its page of help.

use std::path::PathBuf;

use super::report::OnError;
use super::sources::Filters;
use crate::cli::operations::Operations;

const EXAMPLES: &str = "\
Examples:
  pixmill batch photos/                          the default three of every one
  pixmill batch photos/ --thumbnail 150 --watermark '© Ann' --out web/
  pixmill batch 'photos/2024-*/**/*.jpg' --convert webp --quality 75
  pixmill batch photos/ --preset card            [presets] in the settings
  pixmill batch photos/ --newer-than 7d --exclude 'draft*' --min-size 20k
  pixmill batch --list products.csv              columns path or url, name, out
  find /srv -name '*.png' -print0 | pixmill batch - -0
  pixmill batch photos/ --server https://pixmill.example.org --api-key KEY
  pixmill batch photos/ --dry-run                only says what would be done
  pixmill batch photos/ --json > done.jsonl      a line a picture, for programs

Without operations: resize to 800×600, thumbnail in 150×150, watermark \"MySite\".

Names: photos/2024/cat.jpg becomes pixmill-out/2024/cat-0-resize.jpg, cat-1-thumbnail.jpg, …. Where cat.jpg and \
cat.png lie in one folder, both keep their ending: cat.jpg-0-resize.jpg. A path in a list keeps its folders, an \
address its host and path. In folders, pictures are known by their ending, and hidden files are passed over; a file \
that you name is always taken. A name that begins with a dash goes behind --, or as ./-name.

Stopping and going on: Ctrl-C finishes the pictures that are being made; the same command goes on from there, after a \
crash, a kill or a power cut too, here and with --server. The journal is OUT/.pixmill; a picture is done again when \
it, the operations, or its results have changed. Delete OUT/.pixmill to forget the past.

Exit code: 0 all good, 1 some pictures failed or the run broke off, 2 called wrongly, 130 stopped. The whole manual: \
docs/batch.md.";

/// Process folders and lists of pictures, here or on a server: pixmill batch photos/ --thumbnail 150
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    /// Pictures, folders (with all that is below them), quoted globs, addresses (http, https), or - for a list on
    /// standard input
    #[arg(value_name = "PATH", required_unless_present = "list")]
    pub(super) paths: Vec<PathBuf>,
    /// Take what a list names: FILE.csv with columns path or url, and name, out if you like; FILE.jsonl with objects of
    /// the same; any other file with a path or address a line; - for standard input
    #[arg(long, value_name = "FILE")]
    pub(super) list: Vec<PathBuf>,
    /// The names in lists end with NUL instead of line ends, as `find -print0` writes them
    #[arg(long, short = '0')]
    pub(super) null: bool,
    /// Folder for the results, and for the journal in its .pixmill
    #[arg(long, value_name = "DIR", default_value = "./pixmill-out")]
    pub(super) out: PathBuf,
    /// Have the pictures processed by the pixmill at this address instead of here
    #[arg(long, value_name = "URL", value_parser = server)]
    pub(super) server: Option<url::Url>,
    /// The server's API key
    #[arg(long, value_name = "KEY", env = "PIXMILL_API_KEY", hide_env_values = true)]
    pub(super) api_key: Option<String>,
    /// The server's queue for the pictures [default: the server's own]
    #[arg(long, value_name = "NAME", requires = "server")]
    pub(super) queue: Option<String>,
    /// Their priority there, 10 first [default: 5]
    #[arg(long, value_name = "1-10", requires = "server", value_parser = clap::value_parser!(u8).range(1..=10))]
    pub(super) priority: Option<u8>,
    /// Pictures computed at a time here [default: one a core], or uploads of up to 20 at a time with --server
    /// [default: 2]
    #[arg(long, visible_alias = "cpu", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) concurrency: Option<u16>,
    /// When a picture fails: go on with the others, begin nothing more, or go on and at the end take those again, up to
    /// three times, whose failure may pass
    #[arg(long, value_name = "WHAT", default_value = "continue")]
    pub(super) on_error: OnError,
    /// Do pictures again that failed in an earlier run
    #[arg(long)]
    pub(super) retry_failed: bool,
    /// Take what there is of files cut short, with a warning, instead of refusing them
    #[arg(long)]
    pub(super) lenient: bool,
    /// Say what would still be done, and do nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// One JSON line a picture on standard output, and a last one with the summary
    #[arg(long)]
    pub(super) json: bool,
    /// Say nothing on standard error but what failed
    #[arg(long, short)]
    pub(super) quiet: bool,
    #[command(flatten)]
    pub(super) filters: Filters,
    #[command(flatten)]
    pub(super) operations: Operations,
}

fn server(text: &str) -> Result<url::Url, String> {
    let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| {
        if text.contains("://") {
            "an address begins with http:// or https:// and a host".to_owned()
        } else {
            format!("write the whole address: http://{text}")
        }
    })
}
