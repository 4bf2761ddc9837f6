//! Text from outside made safe and short: the one place that decides what may reach a terminal.
//!
//! Paths, refs, engine messages and build logs may hold control sequences that retitle a window,
//! move the cursor or reorder text. Everything that `ui` prints for a person passes through here.

use std::borrow::Cow;

use dialoguer::console;

/// True for characters that a terminal obeys instead of showing: C0 and C1 controls, DEL, and the
/// Unicode marks that reorder the text around them.
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Shows control characters instead of sending them: ESC becomes `\u{1b}`. Line ends and tabs stay.
pub fn sanitize(text: &str) -> Cow<'_, str> {
    let is_unsafe = |c| is_control(c) && c != '\n' && c != '\t';
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_unsafe(c) {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// [`sanitize`] for text that must stay on one line: line ends and tabs are shown too.
pub fn sanitize_line(text: &str) -> String {
    let safe = sanitize(text);
    safe.replace('\n', "\\n").replace('\t', "\\t")
}

/// One line of a program's output: control sequences (colours, titles) are dropped, tabs become
/// spaces, and of text overwritten by carriage returns only the last stays.
pub fn log_line(line: &str) -> String {
    let line = line.trim_end_matches(['\r', '\n']);
    let line = line.rsplit('\r').next().unwrap_or_default();
    let mut plain = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => skip_sequence(&mut rest),
            '\t' => plain.push_str("  "),
            c if is_control(c) => {}
            c => plain.push(c),
        }
    }
    plain.truncate(plain.trim_end().len());
    plain
}

/// Consumes what follows ESC (ECMA-48): a CSI up to its final byte, a string (OSC, DCS, SOS, PM,
/// APC) up to BEL or ST, or the one character of a short sequence after its intermediates.
fn skip_sequence(rest: &mut std::str::Chars<'_>) {
    match rest.next() {
        Some('[') => {
            rest.by_ref().find(|c| matches!(c, '\u{40}'..='\u{7e}'));
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(c) = rest.next() {
                if c == '\u{7}' || c == '\u{9c}' {
                    break;
                }
                if c == '\u{1b}' {
                    rest.next();
                    break;
                }
            }
        }
        Some('\u{20}'..='\u{2f}') => {
            rest.by_ref().find(|c| !matches!(c, '\u{20}'..='\u{2f}'));
        }
        _ => {}
    }
}

/// How many columns of a terminal `text` takes.
pub fn columns(text: &str) -> usize {
    console::measure_text_width(text)
}

/// `text` in at most `width` columns; what is cut off ends in `ellipsis`.
pub fn cut(text: &str, width: usize, ellipsis: &str) -> String {
    let tail = if columns(ellipsis) < width {
        ellipsis
    } else {
        ""
    };
    console::truncate_str(text, width, tail).into_owned()
}

/// `text` in lines of at most `width` columns, broken at spaces alone: a longer word stays whole.
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

/// `1 commit`, `12 commits`: a count with its noun, for nouns whose plural takes an `s`.
pub fn count(number: u64, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_ordinary_text_is_borrowed() {
        assert_eq!(sanitize("a\u{1b}[31mb\u{7}"), "a\\u{1b}[31mb\\u{7}");
        assert_eq!(sanitize("x\u{9b}2J\u{202e}y"), "x\\u{9b}2J\\u{202e}y");
        assert!(matches!(sanitize("päth/ok\n\tnext"), Cow::Borrowed(_)));
        assert_eq!(sanitize_line("a\nb\tc"), "a\\nb\\tc");
    }

    #[test]
    fn log_lines_lose_sequences_and_overwritten_text() {
        assert_eq!(log_line("\u{1b}[1;31mred\u{1b}[0m text\r\n"), "red text");
        assert_eq!(log_line("a\u{1b}]0;title\u{7}b"), "ab");
        assert_eq!(log_line("a\u{1b}]8;;http://x\u{1b}\\link"), "alink");
        assert_eq!(log_line("a\u{1b}(Bb\u{1b}7c\u{8}"), "abc");
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
}
