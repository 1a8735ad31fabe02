//! A ticket cannot be made, copied or used twice outside the ledger: such programs do not compile.

#[test]
fn nobody_else_can_make_or_reuse_a_ticket() {
    trybuild::TestCases::new().compile_fail("tests/tickets/*.rs");
}
