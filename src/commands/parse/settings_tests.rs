//! Tests of the user's settings.

use std::path::Path;

use super::super::Command as Chosen;
use super::super::start_image::StartImageArgs;
use super::*;
use crate::bake::transport::TransportMode;
use crate::cli::settings::{SETTINGS, declared, flag};
use crate::cli::values::HostPaths;
use crate::cli::{BuildArgs, Source, SshArgs, variable};
use crate::container::Keep;
use crate::error::Result;

const PATH: &str = "/home/u/.config/dkr/dkr.conf";

fn load(variables: &[(&str, &str)], file: &str) -> Result<Settings> {
    let variables = variables.iter().copied().chain([("HOME", "/home/u")]);
    Settings::parse(
        &description(),
        &Env::from_iter(variables),
        Path::new(PATH),
        file.as_bytes(),
    )
}

fn settings(variables: &[(&str, &str)], file: &str) -> Settings {
    load(variables, file).unwrap()
}

fn refused(file: &str) -> String {
    load(&[], file).expect_err(file).to_string()
}

/// The arguments of `start-image` with these flags.
fn start(settings: &Settings, flags: &[&str]) -> Result<StartImageArgs> {
    let words = ["dkr", "start-image"]
        .into_iter()
        .chain(flags.iter().copied());
    match parse_with(settings, words.map(OsString::from)) {
        Ok(Cli {
            command: Chosen::StartImage(args),
            ..
        }) => Ok(*args),
        Ok(other) => panic!("{other:?}"),
        Err(Instead::Error(error)) => Err(error),
        Err(Instead::Text { text, .. }) => Err(Error::usage(text)),
    }
}

#[test]
fn a_flag_is_above_a_variable_above_the_file_above_the_default() {
    let variable = [("DKR_SSH_PORT", "2")];
    let file = "# mine\nssh_port = 3\n";
    let port = |variables: &[(&str, &str)], file: &str, flags: &[&str]| {
        let settings = settings(variables, file);
        let mut listed = settings.all().unwrap().into_iter();
        let listed = listed.find(|one| one.key == "ssh_port").unwrap();
        let args = start(&settings, flags).unwrap();
        let given = args.given.has("ssh-port");
        (args.ssh.ssh_port, given, listed.source)
    };
    let flag = ["--ssh-port", "1"];
    assert_eq!(
        port(&variable, file, &flag),
        (Some(1), true, Source::Variable)
    );
    assert_eq!(
        port(&variable, file, &[]),
        (Some(2), false, Source::Variable)
    );
    assert_eq!(
        port(&[("DKR_SSH_PORT", "")], file, &[]),
        (Some(3), false, Source::Line(2))
    );
    assert_eq!(port(&[], "", &[]), (None, false, Source::Default));
    assert_eq!(start(&settings(&[], ""), &[]).unwrap().ssh.ssh_user, None);
}

#[test]
fn a_variable_or_a_line_is_no_flag_that_another_could_conflict_with() {
    for settings in [
        settings(&[("DKR_KEEP", "always")], ""),
        settings(&[], "keep = always"),
    ] {
        assert_eq!(start(&settings, &[]).unwrap().keep, Keep::Always);
        assert!(start(&settings, &["--rm"]).unwrap().rm);
        assert!(start(&settings, &["--rm", "--keep", "never"]).is_err());
    }
}

#[test]
fn a_value_that_a_key_cannot_have_is_refused_with_its_line() {
    assert_eq!(
        refused("\n\ntransport = yse"),
        "error: invalid value `yse` for `transport` in the user configuration, line 3: \
         expected `auto`, `ssh` or `session`"
    );
    let mistyped = refused("transport = sesion");
    assert!(
        mistyped.ends_with("hint: did you mean `session`?"),
        "{mistyped}"
    );
    assert!(refused("ssh_port = 0").ends_with("expected a number from 1 to 65535"));
    assert!(refused("max_behind = -1").ends_with("expected a number from 0"));
    assert!(refused("no_cache = maybe").ends_with("expected `true` or `false`"));
    assert!(refused("ssh_user =").ends_with("line 1: expected a value"));
    assert!(refused("keep =").contains("line 1: expected `auto`, `always` or `never`"));
    assert!(refused("ssh_key = id_rsa").ends_with("one that begins with `~/`"));
    assert!(refused("allow_host_volumes = x").ends_with("or absolute paths"));
    assert!(refused("cpus = many").ends_with("expected a number of at least 0.01, such as `1.5`"));
    assert!(refused("ssh_user = \u{1b}[2J\nkeep = \u{1b}").contains("`\\u{1b}` for `keep`"));
}

#[test]
fn a_bad_variable_or_flag_is_named_as_such() {
    let settings = settings(&[("DKR_TRANSPORT", "yse")], "transport = session");
    let message = |flags: &[&str]| start(&settings, flags).unwrap_err().message;
    assert_eq!(
        message(&[]),
        "invalid value `yse` for `transport` in the variable `DKR_TRANSPORT`: \
         expected `auto`, `ssh` or `session`"
    );
    assert_eq!(
        message(&["--transport", "x"]),
        "invalid value `x` for `--transport`: expected `auto`, `ssh` or `session`"
    );
    // Only settings that a command uses are checked.
    assert!(settings.without_flags::<SshArgs>().is_ok());
    let message = settings.without_flags::<BuildArgs>().unwrap_err().message;
    assert!(
        message.contains("the variable `DKR_TRANSPORT`"),
        "{message}"
    );
}

#[test]
fn a_variable_that_is_no_text_is_named() {
    use std::os::unix::ffi::OsStringExt;
    let garbled = || OsString::from_vec(b"\xff".to_vec());
    let settings =
        |name: &str| Settings::of_variables(&description(), &Env::from_iter([(name, garbled())]));
    let message = start(&settings("DKR_SSH_USER"), &[]).unwrap_err().message;
    assert!(
        message.contains("`ssh_user` in the variable `DKR_SSH_USER`"),
        "{message}"
    );
    assert!(message.ends_with("expected text in UTF-8"), "{message}");
    let key = start(&settings("DKR_SSH_KEY"), &[]).unwrap().ssh.ssh_key;
    assert_eq!(key, Some(garbled().into()));
}

#[test]
fn unknown_and_repeated_keys_and_sections_are_refused() {
    let message = refused("ssh_prot = 1");
    assert!(message.starts_with("error: unknown key `ssh_prot` in the user configuration, line 1"));
    assert!(message.ends_with("hint: did you mean `ssh_port`?"));
    assert!(refused("keep = auto\nkeep = auto").contains("duplicate key `keep`"));
    assert!(refused("[ssh]\nkeep = auto").contains("line 1"));
}

#[test]
fn paths_begin_at_the_root_or_at_home() {
    let settings = settings(&[("DKR_SSH_PASSPHRASE_FILE", "p")], "ssh_key = ~/.ssh/id_x");
    let ssh: SshArgs = settings.without_flags().unwrap();
    assert_eq!(ssh.ssh_key.as_deref(), Some(Path::new("/home/u/.ssh/id_x")));
    assert_eq!(ssh.ssh_passphrase_file.as_deref(), Some(Path::new("p")));
    let key = start(&settings, &["--ssh-key", "k"]).unwrap().ssh.ssh_key;
    assert_eq!(key.as_deref(), Some(Path::new("k")));
    let listed = settings.all().unwrap();
    assert_eq!(listed[0].value.as_deref(), Some("/home/u/.ssh/id_x"));
}

#[test]
fn host_paths_are_listed_in_the_file_alone() {
    let paths = "allow_ssh_mounts = yes\nallow_host_volumes = /srv ~/data\n";
    let allowed = |variables: &[(&str, &str)], file: &str, flags: &[&str]| {
        let args = start(&settings(variables, file), flags);
        args.map(|args| args.host_volumes.allow_host_volumes)
    };
    let listed = ["/srv", "/home/u/data"].map(std::path::PathBuf::from);
    assert_eq!(allowed(&[], "", &[]), Ok(HostPaths::Nothing));
    assert_eq!(
        allowed(&[], paths, &[]),
        Ok(HostPaths::These(listed.into()))
    );
    let flag = ["--allow-host-volumes"];
    assert_eq!(allowed(&[], paths, &flag), Ok(HostPaths::Everything));
    let variable = |value| [("DKR_ALLOW_HOST_VOLUMES", value)];
    assert_eq!(allowed(&variable("0"), paths, &[]), Ok(HostPaths::Nothing));
    let error = allowed(&variable("/srv"), paths, &[]).unwrap_err();
    assert!(
        error.message.ends_with("expected `true` or `false`"),
        "{error}"
    );
    let build: BuildArgs = settings(&[], paths).without_flags().unwrap();
    assert!(build.allow_ssh_mounts && build.transport == TransportMode::Auto);
}

/// Every setting is an argument of the command line, and only settings have these names.
#[test]
fn every_setting_is_an_argument_that_takes_its_default() {
    let declared = declared(&description());
    for (key, _) in SETTINGS {
        let arg = declared.get_arguments().find(|arg| arg.get_id() == key);
        let arg = arg.unwrap_or_else(|| panic!("`{key}` is not an argument"));
        assert_eq!(arg.get_long(), Some(&flag(key)[2..]));
        for default in arg.get_default_values() {
            let default = default.to_str().unwrap();
            settings(&[], &format!("{key} = {default}"));
        }
        let whole = description();
        for command in whole.get_subcommands() {
            let same = command.get_arguments().find(|arg| arg.get_id() == key);
            if let Some(same) = same {
                let (of, wanted) = (same.get_value_parser().type_id(), arg.get_value_parser());
                assert!(
                    of == wanted.type_id(),
                    "`{key}` of `{}`",
                    command.get_name()
                );
                let help = same.get_help().unwrap().to_string();
                assert!(help.ends_with(&format!("[env: {}] [key: {key}]", variable(key))));
            }
        }
    }
    assert_eq!(variable("ssh_port"), "DKR_SSH_PORT");
}

#[test]
fn the_file_is_found_and_one_that_cannot_be_read_is_named() {
    let home = tempfile::tempdir().unwrap();
    let env = Env::from_iter([("HOME", home.path())]);
    assert_eq!(
        Settings::load(&description(), &env).unwrap().path(),
        home.path().join(".config/dkr/dkr.conf")
    );
    let xdg = home.path().join("xdg");
    let env = Env::from_iter([("HOME", home.path()), ("XDG_CONFIG_HOME", &xdg)]);
    std::fs::create_dir_all(xdg.join("dkr")).unwrap();
    std::fs::write(xdg.join("dkr/dkr.conf"), "ssh_user = me\n").unwrap();
    let ssh: SshArgs = Settings::load(&description(), &env)
        .unwrap()
        .without_flags()
        .unwrap();
    assert_eq!(ssh.ssh_user.as_deref(), Some("me"));
    std::fs::remove_file(xdg.join("dkr/dkr.conf")).unwrap();
    std::fs::create_dir(xdg.join("dkr/dkr.conf")).unwrap();
    let error = Settings::load(&description(), &env).unwrap_err();
    let path = xdg.join("dkr/dkr.conf");
    let expected = format!("cannot read the user configuration `{}`", path.display());
    assert_eq!(error.message, expected);
    let nowhere = Settings::load(&description(), &Env::default()).unwrap();
    assert!(nowhere.path().as_os_str().is_empty());
}
