//! The access events of a bottle that is taken down, kept as `events/<slug>.jsonl.zst`: what was decided outlives its state directory.
//!
//! They are taken from `compose.log`. Only a guard's lines count: the agent may print what looks like an event, and that is not one.

use crate::error::Result;
use crate::home::Home;
use crate::naming;
use contract::{AccessEvent, Slug};
use fs_err::os::unix::fs::OpenOptionsExt as _;
use std::io::{BufRead as _, BufReader, Write as _};

use std::path::Path;

/// zstd's own default: events shrink to a tenth.
const LEVEL: i32 = 3;

/// Keeps them; gives how many there were. Without any, no file is made.
pub fn keep(home: &Home, slug: &Slug, compose_log: &Path) -> Result<usize> {
    let log = BufReader::new(fs_err::File::open(compose_log)?);
    let agent = naming::container(slug, naming::AGENT);
    let to = home.events(slug);
    let mut writer = None;
    let mut count = 0;
    for line in log.split(b'\n') {
        let line = line?;
        let Some(event) = event_of(&String::from_utf8_lossy(&line), slug, &agent) else {
            continue;
        };
        let writer = match &mut writer {
            Some(writer) => writer,
            None => writer.insert(zstd::Encoder::new(create(&to)?, LEVEL)?),
        };
        writer.write_all(event.as_bytes())?;
        writer.write_all(b"\n")?;
        count += 1;
    }
    if let Some(writer) = writer {
        writer.finish()?.sync_all()?;
    }
    Ok(count)
}

fn create(path: &Path) -> Result<fs_err::File> {
    if let Some(folder) = path.parent() {
        fs_err::create_dir_all(folder)?;
    }
    let mut options = fs_err::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    Ok(options.open(path)?)
}

/// The event in a line of compose's, `container  | time {…}`, when a guard of this bottle wrote it.
fn event_of(line: &str, slug: &Slug, agent: &str) -> Option<String> {
    let (from, rest) = line.split_once('|')?;
    let from = from.trim();
    if from == agent || !naming::is_container_of(from, slug) {
        return None;
    }
    let (_, text) = rest.trim_start().split_once(' ')?;
    let text = text.trim();
    serde_json::from_str::<AccessEvent>(text).ok()?;
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = include_str!("../../../contract/golden/access-event.json");

    #[test]
    fn guards_events_are_kept_and_what_the_agent_prints_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().to_owned());
        let slug: Slug = "dev-ab1cd".parse().unwrap();
        let event: serde_json::Value = serde_json::from_str(EVENT).unwrap();
        let log = folder.path().join("compose.log");
        let time = "2026-11-21T09:30:00.000000000Z";
        let lines = [
            format!("claude-bottle-egress-dev-ab1cd  | {time} {event}"),
            format!("claude-bottle-egress-dev-ab1cd  | {time} listening on unix:/run/bottle/door/door.sock"),
            format!("claude-bottle-dev-ab1cd  | {time} {event}"),
            format!("claude-bottle-egress-dev-zz9zz  | {time} {event}"),
            "no line of compose's".to_owned(),
        ];
        fs_err::write(&log, lines.join("\n")).unwrap();
        assert_eq!(keep(&home, &slug, &log).unwrap(), 1);
        let kept = zstd::decode_all(fs_err::File::open(home.events(&slug)).unwrap()).unwrap();
        assert_eq!(String::from_utf8(kept).unwrap(), format!("{event}\n"));
    }

    #[test]
    fn without_events_there_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().to_owned());
        let slug: Slug = "dev-ab1cd".parse().unwrap();
        let log = folder.path().join("compose.log");
        fs_err::write(&log, "").unwrap();
        assert_eq!(keep(&home, &slug, &log).unwrap(), 0);
        assert!(!home.events(&slug).exists());
    }
}
