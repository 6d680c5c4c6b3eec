//! Proves at every start that the agent's container has no way out but the guards.
//!
//! Listeners are opened on this host; our static probe, run in the agent's own container as the agent's own user, tries every way to
//! them; then both sides must agree: the probe says that nothing but loopback is there, that nothing could be reached and
//! that every guard answers, *and* the listeners have seen nothing with this check's token. Anything else, a probe that cannot be
//! run or read included, means that the isolation does not hold.

mod addresses;
mod listeners;

use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::naming;
use crate::render::inside::PROBE;
use contract::Slug;
use contract::place::container::EGRESS_PORT;
use contract::place::{INTROSPECTION_HOST, INTROSPECTION_PATH};
use listeners::Listeners;
use probe::Report;
use rand::Rng as _;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How long the whole probe may take. Measured: 0.1 s, most of it the engine's for starting a program in a container.
const DEADLINE: Duration = Duration::from_secs(20);
/// A datagram that has left a container is on the host within microseconds, a busy kernel's softirq later at most.
const GRACE: Duration = Duration::from_millis(10);
/// The host and the machine itself, as vsock addresses (vsock(7)).
const VSOCK_CIDS: [u32; 2] = [2, 1];

/// Proves it for the bottle that has just been brought up.
pub async fn prove(engine: &Engine, slug: &Slug) -> Result<()> {
    let unable = |error: std::io::Error| {
        Error::failed("the isolation of the agent's container cannot be checked").because(error)
    };
    let listeners = Listeners::open().map_err(unable)?;
    let mut addresses = addresses::of_host().map_err(unable)?;
    let outside = naming::scoped(slug, naming::OUTSIDE);
    let (own, default) = tokio::try_join!(engine.gateways(&outside), engine.gateways("bridge"))?;
    addresses.extend(own.into_iter().chain(default));
    let token = token();
    let targets = targets(&listeners, &addresses);
    let command = command(&token, &targets, &addresses::resolvers());
    let container = naming::container(slug, naming::AGENT);
    let ended = engine.exec_output(&container, &command, b"", DEADLINE).await?;
    tokio::time::sleep(GRACE).await;
    let report: Report = serde_json::from_slice(&ended.out).map_err(|error| {
        let said = String::from_utf8_lossy(&ended.error);
        Error::failed("the isolation of the agent's container could not be checked: its probe gave no report")
            .because(anyhow::anyhow!(
                "{error}; it said: {}",
                contract::text::harmless(said.trim())
            ))
    })?;
    judge(&report, ended.code, targets.len(), &listeners.arrived(&token))
}

/// Both sides' verdict.
fn judge(report: &Report, code: i64, targets: usize, arrived: &[String]) -> Result<()> {
    let mut breaches = report.breaches();
    breaches.extend(arrived.iter().cloned());
    if !report.interfaces.iter().any(|name| name == "lo") {
        breaches.push("the probe saw no loopback interface".to_owned());
    }
    if report.attempts.len() < targets {
        breaches.push(format!(
            "the probe tried {} of {targets} ways out",
            report.attempts.len()
        ));
    }
    if !report.guards.iter().any(|guard| guard.name == naming::EGRESS) {
        breaches.push("the probe did not ask egress".to_owned());
    }
    if breaches.is_empty() && code != 0 {
        breaches.push(format!("the probe ended with exit code {code}"));
    }
    if breaches.is_empty() {
        return Ok(());
    }
    let told = std::iter::once("the agent's container is not isolated".to_owned())
        .chain(breaches.iter().map(|breach| contract::text::harmless(breach)));
    Err(Error::several(Kind::Failed, told.collect()).hinted(
        "nothing ran in it; whatever gave it a way out (another program that changes containers, an engine's plugin) must go first",
    ))
}

/// Nobody else sends this.
fn token() -> String {
    format!("bottle-{:032x}", rand::rng().random::<u128>())
}

/// Every address by TCP and UDP, and vsock.
fn targets(listeners: &Listeners, addresses: &BTreeSet<IpAddr>) -> Vec<String> {
    let mut targets = Vec::new();
    for address in addresses {
        if let Some(port) = listeners.tcp_port(*address) {
            targets.push(format!("tcp:{}", SocketAddr::new(*address, port)));
        }
        if let Some(port) = listeners.udp_port(*address) {
            targets.push(format!("udp:{}", SocketAddr::new(*address, port)));
        }
    }
    if let Some(port) = listeners.vsock_port() {
        targets.extend(VSOCK_CIDS.iter().map(|cid| format!("vsock:{cid}:{port}")));
    }
    targets
}

/// The probe's command line.
fn command(token: &str, targets: &[String], resolvers: &BTreeSet<IpAddr>) -> Vec<String> {
    let mut command = vec![PROBE.to_owned(), "--token".to_owned(), token.to_owned()];
    let mut option = |name: &str, value: String| command.extend([name.to_owned(), value]);
    option(
        "--guard",
        format!(
            "{}=127.0.0.1:{EGRESS_PORT}=http://{INTROSPECTION_HOST}{INTROSPECTION_PATH}",
            naming::EGRESS
        ),
    );
    for target in targets {
        option("--target", target.clone());
    }
    for resolver in resolvers {
        option("--dns", resolver.to_string());
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use probe::arguments::{Command, parse};
    use probe::{Attempt, Guard, Outcome};

    fn report() -> Report {
        Report {
            schema_version: probe::SCHEMA_VERSION,
            interfaces: vec!["lo".to_owned()],
            interfaces_down: Vec::new(),
            attempts: vec![Attempt {
                kind: probe::Kind::Tcp4,
                target: "10.0.0.1:80".to_owned(),
                outcome: Outcome::Unreachable,
                errno: None,
            }],
            guards: vec![Guard {
                name: "egress".to_owned(),
                ok: true,
                detail: "HTTP/1.1 200 OK".to_owned(),
            }],
        }
    }

    #[test]
    fn the_isolation_holds_when_both_sides_say_so() {
        judge(&report(), 0, 1, &[]).unwrap();
    }

    #[test]
    fn anything_else_is_a_breach_that_is_told() {
        let arrived = ["a UDP datagram from 10.0.0.9:5 arrived at the host".to_owned()];
        let seen_outside = judge(&report(), 0, 1, &arrived).unwrap_err();
        assert!(seen_outside.to_string().contains("10.0.0.9:5"), "{seen_outside}");
        let mut with_interface = report();
        with_interface.interfaces.push("eth0".to_owned());
        assert!(
            judge(&with_interface, 1, 1, &[])
                .unwrap_err()
                .to_string()
                .contains("eth0")
        );
        let mut without_guard = report();
        without_guard.guards.clear();
        assert!(
            judge(&without_guard, 0, 1, &[])
                .unwrap_err()
                .to_string()
                .contains("egress")
        );
        let mut blind = report();
        blind.interfaces.clear();
        assert!(judge(&blind, 0, 1, &[]).is_err());
        assert!(
            judge(&report(), 0, 2, &[])
                .unwrap_err()
                .to_string()
                .contains("1 of 2")
        );
        assert!(
            judge(&report(), 1, 1, &[])
                .unwrap_err()
                .to_string()
                .contains("exit code 1")
        );
    }

    #[test]
    fn the_probe_understands_its_command_line() {
        let listeners = Listeners::open().unwrap();
        let addresses: BTreeSet<IpAddr> = ["10.0.0.1", "fe80::1"].map(|text| text.parse().unwrap()).into();
        let targets = targets(&listeners, &addresses);
        let command = command(&token(), &targets, &addresses);
        let words = command.into_iter().skip(1).map(std::ffi::OsString::from);
        let Ok(Command::Run(settings)) = parse(words) else {
            panic!("the probe refuses its command line")
        };
        assert_eq!(settings.targets.len(), targets.len());
        assert_eq!(settings.guards[0].name, "egress");
        assert_eq!(settings.resolvers.len(), 2);
    }
}
