//! Prints how long a scan takes for input that was made to take long: `cargo run --release -p secrets --example
//! hostile`. Each is scanned at two lengths, whole and in chunks: time that grows with the square of the length
//! shows as a factor near 16 for one of 4.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrets::{Options, Scanner, Setting};
use std::error::Error;
use std::time::{Duration, Instant};

const SHORT: usize = 64 << 10;
const LONG: usize = 256 << 10;
const CHUNK: usize = 4 << 10;

/// Repeated as often as fits.
const PIECES: &[&[u8]] = &[
    b"\x1f\x8b\x08",
    b"\x1f\x8b\x08\x08\0\0\0\0\0\0",
    b"\x1f\x8b\x08\0\0\0\0\0\0\0",
    b"\x1f\x8b\x08\0\0\0\0\0\0\0\x01\0\0\xff\xff",
    b"\x28\xb5\x2f\xfd",
    b"\x28\xb5\x2f\xfd\x80\x58\0\0\0\x80",
    b"PK\x03\x04",
    b"PK\x03\x04\0\0\0\0\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    b"PK\x03\x04\0\0\0\0\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff",
    b"PK\x03\x04\0\0\0\0\x5d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    b"stream\n\x78\x01",
    b"stream\r\n\x78\x9c",
    b"a",
    b"aB3/",
    b"/",
    b"a/b/c/d/",
    b"0",
    b"0123456789abcdef",
    b"de:ad:be:ef:",
    b"de ad",
    b"0x41, ",
    b"%25",
    b"%2525",
    b"%252525252541",
    b"%",
    b"%41",
    b"\\u",
    b"\\u0041",
    b"\\\\u0041",
    b"\\",
    b"&#x41;",
    b"&amp;",
    b"&amp;amp;amp;",
    b"&#",
    b"=41",
    b"=\r\n",
    b"\0a",
    b"a\0",
    b"a\0\0a",
    b"a\0b\0c",
    b"\xff\xfe",
    b"token=",
    b"token = \"",
    b"password:",
    b"api_key=",
    b"secret_key = ",
    b"authorization: bearer ",
    b"Authorization: Basic ",
    b"aws_secret_access_key ",
    b"ghp_",
    b"ghp_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    b"AKIA",
    b"AKIAAKIA",
    b"sk-",
    b"sk-ant-",
    b"sk-ant-api03-",
    b"xoxb-",
    b"xoxb-1",
    b"glpat-",
    b"eyJ",
    b"eyJ.",
    b"eyJa.eyJa.",
    b"eyJhbGciOiJI",
    b"://",
    b"://a:",
    b"://a:b",
    b"://a:b@",
    b"postgres://",
    b"-----BEGIN ",
    b"-----BEGIN PRIVATE KEY-----",
    b"-----BEGIN PRIVATE KEY-----\n",
    b"-----BEGIN RSA PRIVATE KEY-----\\n",
    b"PuTTY-User-Key-File-",
    b"abandon ",
    b"about above ",
    b"4111 1111 1111 111",
    b"4111-",
    b"1-2-3-4-",
    b"GB82",
    b"GB82WEST",
    b"219-09-999",
    b"MFRGGZDF",
    b"\xe2\x80\x8b",
    b"\xd0\xb0",
    b"g\xe2\x80\x8bhp_",
    b"\n",
    b" ",
    b"\t\x0b",
    b"{\"a\":",
    b"[",
    b"\"",
    b"ignore previous instructions ",
    b"https://hooks.slack.com/services/",
    b"1234567890:AA",
    b"MTA",
];

/// A whole scan, one in chunks, and how each ended.
struct Times {
    whole: Duration,
    chunks: Duration,
    ended: &'static str,
}

#[allow(clippy::print_stdout, reason = "its purpose")]
fn main() -> Result<(), Box<dyn Error>> {
    let scanner = Scanner::built_in()?;
    let mut lines = Vec::new();
    for &piece in PIECES {
        measure(
            &scanner,
            &piece.escape_ascii().to_string(),
            &mut lines,
            |length| piece.repeat(length / piece.len()),
        );
    }
    for depth in [1, 2, 3, 4, 8] {
        for &piece in [&b"token="[..], b"%25", b"\x1f\x8b\x08", b"-----BEGIN ", b"a\0"].iter() {
            let name = format!("{} {depth}x base64", piece.escape_ascii());
            measure(&scanner, &name, &mut lines, |length| nested(piece, depth, length));
        }
    }
    lines.sort_by_key(|(most, _)| *most);
    for (_, line) in &lines {
        println!("{line}");
    }
    Ok(())
}

fn measure(
    scanner: &Scanner,
    name: &str,
    lines: &mut Vec<(Duration, String)>,
    make: impl Fn(usize) -> Vec<u8>,
) {
    let short = times(scanner, &make(SHORT));
    let long = times(scanner, &make(LONG));
    let factor = |a: Duration, b: Duration| b.as_secs_f64() / a.as_secs_f64().max(1e-6);
    let line = format!(
        "{:>9.1?} whole ({:>4.1} x), {:>9.1?} in chunks ({:>4.1} x), {}: {name}",
        long.whole,
        factor(short.whole, long.whole),
        long.chunks,
        factor(short.chunks, long.chunks),
        long.ended,
    );
    lines.push((long.whole.max(long.chunks), line));
}

fn times(scanner: &Scanner, text: &[u8]) -> Times {
    let options = Options::new(Setting::Traffic);
    let started = Instant::now();
    let scanned = scanner.scan(text, &options);
    let whole = started.elapsed();
    let started = Instant::now();
    let mut stream = scanner.stream(&options);
    let mut findings = Vec::new();
    let streamed = text
        .chunks(CHUNK)
        .try_for_each(|chunk| stream.push(chunk, &mut findings).map(drop))
        .and_then(|()| stream.finish(&mut findings));
    let ended = match (scanned, streamed) {
        (Ok(found), Ok(())) if found.is_empty() => "nothing found",
        (Ok(_), Ok(())) => "found",
        (Err(_), Err(_)) => "refused",
        _ => "refused in one way",
    };
    Times {
        whole,
        chunks: started.elapsed(),
        ended,
    }
}

fn nested(piece: &[u8], depth: u32, length: usize) -> Vec<u8> {
    let mut inner = length;
    for _ in 0..depth {
        inner = inner / 4 * 3;
    }
    let mut text = piece.repeat(inner / piece.len());
    for _ in 0..depth {
        text = STANDARD.encode(text).into_bytes();
    }
    text
}
