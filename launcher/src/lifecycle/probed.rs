//! Waiting for a seat that writes no acknowledgement: the real pipelock. What counts is what egress would find: that its socket answers,
//! and that it opens a tunnel to a host of the allowlist. Nothing is sent through.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::naming;
use contract::place::container;
use contract::{HostName, Slug};
use std::time::Duration;

/// How long the seat may take: its image may have to be started for the first time.
pub const AT_START: Duration = Duration::from_secs(30);
/// How often it is asked. Each time costs an exec into the container of egress, about 50 ms.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// How long one answer may take: the seat resolves and dials the host before it answers.
const ONE_ANSWER: Duration = Duration::from_secs(15);

/// What is waited for.
pub struct Probed<'a> {
    /// The bottle.
    pub slug: &'a Slug,
    /// The seat's container.
    pub container: &'a str,
    /// A host that the seat must admit.
    pub host: &'a HostName,
}

/// What a probe says.
#[derive(Debug, PartialEq, Eq)]
enum Says {
    Admitted,
    /// Refused by its policy; a tunnel that fails behind it (502, 504) is no refusal.
    Refused(String),
    /// Nobody answers yet.
    Nothing(String),
}

fn says(code: i64, error: &str) -> Says {
    let told = contract::text::harmless(error.trim());
    match code {
        0 => Says::Admitted,
        _ if error.contains(" is refused: 403 ") => Says::Refused(told),
        _ if error.contains(" is refused: ") => Says::Admitted,
        _ => Says::Nothing(told),
    }
}

impl Probed<'_> {
    /// Waits until the seat admits the host, for at most this long.
    pub async fn wait(&self, engine: &Engine, patience: Duration) -> Result<()> {
        let mut last = String::new();
        let asking = async {
            loop {
                match self.ask(engine).await? {
                    Says::Admitted => return Ok(()),
                    Says::Refused(said) | Says::Nothing(said) => last = said,
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        let ended = async {
            let code = engine.ended(self.container).await?;
            Err(Error::failed(format!(
                "the pipelock image ended (exit code {code}) before it was ready"
            )))
        };
        let outcome = tokio::time::timeout(patience, async {
            tokio::select! { outcome = asking => outcome, outcome = ended => outcome }
        });
        match outcome.await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::failed(format!(
                "the seat does not admit {} after {} s: {last}",
                self.host,
                patience.as_secs()
            ))
            .hinted(format!(
                "`docker logs {}` says what it makes of its configuration",
                self.container
            ))),
        }
    }

    /// Asks once, from egress' own container: its socket is nobody else's.
    async fn ask(&self, engine: &Engine) -> Result<Says> {
        let command = [
            "/egress".to_owned(),
            "probe".to_owned(),
            "--listen".to_owned(),
            format!(
                "unix:{}/{}/{}",
                container::DOORS,
                naming::PIPELOCK,
                container::SOCKET
            ),
            "--host".to_owned(),
            self.host.to_string(),
        ];
        let egress = naming::container(self.slug, naming::EGRESS);
        let ended = engine.exec_output(&egress, &command, b"", ONE_ANSWER).await?;
        Ok(says(ended.code, &String::from_utf8_lossy(&ended.error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_behind_an_upstream_that_is_down_is_admitted_all_the_same() {
        assert_eq!(says(0, ""), Says::Admitted);
        assert_eq!(
            says(1, "egress: a.example is refused: 502 bad gateway\n"),
            Says::Admitted
        );
        assert!(matches!(
            says(1, "egress: a.example is refused: 403 CONNECT blocked: domain not in allowlist: a.example\n"),
            Says::Refused(said) if said.contains("allowlist")
        ));
        assert!(matches!(
            says(1, "egress: no proxy answers there: refused\n"),
            Says::Nothing(_)
        ));
    }
}
