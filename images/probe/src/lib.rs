//! The isolation probe: run inside the agent's container at every start, it tries every way out that the
//! container should not have, and asks every guard for an answer.
//!
//! What it reports is what it looks like from inside. The judge is outside: every packet carries a token, and
//! the launcher's listeners on the host say whether any arrived. It has no network of its own to protect, changes nothing, and
//! ends within [`attempt::DEADLINE`] whatever happens.

pub mod arguments;
pub mod attempt;
pub mod guard;
pub mod interfaces;

use serde::{Deserialize, Serialize};

/// What the probe prints: one JSON object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// 1
    pub schema_version: u32,
    /// Names of the network interfaces; `["lo"]` is as it should be.
    pub interfaces: Vec<String>,
    /// Every way out that was tried.
    pub attempts: Vec<Attempt>,
    /// Every guard that was asked.
    pub guards: Vec<GuardAnswer>,
}

/// One way out that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// `tcp`, `udp`, `udp-broadcast`, `udp-dontroute`, `multicast`, `dns-udp`, `dns-tcp`, `raw-icmp`, `raw-ip`, `packet`,
    /// `vsock`.
    pub kind: String,
    /// Where to, as given; empty for a socket that goes nowhere yet.
    pub target: String,
    /// What came of it.
    pub outcome: Outcome,
    /// The kernel's own word for it, where it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A connection was made, an answer came, or a socket was opened that should not be: a way out.
    Open,
    /// A datagram was taken by the kernel; whether it went anywhere, only a listener can say.
    Sent,
    /// There is no route, or the family does not exist here.
    Unreachable,
    /// The other side, or this side, refused.
    Refused,
    /// The kernel does not let this process.
    Denied,
    /// Nothing within the deadline.
    TimedOut,
}

/// What a guard answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardAnswer {
    /// The guard's name, as given.
    pub name: String,
    /// It answered in HTTP.
    pub ok: bool,
    /// The status line, or why there is none.
    pub detail: String,
}

impl Report {
    /// Whether the isolation holds as seen from inside.
    pub fn holds(&self) -> bool {
        self.interfaces == ["lo"]
            && self
                .attempts
                .iter()
                .all(|attempt| attempt.outcome != Outcome::Open)
            && self.guards.iter().all(|guard| guard.ok)
    }

    /// What speaks against it, one line each.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for interface in self.interfaces.iter().filter(|name| *name != "lo") {
            faults.push(format!(
                "there is a network interface besides loopback: {interface}"
            ));
        }
        for attempt in self
            .attempts
            .iter()
            .filter(|attempt| attempt.outcome == Outcome::Open)
        {
            faults.push(format!("{} {} is open", attempt.kind, attempt.target).replace("  ", " "));
        }
        for guard in self.guards.iter().filter(|guard| !guard.ok) {
            faults.push(format!("{} does not answer: {}", guard.name, guard.detail));
        }
        if self.interfaces.is_empty() {
            faults.push("no interface could be listed".to_owned());
        }
        faults
    }
}

/// Runs everything that the arguments ask for.
pub fn run(arguments: &arguments::Arguments) -> Report {
    Report {
        schema_version: 1,
        interfaces: interfaces::names(),
        attempts: attempt::all(arguments),
        guards: guard::all(arguments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            schema_version: 1,
            interfaces: vec!["lo".to_owned()],
            attempts: Vec::new(),
            guards: Vec::new(),
        }
    }

    #[test]
    fn anything_open_anywhere_breaks_the_isolation() {
        assert!(report().holds());
        let mut open = report();
        open.attempts.push(Attempt {
            kind: "tcp".to_owned(),
            target: "192.0.2.1:1".to_owned(),
            outcome: Outcome::Open,
            error: None,
        });
        assert!(!open.holds());
        assert_eq!(open.faults(), ["tcp 192.0.2.1:1 is open"]);
        let mut another = report();
        another.interfaces.push("eth0".to_owned());
        assert!(!another.holds());
        let mut silent = report();
        silent.guards.push(GuardAnswer {
            name: "egress".to_owned(),
            ok: false,
            detail: "refused".to_owned(),
        });
        assert!(!silent.holds());
        let blind = Report {
            interfaces: Vec::new(),
            ..report()
        };
        assert!(!blind.holds() && !blind.faults().is_empty());
    }

    #[test]
    fn the_report_reads_itself_back() {
        let text = serde_json::to_string(&report()).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report());
    }
}
