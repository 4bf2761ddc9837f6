//! The commands: one thin file each, and the one match that calls them.

mod attach;
mod complete;
mod completions;
mod containers;
mod create_image;
mod diff;
mod doctor;
mod exec;
mod init;
mod inspect_image;
mod json;
mod list_containers;
mod list_images;
mod prune;
mod reattach;
mod remove_container;
mod remove_image;
mod show_config;
mod start_image;
mod status;
mod stop;
mod take;
mod update_image;

use crate::app::Context;
use crate::cli::{Command, Settings};
use crate::container::watch;
use crate::error::Result;

/// Runs the command that the user gave; its result is the exit status.
///
/// # Errors
/// Whatever stopped it.
pub async fn run(command: &Command, settings: &Settings, context: &Context) -> Result<u8> {
    match command {
        Command::CreateImage(args) => create_image::run(context, args).await.map(|()| 0),
        Command::UpdateImage(args) => update_image::run(context, args).await.map(|()| 0),
        Command::StartImage(args) => start_image::run(context, args, settings).await,
        Command::ChannelServer { folder } => watch::serve(folder, context).await.map(|()| 0),
        Command::ListContainers(args) => list_containers::run(context, args).await.map(|()| 0),
        Command::Attach(args) => attach::run(context, args).await,
        Command::Exec(args) => exec::run(context, args).await,
        Command::Stop(args) => stop::run(context, args).await.map(|()| 0),
        Command::RemoveContainer(args) => remove_container::run(context, args).await.map(|()| 0),
        Command::Take(args) => take::run(context, args).await.map(|()| 0),
        Command::Diff(args) => diff::run(context, args).await.map(|()| 0),
        Command::ListImages(args) => list_images::run(context, args).await.map(|()| 0),
        Command::InspectImage(args) => inspect_image::run(context, args).await.map(|()| 0),
        Command::RemoveImage(args) => remove_image::run(context, args).await.map(|()| 0),
        Command::Prune(args) => prune::run(context, args).await.map(|()| 0),
        Command::Status(args) => status::run(context, args).await.map(|()| 0),
        Command::Doctor(args) => doctor::run(context, args, settings).await,
        Command::Init(args) => init::run(context, args).map(|()| 0),
        Command::ShowConfig(args) => show_config::run(context, args, settings).map(|()| 0),
        Command::Completions(args) => completions::run(context, args).map(|()| 0),
        Command::Complete(args) => complete::run(context, args).map(|()| 0),
    }
}
