//! The real Claude Code in a real bottle, with a scripted model behind egress: a request of its own is refused, it calls `egress-block` with
//! the refusal's remedy, waits, is approved by a real `bottle approve`, and the same request passes. In print mode and in a terminal.
//!
//! Opt-in: Claude Code is proprietary and large. The agent image installs it from npm when it is built.

use crate::asking::{Asking, eventually, eventually_within};
use crate::home::Home;
use crate::internet::Internet;
use crate::prefix::Prefix;
use crate::rows::Rows;
use crate::upstream::SAW_IT;
use anyhow::Context as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const MODEL: &str = "api.anthropic.com";
const DOCS: &str = "docs.claude.example";
const KEY: &str = "scripted-model-key-7d1e5b90c3a8f264";

/// How long a step of the session may take: a program of 380 MB starts, perhaps on a loaded machine.
const SESSION: Duration = Duration::from_secs(120);
/// After so long without a proposal the prompt is typed again.
const AGAIN: Duration = Duration::from_secs(20);

/// Runs both; `false` when something did not come as it should.
pub fn run(extra_ca: Option<&Path>, say: &mut dyn FnMut(&str)) -> anyhow::Result<bool> {
    let prefix = Prefix::find()?;
    let internet = Internet::start(&prefix, &[MODEL, DOCS])?;
    let mut home = Home::new(&prefix)?;
    home.secret("ANTHROPIC_API_KEY", KEY);
    let authority = home.path().join("fixture-internet.pem");
    fs_err::write(&authority, internet.authority())?;
    home.agent("coder", "bottle: asking\n")?;
    let (cidr, authority) = (internet.cidr(), authority.display());
    home.bottle(
        "asking",
        &format!(
            "supervise: true\negress:\n  routes:\n    - host: {MODEL}\n      auth: {{ scheme: \"header:x-api-key\", token_ref: ANTHROPIC_API_KEY }}\n      \
             private_cidr: {cidr}\n    - host: {DOCS}\n      path_allowlist: [/known/]\n      private_cidr: {cidr}\n\
             pipelock:\n  extra_ca: {authority}"
        ),
    )?;
    say("building the agent image with Claude Code (380 MB from npm), if it is not there");
    let mut build = vec!["images", "build", "--all"];
    let certificates = extra_ca.map(|path| path.display().to_string());
    if let Some(certificates) = &certificates {
        build.extend(["--extra-ca", certificates.as_str()]);
    }
    home.succeed(&build)?;
    let bottle = home.start("coder")?;
    internet.reach_from(&bottle.guard("pipelock"))?;
    let asking = Asking {
        home: &home,
        bottle: &bottle,
    };
    let (version, _) = bottle.sh("claude --version")?;
    say(&format!("in the bottle: {}", version.trim()));
    let mut rows = Rows::default();
    printing(&mut rows, &asking)?;
    interactive(&mut rows, &asking)?;
    upstream(&mut rows, &internet)?;
    say(&rows.render());
    let (held, failed) = rows.count();
    say(&format!("test-claude: {held} held, {failed} failed"));
    Ok(failed == 0)
}

fn printing(rows: &mut Rows, asking: &Asking<'_>) -> anyhow::Result<()> {
    let prompt = format!("FETCH(https://{DOCS}/print/page)");
    let options = ["-p", &prompt, "--output-format", "stream-json", "--verbose"];
    let log = asking.home.path().join("print.log");
    let mut program = claude(asking, &["exec"], &options)
        .stdin(Stdio::null())
        .stdout(fs_err::File::create(&log)?.into_file())
        .stderr(Stdio::null())
        .spawn()?;
    let decided = decide(rows, asking, "print mode");
    if decided.is_err() {
        let _ = program.kill();
    }
    let said = || fs_err::read_to_string(&log).unwrap_or_default();
    decided.with_context(|| format!("Claude Code said: {}", tail(&said())))?;
    let ended = ended(&mut program)?;
    rows.add(
        "print mode: the same request again",
        "the page; the program ends well",
        tail(&said()),
        ended && said().contains(SAW_IT),
    );
    Ok(())
}

fn interactive(rows: &mut Rows, asking: &Asking<'_>) -> anyhow::Result<()> {
    let socket = asking.home.path().join("tmux");
    let tmux = |words: &[&str]| -> anyhow::Result<String> {
        let output = Command::new("tmux").arg("-S").arg(&socket).args(words).output();
        let output = output.context("tmux is needed for the interactive session")?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    // The terminal is tmux's, the session is one that an operator would attach.
    let bottle = asking.home.command(&[]);
    let mut words = vec![bottle.get_program().to_string_lossy().into_owned()];
    words.extend(["attach", asking.bottle.slug(), "--", "claude"].map(str::to_owned));
    words.extend(OPTIONS.map(str::to_owned));
    let mut start = Command::new("tmux");
    start.arg("-S").arg(&socket);
    start.args(["new-session", "-d", "-s", "claude", "-x", "160", "-y", "50"]);
    start
        .args(words)
        .env("BOTTLE_HOME", asking.home.path())
        .env("TERM", "xterm-256color")
        .status()
        .context("tmux is needed for the interactive session")?;
    let screen = || tmux(&["capture-pane", "-p", "-S", "-300", "-t", "claude"]);
    let session = (|| {
        eventually_within(SESSION, || Ok(screen()?.contains('\u{276f}').then_some(())))?;
        let prompt = format!("FETCH(https://{DOCS}/session/page)");
        let mut typed: Option<Instant> = None;
        eventually_within(SESSION, || {
            // A turn that begins before the server is connected has no tool to call: it says so, and is begun again.
            if typed.is_none_or(|at| at.elapsed() > AGAIN) {
                tmux(&["send-keys", "-t", "claude", "-l", &prompt])?;
                tmux(&["send-keys", "-t", "claude", "Enter"])?;
                typed = Some(Instant::now());
            }
            let listed = asking.home.succeed(&["proposals", "--json"])?;
            Ok(listed.contains("proposal_id").then_some(()))
        })?;
        decide(rows, asking, "interactive")?;
        eventually_within(SESSION, || {
            Ok(Some(screen()?).filter(|screen| screen.contains(SAW_IT)))
        })
    })();
    let shown = screen().unwrap_or_default();
    let _ = tmux(&["kill-server"]);
    rows.add(
        "interactive: the same request again",
        "the page",
        tail(&shown),
        session.is_ok(),
    );
    if let Err(error) = session {
        rows.add("interactive", "no error", format!("{error:#}\n{shown}"), false);
    }
    Ok(())
}

/// The operator's side: the proposal comes, names the refusal, and is approved.
fn decide(rows: &mut Rows, asking: &Asking<'_>, mode: &str) -> anyhow::Result<()> {
    let id = asking.pending(1)?.remove(0);
    let shown = asking.home.succeed(&["proposals", &id])?;
    rows.add(
        &format!("{mode}: egress-block by Claude Code"),
        "pending, by claude-code",
        shown.trim(),
        shown.contains("asked by  claude-code"),
    );
    let said = asking.home.succeed(&["approve", &id, "--yes"])?;
    rows.add(
        &format!("{mode}: bottle approve"),
        "live since …",
        said.trim(),
        said.contains("is live since"),
    );
    let story = eventually(|| {
        let story = asking.home.succeed(&["audit", "--of", &id])?;
        Ok(story.contains("allowed: GET").then_some(story))
    });
    let story = story.context("the story has no request that was let in")?;
    rows.add(
        &format!("{mode}: bottle audit --of it"),
        "denied, asked after it, allowed",
        format!("{} lines", story.lines().count()),
        story.contains("denied: GET") && story.contains("(after e-"),
    );
    Ok(())
}

/// What reached the other side.
fn upstream(rows: &mut Rows, internet: &Internet) -> anyhow::Result<()> {
    let pages = internet
        .seen()?
        .into_iter()
        .filter(|seen| seen.path().ends_with("/page"))
        .count();
    rows.add(
        "the upstream saw",
        "each page once",
        pages.to_string(),
        pages == 2,
    );
    let asked = internet.seen_at("/v1/messages")?;
    let with_key = |seen: &crate::upstream::Seen| seen.headers.get("x-api-key").is_some_and(|key| key == KEY);
    rows.add(
        "the model was asked",
        "with the key that only egress holds",
        format!("{} times", asked.len()),
        !asked.is_empty() && asked.iter().all(with_key),
    );
    Ok(())
}

const OPTIONS: [&str; 3] = [
    "--mcp-config=/etc/claude-bottle/mcp.json",
    "--strict-mcp-config",
    "--allowedTools=mcp__supervise,Bash",
];

fn claude(asking: &Asking<'_>, how: &[&str], options: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(how).args(["--workdir", "/workspace"]);
    command.arg(asking.bottle.agent()).arg("claude");
    command.args(options).args(OPTIONS);
    command
}

fn ended(program: &mut Child) -> anyhow::Result<bool> {
    let status = eventually(|| Ok(program.try_wait()?));
    if status.is_err() {
        let _ = program.kill();
    }
    Ok(status?.success())
}

fn tail(text: &str) -> String {
    let count = text.chars().count();
    text.chars().skip(count.saturating_sub(2000)).collect()
}
