//! Prints one JSON report. Exit code 0: the isolation holds as seen from inside; 1: it does not; 2: usage.

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match probe::arguments::Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "probe: {error}");
            return ExitCode::from(2);
        }
    };
    let report = probe::run(&arguments);
    let printed = serde_json::to_string(&report).map(|text| writeln!(std::io::stdout(), "{text}"));
    match printed {
        Ok(Ok(())) if report.holds() => ExitCode::SUCCESS,
        _ => ExitCode::from(1),
    }
}
