use crate::Bottle;

#[test]
fn every_shell_gets_a_script_that_knows_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = Bottle::new().run(&["completions", shell]);
        assert!(
            said.starts_with("exit 0\n") && said.contains("completions") && said.contains("dry-run"),
            "{shell}"
        );
    }
}
