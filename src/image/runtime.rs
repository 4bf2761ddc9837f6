//! The files that every branch image has so that containers can start from it.

use super::names::{ADJECTIVES, NOUNS};

/// The image's entrypoint.
pub const ENTRYPOINT: &str = "/usr/local/lib/dkr/entrypoint.sh";

/// Where the folder with the channel's sockets is mounted into a container, read-only.
pub const CHANNEL_MOUNT_POINT: &str = "/run/dkr";

/// The configuration that `/workspace/.git/config` needs for the remote `host`, and no other file:
/// `ext::` URLs of other repositories, such as a submodule's, remain forbidden.
///
/// - `%S` is the name of the service, which is the name of the socket (git-remote-ext).
/// - `user` allows `ext::` when a person names the remote, not when `git submodule` does.
/// - Without negotiation a push sends the whole history, because all the branches of the host
///   are hidden from it.
pub const REMOTE_CONFIG: [(&str, &str); 3] = [
    ("remote.host.url", "ext::/usr/local/lib/dkr/connect %S"),
    ("protocol.ext.allow", "user"),
    ("push.negotiate", "true"),
];

/// git's configuration for dkr's own calls, in builds and containers.
pub const GIT_CONFIG: &str = include_str!("../../assets/gitconfig");

/// A file of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuntimeFile {
    /// Its name in `/usr/local/lib/dkr`.
    pub name: &'static str,
    /// Its contents.
    pub contents: &'static str,
    /// Whether it is executable.
    pub executable: bool,
}

/// The entrypoint, and what it reads and runs.
pub const RUNTIME_FILES: [RuntimeFile; 15] = [
    script("entrypoint.sh", include_str!("../../assets/entrypoint.sh")),
    script("attach.sh", include_str!("../../assets/attach.sh")),
    script("work.sh", include_str!("../../assets/work.sh")),
    data("changes.sh", include_str!("../../assets/changes.sh")),
    data("nested.sh", include_str!("../../assets/nested.sh")),
    data("save.sh", include_str!("../../assets/save.sh")),
    data("commits.sh", include_str!("../../assets/commits.sh")),
    data("workconfig", include_str!("../../assets/workconfig")),
    script("connect", include_str!("../../assets/dkr-connect.sh")),
    data("gitconfig", GIT_CONFIG),
    data("move.sh", include_str!("../../assets/move.sh")),
    data("term.sh", include_str!("../../assets/term.sh")),
    data("tmux.conf", include_str!("../../assets/tmux.conf")),
    data("adjectives", ADJECTIVES),
    data("nouns", NOUNS),
];

const fn script(name: &'static str, contents: &'static str) -> RuntimeFile {
    RuntimeFile {
        name,
        contents,
        executable: true,
    }
}

const fn data(name: &'static str, contents: &'static str) -> RuntimeFile {
    RuntimeFile {
        name,
        contents,
        executable: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_use_only_files_that_are_there() {
        for file in RUNTIME_FILES {
            let uses = file.contents.split("\"$lib/").skip(1);
            for name in uses.filter_map(|rest| rest.split('"').next()) {
                assert!(
                    RUNTIME_FILES.iter().any(|other| other.name == name),
                    "{} uses {name}",
                    file.name
                );
            }
        }
    }

    #[test]
    fn the_url_names_the_script_and_the_script_the_folder() {
        let (_, url) = REMOTE_CONFIG[0];
        let name = url.strip_prefix("ext::/usr/local/lib/dkr/").unwrap();
        let script = name.strip_suffix(" %S").unwrap();
        let script = RUNTIME_FILES.iter().find(|file| file.name == script);
        let script = script.filter(|file| file.executable).unwrap();
        let folder = format!("{CHANNEL_MOUNT_POINT}}}");
        assert!(script.contents.contains(&folder));
    }

    #[test]
    fn the_entrypoint_is_one_of_the_scripts() {
        let name = ENTRYPOINT.strip_prefix("/usr/local/lib/dkr/");
        let entrypoint = RUNTIME_FILES.iter().find(|file| Some(file.name) == name);
        assert!(entrypoint.is_some_and(|file| file.executable && file.contents.starts_with("#!")));
    }
}
