//! JSON on standard output, for programs.

use serde::Serialize;

use crate::error::{Error, Result};

#[cfg(test)]
mod schemas;

/// `value` as indented JSON with a trailing newline.
///
/// # Errors
/// Never for the values that dkr prints, which are strings and numbers.
pub fn to_json(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|e| Error::bug("cannot write JSON").source(e))?;
    Ok(text + "\n")
}
