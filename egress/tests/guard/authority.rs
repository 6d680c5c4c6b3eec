//! Where a request may go at all: names that agree, the standard ports, TLS inside a tunnel.

use contract::{Decision, DenialReason};

use crate::agent::{self, TUNNELS, Way, get};
use crate::bottle::{Bottle, TOKEN};

const ROUTES: &str = "
- {host: open.example}
- {host: api.example, auth: {scheme: Bearer, token_ref: T, token_env: EGRESS_TOKEN_0}}
";

#[tokio::test]
async fn a_connect_is_refused_by_address_port_host_and_credential() {
    let bottle = Bottle::start(ROUTES);
    for (target, lines, reason) in [
        ("other.example:443", "", DenialReason::HostNotAllowed),
        ("192.0.2.1:443", "", DenialReason::IpLiteral),
        ("[2001:db8::1]:443", "", DenialReason::IpLiteral),
        ("open.example:22", "", DenialReason::PortNotAllowed),
        ("open.example:80", "", DenialReason::PortNotAllowed),
        ("open.example:8443", "", DenialReason::PortNotAllowed),
        (
            "open.example:443",
            "Proxy-Authorization: Basic eDp5\r\n",
            DenialReason::AgentCredentials,
        ),
    ] {
        let refused = agent::connect(&bottle.socket, target, lines).await.unwrap_err();
        assert_eq!(
            (refused.status.as_u16(), refused.denial().reason),
            (403, reason),
            "{target}"
        );
    }
    let events = bottle.events(7).await;
    assert!(
        events
            .iter()
            .all(|event| event.way_in == "connect" && event.status == Some(403))
    );
    assert!(bottle.seat.tunnels().is_empty());
}

#[tokio::test]
async fn a_host_in_disguise_is_refused_with_a_reason_however_it_is_asked_for() {
    let bottle = Bottle::start(ROUTES);
    let hosts: &[&[u8]] = &[
        b"open.example.",
        b"open.example..",
        b"notopen.example",
        b"open.example.evil.example",
        b"evil.example\0.open.example",
        b"open.example\0.evil.example",
        b"open.example%00.evil.example",
        b"evil.example#open.example",
        b"evil.example?open.example",
        b"evil.example/open.example",
        b"evil.example\\open.example",
        b"open.example@evil.example",
        b"open\xe3\x80\x82example",
        b"\xef\xbd\x8fpen.example",
        b"xn--pen-i3d.example",
        b"open example",
        b"open.example,evil.example",
        b"127.1",
        b"0x7f.0.0.1",
        b"0177.0.0.1",
        b"2130706433",
        b"169.254.169.254",
        b"[::1]",
        b"[::ffff:169.254.169.254]",
        b"[fe80::1%25eth0]",
        b"",
    ];
    let mut asked = 0;
    for host in hosts {
        let connect = [
            b"CONNECT ",
            *host,
            b":443 HTTP/1.1\r\nHost: ",
            *host,
            b":443\r\n\r\n",
        ]
        .concat();
        let absolute = [b"GET http://", *host, b"/ HTTP/1.1\r\nHost: ", *host, b"\r\n\r\n"].concat();
        for head in [connect, absolute] {
            let what = String::from_utf8_lossy(&head).into_owned();
            let stream = tokio::net::UnixStream::connect(&bottle.socket).await.unwrap();
            let got = agent::raw(stream, &head).await;
            asked += 1;
            assert!(matches!(got.status.as_u16(), 400 | 403), "{what}: {}", got.status);
            let reason = got.denial().reason;
            let event = bottle.events(asked).await[asked - 1].clone();
            assert_eq!(
                (event.decision, event.reason),
                (Decision::Denied, Some(reason)),
                "{what}"
            );
        }
    }
    assert!(bottle.seat.tunnels().is_empty() && bottle.seat.seen().is_empty());
}

#[tokio::test]
async fn plain_http_goes_to_port_80_alone() {
    let bottle = Bottle::start(ROUTES);
    let got = bottle
        .send(Way::AbsoluteForm, &get("open.example:8080", "/"))
        .await;
    assert_eq!(got.denial().reason, DenialReason::PortNotAllowed);
    assert!(bottle.seat.seen().is_empty());
}

#[tokio::test]
async fn names_that_do_not_agree_are_refused_with_421() {
    let bottle = Bottle::start(ROUTES);
    for way in TUNNELS {
        let mut connection = agent::Connection::open(&bottle.socket, &bottle.authority, way, "open.example")
            .await
            .unwrap();
        // The other host has a route too: being allowed is not being the one that was agreed on.
        let got = connection.send(&get("api.example", "/repos/acme/app")).await;
        assert_eq!(got.status.as_u16(), 421, "{way:?}");
        assert_eq!(got.denial().reason, DenialReason::AuthorityMismatch);
    }
    assert!(bottle.seat.seen().is_empty());
}

#[tokio::test]
async fn bytes_that_are_not_tls_get_no_further_than_the_tunnel() {
    let bottle = Bottle::start(ROUTES);
    for bytes in [
        &b"SSH-2.0-OpenSSH_9.6\r\n"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\0",
    ] {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut tunnel = agent::connect(&bottle.socket, "open.example:443", "")
            .await
            .unwrap();
        tunnel.write_all(bytes).await.unwrap();
        let mut rest = Vec::new();
        let _ = tunnel.read_to_end(&mut rest).await;
    }
    let events = bottle.events(3).await;
    assert!(
        events
            .iter()
            .all(|event| event.decision == Decision::Denied && event.reason.is_some())
    );
    // Which is there already, and empty.
    assert!(bottle.seat.spoken_in().is_empty());
}

#[tokio::test]
async fn user_information_in_the_target_is_refused() {
    let bottle = Bottle::start(ROUTES);
    let stream = tokio::net::UnixStream::connect(&bottle.socket).await.unwrap();
    let head = b"GET http://me:attackers-own@open.example/ HTTP/1.1\r\nHost: open.example\r\n\r\n";
    let got = agent::raw(stream, head).await;
    assert_eq!(got.status.as_u16(), 400);
    got.denial();
    bottle.events(1).await;
    assert!(bottle.seat.seen().is_empty() && !bottle.log_text().contains("attackers-own"));
}

#[tokio::test]
async fn a_credential_in_a_host_name_is_neither_carried_nor_repeated() {
    let bottle = Bottle::start(ROUTES);
    let label = hex::encode(TOKEN);
    let target = format!("{label}.evil.example:443");
    let refused = agent::connect(&bottle.socket, &target, "").await.unwrap_err();
    assert_eq!(refused.denial().reason, DenialReason::CredentialInRequest);
    assert!(!refused.text().contains(&label));
    let host = format!("{label}.evil.example");
    let got = bottle.send(Way::AbsoluteForm, &get(&host, "/")).await;
    assert_eq!(got.denial().reason, DenialReason::CredentialInRequest);
    bottle.events(2).await;
    assert!(!bottle.log_text().contains(&label));
}
