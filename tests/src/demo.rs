//! The demo: a real bottle with a scripted agent in it, against the fixture internet. Each row says what was tried, what
//! should happen and what happened; the oracle is what the upstream and the host's listeners saw.

use crate::docker::{docker, everything_named};
use crate::home::Home;
use crate::internet::Internet;
use crate::listener::Listeners;
use crate::prefix::Prefix;
use crate::rows::Rows;
use rand::Rng as _;
use session::{Answer, Session};
use std::collections::BTreeMap;

mod asked;
pub mod git;
mod scanned;
mod session;

const AGENT: &str = include_str!("../demo/agent.sh");

/// Runs the whole demo; `Ok(false)` when a row differs from what was expected.
pub fn run(say: &mut dyn FnMut(&str)) -> anyhow::Result<bool> {
    let prefix = Prefix::find()?;
    say("bringing up the fixture internet …");
    let internet = Internet::start(
        &prefix,
        &["api.demo.example", "docs.demo.example", "evil.example"],
    )?;
    let listeners = Listeners::open()?;
    let token = format!("demo-token-{:032x}", rand::rng().random::<u128>());
    let mut home = Home::new(&prefix)?;
    home.secret("DEMO_TOKEN", &token);
    let secrets = scanned::Secrets::draw();
    home.secret("DEMO_OWN_SECRET", &secrets.own);
    write_manifests(&home, &internet, &listeners, &secrets)?;

    say("starting a bottle: bottle start demo --cwd workspace --yes …");
    let mut session = Session::start(&home)?;
    let slug = session.slug(&home)?;
    internet.reach_from(&format!("claude-bottle-pipelock-{slug}"))?;
    session.go()?;
    let answers = session.answers()?;

    let mut rows = Rows::default();
    held_nothing(&mut rows, &answers, &token);
    allowed(&mut rows, &answers, &internet, &token)?;
    refused(&mut rows, &answers, &internet)?;
    scanned::rows(&mut rows, &answers, &internet)?;
    kept_in(&mut rows, &answers, &listeners);
    inspected(&mut rows, &slug, &token)?;
    stopped(&mut rows, &home, session, &slug)?;
    say("a second bottle, whose agent asks …");
    asked::rows(&mut rows)?;
    say("a third bottle, with a git gate …");
    git::rows(&mut rows)?;

    say("");
    say(rows.render().trim_end());
    let (held, failed) = rows.count();
    say("");
    say(&format!(
        "from `bottle start` to the first byte of the agent's command: {:.2} s",
        first_byte(&answers)
    ));
    say(&format!("{held} rows as expected, {failed} not"));
    Ok(failed == 0)
}

fn first_byte(answers: &BTreeMap<String, Answer>) -> f64 {
    answers
        .get("first-byte")
        .and_then(|answer| answer.status.parse().ok())
        .unwrap_or(f64::NAN)
}

/// Addresses at which the host can be reached from an ordinary container, and a public one.
fn host_addresses() -> anyhow::Result<String> {
    let gateway = docker([
        "network",
        "inspect",
        "bridge",
        "--format",
        "{{(index .IPAM.Config 0).Gateway}}",
    ])?;
    let mut addresses = vec![gateway];
    for interface in nix::ifaddrs::getifaddrs()? {
        if let Some(address) = interface
            .address
            .as_ref()
            .and_then(|address| address.as_sockaddr_in())
        {
            let address = address.ip();
            if !address.is_loopback() && addresses.len() < 4 {
                addresses.push(address.to_string());
            }
        }
    }
    addresses.dedup();
    Ok(addresses.join(" "))
}

fn write_manifests(
    home: &Home,
    internet: &Internet,
    listeners: &Listeners,
    secrets: &scanned::Secrets,
) -> anyhow::Result<()> {
    let authority = home.path().join("fixture-internet.pem");
    fs_err::write(&authority, internet.authority())?;
    let workspace = home.path().join("workspace");
    fs_err::create_dir(&workspace)?;
    fs_err::write(workspace.join("agent.sh"), AGENT)?;
    fs_err::write(workspace.join("upload.bin"), vec![7_u8; 300_000])?;
    fs_err::write(workspace.join("conversation.json"), scanned::conversation())?;
    let leak = &secrets.of_a_format;
    home.agent(
        "demo",
        "bottle: demo\nimage: small\ncommand: [bash, /workspace/agent.sh]\n",
    )?;
    let (cidr, addresses) = (internet.cidr(), host_addresses()?);
    let (tcp, udp) = (listeners.tcp_port(), listeners.udp_port());
    home.bottle(
        "demo",
        &format!(
            "env:
  DEMO_SEARCH: demo-token-
  DEMO_LEAK: {leak}
  DEMO_OWN_SECRET: ${{DEMO_OWN_SECRET}}
  DEMO_HOST_ADDRESSES: {addresses}
  DEMO_TCP_PORT: \"{tcp}\"
  DEMO_UDP_PORT: \"{udp}\"
egress:
  routes:
    - host: api.demo.example
      path_allowlist: [/repos/acme/]
      methods: [GET, POST]
      auth: {{ scheme: Bearer, token_ref: DEMO_TOKEN }}
      private_cidr: {cidr}
    - host: docs.demo.example
      private_cidr: {cidr}
pipelock:
  extra_ca: {}",
            authority.display()
        ),
    )
}

fn answer<'a>(answers: &'a BTreeMap<String, Answer>, name: &str) -> (&'a str, &'a str) {
    answers
        .get(name)
        .map_or(("nothing", "the agent did not get so far"), |one| {
            (&one.status, &one.said)
        })
}

fn held_nothing(rows: &mut Rows, answers: &BTreeMap<String, Answer>, token: &str) {
    let (_, environment) = answer(answers, "environment");
    // The last of the sorted names: the whole environment was told.
    let whole = environment.contains("HTTPS_PROXY=") && environment.contains("no_proxy=");
    let clean = whole && !environment.contains(token);
    let names: Vec<&str> = environment
        .split(' ')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, _)| name)
        .filter(|name| !name.starts_with('-'))
        .collect();
    rows.add(
        "the agent's environment",
        "no token in it",
        format!("{} names, no token", names.len()),
        clean,
    );
    let (_, files) = answer(answers, "files");
    // The searched text itself stands in the agent's environment, and so in no file.
    rows.add(
        "files the agent can read",
        "no token in them",
        if files.is_empty() { "none" } else { files },
        files.is_empty(),
    );
    let (_, interfaces) = answer(answers, "interfaces");
    rows.add("the agent's interfaces", "lo", interfaces, interfaces == "lo");
}

fn allowed(
    rows: &mut Rows,
    answers: &BTreeMap<String, Answer>,
    internet: &Internet,
    token: &str,
) -> anyhow::Result<()> {
    let (status, said) = answer(answers, "allowed");
    rows.add(
        "GET on an allowed route",
        "200 from the upstream",
        format!("{status} {said}"),
        status == "200" && said.contains("upstream"),
    );
    let injected = format!("Bearer {token}");
    let carried: Vec<bool> = internet
        .seen_at("/repos/acme/app")?
        .iter()
        .map(|seen| seen.headers.get("authorization") == Some(&injected))
        .collect();
    rows.add(
        "… as the upstream saw it",
        "with the injected token",
        format!("{} with the token", carried.iter().filter(|with| **with).count()),
        carried == [true],
    );
    let (status, said) = answer(answers, "upload");
    let whole = said.contains("\"body_bytes\":300000");
    rows.add(
        "POST of 300 kB",
        "200, all bytes arrived",
        format!("{status} {said}"),
        status == "200" && whole,
    );
    for (name, tried) in [
        ("bare-route", "HTTPS on a bare route"),
        ("plain-http", "plain HTTP on a bare route"),
    ] {
        let (status, said) = answer(answers, name);
        rows.add(
            tried,
            "200 from the upstream",
            format!("{status} {said}"),
            status == "200" && said.contains("upstream"),
        );
    }
    let (status, said) = answer(answers, "introspection");
    let live = status == "200" && said.contains("docs.demo.example") && !said.contains(token);
    rows.add(
        "http://_egress.local/allowlist",
        "the live table, no value",
        format!("{status} {said}"),
        live,
    );
    Ok(())
}

fn refused(rows: &mut Rows, answers: &BTreeMap<String, Answer>, internet: &Internet) -> anyhow::Result<()> {
    for (name, tried, status, reason) in [
        ("host", "a host on no route", "403", "host_not_allowed"),
        ("port", "another port", "403", "port_not_allowed"),
        ("ip-literal", "an IP address", "403", "ip_literal"),
        ("path", "a path outside the route", "403", "path_not_allowed"),
        (
            "path-dots",
            "an encoded way out of the path",
            "403",
            "path_not_allowed",
        ),
        (
            "method",
            "a method the route does not list",
            "403",
            "method_not_allowed",
        ),
        (
            "plain-http-with-auth",
            "plain HTTP on a route with auth",
            "403",
            "plain_http_with_auth",
        ),
        (
            "own-credential",
            "the agent's own credential",
            "403",
            "agent_credentials",
        ),
        ("git-push", "a push over HTTP", "403", "use_git_gate"),
        (
            "wrong-host",
            "Host that differs from CONNECT",
            "421",
            "authority_mismatch",
        ),
    ] {
        let (was, said) = answer(answers, name);
        let words =
            said.contains("\"denied_by\":\"egress\"") && said.contains(&format!("\"reason\":\"{reason}\""));
        rows.add(
            tried,
            &format!("{status} {reason}"),
            format!("{was} {said}"),
            was == status && words,
        );
    }
    let expected = ["/anything", "/anything", "/repos/acme/app", "/repos/acme/upload"];
    let mut arrived: Vec<String> = internet
        .seen()?
        .into_iter()
        .map(|seen| seen.target)
        .filter(|target| !scanned::is_told_apart(target))
        .collect();
    arrived.sort();
    let held = arrived == expected;
    rows.add(
        "all of these, as the upstream saw them",
        "nothing but the allowed calls",
        format!("{} requests", arrived.len()),
        held,
    );
    Ok(())
}

fn kept_in(rows: &mut Rows, answers: &BTreeMap<String, Answer>, listeners: &Listeners) {
    let tries: Vec<&String> = answers
        .keys()
        .filter(|name| {
            ["tcp ", "udp ", "no-proxy "]
                .iter()
                .any(|way| name.starts_with(way))
        })
        .collect();
    let seen = listeners.seen();
    let happened = format!("{} tries, {} arrivals", tries.len(), seen.len());
    rows.add(
        "direct TCP, UDP, unset proxy to the host",
        "nothing arrives",
        happened,
        tries.len() >= 3 && seen.is_empty(),
    );
    for (name, tried) in [
        ("dns", "a name, resolved directly"),
        ("dns-server", "a packet to a public DNS server"),
        ("unset-proxy", "HTTPS without the proxy variables"),
    ] {
        let (code, said) = answer(answers, name);
        rows.add(
            tried,
            "fails at once",
            format!("exit {code} {said}"),
            code.parse::<i32>().is_ok_and(|code| code > 0 && code != 124),
        );
    }
}

/// What the engine itself says of the agent's container.
fn inspected(rows: &mut Rows, slug: &str, token: &str) -> anyhow::Result<()> {
    let agent = format!("claude-bottle-{slug}");
    let format =
        "{{.HostConfig.NetworkMode}} {{.Config.User}} {{.HostConfig.CapDrop}} {{.HostConfig.CapAdd}}";
    let said = docker(["inspect", "--format", format, &agent])?;
    let fields: Vec<&str> = said.split(' ').collect();
    let holds = fields.first() == Some(&"none")
        && said.contains("[ALL]")
        && !said.contains(" 0:")
        && !said.contains(" root");
    rows.add(
        "docker inspect of the agent",
        "network none, not root, no capability",
        said.as_str(),
        holds,
    );
    let whole = docker(["inspect", &agent])?;
    rows.add(
        "… and a token in it",
        "none",
        if whole.contains(token) { "found" } else { "none" },
        !whole.contains(token),
    );
    Ok(())
}

fn stopped(rows: &mut Rows, home: &Home, mut session: Session, slug: &str) -> anyhow::Result<()> {
    home.succeed(&["stop", slug])?;
    let ended = session.child.wait()?;
    rows.add(
        "bottle stop",
        "the foreground start ends too",
        format!("{ended}"),
        ended.code().is_some(),
    );
    let left = everything_named(slug)?;
    rows.add(
        "containers, networks, volumes after it",
        "none",
        if left.is_empty() {
            "none".to_owned()
        } else {
            left.join(", ")
        },
        left.is_empty(),
    );
    let state = home.state();
    rows.add(
        "state directories after it",
        "none",
        if state.is_empty() {
            "none".to_owned()
        } else {
            state.join(", ")
        },
        state.is_empty(),
    );
    Ok(())
}
