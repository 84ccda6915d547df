//! A workflow's graph in text: a column for each depth, lines from each step to those that come after it.
//!
//! Each step has a row of its own, but for a step that follows one alone and is alone to follow it: that one goes on in its row.
//! So a horizontal line leads to one step only, from all whose lines join it. A vertical line that does not join a horizontal line
//! passes in front of it.

use unicode_width::UnicodeWidthStr;

use super::steps::{On, Step};

/// Columns between two tracks of a gutter.
const TRACK: usize = 2;

/// Directions in which a line leaves a place.
const UP: u8 = 1;
const DOWN: u8 = 2;
const LEFT: u8 = 4;
const RIGHT: u8 = 8;

/// Draws the steps, each by what `label` says of it; a line of text for each row. The steps are in the order of a
/// [`Document`](super::Document).
pub fn draw(steps: &[Step], label: impl Fn(&Step) -> String) -> String {
    let layout = Layout::of(steps, steps.iter().map(&label).collect());
    layout.text()
}

/// A step's name, and its `on` where that is not `success`.
pub fn name(step: &Step) -> String {
    match step.on {
        On::Success => step.name.clone(),
        on => format!("{} (on {})", step.name, on.as_str()),
    }
}

struct Layout {
    labels: Vec<String>,
    row: Vec<usize>,
    depth: Vec<usize>,
    /// The steps that come after each.
    behind: Vec<Vec<usize>>,
    /// Where the column of each depth begins.
    columns: Vec<usize>,
    /// Where the vertical line of each step is that leads to other rows.
    tracks: Vec<Option<usize>>,
}

impl Layout {
    fn of(steps: &[Step], labels: Vec<String>) -> Self {
        let place = |name: &String| steps.iter().position(|step| step.name == *name).expect("it was checked");
        let before: Vec<Vec<usize>> = steps.iter().map(|step| step.after.iter().map(place).collect()).collect();
        let mut behind = vec![Vec::new(); steps.len()];
        for (i, before) in before.iter().enumerate() {
            for &other in before {
                behind[other].push(i);
            }
        }
        let (mut depth, mut row, mut rows) = (Vec::new(), Vec::new(), 0);
        for before in &before {
            depth.push(before.iter().map(|&other: &usize| depth[other] + 1).max().unwrap_or(0));
            row.push(match before[..] {
                [alone] if behind[alone].len() == 1 => row[alone],
                _ => {
                    rows += 1;
                    rows - 1
                }
            });
        }
        let (mut columns, mut tracks, mut at) = (Vec::new(), vec![None; steps.len()], 0);
        for column in 0..=depth.iter().copied().max().unwrap_or(0) {
            columns.push(at);
            let members: Vec<usize> = (0..steps.len()).filter(|&i| depth[i] == column).collect();
            at += members.iter().map(|&i| labels[i].width()).max().unwrap_or(0) + 3;
            for i in members {
                if behind[i].iter().any(|&other| row[other] != row[i]) {
                    tracks[i] = Some(at);
                    at += TRACK;
                }
            }
            at += 2;
        }
        Self { labels, row, depth, behind, columns, tracks }
    }

    fn text(&self) -> String {
        let width = self.columns.last().map_or(0, |last| last + 1);
        let height = self.row.iter().max().map_or(0, |last| last + 1);
        let mut grid = vec![vec![Place::default(); width]; height];
        for i in 0..self.labels.len() {
            self.draw_lines(i, &mut grid);
        }
        let mut text = String::new();
        for (row, places) in grid.iter().enumerate() {
            let (mut line, mut at) = (String::new(), 0);
            while at < places.len() {
                let begins = |&i: &usize| self.row[i] == row && self.columns[self.depth[i]] == at;
                if let Some(i) = (0..self.labels.len()).find(begins) {
                    line += &self.labels[i];
                    at += self.labels[i].width().max(1);
                } else {
                    line.push(places[at].glyph());
                    at += 1;
                }
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }

    /// The lines from a step to those that come after it.
    fn draw_lines(&self, i: usize, grid: &mut [Vec<Place>]) {
        let own = self.row[i];
        let begin = self.columns[self.depth[i]] + self.labels[i].width() + 1;
        for &next in &self.behind[i] {
            let (row, end) = (self.row[next], self.columns[self.depth[next]] - 2);
            let Some(track) = self.tracks[i].filter(|_| row != own) else {
                horizontal(&mut grid[own], begin, end);
                continue;
            };
            horizontal(&mut grid[own], begin, track);
            horizontal(&mut grid[row], track, end);
            let (top, bottom) = (own.min(row), own.max(row));
            for (at, line) in grid.iter_mut().enumerate().take(bottom + 1).skip(top) {
                line[track].vertical |= if at > top { UP } else { 0 } | if at < bottom { DOWN } else { 0 };
                line[track].is_joined |= at == own || at == row;
            }
        }
    }
}

/// A place of the drawing: the lines through it.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    vertical: u8,
    horizontal: u8,
    /// The vertical line joins the horizontal one; else it passes in front of it.
    is_joined: bool,
}

/// A line through the places from `begin` to `end`.
fn horizontal(line: &mut [Place], begin: usize, end: usize) {
    for (at, place) in line.iter_mut().enumerate().take(end + 1).skip(begin) {
        place.horizontal |= if at > begin { LEFT } else { 0 } | if at < end { RIGHT } else { 0 };
    }
}

impl Place {
    fn glyph(self) -> char {
        match (self.vertical, self.horizontal) {
            (0, 0) => ' ',
            (0, _) => '─',
            (vertical, horizontal) if self.is_joined => glyph(vertical | horizontal),
            _ => '│',
        }
    }
}

fn glyph(directions: u8) -> char {
    match directions {
        0 => ' ',
        d if d == UP | DOWN => '│',
        d if d == DOWN | RIGHT => '┌',
        d if d == DOWN | LEFT => '┐',
        d if d == UP | RIGHT => '└',
        d if d == UP | LEFT => '┘',
        d if d == UP | DOWN | RIGHT => '├',
        d if d == UP | DOWN | LEFT => '┤',
        d if d == DOWN | LEFT | RIGHT => '┬',
        d if d == UP | LEFT | RIGHT => '┴',
        d if d == UP | DOWN | LEFT | RIGHT => '┼',
        _ => '─',
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::kinds::http_call::Method;
    use crate::workflows::{CallFields, Fan, Work};

    /// Steps of lines such as `tell: photos inventory`; one with `!` before its name begins on a failure.
    fn steps(text: &str) -> Vec<Step> {
        let step = |line: &str| {
            let (name, after) = line.split_once(':').expect("a name and a colon");
            let call = CallFields {
                method: Method::Post,
                url: json!("https://a.example/"),
                headers: Map::new(),
                json: None,
                timeout: None,
            };
            Step {
                name: name.trim().trim_start_matches('!').into(),
                after: after.split_whitespace().map(str::to_owned).collect(),
                on: if name.trim().starts_with('!') { On::Failure } else { On::Success },
                work: Work::Call(call),
                fan: Fan::One,
                options: Map::new(),
                concurrency: None,
            }
        };
        text.split(',').map(step).collect()
    }

    fn drawn(text: &str) -> String {
        draw(&steps(text), name)
    }

    #[test]
    fn order_is_drawn_with_its_joins_and_crossings() {
        let order = drawn("photos:, payment:, inventory: payment, tell: photos inventory, !refund: inventory");
        let expected = "\
photos ───┐
payment ──│── inventory ──┐
          └───────────────┼── tell
                          └── refund (on failure)
";
        assert_eq!(order, expected);
    }

    #[test]
    fn chain_is_drawn_in_one_row_and_steps_alone_below_each_other() {
        assert_eq!(drawn("a:, b: a, c: b"), "a ─── b ─── c\n");
        assert_eq!(drawn("a:, bb:"), "a\nbb\n");
    }

    #[test]
    fn step_leads_to_several_and_several_lead_to_a_step() {
        let expected = "\
a ──┐
    ├── b ──┐
    ├── c ──│─┐
    └── d ──│─│─┐
            └─┴─┴── e
";
        assert_eq!(drawn("a:, b: a, c: a, d: a, e: b c d"), expected);
    }

    #[test]
    fn labels_may_be_wide_and_say_the_state() {
        let steps = steps("a:, b: a");
        let text = draw(&steps, |step| if step.name == "a" { "a 完了".into() } else { "b".into() });
        assert_eq!(text, "a 完了 ─── b\n");
    }

    /// Every step is in the text once, whatever the graph is.
    #[test]
    fn largest_graph_is_drawn() {
        let after =
            |n: i32| (0..n).filter(move |m| (n * m) % 3 == 1).map(|m| format!("step{m}")).collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = (0..32).map(|n| format!("step{n}: {}", after(n))).collect();
        let text = drawn(&lines.join(","));
        for n in 0..32 {
            let name = format!("step{n}");
            let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| *word == name).count();
            assert_eq!(words, 1, "{name}\n{text}");
        }
    }
}
