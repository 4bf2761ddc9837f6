//! The settings that dkr knows: name, kind, default. A new one is one more line.

/// What values a setting can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A file.
    Path,
    /// A whole number.
    Number {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `true` or `false`, or in the file a list of paths.
    Allowance,
}

/// Declares [`Key`] and what belongs to each of its variants.
macro_rules! settings {
    ($($key:ident, $name:literal, $kind:expr, $default:expr, $about:literal;)+) => {
        /// A setting. Its variable and flag follow from its name: `ssh_port` is `DKR_SSH_PORT`
        /// and `--ssh-port`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Key {
            $(#[doc = $about] $key,)+
        }

        impl Key {
            /// Every setting, in the order in which they are listed.
            pub const ALL: &'static [Key] = &[$(Key::$key),+];

            /// The name, as it stands in the user's configuration.
            pub fn name(self) -> &'static str {
                match self { $(Key::$key => $name,)+ }
            }

            /// What values it can have.
            pub fn kind(self) -> Kind {
                match self { $(Key::$key => $kind,)+ }
            }

            /// Its value where nothing sets it; `None` if it then depends on other things.
            pub fn default(self) -> Option<&'static str> {
                match self { $(Key::$key => $default,)+ }
            }

            /// What it is for, in a few words.
            pub fn about(self) -> &'static str {
                match self { $(Key::$key => $about,)+ }
            }
        }
    };
}

const PORT: Kind = Kind::Number { min: 1, max: 65535 };
const COUNT: Kind = Kind::Number {
    min: 0,
    max: u64::MAX,
};

settings! {
    SshKey, "ssh_key", Kind::Path, None, "private key for the host's SSH server";
    SshUser, "ssh_user", Kind::Text, None, "user on the host's SSH server";
    SshHost, "ssh_host", Kind::Text, None, "address of the host's SSH server, as a build sees it";
    SshPort, "ssh_port", PORT, Some("22"), "port of the host's SSH server";
    SshPassphraseFile, "ssh_passphrase_file", Kind::Path, None, "file with the private key's passphrase";
    Progress, "progress", Kind::Choice(&["auto", "plain", "tty", "quiet"]), Some("auto"), "how progress is shown";
    DryRun, "dry_run", Kind::Flag, Some("false"), "show what would be built or removed, and do nothing";
    NoCache, "no_cache", Kind::Flag, Some("false"), "build without the engine's build cache";
    AllowSshMounts, "allow_ssh_mounts", Kind::Flag, Some("false"), "allow `--mount=type=ssh` and `secret` in `.dkr.conf`";
    AllowHostVolumes, "allow_host_volumes", Kind::Allowance, Some("false"), "allow host paths in `volumes` of `.dkr.conf`";
    MaxBehind, "max_behind", COUNT, Some("50"), "commits that an image may be behind without a question";
    Stale, "stale", Kind::Choice(&["ask", "update", "proceed", "fail"]), Some("ask"), "what to do with an image that is behind";
    Drift, "drift", Kind::Choice(&["ask", "bake", "ignore", "fail"]), Some("ask"), "what to do when `.dkr.conf` has changed";
    Network, "network", Kind::Text, None, "network of a container";
    Transport, "transport", Kind::Choice(&["auto", "ssh", "session"]), Some("auto"), "how a build or a container reaches the repository";
    Clone, "clone", Kind::Choice(&["full", "packs"]), Some("packs"), "how the repository is copied in a build";
    BuildNetwork, "build_network", Kind::Choice(&["default", "host", "none"]), None, "network of a build's steps";
    Cpus, "cpus", Kind::Text, None, "processors that a container may use";
    Memory, "memory", Kind::Text, None, "memory that a container may use";
    PidsLimit, "pids_limit", Kind::Text, None, "processes that a container may have";
    Gpus, "gpus", Kind::Text, None, "graphics processors that a container has";
    Keep, "keep", Kind::Choice(&["auto", "always", "never"]), Some("auto"), "whether a container is kept when it has ended";
    ContainerTimeout, "container_timeout", Kind::Number { min: 1, max: 86_400 }, Some("60"), "seconds that a container may take to answer dkr";
}

impl Key {
    /// The setting called `name` in the user's configuration.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|key| key.name() == name)
    }

    /// The environment variable that sets it.
    pub fn variable(self) -> String {
        format!("DKR_{}", self.name().to_ascii_uppercase())
    }

    /// The flag that sets it.
    pub fn flag(self) -> String {
        format!("--{}", self.name().replace('_', "-"))
    }
}
