//! What README says of the program is so: its manifests are right, and it names every command and every option.

use crate::Bottle;
use std::collections::BTreeSet;

fn readme() -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    fs_err::read_to_string(path).unwrap()
}

/// The fenced blocks of one language.
fn blocks<'r>(readme: &'r str, language: &str) -> Vec<&'r str> {
    let fence = format!("\n```{language}\n");
    let mut pieces = readme.split(fence.as_str());
    pieces.next();
    pieces.map(|piece| piece.split("```").next().unwrap()).collect()
}

#[test]
fn the_first_bottle_of_the_readme_starts_as_it_says() {
    let readme = readme();
    let mut bottle = Bottle::new()
        .set("ANTHROPIC_API_KEY", "k-0123456789ab")
        .set("GITHUB_TOKEN", "t-0123456789ab");
    let mut written = 0;
    for block in blocks(&readme, "yaml") {
        let place = block.strip_prefix("---\n# ~/.claude-bottle/");
        if let Some((path, _)) = place.and_then(|place| place.split_once('\n')) {
            bottle = bottle.write(path, block);
            written += 1;
        }
    }
    assert_eq!(written, 2);
    let said = bottle.run(&["start", "implementer", "--dry-run"]);
    let told = said
        .strip_prefix("exit 0\n--- stdout\n")
        .and_then(|said| said.strip_suffix("--- stderr\n"))
        .unwrap_or_else(|| panic!("{said}"));
    assert!(
        readme.contains(&format!("--dry-run\n{told}$ bottle start")),
        "{told}"
    );
}

#[test]
fn every_key_of_the_reference_is_one() {
    let readme = readme();
    let blocks = blocks(&readme, "yaml");
    let block = |key: &str| {
        let found = blocks.iter().find(|block| block.starts_with(key));
        *found.unwrap_or_else(|| panic!("no block begins with {key}"))
    };
    let bottle = Bottle::new()
        .write("skills/review/SKILL.md", "")
        .write("corp-ca.pem", "")
        .write("agents/a.md", &format!("---\n{}---\n", block("bottle: dev")))
        .write(
            "bottles/dev.md",
            &format!("---\n{}---\n", block("supervise: true")),
        )
        .write("bottles/seat.md", &format!("---\n{}---\n", block("pipelock:")));
    let home = bottle.home();
    let bottle = bottle.set("HOME", home.to_str().unwrap());
    let said = bottle.run(&["check"]);
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    // Of all that it says, the file of certificates alone is not there.
    assert!(
        matches!(errors.as_slice(), [one] if one.contains("pipelock.extra_ca: HOME/corp-ca.pem holds no certificate")),
        "{said}"
    );
}

#[test]
fn every_command_and_every_option_is_in_the_readme() {
    let readme = readme();
    let bottle = Bottle::new();
    // clap's own, and what README says once of all commands.
    let general: BTreeSet<&str> = ["--help", "--version", "--json", "--yes"].into();
    let mut commands: Vec<Vec<String>> = subcommands(&bottle, &[]);
    let mut count = 0;
    while let Some(command) = commands.pop() {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let below = subcommands(&bottle, &words);
        if below.is_empty() {
            let first = words.first().unwrap();
            assert!(readme.contains(&format!("`bottle {first}")), "{words:?}");
            assert!(readme.contains(words.last().unwrap()), "{words:?}");
            let help = bottle.run(&[&words[..], &["--help"]].concat());
            for option in options(&help) {
                let is_told = general.contains(option.as_str()) || readme.contains(&option);
                assert!(is_told, "{words:?} has {option}, and README does not");
                count += 1;
            }
        }
        commands.extend(below);
    }
    assert!(count > 50, "{count}");
}

fn subcommands(bottle: &Bottle, command: &[&str]) -> Vec<Vec<String>> {
    let help = bottle.run(&[command, &["--help"]].concat());
    let Some((_, list)) = help.split_once("\nCommands:\n") else {
        return Vec::new();
    };
    list.lines()
        .take_while(|line| !line.is_empty())
        // A name stands after two spaces; what is deeper goes on with a description.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(|name| {
            command
                .iter()
                .chain([&name])
                .map(|word| (*word).to_owned())
                .collect()
        })
        .collect()
}

fn options(help: &str) -> Vec<String> {
    let words = help.split(|character: char| !(character.is_ascii_alphanumeric() || character == '-'));
    words
        .filter(|word| word.len() > 2 && word.starts_with("--"))
        .map(str::to_owned)
        .filter(|word| *word != "---")
        .collect()
}
