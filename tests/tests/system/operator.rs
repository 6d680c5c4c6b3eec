//! The whole loop in a real bottle: a request is refused, the agent asks with the refusal's own remedy, the operator answers, and the
//! same request passes (or not). The agent is curl; it calls supervise by plain HTTP POST.

use crate::{home, internet};
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use system_tests::asking::{Asking, eventually};
use system_tests::docker::docker;

#[test]
fn what_is_refused_is_asked_for_approved_and_then_passes() {
    let internet = internet().unwrap();
    let mut home = home(&internet).unwrap();
    // The start does not know it: nothing in the manifest names it.
    home.secret("OTHER_TOKEN", OTHER_TOKEN);
    let manifest = home.path().join("bottles/box.md");
    let text = fs_err::read_to_string(&manifest).unwrap();
    let with_supervise = text.replacen("egress:\n", "supervise: true\negress:\n", 1);
    fs_err::write(&manifest, with_supervise).unwrap();
    let bottle = home.start("tester").unwrap();
    internet.reach_from(&bottle.guard("pipelock")).unwrap();
    let loop_ = Loop(Asking {
        home: &home,
        bottle: &bottle,
    });
    loop_.approved().unwrap();
    loop_.asked_twice_and_rejected().unwrap();
    loop_.once().unwrap();
    loop_.for_a_time().unwrap();
    loop_.with_a_new_credential(internet.cidr()).unwrap();
    let seen = internet.seen_at("/with/credential").unwrap();
    let bearer = format!("Bearer {OTHER_TOKEN}");
    assert_eq!(seen[0].headers.get("authorization"), Some(&bearer), "{seen:?}");
    loop_.no_answer_from_inside().unwrap();
    loop_.audited().unwrap();
}

struct Loop<'a>(Asking<'a>);

const OTHER: &str = "https://api.test.example/repos/other/readme";
const OTHER_TOKEN: &str = "system-test-other-token-1f6a9d7c2b58e3a4";
const PLACE: &str = "api.test.example/repos/other/readme";

impl Loop<'_> {
    fn approved(&self) -> anyhow::Result<()> {
        let (status, body) = self.0.curl(OTHER)?;
        ensure!(status == "403", "{status} {body}");
        let denial: Value = serde_json::from_str(&body).context(body.clone())?;
        let remedy = &denial["remedy"];
        ensure!(remedy["tool"] == "egress-block", "no remedy: {denial}");
        self.0.call("first", &remedy["arguments"])?;
        let id = self.0.pending(1)?.remove(0);
        let shown = self.0.home.succeed(&["proposals", &id])?;
        ensure!(shown.contains("+  - /repos/other/"), "{shown}");
        let said = self.0.home.succeed(&["approve", &id, "--yes"])?;
        ensure!(said.contains("api.test.example is live since"), "{said}");
        let answer = self.0.answer("first")?;
        ensure!(answer.contains("api.test.example is live since"), "{answer}");
        let (status, body) = self.0.curl(OTHER)?;
        ensure!(status == "200", "after the approval: {status} {body}");
        let denial_id = remedy["arguments"]["denial_id"].as_str();
        let denial_id = denial_id.context("the remedy names no refusal")?;
        // Found by the proposal and by the refusal alike.
        self.story(&id, denial_id)?;
        self.story(denial_id, denial_id)
    }

    /// The refused request, the question, the answer, and the same request let in, in this order.
    fn story(&self, of: &str, denial_id: &str) -> anyhow::Result<()> {
        let audit = ["audit", self.0.bottle.slug(), "--of", of];
        let told = self.0.home.succeed(&audit)?;
        let refused = format!("denied: GET {PLACE} 403 path_not_allowed ({denial_id})");
        let asked = format!("(after {denial_id})");
        let allowed = format!("allowed: GET {PLACE} 200");
        let mut rest = told.as_str();
        for part in [
            refused.as_str(),
            &asked,
            "approved",
            "applying",
            "applied:",
            &allowed,
        ] {
            let at = rest
                .find(part)
                .with_context(|| format!("--of {of}: no `{part}` in its place: {told}"))?;
            rest = rest.get(at..).unwrap_or_default();
        }
        Ok(())
    }

    fn asked_twice_and_rejected(&self) -> anyhow::Result<()> {
        let arguments = json!({"host": "closed.test.example", "justification": "once"});
        self.0.call("second", &arguments)?;
        let id = self.0.pending(1)?.remove(0);
        self.0.call(
            "third",
            &json!({"host": "closed.test.example", "justification": "and again"}),
        )?;
        ensure!(self.0.pending(1)? == [id.clone()], "asked twice gave two");
        self.0
            .home
            .succeed(&["reject", &id, "--reason", "use the mirror"])?;
        for call in ["second", "third"] {
            let answer = self.0.answer(call)?;
            ensure!(answer.contains("use the mirror"), "{answer}");
        }
        let (status, _) = self.0.curl("https://closed.test.example/")?;
        ensure!(status == "403" || status == "000", "{status}");
        Ok(())
    }

    fn once(&self) -> anyhow::Result<()> {
        let url = "https://api.test.example/repos/once/x";
        let arguments = json!({"host": "api.test.example", "path_allowlist": ["/repos/once/"], "justification": "one look"});
        self.0.call("fourth", &arguments)?;
        let id = self.0.pending(1)?.remove(0);
        self.0.home.succeed(&["approve", &id, "--once", "--yes"])?;
        let statuses = [self.0.curl(url)?.0, self.0.curl(url)?.0];
        ensure!(statuses == ["200", "403"], "{statuses:?}");
        let grant = id.replacen("p-", "g-", 1);
        let events = self
            .0
            .home
            .succeed(&["logs", self.0.bottle.slug(), "--guard", "egress"])?;
        ensure!(events.contains(&grant), "no event carries {grant}: {events}");
        let audit = self
            .0
            .home
            .succeed(&["audit", self.0.bottle.slug(), "--of", &grant])?;
        ensure!(audit.contains("api.test.example closed: used"), "{audit}");
        Ok(())
    }

    fn for_a_time(&self) -> anyhow::Result<()> {
        let url = "https://api.test.example/repos/timed/x";
        let arguments = json!({"host": "api.test.example", "path_allowlist": ["/repos/timed/"], "justification": "a while"});
        self.0.call("fifth", &arguments)?;
        let id = self.0.pending(1)?.remove(0);
        self.0.home.succeed(&["approve", &id, "--for", "8s", "--yes"])?;
        let (status, body) = self.0.curl(url)?;
        ensure!(status == "200", "while it holds: {status} {body}");
        let closed = eventually(|| Ok(Some(self.0.curl(url)?).filter(|(status, _)| status == "403")))?;
        ensure!(closed.1.contains("\"grant_ended\""), "{}", closed.1);
        // Any command of bottle's takes the end into the audit.
        let audit = ["audit", self.0.bottle.slug(), "--of", id.as_str()];
        // The guard notes it a moment after.
        eventually(|| {
            let told = self.0.home.succeed(&audit)?;
            Ok(told.contains("closed: expired").then_some(()))
        })
    }

    /// A credential that the running egress does not hold: egress alone is made anew.
    fn with_a_new_credential(&self, cidr: &str) -> anyhow::Result<()> {
        let started = |guard: &str| {
            let container = self.0.bottle.guard(guard);
            docker(["inspect", "--format", "{{.Id}} {{.State.StartedAt}}", &container])
        };
        let before = (started("egress")?, started("pipelock")?, started("supervise")?);
        let arguments = json!({"host": "closed.test.example", "justification": "its API",
            "auth": {"scheme": "Bearer", "token_ref": "OTHER_TOKEN"}});
        self.0.call("sixth", &arguments)?;
        let id = self.0.pending(1)?.remove(0);
        let said = self.0.home.succeed(&["approve", &id, "--yes"])?;
        ensure!(said.contains("closed.test.example is live since"), "{said}");
        let after = (started("egress")?, started("pipelock")?, started("supervise")?);
        ensure!(before.0 != after.0, "egress was not made anew");
        ensure!(
            (before.1, before.2) == (after.1, after.2),
            "others were made anew, too"
        );
        let answer = self.0.answer("sixth")?;
        ensure!(answer.contains("closed.test.example is live since"), "{answer}");
        let (status, body) = self.0.curl("https://api.test.example/repos/acme/again")?;
        ensure!(status == "200", "a route of before: {status} {body}");
        // The fixture's address is a private one, which an agent cannot ask for and an operator can write.
        let editor = self.0.home.path().join("with-network");
        let script = format!(
            "#!/bin/sh\nsed -i 's#^- host: closed.test.example#&\\n  private_cidr: {cidr}#' \"$1\"\n"
        );
        fs_err::write(&editor, script)?;
        fs_err::set_permissions(&editor, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let slug = self.0.bottle.slug();
        let edit = self
            .0
            .home
            .command(&["routes", "edit", slug, "--yes"])
            .env("EDITOR", &editor)
            .stdin(std::process::Stdio::null())
            .output()?;
        let told = String::from_utf8_lossy(&edit.stderr);
        ensure!(edit.status.success(), "{told}");
        let (status, body) = self.0.curl("https://closed.test.example/with/credential")?;
        ensure!(status == "200", "{status} {body}");
        Ok(())
    }

    fn no_answer_from_inside(&self) -> anyhow::Result<()> {
        let (found, _) = self
            .0
            .bottle
            .sh("find / -xdev -name '*.state.json' 2>/dev/null; ls /run/supervise 2>&1")?;
        ensure!(!found.contains("p-"), "the agent sees answers: {found}");
        let mounts = system_tests::docker::docker([
            "inspect",
            "--format",
            "{{range .Mounts}}{{.Destination}} {{.RW}}\n{{end}}",
            &self.0.bottle.guard("supervise"),
        ])?;
        ensure!(mounts.contains("/run/supervise/responses false"), "{mounts}");
        Ok(())
    }

    fn audited(&self) -> anyhow::Result<()> {
        let verified = self.0.home.succeed(&["audit", "--verify"])?;
        ensure!(verified.contains("whole"), "{verified}");
        Ok(())
    }
}
