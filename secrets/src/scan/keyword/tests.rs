use super::*;
use proptest::prelude::*;

fn found(keywords: &Keywords, text: &[u8], cut: usize) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (end, fresh) in [(cut, 0), (text.len(), cut)] {
        keywords.scan(&text[..end], fresh, |start, length, _| {
            found.push((start, length));
            true
        });
    }
    found.sort_unstable();
    found.dedup();
    found
}

proptest! {
    #[test]
    fn every_keyword_is_told_wherever_the_text_is_cut(
        parts in prop::collection::vec(
            prop::sample::select(vec!["ghp_", "GHP_", "token", "secret", "sk-", "AKIA", "a", "_", " ", "gh", "p_", "-----BEGIN"]),
            0..12,
        ),
        cut in 0usize..80,
    ) {
        let rules = RuleSet::built_in().unwrap();
        let keywords = Keywords::new(&rules).unwrap();
        let text = parts.concat();
        let cut = cut.min(text.len());
        let lower = text.to_ascii_lowercase();
        let mut expected: Vec<(usize, usize)> = rules
            .rules
            .iter()
            .flat_map(|rule| &rule.keywords)
            .map(|keyword| keyword.to_ascii_lowercase())
            .flat_map(|keyword| {
                let lower = &lower;
                (0..lower.len())
                    .filter(|&at| lower[at..].starts_with(&keyword))
                    .map(|at| (at, keyword.len()))
                    .collect::<Vec<_>>()
            })
            .collect();
        expected.sort_unstable();
        expected.dedup();
        prop_assert_eq!(found(&keywords, text.as_bytes(), cut), expected);
    }
}
