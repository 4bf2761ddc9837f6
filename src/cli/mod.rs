//! What the command line of every command is made of: the user's settings as the defaults of its
//! arguments, the arguments that several commands share, and how values are read and completed.

mod arguments;
mod choices;
mod completion;
mod given;
pub mod settings;
mod user_file;
pub mod values;

pub use arguments::{
    BuildArgs, ContainerArg, ContainersArg, HostVolumesArg, LimitArgs, SearchArgs, SshArgs,
    TargetArgs,
};
pub use completion::Offer;
pub use given::Given;
pub use settings::{Settings, Source, documented, variable};
