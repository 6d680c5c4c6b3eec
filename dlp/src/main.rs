//! The `dlp` program; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    dlp::command::main(std::env::args_os())
}
