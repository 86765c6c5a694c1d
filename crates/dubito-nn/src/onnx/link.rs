//! The parent's side of the worker: one child for the detector's life, never started again.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use dubito_process::{Limits, Process, Stopped};
use dubito_weights::onnx::{Judged, OnnxError};

use super::protocol::{Answer, Request, read, write};
use super::worker::serve;
use super::{MAX_FILE, memory_for};
use crate::NnError;

static WORKER: OnceLock<Vec<OsString>> = OnceLock::new();

/// Names the command line of a program that calls [`onnx_worker_main`](crate::onnx_worker_main) with the arguments behind it, such as
/// `[current_exe, "worker", "onnx"]`. A program sets it once, before it opens a file.
///
/// ONNX files then run in that child process, under limits of memory and time. Without it they run in a thread of this program:
/// judged, but without limits.
pub fn set_onnx_worker(command: Vec<OsString>) {
    // The first one stays.
    let _ = WORKER.set(command);
}

/// The longest silence in which a worker loads so many bytes: a second for each 16 MiB, on top of what a slow machine needs.
fn patience(bytes: u64) -> Duration {
    Duration::from_secs(60 + (bytes >> 24))
}

/// A worker that has loaded a file.
pub(super) struct Link {
    path: PathBuf,
    /// Bytes of the file and, once they are known, of its weights in others.
    bytes: u64,
    state: Mutex<State>,
}

enum State {
    Child(Box<Process>),
    Thread(io::PipeReader, io::PipeWriter),
    /// It ended, and why; every later request gets the same answer.
    Ended(OnnxError),
}

/// A child's pipes as a reader and a writer.
struct Pipes<'a>(&'a mut Process);

impl Read for Pipes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Pipes<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Link {
    /// Starts a worker and waits until it has judged and loaded the file of `bytes` bytes.
    pub fn open(path: &Path, bytes: u64, size: Option<u32>) -> Result<(Self, Judged), NnError> {
        let state = match WORKER.get().map(|command| (command.split_first(), command)) {
            Some((Some((program, before)), _)) => {
                let mut command = Command::new(program);
                command.args(before).arg(path).arg(size.map_or("open".to_owned(), |size| size.to_string()));
                // Few arenas: each takes address space of its own.
                command.env("MALLOC_ARENA_MAX", "2");
                // It would write between the answers.
                command.env_remove("RTEN_TIMING");
                let limits =
                    Limits { stall: patience(bytes), timeout: Duration::MAX, memory_bytes: memory_for(MAX_FILE) };
                let process = Process::spawn_worker(command, &limits, |_| false);
                State::Child(Box::new(
                    process.map_err(|e| NnError::io(Path::new(program), "start", io::Error::other(e.to_string())))?,
                ))
            }
            _ => Self::thread(path, size.map(u64::from)).map_err(|e| NnError::io(path, "run", e))?,
        };
        let mut link = Self { path: path.to_owned(), bytes, state: Mutex::new(state) };
        loop {
            match link.talk(None)? {
                (Answer::Reads(bytes), _) => link.expect(bytes),
                (Answer::Loaded(judged), _) => return Ok((link, judged)),
                _ => return Err(link.end("it answered before it was asked")),
            }
        }
    }

    /// Gives the worker the time that so many bytes take.
    fn expect(&mut self, bytes: u64) {
        self.bytes = bytes;
        if let State::Child(process) = self.state.get_mut().unwrap_or_else(PoisonError::into_inner) {
            process.set_stall(patience(bytes));
        }
    }

    fn thread(path: &Path, size: Option<u64>) -> io::Result<State> {
        let (their_input, our_output) = io::pipe()?;
        let (our_input, their_output) = io::pipe()?;
        let path = path.to_owned();
        thread::Builder::new().spawn(move || serve(&path, size, false, their_input, their_output))?;
        Ok(State::Thread(our_input, our_output))
    }

    /// The shape and the numbers of an output for some pictures.
    pub fn run(&self, request: &Request, numbers: &[f32]) -> Result<(Vec<usize>, Vec<f32>), NnError> {
        match self.talk(Some((request, numbers)))? {
            (Answer::Ran { shape }, numbers) => Ok((shape, numbers)),
            _ => Err(self.end("it gave another answer than it was asked for")),
        }
    }

    fn talk(&self, request: Option<(&Request, &[f32])>) -> Result<(Answer, Vec<f32>), NnError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = match &mut *state {
            State::Ended(error) => return Err(self.error(error)),
            State::Child(process) => {
                if let Some((request, _)) = request {
                    process.set_stall(Duration::from_secs(60 + 4 * request.shape[0] as u64));
                }
                let mut pipes = Pipes(process);
                let sent = request.map_or(Ok(()), |(request, numbers)| write(&mut pipes, request, numbers));
                exchanged(sent, read(&mut pipes))
            }
            State::Thread(input, output) => {
                let sent = request.map_or(Ok(()), |(request, numbers)| write(output, request, numbers));
                exchanged(sent, read(input))
            }
        };
        match answer {
            Ok((Answer::Failed(error), _)) => Err(self.error(&error)),
            Ok(answer) => Ok(answer),
            Err(error) => {
                let error = ended(&mut state, self.bytes, &error);
                *state = State::Ended(error.clone());
                Err(self.error(&error))
            }
        }
    }

    fn error(&self, OnnxError { reason, hint }: &OnnxError) -> NnError {
        NnError::corrupt_hint(&self.path, reason.clone(), hint.clone())
    }

    fn end(&self, reason: &str) -> NnError {
        let error =
            OnnxError::new(format!("its worker is out of step: {reason}"), "report it: this is a fault of the program");
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Ended(error.clone());
        self.error(&error)
    }
}

/// An answer: what a worker wrote before it ended counts even where it took nothing any more.
fn exchanged<T>(sent: io::Result<()>, answer: io::Result<T>) -> io::Result<T> {
    answer.map_err(|error| sent.err().unwrap_or(error))
}

/// Why a worker ended.
fn ended(state: &mut State, bytes: u64, what: &io::Error) -> OnnxError {
    let State::Child(process) = state else {
        return OnnxError::new(format!("stopped the runtime: {what}"), "export it again with torch.onnx.export");
    };
    // It is still there, and waits to be understood.
    if what.kind() == io::ErrorKind::InvalidData {
        process.kill();
    }
    let status = process.finish();
    let mib = memory_for(bytes) >> 20;
    let whence = "look at where the file comes from; a trusted one may do with a smaller \"size\", or exported again";
    match process.stopped() {
        Some(Stopped::Memory(_)) => {
            OnnxError::new(format!("needs more memory than the {mib} MiB that a file of its size may take"), whence)
        }
        Some(Stopped::Silence(most) | Stopped::Time(most)) => {
            OnnxError::new(format!("gave no answer within {} s, and was stopped", most.as_secs()), whence)
        }
        Some(Stopped::Stack) => OnnxError::new("is nested too deep to be run", whence),
        None => {
            let said = process.message();
            let status = status.map_or_else(|e| e.to_string(), |status| status.to_string());
            let why = if said.is_empty() { format!("{what} ({status})") } else { said };
            OnnxError::new(format!("stopped the runtime that runs it: {why}"), whence)
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Instant;

    use super::*;

    /// A worker that says something else, and stays.
    #[test]
    fn a_worker_that_is_not_understood_is_not_waited_for() {
        for said in ["\\377\\377\\377\\377", "\\001\\000\\000\\000{\\000\\000\\000\\000"] {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", &format!("printf '{said}'; sleep 50; true")]);
            let stall = Duration::from_secs(50);
            let limits = Limits { stall, timeout: Duration::MAX, memory_bytes: 1 << 30 };
            let process = Process::spawn(command, &limits, |_| false).unwrap();
            let link = Link { path: "a.onnx".into(), bytes: 0, state: Mutex::new(State::Child(Box::new(process))) };
            let begun = Instant::now();
            assert!(link.talk(None).is_err());
            assert!(begun.elapsed() < Duration::from_secs(25));
        }
    }

    #[test]
    fn an_answer_counts_where_sending_failed() {
        let failed = || Err(io::ErrorKind::BrokenPipe.into());
        assert_eq!(exchanged(failed(), Ok(1)).unwrap(), 1);
        let neither = exchanged::<()>(failed(), Err(io::ErrorKind::UnexpectedEof.into()));
        assert_eq!(neither.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
