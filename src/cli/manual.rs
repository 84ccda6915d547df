//! What packagers and shells are given, made from the commands themselves: completions and man pages.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man as Page;

const COMPLETIONS: &str = "\
Examples:
  pixmill completions bash > /etc/bash_completion.d/pixmill
  pixmill completions zsh > ~/.zfunc/_pixmill    with `fpath+=~/.zfunc` before
                                                 compinit
  pixmill completions fish > ~/.config/fish/completions/pixmill.fish
  source <(pixmill completions bash)             for this shell only";

/// Print what completes pixmill's commands and flags in a shell: pixmill completions bash
#[derive(Debug, clap::Args)]
#[command(after_help = COMPLETIONS)]
pub(super) struct Completions {
    shell: Shell,
}

const PAGES: &str = "\
Examples:
  pixmill man | man -l -                     the overview, read at once
  pixmill man /usr/local/share/man/man1      one for every command, which
                                             `man pixmill-batch` then finds";

/// Write the man pages, one for every command: pixmill man DIR
#[derive(Debug, clap::Args)]
#[command(after_help = PAGES)]
pub(super) struct Man {
    /// Folder for all pages, made if it is not there; without it, the overview goes to standard output
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

pub(super) fn completions(args: &Completions, mut command: Command) {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "pixmill", &mut script);
    // Whoever reads may have seen enough (`| head`).
    let _ = std::io::stdout().lock().write_all(&script);
}

pub(super) fn pages(args: &Man, command: Command) -> Result<()> {
    let Some(folder) = &args.folder else {
        let mut page = Vec::new();
        Page::new(command).render(&mut page)?;
        let _ = std::io::stdout().lock().write_all(&page);
        return Ok(());
    };
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    clap_mangen::generate_to(command, folder)
        .with_context(|| format!("no pages can be written to {}", folder.display()))
}
