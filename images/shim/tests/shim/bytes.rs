//! What goes in comes out: all of it, in order, both ways.

use crate::{Door, PATIENCE, Shim};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;

const MUCH: usize = 64 * 1024 * 1024;

/// Bytes that repeat only after a long while, so that a lost or swapped chunk shows.
fn pattern(mut seed: u64) -> impl FnMut(&mut [u8]) {
    move |buffer| {
        for chunk in buffer.chunks_mut(8) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let bytes = seed.to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

fn send(mut to: impl Write, seed: u64) {
    let (mut next, mut buffer) = (pattern(seed), vec![0; 40 * 1024]);
    let mut left = MUCH;
    while left > 0 {
        let size = buffer.len().min(left);
        next(&mut buffer[..size]);
        to.write_all(&buffer[..size]).unwrap();
        left -= size;
    }
}

fn receive(mut from: impl Read, seed: u64) {
    let (mut next, mut expected, mut found) = (pattern(seed), vec![0; 40 * 1024], vec![0; 40 * 1024]);
    let mut left = MUCH;
    while left > 0 {
        let size = expected.len().min(left);
        next(&mut expected[..size]);
        from.read_exact(&mut found[..size]).unwrap();
        assert!(expected[..size] == found[..size], "{left} bytes before the end");
        left -= size;
    }
    assert_eq!(from.read(&mut found).unwrap(), 0, "more came than was sent");
}

#[test]
fn sixty_four_mebibytes_pass_both_ways_at_once_unchanged() {
    let door = Door::new();
    let guards = door.listen();
    let shim = Shim::to(&door.endpoint());
    let client = shim.client();
    let (guard, _) = guards.accept().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            send(&client, 1);
            client.shutdown(std::net::Shutdown::Write).unwrap();
        });
        scope.spawn(|| {
            send(&guard, 2);
            guard.shutdown(std::net::Shutdown::Write).unwrap();
        });
        scope.spawn(|| receive(&guard, 1));
        scope.spawn(|| receive(&client, 2));
    });
}

#[test]
fn a_socket_leads_to_a_port_as_well() {
    let door = Door::new();
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let _shim = Shim::start(&[
        "--forward".to_owned(),
        format!("{}={}", door.endpoint(), proxy.local_addr().unwrap()),
    ]);
    let mut client = UnixStream::connect(door.path()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut served, _) = proxy.accept().unwrap();
    client.write_all(b"ask").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut asked = String::new();
    served.read_to_string(&mut asked).unwrap();
    served.write_all(b"answer").unwrap();
    drop(served);
    let mut answered = String::new();
    client.read_to_string(&mut answered).unwrap();
    assert_eq!((asked.as_str(), answered.as_str()), ("ask", "answer"));
}

#[test]
fn each_port_leads_to_its_own_guard() {
    let (one, other) = (Door::new(), Door::new());
    let (first, second) = (one.listen(), other.listen());
    let shim = Shim::start(&[
        "--forward".to_owned(),
        format!("127.0.0.1:0={}", one.endpoint()),
        "--forward".to_owned(),
        format!("127.0.0.1:0={}", other.endpoint()),
    ]);
    for (address, guards) in shim.listening.iter().zip([first, second]) {
        let mut client = std::net::TcpStream::connect(address).unwrap();
        client.write_all(address.as_bytes()).unwrap();
        drop(client);
        let mut heard = String::new();
        guards.accept().unwrap().0.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, *address);
    }
}

#[test]
fn a_reader_that_stands_still_holds_its_writer_back_and_loses_nothing() {
    let door = Door::new();
    let guards = door.listen();
    let shim = Shim::to(&door.endpoint());
    let client = shim.client();
    let (guard, _) = guards.accept().unwrap();
    std::thread::scope(|scope| {
        let (tell, told) = std::sync::mpsc::channel();
        scope.spawn(move || {
            client.set_nonblocking(true).unwrap();
            // As much as the two sockets and the shim take between them.
            let (mut taken, mut refused) = (0, 0);
            while refused < 200 {
                match (&client).write(&[7; 16 * 1024]) {
                    Ok(written) => (taken, refused) = (taken + written, 0),
                    Err(_) => {
                        refused += 1;
                        std::thread::sleep(std::time::Duration::from_millis(1));
                    }
                }
            }
            tell.send(taken).unwrap();
        });
        let taken = told.recv().unwrap();
        // Loopback buffers are a few MiB by default; without backpressure the writer would never be refused.
        let resident = fs_err::read_to_string(format!("/proc/{}/status", shim.pid())).unwrap();
        let resident = resident.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let kibibytes: usize = resident.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(kibibytes < 16 * 1024, "the shim holds {kibibytes} KiB");
        let mut heard = Vec::new();
        (&guard).read_to_end(&mut heard).unwrap();
        assert_eq!(heard.len(), taken);
    });
}
