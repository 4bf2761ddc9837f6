//! `dkr diff`: shows what a container changed since its branch point.

use clap::Args;
use tokio::io::AsyncWrite;

use super::containers::choose;
use crate::app::Context;
use crate::cli::ContainerArg;
use crate::container::work::Probe;
use crate::container::work::probe::{SCRIPT, script_failed};
use crate::container::{Containers, watch};
use crate::engine::Engine;
use crate::engine::containers::{ContainerId, ExitStatus};
use crate::engine::question::{Tail, UNREAD};
use crate::engine::streams::Streams;
use crate::error::{Error, Result};
use crate::git::pager;
use crate::ui::Ui;
use crate::ui::pager::Pager;

pub(super) const EXAMPLES: &str = "Examples:
  dkr diff fix-parser            all changes since its branch point, in your pager
  dkr diff fix-parser --stat     a summary of the changes in each file
  dkr diff fix-parser | git apply --check";

/// Arguments of `diff`.
#[derive(Debug, Clone, Args)]
pub struct DiffArgs {
    /// Which container.
    #[command(flatten)]
    pub container: ContainerArg,
    /// Show a summary of the changes in each file (a diffstat)
    #[arg(long)]
    pub stat: bool,
}

/// Runs the command.
///
/// # Errors
/// `NotFound` if there is no such container; when it cannot be queried.
pub async fn run(cx: &Context, args: &DiffArgs) -> Result<()> {
    let mut waiting = Some(cx.ui.waiting("comparing in the container"));
    let engine = Engine::connect(&cx.env).await?;
    let containers = Containers::read(&engine, &cx.env).await?;
    let container = choose(&containers, &args.container.name)?;
    let _hold = watch::hold(&container.id, cx).await?;
    let terminal = cx.ui.terminal().stdout;
    let colour = if terminal && !cx.ui.terminal().no_color {
        "--color=always"
    } else {
        "--color=never"
    };
    let mut command = vec![SCRIPT, "diff", colour];
    command.extend(args.stat.then_some("--stat"));
    let probe = Probe::new(&engine, cx);
    let shown = async || {
        // The output replaces the spinner.
        waiting.take();
        let command = &command;
        match terminal.then(pager).flatten() {
            None => show(&cx.ui, &probe, &container.id, command, tokio::io::stdout()).await,
            Some(program) => {
                // Ctrl-C belongs to the pager.
                let _signals = cx.signals.hand_over()?;
                let mut pager = Pager::start(&program, &cx.ui)?;
                let shown = show(&cx.ui, &probe, &container.id, command, pager.input()).await;
                pager.wait().await?;
                shown
            }
        }
    };
    probe.awake(&container.id, shown).await
}

/// How many files that the script could not compare with their git filter a message lists.
const NAMED: usize = 5;

async fn show(
    ui: &Ui,
    probe: &Probe<'_>,
    id: &ContainerId,
    command: &[&str],
    stdout: impl AsyncWrite + Unpin,
) -> Result<()> {
    let mut errors = Tail::default();
    let streams = Streams {
        stdin: None::<tokio::io::Empty>,
        stdout,
        stderr: &mut errors,
    };
    let error = match probe.pipe(id, command, streams, true).await {
        Ok(ExitStatus(0) | UNREAD) => {
            for line in errors.lines().take(NAMED) {
                if let Some(path) = line.strip_prefix("unsaved ") {
                    ui.warning(&format!("cannot show `{path}`: git cannot save it"));
                } else if let Some(path) = line.strip_prefix("raw ") {
                    ui.message(&format!("showing `{path}` without its git filter"));
                }
            }
            return Ok(());
        }
        Ok(status) => Error::failed(format!("cannot compare in container `{id}`"))
            .cause(errors.reason(status)),
        Err(error) => error,
    };
    Err(script_failed(probe.engine, id, error).await)
}
