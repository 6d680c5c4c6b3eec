use super::*;
use proptest::prelude::*;

const TOP: ListPath<'static> = ListPath {
    section: None,
    key: "api_allowlist",
};
const INNER: ListPath<'static> = ListPath {
    section: Some("ssrf"),
    key: "ip_allowlist",
};

fn texts(entries: &[&str]) -> Vec<String> {
    entries.iter().map(|&entry| entry.to_owned()).collect()
}

#[test]
fn an_entry_goes_behind_the_last_one_and_comments_stay() {
    let file = "# head\nmode: strict\napi_allowlist: # ours\n- a.example # first\n\n# second\n- b.example\n\n# tail\ndlp: {}\n";
    let changed = change(file, TOP, &texts(&["c.example"]), &[]).unwrap();
    assert_eq!(
        changed,
        "# head\nmode: strict\napi_allowlist: # ours\n- a.example # first\n\n# second\n- b.example\n- c.example\n\n# tail\ndlp: {}\n"
    );
    let removed = change(&changed, TOP, &[], &texts(&["B.example."])).unwrap();
    assert!(!removed.contains("b.example") && removed.contains("# second\n- c.example"));
}

#[test]
fn every_usual_layout_takes_an_entry_and_gives_it_back() {
    for file in [
        "api_allowlist: []\n",
        "api_allowlist: [a.example, b.example] # both\nmode: strict\n",
        "api_allowlist:\n    - a.example\n",
        "mode: strict\n",
        "api_allowlist:\nmode: strict\n",
        "api_allowlist: ~\n",
        "",
        "# only a comment\n",
    ] {
        let changed = change(file, TOP, &texts(&["new.example"]), &[]).unwrap();
        assert!(
            entries(&changed, TOP)
                .unwrap()
                .contains(&"new.example".to_owned()),
            "{file}"
        );
        let back = change(&changed, TOP, &[], &texts(&["new.example"])).unwrap();
        assert_eq!(
            entries(&back, TOP).unwrap(),
            entries(file, TOP).unwrap(),
            "{file}"
        );
    }
    for file in [
        "ssrf:\n  other: 1\n",
        "ssrf:\n    ip_allowlist:\n    - 10.0.0.0/8\nx: 1\n",
        "ssrf:\nx: 1\n",
        "x: 1\n",
        "ssrf:\n  ip_allowlist: []\n",
    ] {
        let changed = change(file, INNER, &texts(&["10.1.0.0/16"]), &[]).unwrap();
        assert!(
            entries(&changed, INNER)
                .unwrap()
                .contains(&"10.1.0.0/16".to_owned()),
            "{file}"
        );
    }
}

#[test]
fn what_is_laid_out_otherwise_is_left_alone() {
    for file in [
        "{api_allowlist: [a.example]}\n",
        "api_allowlist: [a.example,\n  b.example]\n",
        "api_allowlist: &x\n  - a.example\nother: *x\n",
        "api_allowlist: a.example\n",
        "api_allowlist:\n  - {a: b}\n",
        "\"api_allowlist\":\n  - a.example\n",
    ] {
        assert!(
            change(file, TOP, &texts(&["new.example"]), &[]).is_err(),
            "{file}"
        );
    }
    assert!(change("ssrf: {ip_allowlist: []}\n", INNER, &texts(&["10.0.0.0/8"]), &[]).is_err());
}

#[test]
fn a_scalar_is_quoted_where_it_could_be_read_as_something_else() {
    for (text, written) in [
        ("docs.rs", "docs.rs"),
        ("10.1.2.0/24", "10.1.2.0/24"),
        ("true", "'true'"),
        ("1e5", "'1e5'"),
        ("*.example.com", "'*.example.com'"),
        ("it's", "'it''s'"),
        ("0x10", "'0x10'"),
        ("fd00::/8", "fd00::/8"),
        ("_a.example", "'_a.example'"),
    ] {
        assert_eq!(scalar(text), written);
        assert_eq!(serde_yaml::from_str::<String>(&scalar(text)).unwrap(), text);
    }
}

proptest! {
    #[test]
    fn whatever_the_file_a_change_says_what_it_should_or_is_refused(
        file in "(# c\n)?(mode: strict\n)?(api_allowlist:( #x)?\n( {0,3}- [a-d]\\.example( # y)?\n| {0,2}# z\n|\n){0,5})?(dlp:\n  scan_env: true\n)?",
        add in prop::collection::vec("[a-f]\\.example", 0..3),
        remove in prop::collection::vec("[a-f]\\.example", 0..3),
    ) {
        let Ok(before) = entries(&file, TOP) else { return Ok(()) };
        if let Ok(changed) = change(&file, TOP, &add, &remove) {
            let after = entries(&changed, TOP).unwrap();
            for one in &add { prop_assert!(after.contains(one)); }
            for one in &before { prop_assert_eq!(after.contains(one), add.contains(one) || !remove.contains(one)); }
            for line in file.lines().filter(|line| line.trim_start().starts_with('#')) { prop_assert!(changed.contains(line)); }
        }
    }

    #[test]
    fn any_text_is_taken_without_a_panic(file in "\\PC{0,80}", entry in "\\PC{0,10}") {
        let _ = change(&file, TOP, std::slice::from_ref(&entry), &[]);
        let _ = change(&file, INNER, &[entry], &[]);
    }
}
