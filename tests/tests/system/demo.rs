//! The demo is a test: every row of it holds.

#[test]
fn every_row_of_the_demo_holds() {
    let mut said = Vec::new();
    let held = system_tests::demo::run(&mut |line| said.push(line.to_owned()));
    assert!(matches!(held, Ok(true)), "{held:?}\n{}", said.join("\n"));
}
