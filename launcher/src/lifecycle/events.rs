//! The access events of a bottle that is taken down, kept as `events/<slug>.jsonl.zst`: what was decided outlives its state directory.
//!
//! They are taken from `compose.log`. Only a guard's lines count: the agent may print what looks like an event, and that is not one.

use crate::error::Result;
use crate::home::Home;
use crate::naming;
use crate::write;
use contract::{AccessEvent, Slug};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, ErrorKind, Read as _, Write as _};

use std::path::Path;

/// zstd's own default: events shrink to a tenth.
const LEVEL: i32 = 3;

/// No event is longer, in bytes: it has one path and one host, and a request's head is bounded. What is, is none.
const LONGEST: u64 = 1 << 20;

/// Keeps them behind those of the bottle's earlier sessions; gives how many came. Without any, no file is made.
///
/// The file is there as it was or as it is to be. A teardown that is tried again keeps nothing twice.
pub fn keep(home: &Home, slug: &Slug, compose_log: &Path) -> Result<usize> {
    let log = BufReader::new(fs_err::File::open(compose_log)?);
    let agent = naming::container(slug, naming::AGENT);
    let to = home.events(slug);
    let mut writer = zstd::Encoder::new(Vec::new(), LEVEL)?;
    let mut known = BTreeSet::new();
    let mut line_of = |text: &str, event: AccessEvent| {
        let is_new = known.insert((event.guard, event.event_id));
        if is_new {
            writer.write_all(text.as_bytes())?;
            writer.write_all(b"\n")?;
        }
        Ok(is_new)
    };
    // What is damaged of the earlier ones is lost; what can be read is not.
    let _ = each(&to, |text, event| line_of(text, event).map(drop));
    let mut count = 0;
    for line in log.split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        if let Some((text, event)) = event_of(&line, slug, &agent)
            && line_of(text, event)?
        {
            count += 1;
        }
    }
    if count > 0 {
        if let Some(folder) = to.parent() {
            fs_err::create_dir_all(folder)?;
        }
        write::atomically(&to, &writer.finish()?, 0o600)?;
    }
    Ok(count)
}

/// Hands on what was kept in a file, each event with its line, up to where it can be read. Nothing where there is no file.
pub fn each(path: &Path, mut found: impl FnMut(&str, AccessEvent) -> Result<()>) -> Result<()> {
    let file = match fs_err::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut lines = BufReader::new(zstd::Decoder::new(file)?);
    let mut line = Vec::new();
    while next_line(&mut lines, &mut line)? {
        if let Ok(text) = std::str::from_utf8(&line)
            && let Ok(event) = serde_json::from_str(text)
        {
            found(text, event)?;
        }
    }
    Ok(())
}

/// Reads a line, without its end; an empty one for what is too long to be an event. `false`: there is none any more.
fn next_line(lines: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool> {
    line.clear();
    let mut is_too_long = false;
    loop {
        let read = (&mut *lines).take(LONGEST).read_until(b'\n', line)?;
        let is_whole = line.last() == Some(&b'\n');
        if is_whole {
            line.pop();
        }
        if is_too_long {
            line.clear();
        }
        if is_whole || read == 0 {
            return Ok(is_whole || is_too_long || !line.is_empty());
        }
        if read as u64 == LONGEST {
            is_too_long = true;
            line.clear();
        }
    }
}

/// The event in a line of compose's, `container  | time {…}`, when a guard of this bottle wrote it.
fn event_of<'l>(line: &'l str, slug: &Slug, agent: &str) -> Option<(&'l str, AccessEvent)> {
    let (from, rest) = line.split_once('|')?;
    let from = from.trim();
    if from == agent || !naming::is_container_of(from, slug) {
        return None;
    }
    let (_, text) = rest.trim_start().split_once(' ')?;
    let text = text.trim();
    Some((text, serde_json::from_str(text).ok()?))
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

    fn logged(ids: &[&str]) -> String {
        let lines = ids.iter().map(|id| {
            let mut event: serde_json::Value = serde_json::from_str(EVENT).unwrap();
            event["event_id"] = (*id).into();
            format!("claude-bottle-egress-dev-ab1cd  | 2026-11-21T09:30:00.000000000Z {event}\n")
        });
        lines.collect()
    }

    fn kept(path: &Path) -> (Vec<String>, Result<()>) {
        let mut ids = Vec::new();
        let read = each(path, |_, event| {
            ids.push(event.event_id.to_string());
            Ok(())
        });
        (ids, read)
    }

    #[test]
    fn a_resumed_bottle_keeps_the_events_of_its_earlier_sessions_and_none_twice() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().to_owned());
        let slug: Slug = "dev-ab1cd".parse().unwrap();
        let log = folder.path().join("compose.log");
        for (session, count) in [
            (&["e-0001"][..], 1),
            (&["e-0002", "e-0003"], 2),
            (&["e-0003"], 0),
            (&[], 0),
        ] {
            fs_err::write(&log, logged(session)).unwrap();
            assert_eq!(keep(&home, &slug, &log).unwrap(), count);
        }
        let (ids, read) = kept(&home.events(&slug));
        read.unwrap();
        assert_eq!(ids, ["e-0001", "e-0002", "e-0003"]);
    }

    #[test]
    fn what_can_be_read_of_a_damaged_file_is() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().to_owned());
        let slug: Slug = "dev-ab1cd".parse().unwrap();
        let path = home.events(&slug);
        let event = serde_json::from_str::<serde_json::Value>(EVENT).unwrap();
        let text = format!("{event}\n\u{1b}[2J\n{}\n{event}\n", "x".repeat(3 << 20));
        let whole = zstd::encode_all(text.as_bytes(), LEVEL).unwrap();
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, &whole).unwrap();
        assert_eq!(
            kept(&path).0.len(),
            2,
            "a line that is no event is passed over, of any length"
        );
        fs_err::write(&path, &whole[..whole.len() - 3]).unwrap();
        assert!(kept(&path).1.is_err());
        let log = folder.path().join("compose.log");
        fs_err::write(&log, logged(&["e-0009"])).unwrap();
        assert_eq!(keep(&home, &slug, &log).unwrap(), 1);
        let (ids, read) = kept(&path);
        read.unwrap();
        assert_eq!(ids.last().unwrap(), "e-0009");
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
