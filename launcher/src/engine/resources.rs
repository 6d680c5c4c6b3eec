//! Containers, networks and volumes of bottles: finding them and removing them.
//!
//! Whose a resource is, [`crate::naming`] says. What cannot be removed is told in the engine's own words, and the rest is
//! removed all the same.

use super::{Engine, status, told, words};
use crate::error::{Error, Result};
use crate::naming;
use bollard::models::ContainerSummaryStateEnum as Engines;
use bollard::query_parameters::{
    ListContainersOptions, ListNetworksOptions, ListVolumesOptions, RemoveContainerOptions,
    StopContainerOptions,
};
use contract::Slug;
use futures_util::future::join_all;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// How long the engine may take to finish a removal that somebody else began.
const REMOVAL: Duration = Duration::from_secs(10);

/// How long a container may take to end after SIGTERM, in seconds: guards have nothing to save, and compose gives them as much.
const GRACE: i32 = 2;

/// What a container is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Made, not started yet.
    Created,
    /// It runs.
    Running,
    /// It ended and is about to be started again.
    Restarting,
    /// It ended.
    Ended,
}

/// A container of a bottle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The engine's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its compose service: `agent`, or the guard.
    pub service: String,
    /// What it is doing.
    pub doing: Doing,
    /// The same in the engine's words, such as `Up 3 minutes`.
    pub status: String,
}

/// Everything of one bottle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owned {
    /// Its containers.
    pub containers: Vec<Container>,
    /// Names of its networks.
    pub networks: Vec<String>,
    /// Names of its volumes.
    pub volumes: Vec<String>,
}

impl Owned {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.containers.is_empty() && self.networks.is_empty() && self.volumes.is_empty()
    }

    /// The container of a service.
    pub fn service(&self, service: &str) -> Option<&Container> {
        self.containers
            .iter()
            .find(|container| container.service == service)
    }

    /// Whether this service's container runs.
    pub fn runs(&self, service: &str) -> bool {
        self.service(service)
            .is_some_and(|container| container.doing == Doing::Running)
    }

    /// Whether any container runs, or is about to.
    pub fn any_runs(&self) -> bool {
        let runs = |container: &Container| matches!(container.doing, Doing::Running | Doing::Restarting);
        self.containers.iter().any(runs)
    }

    /// One line for each, such as `container claude-bottle-dev-ab1cd (Up 3 minutes)`.
    pub fn lines(&self) -> Vec<String> {
        let containers = self.containers.iter().map(|container| match container.doing {
            Doing::Running | Doing::Restarting => {
                format!("container {} ({})", container.name, container.status)
            }
            Doing::Created | Doing::Ended => format!("container {}", container.name),
        });
        let networks = self.networks.iter().map(|name| format!("network {name}"));
        let volumes = self.volumes.iter().map(|name| format!("volume {name}"));
        containers.chain(networks).chain(volumes).collect()
    }
}

/// A name that a bottle needs and that something has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// `container`, `network` or `volume`.
    pub kind: &'static str,
    /// The name.
    pub name: String,
    /// What the engine says of it, such as `Up 3 minutes`; may be empty.
    pub status: String,
}

impl Taken {
    /// The command that frees the name.
    pub fn remedy(&self) -> String {
        match self.kind {
            "container" => format!("docker rm --force {}", self.name),
            kind => format!("docker {kind} rm {}", self.name),
        }
    }
}

/// Anything with a name like these; the engine takes the text for a part of the name.
fn named(part: &str) -> Option<HashMap<String, Vec<String>>> {
    Some(HashMap::from([("name".to_owned(), vec![part.to_owned()])]))
}

/// A container, network or volume as the engine lists it.
struct Listed {
    kind: &'static str,
    id: String,
    name: String,
    labels: HashMap<String, String>,
    doing: Doing,
    status: String,
}

impl Engine {
    async fn listed(&self, part: &str) -> Result<Vec<Listed>> {
        let containers = ListContainersOptions {
            all: true,
            filters: named(part),
            ..Default::default()
        };
        let networks = ListNetworksOptions { filters: named(part) };
        let volumes = ListVolumesOptions { filters: named(part) };
        let (containers, networks, volumes) = tokio::try_join!(
            self.docker().list_containers(Some(containers)),
            self.docker().list_networks(Some(networks)),
            self.docker().list_volumes(Some(volumes)),
        )
        .map_err(|error| told("list containers, networks and volumes", error))?;
        let containers = containers.into_iter().map(|container| Listed {
            kind: "container",
            id: container.id.unwrap_or_default(),
            name: own_name(container.names.unwrap_or_default()),
            labels: container.labels.unwrap_or_default(),
            doing: doing(container.state),
            status: container.status.unwrap_or_default(),
        });
        let plain = |kind, name: String, labels| Listed {
            kind,
            id: String::new(),
            name,
            labels,
            doing: Doing::Ended,
            status: String::new(),
        };
        let networks = networks.into_iter().map(|network| {
            plain(
                "network",
                network.name.unwrap_or_default(),
                network.labels.unwrap_or_default(),
            )
        });
        let volumes = volumes
            .volumes
            .unwrap_or_default()
            .into_iter()
            .map(|volume| plain("volume", volume.name, volume.labels));
        Ok(containers.chain(networks).chain(volumes).collect())
    }

    /// Everything of this home's bottles, by bottle.
    pub async fn owned(&self, home: &str) -> Result<BTreeMap<Slug, Owned>> {
        Ok(by_owner(self.listed(&naming::every()).await?, home))
    }

    /// Everything of one bottle.
    pub async fn owned_by(&self, home: &str, slug: &Slug) -> Result<Owned> {
        let mut all = by_owner(self.listed(slug.as_str()).await?, home);
        Ok(all.remove(slug).unwrap_or_default())
    }

    /// Which of the names that this bottle needs are taken, whoever has them.
    pub async fn taken(&self, slug: &Slug) -> Result<Vec<Taken>> {
        let (project, scope) = (naming::project(slug), naming::scoped(slug, ""));
        let listed = self.listed(slug.as_str()).await?.into_iter();
        Ok(listed
            .filter(|one| {
                let ours = match one.kind {
                    "container" => naming::is_container_of(&one.name, slug),
                    _ => one.name.starts_with(&scope),
                };
                ours || one.labels.get(naming::PROJECT_LABEL) == Some(&project)
            })
            .map(|one| Taken {
                kind: one.kind,
                name: one.name,
                status: one.status,
            })
            .collect())
    }

    /// Ends its containers, the agent first, and removes nothing. Why one could not be ended, if so.
    pub async fn end(&self, owned: &Owned) -> Vec<String> {
        let (agent, guards): (Vec<&Container>, Vec<&Container>) = owned
            .containers
            .iter()
            .partition(|container| container.service == naming::AGENT);
        let mut failed = Vec::new();
        for some in [agent, guards] {
            let ended = some.into_iter().map(|container| self.end_container(container));
            failed.extend(join_all(ended).await.into_iter().flatten());
        }
        failed
    }

    async fn end_container(&self, container: &Container) -> Option<String> {
        let options = StopContainerOptions {
            t: Some(GRACE),
            signal: None,
        };
        let ended = self.docker().stop_container(&container.id, Some(options));
        let error = ended.await.err()?;
        // 304: it had ended.
        (!matches!(status(&error), Some(304 | 404)))
            .then(|| format!("container {}: {}", container.name, words(error)))
    }

    /// Removes it all: containers by force, then networks and volumes. What is gone already is no error.
    pub async fn remove(&self, owned: &Owned) -> Result<()> {
        let containers = owned
            .containers
            .iter()
            .map(|container| self.remove_container(container));
        let mut failed: Vec<String> = join_all(containers).await.into_iter().flatten().collect();
        let networks = owned.networks.iter().map(|name| self.remove_network(name));
        failed.extend(join_all(networks).await.into_iter().flatten());
        let volumes = owned.volumes.iter().map(|name| self.remove_volume(name));
        failed.extend(join_all(volumes).await.into_iter().flatten());
        if failed.is_empty() {
            Ok(())
        } else {
            Err(Error::several(crate::error::Kind::Failed, failed).hinted("`bottle cleanup` tries again"))
        }
    }

    /// Why it could not be removed, if so.
    async fn remove_container(&self, container: &Container) -> Option<String> {
        let options = RemoveContainerOptions {
            v: true,
            force: true,
            link: false,
        };
        let error = self
            .docker()
            .remove_container(&container.id, Some(options))
            .await
            .err()?;
        match status(&error) {
            Some(404) => None,
            // Somebody else is removing it.
            Some(409) if self.is_gone_soon(&container.id).await => None,
            _ => Some(format!("container {}: {}", container.name, words(error))),
        }
    }

    async fn is_gone_soon(&self, id: &str) -> bool {
        let gone = async {
            while !matches!(self.docker().inspect_container(id, None).await, Err(error) if status(&error) == Some(404))
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(REMOVAL, gone).await.is_ok()
    }

    async fn remove_network(&self, name: &str) -> Option<String> {
        let error = self.docker().remove_network(name).await.err()?;
        (status(&error) != Some(404)).then(|| format!("network {name}: {}", words(error)))
    }

    async fn remove_volume(&self, name: &str) -> Option<String> {
        let options = bollard::query_parameters::RemoveVolumeOptions { force: true };
        let error = self.docker().remove_volume(name, Some(options)).await.err()?;
        (status(&error) != Some(404)).then(|| format!("volume {name}: {}", words(error)))
    }
}

/// A container's own name: the one without a `/` in it besides the first (others are links).
fn own_name(names: Vec<String>) -> String {
    names
        .into_iter()
        .filter_map(|name| name.strip_prefix('/').map(str::to_owned))
        .find(|name| !name.contains('/'))
        .unwrap_or_default()
}

fn doing(state: Option<Engines>) -> Doing {
    match state {
        Some(Engines::CREATED) => Doing::Created,
        Some(Engines::RUNNING | Engines::PAUSED) => Doing::Running,
        Some(Engines::RESTARTING) => Doing::Restarting,
        _ => Doing::Ended,
    }
}

fn by_owner(listed: Vec<Listed>, home: &str) -> BTreeMap<Slug, Owned> {
    let mut all: BTreeMap<Slug, Owned> = BTreeMap::new();
    for one in listed {
        if one.kind == "container" {
            if let Some((slug, service)) = naming::owner_of_container(&one.name, &one.labels, home) {
                all.entry(slug).or_default().containers.push(Container {
                    id: one.id,
                    name: one.name,
                    service,
                    doing: one.doing,
                    status: one.status,
                });
            }
        } else if let Some(slug) = naming::owner_of_scoped(&one.name, &one.labels, home) {
            let owned = all.entry(slug).or_default();
            match one.kind {
                "network" => owned.networks.push(one.name),
                _ => owned.volumes.push(one.name),
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(kind: &'static str, name: &str, service: &str, home: &str) -> Listed {
        let labels = [
            (naming::PROJECT_LABEL, "claude-bottle-dev-ab1cd"),
            (naming::SERVICE_LABEL, service),
            (naming::HOME_LABEL, home),
        ];
        Listed {
            kind,
            id: "0".to_owned(),
            name: name.to_owned(),
            labels: labels
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            doing: Doing::Running,
            status: "Up 3 minutes".to_owned(),
        }
    }

    #[test]
    fn what_is_another_homes_or_only_labelled_alike_is_not_found() {
        let all = by_owner(
            vec![
                listed("container", "claude-bottle-dev-ab1cd", "agent", "mine"),
                listed("container", "claude-bottle-egress-dev-ab1cd", "egress", "theirs"),
                listed("container", "a-database", "agent", "mine"),
                listed("network", "claude-bottle-dev-ab1cd_outside", "", "mine"),
                listed("volume", "claude-bottle-dev-ab1cd_door", "", "mine"),
                listed("volume", "precious", "", "mine"),
            ],
            "mine",
        );
        let slug: Slug = "dev-ab1cd".parse().unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(
            all[&slug].lines(),
            [
                "container claude-bottle-dev-ab1cd (Up 3 minutes)",
                "network claude-bottle-dev-ab1cd_outside",
                "volume claude-bottle-dev-ab1cd_door"
            ]
        );
        assert!(all[&slug].runs("agent") && !all[&slug].runs("egress"));
    }

    #[test]
    fn a_links_name_is_not_taken_for_a_containers_own() {
        let names = ["/web/claude-bottle-dev-ab1cd", "/db"].map(str::to_owned);
        assert_eq!(own_name(names.into()), "db");
    }
}
