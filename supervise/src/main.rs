//! The `supervise` program; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    supervise::command::main(std::env::args_os())
}
