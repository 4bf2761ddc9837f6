//! Raw sections of `.dkr.conf`: Dockerfile instructions that are kept verbatim.
//!
//! The lines are joined into instructions exactly as BuildKit's parser joins them
//! (`frontend/dockerfile/parser/parser.go`, versions since 0.8): what dkr reads as one
//! instruction must be one for the engine, too, or checks could be bypassed. What an instruction may
//! contain is checked in `rules`.

use std::fmt;

use super::statement;

/// The names of raw sections, in the order in which they take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SectionName {
    /// Before `packages` are installed.
    PrePackages,
    /// Before the repository is there.
    PreClone,
    /// With the repository in `/workspace`, at create and at every update.
    PostClone,
}

impl SectionName {
    /// Every section.
    pub const ALL: [SectionName; 3] = [
        SectionName::PrePackages,
        SectionName::PreClone,
        SectionName::PostClone,
    ];

    /// The name as written in `.dkr.conf`, without brackets.
    pub fn as_str(self) -> &'static str {
        match self {
            SectionName::PrePackages => "pre_packages",
            SectionName::PreClone => "pre_clone",
            SectionName::PostClone => "post_clone",
        }
    }

    /// The section that `line` begins, if it is exactly a header.
    pub(super) fn of_header(line: &str) -> Option<Self> {
        let name = line.strip_prefix('[')?.strip_suffix(']')?;
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }
}

impl fmt::Display for SectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One instruction of a raw section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// Its first word in upper case, such as `RUN`.
    pub keyword: String,
    /// The line of `.dkr.conf` on which it begins, counted from 1.
    pub line: usize,
    /// All of it on one line, as BuildKit joins it: continuations joined, comments between them removed,
    /// no whitespace around it.
    pub text: String,
}

/// A raw section: its text and the instructions in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawSection {
    /// Which section it is.
    pub name: SectionName,
    /// Everything between its header and the next, verbatim (CR LF is read as LF). It ends in
    /// LF unless the file ends without one.
    pub text: String,
    /// The line of `.dkr.conf` on which `text` begins, counted from 1.
    pub first_line: usize,
    /// The instructions, in order.
    pub instructions: Vec<Instruction>,
}

impl RawSection {
    /// Whether an instruction reads or declares the build argument `name`.
    pub fn mentions(&self, name: &str) -> bool {
        let mut instructions = self.instructions.iter();
        instructions.any(|instruction| {
            let declares = || {
                let mut words = instruction.text.split_whitespace().skip(1);
                instruction.keyword == "ARG"
                    && words.any(|word| word.split('=').next() == Some(name))
            };
            reads(&instruction.text, name) || declares()
        })
    }
}

/// Whether `text` holds `$name`, `${name}`, `${name:-x}`, `${#name}` or the like.
fn reads(text: &str, name: &str) -> bool {
    text.split('$').skip(1).any(|after| {
        let inner = after.strip_prefix('{').unwrap_or(after);
        let inner = inner.strip_prefix(['#', '!']).unwrap_or(inner);
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        inner
            .strip_prefix(name)
            .is_some_and(|rest| !rest.starts_with(is_name))
    })
}

/// Joins lines into instructions.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    instructions: Vec<Instruction>,
    open: Option<Open>,
}

/// An instruction whose last line so far ended in `\`.
#[derive(Debug)]
pub(super) struct Open {
    /// The line on which it began.
    pub(super) line: usize,
    /// Whether an empty line came after the `\`; BuildKit skips it.
    pub(super) after_empty_line: bool,
    text: String,
}

impl Joiner {
    /// The instruction that the next line continues, if there is one.
    pub(super) fn open(&self) -> Option<&Open> {
        self.open.as_ref()
    }

    /// Takes the next line, without its LF; `number` is its line number.
    pub(super) fn push(&mut self, line: &str, number: usize) {
        let trimmed = line.trim_start();
        if trimmed.starts_with('#') {
            return;
        }
        let Some(mut open) = self.open.take() else {
            let (text, continued) = split_continuation(trimmed);
            if continued || !text.is_empty() {
                self.add(text.to_owned(), number, continued);
            }
            return;
        };
        if trimmed.is_empty() {
            open.after_empty_line = true;
            self.open = Some(open);
            return;
        }
        let (text, continued) = split_continuation(line);
        open.text.push_str(text);
        self.add(open.text, open.line, continued);
    }

    fn add(&mut self, text: String, line: usize, continued: bool) {
        if continued {
            self.open = Some(Open {
                line,
                after_empty_line: false,
                text,
            });
            return;
        }
        let text = text.trim();
        self.instructions.push(Instruction {
            keyword: statement::keyword(text).to_ascii_uppercase(),
            line,
            text: text.to_owned(),
        });
    }

    /// The instructions.
    pub(super) fn finish(self) -> Vec<Instruction> {
        self.instructions
    }
}

/// `line` without the `\` that continues it, and whether there was one.
///
/// A `\` before it makes it an ordinary character; whitespace after it is ignored.
fn split_continuation(line: &str) -> (&str, bool) {
    match line.trim_end_matches([' ', '\t']).strip_suffix('\\') {
        Some(text) if !text.ends_with('\\') => (text, true),
        _ => (line, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str) -> RawSection {
        let mut joiner = Joiner::default();
        for (index, line) in text.split('\n').enumerate() {
            joiner.push(line, index + 1);
        }
        RawSection {
            name: SectionName::PreClone,
            text: text.to_owned(),
            first_line: 1,
            instructions: joiner.finish(),
        }
    }

    fn joined(text: &str) -> Vec<(String, usize, String)> {
        let instructions = section(text).instructions.into_iter();
        instructions.map(|i| (i.keyword, i.line, i.text)).collect()
    }

    #[test]
    fn continuations_comments_and_empty_lines_are_joined_as_buildkit_joins_them() {
        let text = "# x \\\n\nrun a \\ \t\n  # y\n\n   b \\\n# z \\\n && c\nENV A=1\\\\\nUSER x";
        assert_eq!(
            joined(text),
            [
                ("RUN".into(), 3, "run a    b  && c".into()),
                ("ENV".into(), 9, r"ENV A=1\\".into()),
                ("USER".into(), 10, "USER x".into()),
            ]
        );
    }

    #[test]
    fn a_keyword_that_is_spread_over_lines_is_put_together() {
        assert_eq!(joined("FR\\\nOM x"), [("FROM".into(), 1, "FROM x".into())]);
        assert_eq!(
            joined("\\\n\\\n FROM x"),
            [("FROM".into(), 1, "FROM x".into())]
        );
        assert_eq!(
            joined("\u{a0}\u{85}FROM\tx"),
            [("FROM".into(), 1, "FROM\tx".into())]
        );
    }

    #[test]
    fn the_build_arguments_that_a_section_uses_are_found() {
        let text = "RUN a $BRANCH\nRUN b ${GIT_USER:-x} ${#REPO_PATH}\nARG HOST_ADDR=1";
        for name in ["BRANCH", "GIT_USER", "REPO_PATH", "HOST_ADDR"] {
            assert!(section(text).mentions(name), "{name}");
        }
        let text = "# $BRANCH\nRUN a BRANCH $BRANCHES ${BRANCH_X} $$ $\nARG XBRANCH";
        assert!(!section(text).mentions("BRANCH"));
    }

    #[test]
    fn only_an_exact_header_is_one() {
        assert_eq!(
            SectionName::of_header("[pre_clone]"),
            Some(SectionName::PreClone)
        );
        for line in ["[pre_clone] ", " [pre_clone]", "[Pre_clone]", "[", "[]"] {
            assert_eq!(SectionName::of_header(line), None);
        }
    }
}
