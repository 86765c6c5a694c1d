//! How far a study is, told step by step, with an estimate of the whole.

/// One step of several.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// What is done, in a word or two.
    pub name: &'static str,
    /// Its number, from 1.
    pub number: usize,
    /// Steps in all.
    pub of: usize,
    /// Share of the whole time that the steps before it take, as a rule.
    pub before: f64,
    /// Share of the whole time that it takes, as a rule.
    pub share: f64,
}

impl Step {
    /// The only step of a command.
    pub const fn only(name: &'static str) -> Self {
        Self { name, number: 1, of: 1, before: 0.0, share: 1.0 }
    }
}

/// What is told while a step runs.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The step.
    pub step: Step,
    /// Parts of it that are done.
    pub done: usize,
    /// Parts of it in all.
    pub total: usize,
    /// The part in hand, or just finished.
    pub item: String,
}

impl Progress {
    /// Share of the whole that is done, 0 to 1.
    pub fn overall(&self) -> f64 {
        let step = self.done as f64 / self.total.max(1) as f64;
        (self.step.before + self.step.share * step.min(1.0)).min(1.0)
    }
}

/// What is told of progress, from any thread. Returns whether to go on.
pub type OnProgress<'a> = &'a (dyn Fn(&Progress) -> bool + Sync);
