//! The demo's rows about asking: what is refused is asked for with the refusal's own remedy, decided outside, live at once.

use crate::asking::Asking;
use crate::home::{Bottle, Home};
use crate::internet::Internet;
use crate::prefix::Prefix;
use crate::rows::Rows;
use anyhow::Context as _;
use serde_json::{Value, json};

const HOST: &str = "docs.asked.example";
const OTHER: &str = "other.asked.example";

/// Runs every row in a bottle of its own.
pub(super) fn rows(rows: &mut Rows) -> anyhow::Result<()> {
    let prefix = Prefix::find()?;
    let internet = Internet::start(&prefix, &[HOST, OTHER])?;
    let home = Home::new(&prefix)?;
    let authority = home.path().join("fixture-internet.pem");
    fs_err::write(&authority, internet.authority())?;
    home.agent(
        "asker",
        "bottle: asking\nimage: small\ncommand: [bash, -c, 'read -r _ || true']\n",
    )?;
    let (cidr, authority) = (internet.cidr(), authority.display());
    home.bottle(
        "asking",
        &format!(
            "supervise: true\negress:\n  routes:\n    - host: {HOST}\n      path_allowlist: [/known/]\n      private_cidr: {cidr}\n\
             pipelock:\n  extra_ca: {authority}"
        ),
    )?;
    let bottle = home.start("asker")?;
    internet.reach_from(&bottle.guard("pipelock"))?;
    let asking = Asking {
        home: &home,
        bottle: &bottle,
    };
    approved(rows, &asking)?;
    rejected(rows, &asking)?;
    modified(rows, &asking)?;
    ended(rows, &asking)?;
    only_the_operator(rows, &bottle)?;
    let said = home.succeed(&["audit", "--verify"])?;
    rows.add(
        "bottle audit --verify",
        "whole",
        said.trim(),
        said.contains("whole"),
    );
    Ok(())
}

fn approved(rows: &mut Rows, asking: &Asking<'_>) -> anyhow::Result<()> {
    let url = format!("https://{HOST}/asked/page");
    let (status, body) = asking.curl(&url)?;
    let denial: Value = serde_json::from_str(&body).context(body.clone())?;
    let remedy = denial.get("remedy").cloned().unwrap_or_default();
    let holds = status == "403" && remedy.get("tool").is_some_and(|tool| tool == "egress-block");
    rows.add(
        "a path on no route",
        "403 with a callable remedy",
        format!("{status} {remedy}"),
        holds,
    );
    asking.call("asked", remedy.get("arguments").unwrap_or(&Value::Null))?;
    let id = one(asking)?;
    rows.add("egress-block with that remedy", "pending", id.as_str(), true);
    let said = asking.home.succeed(&["approve", &id, "--yes"])?;
    rows.add(
        "bottle approve",
        "live since …",
        said.trim(),
        said.contains("is live since"),
    );
    let answer = asking.answer("asked")?;
    rows.add(
        "… as the waiting agent is told",
        "the same words",
        answer.trim(),
        answer.contains("is live since"),
    );
    let (status, _) = asking.curl(&url)?;
    rows.add("the same request again", "200", status.as_str(), status == "200");
    Ok(())
}

fn rejected(rows: &mut Rows, asking: &Asking<'_>) -> anyhow::Result<()> {
    asking.call("second", &json!({"host": OTHER, "justification": "a look"}))?;
    let id = one(asking)?;
    asking.call("third", &json!({"host": OTHER, "justification": "please"}))?;
    let same = one(asking)?;
    rows.add("the same asked twice", "one proposal", same.as_str(), same == id);
    asking
        .home
        .succeed(&["reject", &id, "--reason", "use the mirror"])?;
    let answers = [asking.answer("second")?, asking.answer("third")?];
    rows.add(
        "bottle reject",
        "both calls are told why",
        answers.first().map_or("", |answer| answer.trim()),
        answers.iter().all(|answer| answer.contains("use the mirror")),
    );
    Ok(())
}

/// The operator takes the host out of the ask and gives it one path.
fn modified(rows: &mut Rows, asking: &Asking<'_>) -> anyhow::Result<()> {
    asking.call(
        "fourth",
        &json!({"host": HOST, "path_allowlist": ["/wide/"], "justification": "all of it"}),
    )?;
    let id = one(asking)?;
    let editor = asking.home.path().join("narrower");
    fs_err::write(&editor, "#!/bin/sh\nsed -i 's#/wide/#/wide/narrow/#g' \"$1\"\n")?;
    let mut permissions = fs_err::metadata(&editor)?.permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    fs_err::set_permissions(&editor, permissions)?;
    let mut command = asking.home.command(&["approve", &id, "--edit", "--yes"]);
    let done = command
        .env("EDITOR", &editor)
        .stdin(std::process::Stdio::null())
        .output()?;
    let wide = asking.curl(&format!("https://{HOST}/wide/page"))?.0;
    let narrow = asking.curl(&format!("https://{HOST}/wide/narrow/page"))?.0;
    rows.add(
        "bottle approve --edit, a narrower path",
        "what was edited passes, what was asked does not",
        format!("{}; {narrow} and {wide}", done.status),
        done.status.success() && narrow == "200" && wide == "403",
    );
    Ok(())
}

fn ended(rows: &mut Rows, asking: &Asking<'_>) -> anyhow::Result<()> {
    let url = format!("https://{HOST}/once/page");
    asking.call(
        "fifth",
        &json!({"host": HOST, "path_allowlist": ["/once/"], "justification": "one look"}),
    )?;
    let id = one(asking)?;
    asking.home.succeed(&["approve", &id, "--once", "--yes"])?;
    let statuses = [asking.curl(&url)?.0, asking.curl(&url)?.0];
    rows.add(
        "a grant for one request",
        "200, then closed again",
        statuses.join(", "),
        statuses == ["200", "403"],
    );
    let url = format!("https://{HOST}/timed/page");
    asking.call(
        "sixth",
        &json!({"host": HOST, "path_allowlist": ["/timed/"], "justification": "a while"}),
    )?;
    let id = one(asking)?;
    asking.home.succeed(&["approve", &id, "--for", "6s", "--yes"])?;
    let open = asking.curl(&url)?.0;
    let (closed, body) =
        crate::asking::eventually(|| Ok(Some(asking.curl(&url)?).filter(|(status, _)| status != "200")))?;
    rows.add(
        "a grant for six seconds",
        "200, then closed again by itself",
        format!("{open}, then {closed}"),
        open == "200" && closed == "403" && body.contains("grant_ended"),
    );
    // The guard notes the end a moment after.
    let story = crate::asking::eventually(|| {
        let story = asking.home.succeed(&["audit", "--of", &id])?;
        Ok(story.contains("closed: expired").then_some(story))
    })?;
    rows.add(
        "bottle audit --of it",
        "asked, approved, allowed, refused, ended",
        format!("{} lines", story.lines().count()),
        in_order(
            &story,
            &[
                "egress-block",
                "approved",
                "allowed: GET",
                "grant_ended",
                "closed: expired",
            ],
        ),
    );
    Ok(())
}

fn in_order(text: &str, parts: &[&str]) -> bool {
    let mut rest = text;
    parts.iter().all(|part| {
        let found = rest.split_once(part).map(|(_, after)| after);
        rest = found.unwrap_or_default();
        found.is_some()
    })
}

fn only_the_operator(rows: &mut Rows, bottle: &Bottle<'_>) -> anyhow::Result<()> {
    let format = "{{range .Mounts}}{{.Destination}} {{.RW}}\n{{end}}";
    let of_supervise = crate::docker::docker(["inspect", "--format", format, &bottle.guard("supervise")])?;
    let of_agent = crate::docker::docker(["inspect", "--format", format, &bottle.agent()])?;
    rows.add(
        "the folder of answers",
        "read-only to supervise, not there for the agent",
        "as docker inspect says",
        of_supervise.contains("/run/supervise/responses false") && !of_agent.contains("/run/supervise"),
    );
    Ok(())
}

/// The one pending proposal.
fn one(asking: &Asking<'_>) -> anyhow::Result<String> {
    asking.pending(1)?.pop().context("no proposal is pending")
}
