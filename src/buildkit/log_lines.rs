//! Turns the output of a build step into whole, plain lines: chunks may be cut anywhere, and the bytes
//! may contain control sequences.

use crate::text::strip_controls;

/// The longest line that is kept, in bytes; the rest of a longer one is dropped.
const MAX_LINE: usize = 8 * 1024;

/// A line of a step's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    /// It ended in a carriage return, so the next one replaces it.
    pub(super) transient: bool,
}

/// One stream of one step.
#[derive(Debug, Default)]
pub(super) struct LogLines {
    line: Vec<u8>,
    cut: bool,
    /// The last transient line: a line end right after it makes it permanent.
    transient: Option<String>,
}

impl LogLines {
    /// Takes the next chunk and hands each line that is complete to `found`.
    pub(super) fn push(&mut self, chunk: &[u8], mut found: impl FnMut(Line)) {
        for &byte in chunk {
            match byte {
                b'\n' => {
                    let text = self.take();
                    let text = match self.transient.take() {
                        Some(before) if text.is_empty() => before,
                        _ => text,
                    };
                    found(Line {
                        text,
                        transient: false,
                    });
                }
                b'\r' if self.line.is_empty() => {}
                b'\r' => {
                    let text = self.take();
                    self.transient = Some(text.clone());
                    found(Line {
                        text,
                        transient: true,
                    });
                }
                _ if self.line.len() < MAX_LINE => self.line.push(byte),
                _ => self.cut = true,
            }
        }
    }

    /// The stream ended: what is left is a line too.
    pub(super) fn finish(&mut self) -> Option<Line> {
        self.transient = None;
        if self.line.is_empty() {
            return None;
        }
        let text = self.take();
        Some(Line {
            text,
            transient: false,
        })
    }

    fn take(&mut self) -> String {
        let line = std::mem::take(&mut self.line);
        let whole = match std::str::from_utf8(&line) {
            // Cut within a character.
            Err(e) if self.cut && e.error_len().is_none() => &line[..e.valid_up_to()],
            _ => &line,
        };
        let mut text = strip_controls(&String::from_utf8_lossy(whole));
        if std::mem::take(&mut self.cut) {
            text.push('…');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(chunks: &[&[u8]]) -> Vec<(String, bool)> {
        let mut log = LogLines::default();
        let mut found = Vec::new();
        for chunk in chunks {
            log.push(chunk, |line| found.push((line.text, line.transient)));
        }
        found.extend(log.finish().map(|line| (line.text, line.transient)));
        found
    }

    fn lasting(text: &str) -> (String, bool) {
        (text.to_owned(), false)
    }

    fn transient(text: &str) -> (String, bool) {
        (text.to_owned(), true)
    }

    #[test]
    fn progress_is_transient_and_its_end_lasts() {
        let log = b"Receiving:  50%\rReceiving: 100%, done.\nnext\r\n\nrest";
        let expected = [
            transient("Receiving:  50%"),
            lasting("Receiving: 100%, done."),
            transient("next"),
            lasting("next"),
            lasting(""),
            lasting("rest"),
        ];
        assert_eq!(lines(&[log]), expected);
    }

    #[test]
    fn a_very_long_line_is_cut_at_a_character() {
        let log = format!("{}\nnext\n", "ü".repeat(MAX_LINE));
        let found = lines(&[log.as_bytes()]);
        assert_eq!(found[0].0, format!("{}…", "ü".repeat(MAX_LINE / 2)));
        assert_eq!(found[1], lasting("next"));
    }

    proptest! {
        #[test]
        fn chunks_cut_anywhere_give_the_same_lines(log in "[aü✓\r\n\u{1b}\\[m]{0,40}", cuts: [u8; 3]) {
            let bytes = log.as_bytes();
            let mut cuts = cuts.map(|cut| usize::from(cut) % (bytes.len() + 1));
            cuts.sort_unstable();
            let [a, b, c] = cuts;
            let pieces = [&bytes[..a], &bytes[a..b], &bytes[b..c], &bytes[c..]];
            prop_assert_eq!(lines(&pieces), lines(&[bytes]));
        }

        #[test]
        fn no_control_character_comes_through(bytes: Vec<u8>) {
            for (text, _) in lines(&[&bytes]) {
                prop_assert!(text.chars().all(|c| c == '\t' || !c.is_control()));
            }
        }
    }
}
