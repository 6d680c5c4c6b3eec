//! The whole system on a real Docker engine: one binary, one module per promise (the numbers are those of the design's
//! invariants, which the README lists).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use anyhow::Context as _;
use std::process::Stdio;
use system_tests::home::Home;
use system_tests::internet::Internet;
use system_tests::prefix::Prefix;

mod bad_input;
mod clients;
mod compose_v1;
mod containers;
mod crash;
mod damaged;
mod demo;
mod every_file;
mod fail_closed;
mod git_gate;
mod isolation;
mod neighbours;
mod operator;
mod secrets;
mod sessions;

/// The value that egress injects in these tests: nothing but egress may ever hold it.
const TOKEN: &str = "system-test-token-5b1c0e5d9a7f4e0c";

/// A home with the agent `tester` in the bottle `box`: one route with auth, one bare, one that the internet has but no
/// route names.
fn home(internet: &Internet) -> anyhow::Result<Home> {
    let prefix = Prefix::find()?;
    let mut home = Home::new(&prefix)?;
    home.secret("TEST_TOKEN", TOKEN);
    let authority = home.path().join("fixture-internet.pem");
    fs_err::write(&authority, internet.authority())?;
    home.agent(
        "tester",
        "bottle: box\nimage: small\ncommand: [bash, -c, 'read -r _ || true']\n",
    )?;
    let cidr = internet.cidr();
    home.bottle(
        "box",
        &format!(
            "egress:
  routes:
    - host: api.test.example
      path_allowlist: [/repos/acme/]
      methods: [GET, POST]
      auth: {{ scheme: Bearer, token_ref: TEST_TOKEN }}
      private_cidr: {cidr}
    - host: open.test.example
      private_cidr: {cidr}
pipelock:
  extra_ca: {}",
            authority.display()
        ),
    )?;
    Ok(home)
}

/// `bottle start` of the agent `tester`, in the foreground: its session ends with its standard input.
fn starting(home: &Home) -> std::process::Child {
    home.command(&["start", "tester", "--yes"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn internet() -> anyhow::Result<Internet> {
    Internet::start(
        &Prefix::find()?,
        &["api.test.example", "open.test.example", "closed.test.example"],
    )
}

/// What the agent's curl says: status and body of one request.
fn curl(bottle: &system_tests::home::Bottle<'_>, arguments: &str) -> anyhow::Result<(String, String)> {
    let line = format!("curl --silent --max-time 20 --write-out '\\n%{{http_code}}' {arguments}");
    let (said, _) = bottle.sh(&line)?;
    let (body, status) = said.rsplit_once('\n').context("curl said nothing")?;
    Ok((status.to_owned(), body.to_owned()))
}
