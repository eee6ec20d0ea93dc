use super::*;

#[test]
fn the_shipped_policy_has_no_mistake() {
    let policy = Policy::parse(DEFAULT_POLICY).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(policy.version(), "default-1");
}
