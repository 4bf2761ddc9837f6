//! `dkr diff`: what a container changed since its branch point.

use tokio::io::AsyncWrite;

use super::containers::choose;
use crate::bake::Context;
use crate::cli::DiffArgs;
use crate::engine::Engine;
use crate::engine::command::pipe;
use crate::engine::containers::{ContainerId, ExitStatus};
use crate::engine::streams::Streams;
use crate::error::{Error, Result};
use crate::git::pager;
use crate::start::channel;
use crate::ui::pager::Pager;
use crate::work::Containers;
use crate::work::ask::{SCRIPT, awake, script_failed};

/// Runs the command.
///
/// # Errors
/// `NotFound` if there is no such container; when it cannot be asked.
pub async fn run(cx: &Context, args: &DiffArgs) -> Result<()> {
    let mut waiting = Some(cx.ui.waiting("look into the container"));
    let engine = Engine::connect(&cx.env).await?;
    let containers = Containers::read(&engine, &cx.env).await?;
    let container = choose(&containers, &args.container.name)?;
    let _hold = channel::hold(&container.id, cx).await?;
    let terminal = cx.ui.terminal().stdout;
    let colour = match terminal && !cx.ui.terminal().no_color {
        true => "--color=always",
        false => "--color=never",
    };
    let mut command = vec![SCRIPT, "diff", colour];
    command.extend(args.stat.then_some("--stat"));
    awake(&engine, &container.id, async || {
        // What is shown comes in its place.
        waiting.take();
        let command = &command;
        match terminal.then(pager).flatten() {
            None => show(&engine, &container.id, command, tokio::io::stdout()).await,
            Some(program) => {
                // Ctrl-C is the pager's.
                cx.hand_over_signals();
                let mut pager = Pager::start(&program, &cx.ui)?;
                let shown = show(&engine, &container.id, command, pager.input()).await;
                pager.wait().await?;
                shown
            }
        }
    })
    .await
}

async fn show(
    engine: &Engine,
    id: &ContainerId,
    command: &[&str],
    stdout: impl AsyncWrite + Unpin,
) -> Result<()> {
    let mut errors = Vec::new();
    let streams = Streams {
        stdin: None::<tokio::io::Empty>,
        stdout,
        stderr: &mut errors,
    };
    let error = match pipe(engine, id, command, streams).await {
        Ok(ExitStatus(0)) => return Ok(()),
        Ok(ExitStatus(status)) => {
            let reason = match String::from_utf8_lossy(&errors).trim() {
                "" => format!("exit status {status}"),
                words => words.to_owned(),
            };
            Error::failed(format!("cannot compare in container `{id}`")).cause(reason)
        }
        Err(error) => error,
    };
    Err(script_failed(engine, id, error).await)
}
