//! The `shim` program; everything it does is in the library, where tests reach it.

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    match shim::arguments::parse(std::env::args_os().skip(1)) {
        Ok(shim::arguments::Command::Print(text)) => {
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Ok(shim::arguments::Command::Run(settings)) => match shim::run(&settings) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                shim::say(&error.to_string());
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            shim::say(&error.to_string());
            ExitCode::from(2)
        }
    }
}
