//! `dkr show-config`: every setting, its value, and where the value comes from.

use clap::Args;
use serde::Serialize;

use super::json::to_json;
use crate::app::Context;
use crate::bake::transport::TransportMode;
use crate::cli::{BuildArgs, Settings, Source, variable};
use crate::error::Result;
use crate::ssh::settings::{DEFAULT_PORT, current_user, default_key};
use crate::ui::table::{Column, Table};

pub(super) const EXAMPLES: &str = "Examples:
  dkr show-config                      every setting
  DKR_STALE=fail dkr show-config       a variable overrides the file
  dkr show-config --json               the same as JSON";

/// Arguments of `show-config`.
#[derive(Debug, Clone, Args)]
pub struct ShowConfigArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Shown for a setting that is not set and has no fixed default.
const NONE: &str = "-";

/// All settings, and the file that they can be in.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "configuration"))]
pub(super) struct Config {
    /// The user configuration; it need not exist.
    file: String,
    /// Every setting.
    settings: Vec<Setting>,
}

/// A setting, its value and where that comes from.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "setting"))]
struct Setting {
    /// Its key in the file.
    key: &'static str,
    /// Null where dkr decides when the value is needed.
    value: Option<String>,
    /// `variable`, `file` or `default`.
    source: &'static str,
    /// The line of the file; null if it comes from elsewhere.
    line: Option<usize>,
    /// Its variable.
    variable: String,
    /// What it is for.
    about: &'static str,
}

/// Runs the command.
///
/// # Errors
/// When a value is invalid.
pub fn run(cx: &Context, args: &ShowConfigArgs, from: &Settings) -> Result<()> {
    let mut settings = Vec::new();
    for setting in from.all()? {
        let (source, line) = match setting.source {
            Source::Variable => ("variable", None),
            Source::Line(line) => ("file", Some(line)),
            Source::Default => ("default", None),
        };
        settings.push(Setting {
            key: setting.key,
            value: setting.value.or_else(|| implied(cx, setting.key, from)),
            source,
            line,
            variable: variable(setting.key),
            about: setting.about,
        });
    }
    let file = from.path().display().to_string();
    if args.json {
        return cx.ui.data(&to_json(&Config { file, settings })?);
    }
    let mut table = Table::new([
        Column::new("SETTING"),
        Column::shrinkable("VALUE"),
        Column::new("FROM"),
        Column::shrinkable("ABOUT"),
    ]);
    for setting in &settings {
        let value = setting.value.as_deref().unwrap_or(NONE);
        let from = match (setting.source, setting.line) {
            ("variable", _) => setting.variable.clone(),
            ("file", Some(line)) => format!("line {line}"),
            (source, _) => source.to_owned(),
        };
        table.row([setting.key, value, &from, setting.about]);
    }
    let exists = if from.path().exists() {
        ""
    } else {
        ", which does not exist"
    };
    cx.ui
        .message(&format!("line numbers refer to `{file}`{exists}"));
    cx.ui.table(&table)
}

/// The default of a setting that depends on other things.
fn implied(cx: &Context, key: &str, from: &Settings) -> Option<String> {
    match key {
        "ssh_key" => default_key(&cx.env)
            .ok()
            .map(|path| path.display().to_string()),
        "ssh_user" => current_user(&cx.env).ok(),
        "ssh_port" => Some(DEFAULT_PORT.to_string()),
        "network" => {
            let build: BuildArgs = from.without_flags().ok()?;
            let by_ssh = build.transport == TransportMode::Ssh;
            Some(if by_ssh { "host" } else { "bridge" }.to_owned())
        }
        _ => None,
    }
}
