//! What all command lines share: the user's settings as defaults of arguments, the arguments that
//! several commands have, and how values are parsed and completed.

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
