//! Invariant 8: two bottles of the same agent share nothing, and neither reaches the other's guards.

use crate::{curl, home, internet};
use std::process::Stdio;
use system_tests::docker::docker;

#[test]
fn two_starts_at_once_get_two_slugs_and_both_work() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let spawn = || {
        let mut command = home.command(&["start", "tester", "--detach", "--yes"]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let (one, two) = (spawn(), spawn());
    let slug = |child: std::process::Child| {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let (one, two) = (slug(one), slug(two));
    assert_ne!(one, two);
    for slug in [&one, &two] {
        let agent = format!("claude-bottle-{slug}");
        internet
            .reach_from(&format!("claude-bottle-pipelock-{slug}"))
            .unwrap();
        let url = format!("https://open.test.example/{slug}");
        docker([
            "exec",
            &agent,
            "curl",
            "--silent",
            "--fail",
            "--max-time",
            "20",
            &url,
        ])
        .unwrap();
        assert_eq!(internet.seen_at(&format!("/{slug}")).unwrap().len(), 1);
    }
    let mounts = |slug: &str, container: &str| {
        let format = "{{range .Mounts}}{{.Source}}\n{{end}}{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}\n{{end}}";
        let said = docker(["inspect", "--format", format, &format!("{container}{slug}")]).unwrap();
        said.lines()
            .filter(|line| !line.is_empty() && *line != "none")
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let fixture = docker([
        "network",
        "ls",
        "--filter",
        "name=fixture-internet",
        "--format",
        "{{.Name}}",
    ])
    .unwrap();
    for container in ["claude-bottle-", "claude-bottle-egress-"] {
        let first = mounts(&one, container);
        let shared: Vec<String> = mounts(&two, container)
            .into_iter()
            .filter(|source| first.contains(source) && !fixture.lines().any(|network| network == source))
            .collect();
        assert_eq!(shared, Vec::<String>::new(), "{container}");
    }
    home.succeed(&["stop", &one]).unwrap();
    docker([
        "exec",
        &format!("claude-bottle-{two}"),
        "curl",
        "--silent",
        "--fail",
        "http://_egress.local/allowlist",
    ])
    .unwrap();
    home.succeed(&["stop", &two]).unwrap();
}

#[test]
fn one_homes_cleanup_never_touches_anothers() {
    let internet = internet().unwrap();
    let (mine, theirs) = (home(&internet).unwrap(), home(&internet).unwrap());
    let bottle = theirs.start("tester").unwrap();
    mine.succeed(&["cleanup"]).unwrap();
    assert_eq!(curl(&bottle, "http://_egress.local/allowlist").unwrap().0, "200");
    assert_eq!(mine.succeed(&["list"]).unwrap().matches("tester").count(), 0);
    assert!(theirs.succeed(&["list"]).unwrap().contains(bottle.slug()));
}
