use super::*;
use crate::environment::Environment;
use crate::home::Home;
use crate::plan::{Fresh, Request};
use contract::Timestamp;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

/// A home, an installation and a project on a disk of their own.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new(agent: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        };
        write(
            "home/agents/dev.md",
            &format!("---\nbottle: box\n{agent}\n---\nWrite code.\n"),
        );
        write("home/bottles/box.md", "---\n---\n");
        write("home/skills/review/SKILL.md", "how to review");
        write("project/src/main.rs", "fn main() {}");
        write("project/.git/config", "[core]");
        let libexec = format!("prefix/libexec/bottle/{}", std::env::consts::ARCH);
        write(&format!("{libexec}/shim"), "shim");
        write(&format!("{libexec}/probe"), "probe");
        Self { folder }
    }

    fn path(&self, path: &str) -> PathBuf {
        fs_err::canonicalize(self.folder.path()).unwrap().join(path)
    }

    fn plan(&self, cwd: Option<&str>, mount: bool) -> Plan {
        let home = Home::at(self.path("home"));
        let request = Request {
            agent: "dev".parse().unwrap(),
            cwd: cwd.map(|cwd| self.path(cwd)),
            mount,
        };
        let fresh = Fresh {
            tail: [0; 5],
            nonce: "n-0000".parse().unwrap(),
            fingerprint_key: contract::gate::FingerprintKey::new([7; 32]),
            started_at: Timestamp::from_millis(0),
        };
        let own = Identity {
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
            chown: false,
        };
        Plan::make(&request, &home, &Environment::default(), own, fresh).unwrap()
    }

    fn fill(&self, plan: &Plan) -> Result<()> {
        let images = References {
            agent: "agent:1".to_owned(),
            guards: ["egress", "dlp"]
                .map(|program| (program.to_owned(), format!("{program}:1")))
                .into(),
        };
        let libexec = Libexec::beside(&self.path("prefix/bin/bottle"))?;
        fs_err::create_dir_all(plan.state().root())?;
        fill(
            plan,
            &crate::render::seat::SeatFiles::of(plan, &crate::plan::Secrets::default()),
            &images,
            &libexec,
            &Printer::captured(false).0,
        )
    }
}

fn walk(folder: &Path, seen: &mut Vec<PathBuf>) {
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        seen.push(path.clone());
        if path.is_dir() {
            walk(&path, seen);
        }
    }
}

fn tree(plan: &Plan) -> String {
    let (state, mut seen) = (plan.state(), Vec::new());
    walk(state.root(), &mut seen);
    seen.sort();
    let line = |path: &PathBuf| {
        let mode = fs_err::metadata(path).unwrap().permissions().mode() & 0o7777;
        format!(
            "{mode:04o} {}\n",
            path.strip_prefix(state.root()).unwrap().display()
        )
    };
    seen.iter().map(line).collect()
}

#[test]
fn a_state_directory_holds_what_the_containers_are_given() {
    let machine = Machine::new("skills: [review]");
    let plan = machine.plan(Some("project"), false);
    machine.fill(&plan).unwrap();
    insta::assert_snapshot!(tree(&plan), @"
    0700 agent
    0700 agent/bin
    0755 agent/bin/probe
    0755 agent/bin/shim
    0700 agent/ca
    0644 agent/ca/ca.pem
    0644 agent/ca/truststore.p12
    0700 agent/etc
    0644 agent/etc/gitconfig
    0644 agent/etc/group
    0644 agent/etc/passwd
    0700 agent/home
    0700 agent/home/.claude
    0700 agent/home/.claude/skills
    0600 agent/home/.claude.json
    0644 agent/prompt.md
    0700 agent/skills
    0700 agent/skills/review
    0644 agent/skills/review/SKILL.md
    0700 agent/workspace
    0755 agent/workspace/.git
    0644 agent/workspace/.git/config
    0755 agent/workspace/src
    0644 agent/workspace/src/main.rs
    0644 docker-compose.yml
    0700 egress
    0700 egress/config
    0600 egress/config/ca-key.pem
    0644 egress/config/ca.pem
    0644 egress/config/pipelock-ca.pem
    0644 egress/config/routes.yaml
    0700 egress/run
    0644 metadata.json
    0700 pipelock
    0700 pipelock/config
    0600 pipelock/config/ca-key.pem
    0644 pipelock/config/ca.pem
    0600 pipelock/config/dlp.yaml
    0644 pipelock/config/pipelock.yaml
    0700 pipelock/run
    0644 seccomp.json
    ");
}

#[test]
fn every_mounted_path_of_the_host_is_there() {
    let machine = Machine::new("skills: [review]");
    for (cwd, mount) in [(None, false), (Some("project"), false), (Some("project"), true)] {
        let plan = machine.plan(cwd, mount);
        machine.fill(&plan).unwrap();
        let file: serde_yaml::Value =
            serde_yaml::from_str(&fs_err::read_to_string(plan.state().compose_file()).unwrap()).unwrap();
        let mut binds = 0;
        for service in ["agent", "egress"] {
            for mount in file["services"][service]["volumes"].as_sequence().unwrap() {
                if mount["type"] == "bind" {
                    binds += 1;
                    assert!(Path::new(mount["source"].as_str().unwrap()).exists(), "{mount:?}");
                }
            }
        }
        assert!(binds >= 12, "{binds}");
        fs_err::remove_dir_all(plan.state().root()).unwrap();
    }
    assert!(
        machine.path("project/.git/hooks").is_dir(),
        "the agent could make it"
    );
}

#[test]
fn a_program_missing_from_the_installation_is_told() {
    let machine = Machine::new("image: small");
    fs_err::remove_file(machine.path(&format!("prefix/libexec/bottle/{}/probe", std::env::consts::ARCH)))
        .unwrap();
    let error = machine.fill(&machine.plan(None, false)).unwrap_err();
    assert_eq!(error.kind().exit_code(), 6);
}

#[test]
fn under_a_root_operator_the_containers_own_their_files_and_nothing_else() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let machine = Machine::new("image: small");
    std::os::unix::fs::symlink("/etc/hostname", machine.path("project/link")).unwrap();
    let mut plan = machine.plan(Some("project"), false);
    plan.identity = Identity::of_operator(0, 0);
    let before = fs_err::metadata("/etc/hostname").unwrap().uid();
    machine.fill(&plan).unwrap();
    let state = plan.state();
    let owner = |path: PathBuf| fs_err::symlink_metadata(path).unwrap().uid();
    assert_eq!(
        owner(state.egress_config().join("ca-key.pem")),
        Identity::UNPRIVILEGED
    );
    assert_eq!(owner(state.workspace().join("link")), Identity::UNPRIVILEGED);
    assert_eq!(owner(state.compose_file()), 0);
    assert_eq!(fs_err::metadata("/etc/hostname").unwrap().uid(), before);
    assert_eq!(owner(machine.path("project/src/main.rs")), 0);
}
