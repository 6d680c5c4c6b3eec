//! What the probe prints: one JSON object, read by the launcher through these types.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;

/// The only version there is.
pub const SCHEMA_VERSION: u32 = 1;

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Names of the interfaces that are up, sorted: `["lo"]` where the isolation holds.
    pub interfaces: Vec<String>,
    /// Names of the interfaces that are down, sorted. The kernel puts some into every network namespace (`sit0`,
    /// `tunl0`) once their modules are loaded; without CAP_NET_ADMIN nobody can raise them, so they are no way out.
    #[serde(default)]
    pub interfaces_down: Vec<String>,
    /// Every way out that was tried.
    pub attempts: Vec<Attempt>,
    /// Every guard that was asked.
    pub guards: Vec<Guard>,
}

/// One way out that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// How.
    pub kind: Kind,
    /// Where to: `10.0.0.1:80`, `[fd00::1]:80`, `cid 2 port 1024`, and for broadcasts ` by eth0`.
    pub target: String,
    /// What came of it.
    pub outcome: Outcome,
    /// The kernel's error number, where there was one (errno(3)).
    pub errno: Option<i32>,
}

/// A kind of socket or packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A TCP connection over IPv4.
    Tcp4,
    /// A TCP connection over IPv6.
    Tcp6,
    /// A datagram over IPv4.
    Udp4,
    /// A datagram over IPv6.
    Udp6,
    /// A datagram that may be a broadcast and takes no route (SO_BROADCAST, SO_DONTROUTE), over IPv4.
    Udp4Direct,
    /// A datagram that takes no route, over IPv6.
    Udp6Direct,
    /// A datagram to 255.255.255.255, or to an interface's broadcast address.
    Udp4Broadcast,
    /// A datagram to all hosts, 224.0.0.1.
    Udp4Multicast,
    /// A datagram to all nodes of a link, ff02::1.
    Udp6Multicast,
    /// An echo request over a ping socket, which needs no capability (icmp(7)).
    Ping4,
    /// The same over IPv6.
    Ping6,
    /// An echo request over a raw socket.
    Icmp4,
    /// The same over IPv6.
    Icmp6,
    /// A hand-made IPv4 packet.
    Raw4,
    /// A hand-made IPv6 packet.
    Raw6,
    /// A socket below IP (AF_PACKET).
    Packet,
    /// A stream to the hypervisor or to another virtual machine (AF_VSOCK).
    Vsock,
    /// A DNS question over UDP. This is also how a C library resolves names: it knows no other resolvers.
    DnsUdp,
    /// A DNS question over TCP.
    DnsTcp,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Something is there, and does not want it: harmless from loopback, and from nowhere else.
    Refused,
    /// The kernel knows no way there.
    Unreachable,
    /// Nothing was heard before the deadline.
    Timeout,
    /// A connection came about: the isolation does not hold.
    Connected,
    /// The kernel took a packet; only a listener can tell whether it arrived.
    Sent,
    /// The kernel does not allow, or know, such a socket.
    Denied,
    /// A resolver answered: the isolation does not hold.
    Answered,
    /// A socket below IP could be had, which needs a capability that no bottle gives: the isolation does not hold.
    Opened,
    /// The attempt could not be made (no descriptors, no memory): nothing is proved, so the isolation does not hold.
    Untried,
}

impl Attempt {
    /// Whether it leaves the isolation standing.
    #[must_use]
    pub fn is_harmless(&self) -> bool {
        match self.outcome {
            Outcome::Unreachable | Outcome::Sent | Outcome::Denied => true,
            // A refusal is an answer. Vsock knows no loopback that is ours, and no namespaces.
            Outcome::Refused => self.kind != Kind::Vsock && self.stays_inside(),
            // The socket could be had, and something was sent to the machine around this one.
            Outcome::Timeout => self.kind != Kind::Vsock,
            Outcome::Connected | Outcome::Answered | Outcome::Opened | Outcome::Untried => false,
        }
    }

    fn stays_inside(&self) -> bool {
        let address = self.target.parse::<SocketAddr>().map(|address| address.ip());
        address.is_ok_and(|address| address.is_loopback() || address.is_unspecified())
    }
}

/// One guard that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// As the caller named it.
    pub name: String,
    /// Whether it answered in HTTP, by a status of 2xx.
    pub ok: bool,
    /// The answer's status line, or why there was none.
    pub detail: String,
}

impl Guard {
    pub(crate) fn new(name: &str, answer: Result<String, String>) -> Self {
        let ok = answer.is_ok();
        Self {
            name: name.to_owned(),
            ok,
            detail: answer.unwrap_or_else(|reason| reason),
        }
    }
}

impl Report {
    /// Whether the isolation holds, as seen from inside.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.breaches().is_empty()
    }

    /// Why it does not hold: one sentence each, for the operator.
    #[must_use]
    pub fn breaches(&self) -> Vec<String> {
        let interfaces = self
            .interfaces
            .iter()
            .filter(|name| *name != "lo")
            .map(|name| format!("the interface {name} is up; only lo may be"));
        let attempts = self
            .attempts
            .iter()
            .filter(|attempt| !attempt.is_harmless())
            .map(|attempt| format!("{} to {}: {}", attempt.kind, attempt.target, attempt.outcome));
        let guards = self
            .guards
            .iter()
            .filter(|guard| !guard.ok)
            .map(|guard| format!("the guard {} does not answer: {}", guard.name, guard.detail));
        let version = (self.schema_version != SCHEMA_VERSION)
            .then(|| format!("the probe speaks version {} of its report", self.schema_version));
        version
            .into_iter()
            .chain(interfaces)
            .chain(attempts)
            .chain(guards)
            .collect()
    }
}

/// As in the JSON.
fn spelled(value: &impl Serialize, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => formatter.write_str(&text),
        _ => Err(fmt::Error),
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        spelled(self, formatter)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        spelled(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            schema_version: SCHEMA_VERSION,
            interfaces: vec!["lo".to_owned()],
            interfaces_down: vec!["sit0".to_owned()],
            attempts: vec![
                Attempt {
                    kind: Kind::Tcp4,
                    target: "10.0.0.1:80".to_owned(),
                    outcome: Outcome::Unreachable,
                    errno: Some(101),
                },
                Attempt {
                    kind: Kind::Udp4Direct,
                    target: "10.0.0.1:80".to_owned(),
                    outcome: Outcome::Sent,
                    errno: None,
                },
            ],
            guards: vec![Guard::new("egress", Ok("HTTP/1.1 200 OK".to_owned()))],
        }
    }

    #[test]
    fn the_json_is_what_it_has_always_been() {
        insta::assert_json_snapshot!(report(), @r#"
        {
          "schema_version": 1,
          "interfaces": [
            "lo"
          ],
          "interfaces_down": [
            "sit0"
          ],
          "attempts": [
            {
              "kind": "tcp4",
              "target": "10.0.0.1:80",
              "outcome": "unreachable",
              "errno": 101
            },
            {
              "kind": "udp4_direct",
              "target": "10.0.0.1:80",
              "outcome": "sent",
              "errno": null
            }
          ],
          "guards": [
            {
              "name": "egress",
              "ok": true,
              "detail": "HTTP/1.1 200 OK"
            }
          ]
        }
        "#);
        let text = serde_json::to_string(&report()).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report());
    }

    #[test]
    fn a_refusal_from_anywhere_but_loopback_is_an_answer_from_outside() {
        let refused = |kind, target: &str| Attempt {
            kind,
            target: target.to_owned(),
            outcome: Outcome::Refused,
            errno: Some(111),
        };
        assert!(refused(Kind::DnsUdp, "127.0.0.53:53").is_harmless());
        assert!(refused(Kind::Tcp6, "[::1]:80").is_harmless());
        assert!(!refused(Kind::Tcp4, "10.0.0.1:80").is_harmless());
        assert!(!refused(Kind::Tcp6, "[fe80::1%2]:80").is_harmless());
        assert!(!refused(Kind::Vsock, "cid 2 port 1024").is_harmless());
        let timeout = |kind| Attempt {
            outcome: Outcome::Timeout,
            ..refused(kind, "cid 2 port 1024")
        };
        assert!(!timeout(Kind::Vsock).is_harmless() && timeout(Kind::Tcp4).is_harmless());
    }

    #[test]
    fn one_breach_is_enough_and_is_named() {
        assert_eq!(report().breaches(), Vec::<String>::new());
        let mut with_interface = report();
        with_interface.interfaces.push("eth0".to_owned());
        assert_eq!(
            with_interface.breaches(),
            ["the interface eth0 is up; only lo may be"]
        );
        for outcome in [
            Outcome::Connected,
            Outcome::Answered,
            Outcome::Opened,
            Outcome::Untried,
        ] {
            let mut with_outcome = report();
            with_outcome.attempts[0].outcome = outcome;
            assert_eq!(
                with_outcome.breaches(),
                [format!("tcp4 to 10.0.0.1:80: {outcome}")]
            );
        }
        let mut without_guard = report();
        without_guard.guards = vec![Guard::new("egress", Err("nobody listens".to_owned()))];
        assert_eq!(
            without_guard.breaches(),
            ["the guard egress does not answer: nobody listens"]
        );
        let mut of_the_future = report();
        of_the_future.schema_version = 2;
        assert!(!of_the_future.holds());
    }
}
