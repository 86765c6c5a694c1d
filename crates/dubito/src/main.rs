//! The `dubito` command line.

// Printing is `output`'s.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod attack;
mod bayes;
mod commands;
mod data;
mod detect;
mod doctor;
mod explain;
mod output;
mod places;
mod progress;
mod pulse;
mod source;
mod stop;
mod study;
mod weights;

use std::io::{IsTerminal, stdout};
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use output::note;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => return end(say_clap(&said)),
    };
    if let Command::Worker { arguments } = cli.command {
        let mut arguments = arguments.into_iter().peekable();
        return match arguments.next_if(|first| first == "onnx") {
            Some(_) => dubito_nn::onnx_worker_main(arguments),
            None => dubito_media::worker_main(arguments),
        };
    }
    if let Ok(program) = std::env::current_exe() {
        dubito_nn::set_onnx_worker(vec![program.into(), "worker".into(), "onnx".into()]);
    }
    dubito_study::provenance::built_from(env!("DUBITO_COMMIT"));
    stop::listen(commands::left_by(&cli.command));
    match commands::run(cli.command) {
        Ok(()) => end(0),
        Err(error) => {
            if let Some(code) = stop::exit_code() {
                return ExitCode::from(code);
            }
            note!("error: {error}");
            if let Some(hint) = error.hint() {
                note!("hint: {hint}");
            }
            end(error.exit_code())
        }
    }
}

/// Prints the help or version that was asked for, or what is wrong with the command line. Gives the exit code.
fn say_clap(said: &clap::Error) -> u8 {
    if !said.use_stderr() {
        let text = said.render();
        output::raw(&if stdout().is_terminal() { text.ansi().to_string() } else { text.to_string() });
        return 0;
    }
    // The text may quote any part of an argument, which may hold line feeds. Of arguments that are escaped before they are
    // parsed it quotes escapes, and every line feed in it is clap's own.
    let escaped = std::env::args_os().map(|argument| output::visible(&argument.to_string_lossy()).into_owned());
    match Cli::try_parse_from(escaped) {
        Err(again) if again.use_stderr() => output::note_text(&again.to_string()),
        // An argument that is no Unicode is mended by the escapes.
        _ => note!("error: {}", said.kind()),
    }
    2
}

/// The exit code, once standard output is found to have taken everything.
fn end(code: u8) -> ExitCode {
    let Some(error) = output::failure() else { return ExitCode::from(code) };
    note!("error: standard output: {error}");
    note!(
        "hint: the output is not whole; the files that the command writes are. Free some space, or send it elsewhere"
    );
    ExitCode::from(if code == 0 { 1 } else { code })
}
