//! One list inside a YAML file, changed line by line, so that everything else stays as its author wrote it.
//!
//! Only the layouts that people write are understood (a block list, an empty list, a list in brackets on one line). The
//! result is read back and compared with what it should say; a file that is laid out in another way is an error and is
//! left alone.

use serde_yaml::Value;

/// Where a list is: the top-level key, and the key below it if it lies in a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListPath<'a> {
    /// The section, for a list that is not at the top level.
    pub section: Option<&'a str>,
    /// The list's own key.
    pub key: &'a str,
}

/// Why a list was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// not YAML
    #[error("the file does not parse: {0}")]
    Parse(String),
    /// something else is there
    #[error("`{0}` is not a list of texts; write one entry per line")]
    NotAList(String),
    /// laid out in a way that is not understood
    #[error(
        "`{0}` is laid out in a way that cannot be changed without touching the rest; write one entry per line"
    )]
    Layout(String),
}

/// The entries; none when there is no such list.
pub fn entries(text: &str, path: ListPath<'_>) -> Result<Vec<String>, ListError> {
    read(&parse(text)?, path)
}

/// The file with `add` at the list's end, as far as they are not there, and without every entry that `remove` names (compared
/// without regard to case).
pub fn change(
    text: &str,
    path: ListPath<'_>,
    add: &[String],
    remove: &[String],
) -> Result<String, ListError> {
    let value = parse(text)?;
    let before = read(&value, path)?;
    let same = |a: &str, b: &str| {
        a.trim_end_matches('.')
            .eq_ignore_ascii_case(b.trim_end_matches('.'))
    };
    let removed = |entry: &String| remove.iter().any(|one| same(one, entry));
    let mut after: Vec<String> = before.iter().filter(|entry| !removed(entry)).cloned().collect();
    let mut added = Vec::new();
    for one in add {
        if !after.iter().any(|entry| same(entry, one)) {
            after.push(one.clone());
            added.push(one.clone());
        }
    }
    if after == before {
        return Ok(text.to_owned());
    }
    let keep: Vec<bool> = before.iter().map(|entry| !removed(entry)).collect();
    let layout = || ListError::Layout(path.name());
    let changed = rewrite(text, path, &before, &keep, &added).ok_or_else(layout)?;
    let reread = parse(&changed).map_err(|_| layout())?;
    if reread == expected(value, path, &after) {
        Ok(changed)
    } else {
        Err(layout())
    }
}

/// A text as a YAML scalar: bare where nothing could read it as something else.
pub fn scalar(text: &str) -> String {
    let bare = matches!(serde_yaml::from_str::<Value>(text), Ok(Value::String(read)) if read == text)
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-/:".contains(&b))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !text.ends_with(':');
    if bare {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

impl ListPath<'_> {
    fn name(self) -> String {
        match self.section {
            Some(section) => format!("{section}.{}", self.key),
            None => self.key.to_owned(),
        }
    }
}

fn parse(text: &str) -> Result<Value, ListError> {
    serde_yaml::from_str(text).map_err(|error| ListError::Parse(error.to_string()))
}

fn read(value: &Value, path: ListPath<'_>) -> Result<Vec<String>, ListError> {
    let section = match path.section {
        Some(section) => value.get(section),
        None => Some(value),
    };
    let list = match section.and_then(|section| section.get(path.key)) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(list) => list,
    };
    let texts = list.as_sequence().and_then(|items| {
        items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect()
    });
    texts.ok_or_else(|| ListError::NotAList(path.name()))
}

fn expected(mut value: Value, path: ListPath<'_>, entries: &[String]) -> Value {
    let list = Value::Sequence(entries.iter().cloned().map(Value::String).collect());
    if value.is_null() {
        value = Value::Mapping(serde_yaml::Mapping::new());
    }
    if let Value::Mapping(top) = &mut value {
        match path.section {
            None => {
                top.insert(path.key.into(), list);
            }
            Some(section) => {
                let mut inner = match top.get(section) {
                    Some(Value::Mapping(inner)) => inner.clone(),
                    _ => serde_yaml::Mapping::new(),
                };
                inner.insert(path.key.into(), list);
                top.insert(section.into(), Value::Mapping(inner));
            }
        }
    }
    value
}

/// The text before the first `#` that begins a comment, and the comment. (A `#` inside a quoted key or entry is read wrongly,
/// which the comparison at the end notices.)
fn split_comment(line: &str) -> (&str, &str) {
    let starts = line
        .char_indices()
        .find(|(at, c)| *c == '#' && (*at == 0 || line.get(..*at).is_some_and(|l| l.ends_with([' ', '\t']))));
    match starts {
        Some((at, _)) => line.split_at(at),
        None => (line, ""),
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

fn is_content(line: &str) -> bool {
    !split_comment(line).0.trim().is_empty()
}

/// The line of `key:` among `lines[from..to]` at exactly this indent, and what stands behind the colon.
fn find_key<'a>(
    lines: &[&'a str],
    from: usize,
    to: usize,
    at_indent: usize,
    key: &str,
) -> Option<(usize, &'a str)> {
    (from..to).find_map(|number| {
        let line = *lines.get(number)?;
        if indent(line) != at_indent {
            return None;
        }
        let rest = line.trim_start().strip_prefix(key)?.strip_prefix(':')?;
        (rest.is_empty() || rest.starts_with([' ', '\t'])).then_some((number, rest))
    })
}

/// The first line after `from` that belongs to no deeper level than `depth`.
fn end_of_block(lines: &[&str], from: usize, depth: usize) -> usize {
    (from..lines.len())
        .find(|number| {
            lines
                .get(*number)
                .is_some_and(|line| is_content(line) && indent(line) <= depth && !line.starts_with("---"))
        })
        .unwrap_or(lines.len())
}

fn rewrite(
    text: &str,
    path: ListPath<'_>,
    before: &[String],
    keep: &[bool],
    added: &[String],
) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let (from, to, depth) = match path.section {
        None => (0, lines.len(), 0),
        Some(section) => match find_key(&lines, 0, lines.len(), 0, section) {
            None => return Some(appended(text, path, added)),
            Some((at, rest)) => {
                if !split_comment(rest).0.trim().is_empty() {
                    return None;
                }
                let end = end_of_block(&lines, at + 1, 0);
                let first = lines.get(at + 1..end)?.iter().find(|line| is_content(line));
                let Some(first) = first else {
                    return Some(insert(&lines, at + 1, &section_lines(path, 2, added)));
                };
                (at + 1, end, indent(first))
            }
        },
    };
    let Some((at, rest)) = find_key(&lines, from, to, depth, path.key) else {
        return Some(match path.section {
            None => appended(text, path, added),
            Some(_) => insert(&lines, from, &section_lines(path, depth, added)),
        });
    };
    let (inline, comment) = split_comment(rest);
    if inline.trim().is_empty() {
        rewrite_block(&lines, (at, depth), to, (before, keep), added)
    } else {
        // A list in brackets becomes a block list, unless nothing is left of it.
        let flow = inline.trim();
        if !(flow.starts_with('[') && flow.ends_with(']') || flow == "~" || flow == "null") {
            return None;
        }
        let entries: Vec<String> = kept(before, keep).chain(added.iter().cloned()).collect();
        let pad = " ".repeat(depth);
        let comment = if comment.is_empty() {
            String::new()
        } else {
            format!(" {comment}")
        };
        let mut new = Vec::new();
        if entries.is_empty() {
            new.push(format!("{pad}{}: []{comment}", path.key));
        } else {
            new.push(format!("{pad}{}:{comment}", path.key));
            new.extend(items(depth + 2, &entries));
        }
        Some(replace(&lines, at, at + 1, &new))
    }
}

fn kept<'a>(before: &'a [String], keep: &'a [bool]) -> impl Iterator<Item = String> + 'a {
    before
        .iter()
        .zip(keep)
        .filter(|(_, keep)| **keep)
        .map(|(entry, _)| entry.clone())
}

fn rewrite_block(
    lines: &[&str],
    (at, depth): (usize, usize),
    to: usize,
    (before, keep): (&[String], &[bool]),
    added: &[String],
) -> Option<String> {
    // The entries may stand at the key's own indent.
    let is_item = |line: &str| line.trim_start().starts_with("- ") && indent(line) >= depth;
    let mut found = Vec::new();
    for number in at + 1..to {
        let line = lines.get(number)?;
        if !is_content(line) {
            continue;
        }
        if !is_item(line) {
            break;
        }
        found.push(number);
    }
    if found.len() != before.len() {
        return None;
    }
    let item_indent = found
        .first()
        .and_then(|number| lines.get(*number))
        .map_or(depth + 2, |line| indent(line));
    let dropped: Vec<usize> = found
        .iter()
        .zip(keep)
        .filter(|(_, keep)| !**keep)
        .map(|(number, _)| *number)
        .collect();
    let after = found.last().copied().unwrap_or(at);
    let mut out: Vec<String> = Vec::with_capacity(lines.len() + added.len());
    for (number, line) in lines.iter().enumerate() {
        if number == at && dropped.len() == before.len() && added.is_empty() {
            let (key, comment) = split_comment(line);
            let gap = if comment.is_empty() { "" } else { " " };
            out.push(format!("{} []{gap}{comment}", key.trim_end()));
        } else if !dropped.contains(&number) {
            out.push((*line).to_owned());
        }
        if number == after {
            out.extend(items(item_indent, added));
        }
    }
    Some(joined(out))
}

fn items(indent: usize, entries: &[String]) -> Vec<String> {
    let pad = " ".repeat(indent);
    entries
        .iter()
        .map(|entry| format!("{pad}- {}", scalar(entry)))
        .collect()
}

fn section_lines(path: ListPath<'_>, depth: usize, entries: &[String]) -> Vec<String> {
    let mut lines = vec![format!("{}{}:", " ".repeat(depth), path.key)];
    lines.extend(items(depth + 2, entries));
    lines
}

fn appended(text: &str, path: ListPath<'_>, entries: &[String]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let depth = match path.section {
        None => 0,
        Some(section) => {
            lines.push(format!("{section}:"));
            2
        }
    };
    lines.extend(section_lines(path, depth, entries));
    joined(lines)
}

fn insert(lines: &[&str], at: usize, new: &[String]) -> String {
    replace(lines, at, at, new)
}

fn replace(lines: &[&str], from: usize, to: usize, new: &[String]) -> String {
    let owned = |part: Option<&[&str]>| -> Vec<String> {
        part.unwrap_or_default()
            .iter()
            .map(|line| (*line).to_owned())
            .collect()
    };
    let mut out = owned(lines.get(..from));
    out.extend(new.iter().cloned());
    out.extend(owned(lines.get(to..)));
    joined(out)
}

fn joined(lines: Vec<String>) -> String {
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests;
