//! What may be pushed to one upstream.

use super::{PathPattern, RefPattern};
use serde::{Deserialize, Serialize};

/// Paths that a push may not change, each with what would read it: a pushed branch may run there, with the rights of the
/// upstream's own machines, or change who must agree.
pub const DEFAULT_PROTECTED_PATHS: &[(&str, &str)] = &[
    (".github/workflows/**", "GitHub Actions"),
    (".github/actions/**", "GitHub Actions"),
    (".gitlab-ci.yml", "GitLab CI"),
    (".gitlab/**", "GitLab CI and approvals"),
    (".gitea/workflows/**", "Gitea Actions"),
    (".forgejo/workflows/**", "Forgejo Actions"),
    (".circleci/**", "CircleCI"),
    (".buildkite/**", "Buildkite"),
    (".woodpecker/**", "Woodpecker CI"),
    (".woodpecker.yml", "Woodpecker CI"),
    (".woodpecker.yaml", "Woodpecker CI"),
    (".drone.yml", "Drone"),
    (".travis.yml", "Travis CI"),
    ("appveyor.yml", "AppVeyor"),
    ("azure-pipelines.yml", "Azure Pipelines"),
    ("bitbucket-pipelines.yml", "Bitbucket Pipelines"),
    ("Jenkinsfile", "Jenkins"),
    ("CODEOWNERS", "who must agree to a change"),
];

/// Sizes beyond which a push is refused, never passed over; and what an upstream may take of the gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Caps {
    /// Bytes of the pack as it is sent.
    pub push_bytes: u64,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// New objects in one push.
    pub objects: u64,
    /// Refs in one push.
    pub refs: u64,
    /// Seconds that looking at one push may take.
    pub seconds: u64,
    /// Bytes of packs that the mirror of the upstream may hold.
    pub mirror_bytes: u64,
    /// Seconds for which the upstream may send nothing while it is asked for refs and objects. git's own server says something
    /// every 5 s while it makes a pack (git-config(1), `uploadpack.keepAlive`).
    pub stall_seconds: u64,
}

/// What may be pushed to one upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatePolicy {
    /// Refs that may be created and advanced.
    pub refs: Vec<RefPattern>,
    /// Refs that may be rewritten (a branch moved to what does not descend from it, a tag moved).
    pub force: Vec<RefPattern>,
    /// Refs that may be deleted.
    pub delete: Vec<RefPattern>,
    /// Paths that no new commit may change.
    pub protected_paths: Vec<PathPattern>,
    /// Git LFS pointers may be pushed (their content goes another way, past the gate).
    pub lfs: bool,
    /// Sizes.
    pub caps: Caps,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            push_bytes: 512 << 20,
            // What the large hosts take themselves.
            file_bytes: 100 << 20,
            objects: 500_000,
            refs: 500,
            seconds: 120,
            mirror_bytes: 8 << 30,
            stall_seconds: 30,
        }
    }
}

impl Default for GatePolicy {
    fn default() -> Self {
        let parsed = |text: &&str| text.parse().ok();
        Self {
            refs: ["refs/heads/*", "refs/tags/*"]
                .iter()
                .filter_map(parsed)
                .collect(),
            force: Vec::new(),
            delete: Vec::new(),
            protected_paths: DEFAULT_PROTECTED_PATHS
                .iter()
                .filter_map(|(path, _)| path.parse().ok())
                .collect(),
            lfs: false,
            caps: Caps::default(),
        }
    }
}

impl GatePolicy {
    /// Namespaces that no policy opens: `replace` would change what a scan reads, `notes` and `pull` belong to others, and
    /// the rest is not branches or tags at all.
    pub fn never(name: &str) -> bool {
        ["refs/replace/", "refs/notes/", "refs/pull/", "refs/meta/"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
            || !(name.starts_with("refs/heads/") || name.starts_with("refs/tags/"))
    }

    /// Whether this ref may be pushed at all.
    pub fn admits_ref(&self, name: &str) -> bool {
        !Self::never(name) && self.refs.iter().any(|pattern| pattern.matches(name))
    }

    /// Whether this ref may be rewritten.
    pub fn admits_force(&self, name: &str) -> bool {
        self.force.iter().any(|pattern| pattern.matches(name))
    }

    /// Whether this ref may be deleted.
    pub fn admits_delete(&self, name: &str) -> bool {
        self.delete.iter().any(|pattern| pattern.matches(name))
    }

    /// The pattern that protects `path`, where something other than a folder is or was: also from what would stand in the place of
    /// its folders.
    pub fn protects(&self, path: &[u8]) -> Option<&PathPattern> {
        let mut patterns = self.protected_paths.iter();
        patterns.find(|pattern| pattern.matches(path) || pattern.is_below(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_valid_pattern() {
        let policy = GatePolicy::default();
        assert_eq!(policy.refs.len(), 2);
        assert_eq!(policy.protected_paths.len(), DEFAULT_PROTECTED_PATHS.len());
    }

    #[test]
    fn replace_refs_and_notes_are_refused_under_any_policy() {
        let open = GatePolicy {
            refs: vec!["refs/*".parse().unwrap()],
            ..GatePolicy::default()
        };
        for never in [
            "refs/replace/1234",
            "refs/notes/commits",
            "refs/pull/1/head",
            "refs/meta/config",
            "refs/x",
            "refs/heads",
        ] {
            assert!(!open.admits_ref(never), "{never}");
        }
        assert!(open.admits_ref("refs/heads/a") && open.admits_ref("refs/tags/v1"));
    }

    #[test]
    fn nothing_is_rewritten_or_deleted_unless_said() {
        let policy = GatePolicy::default();
        assert!(policy.admits_ref("refs/heads/main"));
        assert!(!policy.admits_force("refs/heads/main") && !policy.admits_delete("refs/heads/main"));
        assert!(policy.protects(b".github/workflows/ci.yml").is_some());
        assert!(
            policy.protects(b".buildkite").is_some(),
            "a link, as it is no folder"
        );
        assert!(policy.protects(b"src/main.rs").is_none());
    }
}
