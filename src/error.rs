//! The one error type of dkr: what was attempted and on what, why it failed, and what to do.
//!
//! Every layer returns it; only `lib.rs` turns it into text and an exit code.

use std::borrow::Cow;
use std::fmt;

/// The result of a fallible function.
pub type Result<T> = std::result::Result<T, Error>;

/// The kind of an [`Error`]; each has its own exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The work failed (exit code 1).
    Failed,
    /// The command line or a configuration value cannot be used (2).
    Usage,
    /// The repository, image or container does not exist (3).
    NotFound,
    /// dkr could not ask a question that has no safe default (4).
    Unanswered,
    /// The image is stale or drifted, and the user asked dkr to fail then (5).
    Stale,
    /// A bug in dkr (70).
    Bug,
    /// The user interrupted the work (130).
    Interrupted,
}

impl Kind {
    /// The exit code of the process, a documented contract.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::NotFound => 3,
            Kind::Unanswered => 4,
            Kind::Stale => 5,
            Kind::Bug => 70,
            Kind::Interrupted => 130,
        }
    }
}

/// Why something failed, for code that handles it. It is parsed once from the message of the engine or
/// git, so that no other code has to search a text that is meant for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The state of the object does not allow it (the engine's status 409).
    Conflict,
    /// The engine is already doing it, for another client.
    InProgress,
    /// The engine's machine has no driver for graphics processors.
    NoGpuDriver,
    /// A branch would lose commits.
    NonFastForward,
    /// A branch is checked out.
    CheckedOut,
    /// An object is missing, corrupt, or refused.
    BadObject,
}

/// A failure as a person reads it: `error:`, then `caused by:` lines, then `hint:` lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The kind of failure.
    pub kind: Kind,
    /// What was attempted, on what; lower case, no final period.
    pub message: String,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What to do; each names a command or key that exists.
    pub hints: Vec<String>,
    /// Why, for code that handles it; not displayed.
    pub reason: Option<Reason>,
}

impl Error {
    /// An error of `kind`.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error {
            kind,
            message: message.into(),
            causes: Vec::new(),
            hints: Vec::new(),
            reason: None,
        }
    }

    /// Work that failed (exit code 1).
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// Input that cannot be used (exit code 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Something that does not exist (exit code 3).
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// A bug in dkr (exit code 70).
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(Kind::Bug, message)
    }

    /// The user's Ctrl-C or a termination signal (exit code 130).
    pub fn interrupted() -> Self {
        Self::new(Kind::Interrupted, "interrupted")
    }

    /// Adds a cause and the chain of its sources.
    #[must_use]
    pub fn source(mut self, cause: impl std::error::Error) -> Self {
        self.causes.push(cause.to_string());
        let mut source = cause.source();
        while let Some(inner) = source {
            let text = inner.to_string();
            // Wrappers often repeat the message of the inner error.
            if self.causes.last().is_none_or(|last| !last.contains(&text)) {
                self.causes.push(text);
            }
            source = inner.source();
        }
        self
    }

    /// Adds a cause that is only a text.
    #[must_use]
    pub fn cause(mut self, text: impl Into<String>) -> Self {
        self.causes.push(text.into());
        self
    }

    /// Sets the reason, for code that handles it.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<Option<Reason>>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        self.hints.push(text.into());
        self
    }

    /// Wraps this error: `message` is what was attempted, this error becomes its cause.
    #[must_use]
    pub fn context(mut self, message: impl Into<String>) -> Self {
        let inner = std::mem::replace(&mut self.message, message.into());
        self.causes.insert(0, inner);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        for cause in &self.causes {
            write!(f, "\n  caused by: {cause}")?;
        }
        for hint in &self.hints {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// The known name nearest to `name`, for "did you mean" hints.
pub fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(score, _)| *score > 0.75)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// `word` as a user types it into a shell, quoted only where it has to be: for hints that show a
/// command.
pub fn quoted(word: &str) -> Cow<'_, str> {
    // Only NUL cannot be typed, and no path, ref or name holds one.
    shlex::try_quote(word).unwrap_or(Cow::Borrowed(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_as_documented() {
        let error = Error::failed("cannot connect to `x`")
            .cause("refused")
            .hint("start it");
        let text = "error: cannot connect to `x`\n  caused by: refused\nhint: start it";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn context_moves_the_message_to_the_causes() {
        let error = Error::not_found("no such file").context("cannot read `x`");
        assert_eq!(error.message, "cannot read `x`");
        assert_eq!(error.causes, ["no such file"]);
        assert_eq!(error.kind.exit_code(), 3);
    }

    #[test]
    fn a_word_in_a_hint_can_be_pasted() {
        for plain in ["/srv/a-b_c.git", "space/main", "."] {
            assert_eq!(quoted(plain), plain);
        }
        for (word, typed) in [
            ("/srv/my repo", "'/srv/my repo'"),
            ("/srv/$(id)", "'/srv/$(id)'"),
            ("it's", r#""it's""#),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), typed);
            assert_eq!(shlex::split(&quoted(word)), Some(vec![word.to_owned()]));
        }
    }

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        assert_eq!(
            suggestion("pakages", ["packages", "volumes"]),
            Some("packages")
        );
        assert_eq!(suggestion("zzz", ["packages", "volumes"]), None);
    }
}
