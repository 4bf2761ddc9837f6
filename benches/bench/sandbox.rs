//! Everything on this machine that the benchmark needs of its own: a folder, a home, keys, an SSH
//! server. All of it goes when this is dropped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use testkit::{KeyKind, Sshd, write_key};

use crate::Result;

/// Variables of the caller that programs of the benchmark get too.
const PASSED_ON: [&str; 7] = [
    "PATH",
    "LANG",
    "TMPDIR",
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
];

/// The folder and the server.
pub struct Sandbox {
    // Stopped before its folder goes.
    sshd: Sshd,
    folder: tempfile::TempDir,
}

impl Sandbox {
    /// Makes the folder and starts the server.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("dkr-bench-").tempdir()?;
        let home = home(folder.path());
        fs::create_dir_all(home.join(".ssh"))?;
        let name = "[user]\n\tname = Bench\n\temail = bench@example.com\n";
        fs::write(home.join(".gitconfig"), name)?;
        // What the server runs reads no configuration of the user's.
        let environment = [("GIT_CONFIG_GLOBAL".to_owned(), "/dev/null".to_owned())];
        let sshd = Sshd::start(&folder.path().join("sshd"), KeyKind::Ed25519, &environment);
        let key = write_key(KeyKind::Ed25519, "", &home.join(".ssh/id_ed25519"));
        sshd.authorize("", &key);
        Ok(Sandbox { sshd, folder })
    }

    /// The folder, without symbolic links in its path.
    pub fn path(&self) -> Result<PathBuf> {
        Ok(fs::canonicalize(self.folder.path())?)
    }

    /// The port of the SSH server.
    pub fn port(&self) -> u16 {
        self.sshd.port()
    }

    /// The private key that the server accepts.
    pub fn user_key(&self) -> PathBuf {
        home(self.folder.path()).join(".ssh/id_ed25519")
    }

    /// The server's public key: its kind and the key itself.
    pub fn host_key(&self) -> String {
        self.sshd.host_key()
    }

    /// A program that sees nothing of the caller's configuration.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let home = home(self.folder.path());
        command.env_clear().stdin(Stdio::null());
        for name in PASSED_ON {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command
            .env("HOME", &home)
            .env("XDG_CONFIG_HOME", home.join(".config"))
            .env("XDG_STATE_HOME", home.join(".state"))
            .env("XDG_RUNTIME_DIR", &home)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("DKR_SSH_PORT", self.port().to_string());
        command
    }
}

fn home(folder: &Path) -> PathBuf {
    folder.join("home")
}
