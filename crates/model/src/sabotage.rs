//! Taking one control out on purpose, to show that the attack it stops would get through without it.
//!
//! Only builds with the feature `sabotage` can: in every other one [`is_out`] is the constant `false`, and the
//! optimiser removes what hangs on it. A release build with the feature does not compile.

#[cfg(all(feature = "sabotage", not(debug_assertions)))]
compile_error!("`sabotage` takes controls out: it is for `cargo xtask attack` and never for a release build");

/// Whether the control that stops attack `case` is taken out in this process: the one that the environment variable
/// `COFFERDAM_SABOTAGE` names by its number.
#[cfg(feature = "sabotage")]
pub fn is_out(case: u16) -> bool {
    static OUT: std::sync::OnceLock<Option<u16>> = std::sync::OnceLock::new();
    *OUT.get_or_init(|| std::env::var("COFFERDAM_SABOTAGE").ok()?.parse().ok()) == Some(case)
}

#[cfg(not(feature = "sabotage"))]
#[inline(always)]
pub const fn is_out(_case: u16) -> bool {
    false
}
