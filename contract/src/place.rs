//! Where files and sockets lie, as both sides name them.

/// File names inside a guard's config directory (read-only to the guard).
pub mod config {
    /// The route table of egress.
    pub const ROUTES: &str = "routes.yaml";
    /// Certificate of the bottle's own certificate authority, PEM.
    pub const CA_CERTIFICATE: &str = "ca.pem";
    /// Its private key, PEM (PKCS#8 for our guards), mode 0600.
    pub const CA_KEY: &str = "ca-key.pem";
    /// Certificate of the authority that the pipelock seat signs with, PEM: what egress trusts for the hosts that the seat looks into.
    pub const SEAT_CA: &str = "pipelock-ca.pem";
    /// More certificate authorities trusted upstream, PEM; absent when there are none.
    pub const EXTRA_CA: &str = "extra-ca.pem";
    /// What git-gate guards.
    pub const GATE: &str = "gate.json";
}

/// File names inside a guard's run directory (writable by the guard).
pub mod run {
    /// The acknowledgement, [`crate::Applied`].
    pub const APPLIED: &str = "applied.json";
    /// What became of expiring and single-use grants.
    pub const GRANTS: &str = "grants.json";
}

/// The queue between supervise and the operator, inside the supervise container.
pub mod queue {
    /// Written by supervise: `<id>.json` and `<id>.withdrawn`.
    pub const PROPOSALS: &str = "/run/supervise/proposals";
    /// Written by the launcher, read-only to supervise: `<id>.json` and `<id>.state.json`.
    pub const RESPONSES: &str = "/run/supervise/responses";

    /// The file of a proposal in its directory, and of the response to it in its own.
    pub fn decision(id: &crate::ProposalId) -> String {
        format!("{id}.json")
    }

    /// The file by which supervise takes a proposal back.
    pub fn withdrawn(id: &crate::ProposalId) -> String {
        format!("{id}.withdrawn")
    }

    /// The file in which the launcher says how far it has come.
    pub fn state(id: &crate::ProposalId) -> String {
        format!("{id}.state.json")
    }
}

/// Inside the containers.
pub mod container {
    /// A guard's config directory.
    pub const CONFIG: &str = "/etc/bottle/config";
    /// A guard's run directory.
    pub const RUN: &str = "/run/bottle/guard";
    /// A guard's front door: a directory with one socket in it.
    pub const DOOR: &str = "/run/bottle/door";
    /// The socket in a front door.
    pub const SOCKET: &str = "door.sock";
    /// In the agent container, the front doors lie in `<DOORS>/<guard>/`.
    pub const DOORS: &str = "/run/bottle/doors";
    /// Loopback port of egress in the agent container: what `HTTPS_PROXY` names.
    pub const EGRESS_PORT: u16 = 3128;
    /// Loopback port of git-gate in the agent container.
    pub const GIT_GATE_PORT: u16 = 9418;
    /// Loopback port of supervise in the agent container.
    pub const SUPERVISE_PORT: u16 = 8931;
}

/// The host that egress answers itself: `http://_egress.local/allowlist`.
pub const INTROSPECTION_HOST: &str = "_egress.local";
/// The path of the live table on [`INTROSPECTION_HOST`].
pub const INTROSPECTION_PATH: &str = "/allowlist";
