//! A route with a credential that the running egress has no value for: egress alone is made anew, with the operator's environment of
//! now, and then given the routes like any other change.
//!
//! Egress cannot be told a value while it runs: values come by environment alone, and never lie in a file. So every credential that
//! it holds must be to be had again, from the environment of whoever approves.

use super::change::{Change, NewSlot};
use super::perform::{Performed, perform};
use super::{Target, egress};
use crate::cli::Context;
use crate::compose::Project;
use crate::environment::Named;
use crate::error::{Doing as _, Error, Result};
use crate::lifecycle::Machine;
use crate::lifecycle::lock::Locked;
use crate::naming;
use crate::plan::{SecretSource, SecretValue, Secrets, Wanted};
use crate::render::yaml;
use crate::write;
use contract::{EnvName, RouteTable, TokenSlot};
use serde_yaml::Value;
use std::os::fd::AsFd as _;
use std::time::Duration;

/// A container takes longer to come up than a guard to read a file.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether the operator's environment has a value for each; the error names the variables and never a value.
pub fn resolvable(context: &Context, slots: &[NewSlot]) -> Result<()> {
    let missing: Vec<&EnvName> = slots
        .iter()
        .map(|slot| &slot.token_ref)
        .filter(|name| !has_value(context, name))
        .collect();
    refuse(&missing)
}

fn has_value(context: &Context, name: &EnvName) -> bool {
    matches!(context.environment.named(name), Named::Set(value) if !value.is_empty() && !value.contains('\0'))
}

fn refuse(missing: &[&EnvName]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|name| name.as_str()).collect();
    Err(Error::failed(format!(
        "egress needs {} from the environment of this command, where it is not set",
        names.join(", ")
    ))
    .hinted("export it here, then approve again"))
}

/// Makes egress anew, then does the change.
pub async fn perform_anew(
    context: &Context,
    target: &Target,
    lock: &Locked,
    change: &Change,
) -> Result<Performed> {
    let nothing = |why: String| Performed::Failed {
        why,
        now: "nothing changed".to_owned(),
    };
    let slots = slots(target, change)?;
    let missing: Vec<&EnvName> = slots
        .iter()
        .map(|(_, name)| name)
        .filter(|name| !has_value(context, name))
        .collect();
    if let Err(error) = refuse(&missing) {
        return Ok(nothing(error.to_string()));
    }
    let machine = match Machine::connect(context).await {
        Ok(machine) => machine,
        Err(error) => return Ok(nothing(error.to_string())),
    };
    let progress = context.printer.progress(&format!(
        "making egress of {} anew; requests under way are cut",
        target.slug
    ));
    let compose_file = target.state.compose_file();
    let before = fs_err::read(&compose_file)?;
    if let Err(error) = make_anew(context, &machine, target, lock, &slots).await {
        progress.ended("failed");
        if fs_err::read(&compose_file)? != before {
            write::in_place_of(&compose_file, &before)?;
        }
        let causes = error.causes().join(": ");
        return Ok(Performed::Failed {
            why: format!("egress could not be made anew: {error} {causes}")
                .trim()
                .to_owned(),
            now: format!(
                "the routes are as they were; egress may be down, and then nothing leaves the bottle (`bottle logs {} --guard {}` shows more)",
                target.slug,
                naming::EGRESS
            ),
        });
    }
    progress.done();
    let patient = Target {
        patience: PATIENCE,
        ..target.clone()
    };
    perform(context, &patient, change).await
}

/// Every slot of the table after, with the operator's name for its value.
fn slots(target: &Target, change: &Change) -> Result<Vec<(TokenSlot, EnvName)>> {
    let routes = egress::routes(target)?;
    let after = change
        .guards
        .iter()
        .flat_map(|step| &step.files)
        .find(|file| file.path == routes.path)
        .map_or(&routes.before, |file| &file.after);
    let table = RouteTable::parse(after).doing(|| "the routes cannot be read".to_owned())?;
    let mut slots: Vec<(TokenSlot, EnvName)> = Vec::new();
    for auth in table.routes().iter().filter_map(|route| route.auth.as_ref()) {
        if !slots.iter().any(|(slot, _)| *slot == auth.token_env) {
            slots.push((auth.token_env, auth.token_ref.clone()));
        }
    }
    Ok(slots)
}

async fn make_anew(
    context: &Context,
    machine: &Machine,
    target: &Target,
    lock: &Locked,
    slots: &[(TokenSlot, EnvName)],
) -> Result<()> {
    let compose = machine.compose()?;
    machine
        .refuse_missing_images(&target.state, Some(naming::EGRESS))
        .await?;
    name_slots(target, slots)?;
    let sources: Vec<SecretSource> = slots
        .iter()
        .map(|(slot, name)| SecretSource {
            variable: slot.to_string(),
            value: SecretValue::Host(name.clone()),
            wanted: Wanted {
                file: target.state.egress_config().join(contract::place::config::ROUTES),
                line: 1,
                field: "auth.token_ref".to_owned(),
            },
        })
        .collect();
    let nobody = |_: &str| Err(Error::failed("nothing is asked for here"));
    let secrets = Secrets::resolve(&sources, &context.environment, nobody)?;
    let project = Project {
        name: naming::project(&target.slug),
        state: &target.state,
        lock: lock.as_fd(),
    };
    compose
        .recreate(&project, naming::EGRESS, &sources, &secrets)
        .await
}

/// Adds the names of the slots to egress in the compose file. Never a value.
fn name_slots(target: &Target, slots: &[(TokenSlot, EnvName)]) -> Result<()> {
    let path = target.state.compose_file();
    let text = fs_err::read_to_string(&path)?;
    let named = with_slots(&text, slots)
        .ok_or_else(|| Error::failed(format!("{} has no egress with an environment", path.display())))?;
    if named != text {
        write::in_place_of(&path, named.as_bytes())?;
    }
    Ok(())
}

fn with_slots(text: &str, slots: &[(TokenSlot, EnvName)]) -> Option<String> {
    let mut file: Value = serde_yaml::from_str(text).ok()?;
    let environment = file
        .get_mut("services")?
        .get_mut(naming::EGRESS)?
        .get_mut("environment")?
        .as_mapping_mut()?;
    for (slot, _) in slots {
        let name = Value::from(slot.to_string());
        if !environment.contains_key(&name) {
            environment.insert(name, Value::Null);
        }
    }
    Some(yaml::document(&file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::fixture::{FakeEngine, Fixture, wait};
    use crate::environment::Environment;
    use crate::proposals::decide::{self, Lasts};
    use crate::proposals::settle::Carried;
    use contract::Application;

    #[test]
    fn a_new_slot_is_named_in_the_compose_file_beside_the_old_ones() {
        let text = "services:\n  egress:\n    environment:\n      EGRESS_TOKEN_0: null\n      N: n-0011\n";
        let slots = [
            (TokenSlot::new(0), "A".parse().unwrap()),
            (TokenSlot::new(1), "B".parse().unwrap()),
        ];
        let named = with_slots(text, &slots).unwrap();
        let value: Value = serde_yaml::from_str(&named).unwrap();
        let environment = value["services"]["egress"]["environment"].as_mapping().unwrap();
        assert_eq!(environment.len(), 3);
        assert!(environment.get("EGRESS_TOKEN_1").unwrap().is_null());
        assert_eq!(with_slots("services: {}\n", &slots), None);
    }

    const COMPOSE: &str = "services:\n  egress:\n    environment:\n      N: n-0011\n";

    /// A bottle, an engine, and a compose that writes down the credential that it was given and then ends so.
    fn approve(fixture: &mut Fixture, code: u8, token: Option<&str>) -> Carried {
        let engine = FakeEngine::saying(&[(0, "")]);
        let folder = fixture.root().to_owned();
        let compose = folder.join("docker");
        let script = format!(
            "#!/bin/sh\nif [ \"$2\" = version ]; then echo v2.26.1; exit; fi\nprintf '%s' \"$EGRESS_TOKEN_0 $*\" > {0}/called\necho \"no room for $EGRESS_TOKEN_0\"\nexit {code}\n",
            folder.display()
        );
        fs_err::write(&compose, script).unwrap();
        fs_err::set_permissions(&compose, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs_err::write(fixture.target.state.compose_file(), COMPOSE).unwrap();
        let mut environment = vec![
            ("BOTTLE_HOME", folder.display().to_string()),
            ("DOCKER_HOST", engine.host()),
            ("PATH", format!("{}:/usr/bin:/bin", folder.display())),
        ];
        environment.extend(token.map(|token| ("GITHUB_TOKEN", token.to_owned())));
        fixture.context.environment = Environment::of(environment);
        let arguments = serde_json::json!({"host": "new.example", "methods": ["GET"],
            "auth": {"scheme": "Bearer", "token_ref": "GITHUB_TOKEN"}, "justification": "x"});
        let ask = serde_json::json!({"tool": "egress-block", "arguments": arguments});
        let id = fixture.propose("p-00000001", ask);
        let considered = fixture.consider(&id, Lasts::default());
        assert_eq!(considered.change.new_slots.len(), 1);
        wait(decide::approve(&fixture.context, &fixture.target, &considered)).unwrap()
    }

    fn compose_file(fixture: &Fixture) -> String {
        fs_err::read_to_string(fixture.target.state.compose_file()).unwrap()
    }

    #[test]
    fn a_credential_that_is_not_set_here_changes_nothing_and_is_asked_for_by_name() {
        for token in [None, Some("")] {
            let mut fixture = Fixture::new();
            let _guard = fixture.guard(contract::Guard::Egress, None);
            let before = fixture.routes();
            let carried = approve(&mut fixture, 0, token);
            assert_eq!(carried.state.state, Application::Failed);
            assert!(carried.told.contains("GITHUB_TOKEN"), "{}", carried.told);
            assert!(!fixture.root().join("called").exists());
            assert_eq!(
                (fixture.routes(), compose_file(&fixture)),
                (before, COMPOSE.to_owned())
            );
        }
    }

    #[test]
    fn egress_is_made_anew_with_the_value_which_lies_in_no_file() {
        let mut fixture = Fixture::new();
        let _guard = fixture.guard(contract::Guard::Egress, None);
        let carried = approve(&mut fixture, 0, Some("secret-0123456789"));
        assert_eq!(carried.state.state, Application::Applied, "{}", carried.told);
        let called = fs_err::read_to_string(fixture.root().join("called")).unwrap();
        assert!(called.starts_with("secret-0123456789 compose"), "{called}");
        assert!(called.ends_with("--no-deps --force-recreate egress"), "{called}");
        assert!(fixture.routes().contains("token_ref: GITHUB_TOKEN"));
        assert!(compose_file(&fixture).contains("EGRESS_TOKEN_0:"));
        for file in [
            fixture.target.state.compose_file(),
            fixture.target.state.bringup_log(),
            fixture.home.audit(&fixture.target.slug),
        ] {
            let text = fs_err::read_to_string(&file).unwrap();
            assert!(!text.contains("secret-0123456789"), "{}: {text}", file.display());
        }
    }

    #[test]
    fn when_egress_cannot_be_made_anew_its_files_are_those_of_before_and_it_is_said_that_it_may_be_down() {
        let mut fixture = Fixture::new();
        let _guard = fixture.guard(contract::Guard::Egress, None);
        let before = fixture.routes();
        let carried = approve(&mut fixture, 1, Some("secret-0123456789"));
        assert_eq!(carried.state.state, Application::Failed);
        assert!(carried.told.contains("egress may be down"), "{}", carried.told);
        assert!(!carried.told.contains("secret-0123456789"), "{}", carried.told);
        assert_eq!(
            (fixture.routes(), compose_file(&fixture)),
            (before, COMPOSE.to_owned())
        );
    }
}
