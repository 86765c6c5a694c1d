//! Everything that the program prints goes through here, on standard output and on standard error.
//!
//! - **A reader that has gone is no error.** Where the other end of a pipe is closed (`| head -1`) what is left is
//!   dropped, and the work that was asked for goes on. Any other failure of standard output, such as a full disk, is
//!   kept, and [`failure`] says it in the end.
//! - **One call prints one line.** Names of files, detectors, classes and columns come from others: whatever in them
//!   would break the line, colour it or turn its direction is written as an escape ([`visible`]).

use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::io::{self, ErrorKind, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use dubito_data::is_unseen;
use indicatif::ProgressBar;
use serde_json::Value;

/// Prints one line on standard output, as [`println!`] does.
macro_rules! say {
    ($($argument:tt)*) => { $crate::output::line(format_args!($($argument)*)) };
}

/// Prints one line on standard error, as [`eprintln!`] does.
macro_rules! note {
    ($($argument:tt)*) => { $crate::output::note_line(format_args!($($argument)*)) };
}

pub(crate) use {note, say};

/// Set once nobody reads standard output any more, or it can't be written.
static OUT_IS_GONE: AtomicBool = AtomicBool::new(false);
/// The same of standard error.
static ERR_IS_GONE: AtomicBool = AtomicBool::new(false);
/// Why standard output could not be written, where the reason is not that its reader has gone.
static FAILURE: Mutex<Option<io::Error>> = Mutex::new(None);
/// The progress bar that is drawn on the terminal, and has to make room for lines.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Prints one line on standard output.
pub fn line(text: impl Display) {
    print(&format!("{}\n", visible(&text.to_string())));
}

/// Prints one line on standard error.
pub fn note_line(text: impl Display) {
    complain(&format!("{}\n", visible(&text.to_string())));
}

/// Prints text of several lines on standard output: every line feed in it is meant.
pub fn text(text: &str) {
    text.lines().for_each(line);
}

/// The same on standard error.
pub fn note_text(text: &str) {
    text.lines().for_each(note_line);
}

/// Prints text of our own as it is on standard output, control characters too: the help with its colours.
pub fn raw(text: &str) {
    print(text);
}

/// Prints one JSON value in one line on standard output. What [`visible`] escapes in text is escaped by JSON's own
/// `\u` here, so that a parser reads the names as they are.
pub fn json(value: &Value) {
    let text = value.to_string();
    let mut escaped = String::with_capacity(text.len() + 1);
    for char in text.chars() {
        if is_unseen(char) {
            let mut units = [0; 2];
            for unit in char.encode_utf16(&mut units) {
                // Writing into a string does not fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(char);
        }
    }
    escaped.push('\n');
    print(&escaped);
}

/// Prints what the user should know on standard error.
pub fn warn(warnings: &[String]) {
    warnings.iter().for_each(|warning| note_line(format_args!("warning: {warning}")));
}

/// The text with everything that would break the line, move the cursor, colour the terminal, turn the direction of
/// writing or not be seen at all as an escape: `\n`, `\r`, `\t`, `\u{1b}`, `\u{202e}` ([`is_unseen`]).
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unseen) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        if is_unseen(char) {
            // `\n`, or `\u{202e}` for what has no short form.
            match char {
                '\n' | '\r' | '\t' => escaped.extend(char.escape_default()),
                _ => escaped.extend(char.escape_unicode()),
            }
        } else {
            escaped.push(char);
        }
    }
    Cow::Owned(escaped)
}

/// Lets lines be printed above a progress bar; `None` where there is none any more.
pub fn set_bar(bar: Option<ProgressBar>) {
    if let Ok(mut drawn) = BAR.lock() {
        *drawn = bar;
    }
}

/// Why standard output could not be written, at the end of the program. `None` too where its reader has gone.
pub fn failure() -> Option<io::Error> {
    write_out(b"");
    FAILURE.lock().ok()?.take()
}

fn print(text: &str) {
    beside_bar(|| write_out(text.as_bytes()));
}

fn complain(text: &str) {
    beside_bar(|| {
        // Nobody is left to be told that standard error can't be written.
        if !ERR_IS_GONE.load(Ordering::Relaxed) && io::stderr().lock().write_all(text.as_bytes()).is_err() {
            ERR_IS_GONE.store(true, Ordering::Relaxed);
        }
    });
}

fn write_out(bytes: &[u8]) {
    if OUT_IS_GONE.load(Ordering::Relaxed) {
        return;
    }
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) {
        OUT_IS_GONE.store(true, Ordering::Relaxed);
        if error.kind() != ErrorKind::BrokenPipe
            && let Ok(mut failure) = FAILURE.lock()
        {
            *failure = Some(error);
        }
    }
}

fn beside_bar(print: impl FnOnce()) {
    let bar = BAR.lock().ok().and_then(|bar| bar.clone());
    match bar {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_escaped() {
        assert_eq!(visible("Зоя – naïve 顔.mp4"), "Зоя – naïve 顔.mp4");
        assert_eq!(visible("a\nreal"), "a\\nreal");
        assert_eq!(visible("a\rb\tc\u{8}"), "a\\rb\\tc\\u{8}");
        assert_eq!(visible("\u{1b}]0;x\u{7}\u{9b}2J"), "\\u{1b}]0;x\\u{7}\\u{9b}2J");
        assert_eq!(visible("gpj\u{202e}.exe\u{200b}\u{feff}"), "gpj\\u{202e}.exe\\u{200b}\\u{feff}");
        assert!(matches!(visible("C:\\new"), Cow::Borrowed("C:\\new")));
    }

    #[test]
    fn every_char_is_printed_in_one_line() {
        for char in (0..=0x10_ffff).filter_map(char::from_u32) {
            let shown = visible(&char.to_string()).into_owned();
            assert_eq!(shown.lines().count(), 1, "{:?}", char);
            assert!(!shown.contains(char::is_control), "{:?}", char);
        }
    }
}
