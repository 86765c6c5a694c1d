//! The child's side: limits before anything else, and no life after the parent's.

use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::Command;

use crate::Limits;

/// Environment variable with the limits of a child of ours: bytes of memory, seconds of processor time, the parent's id.
const LIMITS: &str = "DUBITO_PROCESS_LIMITS";

/// Writes the limits into the environment of a child.
pub(crate) fn tell(command: &mut Command, limits: &Limits) {
    let (memory, cpu) = (limits.memory_bytes, limits.cpu_seconds());
    command.env(LIMITS, format!("{memory} {cpu} {}", std::process::id()));
    // A backtrace would push the reason out of the last lines that are kept.
    command.env("RUST_BACKTRACE", "0");
}

/// Takes the limits that the parent set ([`Process::spawn_worker`](crate::Process::spawn_worker)), and makes the process end when its parent
/// does. The first thing that a worker does; without a parent that set limits it does nothing.
///
/// # Errors
/// The limits can't be read or set.
pub fn enter_worker() -> io::Result<()> {
    let Some(text) = env::var_os(LIMITS) else { return Ok(()) };
    let invalid =
        || io::Error::new(io::ErrorKind::InvalidInput, format!("{LIMITS} is {text:?}, expected three numbers"));
    let numbers: Vec<u64> = text.to_string_lossy().split(' ').map_while(|word| word.parse().ok()).collect();
    let [memory, cpu, parent] = numbers[..] else { return Err(invalid()) };
    limit(memory, cpu)?;
    end_with(parent);
    Ok(())
}

/// Writes a line to standard error, where the parent keeps it ([`Process::message`](crate::Process::message)). A parent that has gone
/// away needs none.
pub fn last_words(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Lowers the address space that this process may have to so many bytes, or raises it again, up to what its parent allows.
///
/// # Errors
/// The limit can't be set.
pub fn limit_memory(bytes: u64) -> io::Result<()> {
    #[cfg(unix)]
    {
        let maximum = rustix::process::getrlimit(rustix::process::Resource::As).maximum;
        set(rustix::process::Resource::As, bytes.min(maximum.unwrap_or(u64::MAX)), maximum)?;
    }
    #[cfg(not(unix))]
    let _ = bytes;
    Ok(())
}

#[cfg(unix)]
fn limit(memory: u64, cpu: u64) -> io::Result<()> {
    use rustix::process::{Resource, getrlimit};
    for (resource, most) in [(Resource::Core, 0), (Resource::Cpu, cpu), (Resource::As, memory)] {
        // A limit that is lower already stays.
        let lower = getrlimit(resource).maximum.map_or(most, |before| before.min(most));
        set(resource, lower, Some(lower))?;
    }
    Ok(())
}

#[cfg(unix)]
fn set(resource: rustix::process::Resource, current: u64, maximum: Option<u64>) -> io::Result<()> {
    match rustix::process::setrlimit(resource, rustix::process::Rlimit { current: Some(current), maximum }) {
        // Systems without a limit of address space refuse any number.
        Err(rustix::io::Errno::INVAL) if !cfg!(target_os = "linux") => Ok(()),
        result => Ok(result?),
    }
}

#[cfg(not(unix))]
fn limit(_: u64, _: u64) -> io::Result<()> {
    Ok(())
}

/// Ends this process soon after its parent: a parent that is killed closes no process, and a busy child reads no end of input.
/// (Linux's signal at the parent's death comes at the end of the *thread* that started the child.)
#[cfg(unix)]
fn end_with(parent: u64) {
    std::thread::spawn(move || {
        let now = || rustix::process::getppid().map(|id| id.as_raw_nonzero().get() as u64);
        while now() == Some(parent) {
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        std::process::exit(1);
    });
}

#[cfg(not(unix))]
fn end_with(_: u64) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;
    use crate::{Process, Stopped};

    const CHILD: &str = "DUBITO_PROCESS_TEST_CHILD";

    /// What the tests below run in a child: this program again, with this test alone.
    #[test]
    fn child() {
        let Ok(what) = env::var(CHILD) else { return };
        enter_worker().unwrap();
        match what.as_str() {
            "memory" => drop(std::hint::black_box(vec![1_u8; 512 << 20])),
            "stack" => println!("{}", nest(1 << 40)),
            _ => std::thread::sleep(Duration::from_secs(60)),
        }
    }

    fn nest(depth: u64) -> u64 {
        let room = std::hint::black_box([depth; 64]);
        if depth == 0 { 0 } else { nest(depth - 1) + room[1] }
    }

    fn start(what: &str) -> Process {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "worker::tests::child", "--nocapture"]).env(CHILD, what);
        let (stall, timeout) = (Duration::from_secs(30), Duration::MAX);
        Process::spawn_worker(command, &Limits { stall, timeout, memory_bytes: 400 << 20 }, |_| false).unwrap()
    }

    #[test]
    fn a_child_that_wants_too_much_says_which_limit() {
        for (what, expected) in [("memory", Stopped::Memory(400 << 20)), ("stack", Stopped::Stack)] {
            let mut process = start(what);
            assert!(!process.finish().unwrap().success());
            assert_eq!(process.stopped(), Some(expected), "{}", process.message());
        }
    }
}
