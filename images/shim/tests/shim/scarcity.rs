//! Guards that are not there, full backlogs, and descriptors that run out: clients wait or are closed, and the shim lives.

use crate::{Door, PATIENCE, Shim, until};
use nix::sys::socket::{Backlog, listen};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};

/// One question and its answer, over a fresh connection.
fn exchange(client: &mut TcpStream, guards: &UnixListener) {
    client.write_all(b"?").unwrap();
    let (mut guard, _) = guards.accept().unwrap();
    let mut asked = [0];
    guard.read_exact(&mut asked).unwrap();
    guard.write_all(b"!").unwrap();
    let mut answered = [0];
    client.read_exact(&mut answered).unwrap();
    assert_eq!((asked, answered), (*b"?", *b"!"));
}

#[test]
fn without_a_guard_the_client_is_closed_and_with_one_it_is_served() {
    let door = Door::new();
    let shim = Shim::to(&door.endpoint());
    let closed = || shim.client().read(&mut [0]).unwrap_err().kind();
    for _ in 0..3 {
        assert_eq!(closed(), ErrorKind::ConnectionReset);
    }
    let guards = door.listen();
    exchange(&mut shim.client(), &guards);
    // A guard that went and left its socket behind.
    drop(guards);
    assert_eq!(closed(), ErrorKind::ConnectionReset);
    std::fs::remove_file(door.path()).unwrap();
    let guards = door.listen();
    exchange(&mut shim.client(), &guards);
    shim.signal(nix::sys::signal::Signal::SIGTERM);
    let (_, said) = shim.end();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 4, "each change is told once: {said}");
    assert!(
        lines[0].contains("does not answer") && lines[1].contains("answers again"),
        "{said}"
    );
}

#[test]
fn thousands_of_connections_leave_no_descriptor_behind() {
    let door = Door::new();
    let guards = door.listen();
    let shim = Shim::to(&door.endpoint());
    let before = shim.descriptors();
    for round in 0..3000 {
        let mut client = shim.client();
        match round % 3 {
            0 => exchange(&mut client, &guards),
            // The client is early, the guard is early.
            1 => drop((client, guards.accept().unwrap())),
            _ => {
                drop(guards.accept().unwrap());
                assert_eq!(client.read(&mut [0]).unwrap(), 0);
            }
        }
    }
    until("all are closed", || shim.descriptors() == before);
}

#[test]
fn past_the_cap_clients_wait_until_one_ends() {
    let door = Door::new();
    let guards = door.listen();
    guards.set_nonblocking(true).unwrap();
    let shim = Shim::start(&[
        "--forward".to_owned(),
        format!("127.0.0.1:0={}", door.endpoint()),
        "--max-connections".to_owned(),
        "2".to_owned(),
    ]);
    let mut clients: Vec<TcpStream> = (0..3).map(|_| shim.client()).collect();
    let mut served: Vec<UnixStream> = Vec::new();
    until("two are served", || {
        served.extend(guards.accept().map(|(guard, _)| guard));
        served.len() == 2
    });
    // Whatever else was to come would have come with a fourth client's arrival.
    clients.push(shim.client());
    assert!(guards.accept().is_err(), "a third is served");
    served.pop();
    // The guard has gone, so its client is told, and goes.
    until("one client is closed", || {
        let before = clients.len();
        clients.retain(|client| {
            client.set_nonblocking(true).unwrap();
            !matches!((&mut &*client).read(&mut [0]), Ok(0))
        });
        clients.len() < before
    });
    until("a third is served", || guards.accept().is_ok());
}

#[test]
fn a_guard_whose_backlog_is_full_is_waited_for() {
    let door = Door::new();
    let guards = door.listen();
    listen(&guards, Backlog::new(0).unwrap()).unwrap();
    let shim = Shim::to(&door.endpoint());
    let mut clients: Vec<TcpStream> = (0..5)
        .map(|number| {
            let mut client = shim.client();
            client.write_all(&[number]).unwrap();
            client
        })
        .collect();
    for _ in 0..clients.len() {
        let (mut guard, _) = guards.accept().unwrap();
        guard.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut asked = [0];
        guard.read_exact(&mut asked).unwrap();
        guard.write_all(&asked).unwrap();
        let mut answered = [0];
        clients[usize::from(asked[0])].read_exact(&mut answered).unwrap();
        assert_eq!(asked, answered);
    }
    clients.clear();
}

#[test]
fn where_descriptors_run_out_clients_wait_and_are_served() {
    let door = Door::new();
    let guards = door.listen();
    // Nine descriptors for connections where the limit promises more: most are taken by what the shim inherits.
    let line = r#"ulimit -n 128; for _ in $(seq 113); do exec {taken}</dev/null; done; exec "$@""#;
    let shim = Shim::start_by(
        line,
        &["--forward".to_owned(), format!("127.0.0.1:0={}", door.endpoint())],
    );
    let mut clients: Vec<TcpStream> = (0..16).map(|_| shim.client()).collect();
    for client in &mut clients {
        client.write_all(b"?").unwrap();
    }
    until("the shim has run out", || shim.descriptors() >= 127);
    // The backlog keeps their order.
    for mut client in clients {
        let (mut guard, _) = guards.accept().unwrap();
        guard.read_exact(&mut [0]).unwrap();
        guard.write_all(b"!").unwrap();
        drop(guard);
        let mut answered = String::new();
        client.read_to_string(&mut answered).unwrap();
        assert_eq!(answered, "!");
    }
}
