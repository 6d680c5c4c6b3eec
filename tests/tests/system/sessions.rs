//! A foreground session: the agent's own input, output and exit code; the bottle goes when it ends.

use crate::{home, internet};
use std::io::Write as _;
use std::process::Stdio;
use system_tests::docker::everything_named;

#[test]
fn a_foreground_session_carries_input_output_and_exit_code() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    home.agent(
        "talker",
        "bottle: box\nimage: small\ncommand: [bash, -c, 'read -r line; echo \"heard $line\"; exit 7']\n",
    )
    .unwrap();
    let mut command = home.command(&["start", "talker", "--yes"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"a word\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "heard a word",
        "{said}"
    );
    assert!(said.contains('7'), "the agent's exit code is not told: {said}");
    assert_eq!(home.state(), Vec::<String>::new());
    assert_eq!(everything_named("talker-").unwrap(), Vec::<String>::new());
}

#[test]
fn the_agents_prompt_and_workspace_are_there_and_the_original_is_untouched() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let work = home.path().join("work");
    fs_err::create_dir(&work).unwrap();
    fs_err::write(work.join("file.txt"), "original").unwrap();
    home.agent(
        "writer",
        "bottle: box\nimage: small\ncommand: [bash, -c, 'pwd; cat file.txt; echo changed > file.txt']\n",
    )
    .unwrap();
    let said = home
        .succeed(&["start", "writer", "--cwd", "work", "--yes"])
        .unwrap();
    assert_eq!(said, "/workspace\noriginal");
    assert_eq!(fs_err::read_to_string(work.join("file.txt")).unwrap(), "original");
}

#[test]
fn list_knows_a_running_bottle_and_its_state() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let bottle = home.start("tester").unwrap();
    let listed: serde_json::Value =
        serde_json::from_str(&home.succeed(&["list", "--json"]).unwrap()).unwrap();
    let rows = listed
        .as_array()
        .or_else(|| listed["bottles"].as_array())
        .unwrap();
    assert_eq!(rows.len(), 1, "{listed}");
    assert_eq!(rows[0]["slug"], bottle.slug(), "{listed}");
    assert_eq!(rows[0]["state"], "running", "{listed}");
}
