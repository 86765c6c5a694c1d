//! A child process with limits: memory, processor time, silence, and a bounded tail of its messages.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::{Limits, MediaError};

const TAIL_LINES: usize = 12;
const LINE_BYTES: u64 = 4096;
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// A running child. Dropping it kills it.
///
/// The watchdog kills the child when one read or write waits longer than `Limits::stall`, or all of
/// them together longer than `Limits::timeout`; the pending read or write then fails and
/// [`Process::stopped`] tells why.
pub(crate) struct Process {
    child: Arc<Mutex<Child>>,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    messages: Option<JoinHandle<VecDeque<String>>>,
    tail: VecDeque<String>,
    waiting: Arc<Mutex<Waiting>>,
    killed_by_watchdog: Arc<AtomicBool>,
    /// Dropping it ends the watchdog.
    _watchdog: Sender<()>,
    tool: String,
    limits: Limits,
}

#[derive(Default)]
struct Waiting {
    since: Option<Instant>,
    before: Duration,
}

impl Process {
    /// Starts `command` with pipes on all three standard streams, in English, with limits.
    ///
    /// `on_message` is given every line of standard error; those that it does not take (it returns
    /// `false`) are kept for [`Process::message`], the last few only.
    pub(crate) fn spawn(
        mut command: Command,
        program: &Path,
        limits: &Limits,
        mut on_message: impl FnMut(&str) -> bool + Send + 'static,
    ) -> Result<Self, MediaError> {
        let tool = program.display().to_string();
        let failed = |message: String| MediaError::Tool { tool: tool.clone(), message };
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("LC_ALL", "C").env("AV_LOG_FORCE_NOCOLOR", "1").env_remove("FFREPORT");
        let mut child = command.spawn().map_err(|error| failed(format!("does not start: {error}")))?;
        limit_resources(&child, limits);
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

        let child = Arc::new(Mutex::new(child));
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        let killed_by_watchdog = Arc::new(AtomicBool::new(false));
        let (watchdog, ended) = mpsc::channel();
        {
            let (child, waiting, killed) = (child.clone(), waiting.clone(), killed_by_watchdog.clone());
            let (stall, timeout) = (limits.stall, limits.timeout);
            thread::spawn(move || {
                while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(WATCH_EVERY.min(stall)) {
                    let late = {
                        let waiting = lock(&waiting);
                        let now = waiting.since.map(|since| since.elapsed()).unwrap_or_default();
                        now > stall || waiting.before + now > timeout
                    };
                    if late {
                        killed.store(true, Ordering::SeqCst);
                        let _ = lock(&child).kill();
                        break;
                    }
                }
            });
        }
        Ok(Self {
            child,
            stdin,
            stdout,
            messages: Some(messages),
            tail: VecDeque::new(),
            waiting,
            killed_by_watchdog,
            _watchdog: watchdog,
            tool,
            limits: limits.clone(),
        })
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
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
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
    pub(crate) fn read_all(&mut self, most: usize) -> io::Result<Vec<u8>> {
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
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for chunk in bytes.chunks(64 * 1024) {
            self.watched(|process| match process.stdin.as_mut() {
                Some(stdin) => stdin.write_all(chunk),
                None => Err(io::ErrorKind::BrokenPipe.into()),
            })?;
        }
        Ok(())
    }

    /// Closes standard input and waits for the end of the process and of its messages.
    pub(crate) fn finish(&mut self) -> Result<ExitStatus, MediaError> {
        self.stdin = None;
        let child = self.child.clone();
        let status = self.watched(|_| {
            loop {
                // The lock is let go between looks, so that the watchdog can kill.
                match lock(&child).try_wait() {
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
        status.map_err(|error| MediaError::Tool { tool: self.tool.clone(), message: error.to_string() })
    }

    /// The last lines of standard error, joined; empty before [`Process::finish`].
    pub(crate) fn message(&self) -> String {
        Vec::from_iter(self.tail.iter().map(|line| line.trim())).join("; ")
    }

    /// The error to report if a limit ended the process: time, or (by its last words) memory.
    pub(crate) fn stopped(&self, path: &Path) -> Option<MediaError> {
        let path = path.to_owned();
        let words = ["Cannot allocate memory", "memory allocation of", "failed to map segment"];
        if self.tail.iter().any(|line| words.iter().any(|word| line.contains(word))) {
            return Some(MediaError::Limit {
                path,
                field: "memory_bytes",
                what: format!("the memory that {} needs", self.tool),
                limit: format!("{} bytes", self.limits.memory_bytes),
            });
        }
        if !self.killed_by_watchdog.load(Ordering::SeqCst) {
            return None;
        }
        let in_all = lock(&self.waiting).before > self.limits.timeout;
        let what = if in_all {
            format!("took longer than {:?} in all", self.limits.timeout)
        } else {
            format!("gave no sign of life for {:?}", self.limits.stall)
        };
        Some(MediaError::Timeout { path, tool: self.tool.clone(), what })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
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

/// Bounds address space and processor time of the child; Linux only.
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
    // Twice the time: the decoder has two threads.
    set(Resource::Cpu, limits.timeout.as_secs().saturating_mul(2).saturating_add(2));
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

    fn shell(script: &str, limits: &Limits) -> Process {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        Process::spawn(command, Path::new("/bin/sh"), limits, |_| false).unwrap()
    }

    #[test]
    fn a_silent_child_is_stopped() {
        let limits = Limits { stall: Duration::from_millis(300), ..Limits::default() };
        let mut process = shell("exec sleep 60", &limits);
        let begun = Instant::now();
        assert_eq!(process.read(&mut [0; 8]).unwrap(), 0);
        assert!(begun.elapsed() < Duration::from_secs(10));
        let error = process.stopped(Path::new("x.mp4")).unwrap();
        assert!(error.to_string().contains("no sign of life"), "{error}");
    }

    #[test]
    fn a_child_that_reads_nothing_is_stopped() {
        let limits = Limits { stall: Duration::from_millis(300), ..Limits::default() };
        let mut process = shell("exec sleep 60", &limits);
        assert!(process.write(&vec![0; 4 << 20]).is_err());
        assert!(process.stopped(Path::new("x.mp4")).is_some());
    }

    #[test]
    fn a_slow_talker_is_stopped_by_the_overall_limit() {
        let limits = Limits { timeout: Duration::from_millis(600), ..Limits::default() };
        let mut process = shell("while :; do echo 1; sleep 0.05; done", &limits);
        let mut all = [0; 1 << 16];
        assert!(process.read(&mut all).unwrap() < all.len());
        let error = process.stopped(Path::new("x.mp4")).unwrap();
        assert!(error.to_string().contains("in all"), "{error}");
    }

    #[test]
    fn messages_are_bounded_and_come_last_first_out() {
        let script = "i=0; while [ $i -lt 1000 ]; do echo line $i >&2; i=$((i+1)); done; exit 3";
        let mut process = shell(script, &Limits::default());
        assert_eq!(process.finish().unwrap().code(), Some(3));
        let message = process.message();
        assert!(message.ends_with("line 999") && !message.contains("line 5;"), "{message}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_is_bounded() {
        let limits = Limits { memory_bytes: 64 << 20, ..Limits::default() };
        // Wait for the limit to be set, then ask for 256 MiB.
        let mut process = shell("sleep 0.3; exec dd if=/dev/zero of=/dev/null bs=256M count=1", &limits);
        let status = process.finish().unwrap();
        assert!(!status.success(), "{}", process.message());
    }

    #[test]
    fn too_much_output_is_refused() {
        let mut process = shell("exec head -c 100000 /dev/zero", &Limits::default());
        assert!(process.read_all(50_000).is_err());
    }
}
