//! Help, completions and man pages, as they are made from the commands.

use std::process::Command;

use super::{Desk, stderr};

const COMMANDS: [&str; 11] =
    ["serve", "worker", "process", "batch", "inspect", "control", "keys", "workflow", "config", "completions", "man"];

fn stdout(line: &[&str]) -> String {
    let output = Desk::new().run(line);
    assert!(output.status.success(), "{line:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_command_shows_examples_and_the_main_ones_their_exit_codes() {
    for command in COMMANDS {
        let help = stdout(&[command, "--help"]);
        assert!(help.contains("\nExample"), "{command}: {help}");
    }
    for command in ["batch", "process", "inspect", "control", "keys", "workflow", "config"] {
        let help = stdout(&[command, "--help"]);
        assert!(help.contains("Exit code: 0 "), "{command}: {help}");
    }
}

#[test]
fn completions_know_every_command_in_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(&["completions", shell]);
        for command in COMMANDS {
            assert!(script.contains(command), "{shell} lacks {command}");
        }
    }
    let desk = Desk::new();
    std::fs::write(desk.path("pixmill.bash"), stdout(&["completions", "bash"])).unwrap();
    // `compute` is for workers alone.
    for (begun, offered) in [("ba", "batch"), ("co", "control config completions")] {
        let ask = format!(
            ". ./pixmill.bash; COMP_WORDS=(pixmill {begun}); COMP_CWORD=1; _pixmill pixmill {begun} pixmill; \
             echo ${{COMPREPLY[@]}}"
        );
        let output = Command::new("bash").args(["-c", &ask]).current_dir(desk.path("")).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), offered, "{}", stderr(&output));
    }
}

#[test]
fn man_pages_tell_of_every_command() {
    let desk = Desk::new();
    let output = desk.run(&["man", "share/man1"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let page = |name: &str| std::fs::read_to_string(desk.path(&format!("share/man1/{name}.1"))).unwrap();
    for command in COMMANDS {
        assert!(page(&format!("pixmill-{command}")).contains(".TH pixmill-"), "{command}");
    }
    assert!(page("pixmill-batch").contains("Stopping and going on"));
    assert!(page("pixmill-control-retry").contains("dead"));
    assert!(!desk.path("share/man1/pixmill-compute.1").exists());
    assert!(stdout(&["man"]).contains(".TH pixmill 1"));
}

#[test]
fn without_a_command_there_is_help() {
    let output = Desk::new().run(&[]);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(said.contains("Usage: pixmill") && said.contains("pixmill serve\n"), "{said}");
}

#[test]
fn mistyped_commands_and_flags_are_told_with_what_was_meant() {
    for (line, said) in [(&["bacth"][..], "'batch'"), (&["batch", "in", "--tumbnail", "9"], "'--thumbnail'")] {
        let output = Desk::new().run(line);
        assert_eq!(output.status.code(), Some(2), "{line:?}");
        assert!(stderr(&output).contains(said), "{line:?}: {}", stderr(&output));
    }
}

/// As `pixmill openapi | head` is.
#[test]
fn reader_that_has_seen_enough_is_no_fault() {
    for command in [&["openapi"][..], &["errors"], &["config", "print", "--defaults"], &["completions", "bash"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = Command::new(env!("CARGO_BIN_EXE_pixmill")).args(command).stdout(writer).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success() && said.is_empty(), "{command:?}: {said}");
    }
}
