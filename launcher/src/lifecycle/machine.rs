//! The engine, compose and the operator's folder: what commands that change bottles work with.

use super::teardown::Tools;
use crate::cli::Context;
use crate::compose::Compose;
use crate::engine::{Endpoint, Engine};
use crate::error::{Error, Result};
use crate::home::Home;
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
