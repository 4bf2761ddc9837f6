//! What both configuration files share: text, `key = value` lines, and the wording of errors.
//!
//! Used by the parser of `.dkr.conf` and by the user's settings. It knows no key by name.

use std::fmt;

use ini::{Ini, ParseOption};

use crate::error::{Error, Result, suggestion};
use crate::text::excerpt;

/// A configuration of more bytes than this is not one that a person wrote.
const MAX_BYTES: usize = 1024 * 1024;

/// The file that a line stands in, as messages call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum File {
    /// `.dkr.conf` of the repository.
    Repository,
    /// `dkr/dkr.conf` of the user.
    User,
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            File::Repository => "`.dkr.conf`",
            File::User => "the user configuration",
        })
    }
}

/// One `key = value` line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) key: String,
    pub(super) value: String,
}

/// The text of a file: no byte order mark, lines that end in LF.
///
/// A carriage return elsewhere than before LF stays, for [`check_characters`] to refuse.
pub(super) fn decode(bytes: &[u8], file: File) -> Result<String> {
    if bytes.len() > MAX_BYTES {
        let size = bytes.len();
        return Err(Error::usage(format!(
            "cannot read {file}: it has {size} bytes, and at most {MAX_BYTES} are allowed"
        )));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Error::usage(format!(
            "cannot read {file}, line {line}: expected text in UTF-8"
        ))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Ok(text.replace("\r\n", "\n"))
}

/// The forbidden character in `line`, named, if there is one.
fn forbidden_character(line: &str) -> Option<&'static str> {
    line.chars().find_map(|character| match character {
        '\r' => Some("a carriage return"),
        '\0' => Some("a NUL character"),
        _ => None,
    })
}

/// Refuses a carriage return or NUL in `line`.
pub(super) fn check_characters(line: &str, number: usize, file: File) -> Result<()> {
    let Some(character) = forbidden_character(line) else {
        return Ok(());
    };
    Err(Error::usage(format!(
        "cannot parse {file}, line {number}: it holds {character}, and lines end in LF or CR LF"
    )))
}

/// The key and value in `line`; `None` for an empty line or a comment (`#`, `;`).
///
/// Escapes are off, so that a backslash stays one, and each line is parsed alone, so that its
/// number is known and nothing runs on into the next.
pub(super) fn assignment(line: &str, number: usize, file: File) -> Result<Option<Assignment>> {
    if let Some(character) = forbidden_character(line)
        && let Some((key, value)) = line.split_once(['=', ':'])
        && !line.trim_start().starts_with(['#', ';'])
    {
        let allowed = format!("a value without {character}");
        return Err(invalid(value.trim(), key.trim(), file, number, &allowed));
    }
    check_characters(line, number, file)?;
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
        let message = format!("cannot parse {file}, line {number}: `{text}`");
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
pub(super) fn invalid(value: &str, key: &str, file: File, line: usize, expected: &str) -> Error {
    let (value, key) = (shown(value), shown(key));
    Error::usage(format!(
        "invalid value `{value}` for `{key}` in {file}, line {line}: expected {expected}"
    ))
}

/// The error for a name that is not one of `known`; `what` is the sort of name.
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

/// The error for a key or section header that stands in `file` a second time.
pub(super) fn repeated(name: &str, file: File, line: usize, first: usize) -> Error {
    Error::usage(format!(
        "`{name}` stands twice in {file}, line {line}: the first is in line {first}"
    ))
}

/// Names as a sentence lists them: `` `a`, `b` or `c` ``.
pub(super) fn one_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// `text` as a message may hold it: short, and without characters that move a cursor.
pub(super) fn shown(text: &str) -> String {
    excerpt(text, 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(line: &str) -> Option<(String, String)> {
        let found = assignment(line, 4, File::Repository).unwrap();
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
            let error = assignment(line, 4, File::User).unwrap_err();
            assert!(
                error
                    .message
                    .starts_with("cannot parse the user configuration, line 4: "),
                "{error}"
            );
        }
    }

    #[test]
    fn a_carriage_return_or_nul_in_a_value_names_key_and_line() {
        let error = assignment("base_image = a\rb = c", 4, File::Repository).unwrap_err();
        assert_eq!(
            error.message,
            "invalid value `a\\rb = c` for `base_image` in `.dkr.conf`, line 4: \
             expected a value without a carriage return"
        );
        let error = assignment("a = b\0", 4, File::Repository).unwrap_err();
        assert!(error.message.ends_with("without a NUL character"));
        let error = assignment("# a\rb = c", 4, File::Repository).unwrap_err();
        assert!(error.message.contains("line 4: it holds a carriage return"));
    }

    #[test]
    fn text_is_decoded_and_what_is_not_text_is_refused() {
        let text = decode(b"\xef\xbb\xbfa = 1\r\nb = 2\n", File::Repository).unwrap();
        assert_eq!(text, "a = 1\nb = 2\n");
        let error = decode(b"a\nb\n\xff\xfe", File::Repository).unwrap_err();
        assert_eq!(
            error.message,
            "cannot read `.dkr.conf`, line 3: expected text in UTF-8"
        );
        let error = decode(&vec![b'#'; 10_000_000], File::Repository).unwrap_err();
        assert_eq!(
            error.message,
            "cannot read `.dkr.conf`: it has 10000000 bytes, and at most 1048576 are allowed"
        );
    }

    #[test]
    fn names_are_listed_as_in_a_sentence() {
        assert_eq!(one_of(&["a"]), "`a`");
        assert_eq!(one_of(&["a", "b", "c"]), "`a`, `b` or `c`");
        assert_eq!(shown("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
    }
}
