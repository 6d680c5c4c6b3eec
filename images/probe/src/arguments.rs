//! The command line: whom to ask, and whom not to reach.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A start that is blocked this long by packets that vanish is still a quick start.
const DEADLINE: Duration = Duration::from_millis(300);
/// Guards may still be starting.
const GUARD_DEADLINE: Duration = Duration::from_secs(5);
/// Fits into one DNS label with room to spare, and into every packet.
const LONGEST_TOKEN: usize = 48;

const USAGE: &str = "\
Tries every way out of the network namespace that it runs in, asks the guards for an answer, and prints one JSON report.

Usage: probe --token STRING [--guard NAME=127.0.0.1:PORT[=REQUEST_TARGET]]… [--target TARGET]… [--dns ADDRESS]…

  --token STRING        carried by everything that is sent, so that a listener can tell whose packet it saw;
                        1 to 48 ASCII letters, digits and hyphens
  --guard NAME=ADDRESS[=REQUEST_TARGET]
                        must answer an HTTP request for this target (default /) with a 2xx
  --target tcp:ADDRESS:PORT | udp:ADDRESS:PORT | vsock:CID:PORT
                        must not be reached; an IPv6 address is written in brackets. Every address is also tried by
                        every other protocol
  --dns ADDRESS[:PORT]  a resolver that must not answer, besides those of /etc/resolv.conf
  --deadline-ms N       for everything but the guards (default 300)
  --guard-deadline-ms N for the guards, which are asked again until then (default 5000)
  --version, --help

Exits 0 when the isolation holds as seen from inside, 1 when it does not, 2 on a mistake in the command line.
";

/// A guard that must answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardDoor {
    /// For the report, and the request's `Host`.
    pub name: String,
    /// On loopback.
    pub address: SocketAddr,
    /// The request line's target: a path, or an absolute URI.
    pub request_target: String,
}

/// Something that must not be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// A TCP listener.
    Tcp(SocketAddr),
    /// A UDP listener.
    Udp(SocketAddr),
    /// A vsock listener.
    Vsock {
        /// The machine: 2 is the host of a virtual machine.
        cid: u32,
        /// Its port.
        port: u32,
    },
}

/// What to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// In every packet.
    pub token: String,
    /// To be asked.
    pub guards: Vec<GuardDoor>,
    /// Not to be reached.
    pub targets: Vec<Target>,
    /// Not to answer.
    pub resolvers: Vec<SocketAddr>,
    /// For all attempts together.
    pub deadline: Duration,
    /// For all guards together.
    pub guard_deadline: Duration,
}

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Print this and end.
    Print(String),
    /// Try everything.
    Run(Settings),
}

/// A command line that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// An argument nobody knows.
    #[error("unknown argument '{0}'")]
    Unknown(String),
    /// An option at the end without its value.
    #[error("{0} needs a value")]
    ValueMissing(String),
    /// Without it no listener could tell whose packet it saw.
    #[error("no --token was given")]
    NoToken,
    /// A value that its option cannot have.
    #[error("{option} '{value}': {reason}")]
    Value {
        /// The option.
        option: String,
        /// As given.
        value: String,
        /// What it should be.
        reason: &'static str,
    },
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// On the first argument that cannot be meant.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    let mut arguments = arguments
        .into_iter()
        .map(|argument| argument.to_string_lossy().into_owned());
    let mut settings = Settings {
        token: String::new(),
        guards: Vec::new(),
        targets: Vec::new(),
        resolvers: Vec::new(),
        deadline: DEADLINE,
        guard_deadline: GUARD_DEADLINE,
    };
    while let Some(option) = arguments.next() {
        match option.as_str() {
            "--help" | "-h" => return Ok(Command::Print(USAGE.to_owned())),
            "--version" | "-V" => {
                return Ok(Command::Print(format!("probe {}\n", env!("CARGO_PKG_VERSION"))));
            }
            "--token" | "--guard" | "--target" | "--dns" | "--deadline-ms" | "--guard-deadline-ms" => {
                let value = arguments
                    .next()
                    .ok_or_else(|| UsageError::ValueMissing(option.clone()))?;
                settings
                    .take(&option, &value)
                    .map_err(|reason| UsageError::Value {
                        option,
                        value,
                        reason,
                    })?;
            }
            _ => return Err(UsageError::Unknown(option)),
        }
    }
    if settings.token.is_empty() {
        return Err(UsageError::NoToken);
    }
    Ok(Command::Run(settings))
}

impl Settings {
    fn take(&mut self, option: &str, value: &str) -> Result<(), &'static str> {
        match option {
            "--token" => self.token = token(value)?,
            "--guard" => self.guards.push(guard(value)?),
            "--target" => self.targets.push(target(value)?),
            "--dns" => self.resolvers.push(resolver(value)?),
            "--deadline-ms" => self.deadline = milliseconds(value)?,
            _ => self.guard_deadline = milliseconds(value)?,
        }
        Ok(())
    }
}

fn token(value: &str) -> Result<String, &'static str> {
    let plain = value
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if plain && (1..=LONGEST_TOKEN).contains(&value.len()) {
        Ok(value.to_owned())
    } else {
        Err("a token is 1 to 48 ASCII letters, digits and hyphens")
    }
}

fn guard(value: &str) -> Result<GuardDoor, &'static str> {
    let mut parts = value.splitn(3, '=');
    let (name, address) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let request_target = parts.next().unwrap_or("/");
    let address: SocketAddr = address
        .parse()
        .map_err(|_| "a guard is NAME=127.0.0.1:PORT[=REQUEST_TARGET]")?;
    if name.is_empty()
        || !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    {
        return Err("a guard's name is of ASCII letters, digits, '-', '_' and '.'");
    }
    if !address.ip().is_loopback() {
        return Err("a guard is reached on loopback");
    }
    if request_target.is_empty() || !request_target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a request target is of visible ASCII characters");
    }
    Ok(GuardDoor {
        name: name.to_owned(),
        address,
        request_target: request_target.to_owned(),
    })
}

fn target(value: &str) -> Result<Target, &'static str> {
    const FORM: &str = "a target is tcp:ADDRESS:PORT, udp:ADDRESS:PORT or vsock:CID:PORT";
    let (kind, rest) = value.split_once(':').ok_or(FORM)?;
    match kind {
        "tcp" => Ok(Target::Tcp(rest.parse().map_err(|_| FORM)?)),
        "udp" => Ok(Target::Udp(rest.parse().map_err(|_| FORM)?)),
        "vsock" => {
            let (cid, port) = rest.split_once(':').ok_or(FORM)?;
            Ok(Target::Vsock {
                cid: cid.parse().map_err(|_| FORM)?,
                port: port.parse().map_err(|_| FORM)?,
            })
        }
        _ => Err(FORM),
    }
}

fn resolver(value: &str) -> Result<SocketAddr, &'static str> {
    let with_port = value.parse::<SocketAddr>().ok();
    with_port
        .or_else(|| value.parse::<IpAddr>().ok().map(|address| (address, 53).into()))
        .ok_or("a resolver is ADDRESS or ADDRESS:PORT")
}

fn milliseconds(value: &str) -> Result<Duration, &'static str> {
    match value.parse::<u32>() {
        Ok(count @ 1..=600_000) => Ok(Duration::from_millis(count.into())),
        _ => Err("a deadline is 1 to 600000 milliseconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(line: &str) -> Result<Command, UsageError> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn a_whole_command_line_is_read() {
        let line = "--token t-1 --guard egress=127.0.0.1:3128=http://_egress.local/allowlist?a=b \
                    --guard supervise=127.0.0.1:8931 --target tcp:10.0.0.1:80 --target udp:[fd00::1]:53 \
                    --target vsock:2:1024 --dns 10.0.0.2 --dns [fd00::2]:5353 --deadline-ms 50 --guard-deadline-ms 100";
        let Ok(Command::Run(settings)) = parsed(line) else {
            panic!("refused")
        };
        assert_eq!(
            settings.guards[0].request_target,
            "http://_egress.local/allowlist?a=b"
        );
        assert_eq!(settings.guards[1].request_target, "/");
        assert_eq!(settings.targets.len(), 3);
        assert_eq!(
            settings.resolvers,
            ["10.0.0.2:53".parse().unwrap(), "[fd00::2]:5353".parse().unwrap()]
        );
        assert_eq!(settings.deadline, Duration::from_millis(50));
        assert_eq!(settings.guard_deadline, Duration::from_millis(100));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in [
            "",
            "--token",
            "--token a.b",
            "--target tcp:10.0.0.1:80",
            "--token t --target tcp:10.0.0.1",
            "--token t --target http:10.0.0.1:80",
            "--token t --target tcp:fd00::1:80x",
            "--token t --target vsock:2",
            "--token t --target vsock:-1:5",
            "--token t --guard egress",
            "--token t --guard =127.0.0.1:1",
            "--token t --guard egress=10.0.0.1:1",
            "--token t --guard egress=127.0.0.1:1=",
            "--token t --dns nowhere",
            "--token t --deadline-ms 0",
            "--token t --verbose",
        ] {
            assert!(parsed(line).is_err(), "`{line}` was accepted");
        }
        let spaced = ["--token", "t", "--guard", "egress=127.0.0.1:1=/a b\r\nx"].map(OsString::from);
        assert!(parse(spaced).is_err());
    }

    proptest! {
        #[test]
        fn no_command_line_is_a_panic(words in prop::collection::vec("(--token|--guard|--target|--dns|--deadline-ms|(tcp|udp|vsock):.{0,20}|.{0,12})", 0..8)) {
            let _ = parse(words.into_iter().map(OsString::from));
        }
    }
}
