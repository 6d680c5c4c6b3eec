//! The demo's rows about git: a real sshd with real git behind the gate, a real bottle before it.

use crate::git_upstream::{GitUpstream, HOST, WRONG_KEY_HOST, home, sh, token};
use crate::home::{Bottle, Home};
use crate::prefix::Prefix;
use crate::rows::Rows;

/// A way to hide a value, and the ref that is then pushed. `$T` is the value.
const HIDDEN: [(&str, &str); 6] = [
    (
        "a secret in HEAD",
        "echo $T > f && git add -A && git commit -qm s && git push origin HEAD:refs/heads/t1",
    ),
    (
        "… in a commit before it",
        "echo $T > f && git add -A && git commit -qm s && git rm -q f && git commit -qm gone && git push origin HEAD:refs/heads/t2",
    ),
    (
        "… in what a merge adds",
        "git checkout -qb side && echo s > s && git add -A && git commit -qm s && git checkout -q start && echo o > o && git add -A \
         && git commit -qm o && git merge -q --no-ff --no-commit side && echo $T > m && git add -A && git commit -qm m \
         && git push origin HEAD:refs/heads/t3",
    ),
    (
        "… in a tag's message",
        "git tag -a t4 -m $T && git push origin t4",
    ),
    (
        "… in a gzip",
        "echo $T | gzip > f.gz && git add -A && git commit -qm s && git push origin HEAD:refs/heads/t5",
    ),
    (
        "… behind a replace ref",
        "echo $T > f && git add -A && git commit -qm s && B=$(git rev-parse HEAD) && git reset -q --hard start && echo c > f \
         && git add -A && git commit -qm c && git replace $B HEAD; git push origin refs/replace/$B; git push origin $B:refs/heads/t6",
    ),
];

/// Runs every row.
pub fn rows(rows: &mut Rows) -> anyhow::Result<()> {
    let upstream = GitUpstream::start()?;
    let home = home(&upstream, Home::new(&Prefix::find()?)?)?;
    let bottle = home.start("pusher")?;
    upstream.reach_from(&bottle)?;
    clean(rows, &bottle, &upstream)?;
    for (tried, line) in HIDDEN {
        hidden(rows, &bottle, &upstream, tried, line)?;
    }
    allowed(rows, &home, &bottle, &upstream)?;
    unreachable(rows, &bottle, &upstream)
}

fn clean(rows: &mut Rows, bottle: &Bottle<'_>, upstream: &GitUpstream) -> anyhow::Result<()> {
    let (done, said) = sh(
        bottle,
        &format!("git clone -q ssh://git@{HOST}/acme/app.git /workspace/app"),
    )?;
    rows.add(
        "git clone over the ssh:// URL",
        "through the gate",
        last(&said),
        done,
    );
    let line = "cd /workspace/app && git checkout -qb start && echo hello > a && git add -A && git commit -qm one \
                && git push origin HEAD:refs/heads/main && git rev-parse HEAD";
    let (done, said) = sh(bottle, line)?;
    let commit = said.lines().last().unwrap_or_default();
    let there = upstream
        .content()?
        .contains(&format!("{commit} commit\trefs/heads/main"));
    rows.add("a clean push", "arrives upstream", last(&said), done && there);
    let line = format!("git clone -q git@{HOST}:acme/app /workspace/again && cat /workspace/again/a");
    let (done, said) = sh(bottle, &line)?;
    rows.add(
        "git clone over git@host:path",
        "has what was pushed",
        last(&said),
        done && said.contains("hello"),
    );
    let key = upstream.private_key()?;
    let middle = key.lines().nth(2).unwrap_or("?");
    let (_, said) = sh(
        bottle,
        &format!("env | grep -c '{middle}'; grep -rlsF '{middle}' $HOME /workspace /etc /run | head"),
    )?;
    rows.add(
        "the upstream's key in the agent",
        "not there",
        last(&said),
        said.trim() == "0",
    );
    Ok(())
}

fn hidden(
    rows: &mut Rows,
    bottle: &Bottle<'_>,
    upstream: &GitUpstream,
    tried: &str,
    line: &str,
) -> anyhow::Result<()> {
    let before = upstream.content()?;
    let token = token()?;
    let start = "cd /workspace/app && git checkout -qf start && git reset -q --hard && git branch -qD side 2>/dev/null; git tag -d t4 \
                 >/dev/null 2>&1; git reset -q --hard origin/main 2>/dev/null; git fetch -q; git reset -q --hard origin/main";
    let (done, said) = sh(bottle, &format!("T={token}; {start}\n{line}"))?;
    let untouched = upstream.content()? == before;
    let told = said.contains("git-gate: push to") && !said.contains(&token);
    rows.add(
        tried,
        "refused, and not upstream",
        if untouched { "refused" } else { "UPSTREAM HAS IT" },
        !done && told && untouched,
    );
    Ok(())
}

fn allowed(rows: &mut Rows, home: &Home, bottle: &Bottle<'_>, upstream: &GitUpstream) -> anyhow::Result<()> {
    let line = format!(
        "cd /workspace/app && git reset -q --hard origin/main && echo {} > f && git add -A && git commit -qm s",
        token()?
    );
    sh(bottle, &line)?;
    let push = "cd /workspace/app && git push origin HEAD:refs/heads/allowed";
    let (_, said) = sh(bottle, push)?;
    let fingerprint = said
        .split_ascii_whitespace()
        .find(|word| word.starts_with("fp-"))
        .unwrap_or("fp-none");
    home.succeed(&[
        "git",
        "allow",
        fingerprint,
        "--reason",
        "the demo",
        "--for",
        "10m",
        "--yes",
    ])?;
    let (done, said) = sh(bottle, push)?;
    let there = upstream.content()?.contains("refs/heads/allowed");
    rows.add(
        "… after `bottle git allow`",
        "arrives upstream",
        last(&said),
        done && there,
    );
    Ok(())
}

fn unreachable(rows: &mut Rows, bottle: &Bottle<'_>, upstream: &GitUpstream) -> anyhow::Result<()> {
    let (done, said) = sh(
        bottle,
        &format!("git ls-remote ssh://git@{WRONG_KEY_HOST}/acme/app.git"),
    )?;
    let told = said.contains("HOST IDENTIFICATION") || said.contains("Host key verification failed");
    rows.add(
        "an upstream with another host key",
        "refused",
        last(&said),
        !done && told,
    );
    upstream.stop()?;
    let line = "cd /workspace/app && git reset -q --hard origin/main && echo more > b && git add -A && git commit -qm b \
                && git push origin HEAD:refs/heads/main";
    let (done, said) = sh(bottle, line)?;
    rows.add(
        "a push while the upstream is down",
        "refused, with the reason",
        last(&said),
        !done && (said.contains("cannot be reached") || said.contains("gave no answer")),
    );
    Ok(())
}

fn last(said: &str) -> String {
    let line = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    line.map_or_else(|| "done".to_owned(), |line| line.chars().take(120).collect())
}
