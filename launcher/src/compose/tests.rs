//! With fake `docker` and `docker-compose` programs that write down how they were called.

use super::*;
use crate::engine::Endpoint;
use crate::environment::Environment;
use crate::home::Home;
use crate::plan::{SecretValue, Wanted};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;

/// A machine with these programs and one bottle's state directory.
struct Machine {
    folder: tempfile::TempDir,
    state: State,
    lock: std::fs::File,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs_err::create_dir(folder.path().join("bin")).unwrap();
        let state = Home::at(folder.path().join("home")).state(&"dev-ab1cd".parse().unwrap());
        fs_err::create_dir_all(state.root()).unwrap();
        let lock = fs_err::File::create(state.lock()).unwrap().into_file();
        Self { folder, state, lock }
    }

    fn program(self, name: &str, script: &str) -> Self {
        let path = self.folder.path().join("bin").join(name);
        fs_err::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// A plugin that works, and then does this.
    fn plugin(self, script: &str) -> Self {
        self.program(
            "docker",
            &format!("if [ \"$2\" = version ]; then echo v2.26.1; exit; fi\n{script}"),
        )
    }

    async fn find(&self) -> Result<Compose> {
        let path = format!("{}:/usr/bin:/bin", self.folder.path().join("bin").display());
        let environment = Environment::of([
            ("PATH", path.as_str()),
            ("HOME", "/home/op"),
            ("COMPOSE_FILE", "/somebody/elses.yml"),
            ("DOCKER_HOST", "unix:///run/engine.sock"),
            ("HTTPS_PROXY", "http://op:password@proxy"),
        ]);
        Compose::find(&environment, &Endpoint::of(&environment)?).await
    }

    fn project(&self) -> Project<'_> {
        Project {
            name: "claude-bottle-dev-ab1cd".to_owned(),
            state: &self.state,
            lock: self.lock.as_fd(),
        }
    }

    fn read(&self, file: &str) -> String {
        fs_err::read_to_string(self.state.root().join(file)).unwrap()
    }
}

fn secret(name: &str, value: &str) -> (Vec<SecretSource>, Secrets) {
    let host: contract::EnvName = "TOKEN".parse().unwrap();
    let source = SecretSource {
        variable: name.to_owned(),
        value: SecretValue::Host(host),
        wanted: Wanted {
            file: "bottles/dev.md".into(),
            line: 3,
            field: "egress.routes[0].auth.token_ref".to_owned(),
        },
    };
    let environment = Environment::of([("TOKEN", value)]);
    let secrets = Secrets::resolve(std::slice::from_ref(&source), &environment, |_| {
        Err(Error::failed("nobody to ask"))
    });
    (vec![source], secrets.unwrap())
}

#[tokio::test]
async fn the_plugin_is_preferred_and_v1_is_taken_where_there_is_none() {
    let both = Machine::new().plugin("").program("docker-compose", "echo 1.29.2");
    let found = both.find().await.unwrap();
    assert_eq!((found.flavour(), found.version()), (Flavour::Plugin, "2.26.1"));

    let only_v1 = Machine::new()
        .program(
            "docker",
            "echo \"docker: 'compose' is not a docker command.\" >&2; exit 1",
        )
        .program("docker-compose", "echo 1.29.2");
    let found = only_v1.find().await.unwrap();
    assert_eq!(
        (found.flavour(), found.version()),
        (Flavour::Standalone, "1.29.2")
    );
}

#[tokio::test]
async fn without_a_compose_the_error_says_what_was_tried() {
    let machine = Machine::new().program(
        "docker",
        "echo 'docker: unknown command: docker compose' >&2; exit 1",
    );
    // The machine that runs this test may have a compose of its own.
    let path = machine.folder.path().join("bin");
    let environment = Environment::of([("PATH", path.as_os_str())]);
    let error = Compose::find(&environment, &Endpoint::of(&environment).unwrap())
        .await
        .unwrap_err();
    assert_eq!(error.kind().exit_code(), 6);
    assert!(error.to_string().contains("unknown command"), "{error}");
    assert!(
        error.to_string().contains("there is no `docker-compose`"),
        "{error}"
    );
}

#[tokio::test]
async fn a_compose_that_is_too_old_is_refused() {
    let machine = Machine::new()
        .program("docker-compose", "echo 1.21.0")
        .program("docker", "exit 1");
    let error = machine.find().await.unwrap_err();
    assert_eq!(error.kind().exit_code(), 6);
    assert!(error.to_string().contains("1.21.0"), "{error}");
}

#[tokio::test]
async fn up_is_called_in_the_clean_way() {
    let machine = Machine::new().plugin("for a; do echo \"$a\"; done >called; env | sort >environment");
    let compose = machine.find().await.unwrap();
    let (wanted, secrets) = secret("EGRESS_TOKEN_0", "hush-hush");
    compose.up(&machine.project(), &wanted, &secrets).await.unwrap();
    let root = machine.state.root().display().to_string();
    let client = machine.state.compose_client().display().to_string();
    assert_eq!(
        machine.read("called").lines().collect::<Vec<_>>(),
        [
            "compose",
            "--ansi",
            "never",
            "--env-file",
            &format!("{client}/empty.env"),
            "-p",
            "claude-bottle-dev-ab1cd",
            "--project-directory",
            &root,
            "-f",
            &format!("{root}/docker-compose.yml"),
            "up",
            "--detach",
            "--no-build",
            "--no-color"
        ]
    );
    let environment = machine.read("environment");
    let names: Vec<&str> = environment
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        .filter(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name))
        .collect();
    assert_eq!(
        names,
        [
            "DOCKER_CONFIG",
            "DOCKER_HOST",
            "EGRESS_TOKEN_0",
            "HOME",
            "LC_ALL",
            "PATH"
        ]
    );
    assert!(environment.contains("DOCKER_HOST=unix:///run/engine.sock"));
    assert!(environment.contains(&format!("DOCKER_CONFIG={client}")));
}

#[tokio::test]
async fn v1_is_called_without_the_word_compose_and_down_without_secrets() {
    let machine = Machine::new().program("docker", "exit 1").program(
        "docker-compose",
        "if [ \"$1\" = version ]; then echo 1.29.2; exit; fi\nfor a; do echo \"$a\"; done >called; env >environment",
    );
    let compose = machine.find().await.unwrap();
    compose.down(&machine.project()).await.unwrap();
    let called = machine.read("called");
    assert!(called.starts_with("--ansi\nnever\n--env-file\n"), "{called}");
    assert!(
        called.ends_with("down\n--volumes\n--remove-orphans\n--timeout\n2\n"),
        "{called}"
    );
    assert!(!machine.read("environment").contains("EGRESS_TOKEN"));
}

#[tokio::test]
async fn a_secret_without_a_value_is_our_error_before_compose_runs() {
    let machine = Machine::new().plugin("touch called");
    let compose = machine.find().await.unwrap();
    let (wanted, _) = secret("EGRESS_TOKEN_0", "hush-hush");
    let error = compose
        .up(&machine.project(), &wanted, &Secrets::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("bottles/dev.md:3"), "{error}");
    assert!(!machine.state.root().join("called").exists());
}

#[tokio::test]
async fn a_failure_is_told_in_composes_words_and_no_secret_is_in_them() {
    let machine = Machine::new()
        .plugin("echo Creating network; echo \"boom: $EGRESS_TOKEN_0 is invalid\" >&2; exit 14");
    let compose = machine.find().await.unwrap();
    let (wanted, secrets) = secret("EGRESS_TOKEN_0", "hush-hush");
    let error = compose
        .up(&machine.project(), &wanted, &secrets)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("boom: ‹EGRESS_TOKEN_0› is invalid"), "{error}");
    let log = machine.read("bringup.log");
    assert!(
        log.contains("Creating network") && !log.contains("hush-hush"),
        "{log}"
    );
}

#[tokio::test]
async fn logs_go_to_a_file_of_the_operators_alone() {
    let machine = Machine::new().plugin(r"printf '\033[2Kegress | 2026-11-21T09:30:00Z hello\n'");
    let compose = machine.find().await.unwrap();
    compose.logs(&machine.project()).await.unwrap();
    assert_eq!(
        machine.read("compose.log"),
        "egress | 2026-11-21T09:30:00Z hello\n"
    );
    let mode = fs_err::metadata(machine.state.compose_log())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn compose_and_what_it_started_end_when_nobody_waits_for_them_any_more() {
    // The child of the fake holds the pipe `alive` open; its end is the end of the pipe.
    let machine = Machine::new().plugin("( exec 9>alive; echo >&9; exec sleep 600 ) & wait");
    let alive = machine.state.root().join("alive");
    nix::unistd::mkfifo(&alive, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let compose = machine.find().await.unwrap();
    let mut reader = tokio::net::unix::pipe::OpenOptions::new()
        .open_receiver(&alive)
        .unwrap();
    {
        let project = machine.project();
        let (wanted, secrets) = secret("EGRESS_TOKEN_0", "hush-hush");
        let up = compose.up(&project, &wanted, &secrets);
        let started = async {
            let mut byte = [0];
            while tokio::io::AsyncReadExt::read(&mut reader, &mut byte)
                .await
                .unwrap()
                == 0
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            ended = up => panic!("compose ended by itself: {ended:?}"),
            () = started => {}
        }
    }
    let mut rest = Vec::new();
    let end = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut rest);
    tokio::time::timeout(Duration::from_secs(30), end)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn compose_holds_the_lock_of_the_state_directory_too() {
    let machine = Machine::new().plugin("readlink /proc/$$/fd/* >descriptors; true");
    let compose = machine.find().await.unwrap();
    compose.down(&machine.project()).await.unwrap();
    let lock = machine.state.lock();
    let held = machine.read("descriptors");
    assert!(
        held.lines().any(|path| std::path::Path::new(path) == lock),
        "{held}"
    );
}

#[test]
fn a_value_inside_of_another_leaves_nothing_of_it() {
    let host = |name: &str| SecretSource {
        variable: name.to_owned(),
        value: SecretValue::Host(name.parse().unwrap()),
        wanted: Wanted {
            file: "b.md".into(),
            line: 1,
            field: "env".to_owned(),
        },
    };
    let environment = Environment::of([("A", "secret"), ("B", "secret-and-more"), ("C", "no")]);
    let secrets = Secrets::resolve(&[host("A"), host("B"), host("C")], &environment, |_| {
        Err(Error::failed("nobody to ask"))
    })
    .unwrap();
    let redacted = Redactor::of(&secrets).redacted(b"x secret-and-more y secret no");
    assert_eq!(redacted, "x ‹B› y ‹A› no");
}
