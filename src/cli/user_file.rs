//! The lines of the user configuration: `key = value`, or a comment that begins with `#` or `;`.

use ini::{Ini, ParseOption};

use crate::error::{Error, Result};
use crate::text::shown;

/// A line that sets something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: usize,
    pub(super) key: String,
    pub(super) value: String,
}

/// The lines that set something, in order.
///
/// # Errors
/// If a line is not an assignment, or the file is not UTF-8 text.
pub(super) fn lines(bytes: &[u8]) -> Result<Vec<Line>> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Error::usage(format!(
            "cannot read the user configuration, line {line}: expected text in UTF-8"
        ))
    })?;
    let lines = (1..).zip(text.trim_start_matches('\u{feff}').lines());
    lines
        .map(|(number, line)| (number, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with(['#', ';']))
        .map(|(number, line)| assignment(number, line))
        .collect()
}

/// Each line is parsed on its own, so that its number is known and no value continues on the next line;
/// escapes are off, so that backslashes are kept.
fn assignment(number: usize, line: &str) -> Result<Line> {
    let options = ParseOption {
        enabled_escape: false,
        ..ParseOption::default()
    };
    let parsed = if line.contains(['\r', '\0']) {
        None
    } else {
        Ini::load_from_str_opt(line, options).ok()
    };
    let pair = parsed
        .as_ref()
        .and_then(|ini| ini.general_section().iter().next());
    let (key, value) = pair.ok_or_else(|| {
        let line = shown(line);
        let message = format!("cannot parse the user configuration, line {number}: `{line}`");
        Error::usage(message).cause("expected `key = value`, with any quotes closed")
    })?;
    Ok(Line {
        number,
        key: key.to_owned(),
        value: value.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backslashes_comment_characters_and_blanks_in_quotes_survive() {
        let text = "\u{feff}# mine\r\n a = C:\\new\\ # ; x\\ \n\n; b = c\nb=\"x y\"\r\nc =";
        let found = lines(text.as_bytes()).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|l| (l.number, &*l.key, &*l.value))
            .collect();
        let expected = [(2, "a", r"C:\new\ # ; x\"), (5, "b", "x y"), (6, "c", "")];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_line_that_is_no_assignment_is_refused_with_its_number() {
        for line in ["a", "= b", "a = \"b", "[a]", "a = b\rc = d", "a = b\0"] {
            let error = lines(format!("\n{line}").as_bytes()).unwrap_err();
            let place = "cannot parse the user configuration, line 2: `";
            assert!(error.message.starts_with(place), "{error}");
        }
        let error = lines(b"a = b\n\xff").unwrap_err();
        let message = "cannot read the user configuration, line 2: expected text in UTF-8";
        assert_eq!(error.message, message);
    }
}
