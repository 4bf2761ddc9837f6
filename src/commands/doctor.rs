//! `dkr doctor`: checks everything that dkr needs.

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use super::create_image::{ssh_flags, transport};
use super::json::to_json;
use crate::app::Context;
use crate::catalog::Catalog;
use crate::catalog::lookup::find;
use crate::cli::{BuildArgs, Given, Offer, Settings, SshArgs};
use crate::doctor::{Check, Status, engine, git, git_status, ssh};
use crate::engine::{Engine, Location};
use crate::error::Result;
use crate::text::{count, sanitize, wrap};

pub(super) const EXAMPLES: &str = "Examples:
  dkr doctor                             check everything, change nothing
  dkr doctor --image dkr:linux-main      also time `git status` in a container of that image
  dkr doctor --json                      the same as JSON

The exit code is 1 if a check failed; warnings do not change it.";

/// Arguments of `doctor`.
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// The flags that were given.
    #[command(flatten)]
    pub given: Given,
    /// Also time `git status` in a container of this image: its tag or id
    #[arg(long, value_name = "NAME", add = Offer::Images)]
    pub image: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// How to reach the repository.
    #[command(flatten)]
    pub ssh: SshArgs,
}

/// Columns before the name of a check.
const INDENT: usize = 6;
/// Columns that a message needs beside the names; otherwise it goes below them.
const READABLE: usize = 40;

/// The result of all checks.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "report-on-the-machine"))]
pub(super) struct Report<'a> {
    /// Whether no check failed.
    ok: bool,
    /// All checks.
    checks: &'a [Check],
}

/// Runs the command; returns the exit status, 1 if a check failed.
///
/// # Errors
/// When the check itself is not possible: a setting is invalid, or the image does not exist.
pub async fn run(cx: &Context, args: &DoctorArgs, settings: &Settings) -> Result<u8> {
    let build: BuildArgs = settings.without_flags()?;
    let transport = transport(&args.given, build.transport)?;
    let mut checks = Vec::new();
    let waiting = cx.ui.waiting("checking the Docker Engine");
    let location = match Engine::connect(&cx.env).await {
        Ok(engine) => {
            checks.extend(engine::checks(&engine, &cx.env).await);
            checks.extend(image(cx, args, &engine).await?);
            engine.location().await.ok()
        }
        Err(error) => {
            checks.push(Check::error("engine", Status::Fail, &error));
            None
        }
    };
    drop(waiting);
    checks.push(git());
    let location = location.unwrap_or(Location::ThisMachine);
    checks.extend(ssh::checks(&ssh_flags(&args.ssh), transport, &location, cx).await);

    let failed = checks
        .iter()
        .filter(|check| check.status == Status::Fail)
        .count();
    if args.json {
        let ok = failed == 0;
        let checks = &checks;
        cx.ui.data(&to_json(&Report { ok, checks })?)?;
    } else {
        cx.ui.data(&text(&checks, cx.ui.width()))?;
        cx.ui.message(&match failed {
            0 => "all checks passed".to_owned(),
            failed => format!("{} failed", count(failed as u64, "check")),
        });
    }
    Ok(u8::from(failed > 0))
}

/// The check of an image, if one was asked for.
async fn image(cx: &Context, args: &DoctorArgs, engine: &Engine) -> Result<Option<Check>> {
    let Some(name) = &args.image else {
        return Ok(None);
    };
    let _waiting = cx.ui.waiting("timing `git status` in a container");
    let stock = Catalog::read(engine, &cx.env).await?;
    let image = find(&stock, name)?;
    // Its container is removed even if the user interrupts.
    let mut signals = cx.signals.hand_over()?;
    Ok(Some(git_status::check(engine, image, &mut signals).await))
}

/// A line for each check; on a narrow terminal more, with the message below the name.
fn text(checks: &[Check], terminal: Option<usize>) -> String {
    let names = checks.iter().map(|check| check.name.len());
    let names = names.max().unwrap_or(0);
    let mut text = String::new();
    for check in checks {
        let (word, name) = (check.status.word(), check.name);
        let message = sanitize(&check.message).replace('\n', " ");
        let beside = INDENT + names + 2;
        let (indent, lines) = match terminal {
            None => (beside, vec![message]),
            Some(width) if width < beside + READABLE => {
                (INDENT, wrap(&message, width.saturating_sub(INDENT)))
            }
            Some(width) => (beside, wrap(&message, width.saturating_sub(beside))),
        };
        let message = lines.join(&format!("\n{:indent$}", ""));
        let _ = match indent {
            INDENT => writeln!(text, "{word:<4}  {name}\n{:INDENT$}{message}", ""),
            _ => writeln!(text, "{word:<4}  {name:<names$}  {message}"),
        };
        if let Some(hint) = &check.hint {
            // Hints are copied, so only the terminal wraps them.
            let hint = sanitize(hint).replace('\n', "\n        ");
            let _ = writeln!(text, "      hint: {hint}");
        }
    }
    text
}
