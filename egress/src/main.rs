//! The `egress` program; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    egress::command::main(std::env::args_os())
}
