//! Ctrl-C and `kill`: a command stops at the next place where it may, says what is kept, and ends with 130 or 143.
//!
//! The first SIGINT or SIGTERM sets a flag that loops and progress functions look at ([`is_asked`]). What has not come
//! back after [`GRACE`] is ended where it is: whatever is written is written beside its place and renamed, so that no
//! file is half there. A second signal ends the program at once.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::output::note;

/// How long a command has to come to a place where it may stop.
const GRACE: Duration = Duration::from_secs(2);
/// How long a message may take to be read, where the program is ended.
const TO_SAY: Duration = Duration::from_millis(300);

/// The signal that came, or 0.
static SIGNAL: AtomicI32 = AtomicI32::new(0);
/// Whether it was said.
static IS_SAID: AtomicBool = AtomicBool::new(false);
/// The state that the command leaves.
static LEFT: Mutex<Left> = Mutex::new(Left::Nothing);

/// The state that a command leaves where it is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The same command does what is not done.
    Resumes,
    /// The files that were finished, but the same command begins anew.
    Files,
    /// Nothing.
    Nothing,
    /// A part of what was to be removed.
    Rest,
}

impl Left {
    fn sentence(self) -> &'static str {
        match self {
            Self::Resumes => "stopped; the same command goes on from there",
            Self::Files => "stopped; the files that are finished are kept, and the same command begins anew",
            Self::Nothing => "stopped; nothing was kept, and the same command begins anew",
            Self::Rest => "stopped; the same command removes the rest",
        }
    }
}

/// Listens from now on. `left` is the state that the command leaves where it is stopped.
pub fn listen(left: Left) {
    *LEFT.lock().unwrap_or_else(PoisonError::into_inner) = left;
    // Where no handler can be had, the signals end the program as they do others.
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else { return };
    thread::spawn(move || {
        let mut signals = signals.forever();
        let Some(first) = signals.next() else { return };
        SIGNAL.store(first, Ordering::SeqCst);
        thread::spawn(move || {
            thread::sleep(GRACE);
            end(first);
        });
        if let Some(second) = signals.next() {
            end(second);
        }
    });
}

/// Whether the command should stop.
pub fn is_asked() -> bool {
    SIGNAL.load(Ordering::SeqCst) != 0
}

/// Says that the command was stopped, where it was asked to; gives the exit code.
pub fn exit_code() -> Option<u8> {
    let signal = SIGNAL.load(Ordering::SeqCst);
    if signal == 0 {
        return None;
    }
    say();
    u8::try_from(128 + signal).ok()
}

fn say() {
    if !IS_SAID.swap(true, Ordering::SeqCst) {
        let left = *LEFT.lock().unwrap_or_else(PoisonError::into_inner);
        note!("{}", left.sentence());
    }
}

/// Ends the program where it is.
fn end(signal: i32) -> ! {
    // Whoever should read the message may have stopped reading, without having gone.
    let said = thread::spawn(say);
    let begun = Instant::now();
    while !said.is_finished() && begun.elapsed() < TO_SAY {
        thread::sleep(Duration::from_millis(5));
    }
    signal_hook::low_level::exit(128 + signal)
}
