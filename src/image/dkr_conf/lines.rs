//! The lines of `.dkr.conf`: text, `key = value`, and the text of errors. It knows no key by name.

use ini::{Ini, ParseOption};

use crate::error::{Error, Result, suggestion};
use crate::text::{one_of, shown};

/// The maximum size of a configuration, in bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// One `key = value` line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) key: String,
    pub(super) value: String,
}

/// The text of a file: no byte order mark, lines that end in LF.
///
/// A carriage return that is not before LF stays, for [`check_characters`] to reject.
pub(super) fn decode(bytes: &[u8]) -> Result<String> {
    if bytes.len() > MAX_BYTES {
        let size = bytes.len();
        return Err(Error::usage(format!(
            "cannot read `.dkr.conf`: it has {size} bytes, and at most {MAX_BYTES} are allowed"
        )));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Error::usage(format!(
            "cannot read `.dkr.conf`, line {line}: expected text in UTF-8"
        ))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Ok(text.replace("\r\n", "\n"))
}

/// The name of a forbidden character in `line`, if there is one.
fn forbidden_character(line: &str) -> Option<&'static str> {
    line.chars().find_map(|character| match character {
        '\r' => Some("a carriage return"),
        '\0' => Some("a NUL character"),
        _ => None,
    })
}

/// Rejects a carriage return or NUL in `line`.
pub(super) fn check_characters(line: &str, number: usize) -> Result<()> {
    let Some(character) = forbidden_character(line) else {
        return Ok(());
    };
    Err(Error::usage(format!(
        "cannot parse `.dkr.conf`, line {number}: it contains {character}; lines must end in LF or CR LF"
    )))
}

/// The key and value in `line`; `None` for an empty line or a comment (`#`, `;`).
///
/// Escapes are off, so that a backslash is kept, and each line is parsed alone, so that its number is
/// known and no value continues on the next line.
pub(super) fn assignment(line: &str, number: usize) -> Result<Option<Assignment>> {
    if let Some(character) = forbidden_character(line)
        && let Some((key, value)) = line.split_once(['=', ':'])
        && !line.trim_start().starts_with(['#', ';'])
    {
        let allowed = format!("a value without {character}");
        return Err(invalid(value.trim(), key.trim(), number, &allowed));
    }
    check_characters(line, number)?;
    let line = line.trim();
    if line.is_empty() || line.starts_with(['#', ';']) {
        return Ok(None);
    }
    let options = ParseOption {
        enabled_escape: false,
        ..ParseOption::default()
    };
    let malformed = || {
        let text = shown(line);
        let message = format!("cannot parse `.dkr.conf`, line {number}: `{text}`");
        Error::usage(message).cause("expected `key = value`, with any quotes closed")
    };
    let ini = Ini::load_from_str_opt(line, options).map_err(|_| malformed())?;
    let mut pairs = ini.general_section().iter();
    let (key, value) = pairs.next().ok_or_else(malformed)?;
    Ok(Some(Assignment {
        key: key.to_owned(),
        value: value.to_owned(),
    }))
}

/// The error for a value that `key` cannot have.
pub(super) fn invalid(value: &str, key: &str, line: usize, expected: &str) -> Error {
    let (value, key) = (shown(value), shown(key));
    Error::usage(format!(
        "invalid value `{value}` for `{key}` in `.dkr.conf`, line {line}: expected {expected}"
    ))
}

/// The error for a name that is not one of `known`; `what` is the kind of name.
pub(super) fn unknown(what: &str, name: &str, place: &str, known: &[&str]) -> Error {
    let expected = one_of(known);
    let shown = shown(name);
    let error = Error::usage(format!(
        "unknown {what} `{shown}` {place}: expected {expected}"
    ));
    match suggestion(name, known.iter().copied()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error,
    }
}

/// The error for a duplicate key or section header.
pub(super) fn repeated(name: &str, line: usize, first: usize) -> Error {
    let what = if name.starts_with('[') {
        "section"
    } else {
        "key"
    };
    Error::usage(format!(
        "duplicate {what} `{name}` in `.dkr.conf`, line {line} (first on line {first})"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(line: &str) -> Option<(String, String)> {
        let found = assignment(line, 4).unwrap();
        found.map(|found| (found.key, found.value))
    }

    #[test]
    fn backslashes_and_comment_characters_inside_a_value_survive() {
        let expected = Some(("a".into(), r"C:\new\ # ; x\".into()));
        assert_eq!(pair(r" a = C:\new\ # ; x\"), expected);
        assert_eq!(pair("a = \"x y\""), Some(("a".into(), "x y".into())));
        assert_eq!(pair("a ="), Some(("a".into(), String::new())));
        assert_eq!(pair("  ; a = b"), None);
        assert_eq!(pair("# a = b"), None);
        assert_eq!(pair(" \t"), None);
    }

    #[test]
    fn a_line_that_is_no_assignment_is_refused_with_its_number() {
        for line in ["a", "= b", "a = \"b"] {
            let error = assignment(line, 4).unwrap_err();
            assert!(
                error
                    .message
                    .starts_with("cannot parse `.dkr.conf`, line 4: "),
                "{error}"
            );
        }
    }

    #[test]
    fn a_carriage_return_or_nul_in_a_value_names_key_and_line() {
        let error = assignment("base_image = a\rb = c", 4).unwrap_err();
        assert_eq!(
            error.message,
            "invalid value `a\\rb = c` for `base_image` in `.dkr.conf`, line 4: \
             expected a value without a carriage return"
        );
        let error = assignment("a = b\0", 4).unwrap_err();
        assert!(error.message.ends_with("without a NUL character"));
        let error = assignment("# a\rb = c", 4).unwrap_err();
        assert!(
            error
                .message
                .contains("line 4: it contains a carriage return")
        );
    }

    #[test]
    fn text_is_decoded_and_what_is_not_text_is_refused() {
        let text = decode(b"\xef\xbb\xbfa = 1\r\nb = 2\n").unwrap();
        assert_eq!(text, "a = 1\nb = 2\n");
        let error = decode(b"a\nb\n\xff\xfe").unwrap_err();
        assert_eq!(
            error.message,
            "cannot read `.dkr.conf`, line 3: expected text in UTF-8"
        );
        let error = decode(&vec![b'#'; 10_000_000]).unwrap_err();
        assert_eq!(
            error.message,
            "cannot read `.dkr.conf`: it has 10000000 bytes, and at most 1048576 are allowed"
        );
    }
}
