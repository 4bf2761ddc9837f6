//! What a container needs for its side of the channel.

/// Where [`Folder::mount_source`](super::Folder::mount_source) is mounted, read-only.
pub const MOUNT_POINT: &str = "/run/dkr";

/// Where [`CONNECT_SCRIPT`] lies in the image, executable.
pub const CONNECT_PATH: &str = "/usr/local/lib/dkr/connect";

/// Joins git to the socket of the service it asks for, and says what to do if nobody answers.
/// It needs `socat`.
pub const CONNECT_SCRIPT: &str = include_str!("../../assets/dkr-connect.sh");

/// The configuration that `/workspace/.git/config` needs, and no other file: `ext::` URLs of
/// other repositories, such as a submodule's, stay forbidden.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_names_the_script_and_the_script_the_folder() {
        let url = REMOTE_CONFIG[0].1;
        assert_eq!(url, format!("ext::{CONNECT_PATH} %S"));
        assert!(CONNECT_SCRIPT.contains(&format!("{MOUNT_POINT}}}")));
    }
}
