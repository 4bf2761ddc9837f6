//! Checks that everything dkr needs is present and works, one line for each check.
//!
//! `commands` runs the checks and prints them. They change nothing: they close the sessions that they
//! open and remove the containers that they start.

pub mod engine;
pub mod escapes;
pub mod git_status;
pub mod ssh;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::git::{GitVersion, git_version};

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It passed.
    Ok,
    /// dkr works, but the user should know.
    Warn,
    /// dkr does not work.
    Fail,
}

impl Status {
    /// The word in the output.
    pub fn word(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Warn => "warn",
            Status::Fail => "fail",
        }
    }
}

/// A completed check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "check"))]
pub struct Check {
    /// What was checked.
    pub name: &'static str,
    /// `ok`, `warn` or `fail`.
    #[cfg_attr(test, schemars(with = "String"))]
    pub status: Status,
    /// What was found.
    pub message: String,
    /// What to do; null if nothing.
    pub hint: Option<String>,
}

impl Check {
    /// A check that passed.
    pub fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Check {
            name,
            status: Status::Ok,
            message: message.into(),
            hint: None,
        }
    }

    /// A check with a warning, and what to do about it.
    pub fn warn(name: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Check {
            status: Status::Warn,
            hint: Some(hint.into()),
            ..Check::ok(name, message)
        }
    }

    /// A check that ended in an error; `status` is its severity.
    pub fn error(name: &'static str, status: Status, error: &Error) -> Self {
        let causes = error.causes.iter().map(String::as_str);
        let message: Vec<&str> = [error.message.as_str()].into_iter().chain(causes).collect();
        Check {
            status,
            hint: error.hints.first().cloned(),
            ..Check::ok(name, message.join(": "))
        }
    }

    /// The check of a result: an error is a failure.
    fn of(name: &'static str, result: Result<String>) -> Self {
        match result {
            Ok(message) => Check::ok(name, message),
            Err(error) => Check::error(name, Status::Fail, &error),
        }
    }
}

/// Checks the `git` program of this machine.
pub fn git() -> Check {
    match git_version() {
        Ok(version) => judge_git(version),
        Err(error) => Check::error("git", Status::Fail, &error),
    }
}

fn judge_git(version: GitVersion) -> Check {
    if version < escapes::SAFE_GIT {
        let found = format!(
            "git {version} can run code from a malicious repository ({})",
            escapes::GIT
        );
        return Check::warn("git", found, "update git to 2.45.1 or newer");
    }
    Check::ok("git", format!("git {version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_with_its_causes_and_first_hint() {
        let error = Error::failed("cannot x")
            .cause("y")
            .hint("do z")
            .hint("or w");
        let check = Check::error("x", Status::Warn, &error);
        assert_eq!(check.message, "cannot x: y");
        assert_eq!(check.hint.as_deref(), Some("do z"));
    }

    #[test]
    fn an_old_git_is_a_warning() {
        let at = |minor, patch| {
            let version = GitVersion {
                major: 2,
                minor,
                patch,
            };
            judge_git(version).status
        };
        assert_eq!(
            (at(45, 0), at(45, 1), at(47, 0)),
            (Status::Warn, Status::Ok, Status::Ok)
        );
    }
}
