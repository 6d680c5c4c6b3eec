//! The `git-gate` program; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    git_gate::command::main(std::env::args_os())
}
