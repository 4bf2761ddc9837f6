//! The user's repository: reading it with libgit2, and fetching into it with the `git` program.
//!
//! Commands, `bake` and `container` use it. It is the only module that uses git2. It reads; it writes
//! only what [`Repository::fetch_remote_branch`] fetches, objects and one remote-tracking ref, and the
//! refs that [`serve`] accepts. No hook runs, and HEAD, index, work tree and configuration are never
//! touched.

mod command;
mod commit_id;
pub mod exported;
mod fetch;
mod history;
mod locate;
mod loose;
mod named;
mod pack_index;
pub mod packs;
mod pager;
mod reachable;
pub mod reachable_pack;
mod redact;
mod ref_list;
mod refs;
mod refspec;
mod refusal;
mod remote_url;
mod repository;
mod rev_list;
mod scratch;
pub mod serve;
#[cfg(test)]
pub(crate) mod testing;
mod tree;
pub mod working_branch;

pub use command::{GitVersion, git_version};
pub use commit_id::{CommitId, short};
pub use fetch::FetchOutcome;
pub use history::COMPARE_LIMIT;
pub use pager::pager;
pub use reachable::CommitAt;
pub use redact::without_credentials;
pub use refs::{Located, RemoteBranch, Target, TargetKind};
pub use repository::Repository;
pub use tree::FileAt;
