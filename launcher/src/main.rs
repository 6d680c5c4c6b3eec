//! See the library.

fn main() -> std::process::ExitCode {
    launcher::run()
}
