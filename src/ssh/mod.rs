//! SSH as the user's own OpenSSH does it: `ssh-agent` holds the key, `ssh-add` reads it, `ssh` logs in,
//! `ssh-keygen` looks up the host keys.
//!
//! [`config`] reads `~/.ssh/config`, [`key`] makes an [`Identity`] of a key file or of a key in the
//! user's agent, [`login`] checks that a server accepts it, [`known_hosts`] pins the server's key, and
//! [`fault`] makes the error messages. `bake` combines them; a build reaches the agent only through
//! `buildkit::agent`. Nothing here prints, and only `ssh-add` asks, where the caller allows it.
//!
//! Only [`fault`] reads what OpenSSH writes for people; `-v` makes it complete.

pub mod agent;
pub mod askpass;
pub mod config;
pub mod fault;
pub mod key;
pub mod known_hosts;
pub mod login;
pub mod program;
pub mod settings;
mod url;

pub use fault::ServerFault;
pub use key::{Identity, Unlock};
pub use login::{Account, HostKeyPolicy, Login};
