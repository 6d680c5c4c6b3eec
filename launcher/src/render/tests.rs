use super::fixtures::{images, least, most};
use super::*;
use contract::RouteTable;
use std::path::Path;

fn rendered(plan: &Plan) -> Vec<File> {
    let authorities = Authorities::mint(&plan.slug, plan.started_at).unwrap();
    files(
        plan,
        &images(),
        &authorities,
        &SeatFiles::of(plan, &crate::plan::Secrets::default()),
    )
    .unwrap()
}

fn listing(plan: &Plan) -> String {
    let state = plan.state();
    let line = |file: &File| {
        format!(
            "{:o} {}\n",
            file.mode,
            file.path.strip_prefix(state.root()).unwrap().display()
        )
    };
    rendered(plan).iter().map(line).collect()
}

fn read(plan: &Plan, path: &Path) -> String {
    let files = rendered(plan);
    let file = files.iter().find(|file| file.path == path).unwrap();
    String::from_utf8(file.bytes.to_vec()).unwrap()
}

#[test]
fn the_files_of_a_state_directory() {
    insta::assert_snapshot!(listing(&most()), @"
    644 metadata.json
    644 docker-compose.yml
    644 seccomp.json
    644 agent/prompt.md
    644 agent/etc/passwd
    644 agent/etc/group
    644 agent/etc/gitconfig
    644 agent/ca/ca.pem
    644 agent/ca/truststore.p12
    644 egress/config/ca.pem
    600 egress/config/ca-key.pem
    644 egress/config/routes.yaml
    644 egress/config/pipelock-ca.pem
    644 pipelock/config/ca.pem
    600 pipelock/config/ca-key.pem
    644 pipelock/config/pipelock.yaml
    600 pipelock/config/dlp.yaml
    644 egress/config/extra-ca.pem
    644 pipelock/config/extra-ca.pem
    600 agent/home/.claude.json
    ");
    let folders = folders(&most());
    for file in rendered(&most()) {
        let parent = file.path.parent().unwrap().to_owned();
        assert!(
            parent == most().state().root() || folders.contains(&parent),
            "{}",
            parent.display()
        );
    }
}

#[test]
fn routes_are_written_as_the_guard_reads_them() {
    let plan = most();
    let routes = read(&plan, &plan.state().egress_config().join("routes.yaml"));
    assert_eq!(RouteTable::parse(routes.as_bytes()).unwrap(), plan.routes);
}

#[test]
fn metadata_says_what_the_launch_is() {
    let plan = most();
    insta::assert_snapshot!(read(&plan, &plan.state().metadata()), @r#"
    {
      "schema_version": 1,
      "agent_name": "dev",
      "bottle": "box",
      "cwd": "/src/app",
      "copy_cwd": false,
      "started_at": "2026-11-18T11:06:40.000Z",
      "compose_project": "claude-bottle-dev-ab1cd",
      "launch_nonce": "n-0011"
    }
    "#);
}

#[test]
fn the_agent_is_somebody_with_a_home() {
    let plan = least();
    insta::assert_snapshot!(read(&plan, &plan.state().agent_etc().join("passwd")), @r"
    agent:x:1000:50::/home/agent:/bin/sh
    root:x:0:0::/root:/bin/sh
    nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin
    ");
    insta::assert_snapshot!(read(&plan, &plan.state().agent_etc().join("group")), @r"
    agent:x:50:
    root:x:0:
    nogroup:x:65534:
    ");
}

#[test]
fn claude_code_asks_nothing_on_its_first_run() {
    let plan = most();
    insta::assert_snapshot!(read(&plan, &plan.state().agent_home().join(".claude.json")), @r#"
    {
      "customApiKeyResponses": {
        "approved": [
          "der-not-a-credential"
        ]
      },
      "hasCompletedOnboarding": true,
      "projects": {
        "/workspace": {
          "hasTrustDialogAccepted": true
        }
      }
    }
    "#);
}

#[test]
fn each_guard_is_given_the_key_of_its_own_authority_alone() {
    let plan = most();
    let files = rendered(&plan);
    let with_key: Vec<_> = files
        .iter()
        .filter(|file| String::from_utf8_lossy(&file.bytes).contains("PRIVATE KEY"))
        .collect();
    let state = plan.state();
    let folders = [state.egress_config(), state.pipelock_config()];
    assert_eq!(with_key.len(), folders.len());
    assert_ne!(*with_key[0].bytes, *with_key[1].bytes);
    for (file, folder) in with_key.iter().zip(folders) {
        assert_eq!(file.path, folder.join("ca-key.pem"));
        assert_eq!(file.mode, 0o600);
    }
}

#[test]
fn with_supervise_the_agent_finds_it_and_its_queue_has_two_folders() {
    let mut plan = least();
    plan.supervise = true;
    let state = plan.state();
    insta::assert_snapshot!(read(&plan, &state.agent_etc().join("mcp.json")), @r#"
    {
      "mcpServers": {
        "supervise": {
          "alwaysLoad": true,
          "timeout": 86400000,
          "type": "http",
          "url": "http://supervise:8931/mcp"
        }
      }
    }
    "#);
    let folders = folders(&plan);
    for folder in [
        state.proposals(),
        state.responses(),
        state.supervise_run(),
        state.current_config(),
    ] {
        assert!(folders.contains(&folder), "{}", folder.display());
    }
    assert!(folders_without(&state.supervise(), &least()));
}

fn folders_without(folder: &Path, plan: &Plan) -> bool {
    folders(plan).iter().all(|one| !one.starts_with(folder))
}
