//! A child process with limits: memory, processor time, silence, and a bounded tail of its messages.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::worker;

const TAIL_LINES: usize = 12;
const LINE_BYTES: u64 = 4096;
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// What a child may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest silence while we wait for it in a read or a write.
    pub stall: Duration,
    /// Longest time spent waiting for it in all; [`Duration::MAX`] for no bound.
    pub timeout: Duration,
    /// Address space in bytes. Enforced on Linux.
    pub memory_bytes: u64,
}

impl Limits {
    /// Processor time that goes with `timeout`: twice as much, as a child has two busy threads or so.
    pub fn cpu_seconds(&self) -> u64 {
        self.timeout.as_secs().saturating_mul(2).saturating_add(2)
    }
}

/// A child that could not be started or waited for.
#[derive(Debug)]
pub struct ProcessError {
    /// The program.
    pub program: String,
    /// What happened.
    pub message: String,
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.program, self.message)
    }
}

impl std::error::Error for ProcessError {}

/// Which limit ended a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// It needs more memory than this, in bytes.
    Memory(u64),
    /// It gave no sign of life for this long.
    Silence(Duration),
    /// It took longer than this in all.
    Time(Duration),
    /// Its calls were nested too deep for its stack.
    Stack,
}

/// A running child. Dropping it kills it, with the processes that it started (on Unix, where it leads a group of its own).
///
/// A watchdog kills them when one read or write waits longer than [`Limits::stall`], or all of
/// them together longer than [`Limits::timeout`]; the pending read or write then fails and
/// [`Process::stopped`] tells why.
pub struct Process {
    running: Arc<Mutex<Running>>,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    messages: Option<JoinHandle<VecDeque<String>>>,
    tail: VecDeque<String>,
    waiting: Arc<Mutex<Waiting>>,
    killed_by_watchdog: Arc<AtomicBool>,
    /// Dropping it ends the watchdog.
    _watchdog: Sender<()>,
    program: String,
    limits: Limits,
}

struct Waiting {
    stall: Duration,
    since: Option<Instant>,
    before: Duration,
}

struct Running {
    child: Child,
    /// Whether its end was taken note of: its id may be another process's since.
    reaped: bool,
}

impl Running {
    /// Kills the child and the processes that it started: one of them may hold its pipes.
    fn kill(&mut self) {
        self.kill_group();
        let _ = self.child.kill();
    }

    /// Its end, if it has ended.
    fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.has_ended() {
            self.kill_group();
        }
        let status = self.child.try_wait()?;
        self.reaped |= status.is_some();
        Ok(status)
    }

    #[cfg(unix)]
    fn id(&self) -> Option<rustix::process::Pid> {
        rustix::process::Pid::from_raw(i32::try_from(self.child.id()).ok().filter(|_| !self.reaped)?)
    }

    /// Whether it has ended; its id stays its own until [`Running::try_wait`].
    #[cfg(unix)]
    fn has_ended(&self) -> bool {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        self.id().is_some_and(|id| matches!(waitid(WaitId::Pid(id), options), Ok(Some(_))))
    }

    #[cfg(unix)]
    fn kill_group(&self) {
        if let Some(id) = self.id() {
            let _ = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
        }
    }

    #[cfg(not(unix))]
    fn has_ended(&self) -> bool {
        false
    }

    #[cfg(not(unix))]
    fn kill_group(&self) {}
}

impl Process {
    /// Starts a program that knows nothing of limits, with pipes on all three standard streams, in English. It is given its
    /// limits right after.
    ///
    /// `on_message` is given every line of standard error; those that it does not take (it returns
    /// `false`) are kept for [`Process::message`], the last few only.
    ///
    /// # Errors
    /// The program does not start.
    pub fn spawn(
        command: Command,
        limits: &Limits,
        on_message: impl FnMut(&str) -> bool + Send + 'static,
    ) -> Result<Self, ProcessError> {
        let process = Self::start(command, limits, on_message)?;
        limit_resources(&lock(&process.running).child, limits);
        Ok(process)
    }

    /// As [`Process::spawn`], of a program that calls [`enter_worker`](crate::enter_worker) before anything else: it sets the
    /// limits itself, and may lower its memory later ([`limit_memory`](crate::limit_memory)).
    ///
    /// # Errors
    /// The program does not start.
    pub fn spawn_worker(
        mut command: Command,
        limits: &Limits,
        on_message: impl FnMut(&str) -> bool + Send + 'static,
    ) -> Result<Self, ProcessError> {
        worker::tell(&mut command, limits);
        Self::start(command, limits, on_message)
    }

    fn start(
        mut command: Command,
        limits: &Limits,
        mut on_message: impl FnMut(&str) -> bool + Send + 'static,
    ) -> Result<Self, ProcessError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let failed = |message: String| ProcessError { program: program.clone(), message };
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).env("LC_ALL", "C");
        // Ctrl-C on a terminal goes to a whole group of processes: a child that ended by it would make its file look cut
        // short. It ends when its pipes are closed, or is killed when this is dropped.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(|error| failed(format!("does not start: {error}")))?;
        widen_pipes(&child);
        let stdin = child.stdin.take();
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(failed("has no output".to_owned()));
        };

        let messages = thread::spawn(move || {
            let mut tail = VecDeque::new();
            let mut reader = BufReader::new(stderr);
            while let Some(line) = read_line(&mut reader) {
                if !on_message(&line) && !line.trim().is_empty() {
                    if tail.len() == TAIL_LINES {
                        tail.pop_front();
                    }
                    tail.push_back(line);
                }
            }
            tail
        });

        let running = Arc::new(Mutex::new(Running { child, reaped: false }));
        let waiting = Arc::new(Mutex::new(Waiting { stall: limits.stall, since: None, before: Duration::ZERO }));
        let killed_by_watchdog = Arc::new(AtomicBool::new(false));
        let (watchdog, ended) = mpsc::channel();
        {
            let (running, waiting, killed) = (running.clone(), waiting.clone(), killed_by_watchdog.clone());
            let timeout = limits.timeout;
            thread::spawn(move || {
                while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(WATCH_EVERY) {
                    let late = {
                        let waiting = lock(&waiting);
                        let now = waiting.since.map(|since| since.elapsed()).unwrap_or_default();
                        now > waiting.stall || waiting.before.saturating_add(now) > timeout
                    };
                    if late {
                        killed.store(true, Ordering::SeqCst);
                        lock(&running).kill();
                        break;
                    }
                }
            });
        }
        Ok(Self {
            running,
            stdin,
            stdout,
            messages: Some(messages),
            tail: VecDeque::new(),
            waiting,
            killed_by_watchdog,
            _watchdog: watchdog,
            program,
            limits: limits.clone(),
        })
    }

    /// The program, as it was named.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Sets another [`Limits::stall`] for the reads and writes to come.
    pub fn set_stall(&mut self, stall: Duration) {
        self.limits.stall = stall;
        lock(&self.waiting).stall = stall;
    }

    /// Ends it now; [`Process::finish`] then waits for nothing.
    pub fn kill(&mut self) {
        lock(&self.running).kill();
    }

    /// Runs `wait` with the watchdog's clock ticking.
    fn watched<T>(&mut self, wait: impl FnOnce(&mut Self) -> T) -> T {
        lock(&self.waiting).since = Some(Instant::now());
        let result = wait(self);
        let mut waiting = lock(&self.waiting);
        if let Some(since) = waiting.since.take() {
            waiting.before += since.elapsed();
        }
        drop(waiting);
        result
    }

    /// Fills `buffer` from standard output; fewer bytes than asked for means the output ended.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            let rest = &mut buffer[filled..];
            match self.watched(|process| process.stdout.read(rest)) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// All of standard output; an error if it is more than `most` bytes.
    pub fn read_all(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        let mut chunk = vec![0; 16 * 1024];
        loop {
            let count = self.read(&mut chunk)?;
            all.extend_from_slice(&chunk[..count]);
            if all.len() > most {
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {most} bytes of output")));
            }
            if count < chunk.len() {
                return Ok(all);
            }
        }
    }

    /// Writes all of `bytes` to standard input.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for chunk in bytes.chunks(64 * 1024) {
            self.watched(|process| match process.stdin.as_mut() {
                Some(stdin) => stdin.write_all(chunk),
                None => Err(io::ErrorKind::BrokenPipe.into()),
            })?;
        }
        Ok(())
    }

    /// Closes standard input and waits for the end of the process and of its messages.
    pub fn finish(&mut self) -> Result<ExitStatus, ProcessError> {
        self.stdin = None;
        let running = self.running.clone();
        let status = self.watched(|_| {
            loop {
                // The lock is let go between looks, so that the watchdog can kill.
                match lock(&running).try_wait() {
                    Ok(Some(status)) => return Ok(status),
                    Ok(None) => {}
                    Err(error) => return Err(error),
                }
                thread::sleep(Duration::from_millis(2));
            }
        });
        if let Some(thread) = self.messages.take() {
            self.tail = thread.join().unwrap_or_default();
        }
        status.map_err(|error| ProcessError { program: self.program.clone(), message: error.to_string() })
    }

    /// The last lines of standard error, joined; empty before [`Process::finish`].
    pub fn message(&self) -> String {
        Vec::from_iter(self.tail.iter().map(|line| line.trim())).join("; ")
    }

    /// Which limit ended the process, if one did: time, or (by its last words) memory or stack. Known after
    /// [`Process::finish`].
    pub fn stopped(&self) -> Option<Stopped> {
        let said = |words: &[&str]| self.tail.iter().any(|line| words.iter().any(|word| line.contains(word)));
        if said(&["Cannot allocate memory", "memory allocation of", "failed to map segment"]) {
            return Some(Stopped::Memory(self.limits.memory_bytes));
        }
        if said(&["has overflowed its stack"]) {
            return Some(Stopped::Stack);
        }
        if !self.killed_by_watchdog.load(Ordering::SeqCst) {
            return None;
        }
        let in_all = lock(&self.waiting).before > self.limits.timeout;
        Some(if in_all { Stopped::Time(self.limits.timeout) } else { Stopped::Silence(self.limits.stall) })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut running = lock(&self.running);
        running.kill();
        let _ = running.child.wait();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One line without its end, cut after [`LINE_BYTES`]; `None` at the end.
fn read_line(reader: &mut impl BufRead) -> Option<String> {
    let mut bytes = Vec::new();
    match reader.by_ref().take(LINE_BYTES).read_until(b'\n', &mut bytes) {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(String::from_utf8_lossy(&bytes).trim_end().to_owned()),
    }
}

/// Bounds address space and processor time of a child that may not do so itself; Linux only.
#[cfg(target_os = "linux")]
fn limit_resources(child: &Child, limits: &Limits) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let Ok(id) = i32::try_from(child.id()) else { return };
    let pid = Pid::from_raw(id);
    let set = |resource, most: u64| {
        // A child that has ended already needs no limit.
        let _ = prlimit(pid, resource, Rlimit { current: Some(most), maximum: Some(most) });
    };
    set(Resource::As, limits.memory_bytes);
    set(Resource::Cpu, limits.cpu_seconds());
    set(Resource::Core, 0);
}

#[cfg(not(target_os = "linux"))]
fn limit_resources(_: &Child, _: &Limits) {}

/// Asks for pipes of 1 MiB instead of 64 KiB: fewer turns between the processes for each frame.
#[cfg(target_os = "linux")]
fn widen_pipes(child: &Child) {
    // Where the system allows no more, the small pipe works as well.
    if let Some(pipe) = &child.stdin {
        let _ = rustix::pipe::fcntl_setpipe_size(pipe, 1 << 20);
    }
    if let Some(pipe) = &child.stdout {
        let _ = rustix::pipe::fcntl_setpipe_size(pipe, 1 << 20);
    }
}

#[cfg(not(target_os = "linux"))]
fn widen_pipes(_: &Child) {}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn limits() -> Limits {
        Limits { stall: Duration::from_secs(30), timeout: Duration::from_secs(60), memory_bytes: 4 << 30 }
    }

    fn shell(script: &str, limits: &Limits) -> Process {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        Process::spawn(command, limits, |_| false).unwrap()
    }

    #[test]
    fn a_silent_child_is_stopped() {
        let limits = Limits { stall: Duration::from_millis(300), ..limits() };
        let mut process = shell("exec sleep 60", &limits);
        let begun = Instant::now();
        assert_eq!(process.read(&mut [0; 8]).unwrap(), 0);
        assert!(begun.elapsed() < Duration::from_secs(10));
        assert_eq!(process.stopped(), Some(Stopped::Silence(limits.stall)));
    }

    #[test]
    fn a_child_that_reads_nothing_is_stopped() {
        let limits = Limits { stall: Duration::from_millis(300), ..limits() };
        let mut process = shell("exec sleep 60", &limits);
        assert!(process.write(&vec![0; 4 << 20]).is_err());
        assert!(process.stopped().is_some());
    }

    /// A shell that stays and starts a program that stays, which holds the shell's pipes.
    #[test]
    fn what_a_silent_child_started_is_stopped_with_it() {
        let limits = Limits { stall: Duration::from_millis(300), ..limits() };
        let begun = Instant::now();
        let mut process = shell("sleep 60; true", &limits);
        assert_eq!(process.read(&mut [0; 8]).unwrap(), 0);
        assert!(!process.finish().unwrap().success());
        assert_eq!(process.stopped(), Some(Stopped::Silence(limits.stall)));
        let mut process = shell("echo 1; sleep 60; true", &limits);
        assert_eq!(process.read(&mut [0; 2]).unwrap(), 2);
        process.kill();
        assert!(!process.finish().unwrap().success());
        assert!(begun.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn what_a_child_leaves_behind_keeps_nobody_waiting() {
        let begun = Instant::now();
        let mut process = shell("sleep 60 & echo left >&2; exit 3", &limits());
        assert_eq!(process.finish().unwrap().code(), Some(3));
        assert_eq!(process.message(), "left");
        assert!(begun.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_slow_talker_is_stopped_by_the_overall_limit() {
        let limits = Limits { timeout: Duration::from_millis(600), ..limits() };
        let mut process = shell("while :; do echo 1; sleep 0.05; done", &limits);
        let mut all = [0; 1 << 16];
        assert!(process.read(&mut all).unwrap() < all.len());
        assert_eq!(process.stopped(), Some(Stopped::Time(limits.timeout)));
    }

    #[test]
    fn messages_are_bounded_and_come_last_first_out() {
        let script = "i=0; while [ $i -lt 1000 ]; do echo line $i >&2; i=$((i+1)); done; exit 3";
        let mut process = shell(script, &limits());
        assert_eq!(process.finish().unwrap().code(), Some(3));
        let message = process.message();
        assert!(message.ends_with("line 999") && !message.contains("line 5;"), "{message}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_is_bounded() {
        let limits = Limits { memory_bytes: 64 << 20, ..limits() };
        // Wait for the limit to be set, then ask for 256 MiB.
        let mut process = shell("sleep 0.3; exec dd if=/dev/zero of=/dev/null bs=256M count=1", &limits);
        let status = process.finish().unwrap();
        assert!(!status.success(), "{}", process.message());
    }

    #[test]
    fn too_much_output_is_refused() {
        let mut process = shell("exec head -c 100000 /dev/zero", &limits());
        assert!(process.read_all(50_000).is_err());
    }
}
