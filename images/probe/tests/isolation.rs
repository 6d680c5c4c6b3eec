//! The real program: in a namespace of its own nothing arrives anywhere; where something can be reached, it says so.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use probe::{Kind, Outcome, Report};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::process::{Command, Output};
use std::time::Duration;

/// Longer than any machine takes to send to itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is listened on here, and must not be reached from there.
struct Host {
    tcp: TcpListener,
    udp: UdpSocket,
}

impl Host {
    fn open() -> Self {
        let udp = UdpSocket::bind("0.0.0.0:0").unwrap();
        udp.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            tcp: TcpListener::bind("0.0.0.0:0").unwrap(),
            udp,
        }
    }

    fn arguments(&self, token: &str) -> Vec<String> {
        let (tcp, udp) = (
            self.tcp.local_addr().unwrap().port(),
            self.udp.local_addr().unwrap().port(),
        );
        let mut arguments = vec!["--token".to_owned(), token.to_owned()];
        for address in addresses() {
            arguments.extend(["--target".to_owned(), format!("tcp:{address}:{tcp}")]);
            arguments.extend(["--target".to_owned(), format!("udp:{address}:{udp}")]);
        }
        arguments
    }

    /// Sends a last packet of our own and gives everything that came before it.
    fn seen(&self) -> Vec<String> {
        let here = self.udp.local_addr().unwrap().port();
        let last = UdpSocket::bind("127.0.0.1:0").unwrap();
        last.send_to(b"the last", ("127.0.0.1", here)).unwrap();
        let mut seen = Vec::new();
        loop {
            let mut bytes = [0; 512];
            let read = self.udp.recv(&mut bytes).unwrap();
            let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
            if text == "the last" {
                break;
            }
            seen.push(format!("udp {text}"));
        }
        self.tcp.set_nonblocking(true).unwrap();
        while let Ok((mut stream, _)) = self.tcp.accept() {
            stream.set_nonblocking(false).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            seen.push(format!("tcp {text}"));
        }
        seen
    }
}

/// Every IPv4 address of this machine.
fn addresses() -> Vec<std::net::Ipv4Addr> {
    let mut found: Vec<_> = nix::ifaddrs::getifaddrs()
        .unwrap()
        .filter_map(|interface| interface.address?.as_sockaddr_in().map(|it| it.ip()))
        .collect();
    found.sort();
    found.dedup();
    found
}

fn report(output: &Output) -> Report {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn program() -> &'static str {
    env!("CARGO_BIN_EXE_probe")
}

/// Runs a shell line in network and mount namespaces of its own, as root of them.
fn apart(line: &str) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "--mount"]);
    if !nix::unistd::geteuid().is_root() {
        unshare.arg("--map-root-user");
    }
    unshare.args(["sh", "-c", line, "sh", program()]);
    unshare
}

#[test]
fn from_a_namespace_of_its_own_nothing_arrives_and_from_here_everything_does() {
    let host = Host::open();
    if apart("true").status().unwrap().success() {
        // As a container has it: its own sysfs, loopback up, no capability.
        let line = "mount -t sysfs none /sys && { ip link set lo up || true; } && \
                    exec setpriv --bounding-set=-all --inh-caps=-all \"$@\"";
        let output = apart(line).args(host.arguments("from-apart")).output().unwrap();
        let mut found = report(&output);
        assert_eq!(output.status.code(), Some(i32::from(!found.holds())));
        // Vsock knows no namespaces: it is the system call filter that a container has besides which keeps it out.
        found.attempts.retain(|attempt| attempt.kind != Kind::Vsock);
        assert_eq!(found.breaches(), Vec::<String>::new());
        for kind in [Kind::Packet, Kind::Icmp4, Kind::Raw4] {
            assert!(
                found
                    .attempts
                    .iter()
                    .any(|it| it.kind == kind && it.outcome == Outcome::Denied),
                "{kind} is not denied without a capability: {found:?}"
            );
        }
        let outside = found
            .attempts
            .iter()
            .filter(|attempt| attempt.kind == Kind::Udp4 && !attempt.target.starts_with("127."));
        for attempt in outside {
            assert_eq!(attempt.outcome, Outcome::Unreachable, "{attempt:?}");
        }
    } else {
        eprintln!("this user may make no network namespace; the whole-system tests try it in a container");
    }

    let output = Command::new(program())
        .args(host.arguments("from-here"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        report(&output)
            .breaches()
            .iter()
            .any(|breach| breach.ends_with("connected"))
    );
    let seen = host.seen();
    let came = |kind: &str, token: &str| {
        seen.iter()
            .any(|line| line.starts_with(kind) && line.contains(token))
    };
    assert!(came("tcp", "from-here") && came("udp", "from-here"), "{seen:?}");
    assert!(!came("", "from-apart"), "{seen:?}");
}

#[test]
fn a_guard_that_answers_is_told_with_its_answer_and_one_that_does_not_with_the_reason() {
    let guard = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = guard.local_addr().unwrap();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = guard.accept().unwrap();
        let mut request = [0; 512];
        let read = stream.read(&mut request).unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    let output = Command::new(program())
        .args(["--token", "t", "--guard-deadline-ms", "1000"])
        .args([
            "--guard",
            &format!("egress={address}=http://_egress.local/health"),
        ])
        .args(["--guard", &format!("git-gate={nobody}")])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let guards = report(&output).guards;
    assert_eq!(
        (guards[0].ok, guards[0].detail.as_str()),
        (true, "HTTP/1.1 204 No Content")
    );
    assert!(
        !guards[1].ok && guards[1].detail.contains("refused"),
        "{guards:?}"
    );
    let request = served.join().unwrap();
    assert!(
        request.starts_with("GET http://_egress.local/health HTTP/1.1\r\nHost: _egress.local\r\n"),
        "{request}"
    );
}

#[test]
fn a_mistake_in_the_command_line_is_told_from_a_breach() {
    let run = |arguments: &[&str]| Command::new(program()).args(arguments).output().unwrap();
    assert_eq!(run(&[]).status.code(), Some(2));
    assert_eq!(
        run(&["--token", "t", "--target", "nowhere"]).status.code(),
        Some(2)
    );
    let version = run(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(
        String::from_utf8(version.stdout).unwrap(),
        format!("probe {}\n", env!("CARGO_PKG_VERSION"))
    );
}
