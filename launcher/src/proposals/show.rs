//! What an operator sees of a proposal. Everything that an agent wrote is quoted line by line and made harmless: it can neither act on
//! the terminal nor look like a line of ours.

use super::decide::Considered;
use super::queue::Item;
use contract::text::is_deceptive;
use contract::{Ask, RouteAsk};

/// The longest line about an ask, in characters: a host, its methods and a path or two.
const LONGEST_LINE: usize = 400;
/// What a line goes on with, where the terminal would break it: no line of a terminal begins with an agent's words.
const GOES_ON: &str = "  ↪ ";

/// Breaks lines where a terminal of this width would, each further part behind a mark: words that an agent has put just there would
/// otherwise begin a line of the terminal and look like ours. Any width that is not one is taken for the narrowest.
pub fn folded(text: &str, columns: usize) -> String {
    let columns = columns.max(NARROWEST);
    let mut shown = String::with_capacity(text.len());
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            shown.push('\n');
        }
        let mut at = 0;
        for character in line.chars() {
            // A tab goes to the next multiple of eight; outside of ASCII a character may take two columns, and is taken to.
            let wide = match character {
                '\t' => 8 - at % 8,
                ' '..='~' => 1,
                _ => 2,
            };
            if at + wide > columns {
                shown.push('\n');
                shown.push_str(GOES_ON);
                at = 4;
            }
            shown.push(character);
            at += wide;
        }
    }
    shown
}

/// The narrowest terminal that lines are broken for.
const NARROWEST: usize = 20;

/// Escapes what acts on a terminal or hides, and keeps line ends and tabs.
pub fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_deceptive(character) && !matches!(character, '\n' | '\t') {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Each line of untrusted text behind a bar.
pub fn quoted(text: &str) -> String {
    let lines: Vec<String> = escaped(text.trim())
        .lines()
        .map(|line| format!("  | {line}"))
        .collect();
    lines.join("\n")
}

/// What an ask is for, in one line that can be read: a long one is cut, and the difference that is shown has all of it.
pub fn asked(ask: &Ask) -> String {
    let whole = asked_whole(ask);
    match whole.char_indices().nth(LONGEST_LINE) {
        Some((at, _)) => format!("{}…", whole.get(..at).unwrap_or_default()),
        None => whole,
    }
}

fn asked_whole(ask: &Ask) -> String {
    match ask {
        Ask::EgressBlock(asked) => route(&asked.ask),
        Ask::PipelockBlock(asked) => match &asked.rule {
            None => format!("{} at the seat", asked.host),
            Some(rule) => format!("{} exempt from {rule}", asked.host),
        },
        Ask::CapabilityBlock(asked) => format!("a Dockerfile of {} lines", asked.dockerfile.lines().count()),
    }
}

fn route(ask: &RouteAsk) -> String {
    let list = |items: Vec<String>| items.join(",");
    let mut told = ask.host.to_string();
    if !ask.methods.is_empty() {
        told.push(' ');
        told.push_str(&list(ask.methods.iter().map(ToString::to_string).collect()));
    }
    if !ask.path_allowlist.is_empty() {
        told.push(' ');
        told.push_str(&list(
            ask.path_allowlist.iter().map(ToString::to_string).collect(),
        ));
    }
    if let Some(auth) = &ask.auth {
        told.push_str(&format!(" with {} ({})", auth.token_ref, auth.scheme));
    }
    told
}

/// How old, in the largest unit that is at least one.
pub fn age(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{} s", seconds.max(0)),
        60..3600 => format!("{} min", seconds / 60),
        3600..86400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86400),
    }
}

/// The head of a proposal and the agent's own words.
pub fn head(item: &Item) -> String {
    let mut told = format!(
        "proposal  {}  {}  {} ago\nbottle    {}\nasks for  {}",
        item.id(),
        item.proposal.ask.tool(),
        age(item.age_seconds()),
        item.slug,
        escaped(&asked(&item.proposal.ask))
    );
    if let Some(by) = &item.proposal.asked_by {
        told.push_str(&format!(
            "\nasked by  {} {} (so it says)",
            contract::text::harmless(&by.name),
            contract::text::harmless(&by.version)
        ));
    }
    told.push_str(&format!(
        "\nits words (untrusted: the agent wrote them)\n{}",
        quoted(item.proposal.ask.justification())
    ));
    told
}

/// Everything to decide by: head, flags, the whole difference.
pub fn considered(considered: &Considered) -> String {
    let mut told = head(&considered.item);
    if let Some(modified) = &considered.modified {
        told.push_str(&format!("\nedited to {}", escaped(&asked(modified))));
    }
    if let Some(expires_at) = considered.expires_at {
        told.push_str(&format!("\nends      {expires_at}"));
    }
    if considered.once {
        told.push_str("\nends      after one request");
    }
    for (number, risk) in considered.risks.iter().enumerate() {
        let label = if number == 0 { "mind" } else { "" };
        told.push_str(&format!("\n{label:<9} {}: {}", risk.flag, risk.text));
    }
    for (number, note) in considered.change.notes.iter().enumerate() {
        let label = if number == 0 { "note" } else { "" };
        told.push_str(&format!("\n{label:<9} {note}"));
    }
    for guard in &considered.change.absent {
        told.push_str(&format!(
            "\nnote      this bottle has no {guard}; nothing changes there"
        ));
    }
    for slot in &considered.change.new_slots {
        told.push_str(&format!(
            "\nnote      egress is made anew to hold {}: requests under way are cut",
            slot.token_ref
        ));
    }
    let diff = considered.change.diff();
    if diff.is_empty() {
        told.push_str("\nnothing would change");
    } else {
        told.push_str(&format!("\nwould be enforced\n{}", escaped(diff.trim_end())));
    }
    told
}

/// What is asked at the end. A long difference has moved the head off the screen by then, so it is said again what for.
pub fn question(considered: &Considered) -> String {
    let flags: Vec<&str> = considered.risks.iter().map(|risk| risk.flag).collect();
    let mind = match flags.as_slice() {
        [] => String::new(),
        flags => format!(" (mind: {})", flags.join(", ")),
    };
    format!(
        "{}\nApprove {} of {}{mind}?",
        escaped(&asked(considered.ask())),
        considered.item.id(),
        considered.item.slug
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_words_cannot_look_like_ours() {
        let words = "please\n\u{1b}[2Jproposal  p-0000\r\nmind      nothing\u{202e}";
        insta::assert_snapshot!(quoted(words), @r"
          | please
          | \u{1b}[2Jproposal  p-0000\u{d}
          | mind      nothing\u{202e}
        ");
    }

    #[test]
    fn no_line_of_the_terminal_begins_with_what_an_agent_put_there() {
        let padded = format!("  | please{}mind      nothing at all", " ".repeat(70));
        let shown = folded(&padded, 80);
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        assert!(shown.contains("\n  ↪ mind      nothing"), "{shown}");
        assert!(shown.lines().all(|line| line.starts_with("  ")), "{shown}");
        let wide = folded(&format!("+{}\n\tx", "表".repeat(50)), 80);
        assert_eq!(wide.lines().count(), 3, "{wide}");
        assert_eq!(folded("short\n\nlines\n", 80), "short\n\nlines\n");
        assert!(folded("abc", 0).contains("abc"));
    }

    #[test]
    fn an_ask_of_any_length_is_one_line_that_can_be_read() {
        let paths: Vec<String> = (0..64)
            .map(|number| format!("/{number}{}", "x".repeat(2000)))
            .collect();
        let arguments =
            serde_json::json!({"host": "a.example", "path_allowlist": paths, "justification": "x"});
        let ask = serde_json::json!({"tool": "egress-block", "arguments": arguments});
        let told = asked(&serde_json::from_value(ask).unwrap());
        assert!(
            told.starts_with("a.example /0xx") && told.ends_with('…'),
            "{told}"
        );
        assert_eq!(told.chars().count(), LONGEST_LINE + 1);
    }

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        assert_eq!(
            [0, 59, 60, 7200, 172_800].map(age),
            ["0 s", "59 s", "1 min", "2 h", "2 d"]
        );
    }
}
