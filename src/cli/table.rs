//! What operators are shown: aligned tables for people, one JSON document for programs.

use std::io::Write;

use jiff::Timestamp;
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

/// Writes the answer to standard output.
pub(super) fn show(json: bool, document: &Value, text: &str) {
    if json { print(&format!("{document}\n")) } else { print(text) }
}

/// Writes to standard output. Whoever reads may have seen enough (`| head`); that is no fault.
pub(super) fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Columns as wide as their widest cell, those of numbers to the right; nothing without rows.
pub(super) fn table<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let numeric: [bool; N] = std::array::from_fn(|column| {
        rows.iter().all(|row| !row[column].is_empty() && row[column].bytes().all(|byte| byte.is_ascii_digit()))
    });
    // An error's detail may quote a client's file: it shall not steer the terminal.
    let visible = |cell: String| cell.replace(char::is_control, "\u{fffd}");
    let lines: Vec<[String; N]> =
        std::iter::once(head.map(str::to_uppercase)).chain(rows.into_iter().map(|row| row.map(visible))).collect();
    let widths: [usize; N] =
        std::array::from_fn(|column| lines.iter().map(|line| line[column].width()).max().unwrap_or_default());
    let mut text = String::new();
    for line in lines {
        let mut padded = String::new();
        for ((cell, width), numeric) in line.iter().zip(widths).zip(numeric) {
            let gap = " ".repeat(width - cell.width());
            padded += &if numeric { gap + cell } else { cell.clone() + &gap };
            padded += "  ";
        }
        text += padded.trim_end();
        text.push('\n');
    }
    text
}

/// The time between two instants in its two largest units; instants of two clocks may stand the wrong way round.
pub(super) fn span(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.duration_since(from).as_secs().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, ..) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// `1 job`, `2 jobs`.
pub(super) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_stand_to_the_right() {
        let rows = vec![["größe".into(), "7".into(), "a\u{1b}[31m".into()], ["b".into(), "1234".into(), String::new()]];
        let expected = "QUEUE  JOBS  WHY\ngröße     7  a\u{fffd}[31m\nb      1234\n";
        assert_eq!(table(["queue", "jobs", "why"], rows), expected);
        assert_eq!(table(["queue"], Vec::new()), "");
        let rows = vec![["猫.jpg".into(), "a".into()], ["cats.jpg".into(), "b".into()]];
        let expected = "PICTURE   WHY\n猫.jpg    a\ncats.jpg  b\n";
        assert_eq!(table(["picture", "why"], rows), expected, "a wide character takes two places");
    }

    #[test]
    fn spans_have_two_units_at_most() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let spans = [0, 59, 60, 3_599, 3_600, 90_061].map(|seconds| span(at(1_000), at(1_000 + seconds)));
        assert_eq!(spans, ["0s", "59s", "1m 0s", "59m 59s", "1h 0m", "1d 1h"]);
        assert_eq!(span(at(5), at(0)), "0s", "the broker's clock is ahead");
    }
}
