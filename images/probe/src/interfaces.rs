//! The network interfaces of this namespace, asked for in two ways that must both be blind to miss one.

use std::collections::BTreeSet;

/// Names, sorted. Empty when neither way gives an answer, which is a fault.
pub fn names() -> Vec<String> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    if let Ok(interfaces) = nix::net::if_::if_nameindex() {
        names.extend(
            interfaces
                .iter()
                .map(|interface| interface.name().to_string_lossy().into_owned()),
        );
    }
    // The kernel's own table; every line but the two of its heading starts with `name:`.
    if let Ok(table) = std::fs::File::open("/proc/self/net/dev").and_then(std::io::read_to_string) {
        names.extend(
            table
                .lines()
                .filter_map(|line| line.split_once(':'))
                .map(|(name, _)| name.trim().to_owned()),
        );
    }
    names.into_iter().collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn loopback_is_always_there() {
        assert!(super::names().contains(&"lo".to_owned()));
    }
}
