//! Text for people: what may be written to a terminal, a log or a message, how wide it is, and numbers,
//! sizes and times as words.
//!
//! Paths, refs, engine messages and build logs may contain control sequences that retitle a window, move
//! the cursor or reorder text. All text from outside passes through here before a person sees it. Every
//! layer may use this module, which uses none.

mod size;
mod time;

use std::borrow::Cow;

use anstream::adapter::strip_str;

pub use size::size;
pub use time::{ago, duration};

/// True for characters that control a terminal instead of being displayed: C0 and C1 controls, DEL, and
/// the Unicode marks that reorder text.
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Escapes control characters: ESC becomes `\u{1b}`. Line ends and tabs are kept.
pub fn sanitize(text: &str) -> Cow<'_, str> {
    escape(text, |c| is_control(c) && c != '\n' && c != '\t')
}

/// [`sanitize`] for text that must stay on one line: line ends and tabs are escaped, too.
pub fn sanitize_line(text: &str) -> String {
    escape(text, is_control).into_owned()
}

fn escape(text: &str, is_unsafe: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_unsafe(c) {
            safe.extend(c.escape_debug());
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// [`sanitize_line`] of the first `longest` characters, for quoting in a message; `…` replaces the
/// rest.
pub fn excerpt(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => sanitize_line(&text[..end]) + "…",
        None => sanitize_line(text),
    }
}

/// `text` without control sequences (colours, titles) and control characters; tabs and line ends are
/// kept. For the output of programs, where escaping them would only clutter it.
pub fn strip_controls(text: &str) -> String {
    let mut stripped = String::with_capacity(text.len());
    // A sequence ends with its line: an unfinished one must not swallow the rest.
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            stripped.push('\n');
        }
        // The parser knows only the seven-bit form of C1 controls: ESC and a letter.
        let seven_bit: String = line.chars().flat_map(as_seven_bit).collect();
        let kept = strip_str(&seven_bit).flat_map(str::chars);
        stripped.extend(kept.filter(|c| *c == '\t' || !is_control(*c)));
    }
    stripped
}

/// ECMA-48, 5.3: the C1 control U+0080 + n is also written ESC and the character U+0040 + n.
fn as_seven_bit(c: char) -> impl Iterator<Item = char> {
    let letter = match c {
        '\u{80}'..='\u{9f}' => char::from_u32(u32::from(c) - 0x40),
        _ => None,
    };
    let (first, second) = match letter {
        Some(letter) => ('\u{1b}', Some(letter)),
        None => (c, None),
    };
    std::iter::once(first).chain(second)
}

/// One line of a program's output as a terminal would display it: [`strip_controls`], tabs become
/// spaces, and only the last of the texts separated by carriage returns is kept.
pub fn log_line(line: &str) -> String {
    let line = line.trim_end_matches(['\r', '\n']);
    let last = line.rsplit('\r').next().unwrap_or_default();
    let plain = strip_controls(last).replace(['\t', '\n'], "  ");
    plain.trim_end().to_owned()
}

/// How many columns of a terminal `text` takes.
pub fn columns(text: &str) -> usize {
    console::measure_text_width(text)
}

/// `text` in at most `width` columns; ends in `ellipsis` if it was cut.
pub fn cut(text: &str, width: usize, ellipsis: &str) -> String {
    let tail = if columns(ellipsis) < width {
        ellipsis
    } else {
        ""
    };
    console::truncate_str(text, width, tail).into_owned()
}

/// `text` in lines of at most `width` columns, wrapped only at spaces: longer words stay whole.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is one from the start");
        if line.is_empty() {
            line.push_str(word);
        } else if columns(line) + 1 + columns(word) <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// A list of alternatives for a sentence: `` `a`, `b` or `c` ``.
pub fn one_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// A word of the user for quoting in a message: shortened, and sanitized.
pub fn shown(word: &str) -> String {
    excerpt(word, 60)
}

/// `1 commit`, `12 commits`: a count with its noun, for nouns whose plural takes an `s`.
pub fn count(number: u64, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_listed_as_in_a_sentence() {
        assert_eq!(one_of(&["a"]), "`a`");
        assert_eq!(one_of(&["a", "b", "c"]), "`a`, `b` or `c`");
        assert_eq!(shown("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
    }

    #[test]
    fn control_characters_are_shown_and_ordinary_text_is_borrowed() {
        assert_eq!(sanitize("a\u{1b}[31mb\u{7}"), "a\\u{1b}[31mb\\u{7}");
        assert_eq!(sanitize("x\u{9b}2J\u{202e}y\r"), "x\\u{9b}2J\\u{202e}y\\r");
        assert!(matches!(sanitize("päth/ok\n\tnext"), Cow::Borrowed(_)));
        assert_eq!(sanitize_line("a\nb\tc\0"), "a\\nb\\tc\\0");
    }

    #[test]
    fn an_excerpt_is_short_and_harmless() {
        assert_eq!(excerpt("a\u{1b}[2Jb", 6), "a\\u{1b}[2Jb");
        assert_eq!(excerpt("übergröße", 4), "über…");
        assert_eq!(excerpt("a\nb", 2), "a\\n…");
    }

    #[test]
    fn control_sequences_are_stripped() {
        let cases = [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            (
                "\u{1b}]0;title\u{7}x\u{1b}]8;;http://h\u{1b}\\link\u{1b}]8;;\u{1b}\\",
                "xlink",
            ),
            (
                "\u{1b}Pdevice\u{1b}\\a\u{1b}_app\u{1b}\\b\u{1b}(Bc\u{1b}=d",
                "abcd",
            ),
            ("\u{9b}2Ja\u{9d}0;t\u{9c}b\u{85}", "ab"),
            ("a\u{8}\u{7}\u{0}\tb\u{7f}\u{202e}", "a\tb"),
            ("\u{1b}]0;never ends", ""),
            ("\u{1b}[31", ""),
            ("\u{1b}]x\u{1b}[31my", "y"),
            ("ü→\u{1b}[1m✓", "ü→✓"),
            ("\u{1b}]0;x\nnext", "\nnext"),
        ];
        for (text, expected) in cases {
            assert_eq!(strip_controls(text), expected, "{text:?}");
        }
    }

    #[test]
    fn log_lines_lose_sequences_and_overwritten_text() {
        assert_eq!(log_line("\u{1b}[1;31mred\u{1b}[0m text\r\n"), "red text");
        assert_eq!(log_line("a\u{1b}]0;title\u{7}b"), "ab");
        assert_eq!(log_line(" 1%\r 50%\r100%"), "100%");
        assert_eq!(log_line("a\tb  "), "a  b");
        assert_eq!(log_line("cut short \u{1b}["), "cut short");
        assert_eq!(log_line("cut short \u{1b}]0;never ends"), "cut short");
    }

    #[test]
    fn text_is_cut_by_columns_not_by_bytes() {
        assert_eq!(cut("übergröße", 5, "…"), "über…");
        assert_eq!(cut("漢字漢字", 5, "…"), "漢字…");
        assert_eq!(cut("short", 5, "…"), "short");
        assert_eq!(cut("longer", 2, "..."), "lo");
        assert_eq!(cut("longer", 0, "…"), "");
    }

    #[test]
    fn text_is_wrapped_at_spaces() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("one two three", 80), ["one two three"]);
        assert_eq!(wrap("a longer-word b", 4), ["a", "longer-word", "b"]);
        assert_eq!(wrap("漢字 漢字", 8), ["漢字", "漢字"]);
        assert_eq!(wrap("", 5), [""]);
    }

    #[test]
    fn plurals_are_right() {
        let texts = [0, 1, 12].map(|n| count(n, "commit"));
        assert_eq!(texts, ["0 commits", "1 commit", "12 commits"]);
    }

    proptest! {
        #[test]
        fn no_control_character_comes_through(
            text in "([ -~]|[\u{0}-\u{9f}]|ü|漢|\u{1b}[\\[\\]P_(]?|\u{202e}|\n){0,40}",
        ) {
            for safe in [strip_controls(&text), sanitize(&text).into_owned()] {
                prop_assert!(!safe.contains(|c| is_control(c) && c != '\t' && c != '\n'), "{safe:?}");
            }
            let lines = [log_line(&text), sanitize_line(&text), excerpt(&text, 20)];
            prop_assert!(lines.iter().all(|line| !line.contains(is_control)), "{lines:?}");
        }
    }
}
