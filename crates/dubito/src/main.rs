//! The `dubito` command line.

mod args;
mod attack;
mod bayes;
mod commands;
mod data;
mod detect;
mod doctor;
mod explain;
mod output;
mod progress;
mod pulse;
mod source;
mod study;
mod weights;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
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
    match commands::run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            if let Some(hint) = error.hint() {
                eprintln!("hint: {hint}");
            }
            ExitCode::from(error.exit_code())
        }
    }
}
