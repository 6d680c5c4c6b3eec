//! Nothing that an agent pushes reaches the upstream unread, whatever it is hidden in; what is clean does.

use system_tests::rows::Rows;

#[test]
fn a_clean_push_arrives_and_a_secret_never_does() {
    let mut rows = Rows::default();
    system_tests::demo::git::rows(&mut rows).unwrap();
    assert_eq!(rows.count().1, 0, "{}", rows.render());
}
