//! Which engine is meant: `DOCKER_HOST`, else the docker context, else the default socket.
//!
//! One endpoint serves everything here, and compose is given the very same one. An engine on another machine is refused:
//! it would mount *its* folders, not the operator's, and the isolation check would listen on the wrong host.

use crate::environment::{self, Environment};
use crate::error::{Error, Result};
use contract::Sha256Hex;
use contract::text::harmless;
use serde::Deserialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where the engine listens when nothing else is said.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// A way to an engine on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    address: Address,
    chosen_by: ChosenBy,
}

/// What to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `unix://<path>`
    Unix(PathBuf),
    /// `tcp://<host:port>`, a loopback address.
    Loopback(String),
}

/// Why this endpoint and no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChosenBy {
    /// `DOCKER_HOST` says so.
    Variable,
    /// This docker context says so.
    Context(String),
    /// Nothing says anything.
    Default,
}

impl fmt::Display for ChosenBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable => f.write_str("DOCKER_HOST"),
            Self::Context(name) => write!(f, "the docker context {}", harmless(name)),
            Self::Default => f.write_str("the default"),
        }
    }
}

impl Endpoint {
    /// What the environment, and the docker client's own configuration, say.
    pub fn of(environment: &Environment) -> Result<Self> {
        if let Some(host) = environment.text(environment::DOCKER_HOST) {
            return Self::parse(host, ChosenBy::Variable);
        }
        let folder = client_folder(environment);
        let context = match environment.text(environment::DOCKER_CONTEXT) {
            Some(name) => Some(name.to_owned()),
            None => match &folder {
                Some(folder) => current_context(&folder.join("config.json"))?,
                None => None,
            },
        };
        match (context, folder) {
            (Some(name), Some(folder)) if name != "default" => {
                let host = host_of_context(&folder, &name)?;
                Self::parse(&host, ChosenBy::Context(name))
            }
            _ => Ok(Self {
                address: Address::Unix(PathBuf::from(DEFAULT_SOCKET)),
                chosen_by: ChosenBy::Default,
            }),
        }
    }

    fn parse(host: &str, chosen_by: ChosenBy) -> Result<Self> {
        match address(host) {
            Ok(address) => Ok(Self { address, chosen_by }),
            Err(problem) => Err(Error::environment(format!(
                "{chosen_by} names the engine `{}`: {problem}",
                harmless(host)
            ))
            .hinted("bottle works with an engine on this machine; give its socket, as in DOCKER_HOST=unix:///var/run/docker.sock")),
        }
    }

    /// What to dial.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Why this endpoint and no other.
    pub fn chosen_by(&self) -> &ChosenBy {
        &self.chosen_by
    }

    /// The value of `DOCKER_HOST` that means this endpoint.
    pub fn docker_host(&self) -> String {
        match &self.address {
            Address::Unix(path) => format!("unix://{}", path.display()),
            Address::Loopback(authority) => format!("tcp://{authority}"),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.docker_host())
    }
}

/// The docker client's own folder: `DOCKER_CONFIG`, else `~/.docker`.
pub fn client_folder(environment: &Environment) -> Option<PathBuf> {
    environment
        .get(environment::DOCKER_CONFIG)
        .map(PathBuf::from)
        .or_else(|| {
            environment
                .get(environment::HOME)
                .map(|home| PathBuf::from(home).join(".docker"))
        })
}

/// The engine's address in the docker client's own notation.
fn address(host: &str) -> Result<Address, String> {
    let elsewhere = "it is on another machine";
    match host.split_once("://") {
        Some(("unix", path)) if path.starts_with('/') => Ok(Address::Unix(PathBuf::from(path))),
        Some(("unix", _)) => Err("the path of its socket is not absolute".to_owned()),
        Some(("tcp" | "http", rest)) => {
            let authority = rest.trim_end_matches('/');
            let (name, port) = authority
                .rsplit_once(':')
                .filter(|(_, port)| port.parse::<u16>().is_ok())
                .ok_or_else(|| "it has no port".to_owned())?;
            if is_loopback(name) {
                Ok(Address::Loopback(format!("{name}:{port}")))
            } else {
                Err(elsewhere.to_owned())
            }
        }
        Some(("ssh" | "https", _)) => Err(elsewhere.to_owned()),
        Some((scheme, _)) => Err(format!("`{}` is not supported", harmless(scheme))),
        None => Err("it has no scheme".to_owned()),
    }
}

fn is_loopback(name: &str) -> bool {
    let literal = name.trim_start_matches('[').trim_end_matches(']');
    match literal.parse::<std::net::IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => name == "localhost",
    }
}

/// The part of the docker client's `config.json` that matters here.
#[derive(Deserialize)]
struct ClientConfig {
    #[serde(rename = "currentContext")]
    current_context: Option<String>,
}

fn current_context(path: &Path) -> Result<Option<String>> {
    let Some(config) = read_json::<ClientConfig>(path)? else {
        return Ok(None);
    };
    Ok(config.current_context.filter(|name| !name.is_empty()))
}

/// The part of a context's `meta.json` that matters here.
#[derive(Deserialize)]
struct ContextMeta {
    #[serde(rename = "Endpoints")]
    endpoints: ContextEndpoints,
}

#[derive(Deserialize)]
struct ContextEndpoints {
    docker: ContextEndpoint,
}

#[derive(Deserialize)]
struct ContextEndpoint {
    #[serde(rename = "Host", default)]
    host: String,
}

fn host_of_context(folder: &Path, name: &str) -> Result<String> {
    let digest = Sha256Hex::of(name.as_bytes());
    let path = folder
        .join("contexts/meta")
        .join(digest.as_str())
        .join("meta.json");
    let meta: ContextMeta = read_json(&path)?.ok_or_else(|| {
        Error::environment(format!("there is no docker context `{}`", harmless(name)))
            .hinted("`docker context ls` shows those that there are; `docker context use default` chooses the default")
    })?;
    if meta.endpoints.docker.host.is_empty() {
        return Ok(format!("unix://{DEFAULT_SOCKET}"));
    }
    Ok(meta.endpoints.docker.host)
}

/// `None` where there is no such file.
fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match fs_err::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::environment(error.to_string())),
    };
    serde_json::from_str(&text).map(Some).map_err(|error| {
        Error::environment(format!("the docker client's {} cannot be read", path.display()))
            .because(error)
            .hinted("set DOCKER_HOST to say which engine is meant")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Client {
        folder: tempfile::TempDir,
    }

    impl Client {
        fn new() -> Self {
            Self {
                folder: tempfile::tempdir().unwrap(),
            }
        }

        fn current(self, name: &str) -> Self {
            let path = self.folder.path().join("config.json");
            fs_err::write(path, format!(r#"{{"auths":{{}},"currentContext":"{name}"}}"#)).unwrap();
            self
        }

        fn context(self, name: &str, host: &str) -> Self {
            let folder = self
                .folder
                .path()
                .join("contexts/meta")
                .join(Sha256Hex::of(name.as_bytes()).as_str());
            fs_err::create_dir_all(&folder).unwrap();
            let meta = format!(
                r#"{{"Name":"{name}","Metadata":{{}},"Endpoints":{{"docker":{{"Host":"{host}","SkipTLSVerify":false}}}}}}"#
            );
            fs_err::write(folder.join("meta.json"), meta).unwrap();
            self
        }

        fn endpoint(&self, more: &[(&str, &str)]) -> Result<Endpoint> {
            let folder = self.folder.path().to_str().unwrap();
            let pairs = std::iter::once(("DOCKER_CONFIG", folder)).chain(more.iter().copied());
            Endpoint::of(&Environment::of(pairs))
        }
    }

    #[test]
    fn without_any_word_it_is_the_default_socket() {
        let endpoint = Client::new().endpoint(&[]).unwrap();
        assert_eq!(endpoint.docker_host(), "unix:///var/run/docker.sock");
        assert_eq!(endpoint.chosen_by(), &ChosenBy::Default);
    }

    #[test]
    fn the_current_context_says_where_and_docker_host_overrides_it() {
        let client = Client::new()
            .current("rootless")
            .context("rootless", "unix:///run/user/1000/docker.sock");
        assert_eq!(
            client.endpoint(&[]).unwrap().docker_host(),
            "unix:///run/user/1000/docker.sock"
        );
        let over = client
            .endpoint(&[("DOCKER_HOST", "unix:///elsewhere.sock")])
            .unwrap();
        assert_eq!(over.docker_host(), "unix:///elsewhere.sock");
        let context = client.endpoint(&[("DOCKER_CONTEXT", "default")]).unwrap();
        assert_eq!(context.docker_host(), "unix:///var/run/docker.sock");
    }

    #[test]
    fn a_context_that_is_not_there_is_named() {
        let error = Client::new().current("gone").endpoint(&[]).unwrap_err();
        assert_eq!(error.kind().exit_code(), 6);
        assert!(error.to_string().contains("no docker context `gone`"));
    }

    #[test]
    fn a_client_configuration_that_is_not_json_is_named() {
        let client = Client::new();
        fs_err::write(client.folder.path().join("config.json"), "{").unwrap();
        let error = client.endpoint(&[]).unwrap_err();
        assert!(error.to_string().contains("config.json"), "{error}");
    }

    #[test]
    fn an_engine_on_another_machine_is_refused() {
        let client = Client::new();
        for host in [
            "tcp://192.168.1.5:2375",
            "tcp://0.0.0.0:2375",
            "tcp://docker.corp.example:2376",
            "tcp://127.0.0.1.example.com:2375",
            "ssh://me@build.example",
            "https://127.0.0.1:2376",
            "unix://relative.sock",
            "tcp://127.0.0.1",
            "npipe:////./pipe/docker_engine",
            "/var/run/docker.sock",
        ] {
            let error = client.endpoint(&[("DOCKER_HOST", host)]).unwrap_err();
            assert_eq!(error.kind().exit_code(), 6, "{host}");
            assert!(
                error.to_string().contains("DOCKER_HOST names the engine"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_loopback_address_is_this_machine() {
        for (host, dialled) in [
            ("tcp://127.0.0.1:2375", "tcp://127.0.0.1:2375"),
            ("tcp://localhost:2375/", "tcp://localhost:2375"),
            ("tcp://[::1]:2375", "tcp://[::1]:2375"),
        ] {
            let endpoint = Client::new().endpoint(&[("DOCKER_HOST", host)]).unwrap();
            assert_eq!(endpoint.docker_host(), dialled);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_what_it_takes_it_gives_back(host in ".{0,60}") {
            if let Ok(endpoint) = Endpoint::parse(&host, ChosenBy::Variable) {
                let again = Endpoint::parse(&endpoint.docker_host(), ChosenBy::Variable).unwrap();
                prop_assert_eq!(again, endpoint);
            }
        }
    }
}
