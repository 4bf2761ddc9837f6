//! Everything on this machine that the benchmark needs of its own: a folder, a home, keys, an SSH
//! server. All of it goes when this is dropped.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;

/// How long the SSH server may take to start.
const START: Duration = Duration::from_secs(10);
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
    folder: tempfile::TempDir,
    sshd: Option<Child>,
    port: u16,
}

impl Sandbox {
    /// Makes the folder and starts the server.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("dkr-bench-").tempdir()?;
        let mut sandbox = Sandbox {
            folder,
            sshd: None,
            port: 0,
        };
        let home = sandbox.home();
        fs::create_dir_all(home.join(".ssh"))?;
        let name = "[user]\n\tname = Bench\n\temail = bench@example.com\n";
        fs::write(home.join(".gitconfig"), name)?;
        sandbox.key("host_key")?;
        sandbox.key("home/.ssh/id_ed25519")?;
        sandbox.start_sshd()?;
        Ok(sandbox)
    }

    /// The folder, without symbolic links in its path.
    pub fn path(&self) -> Result<PathBuf> {
        Ok(fs::canonicalize(self.folder.path())?)
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The port of the SSH server.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The private key that the server accepts.
    pub fn user_key(&self) -> PathBuf {
        self.home().join(".ssh/id_ed25519")
    }

    /// The server's public key: its kind and the key itself.
    pub fn host_key(&self) -> Result<String> {
        let line = fs::read_to_string(self.folder.path().join("host_key.pub"))?;
        Ok(line.split(' ').take(2).collect::<Vec<_>>().join(" "))
    }

    /// A program that sees nothing of the caller's configuration.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let home = self.home();
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
            .env("DKR_SSH_PORT", self.port.to_string());
        command
    }

    fn key(&self, name: &str) -> Result<()> {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "", "-f"]);
        let status = command.arg(self.folder.path().join(name)).status()?;
        status
            .success()
            .then_some(())
            .ok_or("ssh-keygen failed".into())
    }

    fn start_sshd(&mut self) -> Result<()> {
        let folder = self.folder.path();
        self.port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        fs::write(folder.join("sshd_config"), config(folder, self.port))?;
        // The folder of its unprivileged child; where this is not root it is not needed.
        let _ = fs::create_dir_all("/run/sshd");
        let log = fs::File::create(folder.join("sshd.log"))?;
        let sshd = self
            .command("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(folder.join("sshd_config"))
            .stderr(log)
            .spawn()?;
        self.sshd = Some(sshd);
        let deadline = Instant::now() + START;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            if Instant::now() > deadline {
                let log = fs::read_to_string(self.folder.path().join("sshd.log"))?;
                return Err(format!("sshd does not start: {log}").into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(mut sshd) = self.sshd.take() {
            let _ = sshd.kill();
            let _ = sshd.wait();
        }
    }
}

fn config(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    let addresses = match TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) {
        Ok(_) => "ListenAddress 127.0.0.1\nListenAddress ::1\n",
        Err(_) => "ListenAddress 127.0.0.1\n",
    };
    // Without PAM, sshd lets nobody in whose password is locked.
    let shadow = fs::read_to_string("/etc/shadow").unwrap_or_default();
    let locked = shadow.lines().any(|line| line.starts_with("root:!"));
    let pam = if locked { "yes" } else { "no" };
    format!(
        "Port {port}\n{addresses}HostKey {folder}/host_key\n\
         AuthorizedKeysFile {folder}/home/.ssh/id_ed25519.pub\nPidFile none\n\
         StrictModes no\nUsePAM {pam}\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n\
         MaxStartups 100\nPrintMotd no\nSetEnv GIT_CONFIG_GLOBAL=/dev/null\n"
    )
}
