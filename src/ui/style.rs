//! The style of text: colours if they are supported, and symbols that the locale can display.

/// The colours and characters that an output supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether it supports SGR colour sequences.
    pub colour: bool,
    /// Whether it supports characters outside ASCII.
    pub unicode: bool,
}

impl Style {
    /// The end of a text that was cut.
    pub fn ellipsis(self) -> &'static str {
        if self.unicode { "…" } else { "..." }
    }

    /// The sign of success.
    pub fn done(self) -> String {
        self.green(if self.unicode { "✓" } else { "+" })
    }

    /// The sign of failure.
    pub fn failed(self) -> String {
        self.red(if self.unicode { "✗" } else { "x" })
    }

    /// One frame of the spinner; `tick` counts up.
    pub fn spinner(self, tick: usize) -> String {
        const DOTS: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
        const ASCII: [&str; 4] = ["-", "\\", "|", "/"];
        let pictures = if self.unicode { &DOTS[..] } else { &ASCII[..] };
        self.cyan(pictures[tick % pictures.len()])
    }

    /// A bar of `width` columns, `percent` of it filled.
    pub fn bar(self, percent: u64, width: usize) -> String {
        let percent = usize::try_from(percent.min(100)).unwrap_or(100);
        let filled = width * percent / 100;
        let (full, empty) = if self.unicode {
            ("█", "░")
        } else {
            ("#", ".")
        };
        full.repeat(filled) + &empty.repeat(width - filled)
    }

    /// Bold red, for errors.
    pub fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// Bold yellow, for warnings.
    pub fn yellow(self, text: &str) -> String {
        self.paint("1;33", text)
    }

    /// Green, for what is done.
    pub fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Cyan, for hints and running phases.
    pub fn cyan(self, text: &str) -> String {
        self.paint("36", text)
    }

    /// Dimmed, for output that does not remain.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_exact_at_both_ends_and_never_too_long() {
        let style = Style {
            colour: false,
            unicode: false,
        };
        let bars = [0, 50, 99, 100, 250].map(|percent| style.bar(percent, 4));
        assert_eq!(bars, ["....", "##..", "###.", "####", "####"]);
    }

    #[test]
    fn colour_is_written_only_where_it_is_wanted() {
        let style = Style {
            colour: true,
            unicode: true,
        };
        assert_eq!(style.done(), "\u{1b}[32m✓\u{1b}[0m");
        let plain = Style {
            colour: false,
            unicode: false,
        };
        assert_eq!(plain.done(), "+");
    }
}
