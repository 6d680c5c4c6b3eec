//! The engine, compose and the operator's folder: what commands that change bottles work with.

use super::teardown::Tools;
use crate::cli::Context;
use crate::compose::Compose;
use crate::engine::{Endpoint, Engine};
use crate::error::{Error, Result};
use crate::home::{Home, State};
use crate::printer::Printer;

/// See the module.
pub struct Machine {
    /// The operator's folder.
    pub home: Home,
    /// The engine.
    pub engine: Engine,
    /// The one way out.
    pub printer: Printer,
    compose: Result<Compose>,
}

impl Machine {
    /// Finds the engine and compose at the same time. Without an engine nothing can be done; without compose a bottle can still be
    /// taken down.
    pub async fn connect(context: &Context) -> Result<Self> {
        let home = context.home()?;
        let endpoint = Endpoint::of(&context.environment)?;
        let (engine, compose) = tokio::join!(
            Engine::at(endpoint.clone()),
            Compose::find(&context.environment, &endpoint)
        );
        Ok(Self {
            home,
            engine: engine?,
            printer: context.printer.clone(),
            compose,
        })
    }

    /// Compose, or why there is none.
    pub fn compose(&self) -> Result<&Compose> {
        self.compose.as_ref().map_err(|error| {
            let again = Error::several(error.kind(), error.messages().to_vec())
                .because(anyhow::anyhow!(error.causes().join(": ")));
            error.hints().iter().cloned().fold(again, Error::hinted)
        })
    }

    /// Refuses where an image that must not be pulled is missing, if this compose would pull it all the same: for all services of a bottle
    /// or for one.
    pub async fn refuse_missing_images(&self, state: &State, service: Option<&str>) -> Result<()> {
        if self.compose()?.keeps_to_pull_policy() {
            return Ok(());
        }
        let path = state.compose_file();
        let images = unpulled(&fs_err::read_to_string(&path)?, service)
            .ok_or_else(|| Error::failed(format!("{} names no images", path.display())))?;
        for image in images {
            if self.engine.image_id(&image).await?.is_none() {
                return Err(Error::failed(format!("the engine has no image {image} any more"))
                    .hinted("`bottle images build` makes it anew"));
            }
        }
        Ok(())
    }

    /// To take bottles down with.
    pub fn tools(&self) -> Tools<'_> {
        Tools {
            engine: &self.engine,
            compose: self.compose.as_ref().ok(),
            home: &self.home,
            printer: &self.printer,
        }
    }
}

/// The images of a compose file's services that say `pull_policy: never`.
fn unpulled(file: &str, service: Option<&str>) -> Option<Vec<String>> {
    let file: serde_yaml::Value = serde_yaml::from_str(file).ok()?;
    let services = file.get("services")?.as_mapping()?;
    let meant = services
        .iter()
        .filter(|(name, _)| service.is_none_or(|service| name.as_str() == Some(service)));
    let unpulled = meant.filter(|(_, one)| one.get("pull_policy").is_some_and(|policy| policy == "never"));
    unpulled
        .map(|(_, one)| Some(one.get("image")?.as_str()?.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_must_not_be_pulled_has_to_be_there() {
        let file = "services:\n  egress:\n    image: a:1\n    pull_policy: never\n  pipelock:\n    image: b:2\n    pull_policy: missing\n  agent:\n    image: c:3\n    pull_policy: never\n";
        assert_eq!(unpulled(file, None).unwrap(), ["a:1", "c:3"]);
        assert_eq!(unpulled(file, Some("egress")).unwrap(), ["a:1"]);
        assert_eq!(unpulled("services: {}\n", None).unwrap(), [""; 0]);
        assert_eq!(unpulled("services:\n  a:\n    pull_policy: never\n", None), None);
        assert_eq!(unpulled("- no\n", None), None);
    }
}
