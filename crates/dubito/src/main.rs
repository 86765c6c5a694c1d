//! The `dubito` command line.

mod args;
mod attack;
mod bayes;
mod commands;
mod data;
mod detect;
mod doctor;
mod explain;
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
        return dubito_media::worker_main(arguments);
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
