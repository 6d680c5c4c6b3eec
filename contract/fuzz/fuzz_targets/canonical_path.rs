//! A path that a filtered route admits cannot be served from outside the filter by any server that we can imagine: here one
//! that decodes once or twice, folds backslashes, cuts parameters, and resolves dots, in either order.
#![no_main]

use contract::{HostName, RequestLine, RouteTable};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static TABLE: LazyLock<(RouteTable, HostName)> = LazyLock::new(|| {
    let table = RouteTable::parse(
        b"schema_version: 1\ngeneration: 1\nroutes:\n- host: a.example\n  path_allowlist: [/a/b/, /c]\n",
    )
    .unwrap();
    (table, "a.example".parse().unwrap())
});

fn decode(path: &str) -> String {
    let mut out = Vec::new();
    let bytes = path.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
        match hex.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) if bytes[at] == b'%' && !hex.unwrap().contains('+') => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn resolve(path: &str, cut: bool, fold: bool) -> String {
    let path = if fold { path.replace('\\', "/") } else { path.to_owned() };
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        let name = if cut { segment.split(';').next().unwrap_or_default() } else { segment };
        match name {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

fuzz_target!(|path: &[u8]| {
    let (table, host) = &*TABLE;
    if table.decide(RequestLine { host, method: "GET", path }, |_| true).is_err() {
        return;
    }
    let sent = std::str::from_utf8(path).expect("an admitted path is ASCII");
    for cut in [false, true] {
        for fold in [false, true] {
            let once = decode(sent);
            let twice = decode(&once);
            let early = decode(&resolve(sent, cut, fold));
            for served in [
                resolve(&once, cut, fold),
                resolve(&twice, cut, fold),
                resolve(&early, cut, fold),
                resolve(&decode(&resolve(&once, cut, fold)), cut, fold),
            ] {
                let inside = served.starts_with("/a/b/") || served == "/a/b" || served == "/c" || served.starts_with("/c/");
                assert!(inside, "{sent} was admitted and could be served as {served}");
            }
        }
    }
});
