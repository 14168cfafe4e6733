//! What a run can have: the rules that records and checkpoints share, and how a value that breaks one is named.

use cnn_core::text::{breaks_line, is_one_line};

use crate::recipe::Recipe;

/// A value that no run has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, but must be {expected}")]
pub struct Inconsistent {
    /// Where.
    pub field: String,
    /// What stands there.
    pub value: String,
    /// What must stand there.
    pub expected: String,
}

/// Whether a run needs fields that the first version of a record or a checkpoint does not have.
pub fn is_extended(recipe: &Recipe, initial_file: Option<&str>) -> bool {
    *recipe != recipe.in_model_file() || initial_file.is_some()
}

/// The longest name of a file that gave initial parameters, in bytes.
pub const MAX_INITIAL_FILE: usize = 255;

/// Whether a file that gave initial parameters can have that name.
///
/// # Errors
/// If it cannot.
pub fn check_initial_file(name: Option<&str>) -> Result<(), Inconsistent> {
    let Some(name) = name else { return Ok(()) };
    one_line("initial_file", name)?;
    let expected = format_args!("1 to {MAX_INITIAL_FILE}");
    require((1..=MAX_INITIAL_FILE).contains(&name.len()), "the length of initial_file in bytes", name.len(), expected)
}

/// A name or a description as the formats take it: � in place of characters that break the line or reorder it.
pub fn as_line(name: &str) -> String {
    name.replace(breaks_line, "\u{fffd}")
}

/// # Errors
/// Unless what is demanded of a value holds.
pub fn require(
    holds: bool,
    field: &str,
    value: impl std::fmt::Display,
    expected: impl std::fmt::Display,
) -> Result<(), Inconsistent> {
    if holds {
        return Ok(());
    }
    Err(Inconsistent { field: field.into(), value: value.to_string(), expected: expected.to_string() })
}

/// Names and descriptions, which people are shown: one line each.
///
/// # Errors
/// If it is not.
pub fn one_line(field: &str, text: &str) -> Result<(), Inconsistent> {
    require(is_one_line(text), field, format_args!("{text:?}"), "one line of plain text")
}

/// Counts of what cannot be none.
///
/// # Errors
/// If it is 0.
pub fn at_least_one(field: &str, value: impl Into<u64>) -> Result<(), Inconsistent> {
    let value = value.into();
    require(value >= 1, field, value, "at least 1")
}

/// Rates, losses and times.
///
/// # Errors
/// If it is negative, infinite or NaN.
pub fn not_negative(field: &str, value: impl Into<f64>) -> Result<(), Inconsistent> {
    let value = value.into();
    require(value.is_finite() && value >= 0.0, field, value, "finite and not negative")
}
