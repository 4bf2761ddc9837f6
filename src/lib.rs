//! dkr bakes a huge git repository into a Docker image and works on it in containers.
//!
//! [`run`] is all of the library. `ARCHITECTURE.md` describes the modules, which of them may use which,
//! and the invariants.

mod app;
mod bake;
mod buildkit;
mod catalog;
mod cli;
mod commands;
mod container;
mod doctor;
mod engine;
mod env;
mod error;
mod git;
mod image;
mod ssh;
mod text;
mod ui;

use std::ffi::OsString;
use std::time::Duration;

use crate::app::Context;
use crate::cli::Settings;
use crate::commands::{Cli, Instead};
use crate::engine::signals::Router;
use crate::env::Env;
use crate::error::{Error, Kind, Result};
use crate::ssh::askpass;
use crate::ui::Ui;
use crate::ui::progress::ProgressMode;

/// How long a command may take to end by itself once the user has interrupted it.
const GRACE: Duration = Duration::from_millis(1500);

/// Runs dkr with the arguments `args`, the first of which is the program's name, and gives the
/// exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let env = Env::of_process();
    if askpass::is_asked(&env) {
        return u8::from(!askpass::answer());
    }
    let ui = Ui::new(&env, ProgressMode::default());
    let (cli, settings) = match commands::parse(args, &env) {
        Ok(read) => read,
        Err(instead) => return say_instead(&instead, &ui),
    };
    match execute(&cli, &settings, env) {
        Ok(status) => status,
        Err((error, ui)) => {
            if error.kind == Kind::Interrupted {
                ui.message("interrupted");
            } else {
                ui.error(&error);
            }
            error.kind.exit_code()
        }
    }
}

fn say_instead(instead: &Instead, ui: &Ui) -> u8 {
    match instead {
        Instead::Error(error) => {
            ui.error(error);
            error.kind.exit_code()
        }
        Instead::Text {
            text,
            is_error: true,
        } => {
            ui.message(text.trim_end());
            Kind::Usage.exit_code()
        }
        Instead::Text { text, .. } => match ui.data(text) {
            Ok(()) => 0,
            Err(error) => error.kind.exit_code(),
        },
    }
}

fn execute(cli: &Cli, settings: &Settings, env: Env) -> std::result::Result<u8, (Error, Ui)> {
    let plain = Ui::new(&env, ProgressMode::default());
    let context = context(cli, settings, env).map_err(|error| (error, plain.clone()))?;
    let ui = context.ui.clone();
    let ended = start_runtime().and_then(|runtime| {
        let ended = runtime.block_on(interruptible(cli, settings, &context));
        // A blocking call that still runs must not hold up the end.
        runtime.shutdown_background();
        ended
    });
    ended.map_err(|error| (error, ui))
}

fn context(cli: &Cli, settings: &Settings, env: Env) -> Result<Context> {
    Ok(Context {
        ui: Ui::new(&env, cli.progress),
        signals: Router::default(),
        container_timeout: settings.container_timeout()?,
        env,
    })
}

fn start_runtime() -> Result<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    built.map_err(|e| Error::failed("cannot start the runtime").source(e))
}

/// The first Ctrl-C (or request to terminate) lets the command end what it began; a second one
/// ends the process at once.
async fn interruptible(cli: &Cli, settings: &Settings, context: &Context) -> Result<u8> {
    let at_once = || std::process::exit(i32::from(Kind::Interrupted.exit_code()));
    let watching = tokio::spawn(context.signals.clone().run(at_once));
    let overdue = async {
        context.signals.interrupt().cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    let ended = tokio::select! {
        ended = commands::run(&cli.command, settings, context) => ended,
        () = overdue => Err(Error::interrupted()),
    };
    watching.abort();
    ended
}
