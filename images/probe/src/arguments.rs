//! The command line, parsed whole before anything is tried.

use std::net::{IpAddr, SocketAddr};

/// How it is called.
pub const USAGE: &str = "usage: probe --token TEXT [--target tcp:ADDR:PORT | udp:ADDR:PORT | vsock:CID:PORT]… \
     [--dns ADDR]… [--guard NAME=ADDR:PORT[=TARGET]]…";

/// What to try.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    /// Carried by every packet, so that a listener knows whose it is.
    pub token: String,
    /// Listeners that must not be reached.
    pub targets: Vec<Target>,
    /// Resolvers, besides those in `/etc/resolv.conf`.
    pub resolvers: Vec<IpAddr>,
    /// Guards that must answer.
    pub guards: Vec<Guard>,
}

/// One listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Over TCP.
    Tcp(SocketAddr),
    /// Over UDP, in every variety.
    Udp(SocketAddr),
    /// Over vsock: context id and port.
    Vsock(u32, u32),
}

/// One guard: its name, its loopback port, and the request target to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// For the report.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// What follows `GET `.
    pub request_target: String,
}

impl Arguments {
    /// Parses what follows the program's name; the error is for people.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self::default();
        let mut words = words.into_iter();
        while let Some(option) = words.next() {
            let value = words
                .next()
                .ok_or_else(|| format!("{option} needs a value\n{USAGE}"))?;
            match option.as_str() {
                "--token" => arguments.token = value,
                "--target" => arguments.targets.push(target(&value)?),
                "--dns" => arguments.resolvers.push(
                    value
                        .parse()
                        .map_err(|_| format!("--dns {value}: not an address"))?,
                ),
                "--guard" => arguments.guards.push(guard(&value)?),
                _ => return Err(format!("unknown option {option}\n{USAGE}")),
            }
        }
        if arguments.token.is_empty() {
            return Err(format!("--token is missing\n{USAGE}"));
        }
        Ok(arguments)
    }
}

fn target(text: &str) -> Result<Target, String> {
    let wrong = || {
        format!("--target {text}: write tcp:ADDR:PORT, udp:ADDR:PORT (IPv6 in brackets) or vsock:CID:PORT")
    };
    let (kind, rest) = text.split_once(':').ok_or_else(wrong)?;
    match kind {
        "tcp" => rest.parse().map(Target::Tcp).map_err(|_| wrong()),
        "udp" => rest.parse().map(Target::Udp).map_err(|_| wrong()),
        "vsock" => {
            let (cid, port) = rest.split_once(':').ok_or_else(wrong)?;
            let number = |text: &str| text.parse().map_err(|_| wrong());
            Ok(Target::Vsock(number(cid)?, number(port)?))
        }
        _ => Err(wrong()),
    }
}

fn guard(text: &str) -> Result<Guard, String> {
    let wrong = || format!("--guard {text}: write NAME=ADDR:PORT or NAME=ADDR:PORT=TARGET");
    let mut parts = text.splitn(3, '=');
    let (name, address) = (parts.next().unwrap_or_default(), parts.next().ok_or_else(wrong)?);
    let request_target = parts.next().unwrap_or("/").to_owned();
    if name.is_empty() || request_target.bytes().any(|byte| byte <= b' ' || byte > b'~') {
        return Err(wrong());
    }
    Ok(Guard {
        name: name.to_owned(),
        address: address.parse().map_err(|_| wrong())?,
        request_target,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split(' ').map(str::to_owned))
    }

    #[test]
    fn every_kind_of_target_is_read() {
        let line = "--token t --target tcp:192.0.2.1:80 --target udp:[2001:db8::1]:53 --target vsock:2:1024 --dns 192.0.2.2 \
                    --guard egress=127.0.0.1:3128=http://_egress.local/allowlist";
        let arguments = parse(&line.replace("  ", "")).unwrap();
        assert_eq!(arguments.targets.len(), 3);
        assert_eq!(arguments.targets[2], Target::Vsock(2, 1024));
        assert_eq!(
            arguments.guards[0].request_target,
            "http://_egress.local/allowlist"
        );
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for line in [
            "",
            "--token",
            "--token t --target tcp:host:80",
            "--token t --target 192.0.2.1:80",
            "--token t --dns nowhere",
            "--token t --guard egress",
            "--token t --guard egress=127.0.0.1:1=a\tb",
            "--target tcp:192.0.2.1:80",
            "--token t --what x",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
