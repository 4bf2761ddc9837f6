//! The user's private SSH key: read from its file, held in memory only, used to sign.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::keys::signature::Signer;
use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::Signature;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{Algorithm, HashAlg, PrivateKey};
use zeroize::Zeroizing;

use super::legacy_pem;
use crate::error::{Error, Result, quoted};

/// The largest file that is taken for a key, in bytes.
const MAX_FILE: u64 = 1024 * 1024;
/// How often a passphrase is asked for.
const ATTEMPTS: u32 = 3;

/// A private key that can sign: RSA, Ed25519 or ECDSA.
#[derive(Clone)]
pub struct Key {
    path: PathBuf,
    private: Arc<PrivateKey>,
}

/// The file's name only.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.path).finish()
    }
}

impl Key {
    /// Reads the key in the file `path`: OpenSSH's format, PEM or PKCS#8. For an encrypted one `ask`
    /// is called with the number of the attempt, counted from 1; `None` gives up.
    ///
    /// # Errors
    /// When the file cannot be read, holds no private key or one of a kind that cannot be used, or
    /// the passphrase is missing or wrong.
    pub fn load(path: &Path, ask: &mut dyn FnMut(u32) -> Option<String>) -> Result<Self> {
        let text = read(path)?;
        refuse_public_key(path, &text)?;
        let private = if is_encrypted(&text) {
            decrypt(path, &text, ask)?
        } else {
            russh::keys::decode_secret_key(&text, None).map_err(|e| unreadable(path).because(e))?
        };
        match private.algorithm() {
            Algorithm::Rsa { .. } | Algorithm::Ed25519 | Algorithm::Ecdsa { .. } => Ok(Key {
                path: path.to_owned(),
                private: Arc::new(private),
            }),
            other => Err(unreadable(path)
                .cause(format!("keys of type `{other}` are not supported"))
                .hint("use an RSA, Ed25519 or ECDSA key: `--ssh-key`")),
        }
    }

    /// The file the key came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The public key as SSH encodes it.
    ///
    /// # Errors
    /// When it cannot be encoded, which no key that was read gives reason to.
    pub fn public_blob(&self) -> Result<Vec<u8>> {
        let blob = self.private.public_key().to_bytes();
        blob.map_err(|e| unreadable(&self.path).because(e))
    }

    /// The fingerprint as `ssh-add -l` shows it.
    pub fn fingerprint(&self) -> String {
        self.private.fingerprint(HashAlg::Sha256).to_string()
    }

    /// An RSA key, whose signatures need a hash to be chosen.
    pub(super) fn is_rsa(&self) -> bool {
        self.private.algorithm().is_rsa()
    }

    pub(super) fn private(&self) -> Arc<PrivateKey> {
        self.private.clone()
    }

    /// A signature of `data` as SSH encodes it; `hash` counts for RSA only. RSA with SHA-1 (no hash)
    /// is refused: servers have not accepted it since OpenSSH 8.8.
    pub(super) fn sign(&self, data: &[u8], hash: Option<HashAlg>) -> Option<Vec<u8>> {
        let signature: Signature = match self.private.key_data() {
            KeypairData::Rsa(pair) => (pair, Some(hash?)).try_sign(data).ok()?,
            pair => pair.try_sign(data).ok()?,
        };
        let mut encoded = Vec::new();
        signature.encode(&mut encoded).ok()?;
        Some(encoded)
    }
}

fn unreadable(path: &Path) -> Error {
    Error::failed(format!("cannot use the SSH key `{}`", path.display()))
}

fn read(path: &Path) -> Result<Zeroizing<String>> {
    // The whole room at once: a growing buffer would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE as usize + 1));
    let file = std::fs::File::open(path).map_err(|e| unreadable(path).because(e))?;
    let read = file.take(MAX_FILE + 1).read_to_end(&mut bytes);
    read.map_err(|e| unreadable(path).because(e))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(unreadable(path).cause("the file is too large for a key"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| unreadable(path).cause("it is no text"))?;
    Ok(Zeroizing::new(
        text.trim_start_matches('\u{feff}').to_owned(),
    ))
}

fn refuse_public_key(path: &Path, text: &str) -> Result<()> {
    const STARTS: [&str; 6] = [
        "ssh-",
        "ecdsa-sha2-",
        "sk-ssh-",
        "sk-ecdsa-",
        "---- BEGIN SSH2 PUBLIC KEY",
        "-----BEGIN PUBLIC KEY",
    ];
    let text = text.trim_start();
    if !STARTS.iter().any(|start| text.starts_with(start)) {
        return Ok(());
    }
    let private = path.with_extension("");
    let error = unreadable(path).cause("it holds a public key, not a private one");
    Err(match path.extension() {
        Some(extension) if extension == "pub" => {
            let private = private.to_string_lossy();
            error.hint(format!("use `--ssh-key {}`", quoted(&private)))
        }
        _ => error.hint("name the private key with `--ssh-key`"),
    })
}

fn is_encrypted(text: &str) -> bool {
    text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
        || text.contains("\nDEK-Info:")
        || matches!(
            russh::keys::decode_secret_key(text, None),
            Err(russh::keys::Error::KeyIsEncrypted)
        )
}

fn decrypt(
    path: &Path,
    text: &str,
    ask: &mut dyn FnMut(u32) -> Option<String>,
) -> Result<PrivateKey> {
    for attempt in 1..=ATTEMPTS {
        let Some(passphrase) = ask(attempt).map(Zeroizing::new) else {
            return Err(unreadable(path)
                .cause("it is encrypted, and no passphrase was given")
                .hint("set `DKR_SSH_PASSPHRASE_FILE` to a file that holds the passphrase"));
        };
        let key = match legacy_pem::decrypt(text, &passphrase) {
            Some(Ok(plain)) => russh::keys::decode_secret_key(&plain, None).ok(),
            Some(Err(cipher)) => {
                return Err(unreadable(path)
                    .cause(format!("its encryption `{cipher}` is not supported"))
                    .hint(format!(
                        "rewrite it with `ssh-keygen -p -f {}`",
                        quoted(&path.to_string_lossy())
                    )));
            }
            None => russh::keys::decode_secret_key(text, Some(&passphrase)).ok(),
        };
        if let Some(key) = key {
            return Ok(key);
        }
    }
    Err(unreadable(path).cause("the passphrase is wrong"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::process::Command;

    /// A key pair made by ssh-keygen with these arguments; the private half's file.
    pub(crate) fn generate(folder: &Path, arguments: &[&str], passphrase: &str) -> PathBuf {
        let file = folder.join("key");
        let mut command = Command::new("ssh-keygen");
        command
            .args(["-q", "-N", passphrase, "-C", "comment", "-f"])
            .arg(&file)
            .args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        file
    }

    fn load(path: &Path, passphrase: Option<&str>) -> Result<Key> {
        Key::load(path, &mut |_| passphrase.map(str::to_owned))
    }

    const TYPES: [&[&str]; 5] = [
        &["-t", "ed25519"],
        &["-t", "rsa", "-b", "2048"],
        &["-t", "ecdsa", "-b", "256"],
        &["-t", "ecdsa", "-b", "384"],
        &["-t", "ecdsa", "-b", "521"],
    ];

    #[test]
    fn every_type_in_every_format_loads_with_and_without_a_passphrase() {
        for kind in TYPES {
            for format in ["RFC4716", "PEM", "PKCS8"] {
                for passphrase in ["", "geheim ü"] {
                    let folder = tempfile::tempdir().unwrap();
                    let arguments = [kind, &["-m", format, "-a", "4"]].concat();
                    let file = generate(folder.path(), &arguments, passphrase);
                    let told = (!passphrase.is_empty()).then_some(passphrase);
                    let key = load(&file, told).unwrap_or_else(|e| panic!("{arguments:?}: {e}"));
                    let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
                    let public: russh::keys::PublicKey = public.parse().unwrap();
                    assert_eq!(key.public_blob().unwrap(), public.to_bytes().unwrap());
                }
            }
        }
    }

    #[test]
    fn a_wrong_passphrase_is_asked_for_again_three_times() {
        for format in ["RFC4716", "PEM", "PKCS8"] {
            let folder = tempfile::tempdir().unwrap();
            let arguments = ["-t", "ecdsa", "-m", format, "-a", "1"];
            let file = generate(folder.path(), &arguments, "right");
            let answers = ["wrong", "right"];
            let mut asked = Vec::new();
            let key = Key::load(&file, &mut |attempt| {
                asked.push(attempt);
                Some(answers[attempt as usize - 1].to_owned())
            });
            assert!(key.is_ok(), "{format}");
            assert_eq!(asked, [1, 2]);
            let error = load(&file, Some("wrong")).unwrap_err();
            assert_eq!(error.causes, ["the passphrase is wrong"]);
            assert!(error.message.contains(file.to_str().unwrap()));
            let error = load(&file, None).unwrap_err();
            assert!(error.causes[0].contains("no passphrase was given"));
        }
    }

    #[test]
    fn what_is_no_usable_private_key_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = generate(folder.path(), &["-t", "ed25519"], "");
        let public = file.with_extension("pub");
        let error = load(&public, None).unwrap_err();
        assert!(error.causes[0].contains("public key"));
        assert_eq!(error.hints, [format!("use `--ssh-key {}`", file.display())]);
        let bad = folder.path().join("bad");
        let cut = std::fs::read_to_string(&file).unwrap();
        for text in [
            "",
            "hello",
            "-----BEGIN RSA PRIVATE KEY-----\nAAAA",
            &cut[..200],
            "\u{feff}",
        ] {
            std::fs::write(&bad, text).unwrap();
            let error = load(&bad, None).unwrap_err();
            assert!(error.message.contains(bad.to_str().unwrap()), "{text}");
        }
        std::fs::write(&bad, [0xff, 0xfe]).unwrap();
        assert!(load(&bad, None).is_err());
        assert!(load(folder.path(), None).is_err());
        assert!(load(&folder.path().join("absent"), None).is_err());
    }

    #[test]
    fn line_ends_of_another_system_do_not_matter() {
        let folder = tempfile::tempdir().unwrap();
        let file = generate(folder.path(), &["-t", "ed25519"], "");
        let text = std::fs::read_to_string(&file)
            .unwrap()
            .replace('\n', "\r\n");
        std::fs::write(&file, format!("\u{feff}{text}")).unwrap();
        assert!(load(&file, None).is_ok());
    }
}
