//! The `probe` program; everything it does is in the library, where tests reach it.

use probe::arguments::{Command, parse};
use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let settings = match parse(std::env::args_os().skip(1)) {
        Ok(Command::Run(settings)) => settings,
        Ok(Command::Print(text)) => {
            let _ = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "probe: {error}; see `probe --help`");
            return ExitCode::from(2);
        }
    };
    let report = probe::run(&settings);
    let told = serde_json::to_string(&report)
        .map_err(std::io::Error::from)
        .and_then(|text| writeln!(std::io::stdout(), "{text}"));
    if told.is_ok() && report.holds() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
