//! Whether a seat that acknowledges nothing has taken up its files: it is asked for the hosts that it must now admit, from egress' own
//! container. Nothing is sent to a host.

use super::Target;
use super::ack::NotInForce;
use crate::cli::Context;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::lifecycle::probed::Probed;
use crate::naming;
use contract::HostName;

/// How many times as long as an acknowledgement a probe may take: the seat resolves and dials the host before it answers.
const AS_LONG: u32 = 3;

/// Waits until the seat admits each of them.
pub(super) async fn admitted(
    context: &Context,
    target: &Target,
    hosts: &[HostName],
) -> Result<(), NotInForce> {
    all(context, target, hosts).await.map_err(|error| {
        let causes = error.causes().join(": ");
        let told = [error.to_string(), causes].join(if error.causes().is_empty() { "" } else { ": " });
        NotInForce::NotAdmitted(contract::text::harmless(&told))
    })
}

async fn all(context: &Context, target: &Target, hosts: &[HostName]) -> Result<(), Error> {
    let engine = Engine::connect(&context.environment).await?;
    let container = naming::container(&target.slug, naming::PIPELOCK);
    for host in hosts {
        let probed = Probed {
            slug: &target.slug,
            container: &container,
            host,
        };
        probed
            .wait(&engine, target.patience.saturating_mul(AS_LONG))
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::apply::fixture::{FakeEngine, Fixture, wait};
    use crate::environment::Environment;
    use crate::proposals::decide::{self, Lasts};
    use contract::{Application, Guard};
    use pipelock_config::place;
    use std::time::Duration;

    /// A bottle with the real pipelock, whose egress acknowledges.
    fn image() -> Fixture {
        let fixture = Fixture::with_seat();
        fs_err::remove_file(fixture.target.state.pipelock_config().join(place::DLP)).unwrap();
        fixture
    }

    fn approve(fixture: &mut Fixture, engine: &str) -> crate::proposals::settle::Carried {
        fixture.context.environment = Environment::of([
            ("BOTTLE_HOME", fixture.root().to_str().unwrap()),
            ("DOCKER_HOST", engine),
        ]);
        let id = fixture.propose_host("new.example");
        let considered = fixture.consider(&id, Lasts::default());
        wait(decide::approve(&fixture.context, &fixture.target, &considered)).unwrap()
    }

    #[test]
    fn the_real_pipelock_has_a_route_in_force_once_it_lets_a_probe_through() {
        let mut fixture = image();
        let _guard = fixture.guard(Guard::Egress, None);
        // At first it has not read its file again.
        let engine = FakeEngine::saying(&[
            (1, "egress: new.example is refused: 403 domain not in allowlist\n"),
            (0, ""),
        ]);
        let carried = approve(&mut fixture, &engine.host());
        assert_eq!(carried.state.state, Application::Applied, "{}", carried.told);
        let entries = crate::audit::read(&fixture.target.audit()).unwrap();
        let audited = serde_json::to_string(&entries).unwrap();
        assert!(audited.contains("\"verified\":\"probe\""), "{audited}");
        assert!(!audited.contains("not_verified"), "{audited}");
        let asked = engine.asked();
        assert!(
            asked.contains("/containers/claude-bottle-egress-dev-ab1cd/exec"),
            "{asked}"
        );
        assert!(asked.contains("\"--host\",\"new.example\""), "{asked}");
    }

    #[test]
    fn when_the_real_pipelock_lets_no_probe_through_nothing_changes() {
        let mut fixture = image();
        let _guard = fixture.guard(Guard::Egress, None);
        fixture.target.patience = Duration::from_millis(100);
        let before = (fixture.routes(), fixture.pipelock());
        let engine = FakeEngine::saying(&[(1, "egress: new.example is refused: 403 no\n")]);
        let carried = approve(&mut fixture, &engine.host());
        assert_eq!(carried.state.state, Application::Failed);
        assert!(
            carried.told.contains("pipelock does not let a probe through"),
            "{}",
            carried.told
        );
        assert_eq!((fixture.routes(), fixture.pipelock()), before);
    }

    #[test]
    fn without_an_engine_to_probe_by_nothing_changes() {
        let mut fixture = image();
        let _guard = fixture.guard(Guard::Egress, None);
        let before = (fixture.routes(), fixture.pipelock());
        let carried = approve(&mut fixture, "unix:///nonexistent/engine.sock");
        assert_eq!(carried.state.state, Application::Failed);
        assert!(
            carried.told.contains("no Docker engine answers"),
            "{}",
            carried.told
        );
        assert_eq!((fixture.routes(), fixture.pipelock()), before);
    }
}
