//! The flags of `pixmill batch`, and its page of help.

use std::path::PathBuf;

use super::names::Names;
use super::report::OnError;
use super::sources::Filters;
use crate::cli::operations::Operations;

const EXAMPLES: &str = "\
Examples:
  pixmill batch photos/ --thumbnail 300          one result each, under its name
  pixmill batch photos/ --thumbnail 150 --watermark '© Ann' --out web/
  pixmill batch 'photos/2024-*/**/*.jpg' --convert webp --quality 75
  pixmill batch photos/ --resize 1600x --name '{dir}/{stem}@2x.{ext}'
  pixmill batch photos/ --preset card            [presets] in the settings
  pixmill batch photos/ --resize 800x --newer-than 7d --exclude 'draft*'
  pixmill batch --list l.csv --resize 800x       columns path or url, name, out
  find . -name '*.png' -print0 | pixmill batch - -0 --convert webp
  pixmill batch photos/ --resize 800x --server https://pixmill.example.org
  pixmill batch photos/ --resize 800x --dry-run  only says what would be done
  pixmill batch photos/ --resize 800x --json > done.jsonl   a line a picture

Names: with one operation, photos/2024/cat.jpg becomes pixmill-out/2024/cat.jpg; with several, cat-0-resize.jpg, \
cat-1-thumbnail.jpg, …. Other names by --name, a pattern of these fields:

  {dir}    the folders below the folder that was given: 2024; a path in a
           list keeps its folders, an address its host and path
  {stem}   the name without its ending: cat; where cat.png is beside it and
           both would be called cat.webp: cat.jpg
  {index}  the operation's place, from 0
  {op}     the operation's type, or its own name: resize
  {ext}    the ending, at the end of each pattern: the source's own where its
           format stays (jpg, JPEG), else that of the format

A file in OUT is replaced if it was made of the same picture, or of one that is no longer there; any other is left \
alone, and the picture fails as name-taken, unless there is --overwrite.

In folders, pictures are known by their ending, and hidden files are passed over; a file that you name is always \
taken. A name that begins with a dash goes behind --, or as ./-name.

Stopping and going on: Ctrl-C finishes the pictures that are being made; the same command goes on from there, after a \
crash, a kill or a power cut too, here and with --server. The journal is in OUT/.pixmill; a picture is done again when \
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
    /// What results are called below OUT: a pattern of the fields below [default: '{dir}/{stem}.{ext}' for one operation,
    /// '{dir}/{stem}-{index}-{op}.{ext}' for several]
    #[arg(long, value_name = "PATTERN", value_parser = Names::parse)]
    pub(super) name: Option<Names>,
    /// Replace files in OUT that are not results of the same picture
    #[arg(long)]
    pub(super) overwrite: bool,
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
    pub(crate) operations: Operations,
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
