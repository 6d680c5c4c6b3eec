//! The program as an operator meets it: what it prints, and how it ends. Each test has a home of its own and an environment that
//! holds nothing else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod check;
mod completions;
mod engine;
mod init;
mod operator;
mod readme;
mod start;
mod usage;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A home, and the program in it.
struct Bottle {
    folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

impl Bottle {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            environment: Vec::new(),
        }
    }

    fn home(&self) -> PathBuf {
        fs_err::canonicalize(self.folder.path()).unwrap()
    }

    fn write(self, path: &str, text: &str) -> Self {
        let path = self.home().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
        self
    }

    fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bottle"));
        command
            .args(arguments)
            .env_clear()
            .env("BOTTLE_HOME", self.home())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.home())
            .stdin(Stdio::null());
        command
    }

    /// Exit code, stdout and stderr, with the home's path as `HOME`.
    fn run(&self, arguments: &[&str]) -> String {
        self.told(&self.command(arguments).output().unwrap())
    }

    fn told(&self, output: &Output) -> String {
        let text = |bytes: &[u8]| {
            String::from_utf8(bytes.to_vec())
                .unwrap()
                .replace(self.home().to_str().unwrap(), "HOME")
        };
        format!(
            "exit {}\n--- stdout\n{}--- stderr\n{}",
            output.status.code().unwrap(),
            text(&output.stdout),
            text(&output.stderr)
        )
    }

    /// Every path in the home, sorted.
    fn tree(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.home(), &self.home(), &mut found);
        found.sort();
        found
    }
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.strip_prefix(root).unwrap().display().to_string());
        if path.is_dir() {
            walk(root, &path, found);
        }
    }
}

#[test]
fn every_test_file_is_part_of_this_binary() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli");
    let main = fs_err::read_to_string(folder.join("main.rs")).unwrap();
    for entry in fs_err::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(module) = name.strip_suffix(".rs") else {
            continue;
        };
        assert!(
            module == "main" || main.contains(&format!("mod {module};")),
            "{name} is not included"
        );
    }
}
