//! The part of the compose specification that a bottle uses, as types. Valid for compose v2 and for v1 from 1.29; no `name` and no
//! `version`, which one of them refuses.
//!
//! Every text is a [`Text`], which escapes `$` when it is written: nothing in a manifest or a path can be read as a reference.

use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// A text in the compose file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Text {
    /// As it stands.
    Literal(String),
    /// The value of a variable in compose's environment. Without it, empty: the launcher has made sure at `up` that it is there, and
    /// `down` and `logs` must work without.
    Variable(String),
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Literal(text) => serializer.serialize_str(&text.replace('$', "$$")),
            Self::Variable(name) => serializer.serialize_str(&format!("${{{name}-}}")),
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::Literal(text.to_owned())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::Literal(text)
    }
}

/// `docker-compose.yml`
#[derive(Debug, Serialize)]
pub(super) struct ComposeFile {
    pub(super) services: BTreeMap<&'static str, Service>,
    pub(super) networks: BTreeMap<&'static str, Network>,
    pub(super) volumes: BTreeMap<&'static str, Volume>,
}

/// One container.
#[derive(Debug, Serialize)]
pub(super) struct Service {
    pub(super) image: Text,
    /// `never`: an image that is not here must not come from a registry under the same name.
    pub(super) pull_policy: &'static str,
    pub(super) container_name: Text,
    pub(super) labels: BTreeMap<&'static str, Text>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) entrypoint: Vec<Text>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) command: Vec<Text>,
    pub(super) init: bool,
    pub(super) user: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) working_dir: Option<Text>,
    /// `None`: passed on by name.
    #[serde(serialize_with = "in_order")]
    pub(super) environment: Vec<(String, Option<Text>)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) network_mode: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) networks: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) extra_hosts: Vec<Text>,
    pub(super) volumes: Vec<Mount>,
    pub(super) read_only: bool,
    pub(super) cap_drop: [&'static str; 1],
    pub(super) security_opt: Vec<Text>,
    pub(super) pids_limit: u32,
    pub(super) mem_limit: &'static str,
    pub(super) ulimits: BTreeMap<&'static str, u32>,
    pub(super) restart: &'static str,
    pub(super) stop_signal: &'static str,
    pub(super) healthcheck: NoHealthcheck,
    pub(super) logging: Logging,
}

/// What an image brings along is not run.
#[derive(Debug, Serialize)]
pub(super) struct NoHealthcheck {
    pub(super) disable: bool,
}

/// Where output goes.
#[derive(Debug, Serialize)]
pub(super) struct Logging {
    pub(super) driver: &'static str,
    pub(super) options: BTreeMap<&'static str, &'static str>,
}

/// A mount, in the long form: a path may hold a colon.
#[derive(Debug, Serialize)]
pub(super) struct Mount {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) source: Text,
    pub(super) target: Text,
    pub(super) read_only: bool,
}

/// A network of the project.
#[derive(Debug, Serialize)]
pub(super) struct Network {
    pub(super) driver: &'static str,
    pub(super) driver_opts: BTreeMap<&'static str, &'static str>,
    pub(super) enable_ipv6: bool,
    pub(super) labels: BTreeMap<&'static str, Text>,
}

/// A volume of the project.
#[derive(Debug, Serialize)]
pub(super) struct Volume {
    pub(super) driver: &'static str,
    pub(super) driver_opts: BTreeMap<&'static str, Text>,
    pub(super) labels: BTreeMap<&'static str, Text>,
}

fn in_order<S: Serializer>(pairs: &[(String, Option<Text>)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
}
