//! One container or network, asked about by name.

use super::{Engine, if_known, told};
use crate::error::{Error, Result};

impl Engine {
    /// The gateways of a network: the host's own addresses on it.
    pub async fn gateways(&self, network: &str) -> Result<Vec<std::net::IpAddr>> {
        let inspected = if_known(
            self.docker().inspect_network(network, None).await,
            "describe a network",
        )?;
        let configs = inspected
            .and_then(|network| network.ipam)
            .and_then(|ipam| ipam.config)
            .unwrap_or_default();
        Ok(configs
            .into_iter()
            .filter_map(|config| config.gateway?.parse().ok())
            .collect())
    }

    /// Waits until a container does not run, and gives its exit code; at once when it never ran or has ended.
    pub async fn ended(&self, name: &str) -> Result<i64> {
        use futures_util::StreamExt as _;
        let mut ends = std::pin::pin!(self.docker().wait_container(
            name,
            Some(bollard::query_parameters::WaitContainerOptions {
                condition: "not-running".to_owned(),
            }),
        ));
        match ends.next().await {
            Some(Ok(end)) => Ok(end.status_code),
            Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => Ok(code),
            Some(Err(error)) => Err(told("wait for a container", error)),
            None => Err(Error::failed(
                "the engine stopped telling whether a container runs",
            )),
        }
    }
}
