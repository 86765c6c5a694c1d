//! Progress on standard error: a bar on a terminal, a line every few seconds elsewhere.

use std::io::{IsTerminal, stderr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use dubito_study::Progress;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use crate::output::{self, note};
use crate::stop;

/// Seconds between two lines where there is no terminal.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// Shows progress; made once for a command.
pub struct Display {
    bar: Option<ProgressBar>,
    state: Mutex<State>,
    quiet: bool,
}

struct State {
    begun: Instant,
    /// Share that was done when the first part was told: work of an earlier, stopped command.
    found: Option<f64>,
    step: usize,
    printed: Option<Instant>,
}

impl Display {
    /// A display; a silent one where `quiet`.
    pub fn new(quiet: bool) -> Self {
        let bar = (!quiet && stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(1000);
            let style = ProgressStyle::with_template("{prefix:<22} {bar:28} {percent:>3} %  {msg}");
            if let Ok(style) = style {
                bar.set_style(style);
            }
            output::set_bar(Some(bar.clone()));
            bar
        });
        let state = State { begun: Instant::now(), found: None, step: 0, printed: None };
        Self { bar, state: Mutex::new(state), quiet }
    }

    /// Takes one message. Says to go on, unless the user stopped the program.
    pub fn show(&self, progress: &Progress) -> bool {
        if !self.quiet {
            self.draw(progress);
        }
        !stop::is_asked()
    }

    fn draw(&self, progress: &Progress) {
        let Ok(mut state) = self.state.lock() else { return };
        let overall = progress.overall();
        let found = *state.found.get_or_insert(overall);
        let elapsed = state.begun.elapsed();
        let left = if overall - found > 0.01 {
            let left = elapsed.mul_f64((1.0 - overall).max(0.0) / (overall - found));
            format!("about {} left", HumanDuration(left))
        } else {
            "time left not known yet".to_owned()
        };
        let prefix = format!("[{}/{}] {}", progress.step.number, progress.step.of, progress.step.name);
        if let Some(bar) = &self.bar {
            bar.set_prefix(prefix);
            bar.set_position((overall * 1000.0) as u64);
            let item = output::visible(&progress.item);
            bar.set_message(format!("{left}  ({}/{} {item})", progress.done, progress.total));
            return;
        }
        let new_step = state.step != progress.step.number;
        let due = state.printed.is_none_or(|at| at.elapsed() >= BETWEEN_LINES);
        if new_step || due || progress.done == progress.total {
            state.step = progress.step.number;
            state.printed = Some(Instant::now());
            note!("{prefix}: {} of {}, {left}", progress.done, progress.total);
        }
    }

    /// Ends the display.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            output::set_bar(None);
            bar.finish_and_clear();
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        // Of a command that ended with an error, too, no bar stays in front of its message.
        self.finish();
    }
}
