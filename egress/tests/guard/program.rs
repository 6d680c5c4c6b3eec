//! The program itself: started, asked, reloaded, stopped.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use contract::{AccessEvent, Applied, DenialReason};
use http::StatusCode;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::agent::{Connection, Way, get};
use crate::bottle::{TOKEN, lay_out, table};
use crate::seat::Seat;

const ROUTES: &str =
    "- {host: api.example, auth: {scheme: Bearer, token_ref: API_TOKEN, token_env: EGRESS_TOKEN_0}}\n";

/// A running guard. What it says on standard error comes line by line.
struct Guard {
    child: Child,
    said: Receiver<String>,
    all_said: String,
}

fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_egress"));
    command.env_clear().current_dir(directory);
    command
}

impl Guard {
    fn start(directory: &Path, seat: &Seat) -> Self {
        Self::start_as(command(directory), directory, seat)
    }

    /// With no more than so many open files.
    fn start_with_files(files: u32, directory: &Path, seat: &Seat) -> Self {
        let mut shell = Command::new("sh");
        let limited = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
        shell.env_clear().current_dir(directory);
        shell.args(["-c", &limited, env!("CARGO_BIN_EXE_egress")]);
        Self::start_as(shell, directory, seat)
    }

    fn start_as(mut command: Command, directory: &Path, seat: &Seat) -> Self {
        fs_err::write(directory.join("seat-ca.pem"), &seat.authority).unwrap();
        let mut child = command
            .args([
                "run",
                "--config",
                "config",
                "--run",
                "run",
                "--listen",
                "unix:door.sock",
            ])
            .args([
                "--upstream-proxy",
                "unix:seat.sock",
                "--upstream-proxy-ca",
                "seat-ca.pem",
            ])
            .env("BOTTLE_LAUNCH_NONCE", "n-12345678")
            .env("EGRESS_TOKEN_0", TOKEN)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, said) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines() {
                let _ = sender.send(line.unwrap());
            }
        });
        let mut guard = Self {
            child,
            said,
            all_said: String::new(),
        };
        guard.says("listening on unix:door.sock");
        guard
    }

    /// Waits until it has said this.
    fn says(&mut self, what: &str) {
        loop {
            let line = self
                .said
                .recv_timeout(Duration::from_secs(30))
                .unwrap_or_else(|_| panic!("it never said {what:?}: {}", self.all_said));
            self.all_said.push_str(&line);
            self.all_said.push('\n');
            if line.contains(what) {
                return;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, signal).unwrap();
    }

    /// Waits for its end: status, standard output, standard error.
    fn end(mut self) -> (ExitStatus, String, String) {
        let mut out = String::new();
        let mut stdout = self.child.stdout.take().unwrap();
        stdout.read_to_string(&mut out).unwrap();
        let status = self.child.wait().unwrap();
        for line in self.said.iter() {
            self.all_said.push_str(&line);
        }
        (status, out, std::mem::take(&mut self.all_said))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

fn applied(directory: &Path) -> Applied {
    serde_json::from_slice(&fs_err::read(directory.join("run/applied.json")).unwrap()).unwrap()
}

fn write_routes(directory: &Path, text: &str) {
    ::guard::durable::replace(&directory.join("config"), "routes.yaml", text.as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn from_start_to_stop() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let authority = lay_out(root, ROUTES);
    let seat = Seat::start(root);
    let mut guard = Guard::start(root, &seat);
    let door = root.join("door.sock");

    let ack = applied(root);
    assert_eq!(
        (ack.launch_nonce.as_str(), ack.generation, ack.error),
        ("n-12345678", 1, None)
    );
    assert_eq!(
        ack.file_sha256,
        contract::Sha256Hex::of(table(1, ROUTES).as_bytes())
    );
    assert!(asked(root, &["healthcheck"]).status.success());
    assert!(asked(root, &["probe", "--host", "api.example"]).status.success());
    let refused = asked(root, &["probe", "--host", "other.example"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        String::from_utf8(refused.stderr)
            .unwrap()
            .contains("host_not_allowed")
    );

    let mut connection = Connection::open(&door, &authority, Way::TunnelHttp2, "api.example")
        .await
        .unwrap();
    assert_eq!(
        connection.send(&get("api.example", "/one")).await.status,
        StatusCode::OK
    );
    assert_eq!(seat.seen()[0].headers["authorization"], format!("Bearer {TOKEN}"));

    write_routes(root, &table(2, &format!("{ROUTES}- {{host: new.example}}\n")));
    guard.says("generation 2 is in force");
    assert!(asked(root, &["probe", "--host", "new.example"]).status.success());
    write_routes(root, "nonsense");
    guard.says("stays in force");
    assert_eq!(
        connection.send(&get("api.example", "/two")).await.status,
        StatusCode::OK
    );
    fs_err::write(root.join("config/routes.yaml"), table(3, ROUTES)).unwrap();
    guard.signal(Signal::SIGHUP);
    guard.says("generation 3 is in force");
    assert!(!asked(root, &["probe", "--host", "new.example"]).status.success());

    drop(connection);
    guard.signal(Signal::SIGTERM);
    let (status, out, said) = guard.end();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(!door.exists());
    let events: Vec<AccessEvent> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        events
            .iter()
            .filter(|event| event.rule.as_deref() == Some("api.example"))
            .count(),
        2
    );
    assert_eq!(
        events
            .iter()
            .filter(|event| event.reason == Some(DenialReason::HostNotAllowed))
            .count(),
        2
    );

    // The credential is nowhere but in what went upstream.
    let files = ["run/applied.json", "config/routes.yaml"]
        .map(|file| fs_err::read_to_string(root.join(file)).unwrap());
    for text in [&out, &said, &files[0], &files[1]] {
        assert!(!text.contains(TOKEN));
    }
}

fn asked(directory: &Path, arguments: &[&str]) -> Output {
    command(directory)
        .args(arguments)
        .args(["--listen", "unix:door.sock"])
        .output()
        .unwrap()
}

#[test]
fn a_start_that_cannot_be_right_exits_with_2_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    lay_out(root, ROUTES);
    let start = |token: Option<&str>| {
        let mut command = command(root);
        command.args([
            "run",
            "--config",
            "config",
            "--run",
            "run",
            "--listen",
            "unix:door.sock",
        ]);
        if let Some(token) = token {
            command.env("EGRESS_TOKEN_0", token);
        }
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for token in [None, Some(""), Some("two\nlines")] {
        let (code, said) = start(token);
        assert_eq!(code, Some(2), "{said}");
        assert!(
            said.contains("EGRESS_TOKEN_0") && said.contains("API_TOKEN"),
            "{said}"
        );
        assert!(!said.contains("lines"), "{said}");
    }
    write_routes(root, "routes: everything");
    let (code, said) = start(Some(TOKEN));
    assert!(code == Some(2) && said.contains("routes.yaml"), "{said}");
    write_routes(root, &table(1, ROUTES));
    fs_err::write(root.join("config/ca.pem"), "no certificate").unwrap();
    let (code, said) = start(Some(TOKEN));
    assert!(code == Some(2) && said.contains("ca.pem"), "{said}");
    assert!(!root.join("run/applied.json").exists() && !root.join("door.sock").exists());
}

#[test]
fn check_prints_what_would_be_in_force_and_exits_with_2_when_nothing_would() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    lay_out(root, ROUTES);
    let check = || {
        command(root)
            .args(["check", "--config", "config"])
            .output()
            .unwrap()
    };
    let output = check();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && said.contains("api.example  auth Bearer from EGRESS_TOKEN_0"),
        "{said}"
    );
    write_routes(root, "routes: everything");
    assert_eq!(check().status.code(), Some(2));
}

#[test]
fn a_guard_that_nobody_answers_for_is_not_healthy() {
    let directory = tempfile::tempdir().unwrap();
    let output = asked(directory.path(), &["healthcheck"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("no guard answers")
    );
}

#[test]
fn a_guard_whose_output_nobody_reads_stops() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    lay_out(root, "- {host: open.example}\n");
    let mut child = command(root)
        .args([
            "run",
            "--config",
            "config",
            "--run",
            "run",
            "--listen",
            "unix:door.sock",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(line.contains("listening"), "{line}");
    assert!(asked(root, &["healthcheck"]).status.success());
    let status = child.wait().unwrap();
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(status.code(), Some(1), "{rest}");
    assert!(rest.contains("--event-log none"), "{rest}");
}

/// Opens connections that say nothing.
async fn idle_connections(door: &Path, count: usize) -> Vec<tokio::net::UnixStream> {
    let mut idle = Vec::with_capacity(count);
    while idle.len() < count {
        // The door's backlog is short.
        match tokio::net::UnixStream::connect(door).await {
            Ok(stream) => idle.push(stream),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => tokio::task::yield_now().await,
            Err(error) => panic!("{error} after {}", idle.len()),
        }
    }
    idle
}

/// What a connection was told, when it was turned away.
async fn told(mut stream: tokio::net::UnixStream) -> String {
    use tokio::io::AsyncReadExt as _;
    let mut text = Vec::new();
    // A close that leaves something unread is an error after the answer.
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_opens_its_files_however_many_connections_there_are() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    lay_out(root, ROUTES);
    let seat = Seat::start(root);
    // Enough for 16 connections.
    let mut guard = Guard::start_with_files(192, root, &seat);
    let mut idle = idle_connections(&root.join("door.sock"), 200).await;
    let last = told(idle.pop().unwrap()).await;
    assert!(
        last.starts_with("HTTP/1.1 503") && last.contains("limit_reached"),
        "{last}"
    );
    write_routes(root, &table(2, "- {host: new.example}\n"));
    guard.says("generation 2 is in force");
    while applied(root).generation < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_are_bounded_in_number_and_memory() {
    const IDLE: usize = 10_000;
    const SERVED: usize = 1024;
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let authority = lay_out(root, "- {host: open.example}\n");
    let seat = Seat::start(root);
    let (soft, _) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    if soft < IDLE as u64 + 500 {
        eprintln!("skipped: {soft} open files are too few for {IDLE} connections");
        return;
    }
    let guard = Guard::start_with_files(8192, root, &seat);
    let door = root.join("door.sock");
    let mut idle = idle_connections(&door, IDLE).await;
    // Whoever came after the stated number was told so, the last one like the first.
    for turned_away in idle.drain(SERVED..) {
        let answer = told(turned_away).await;
        assert!(
            answer.starts_with("HTTP/1.1 503") && answer.contains("limit_reached"),
            "{answer}"
        );
    }
    let status = fs_err::read_to_string(format!("/proc/{}/status", guard.child.id())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("{IDLE} connections came, {SERVED} idle: {peak} KiB at most");
    assert!(peak < 64 * 1024, "{peak} KiB");
    // A place that is given up serves the next.
    drop(idle);
    let got = loop {
        match Connection::open(&door, &authority, Way::TunnelHttp1, "open.example").await {
            Ok(mut connection) => break connection.send(&get("open.example", "/x")).await,
            // The guard has not noticed yet.
            Err(refused) => assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE),
        }
    };
    assert_eq!(got.status, StatusCode::OK);
}
