//! Each misuse is told with what would help, at the place that is wrong.

#[test]
fn every_misuse_is_explained() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
