//! Tests of the user's settings.

use super::*;

const PATH: &str = "/home/u/.config/dkr/dkr.conf";

fn settings(variables: &[(&str, &str)], file: &str) -> Settings {
    let variables = variables.iter().copied().chain([("HOME", "/home/u")]);
    let env = Env::from_iter(variables);
    Settings::parse(&env, Path::new(PATH), file.as_bytes()).unwrap()
}

fn refused(file: &str) -> String {
    let env = Env::from_iter([("HOME", "/home/u")]);
    let settings = Settings::parse(&env, Path::new(PATH), file.as_bytes());
    settings.expect_err(file).to_string()
}

#[test]
fn a_flag_is_above_a_variable_above_the_file_above_the_default() {
    let number = |variables: &[(&str, &str)], file: &str, flag| {
        let found = settings(variables, file).number(Key::SshPort, flag);
        let found = found.unwrap().unwrap();
        (found.value, found.source)
    };
    let variable = [("DKR_SSH_PORT", "2")];
    let file = "# mine\nssh_port = 3\n";
    let line_2 = Source::File {
        path: PATH.into(),
        line: 2,
    };
    assert_eq!(number(&variable, file, Some(1)), (1, Source::Flag));
    assert_eq!(number(&variable, file, None), (2, Source::Variable));
    assert_eq!(number(&[("DKR_SSH_PORT", "")], file, None), (3, line_2));
    assert_eq!(number(&[], "", None), (22, Source::Default));
    assert_eq!(settings(&[], "").string(Key::SshUser, None).unwrap(), None);
}

#[test]
fn a_value_that_a_key_cannot_have_is_refused_with_its_line() {
    assert_eq!(
        refused("\n\ntransport = yse"),
        "error: invalid value `yse` for `transport` in the user configuration, line 3: \
         expected `auto`, `ssh` or `session`"
    );
    assert!(refused("ssh_port = 0").ends_with("expected a number from 1 to 65535"));
    assert!(refused("max_behind = -1").ends_with("expected a number from 0"));
    assert!(refused("no_cache = maybe").ends_with("expected `true` or `false`"));
    assert!(refused("ssh_user =").ends_with("line 1: expected a value"));
    assert!(refused("ssh_key = id_rsa").ends_with("one that begins with `~/`"));
    assert!(refused("allow_host_volumes = x").ends_with("or absolute paths"));
}

#[test]
fn a_bad_variable_or_flag_is_named_as_such() {
    let settings = settings(&[("DKR_TRANSPORT", "yse")], "transport = session");
    assert_eq!(
        settings.choice(Key::Transport, None).unwrap_err().message,
        "invalid value `yse` for `transport` in the variable `DKR_TRANSPORT`: \
         expected `auto`, `ssh` or `session`"
    );
    assert_eq!(
        settings
            .choice(Key::Transport, Some("x"))
            .unwrap_err()
            .message,
        "invalid value `x` for `--transport`: expected `auto`, `ssh` or `session`"
    );
}

#[test]
fn unknown_and_repeated_keys_and_sections_are_refused() {
    let message = refused("ssh_prot = 1");
    assert!(message.starts_with("error: unknown key `ssh_prot` in the user configuration, line 1"));
    assert!(message.ends_with("hint: did you mean `ssh_port`?"));
    assert!(refused("keep = auto\nkeep = auto").contains("`keep` stands twice"));
    assert!(refused("[ssh]\nkeep = auto").contains("line 1"));
}

#[test]
fn paths_begin_at_the_root_or_at_home() {
    let settings = settings(&[("DKR_SSH_PASSPHRASE_FILE", "p")], "ssh_key = ~/.ssh/id_x");
    let key = settings.path_of(Key::SshKey, None).unwrap().unwrap();
    assert_eq!(key.value, Path::new("/home/u/.ssh/id_x"));
    let key = settings.path_of(Key::SshKey, Some(Path::new("k")));
    assert_eq!(key.unwrap().unwrap().value, Path::new("k"));
    let file = settings.path_of(Key::SshPassphraseFile, None);
    assert_eq!(file.unwrap().unwrap().source, Source::Variable);
}

#[test]
fn permissions_come_together() {
    let allow = |variables: &[(&str, &str)], file: &str, flag| {
        settings(variables, file).allow(false, flag).unwrap()
    };
    assert_eq!(allow(&[], "", false), Allow::default());
    let paths = "allow_ssh_mounts = yes\nallow_host_volumes = /srv ~/data\n";
    let listed = allow(&[], paths, false);
    assert!(listed.ssh_mounts && !listed.host_volumes);
    assert_eq!(
        listed.host_paths,
        [Path::new("/srv"), Path::new("/home/u/data")]
    );
    assert!(allow(&[], paths, true).host_volumes);
    let variable = [("DKR_ALLOW_HOST_VOLUMES", "0")];
    assert_eq!(
        allow(&variable, paths, false).host_paths,
        [""; 0].map(PathBuf::from)
    );
    let variable = settings(&[("DKR_ALLOW_HOST_VOLUMES", "/srv")], "");
    let error = variable.allow(false, false).unwrap_err();
    assert!(
        error.message.ends_with("expected `true` or `false`"),
        "{error}"
    );
}

#[test]
fn every_declared_key_can_be_set_and_has_a_default_that_it_accepts() {
    for key in Key::ALL {
        let value = match key.kind() {
            Kind::Text => "x",
            Kind::Path => "/x",
            Kind::Number { .. } => "7",
            Kind::Flag | Kind::Allowance => "true",
            Kind::Choice(words) => words[0],
        };
        let file = format!("{} = {value}", key.name());
        let found = settings(&[], &file).text(*key, None).unwrap().unwrap();
        assert_eq!(found.value, value);
        if let Some(default) = key.default() {
            settings(&[], &format!("{} = {default}", key.name()));
        }
        assert_eq!(Key::of_name(key.name()), Some(*key));
    }
    assert_eq!(Key::SshPort.variable(), "DKR_SSH_PORT");
    assert_eq!(Key::SshPort.flag(), "--ssh-port");
}

#[test]
fn the_file_is_found_and_one_that_cannot_be_read_is_named() {
    let home = tempfile::tempdir().unwrap();
    let env = Env::from_iter([("HOME", home.path())]);
    assert_eq!(
        Settings::load(&env).unwrap().path(),
        home.path().join(".config/dkr/dkr.conf")
    );
    let xdg = home.path().join("xdg");
    let env = Env::from_iter([("HOME", home.path()), ("XDG_CONFIG_HOME", &xdg)]);
    std::fs::create_dir_all(xdg.join("dkr")).unwrap();
    std::fs::write(xdg.join("dkr/dkr.conf"), "ssh_user = me\n").unwrap();
    let user = Settings::load(&env).unwrap().string(Key::SshUser, None);
    assert_eq!(user.unwrap().unwrap().value, "me");
    std::fs::remove_file(xdg.join("dkr/dkr.conf")).unwrap();
    std::fs::create_dir(xdg.join("dkr/dkr.conf")).unwrap();
    let error = Settings::load(&env).unwrap_err();
    let path = xdg.join("dkr/dkr.conf");
    let expected = format!("cannot read the user configuration `{}`", path.display());
    assert_eq!(error.message, expected);
    assert!(
        Settings::load(&Env::default())
            .unwrap()
            .path()
            .as_os_str()
            .is_empty()
    );
}
