//! How a stream ends on one side is how it ends on the other.

use crate::{Door, PATIENCE, Shim, until};
use nix::sys::socket::{setsockopt, sockopt};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

fn pair() -> (Door, Shim, TcpStream, UnixStream) {
    let door = Door::new();
    let guards = door.listen();
    let shim = Shim::to(&door.endpoint());
    let client = shim.client();
    let (guard, _) = guards.accept().unwrap();
    guard.set_read_timeout(Some(PATIENCE)).unwrap();
    (door, shim, client, guard)
}

fn reset(stream: TcpStream) {
    let at_once = nix::libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&stream, sockopt::Linger, &at_once).unwrap();
}

fn all(mut from: impl std::io::Read) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_client_that_has_said_everything_still_hears_the_answer() {
    let (_door, _shim, mut client, mut guard) = pair();
    client.write_all(b"everything").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(all(&guard), "everything");
    guard.write_all(b"the answer").unwrap();
    drop(guard);
    assert_eq!(all(&client), "the answer");
}

#[test]
fn a_guard_that_has_said_everything_still_hears_the_client() {
    let (_door, _shim, mut client, mut guard) = pair();
    guard.write_all(b"a greeting").unwrap();
    guard.shutdown(Shutdown::Write).unwrap();
    assert_eq!(all(&client), "a greeting");
    client.write_all(b"at length").unwrap();
    drop(client);
    assert_eq!(all(&guard), "at length");
}

#[test]
fn a_client_that_goes_is_gone_for_the_guard() {
    let (_door, shim, client, guard) = pair();
    drop(client);
    assert_eq!(all(&guard), "");
    drop(guard);
    let (_door, _shim, client, guard) = pair();
    reset(client);
    assert_eq!(all(&guard), "");
    drop(shim);
}

#[test]
fn a_client_gone_before_its_answer_costs_the_guard_its_stream() {
    let (_door, _shim, client, mut guard) = pair();
    reset(client);
    let mut refused = None;
    until("the guard can write no more", || {
        refused = guard.write(&[0; 1024]).err().map(|error| error.kind());
        refused.is_some()
    });
    assert_eq!(refused, Some(ErrorKind::BrokenPipe));
}

#[test]
fn a_reset_passes_from_tcp_to_tcp() {
    let guards = TcpListener::bind("127.0.0.1:0").unwrap();
    let shim = Shim::to(&guards.local_addr().unwrap().to_string());
    let mut client = shim.client();
    let (guard, _) = guards.accept().unwrap();
    reset(guard);
    assert_eq!(
        client.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );

    let client = shim.client();
    let (mut guard, _) = guards.accept().unwrap();
    reset(client);
    assert_eq!(
        guard.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
}

#[test]
fn an_answer_reaches_a_client_that_is_still_sending_when_the_guard_closes() {
    let (_door, _shim, mut client, mut guard) = pair();
    client.write_all(b"POST").unwrap();
    guard.read_exact(&mut [0; 4]).unwrap();
    guard.write_all(b"403, and here is why").unwrap();
    drop(guard);
    // More than all buffers on the way hold, so that it matters that somebody takes it.
    client.write_all(&vec![0; 32 * 1024 * 1024]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(all(&client), "403, and here is why");
}

#[test]
fn a_guard_that_left_without_reading_is_no_reset_before_its_answer() {
    let (_door, _shim, mut client, mut guard) = pair();
    client.write_all(&[0; 4096]).unwrap();
    guard.read_exact(&mut [0; 1]).unwrap();
    guard.write_all(b"no, thank you").unwrap();
    drop(guard);
    assert_eq!(all(&client), "no, thank you");
}

#[test]
fn an_idle_connection_whose_guard_has_gone_ends() {
    let (_door, shim, client, guard) = pair();
    let with_one = shim.descriptors();
    drop(guard);
    assert_eq!(all(&client), "");
    drop(client);
    until("the shim has closed both legs", || {
        shim.descriptors() + 2 == with_one
    });
}
