//! Why a build produced no image, as values; the caller, who knows where a step came from, makes the
//! message.

use super::trace::{Failed, TracedStep};
use crate::error::Error;

/// How BuildKit's names of the steps that fetch a base image begin.
const METADATA: &str = "[internal] load metadata for ";

/// Why a build produced no image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildFailure {
    /// A step failed.
    Step(FailedStep),
    /// The base image could not be pulled.
    BaseImage {
        /// The image, as BuildKit names it (`docker.io/library/x:latest`).
        image: String,
        /// BuildKit's reason.
        reason: String,
        /// The registry may only require a login: it refused access, or says that the image does not exist.
        denied: bool,
    },
    /// BuildKit refused the Dockerfile or the request.
    Refused {
        /// Its message.
        message: String,
    },
    /// A step that BuildKit ran once for two builds was canceled with the other build (BuildKit
    /// issue 1551). Building again helps.
    SharedStepCanceled {
        /// BuildKit's message.
        message: String,
    },
    /// The engine lost or closed the build session.
    SessionLost,
    /// The engine could not be reached, was lost, or dkr was interrupted.
    Engine(Error),
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedStep {
    /// BuildKit's name of it, e.g. `[3/9] RUN make`.
    pub name: String,
    /// The exit code of the step's command, if it ran and ended.
    pub exit_code: Option<i32>,
    /// The last lines it wrote, at most 30.
    pub log: Vec<String>,
    /// BuildKit's message.
    pub message: String,
}

impl From<Error> for BuildFailure {
    fn from(error: Error) -> Self {
        BuildFailure::Engine(error)
    }
}

impl BuildFailure {
    /// Distinguishes failures that BuildKit reports in the same way. `mounts_asked` is
    /// how often this build's session was asked for an ssh mount.
    pub(super) fn of(failed: Failed, mounts_asked: usize) -> Self {
        let Failed {
            message,
            step,
            ssh_mounts,
        } = failed;
        if let Some((image, reason)) = base_image(&message, step.as_ref()) {
            return BuildFailure::BaseImage {
                denied: is_denied(&reason),
                image,
                reason,
            };
        }
        // A step that ran with the mounts of another build's session fails when that one ends, with
        // any message of its command.
        let foreign = step.as_ref().is_some_and(|step| step.ssh_mounts() > 0);
        if foreign && mounts_asked < ssh_mounts {
            return BuildFailure::SharedStepCanceled { message };
        }
        let Some(TracedStep { name, error, tail }) = step else {
            // A step that failed without being reported to this build ran for another build.
            return if is_canceled(&message) || exit_code(&message).is_some() {
                BuildFailure::SharedStepCanceled { message }
            } else {
                BuildFailure::Refused { message }
            };
        };
        let error = error.unwrap_or_else(|| message.clone());
        if is_canceled(&error) {
            return BuildFailure::SharedStepCanceled { message };
        }
        BuildFailure::Step(FailedStep {
            name,
            exit_code: exit_code(&error).or_else(|| exit_code(&message)),
            log: tail.into(),
            message: error,
        })
    }

    /// The failure as a message, without the origin of the step.
    pub fn into_error(self) -> Error {
        match self {
            BuildFailure::Step(step) => {
                let code = step.exit_code.map(|code| format!(" with exit code {code}"));
                let message = format!(
                    "step `{}` failed{}",
                    step.name,
                    code.clone().unwrap_or_default()
                );
                let error = Error::failed(message);
                if code.is_some() {
                    error
                } else {
                    error.cause(step.message)
                }
            }
            BuildFailure::BaseImage {
                image,
                reason,
                denied,
            } => {
                let error =
                    Error::failed(format!("cannot get the base image `{image}`")).cause(reason);
                if denied {
                    error.hint("check its name, or log in to its registry with `docker login`")
                } else {
                    error.hint(
                        "check its name and the engine's connection to the registry, or `docker pull` it",
                    )
                }
            }
            BuildFailure::Refused { message } => {
                Error::failed("the engine refused to build the image").cause(message)
            }
            BuildFailure::SharedStepCanceled { message } => Error::failed(
                "the build was canceled together with another build that shared a step",
            )
            .cause(message)
            .hint("run the command again"),
            BuildFailure::SessionLost => Error::failed("the build session was lost")
                .hint("run the command again; the engine's log may say why"),
            BuildFailure::Engine(error) => error,
        }
    }
}

/// The image and the reason, if what failed was to fetch a base image.
fn base_image(message: &str, step: Option<&TracedStep>) -> Option<(String, String)> {
    let reason = |step: &TracedStep| step.error.clone().unwrap_or_else(|| message.to_owned());
    if let Some(step) = step {
        if let Some(image) = step.name.strip_prefix(METADATA) {
            return Some((image.trim().to_owned(), reason(step)));
        }
        // `[stage-0 1/9] FROM docker.io/library/x:latest@sha256:…`
        let (bracket, instruction) = step.name.split_once("] ")?;
        if bracket.starts_with('[')
            && let Some(image) = instruction.strip_prefix("FROM ")
        {
            return Some((image.trim().to_owned(), reason(step)));
        }
        return None;
    }
    let (_, rest) = message.split_once("failed to resolve source metadata for ")?;
    let (image, reason) = rest.split_once(": ")?;
    Some((image.to_owned(), reason.to_owned()))
}

fn is_denied(reason: &str) -> bool {
    const SIGNS: [&str; 5] = [
        "denied",
        "unauthorized",
        "forbidden",
        "insufficient_scope",
        "not found",
    ];
    let reason = reason.to_ascii_lowercase();
    SIGNS.iter().any(|sign| reason.contains(sign))
}

/// BuildKit's messages for a step that was canceled rather than failed.
pub(super) fn is_canceled(message: &str) -> bool {
    const SIGNS: [&str; 4] = [
        "context canceled",
        "code = Canceled",
        "no active session",
        "context deadline exceeded",
    ];
    let names_a_registry = message.contains("http://") || message.contains("https://");
    !names_a_registry
        && exit_code(message).is_none()
        && SIGNS.iter().any(|sign| message.contains(sign))
}

/// `exit code: N`, as BuildKit ends the message of a failed `RUN`.
fn exit_code(message: &str) -> Option<i32> {
    let (_, code) = message.rsplit_once("exit code: ")?;
    let digits = code.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(message: &str, step: Option<(&str, &str)>) -> Failed {
        Failed {
            message: message.to_owned(),
            ssh_mounts: 0,
            step: step.map(|(name, error)| TracedStep {
                name: name.to_owned(),
                error: Some(error.to_owned()),
                tail: ["last".to_owned()].into(),
            }),
        }
    }

    fn of(failed: Failed) -> BuildFailure {
        BuildFailure::of(failed, 0)
    }

    #[test]
    fn a_failed_run_has_name_code_and_log() {
        let text = "executor failed running [/bin/sh -c exit 3]: exit code: 3";
        let failure = of(failed(text, Some(("[2/3] RUN exit 3", text))));
        let BuildFailure::Step(step) = &failure else {
            panic!("{failure:?}");
        };
        assert_eq!(
            (step.exit_code, step.log.as_slice()),
            (Some(3), ["last".to_owned()].as_slice())
        );
        let error = failure.into_error();
        assert_eq!(
            error.to_string(),
            "error: step `[2/3] RUN exit 3` failed with exit code 3"
        );
    }

    #[test]
    fn a_missing_base_image_is_told_from_a_failed_step() {
        let name = "[internal] load metadata for docker.io/library/x:latest";
        let error = "pull access denied, repository does not exist or may require authorization";
        let BuildFailure::BaseImage { image, denied, .. } = of(failed("m", Some((name, error))))
        else {
            panic!("no base image");
        };
        assert_eq!(
            (image.as_str(), denied),
            ("docker.io/library/x:latest", true)
        );
        let message = "failed to solve: r.io/x: failed to resolve source metadata for r.io/x:1: dial tcp r.io:40377: connection refused";
        let BuildFailure::BaseImage {
            image,
            reason,
            denied,
        } = of(failed(message, None))
        else {
            panic!("no base image");
        };
        assert_eq!(
            (image.as_str(), reason.as_str(), denied),
            ("r.io/x:1", "dial tcp r.io:40377: connection refused", false)
        );
        let from = of(failed("m", Some(("[1/2] FROM r.io/x@sha256:1", "EOF"))));
        assert!(matches!(from, BuildFailure::BaseImage { .. }));
        let run = of(failed(
            "m",
            Some(("[2/2] RUN echo ] FROM x", "exit code: 1")),
        ));
        assert!(matches!(run, BuildFailure::Step(_)));
    }

    #[test]
    fn a_step_canceled_from_elsewhere_is_worth_another_try() {
        for error in [
            "context canceled",
            "rpc error: code = Canceled desc = x",
            "no active session for a",
        ] {
            let failure = of(failed("m", Some(("[2/2] RUN x", error))));
            assert!(
                matches!(failure, BuildFailure::SharedStepCanceled { .. }),
                "{error}"
            );
        }
        let own = "executor failed running [sh -c echo context canceled; exit 2]: exit code: 2";
        let failure = of(failed(own, Some(("[2/2] RUN x", own))));
        assert!(matches!(failure, BuildFailure::Step(_)));
    }

    #[test]
    fn a_step_that_used_another_builds_mounts_is_worth_another_try() {
        let text = "executor failed running [sh]: exit code: 128";
        let mut clone = failed(text, Some(("[2/2] RUN --mount=type=ssh git clone", text)));
        clone.ssh_mounts = 1;
        let shared = BuildFailure::of(clone.clone(), 0);
        assert!(matches!(shared, BuildFailure::SharedStepCanceled { .. }));
        assert!(matches!(BuildFailure::of(clone, 1), BuildFailure::Step(_)));
        let untold = of(failed(text, None));
        assert!(matches!(untold, BuildFailure::SharedStepCanceled { .. }));
    }

    #[test]
    fn a_refused_dockerfile_has_no_step() {
        let message = "dockerfile parse error line 2: unknown instruction: RUNN";
        let failure = of(failed(message, None));
        assert!(failure.into_error().causes[0].contains("RUNN"));
    }
}
