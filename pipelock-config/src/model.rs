//! What a bottle wants of its seat, whichever engine sits there.

use contract::{HostName, RouteAuth, RouteTable};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::credential::CredentialKey;
use crate::dlp_file::{Exemption, InjectedCredential, PrivateNetwork};

/// Which program reads the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    /// Our `dlp`.
    Builtin,
    /// The real pipelock image.
    Pipelock,
}

/// What becomes of a response that holds a known secret or text that instructs the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResponseScanning {
    /// Responses are not looked at.
    #[default]
    Off,
    /// It passes, and its access event names the rule.
    Warn,
    /// It is cut.
    Block,
}

/// Everything that is rendered.
#[derive(Debug, Clone)]
pub struct Model {
    /// Counts the writes of this launch, from 1.
    pub generation: u64,
    /// Hosts that may be reached, in this order.
    pub hosts: Vec<HostName>,
    /// Hosts that are tunnelled without a look inside; each must also be among `hosts`.
    pub passthrough: Vec<HostName>,
    /// Hosts that may resolve into a private network.
    pub private_networks: Vec<PrivateNetwork>,
    /// Hosts that are refused whatever else is listed.
    pub refused_hosts: Vec<HostName>,
    /// Networks that nothing permits: the bottle's own.
    pub refused_networks: Vec<IpNet>,
    /// The key of the digests; random, one per bottle.
    pub credential_key: CredentialKey,
    /// What egress injects.
    pub injected: Vec<InjectedCredential>,
    /// Rules that do not apply to a host.
    pub exemptions: Vec<Exemption>,
    /// Whether responses are looked at.
    pub response_scanning: ResponseScanning,
}

// === impl Model ===

impl Model {
    /// A seat that lets through what `table` admits. `credential` gives the value behind a route's auth; a route whose value
    /// is not to be had has no digest, and its credential is then judged like anything else.
    pub fn of_routes(
        table: &RouteTable,
        credential_key: CredentialKey,
        mut credential: impl FnMut(&RouteAuth) -> Option<Zeroizing<Vec<u8>>>,
    ) -> Self {
        let mut model = Self {
            generation: table.generation,
            hosts: Vec::new(),
            passthrough: Vec::new(),
            private_networks: Vec::new(),
            refused_hosts: Vec::new(),
            refused_networks: Vec::new(),
            credential_key,
            injected: Vec::new(),
            exemptions: Vec::new(),
            response_scanning: ResponseScanning::Off,
        };
        for route in table.routes() {
            push_new(&mut model.hosts, route.host.clone());
            if !route.inspect {
                push_new(&mut model.passthrough, route.host.clone());
            }
            if let Some(network) = route.private_cidr {
                let network = PrivateNetwork {
                    host: route.host.clone(),
                    network: network.trunc(),
                };
                push_new(&mut model.private_networks, network);
            }
            if let Some(auth) = &route.auth
                && let Ok(header) = auth.scheme.header().parse()
                && let Some(value) = credential(auth)
                && let Some(digest) = model
                    .credential_key
                    .of_injected(&route.host, &auth.scheme, &value)
            {
                let injected = InjectedCredential {
                    host: route.host.clone(),
                    header,
                    digest,
                };
                push_new(&mut model.injected, injected);
            }
        }
        model
    }
}

fn push_new<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}
