//! Splits a Dockerfile instruction as BuildKit does.
//!
//! `rules` checks the result. The functions follow `splitCommand` and
//! `extractBuilderFlags` of `frontend/dockerfile/parser/split_command.go`, and the word lexer of
//! `frontend/dockerfile/shell/lex.go`, in the versions since 0.8. Where versions differ, more
//! is reported rather than less.

/// The whitespace that ends a keyword or separates plain arguments.
const BLANKS: [char; 5] = ['\t', '\u{b}', '\u{c}', '\r', ' '];

/// The flags and arguments that follow an instruction's keyword.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// The leading words that begin with `--`, with quotes and escapes removed.
    pub(super) flags: Vec<String>,
    /// The rest.
    pub(super) arguments: String,
}

impl Statement {
    /// Splits `text`, a whole instruction on one line.
    pub(super) fn of(text: &str) -> Self {
        let text = text.trim();
        let rest = &text[keyword(text).len()..];
        let (flags, arguments) = split_flags(rest.trim_start_matches(BLANKS).as_bytes());
        let arguments = String::from_utf8_lossy(arguments);
        Statement {
            flags,
            arguments: arguments.trim().to_owned(),
        }
    }

    /// The names that `LABEL` sets, with quotes and escapes removed: `NAME=VALUE` words, or one
    /// name and the rest (BuildKit, `parseNameVal` and `parseWords` of
    /// `frontend/dockerfile/parser/line_parsers.go`).
    pub(super) fn names(&self) -> Vec<String> {
        let words = quoted_words(&self.arguments);
        let words = match words.split_first() {
            Some((first, _)) if !first.contains('=') => &words[..1],
            _ => &words[..],
        };
        let name = |word: &String| {
            let name = word.split('=').next().unwrap_or_default();
            name.replace(['"', '\'', '\\'], "")
        };
        words.iter().map(name).collect()
    }

    /// The arguments of `ADD` or `COPY`: a JSON list or words.
    pub(super) fn words(&self) -> Vec<String> {
        if let Ok(list) = serde_json::from_str::<Vec<String>>(&self.arguments) {
            return list;
        }
        let words = self.arguments.split(BLANKS).filter(|word| !word.is_empty());
        words.map(str::to_owned).collect()
    }
}

/// The first word of an instruction.
pub(super) fn keyword(text: &str) -> &str {
    let text = text.trim_start();
    text.split(BLANKS).next().unwrap_or(text)
}

/// BuildKit reads flags byte by byte, each byte as the character with that number: two bytes that
/// are parts of other characters in UTF-8 count as whitespace and end a flag.
fn is_blank_byte(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ' | 0x85 | 0xa0)
}

fn split_flags(line: &[u8]) -> (Vec<String>, &[u8]) {
    let mut flags = Vec::new();
    let mut position = 0;
    loop {
        while line.get(position).copied().is_some_and(is_blank_byte) {
            position += 1;
        }
        if !line[position..].starts_with(b"--") {
            return (flags, &line[position..]);
        }
        let (flag, end) = flag_word(line, position);
        position = end;
        if flag == "--" {
            return (flags, &line[position..]);
        }
        flags.push(flag);
    }
}

/// The word at `position` without its quotes and escapes, and where it ends.
fn flag_word(line: &[u8], mut position: usize) -> (String, usize) {
    let mut word = String::new();
    let mut quote = None;
    while let Some(&byte) = line.get(position) {
        match (quote, byte) {
            (None, byte) if is_blank_byte(byte) => break,
            (None, b'\'' | b'"') => quote = Some(byte),
            (Some(open), byte) if byte == open => quote = None,
            (_, b'\\') => {
                position += 1;
                word.extend(line.get(position).map(|byte| char::from(*byte)));
            }
            (_, byte) => word.push(char::from(byte)),
        }
        position += 1;
    }
    (word, position.min(line.len()))
}

/// The words of `text`, separated by whitespace that is not quoted or escaped.
fn quoted_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, blank) if blank.is_whitespace() => {
                words.push(std::mem::take(&mut word));
                continue;
            }
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), _) if character == open => quote = None,
            (None | Some('"'), '\\') => {
                word.push(character);
                word.extend(characters.next());
                continue;
            }
            _ => {}
        }
        word.push(character);
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// Whether BuildKit, in any version, could find the start of a here-document in `text`.
///
/// It is a word that begins with `<<`, digits before it allowed, outside quotes. In `1<<2` after
/// a space it finds one, in `$((1<<2))`, `<<<` and `"<<x"` none.
pub(super) fn has_heredoc(text: &str) -> bool {
    let mut quote = None;
    // Inside `${…}` BuildKit splits words at whitespace even if it is quoted.
    let mut quotes_count = true;
    let mut at_word_start = true;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, '\\') | (Some('"'), '\\') => {
                at_word_start = characters.next().is_some_and(char::is_whitespace);
                continue;
            }
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), _) if character == open => quote = None,
            (None | Some('"'), '$') if characters.peek() == Some(&'{') => quotes_count = false,
            (_, '<') if at_word_start && characters.peek() == Some(&'<') => {
                characters.next();
                let quoted = quotes_count && quote.is_some();
                if !quoted && characters.peek() != Some(&'<') {
                    return true;
                }
            }
            _ => {}
        }
        at_word_start = character.is_whitespace() || at_word_start && character.is_ascii_digit();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(text: &str) -> Vec<String> {
        Statement::of(text).flags
    }

    #[test]
    fn flags_are_found_however_they_are_quoted() {
        let statement = Statement::of("RUN  --mount=type=ssh\t--x='a b' -- --y");
        assert_eq!(statement.flags, ["--mount=type=ssh", "--x=a b"]);
        assert_eq!(statement.arguments, "--y");
        assert_eq!(
            flags(r#"RUN --mo"un"t=type\=s'sh' id"#),
            ["--mount=type=ssh"]
        );
        assert_eq!(flags("RUN id --mount=type=ssh"), [""; 0]);
        assert_eq!(flags(r"RUN --x\"), ["--x"]);
        assert_eq!(flags(r#"RUN --x="y z"#), ["--x=y z"]);
    }

    #[test]
    fn a_byte_that_buildkit_takes_for_a_blank_ends_a_flag() {
        // `à` is C3 A0 in UTF-8, and A0 is a no-break space by its number.
        let found = flags("RUN --mount=type=cache,target=/à--mount=type=ssh id");
        assert_eq!(found.len(), 2);
        assert_eq!(found[1], "--mount=type=ssh");
    }

    #[test]
    fn arguments_are_words_or_a_json_list() {
        let words = |text: &str| Statement::of(text).words();
        assert_eq!(words("ADD a  b\t/c"), ["a", "b", "/c"]);
        assert_eq!(words(r#"ADD --x=1 [ "a b", "/c" ]"#), ["a b", "/c"]);
        assert_eq!(words(r#"ADD ["a", "/c"] x"#), [r#"["a","#, r#""/c"]"#, "x"]);
    }

    #[test]
    fn the_start_of_a_heredoc_is_found_and_nothing_like_it() {
        for text in [
            "RUN cat <<EOF",
            "RUN cat <<-EOF > x",
            "RUN cat << EOF",
            "RUN cat 3<<'EOF'",
            "RUN <<EOF",
            "RUN echo $(( 1 << 2 ))",
            "RUN echo 'it' <<EOF",
            "RUN echo ${X:-' <<EOF '}",
            r#"RUN echo "${X:-" <<EOF "}""#,
            r"RUN echo \' <<EOF",
            "RUN cat\u{2003}<<EOF",
        ] {
            assert!(has_heredoc(text), "{text}");
        }
        for text in [
            "RUN cat <<<x",
            "RUN cat <<< x",
            "RUN cat < x",
            "RUN echo $((1<<2))",
            "RUN echo a<<b",
            r#"RUN sh -c "cat <<EOF""#,
            "RUN sh -c 'cat <<EOF'",
            r#"RUN ["sh", "-c", "cat <<EOF"]"#,
            r"RUN cat \<<EOF",
            r#"RUN echo "\" <<EOF""#,
        ] {
            assert!(!has_heredoc(text), "{text}");
        }
    }
}
