//! Decodes videos and prints what they are and how fast it went: `decode FILE...`
//!
//! `DUBITO_FFMPEG=none` shows the embedded decoder instead of FFmpeg.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use dubito_media::{MediaError, Tools, open, worker_main};

fn decode(path: &Path, tools: &Tools) -> Result<(), MediaError> {
    let begun = Instant::now();
    let mut video = open(path, tools)?;
    let mut frames = 0_u64;
    for frame in video.by_ref() {
        frame?;
        frames += 1;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let rate = frames as f64 / seconds;
    println!("{:?}\n{:?}\n{frames} frames in {seconds:.2} s: {rate:.0} frames/s", video.info(), video.provenance());
    Ok(())
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.next_if(|word| word == "worker").is_some() {
        return worker_main(arguments);
    }
    let mut tools = Tools::discover();
    tools.embedded_worker = std::env::current_exe().ok().map(|program| vec![program.into(), "worker".into()]);
    let mut code = ExitCode::SUCCESS;
    for path in arguments {
        if let Err(error) = decode(Path::new(&path), &tools) {
            eprintln!("error: {error}");
            if let Some(hint) = error.hint() {
                eprintln!("hint: {hint}");
            }
            code = ExitCode::FAILURE;
        }
    }
    code
}
