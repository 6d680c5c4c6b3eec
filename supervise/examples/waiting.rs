//! Measures a server with 100 calls that wait: resident memory, the time that `list-egress-routes` takes, and the processor time
//! that waiting costs.
//!
//!     cargo run --release -p supervise --example waiting -- target/prefix/libexec/bottle/x86_64/supervise

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement for people"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const CALLS: usize = 100;
const LISTINGS: usize = 500;

fn main() {
    let program = std::env::args_os().nth(1).expect("usage: waiting SUPERVISE");
    let program = fs_err::canonicalize(program).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for part in ["proposals", "responses", "run"] {
        fs_err::create_dir(folder.path().join(part)).unwrap();
    }
    egress(&folder.path().join("egress.sock"));
    let mut server = Command::new(program)
        .args([
            "run",
            "--proposals",
            "proposals",
            "--responses",
            "responses",
            "--run",
            "run",
        ])
        .args([
            "--egress",
            "unix:egress.sock",
            "--listen",
            "unix:door.sock",
            "--log-level",
            "error",
        ])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let door = folder.path().join("door.sock");
    while UnixStream::connect(&door).is_err() {
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("idle                 {} KiB", resident(server.id()));
    let waiting: Vec<_> = (0..CALLS).map(|number| wait(&door, number)).collect();
    println!("{CALLS} calls wait       {} KiB", resident(server.id()));
    let mut times: Vec<Duration> = (0..LISTINGS).map(|_| list(&door)).collect();
    times.sort();
    let percentile = |of: usize| times[LISTINGS * of / 100].as_secs_f64() * 1000.0;
    println!(
        "list-egress-routes   p50 {:.2} ms, p99 {:.2} ms",
        percentile(50),
        percentile(99)
    );
    let before = ticks(server.id());
    std::thread::sleep(Duration::from_secs(10));
    println!(
        "waiting costs        {} ms of processor time in 10 s",
        (ticks(server.id()) - before) * 10
    );
    drop(waiting);
    server.kill().unwrap();
    server.wait().unwrap();
}

/// Answers for the live table, as egress does.
fn egress(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    let route = r#"{"host":"docs.rs","methods":["GET"],"path_allowlist":["/serde/"]}"#;
    let routes = vec![route; 50].join(",");
    let hash = "0".repeat(64);
    let body =
        format!(r#"{{"schema_version":1,"generation":1,"policy_sha256":"{hash}","routes":[{routes}]}}"#);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
}

fn post(door: &Path, revision: &str, name: &str, body: &str) -> BufReader<UnixStream> {
    let mut stream = UnixStream::connect(door).unwrap();
    let standard = match revision {
        "2026-07-28" => format!("Mcp-Method: tools/call\r\nMcp-Name: {name}\r\n"),
        _ => String::new(),
    };
    write!(
        stream,
        "POST /mcp HTTP/1.1\r\nHost: supervise\r\nContent-Type: application/json\r\nMCP-Protocol-Version: {revision}\r\n{standard}\
         Accept: application/json, text/event-stream\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    BufReader::new(stream)
}

fn until(reader: &mut BufReader<UnixStream>, sign: &str) {
    let mut line = String::new();
    while !line.contains(sign) {
        line.clear();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0, "the answer is over");
    }
}

/// A call that waits, of the two revisions in turn.
fn wait(door: &Path, number: usize) -> BufReader<UnixStream> {
    let revision = ["2025-11-25", "2026-07-28"][number % 2];
    let meta = match revision {
        "2026-07-28" => {
            r#","io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"a","version":"1"}"#
        }
        _ => "",
    };
    let why = "x".repeat(500);
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"egress-block","arguments":{{"host":"h{number}.example","justification":"{why}"}},"_meta":{{"progressToken":1{meta}}}}}}}"#
    );
    let mut reader = post(door, revision, "egress-block", &body);
    until(&mut reader, "notifications/progress");
    reader
}

fn list(door: &Path) -> Duration {
    let began = Instant::now();
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list-egress-routes","arguments":{}}}"#;
    until(
        &mut post(door, "2025-11-25", "list-egress-routes", body),
        "\"result\"",
    );
    began.elapsed()
}

/// Resident memory in KiB.
fn resident(pid: u32) -> u64 {
    let status = fs_err::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Processor time in ticks of 10 ms.
fn ticks(pid: u32) -> u64 {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit(") ").next().unwrap().split(' ');
    fields
        .skip(11)
        .take(2)
        .map(|text| text.parse::<u64>().unwrap())
        .sum()
}
