//! Real clients from inside a real bottle: what they find of the proxy and of the bottle's CA through the environment that the launcher sets,
//! and what the upstream saw of them. All in one bottle, whose image is the slow part.

use crate::TOKEN;
use anyhow::{Context as _, ensure};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use system_tests::client_image;
use system_tests::docker::output;
use system_tests::home::{Bottle, Home};
use system_tests::internet::Internet;
use system_tests::prefix::Prefix;
use system_tests::upstream::{MESSAGE, PACKAGE, TELL_AUTHORIZATION};

const GRPC: &str = include_str!("clients/grpc.py");
const WEBSOCKET: &str = include_str!("clients/websocket.py");

/// Not on a route: `closed`.
const HOSTS: [&str; 7] = ["api", "web", "socket", "git", "python", "node", "closed"];

type Client = fn(&Inside<'_>) -> anyhow::Result<()>;

const CLIENTS: &[(&str, Client)] = &[
    ("curl speaks HTTP/2 on both legs", curl_http2),
    ("gRPC: unary, server-streaming, and a status", grpc),
    ("WebSocket: text, binary, fragments", websocket),
    (
        "WebSocket: a credential in a frame of the agent's",
        websocket_agent_credential,
    ),
    (
        "WebSocket: a credential that the upstream repeats",
        websocket_echoed_credential,
    ),
    ("WebSocket: a host on no route", websocket_other_host),
    ("git: clone and fetch", git_fetch),
    ("git: a push is refused", git_push),
    ("git: a repository outside the route", git_other_path),
    ("pip install", pip),
    ("npm install", npm),
];

#[test]
fn real_clients_reach_what_is_allowed_and_nothing_else() {
    let prefix = Prefix::find().unwrap();
    let image = client_image::build().unwrap();
    let hosts = HOSTS.map(|host| format!("{host}.clients.example"));
    let internet = Internet::start_from(&prefix, &image, &hosts.each_ref().map(String::as_str)).unwrap();
    let home = home(&prefix, &internet, &image).unwrap();
    let bottle = home.start("client").unwrap();
    internet.reach_from(&bottle.guard("pipelock")).unwrap();
    let inside = Inside {
        bottle: &bottle,
        internet: &internet,
    };
    let mut failed = String::new();
    for (name, client) in CLIENTS {
        println!("=== {name}");
        if let Err(why) = client(&inside) {
            let _ = writeln!(failed, "{name}: {why:#}");
        }
    }
    assert!(failed.is_empty(), "\n{failed}");
}

/// The agent `client`: the image of the clients is its own, by a Dockerfile.
fn home(prefix: &Prefix, internet: &Internet, image: &str) -> anyhow::Result<Home> {
    let mut home = Home::new(prefix)?;
    home.secret("TEST_TOKEN", TOKEN);
    let authority = home.path().join("fixture-internet.pem");
    fs_err::write(&authority, internet.authority())?;
    let folder = home.path().join("image");
    fs_err::create_dir(&folder)?;
    fs_err::write(
        folder.join("Dockerfile"),
        format!("FROM {image}\nCMD [\"bash\"]\n"),
    )?;
    home.agent(
        "client",
        &format!(
            "bottle: box\nimage: {}\ncommand: [bash, -c, 'read -r _ || true']\n",
            folder.join("Dockerfile").display()
        ),
    )?;
    let cidr = internet.cidr();
    let bare: String = ["web", "socket", "python", "node"]
        .iter()
        .map(|host| format!("    - host: {host}.clients.example\n      private_cidr: {cidr}\n"))
        .collect();
    home.bottle(
        "box",
        &format!(
            "egress:
  routes:
{bare}    - host: git.clients.example
      path_allowlist: [/acme/]
      private_cidr: {cidr}
    - host: api.clients.example
      path_allowlist: [/fixture.Echo/, /socket]
      auth: {{ scheme: Bearer, token_ref: TEST_TOKEN }}
      private_cidr: {cidr}
pipelock:
  extra_ca: {}",
            authority.display()
        ),
    )?;
    Ok(home)
}

/// The bottle, and the other side.
struct Inside<'a> {
    bottle: &'a Bottle<'a>,
    internet: &'a Internet,
}

impl Inside<'_> {
    /// Runs a program as the agent would; what it said on both outputs, and its exit code.
    #[expect(
        clippy::print_stdout,
        reason = "what each client said is what this test is read for"
    )]
    fn run(&self, command: &[&str]) -> anyhow::Result<(String, i32)> {
        let shown: Vec<&str> = command
            .iter()
            .map(|word| word.lines().next().unwrap_or_default())
            .collect();
        let agent = self.bottle.agent();
        let ran = output(&[&["exec", &agent, "timeout", "60"], command].concat())?;
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr)
        );
        let code = ran.status.code().unwrap_or(-1);
        println!("$ {}\n{}[{code}]", shown.join(" "), said);
        Ok((said, code))
    }

    /// As [`Self::run`]; anything but exit code 0 is an error with what was said.
    fn succeed(&self, command: &[&str]) -> anyhow::Result<String> {
        let (said, code) = self.run(command)?;
        ensure!(
            code == 0,
            "{} ended with {code}: {said}",
            command.first().unwrap_or(&"nothing")
        );
        Ok(said)
    }

    fn websocket(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.succeed(&[&["python3", "-c", WEBSOCKET], arguments].concat())
    }

    /// SHA-256 of the WebSocket messages that have arrived at this path, in order.
    fn messages_at(&self, path: &str) -> anyhow::Result<Vec<String>> {
        let seen = self.internet.seen_at(path)?;
        let messages = seen.into_iter().filter(|one| one.method == MESSAGE);
        Ok(messages.map(|one| one.body_sha256).collect())
    }
}

fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn curl_http2(inside: &Inside<'_>) -> anyhow::Result<()> {
    let said = inside.succeed(&[
        "curl",
        "--silent",
        "--show-error",
        "--http2",
        "--data",
        "over h2",
        "--write-out",
        "%{http_code} over HTTP/%{http_version}",
        "https://web.clients.example/curl",
    ])?;
    ensure!(said.ends_with("200 over HTTP/2"), "the agent's leg: {said}");
    let seen = inside.internet.seen_at("/curl")?;
    let [seen] = seen.as_slice() else {
        anyhow::bail!("{} requests arrived", seen.len());
    };
    ensure!(seen.version == "HTTP/2.0", "the upstream's leg: {}", seen.version);
    ensure!(seen.body_sha256 == sha256("over h2"), "another body arrived");
    Ok(())
}

fn grpc(inside: &Inside<'_>) -> anyhow::Result<()> {
    let said = inside.succeed(&["python3", "-c", GRPC, "api.clients.example:443"])?;
    let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("E0000")).collect();
    let expected = [
        "once hello OK 1",
        "three ['hello 1', 'hello 2', 'hello 3'] OK 3",
        "fail FAILED_PRECONDITION as asked 0",
    ];
    ensure!(lines == expected, "{said}");
    for method in ["Once", "Three", "Fail"] {
        let seen = inside.internet.seen_at(&format!("/fixture.Echo/{method}"))?;
        let seen = seen.first().with_context(|| format!("{method} did not arrive"))?;
        ensure!(
            seen.version == "HTTP/2.0",
            "{method} arrived over {}",
            seen.version
        );
        ensure!(
            seen.headers.get("te").is_some_and(|te| te == "trailers"),
            "{method} lost its TE"
        );
        let injected = format!("Bearer {TOKEN}");
        ensure!(
            seen.headers.get("authorization") == Some(&injected),
            "{method} has no credential"
        );
    }
    Ok(())
}

fn websocket(inside: &Inside<'_>) -> anyhow::Result<()> {
    let url = "wss://socket.clients.example/echo";
    let binary = "0123456789".repeat(10_000);
    let said = inside.websocket(&[url, "text:grüße", "parts:in |three |parts", "bytes:100000"])?;
    let expected = format!(
        "open\nanswer grüße\nanswer in three parts\nanswer 100000 bytes {}\n",
        sha256(&binary)
    );
    ensure!(said == expected, "{said}");
    let arrived = inside.messages_at("/echo")?;
    ensure!(
        arrived == ["grüße", "in three parts", &binary].map(sha256),
        "other messages arrived"
    );
    Ok(())
}

fn websocket_agent_credential(inside: &Inside<'_>) -> anyhow::Result<()> {
    let (first, second) = TOKEN.split_at(TOKEN.len() / 2);
    for (path, carrying) in [
        ("/whole", format!("text:my {TOKEN} there")),
        ("/split", format!("parts:{first}|{second}")),
    ] {
        let url = format!("wss://socket.clients.example{path}");
        let said = inside.websocket(&[&url, "text:before", &carrying])?;
        ensure!(
            said.starts_with("open\nanswer before\nclosed 1008 "),
            "{path}: {said}"
        );
        ensure!(
            inside.messages_at(path)? == [sha256("before")],
            "{path}: it arrived"
        );
    }
    Ok(())
}

fn websocket_echoed_credential(inside: &Inside<'_>) -> anyhow::Result<()> {
    let tell = format!("text:{TELL_AUTHORIZATION}");
    let said = inside.websocket(&["wss://api.clients.example/socket", "text:before", &tell])?;
    ensure!(said.starts_with("open\nanswer before\nclosed 1008 "), "{said}");
    ensure!(!said.contains(TOKEN), "the agent was told the credential");
    let seen = inside.internet.seen_at("/socket")?;
    let upgrade = seen.first().context("the upgrade did not arrive")?;
    let injected = format!("Bearer {TOKEN}");
    ensure!(
        upgrade.headers.get("authorization") == Some(&injected),
        "the upgrade has no credential"
    );
    ensure!(
        inside.messages_at("/socket")? == ["before", TELL_AUTHORIZATION].map(sha256),
        "the upstream was not asked"
    );
    Ok(())
}

fn websocket_other_host(inside: &Inside<'_>) -> anyhow::Result<()> {
    let said = inside.websocket(&["wss://closed.clients.example/closed", "text:hello"])?;
    ensure!(said.starts_with("failed ") && said.contains("403"), "{said}");
    ensure!(inside.internet.seen_at("/closed")?.is_empty(), "it arrived");
    Ok(())
}

const REPOSITORY: &str = "https://git.clients.example/acme/library.git";

fn git_fetch(inside: &Inside<'_>) -> anyhow::Result<()> {
    inside.succeed(&["git", "clone", "--single-branch", REPOSITORY, "/tmp/library"])?;
    let readme = inside.succeed(&["cat", "/tmp/library/README"])?;
    ensure!(readme == "A fixture repository.\n", "{readme}");
    inside.succeed(&["git", "-C", "/tmp/library", "fetch", "origin", "later"])?;
    let size = inside.succeed(&[
        "git",
        "-C",
        "/tmp/library",
        "cat-file",
        "-s",
        "FETCH_HEAD:large.bin",
    ])?;
    ensure!(size.trim() == "300000", "{size}");
    inside.succeed(&["git", "-C", "/tmp/library", "fsck", "--strict"])?;
    let seen = inside.internet.seen_at("/acme/library.git/git-upload-pack")?;
    ensure!(!seen.is_empty(), "no request for a pack arrived");
    let second = |one: &system_tests::upstream::Seen| {
        one.headers
            .get("git-protocol")
            .is_some_and(|version| version == "version=2")
    };
    ensure!(seen.iter().all(second), "git's protocol is not version 2");
    Ok(())
}

fn git_push(inside: &Inside<'_>) -> anyhow::Result<()> {
    let (said, code) = inside.run(&[
        "git",
        "-C",
        "/tmp/library",
        "push",
        "origin",
        "HEAD:refs/heads/mine",
    ])?;
    ensure!(code != 0, "the push went through");
    ensure!(
        said.contains("git pushes and LFS uploads do not go over HTTP"),
        "what was refused is not told: {said}"
    );
    ensure!(
        said.contains("git-gate"),
        "what to do instead is not told: {said}"
    );
    let arrived = inside.internet.seen()?;
    ensure!(
        !arrived.iter().any(|one| one.target.contains("receive-pack")),
        "it arrived"
    );
    Ok(())
}

fn git_other_path(inside: &Inside<'_>) -> anyhow::Result<()> {
    let (said, code) = inside.run(&["git", "ls-remote", "https://git.clients.example/other/app.git"])?;
    ensure!(code != 0, "it was let through");
    ensure!(
        said.contains("remote: ") && said.contains("path_not_allowed"),
        "why is not told: {said}"
    );
    let arrived = inside.internet.seen()?;
    ensure!(
        !arrived.iter().any(|one| one.target.contains("other")),
        "it arrived"
    );
    Ok(())
}

fn pip(inside: &Inside<'_>) -> anyhow::Result<()> {
    let index = "https://python.clients.example/simple/";
    inside.succeed(&[
        "python3",
        "-m",
        "pip",
        "install",
        "--no-input",
        "--index-url",
        index,
        "--target",
        "/tmp/python",
        PACKAGE,
    ])?;
    let program = "import sys; sys.path.insert(0, '/tmp/python'); import bottle_fixture; print(bottle_fixture.greeting)";
    let said = inside.succeed(&["python3", "-c", program])?;
    ensure!(said == "hello from the wheel\n", "{said}");
    Ok(())
}

fn npm(inside: &Inside<'_>) -> anyhow::Result<()> {
    let registry = "https://node.clients.example/npm/";
    inside.succeed(&[
        "npm",
        "install",
        "--prefix",
        "/tmp/node",
        "--registry",
        registry,
        PACKAGE,
    ])?;
    let said = inside.succeed(&[
        "node",
        "--print",
        "require('/tmp/node/node_modules/bottle-fixture')",
    ])?;
    ensure!(said == "hello from the tarball\n", "{said}");
    Ok(())
}
