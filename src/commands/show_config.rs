//! `dkr show-config`: every setting, its value, and where that comes from.

use serde::Serialize;

use super::json::to_json;
use super::start_image::limits;
use crate::bake::Context;
use crate::bake::ssh::{current_user, default_key};
use crate::cli::{LimitArgs, ShowConfigArgs};
use crate::conf::{Key, Source};
use crate::error::Result;
use crate::ui::table::{Column, Table};

/// What is shown where nothing sets a value and none is known beforehand.
const NONE: &str = "-";

/// All settings, and the file that they can be in.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "configuration"))]
pub(super) struct Config {
    /// The user's configuration; it need not exist.
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
/// When a value cannot be used.
pub fn run(cx: &Context, args: &ShowConfigArgs) -> Result<()> {
    // How these are written only a start knows.
    limits(cx, &LimitArgs::default())?;
    let keys = Key::ALL.iter();
    let settings: Vec<Setting> = keys.map(|key| setting(cx, *key)).collect::<Result<_>>()?;
    let file = cx.settings.path().display().to_string();
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
    let exists = if cx.settings.path().exists() {
        ""
    } else {
        ", which does not exist"
    };
    cx.ui
        .message(&format!("lines are those of `{file}`{exists}"));
    cx.ui.table(&table)
}

fn setting(cx: &Context, key: Key) -> Result<Setting> {
    let found = cx.settings.effective(key)?;
    let (source, line) = match found.as_ref().map(|found| &found.source) {
        Some(Source::Variable) => ("variable", None),
        Some(Source::File { line, .. }) => ("file", Some(*line)),
        Some(Source::Flag | Source::Default) | None => ("default", None),
    };
    Ok(Setting {
        key: key.name(),
        value: found.map(|found| found.value).or_else(|| implied(cx, key)),
        source,
        line,
        variable: key.variable(),
        about: key.about(),
    })
}

/// The value of a setting that nothing sets and that depends on other things.
fn implied(cx: &Context, key: Key) -> Option<String> {
    match key {
        Key::SshKey => default_key(&cx.env)
            .ok()
            .map(|path| path.display().to_string()),
        Key::SshUser => current_user(&cx.env).ok(),
        Key::Network => {
            let transport = cx.settings.choice(Key::Transport, None).ok().flatten();
            let by_ssh = transport.is_some_and(|transport| transport.value == "ssh");
            Some(if by_ssh { "host" } else { "bridge" }.to_owned())
        }
        _ => None,
    }
}
