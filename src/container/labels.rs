//! The labels that dkr sets on containers. A container also has those of its image: repository, branch
//! and commit (pure). [`own`](super::own) decides which of them to trust.

use crate::engine::ListedContainer;

/// The working branch.
pub const WORK_BRANCH: &str = "dkr.work_branch";
/// The id of the image.
pub const IMAGE: &str = "dkr.image";
/// Whether it is kept when it has ended: `auto`, `always` or `never`.
pub const KEEP: &str = "dkr.keep";
/// What it was started for: `session` (tmux) or `command`.
pub const RUNS: &str = "dkr.runs";
/// The namespace of the branches that it pushes to: the host's name.
pub const PUSH_PREFIX: &str = "dkr.push_prefix";
/// The name of its record on the host, which is created before it.
pub const RECORD: &str = "dkr.record";

/// The value of [`RUNS`] for a tmux session.
pub const SESSION: &str = "session";
/// The value of [`RUNS`] for a command.
pub const COMMAND: &str = "command";

/// The working branch of a container, or its name if dkr did not start it.
pub fn working_branch(container: &ListedContainer) -> &str {
    let branch = container.labels.get(WORK_BRANCH);
    branch.map_or(&container.name, String::as_str)
}
