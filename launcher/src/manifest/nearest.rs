//! "Did you mean": the nearest of the names that would have been right.

use contract::text::harmless;

/// The candidate that a typing mistake would turn into `written`: at most two edits, and fewer than half its length.
pub fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase();
    let distance = |candidate: &str| strsim::damerau_levenshtein(&written, &candidate.to_lowercase());
    candidates
        .into_iter()
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 2 && distance * 2 < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// ``; did you mean `x`?`` or the whole list.
pub fn suggestion<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    match nearest(written, candidates.iter().copied()) {
        Some(near) => format!("did you mean `{}`?", harmless(near)),
        None if candidates.is_empty() => "there is none".to_owned(),
        None => format!(
            "there is {}",
            candidates
                .iter()
                .map(|name| format!("`{}`", harmless(name)))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_mistake_finds_its_name() {
        let keys = ["host", "path_allowlist", "methods", "auth"];
        assert_eq!(nearest("hosst", keys), Some("host"));
        assert_eq!(nearest("path_allowlsit", keys), Some("path_allowlist"));
        assert_eq!(nearest("Host", keys), Some("host"));
        assert_eq!(nearest("zzz", keys), None);
        assert_eq!(nearest("xy", ["ab"]), None);
    }
}
