//! A private OpenSSH server on a free loopback port, with its own host key and authorized keys.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::keys::{self, KeyKind};
use crate::{processes, wait_until};

/// A running server; stopped, with its connections, when dropped.
pub struct Sshd {
    folder: PathBuf,
    port: u16,
    process: Child,
}

impl Sshd {
    /// Starts a server whose files are in `folder` (made here). `environment` is what the
    /// programs that it runs inherit: they must not read the user's own configuration.
    pub fn start(folder: &Path, host_key: KeyKind, environment: &[(String, String)]) -> Self {
        fs::create_dir_all(folder).expect("the folder of the sandbox is writable");
        keys::write(host_key, "", &folder.join("host_key"));
        File::create(folder.join("authorized_keys")).expect("the folder was just made");
        // Another program may take the port between its choice and the server's start.
        for _ in 0..5 {
            let port = free_port();
            fs::write(folder.join("config"), config(folder, port, environment))
                .expect("the folder was just made");
            let mut process = spawn(folder);
            // On a port that it has lost, another server may answer.
            let listens = format!("Server listening on 127.0.0.1 port {port}.");
            let up = || log(folder).contains(&listens);
            let ended =
                |process: &mut Child| process.try_wait().is_ok_and(|status| status.is_some());
            wait_until(Duration::from_secs(30), || up() || ended(&mut process));
            if up() && !ended(&mut process) {
                let folder = folder.to_owned();
                return Sshd {
                    folder,
                    port,
                    process,
                };
            }
            let _ = process.kill();
            let _ = process.wait();
        }
        panic!("sshd does not start: {}", log(folder));
    }

    /// The port it listens on, on `127.0.0.1` and (where there is IPv6) `::1`.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's public host key, as in a line of `known_hosts` after the host.
    pub fn host_key(&self) -> String {
        let line = fs::read_to_string(self.folder.join("host_key.pub")).expect("made at start");
        let mut words = line.split(' ');
        let mut word = || words.next().expect("a kind and a key");
        format!("{} {}", word(), word())
    }

    /// Accepts a public key; `options` precede it as in `authorized_keys`, e.g.
    /// `restrict,command="…"`.
    pub fn authorize(&self, options: &str, public: &str) {
        let mut file = OpenOptions::new()
            .append(true)
            .open(self.folder.join("authorized_keys"))
            .expect("made at start");
        let line = format!("{options} {}\n", public.trim());
        file.write_all(line.trim_start().as_bytes())
            .expect("the file is ours");
    }

    /// Accepts no keys any more.
    pub fn authorize_nobody(&self) {
        File::create(self.folder.join("authorized_keys")).expect("the file is ours");
    }

    /// Adds a line to its configuration and restarts it.
    pub fn configure(&self, line: &str) {
        let config = OpenOptions::new()
            .append(true)
            .open(self.folder.join("config"));
        let written = config.and_then(|mut file| writeln!(file, "{line}"));
        written.expect("the file is ours");
        let listens = format!("Server listening on 127.0.0.1 port {}.", self.port);
        let starts = || log(&self.folder).matches(&listens).count();
        let before = starts();
        processes::send(self.process.id(), Signal::HUP);
        let again = wait_until(Duration::from_secs(30), || starts() > before);
        assert!(again, "sshd does not start again: {}", self.log());
    }

    /// The server's log, for messages of failing tests.
    pub fn log(&self) -> String {
        log(&self.folder)
    }

    /// Stops the server and its connections.
    pub fn stop(&mut self) {
        let mut pids = processes::descendants(self.process.id());
        pids.push(self.process.id());
        processes::end(&pids, Duration::from_secs(2));
        let _ = self.process.wait();
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}

fn config(folder: &Path, port: u16, environment: &[(String, String)]) -> String {
    let folder = folder.display();
    let addresses: String = match TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) {
        Ok(_) => "ListenAddress 127.0.0.1\nListenAddress ::1\n".into(),
        Err(_) => "ListenAddress 127.0.0.1\n".into(),
    };
    let variables: String = environment
        .iter()
        .map(|(name, value)| format!(" \"{name}={value}\""))
        .collect();
    // Without PAM, sshd rejects users whose password is locked.
    let pam = if password_is_locked() { "yes" } else { "no" };
    format!(
        "Port {port}\n{addresses}HostKey {folder}/host_key\n\
         AuthorizedKeysFile {folder}/authorized_keys\nPidFile none\n\
         StrictModes no\nUsePAM {pam}\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n\
         MaxStartups 100\nPrintMotd no\nSetEnv{variables}\n"
    )
}

fn password_is_locked() -> bool {
    let shadow = fs::read_to_string("/etc/shadow").unwrap_or_default();
    shadow.lines().any(|line| line.starts_with("root:!"))
}

fn spawn(folder: &Path) -> Child {
    // The folder of its unprivileged child, which a service unit would create. Without root it
    // cannot be created and is not needed.
    let _ = fs::create_dir_all("/run/sshd");
    let log = File::create(folder.join("log")).expect("the folder was just made");
    Command::new("/usr/sbin/sshd")
        .args(["-D", "-e", "-f"])
        .arg(folder.join("config"))
        .stdin(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("/usr/sbin/sshd is missing: run `sh fixtures/setup.sh`")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}
