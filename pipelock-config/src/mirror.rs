//! The hosts of the routes, mirrored into an existing `pipelock.yaml`.
//!
//! What the routes gained since they were mirrored last is added, what they lost is removed, and what the operator added by hand
//! stays.

use std::collections::BTreeSet;

use contract::RouteTable;

use crate::edit::{ALLOWLIST, EditError, IP_ALLOWLIST, PASSTHROUGH};
use crate::list::{self, ListPath};
use crate::pattern::readable;
use crate::pipelock_file::PipelockFile;

/// The changed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrored {
    /// The file; the same text when nothing had to change.
    pub text: String,
    /// What was dropped or is in the way, for the operator.
    pub notes: Vec<String>,
}

/// Brings `text` from the routes `before` to the routes `after`: allowlist, passthrough hosts and permitted networks. Entries
/// outside the characters that every engine reads alike (`A–Z a–z 0–9 _ . -`) are dropped with a note.
///
/// # Errors
/// The file does not parse, or a list is laid out in a way that cannot be changed safely.
pub fn mirror(text: &str, before: &RouteTable, after: &RouteTable) -> Result<Mirrored, EditError> {
    let file = PipelockFile::parse(text.as_bytes())?;
    let mut notes = Vec::new();
    let mut unreadable = Vec::new();
    for entry in &file.api_allowlist {
        let (_, why) = readable("api_allowlist", [entry.as_str()]);
        if !why.is_empty() {
            unreadable.push(entry.clone());
            notes.extend(
                why.into_iter()
                    .map(|why| why.replace("; it names nothing here", "; dropped")),
            );
        }
    }
    let mut text = list::change(text, ALLOWLIST, &[], &unreadable)?;
    let lists: [(ListPath<'_>, Of); 3] = [
        (ALLOWLIST, hosts),
        (PASSTHROUGH, passthrough),
        (IP_ALLOWLIST, networks),
    ];
    for (path, of) in lists {
        let (old, new) = (of(before), of(after));
        let add: Vec<String> = in_order(after, of)
            .into_iter()
            .filter(|one| new.contains(one))
            .collect();
        let remove: Vec<String> = old.difference(&new).cloned().collect();
        text = list::change(&text, path, &add, &remove)?;
    }
    Ok(Mirrored { text, notes })
}

type Of = fn(&RouteTable) -> BTreeSet<String>;

fn hosts(table: &RouteTable) -> BTreeSet<String> {
    table
        .routes()
        .iter()
        .map(|route| route.host.to_string())
        .collect()
}

fn passthrough(table: &RouteTable) -> BTreeSet<String> {
    let uninspected = table.routes().iter().filter(|route| !route.inspect);
    uninspected.map(|route| route.host.to_string()).collect()
}

fn networks(table: &RouteTable) -> BTreeSet<String> {
    let networks = table.routes().iter().filter_map(|route| route.private_cidr);
    networks.map(|network| network.trunc().to_string()).collect()
}

/// What a list holds of a table, in the order of its routes.
fn in_order(table: &RouteTable, of: Of) -> Vec<String> {
    let all = of(table);
    let mut ordered: Vec<String> = table
        .routes()
        .iter()
        .map(|route| route.host.to_string())
        .filter(|host| all.contains(host))
        .collect();
    ordered.extend(
        all.iter()
            .filter(|one| !ordered.contains(one))
            .cloned()
            .collect::<Vec<_>>(),
    );
    let mut seen = BTreeSet::new();
    ordered.retain(|one| seen.insert(one.clone()));
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::{HostName, Route};

    fn table(routes: &[(&str, bool, Option<&str>)]) -> RouteTable {
        let routes = routes
            .iter()
            .map(|(host, inspect, network)| Route {
                inspect: *inspect,
                private_cidr: network.map(|network| network.parse().unwrap()),
                ..Route::bare(host.parse::<HostName>().unwrap())
            })
            .collect();
        RouteTable::new(1, routes).unwrap()
    }

    const FILE: &str = "\
# mine
mode: strict
api_allowlist:
  - docs.rs # rust
  - by-hand.example
tls_interception:
  enabled: true # must
";

    #[test]
    fn what_routes_gain_is_added_what_they_lose_goes_and_the_rest_stays() {
        let before = table(&[("docs.rs", true, None)]);
        let after = table(&[
            ("a.example", false, None),
            ("git.corp.example", true, Some("10.1.2.0/24")),
        ]);
        let mirrored = mirror(FILE, &before, &after).unwrap();
        assert_eq!(
            mirrored.text,
            "\
# mine
mode: strict
api_allowlist:
  - by-hand.example
  - a.example
  - git.corp.example
tls_interception:
  passthrough_domains:
    - a.example
  enabled: true # must
ssrf:
  ip_allowlist:
    - 10.1.2.0/24
"
        );
        let back = mirror(&mirrored.text, &after, &before).unwrap();
        assert!(back.text.contains("- docs.rs") && back.text.contains("passthrough_domains: []"));
        assert_eq!(mirror(&back.text, &before, &before).unwrap().text, back.text);
    }

    #[test]
    fn what_no_engine_reads_as_a_host_is_dropped_with_a_note() {
        let file = FILE.replace("by-hand.example", "'b\u{fc}cher.example'");
        let routes = table(&[("docs.rs", true, None)]);
        let mirrored = mirror(&file, &routes, &routes).unwrap();
        assert!(!mirrored.text.contains('\u{fc}'));
        assert_eq!(mirrored.notes.len(), 1);
        assert!(mirrored.notes[0].ends_with("; dropped"), "{:?}", mirrored.notes);
    }
}
