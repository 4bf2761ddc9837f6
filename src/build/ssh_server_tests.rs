//! The check of an SSH server against real ones.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::Key;
use super::key::tests::generate;
use super::server_fault::ServerFault;
use super::ssh_server::{Account, HostKeyPolicy, log_in};

/// A private OpenSSH server on loopback with an Ed25519 and an RSA host key.
struct Sshd {
    folder: tempfile::TempDir,
    port: u16,
    process: Child,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Sshd {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        // Privilege separation wants it when the server runs as root.
        let _ = std::fs::create_dir_all("/run/sshd");
        for kind in ["ed25519", "rsa"] {
            std::fs::create_dir(path.join(kind)).unwrap();
            generate(&path.join(kind), &["-t", kind], "");
        }
        std::fs::create_dir(path.join("user")).unwrap();
        // Another program may take the port between its choice and the server's start.
        for _ in 0..5 {
            let port = free_port();
            if let Some(process) = Self::listening(path, port) {
                return Sshd {
                    folder,
                    port,
                    process,
                };
            }
        }
        panic!("sshd does not start");
    }

    /// A server on that port, none if another has it.
    fn listening(path: &Path, port: u16) -> Option<Child> {
        let show = |file: &str| path.join(file).display().to_string();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nHostKey {}\nAuthorizedKeysFile {}\n\
             StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n",
            show("ed25519/key"),
            show("rsa/key"),
            show("authorized_keys"),
        );
        std::fs::write(path.join("config"), config).unwrap();
        let log = path.join("log");
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(path.join("config"));
        command.stderr(std::fs::File::create(&log).unwrap());
        let mut process = command.spawn().unwrap();
        let listens = format!("Server listening on 127.0.0.1 port {port}.");
        let started = Instant::now();
        while !std::fs::read_to_string(&log).unwrap().contains(&listens) {
            let late = started.elapsed() > Duration::from_secs(30);
            if late || process.try_wait().unwrap().is_some() {
                let _ = process.kill();
                let _ = process.wait();
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(process)
    }

    /// A key that the server takes, if `options` is some; it stands before the key.
    fn key(&self, arguments: &[&str], options: Option<&str>) -> Key {
        let folder = tempfile::tempdir_in(self.folder.path()).unwrap().keep();
        let file = generate(&folder, arguments, "");
        let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
        let authorized = options.map(|options| format!("{options} {public}"));
        std::fs::write(
            self.folder.path().join("authorized_keys"),
            authorized.unwrap_or_default(),
        )
        .unwrap();
        Key::load(&file, &mut |_| None).unwrap()
    }

    fn host_key(&self, kind: &str) -> String {
        let public = self.folder.path().join(kind).join("key.pub");
        let text = std::fs::read_to_string(public).unwrap();
        text.split_whitespace()
            .take(2)
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn known_hosts(&self, text: &str) -> HostKeyPolicy {
        let file = self.folder.path().join("known_hosts");
        std::fs::write(&file, text).unwrap();
        HostKeyPolicy::KnownHosts(vec![file])
    }

    fn account(&self) -> Account {
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        Account {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            user: String::from_utf8(user).unwrap().trim().to_owned(),
        }
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn every_type_of_key_logs_in_and_the_host_key_is_seen() {
    let sshd = Sshd::start();
    for arguments in [
        &["-t", "ed25519"][..],
        &["-t", "rsa", "-b", "2048"],
        &["-t", "ecdsa", "-b", "521"],
    ] {
        let key = sshd.key(arguments, Some(""));
        let found = log_in(&sshd.account(), &key, &HostKeyPolicy::AcceptSeen)
            .await
            .unwrap();
        assert_eq!(found.try_git().await, None, "{arguments:?}");
        assert!([sshd.host_key("ed25519"), sshd.host_key("rsa")].contains(&found.host_key));
    }
}

#[tokio::test]
async fn a_key_that_is_refused_is_told_with_what_the_server_offers() {
    let sshd = Sshd::start();
    let key = sshd.key(&["-t", "ed25519"], None);
    let account = sshd.account();
    let fault = log_in(&account, &key, &HostKeyPolicy::AcceptSeen)
        .await
        .unwrap_err();
    let ServerFault::KeyRefused { methods, partial } = &fault else {
        panic!("{fault:?}");
    };
    assert!(methods.contains(&"publickey".to_owned()) && !partial);
    let text = fault.into_error(&account, key.path()).to_string();
    for part in [
        account.to_string(),
        key.path().display().to_string(),
        format!("`{}`", account.user),
    ] {
        assert!(text.contains(&part), "{text}");
    }
}

#[tokio::test]
async fn an_account_that_runs_no_git_is_a_detail() {
    let sshd = Sshd::start();
    let key = sshd.key(
        &["-t", "ed25519"],
        Some("command=\"echo not available; exit 7\""),
    );
    let found = log_in(&sshd.account(), &key, &HostKeyPolicy::AcceptSeen)
        .await
        .unwrap();
    let detail = found.try_git().await.unwrap();
    assert!(
        detail.contains("status 7") && detail.contains("not available"),
        "{detail}"
    );
}

#[tokio::test]
async fn an_account_whose_shell_hangs_is_a_detail_too() {
    let sshd = Sshd::start();
    let key = sshd.key(&["-t", "ed25519"], Some("command=\"exec sleep 30\""));
    let found = log_in(&sshd.account(), &key, &HostKeyPolicy::AcceptSeen)
        .await
        .unwrap();
    let started = Instant::now();
    assert!(found.try_git().await.unwrap().contains("did not end"));
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_host_key_must_be_known_and_the_line_makes_it_so() {
    let sshd = Sshd::start();
    let key = sshd.key(&["-t", "ed25519"], Some(""));
    let account = sshd.account();
    let fault = log_in(&account, &key, &sshd.known_hosts(""))
        .await
        .unwrap_err();
    let ServerFault::HostKeyUnknown { line, file, .. } = fault.clone() else {
        panic!("{fault:?}");
    };
    assert_eq!(file, Some(sshd.folder.path().join("known_hosts")));
    assert!(
        fault
            .into_error(&account, key.path())
            .to_string()
            .contains(&line)
    );
    assert!(
        log_in(&account, &key, &sshd.known_hosts(&line))
            .await
            .is_ok()
    );

    // Whichever of the server's keys is known is the one to ask for.
    for kind in ["ed25519", "rsa"] {
        let known = sshd.known_hosts(&format!(
            "[127.0.0.1]:{} {}",
            sshd.port,
            sshd.host_key(kind)
        ));
        let found = log_in(&account, &key, &known).await.unwrap();
        assert_eq!(found.host_key, sshd.host_key(kind));
    }
}

#[tokio::test]
async fn a_changed_or_revoked_host_key_is_refused_before_the_key_is_used() {
    let sshd = Sshd::start();
    let key = sshd.key(&["-t", "ed25519"], Some(""));
    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    let account = sshd.account();
    let changed = sshd.known_hosts(&format!("[127.0.0.1]:{} {other}\n", sshd.port));
    let fault = log_in(&account, &key, &changed).await.unwrap_err();
    assert!(
        matches!(&fault, ServerFault::HostKeyChanged { place, .. } if place.ends_with("known_hosts:1"))
    );
    let text = fault.into_error(&account, key.path()).to_string();
    assert!(text.contains("THE HOST KEY HAS CHANGED") && text.contains("ssh-keygen -R"));
    let revoked = sshd.known_hosts(&format!(
        "@revoked * {}\n@revoked * {}\n",
        sshd.host_key("ed25519"),
        sshd.host_key("rsa")
    ));
    let fault = log_in(&account, &key, &revoked).await.unwrap_err();
    assert!(
        matches!(fault, ServerFault::HostKeyRevoked { .. }),
        "{fault:?}"
    );
}

async fn check_port(port: u16) -> ServerFault {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::load(
        &generate(folder.path(), &["-t", "ed25519"], ""),
        &mut |_| None,
    )
    .unwrap();
    let account = Account {
        host: "127.0.0.1".to_owned(),
        port,
        user: "u".to_owned(),
    };
    let started = Instant::now();
    let fault = log_in(&account, &key, &HostKeyPolicy::AcceptSeen)
        .await
        .unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(20));
    let text = fault
        .clone()
        .into_error(&account, Path::new("k"))
        .to_string();
    assert!(text.contains(&format!("u@127.0.0.1:{port}")), "{text}");
    fault
}

#[tokio::test]
async fn what_is_no_ssh_server_is_no_answer_within_5_seconds() {
    assert!(matches!(
        check_port(free_port()).await,
        ServerFault::NoAnswer { .. }
    ));
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let fault = check_port(port).await;
    assert!(
        matches!(&fault, ServerFault::NoAnswer { reason } if reason.contains("5 s")),
        "{fault:?}"
    );
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = silent.accept() {
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    assert!(matches!(
        check_port(port).await,
        ServerFault::NoAnswer { .. }
    ));
}

#[tokio::test]
async fn unreadable_known_hosts_are_an_error() {
    let sshd = Sshd::start();
    let key = sshd.key(&["-t", "ed25519"], Some(""));
    let folder: PathBuf = sshd.folder.path().to_owned();
    let policy = HostKeyPolicy::KnownHosts(vec![folder.clone()]);
    let fault = log_in(&sshd.account(), &key, &policy).await.unwrap_err();
    let text = fault.into_error(&sshd.account(), key.path()).to_string();
    assert!(text.contains(&folder.display().to_string()), "{text}");
}
