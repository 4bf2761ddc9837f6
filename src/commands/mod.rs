//! The commands: one thin file for each, and the match that calls them.

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
mod man;
mod parse;
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

pub use parse::{Cli, Instead, parse};

use std::path::PathBuf;

use clap::Subcommand;

use crate::app::Context;
use crate::cli::Settings;
use crate::container::watch;
use crate::error::Result;

/// The commands of dkr.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bake a repository and its toolchain into an image
    #[command(visible_alias = "ci", after_help = create_image::EXAMPLES)]
    CreateImage(create_image::CreateImageArgs),
    /// Add the newest commits to an image, as one thin layer
    #[command(visible_alias = "ui", after_help = update_image::EXAMPLES)]
    UpdateImage(update_image::UpdateImageArgs),
    /// Start a container on its own working branch
    #[command(visible_aliases = ["si", "start-container", "sc"], after_help = start_image::EXAMPLES)]
    StartImage(Box<start_image::StartImageArgs>),
    /// List containers and their unsaved work
    #[command(visible_alias = "ps", after_help = list_containers::EXAMPLES)]
    ListContainers(list_containers::ListContainersArgs),
    /// Reattach to a container
    #[command(after_help = attach::EXAMPLES)]
    Attach(attach::AttachArgs),
    /// Run a command in a container
    #[command(after_help = exec::EXAMPLES)]
    Exec(exec::ExecArgs),
    /// Stop containers
    #[command(after_help = stop::EXAMPLES)]
    Stop(stop::StopArgs),
    /// Remove containers (refuses if they hold unsaved work)
    #[command(visible_alias = "rm", after_help = remove_container::EXAMPLES)]
    RemoveContainer(remove_container::RemoveContainerArgs),
    /// Bring a container's work to your repository
    #[command(after_help = take::EXAMPLES)]
    Take(take::TakeArgs),
    /// Show what a container changed
    #[command(after_help = diff::EXAMPLES)]
    Diff(diff::DiffArgs),
    /// List the images that dkr built
    #[command(visible_alias = "ls", after_help = list_images::EXAMPLES)]
    ListImages(list_images::ListImagesArgs),
    /// Show an image's details
    #[command(after_help = inspect_image::EXAMPLES)]
    InspectImage(inspect_image::InspectImageArgs),
    /// Remove images
    #[command(after_help = remove_image::EXAMPLES)]
    RemoveImage(remove_image::RemoveImageArgs),
    /// Remove images that newer ones have replaced, and containers that have ended
    #[command(after_help = prune::EXAMPLES)]
    Prune(prune::PruneArgs),
    /// Show a repository's images and containers on one screen
    #[command(after_help = status::EXAMPLES)]
    Status(status::StatusArgs),
    /// Check everything that dkr needs
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::DoctorArgs),
    /// Write a commented `.dkr.conf` to start from
    #[command(after_help = init::EXAMPLES)]
    Init(init::InitArgs),
    /// Show every setting and where its value comes from
    #[command(after_help = show_config::EXAMPLES)]
    ShowConfig(show_config::ShowConfigArgs),
    /// Print a shell's completion script
    #[command(after_help = completions::EXAMPLES)]
    Completions(completions::CompletionsArgs),
    /// A command that nobody types.
    #[command(skip)]
    Internal(Internal),
}

/// The commands that dkr, a shell or a package calls: no help, completion or suggestion shows them.
#[derive(Debug, Subcommand)]
pub enum Internal {
    /// Serve the git channel of a container (started by dkr itself)
    ChannelServer {
        /// The channel's folder
        folder: PathBuf,
    },
    /// Print the completions of a command line (called by the shell)
    Complete(complete::CompleteArgs),
    /// Write the manual pages (for packaging dkr)
    Man {
        /// The folder, created if it is missing
        folder: PathBuf,
    },
}

/// Runs the command that the user gave; returns the exit status.
///
/// # Errors
/// The reason why the command failed.
pub async fn run(command: &Command, settings: &Settings, context: &Context) -> Result<u8> {
    match command {
        Command::CreateImage(args) => create_image::run(context, args).await.map(|()| 0),
        Command::UpdateImage(args) => update_image::run(context, args).await.map(|()| 0),
        Command::StartImage(args) => start_image::run(context, args, settings).await,
        Command::Internal(Internal::ChannelServer { folder }) => {
            watch::serve(folder, context).await.map(|()| 0)
        }
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
        Command::Internal(Internal::Complete(args)) => complete::run(context, args).map(|()| 0),
        Command::Internal(Internal::Man { folder }) => man::run(folder).map(|()| 0),
    }
}
