//! Odd and hostile inputs, each with what the program must make of it: `cases/*.toml` list the commands, exit codes and
//! right values, `cases/NAME/` holds the inputs of `NAME.toml`.
//!
//! ```toml
//! [[case]]
//! id = "R01"
//! what = "a quotation mark that opens a cell and never closes"
//! run = "dubito analyze $IN/to_the_end.csv -o $OUT"
//! exit = 3
//! stderr = ["row 5", "hint:"]
//! ```
//! | key | what it says |
//! |---|---|
//! | `id`, `what` | the name of the case, unique in its table, and what is odd about its input |
//! | `run` | the command, given to bash in a fresh folder: `$IN` is the table's folder of inputs (read only), `$OUT` does not exist yet, `dubito` is this build |
//! | `exit` | the exit code, of the last command of a pipe that fails (`pipefail`) |
//! | `stdout`, `stderr` | texts that must be there |
//! | `absent` | texts that must be on neither |
//! | `files` | files below `$OUT` that must be there afterwards |
//! | `json` | where `values` are read: a file below `$OUT` (`metrics.json` without it), or `stdout` |
//! | `values` | JSON pointers and what is there: numbers to 1e-9, texts, truth values, `"missing"` for nothing or null |
//! | `needs` | `ffmpeg`, `shared` (`$SHARED` is then the folder of shared data): skipped, and said, where it is missing |
//! | `seconds` | the longest time it may take, 120 without it |
//!
//! No case may panic, whatever it expects. An exit code above 1 comes with a hint, unless clap speaks.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    what: String,
    run: String,
    exit: i32,
    #[serde(default)]
    stdout: Vec<String>,
    #[serde(default)]
    stderr: Vec<String>,
    #[serde(default)]
    absent: Vec<String>,
    #[serde(default)]
    files: Vec<String>,
    json: Option<String>,
    #[serde(default)]
    values: BTreeMap<String, Value>,
    needs: Option<String>,
    #[serde(default = "two_minutes")]
    seconds: u64,
}

fn two_minutes() -> u64 {
    120
}

fn shared() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared")
}

fn is_there(need: &str) -> bool {
    match need {
        "shared" => shared().is_dir(),
        program => Command::new(program).arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok(),
    }
}

/// What a command left.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs a case's command; `None` where it takes too long.
fn run(case: &Case, inputs: &Path, folder: &Path) -> Option<Ended> {
    let bin = Path::new(env!("CARGO_BIN_EXE_dubito")).parent().unwrap();
    let path = std::env::join_paths(
        std::iter::once(bin.to_path_buf()).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    )
    .unwrap();
    let mut child = Command::new("bash")
        .args(["-o", "pipefail", "-c", &case.run])
        .current_dir(folder)
        .env("PATH", path)
        .env("IN", inputs)
        .env("OUT", folder.join("out"))
        .env("SHARED", shared())
        .env("RAYON_NUM_THREADS", "2")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    fn read(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        })
    }
    let (stdout, stderr) = (read(child.stdout.take().unwrap()), read(child.stderr.take().unwrap()));
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > Duration::from_secs(case.seconds) {
            // The whole group, so that nothing keeps the pipes open.
            let _ = Command::new("kill").args(["-9", "--", &format!("-{}", child.id())]).status();
            let _ = child.wait();
            return None;
        }
        thread::sleep(Duration::from_millis(10));
    };
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    Some(Ended { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() })
}

fn is_equal(wanted: &Value, found: Option<&Value>) -> bool {
    match (wanted, found) {
        (Value::String(text), None | Some(Value::Null)) => text == "missing",
        (Value::Number(_), Some(found)) => {
            let (wanted, found) = (wanted.as_f64().unwrap(), found.as_f64());
            found.is_some_and(|found| (found - wanted).abs() <= 1e-9 * wanted.abs().max(1.0))
        }
        (wanted, found) => found == Some(wanted),
    }
}

/// What is wrong; nothing where the case holds.
fn faults(case: &Case, inputs: &Path) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let Some(Ended { code, stdout, stderr }) = run(case, inputs, folder.path()) else {
        return vec![format!("took more than {} s", case.seconds)];
    };
    let mut faults = Vec::new();
    if code != Some(case.exit) {
        faults.push(format!("exit code {code:?}, expected {}", case.exit));
    }
    let lacks = |name: &str, said: &str, texts: &[String]| -> Vec<String> {
        texts.iter().filter(|text| !said.contains(*text)).map(|text| format!("{name} lacks {text:?}")).collect()
    };
    faults.extend(lacks("stdout", &stdout, &case.stdout));
    faults.extend(lacks("stderr", &stderr, &case.stderr));
    let panic = String::from("panicked at");
    let has = |text: &&String| stdout.contains(*text) || stderr.contains(*text);
    faults.extend(case.absent.iter().chain([&panic]).filter(has).map(|text| format!("says {text:?}")));
    if code == Some(case.exit)
        && [3, 4, 5].contains(&case.exit)
        && stderr.contains("error: ")
        && !stderr.contains("hint: ")
    {
        faults.push("an error without a hint".into());
    }
    faults.extend(case.files.iter().filter(|file| !out.join(file).exists()).map(|file| format!("{file} is not there")));
    if !case.values.is_empty() {
        let file = case.json.as_deref().unwrap_or("metrics.json");
        let text = match file {
            "stdout" => stdout.clone(),
            file => fs::read_to_string(out.join(file)).unwrap_or_default(),
        };
        match serde_json::from_str::<Value>(&text) {
            Ok(json) => faults.extend(case.values.iter().filter_map(|(pointer, wanted)| {
                let found = json.pointer(pointer);
                (!is_equal(wanted, found)).then(|| format!("{pointer} is {found:?}, expected {wanted}"))
            })),
            Err(error) => faults.push(format!("{file} is no JSON: {error}")),
        }
    }
    if !faults.is_empty() {
        faults.push(format!("stdout: {stdout}\nstderr: {stderr}"));
    }
    faults
}

/// All cases, each with its name (`TABLE/ID`) and the folder of its inputs.
fn all() -> Vec<(String, PathBuf, Case)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut cases: Vec<(String, PathBuf, Case)> = Vec::new();
    let mut tables: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    tables.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    tables.sort();
    for table in tables {
        let name = table.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&table).unwrap();
        let read: Table = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", table.display()));
        let mut ids = BTreeSet::new();
        for case in read.case {
            assert!(ids.insert(case.id.clone()), "{name}.toml has {} twice", case.id);
            cases.push((format!("{name}/{}", case.id), table.with_extension(""), case));
        }
    }
    cases
}

/// The list of docs/INPUTS.md is that of the cases; `DUBITO_UPDATE=1` writes it.
#[test]
fn the_list_in_the_documentation_is_this_one() {
    const BEGIN: &str = "<!-- cases: written by crates/dubito/tests/cases.rs -->\n";
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/INPUTS.md");
    let text = fs::read_to_string(&page).unwrap();
    let mut list = String::from("| case | input | exit code | what is said, or found |\n|---|---|---|---|\n");
    for (id, _, case) in all() {
        let values = case.values.iter().map(|(pointer, value)| format!("{pointer} = {value}"));
        let said: Vec<String> = case.stderr.iter().chain(&case.stdout).cloned().chain(values).collect();
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ").replace('<', "&lt;");
        // Of exit codes that are printed the list says nothing.
        let is_said = |said: &&String| *said != "hint:" && said.contains(char::is_alphabetic);
        let said: Vec<String> = said.iter().filter(is_said).map(|said| cell(said)).collect();
        list.push_str(&format!("| {id} | {} | {} | {} |\n", cell(&case.what), case.exit, said.join("; ")));
    }
    let (before, found) = text.split_once(BEGIN).unwrap();
    if std::env::var_os("DUBITO_UPDATE").is_some() {
        fs::write(&page, format!("{before}{BEGIN}{list}")).unwrap();
    } else {
        assert!(found == list, "docs/INPUTS.md is behind: DUBITO_UPDATE=1 cargo test -p dubito --test cases");
    }
}

#[test]
fn every_case_ends_as_it_should() {
    let only = std::env::var("CASE").ok(); // some of them, while working on them
    let mut cases = all();
    cases.retain(|(id, ..)| only.as_ref().is_none_or(|only| id.contains(only.as_str())));
    let (next, failed) = (Mutex::new(cases.iter()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some((id, inputs, case)) = next.lock().unwrap().next() else { break };
                    if let Some(need) = case.needs.as_deref().filter(|need| !is_there(need)) {
                        println!("{id} skipped: no {need}");
                        continue;
                    }
                    let faults = faults(case, inputs);
                    if !faults.is_empty() {
                        failed.lock().unwrap().push(format!("{id} ({}): {}", case.what, faults.join("; ")));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    println!("{} cases", cases.len());
    assert!(failed.is_empty(), "{} of {} cases fail:\n{}", failed.len(), cases.len(), failed.join("\n\n"));
}
