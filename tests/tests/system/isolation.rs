//! Invariant 1: the agent has no interface but loopback and no way but its guards' sockets.
//!
//! The oracle is what a listener on the host saw, and each test has a positive control: the same probe from an
//! ordinary container does reach the same listener.

use crate::{curl, home, internet};
use system_tests::docker::{Removed, docker, output};
use system_tests::listener::Listeners;
use system_tests::prefix::Prefix;

/// Every address at which the host or another container could be reached: of interfaces and gateways.
fn addresses() -> Vec<String> {
    let mut addresses: Vec<String> = nix::ifaddrs::getifaddrs()
        .unwrap()
        .filter_map(|interface| interface.address)
        .filter_map(
            |address| match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
                (Some(four), _) if !four.ip().is_loopback() => Some(four.ip().to_string()),
                (_, Some(six)) if !six.ip().is_loopback() && (six.ip().segments()[0] & 0xffc0) != 0xfe80 => {
                    Some(format!("[{}]", six.ip()))
                }
                _ => None,
            },
        )
        .collect();
    addresses.sort();
    addresses.dedup();
    assert!(!addresses.is_empty(), "this host has no address besides loopback");
    addresses
}

fn targets(listeners: &Listeners, token: &str) -> Vec<String> {
    let mut arguments = vec!["--token".to_owned(), token.to_owned()];
    for address in addresses() {
        arguments.extend([
            "--target".to_owned(),
            format!("tcp:{address}:{}", listeners.tcp_port()),
        ]);
        arguments.extend([
            "--target".to_owned(),
            format!("udp:{address}:{}", listeners.udp_port()),
        ]);
    }
    arguments
}

#[test]
fn nothing_that_the_agent_sends_past_its_guards_arrives_anywhere() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let bottle = home.start("tester").unwrap();
    internet.reach_from(&bottle.guard("pipelock")).unwrap();
    let listeners = Listeners::open().unwrap();
    let probe = Prefix::find().unwrap().libexec("probe");

    let inside = targets(&listeners, "from-the-agent");
    docker([
        "cp",
        &probe.display().to_string(),
        &format!("{}:/tmp/probe-copy", bottle.agent()),
    ])
    .unwrap();
    let mut arguments = vec!["exec".to_owned(), bottle.agent(), "/tmp/probe-copy".to_owned()];
    arguments.extend(inside);
    let ran = output(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let found: serde_json::Value = serde_json::from_str(&said)
        .unwrap_or_else(|error| panic!("{error}: {said} {}", String::from_utf8_lossy(&ran.stderr)));
    assert_eq!(found["interfaces"], serde_json::json!(["lo"]), "{said}");

    // The positive control, by the same program, over the same network stack.
    let control = format!("isolation-control-{}", bottle.slug());
    let _removed = Removed::container(&control);
    let mount = format!("{}:/probe:ro", probe.display());
    let mut arguments: Vec<String> = [
        "run",
        "--rm",
        "--name",
        &control,
        "--volume",
        &mount,
        "--entrypoint",
        "/probe",
    ]
    .iter()
    .map(ToString::to_string)
    .collect();
    arguments.push("debian:trixie-slim".to_owned());
    arguments.extend(targets(&listeners, "from-an-ordinary-container"));
    output(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    assert!(
        listeners.wait_for("from-an-ordinary-container"),
        "the control reached nothing: {:?}",
        listeners.seen()
    );
    let kinds = |kind: &str| {
        listeners
            .seen()
            .iter()
            .any(|line| line.starts_with(kind) && line.contains("ordinary"))
    };
    assert!(kinds("tcp") && kinds("udp"), "{:?}", listeners.seen());

    assert!(
        !listeners
            .seen()
            .iter()
            .any(|line| line.contains("from-the-agent")),
        "{:?}",
        listeners.seen()
    );
    // And the one way out works, so that the silence above is not a dead container's.
    assert_eq!(curl(&bottle, "https://open.test.example/alive").unwrap().0, "200");
    assert_eq!(internet.seen_at("/alive").unwrap().len(), 1);
}

#[test]
fn egress_has_no_interface_but_loopback_and_no_way_out_but_the_seats_socket() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let bottle = home.start("tester").unwrap();
    let listeners = Listeners::open().unwrap();
    let probe = Prefix::find().unwrap().libexec("probe");
    let mount = format!("{}:/probe:ro", probe.display());
    // The probe in the very network namespace of each guard: of egress nothing arrives, of the seat (the control) everything does.
    let try_from = |guard: &str, token: &str| {
        let name = format!("isolation-{guard}-{}", bottle.slug());
        let _removed = Removed::container(&name);
        let network = format!("container:{}", bottle.guard(guard));
        let mut arguments: Vec<String> = [
            "run",
            "--rm",
            "--name",
            &name,
            "--network",
            &network,
            "--volume",
            &mount,
            "--entrypoint",
            "/probe",
            "debian:trixie-slim",
        ]
        .iter()
        .map(ToString::to_string)
        .collect();
        arguments.extend(targets(&listeners, token));
        let ran = output(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        serde_json::from_slice::<serde_json::Value>(&ran.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&ran.stderr)))
    };
    let of_egress = try_from("egress", "from-egress");
    assert_eq!(of_egress["interfaces"], serde_json::json!(["lo"]), "{of_egress}");
    let of_seat = try_from("pipelock", "from-the-seat");
    assert_ne!(of_seat["interfaces"], serde_json::json!(["lo"]), "{of_seat}");
    assert!(listeners.wait_for("from-the-seat"), "{:?}", listeners.seen());
    assert!(
        !listeners.seen().iter().any(|line| line.contains("from-egress")),
        "{:?}",
        listeners.seen()
    );
    let sockets = docker([
        "inspect",
        "--format",
        "{{.HostConfig.NetworkMode}} {{range .Mounts}}{{.Destination}}={{.RW}} {{end}}",
        &bottle.guard("egress"),
    ])
    .unwrap();
    assert!(
        sockets.starts_with("none ") && sockets.contains("/run/bottle/doors/pipelock=false"),
        "{sockets}"
    );
    // And the agent has no door of the seat.
    let (doors, _) = bottle.sh("ls /run/bottle/doors").unwrap();
    assert_eq!(doors.trim(), "egress");
    assert!(internet.seen().unwrap().is_empty());
}

#[test]
fn socket_families_that_leave_the_namespace_cannot_be_opened() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let bottle = home.start("tester").unwrap();
    // perl is in every Debian image; socket(2) with the family's number, and io_uring_setup(2).
    let try_family = |family: u32, kind: u32| {
        let line = format!("perl -e 'socket(S, {family}, {kind}, 0) and print \"open\" or print \"closed\"'");
        bottle.sh(&line).unwrap().0
    };
    for (name, family, kind) in [
        ("AF_VSOCK", 40, 1),
        ("AF_PACKET", 17, 3),
        ("AF_PACKET raw", 17, 2),
    ] {
        assert_eq!(try_family(family, kind), "closed", "{name}");
    }
    // The same with bits set above the 32 that the kernel looks at: a filter that compares all 64 sees another number.
    for family in [40_u64, 17] {
        let wide = (1_u64 << 32) + family;
        let line = format!("perl -e 'print syscall(41, {wide}, 1, 0) == -1 ? \"closed\" : \"open\"'");
        assert_eq!(
            bottle.sh(&line).unwrap().0,
            "closed",
            "family {family} with high bits"
        );
    }
    assert_eq!(try_family(2, 3), "closed", "raw IP");
    assert_eq!(try_family(2, 1), "open", "an ordinary TCP socket is the control");
    let uring = "perl -e 'print syscall(425, 1, 0) == -1 ? \"closed\" : \"open\"'";
    assert_eq!(bottle.sh(uring).unwrap().0, "closed", "io_uring_setup");
}

#[test]
fn the_agent_cannot_move_or_replace_what_it_is_given() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let bottle = home.start("tester").unwrap();
    for line in [
        "rm -f /run/bottle/doors/egress/door.sock",
        "touch /run/bottle/doors/egress/other",
        "mv /run/bottle/doors/egress /tmp/elsewhere",
        "echo nameserver 1.1.1.1 > /run/bottle/doors/egress/resolv.conf",
        "touch /etc/claude-bottle/ca/extra.pem",
        "mount -o remount,rw /run/bottle/doors/egress",
        "ip link add dummy0 type dummy",
        "unshare --net true",
    ] {
        let (said, code) = bottle.sh(line).unwrap();
        assert_ne!(code, 0, "`{line}` worked: {said}");
    }
    assert_eq!(curl(&bottle, "http://_egress.local/allowlist").unwrap().0, "200");
}

#[test]
fn neither_the_docker_socket_nor_the_hosts_processes_are_in_the_container() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let bottle = home.start("tester").unwrap();
    let (sockets, _) = bottle
        .sh("find / -xdev -name '*.sock' 2>/dev/null; ls /run/docker* /var/run/docker* 2>/dev/null")
        .unwrap();
    assert_eq!(sockets.trim(), "", "sockets outside the guards' doors");
    let (one, _) = bottle.sh("tr '\\0' ' ' < /proc/1/cmdline").unwrap();
    assert!(one.contains("shim"), "PID 1 is {one}");
}
