//! Loading key files, with keys that ssh-keygen creates.

use super::*;

/// A key pair made by ssh-keygen with these arguments; the private half's file.
pub(crate) fn generate(folder: &Path, arguments: &[&str], passphrase: &str) -> PathBuf {
    let file = folder.join("key");
    let mut command = std::process::Command::new("ssh-keygen");
    command
        .args(["-q", "-N", passphrase, "-C", "comment", "-f"])
        .arg(&file)
        .args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    file
}

async fn load(path: &Path) -> Result<Option<Identity>> {
    Identity::load(path, Unlock::Never, &Env::default()).await
}

fn public(file: &Path) -> String {
    std::fs::read_to_string(file.with_extension("pub")).unwrap()
}

#[tokio::test]
async fn every_type_in_every_format_loads() {
    let kinds: [&[&str]; 5] = [
        &["-t", "ed25519"],
        &["-t", "rsa", "-b", "2048"],
        &["-t", "ecdsa", "-b", "256"],
        &["-t", "ecdsa", "-b", "384"],
        &["-t", "ecdsa", "-b", "521"],
    ];
    for kind in kinds {
        for format in ["RFC4716", "PEM", "PKCS8"] {
            let folder = tempfile::tempdir().unwrap();
            let file = generate(folder.path(), &[kind, &["-m", format]].concat(), "");
            let key = load(&file).await.unwrap().expect("it is not encrypted");
            let blob = public(&file);
            let expected = blob.split(' ').nth(1).unwrap();
            use base64::Engine as _;
            let blob = base64::engine::general_purpose::STANDARD.encode(&key.blobs()[0]);
            assert_eq!(blob, expected, "{kind:?} {format}");
            assert_eq!(key.to_string(), format!("`{}`", file.display()));
        }
    }
}

#[tokio::test]
async fn an_encrypted_key_stays_locked_without_its_passphrase() {
    for format in ["RFC4716", "PEM", "PKCS8"] {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["-t", "ecdsa", "-m", format, "-a", "1"];
        let file = generate(folder.path(), &arguments, "right");
        assert!(load(&file).await.unwrap().is_none(), "{format}");
    }
}

#[tokio::test]
async fn a_certificate_beside_the_key_goes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = generate(folder.path(), &["-t", "ed25519"], "");
    let authority = folder.path().join("authority");
    std::fs::create_dir(&authority).unwrap();
    let authority = generate(&authority, &["-t", "ed25519"], "");
    let mut sign = std::process::Command::new("ssh-keygen");
    sign.args(["-q", "-I", "id", "-n", "me", "-V", "+1h", "-s"]);
    let signed = sign.arg(authority).arg(file.with_extension("pub"));
    assert!(signed.status().unwrap().success());
    let mut key = load(&file).await.unwrap().unwrap();
    assert_eq!(key.blobs().len(), 2);
    // A certificate has the fingerprint of its key.
    let print = fingerprint(&file).await.unwrap();
    key.narrow(&print);
    assert_eq!(key.blobs().len(), 2);
}

#[tokio::test]
async fn a_key_of_the_users_agent_is_found_by_its_file() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [one, two] = folders
        .each_ref()
        .map(|folder| generate(folder.path(), &["-t", "ed25519"], ""));
    let held = load(&one).await.unwrap().unwrap();
    let env = Env::from_iter([("SSH_AUTH_SOCK", held.socket())]);
    for path in [None, Some(one.as_path()), Some(&one.with_extension("pub"))] {
        let found = Identity::in_users_agent(path, &env).await.unwrap();
        assert_eq!(found.blobs(), held.blobs());
        assert_eq!(found.to_string(), "`comment` of your SSH agent");
    }
    let absent = one.with_file_name("absent");
    std::fs::rename(&one, &absent).unwrap();
    let found = Identity::in_users_agent(Some(&one), &env).await.unwrap();
    assert_eq!(found.file(), Some(one.with_extension("pub").as_path()));
    assert!(
        Identity::in_users_agent(Some(&absent.with_extension("x")), &env)
            .await
            .is_none()
    );
    assert!(Identity::in_users_agent(Some(&two), &env).await.is_none());
    assert!(
        Identity::in_users_agent(None, &Env::default())
            .await
            .is_none()
    );
}

#[tokio::test]
async fn what_is_no_usable_private_key_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = generate(folder.path(), &["-t", "ed25519"], "");
    let public = file.with_extension("pub");
    assert!(is_public(&public) && !is_public(&file));
    let error = load(&public).await.unwrap_err();
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
        for mode in [0o600, 0o644] {
            std::fs::write(&bad, text).unwrap();
            std::fs::set_permissions(&bad, Permissions::from_mode(mode)).unwrap();
            let error = load(&bad).await.unwrap_err();
            assert!(error.message.contains(bad.to_str().unwrap()), "{text}");
            assert!(!error.to_string().contains("/proc/"), "{error}");
        }
    }
    assert!(load(folder.path()).await.is_err());
    assert!(load(&folder.path().join("absent")).await.is_err());
}

#[tokio::test]
async fn a_file_that_others_may_read_or_another_system_wrote_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let file = generate(folder.path(), &["-t", "ed25519"], "");
    let text = std::fs::read_to_string(&file).unwrap();
    let foreign = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    for text in [text, foreign] {
        std::fs::write(&file, text).unwrap();
        for mode in [0o600, 0o644] {
            std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            assert_eq!(load(&file).await.unwrap().unwrap().blobs().len(), 1);
        }
    }
}
