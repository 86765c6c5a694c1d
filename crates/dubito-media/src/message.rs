//! What programs say, made fit for a report: the same words in every run, on one line, of bounded length.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Characters of a cleaned message, at most.
const LONGEST: usize = 400;
/// Different lines that are held, at most; the first ones in the order of their text.
const MOST_LINES: usize = 64;
/// Lines that are told.
const TOLD_LINES: usize = 4;

/// A program's message without what differs from run to run (addresses, process and thread numbers), without the path of
/// the file (errors begin with it anyway), control characters, terminal escapes and marks of writing direction, at most
/// 400 characters long.
pub(crate) fn clean(message: &str, path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string();
    let mut text = message.replace(&format!("file:{absolute}: "), "").replace(&format!("file:{absolute}"), "the file");
    if absolute.len() > 1 {
        text = text.replace(&absolute, "the file");
    }
    let text = without_addresses(&printable(&text));
    let text = text.trim();
    match text.char_indices().nth(LONGEST) {
        _ if text.is_empty() => "no reason given".to_owned(),
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

/// One line of what can be shown: escape sequences are dropped, runs of blanks and control characters become one blank.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            // `ESC [ parameters letter`, or `ESC x`.
            '\u{1b}' => {
                if rest.next() == Some('[') {
                    while rest.next_if(|c| ('\u{20}'..='\u{3f}').contains(c)).is_some() {}
                    rest.next_if(|c| ('\u{40}'..='\u{7e}').contains(c));
                }
            }
            c if c.is_control() || c.is_whitespace() => {
                if !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            // Marks that turn the direction of writing, join lines or have no width.
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {}
            c => out.push(c),
        }
    }
    out
}

/// The text without ` @ 0x55...` and other addresses, and without the thread's number in a panic of Rust.
fn without_addresses(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("0x") {
        let digits = rest[at + 2..].bytes().take_while(u8::is_ascii_hexdigit).count();
        let before = &rest[..at];
        // Shorter numbers are offsets, tags and the like: they are the same in every run.
        if digits >= 8 || before.ends_with(" @ ") {
            out.push_str(before.strip_suffix(" @ ").unwrap_or(before));
        } else {
            out.push_str(&rest[..at + 2 + digits]);
        }
        rest = &rest[at + 2 + digits..];
    }
    out.push_str(rest);
    match out.split_once("thread '") {
        Some((before, after)) => {
            match after.split_once("' (").and_then(|(name, tail)| Some((name, tail.split_once(") ")?))) {
                Some((name, (number, tail))) if number.bytes().all(|b| b.is_ascii_digit()) => {
                    format!("{before}thread '{name}' {tail}")
                }
                _ => out,
            }
        }
        None => out,
    }
}

/// Lines of a program whose threads speak in any order: those that differ only in their numbers are one, and what is told of
/// them depends on the lines, not on their order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<BTreeMap<String, String>>>);

impl Lines {
    /// Takes a line.
    pub(crate) fn push(&self, line: &str, path: &Path) {
        let line = clean(line, path);
        let kind: String = line.chars().filter(|c| !c.is_ascii_digit() && *c != '-').collect();
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = lines.entry(kind).or_insert_with(|| line.clone());
        if line < *held {
            *held = line;
        }
        if lines.len() > MOST_LINES {
            lines.pop_last();
        }
    }

    /// The first few lines in the order of their text, joined; empty if there is none.
    pub(crate) fn joined(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told: Vec<&str> = lines.values().take(TOLD_LINES).map(String::as_str).collect();
        let more = match lines.len().saturating_sub(TOLD_LINES) {
            0 => "",
            _ => "; and more",
        };
        format!("{}{more}", told.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(text: &str) -> String {
        clean(text, Path::new("/a/x.mp4"))
    }

    #[test]
    fn what_differs_between_runs_is_left_out() {
        let said =
            cleaned("[h264 @ 0x55ae1c0] [error] bad; [mov,mp4 @ 0x7f0012345678] stream 0, offset 0x6dce: partial file");
        assert_eq!(said, "[h264] [error] bad; [mov,mp4] stream 0, offset 0x6dce: partial file");
        assert_eq!(cleaned("freed 0x7ffd12345678 twice"), "freed  twice");
        assert_eq!(cleaned("thread 'main' (31337) panicked at x.rs:1"), "thread 'main' panicked at x.rs:1");
        assert_eq!(cleaned("file:/a/x.mp4: Invalid data in /a/x.mp4"), "Invalid data in the file");
    }

    #[test]
    fn nothing_reaches_a_terminal_but_text_of_one_line() {
        let said = cleaned("a\u{1b}[31;1mred\u{1b}[0m\r\nx.mp4: real\u{202e}evil\u{7}\u{9b}\tb\u{feff}");
        assert_eq!(said, "ared x.mp4: realevil b");
        assert_eq!(cleaned("\u{1b}["), "no reason given");
        assert_eq!(cleaned(&"é".repeat(1000)).chars().count(), LONGEST + 3);
    }

    #[test]
    fn the_order_of_lines_does_not_matter() {
        let (one, two) = (Lines::default(), Lines::default());
        let lines: Vec<String> = (0..200)
            .map(|i| format!("[h264 @ 0x{i:08x}] {} in frame {i}", "abcdef".get(i % 6..).unwrap_or("")))
            .collect();
        lines.iter().for_each(|line| one.push(line, Path::new("x")));
        lines.iter().rev().for_each(|line| two.push(line, Path::new("x")));
        assert_eq!(one.joined(), two.joined());
        assert!(one.joined().ends_with("; and more") && !one.joined().contains("@"), "{}", one.joined());
        assert_eq!(Lines::default().joined(), "");
    }
}
