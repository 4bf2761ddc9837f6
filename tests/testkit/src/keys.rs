//! SSH keys of every kind, generated once per process by ssh-keygen: an RSA key takes a second.

use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::{LazyLock, Mutex};

/// The kinds of keys that dkr accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    Ed25519,
    /// 2048 bits, in OpenSSH's format.
    Rsa,
    /// 2048 bits, in PEM (PKCS#1).
    RsaPem,
    /// 2048 bits, in PKCS#8.
    RsaPkcs8,
    Ecdsa,
}

impl KeyKind {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            KeyKind::Ed25519 => &["-t", "ed25519"],
            KeyKind::Rsa => &["-t", "rsa", "-b", "2048"],
            KeyKind::RsaPem => &["-t", "rsa", "-b", "2048", "-m", "PEM"],
            KeyKind::RsaPkcs8 => &["-t", "rsa", "-b", "2048", "-m", "PKCS8"],
            KeyKind::Ecdsa => &["-t", "ecdsa", "-b", "256"],
        }
    }
}

/// The private and the public text of a key.
type Pair = (String, String);

static MADE: LazyLock<Mutex<HashMap<(KeyKind, String), Pair>>> = LazyLock::new(Mutex::default);

/// Writes a key to `path` and `path.pub` and returns the public line; an empty passphrase means none.
pub fn write(kind: KeyKind, passphrase: &str, path: &Path) -> String {
    let (private, public) = pair(kind, passphrase);
    fs::write(path, private).expect("the folder of a key is writable");
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("the file is ours");
    fs::write(path.with_extension("pub"), &public).expect("the folder of a key is writable");
    public
}

fn pair(kind: KeyKind, passphrase: &str) -> Pair {
    // A test that failed while it held the lock has left the map consistent.
    let mut made = MADE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let slot = made.entry((kind, passphrase.to_owned()));
    slot.or_insert_with(|| generate(kind, passphrase)).clone()
}

fn generate(kind: KeyKind, passphrase: &str) -> Pair {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("key");
    let output = Command::new("ssh-keygen")
        .args(["-q", "-C", "dkr-test", "-N", passphrase, "-f"])
        .arg(&path)
        .args(kind.arguments())
        .output()
        .expect("ssh-keygen is missing: run `sh fixtures/setup.sh`");
    assert!(output.status.success(), "ssh-keygen: {output:?}");
    let read = |path: &Path| fs::read_to_string(path).expect("ssh-keygen wrote it");
    (read(&path), read(&path.with_extension("pub")))
}
