//! What a bottle's resources are called at the engine, and back: whose a resource is.
//!
//! A resource belongs to a bottle when its name, compose project and compose service say the same, and the label with the
//! home's hash is this home's. Compose sets all of these itself; a label that an image brings along is never enough.

use contract::Slug;
use std::collections::HashMap;

/// Before every name.
const PREFIX: &str = "claude-bottle-";
/// The compose service of the agent; every other service is a guard.
pub const AGENT: &str = "agent";
/// The compose service of egress.
pub const EGRESS: &str = "egress";
/// The compose service of git-gate.
pub const GIT_GATE: &str = "git-gate";
/// The compose service of supervise.
pub const SUPERVISE: &str = "supervise";
/// The compose service of the pipelock seat, whichever engine sits in it.
pub const PIPELOCK: &str = "pipelock";
/// The compose service that offers the real pipelock's port as a socket.
pub const PIPELOCK_SHIM: &str = "pipelock-shim";
/// Our engine for the pipelock seat: its program, and its image.
pub const DLP: &str = "dlp";
/// The compose network that reaches the internet.
pub const OUTSIDE: &str = "outside";
/// The label with the hash of the home ([`crate::home::Home::hash`]), on everything.
pub const HOME_LABEL: &str = "home";
/// Compose's own label with the project.
pub const PROJECT_LABEL: &str = "com.docker.compose.project";
/// Compose's own label with the service.
pub const SERVICE_LABEL: &str = "com.docker.compose.service";
/// Repository of the images that are built for one bottle: `claude-bottle-agent:<slug>`.
pub const AGENT_REPOSITORY: &str = "claude-bottle-agent";

/// The compose project of a bottle.
pub fn project(slug: &Slug) -> String {
    format!("{PREFIX}{slug}")
}

/// The bottle of a compose project.
pub fn slug_of_project(project: &str) -> Option<Slug> {
    project.strip_prefix(PREFIX)?.parse().ok()
}

/// The container of a compose service: the agent's has the project's name, a guard's its own in between.
pub fn container(slug: &Slug, service: &str) -> String {
    if service == AGENT {
        format!("{PREFIX}{slug}")
    } else {
        format!("{PREFIX}{service}-{slug}")
    }
}

/// The compose service of a container with this name; the name itself, where it is no container of the bottle's.
pub fn service_of<'n>(slug: &Slug, name: &'n str) -> &'n str {
    let between = name
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.strip_suffix(slug.as_str()));
    match between {
        None => name,
        Some("") => AGENT,
        Some(service) => service.trim_end_matches('-'),
    }
}

/// Whether a container's name is one that this bottle may have.
pub fn is_container_of(name: &str, slug: &Slug) -> bool {
    name.strip_prefix(PREFIX)
        .and_then(|rest| rest.strip_suffix(slug.as_str()))
        .is_some_and(|service| service.is_empty() || service.ends_with('-'))
}

/// A part of every name here, to ask the engine for.
pub fn every() -> String {
    PREFIX.to_owned()
}

/// What compose calls a network or volume of a bottle.
pub fn scoped(slug: &Slug, name: &str) -> String {
    format!("{PREFIX}{slug}_{name}")
}

/// The image that is built for this bottle alone.
pub fn bottle_image(slug: &Slug) -> String {
    format!("{AGENT_REPOSITORY}:{slug}")
}

/// The bottle that an image was built for.
pub fn slug_of_image(reference: &str) -> Option<Slug> {
    reference
        .strip_prefix(AGENT_REPOSITORY)?
        .strip_prefix(':')?
        .parse()
        .ok()
}

/// The programs of our guards, each in an image of its own.
pub const PROGRAMS: [&str; 4] = [EGRESS, DLP, SUPERVISE, GIT_GATE];

/// The repository of a guard program's image; its tag is the hash of its content.
pub fn guard_repository(program: &str) -> String {
    format!("{PREFIX}{program}")
}

/// The repository of one of our agent images; its tag is the hash of what it is built from.
pub fn agent_repository(variant: &str) -> String {
    format!("{PREFIX}agent-{variant}")
}

/// Whether a repository is one of [`guard_repository`] or [`agent_repository`].
pub fn is_shared_repository(repository: &str) -> bool {
    let Some(name) = repository.strip_prefix(PREFIX) else {
        return false;
    };
    PROGRAMS.contains(&name)
        || name
            .strip_prefix("agent-")
            .is_some_and(|variant| !variant.is_empty())
}

/// The bottle and service of a container with this name and these labels, if it is one of this home's.
pub fn owner_of_container(
    name: &str,
    labels: &HashMap<String, String>,
    home: &str,
) -> Option<(Slug, String)> {
    let slug = owner(labels, home)?;
    let service = labels.get(SERVICE_LABEL)?;
    (without_recreation(name) == container(&slug, service)).then(|| (slug, service.clone()))
}

/// A container's name without what compose (v1 and v2) puts before it while it makes the container anew: 12 digits of an id and `_`. Killed
/// then, it leaves one that is called so.
fn without_recreation(name: &str) -> &str {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    match name.split_once('_') {
        Some((id, rest)) if id.len() == 12 && id.bytes().all(hex) => rest,
        _ => name,
    }
}

/// The bottle of a network or volume with this name and these labels, if it is one of this home's.
pub fn owner_of_scoped(name: &str, labels: &HashMap<String, String>, home: &str) -> Option<Slug> {
    let slug = owner(labels, home)?;
    name.strip_prefix(&scoped(&slug, ""))
        .is_some_and(|own| !own.is_empty())
        .then_some(slug)
}

fn owner(labels: &HashMap<String, String>, home: &str) -> Option<Slug> {
    let slug = slug_of_project(labels.get(PROJECT_LABEL)?)?;
    (labels.get(HOME_LABEL).map(String::as_str) == Some(home)).then_some(slug)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(project: &str, service: &str, home: &str) -> HashMap<String, String> {
        [
            (PROJECT_LABEL, project),
            (SERVICE_LABEL, service),
            (HOME_LABEL, home),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
    }

    #[test]
    fn a_container_is_a_bottles_when_name_project_service_and_home_agree() {
        let slug: Slug = "dev-ab1cd".parse().unwrap();
        let own = labels("claude-bottle-dev-ab1cd", "egress", "0011");
        let owner = |name: &str, labels: &HashMap<String, String>| owner_of_container(name, labels, "0011");
        assert_eq!(
            owner("claude-bottle-egress-dev-ab1cd", &own),
            Some((slug.clone(), "egress".to_owned()))
        );
        let agent = labels("claude-bottle-dev-ab1cd", "agent", "0011");
        assert_eq!(
            owner("claude-bottle-dev-ab1cd", &agent),
            Some((slug, "agent".to_owned()))
        );
        assert!(
            owner("0a1b2c3d4e5f_claude-bottle-egress-dev-ab1cd", &own).is_some(),
            "compose was killed while it made it anew"
        );
        for (name, labels) in [
            ("my-database", &own),
            ("my_claude-bottle-egress-dev-ab1cd", &own),
            ("claude-bottle-dev-ab1cd", &own),
            (
                "claude-bottle-egress-dev-ab1cd",
                &labels("claude-bottle-dev-ab1cd", "egress", "other"),
            ),
            (
                "claude-bottle-egress-dev-ab1cd",
                &labels("shop", "egress", "0011"),
            ),
            ("claude-bottle-egress-dev-ab1cd", &HashMap::new()),
        ] {
            assert_eq!(owner(name, labels), None, "{name}");
        }
    }

    #[test]
    fn the_names_that_a_bottle_may_have_are_known() {
        let slug: Slug = "dev-ab1cd".parse().unwrap();
        for service in [AGENT, EGRESS, PIPELOCK, "git-gate"] {
            assert!(is_container_of(&container(&slug, service), &slug));
        }
        assert!(!is_container_of("claude-bottle-mydev-ab1cd", &slug));
    }

    #[test]
    fn a_network_is_a_bottles_when_name_project_and_home_agree() {
        let own = labels("claude-bottle-dev-ab1cd", "", "0011");
        assert!(owner_of_scoped("claude-bottle-dev-ab1cd_outside", &own, "0011").is_some());
        assert!(owner_of_scoped("claude-bottle-dev-ab1cd_", &own, "0011").is_none());
        assert!(owner_of_scoped("bridge", &own, "0011").is_none());
        assert!(owner_of_scoped("claude-bottle-dev-ab1cd_outside", &own, "2233").is_none());
    }

    #[test]
    fn an_image_is_one_bottles_or_shared_and_never_both() {
        let slug: Slug = "dev-ab1cd".parse().unwrap();
        assert_eq!(slug_of_image(&bottle_image(&slug)), Some(slug));
        for repository in [guard_repository("egress"), agent_repository("claude")] {
            assert!(is_shared_repository(&repository));
            assert_eq!(slug_of_image(&format!("{repository}:dev-ab1cd")), None);
        }
        for repository in [
            AGENT_REPOSITORY,
            "claude-bottle-agent-",
            "debian",
            "x/claude-bottle-egress",
        ] {
            assert!(!is_shared_repository(repository), "{repository}");
        }
    }
}
