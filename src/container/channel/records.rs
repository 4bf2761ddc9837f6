//! All channel folders: listing them, and finding those without a container.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::folder::{Channel, Folder, HELD, SERVING};
use crate::env::Env;
use crate::error::{Error, Result};

/// A folder without a container that is younger may belong to one being created.
const CREATION_TIME: Duration = Duration::from_secs(60 * 60);

/// Removes the folders of containers that no longer exist on the engine with these names, and of
/// containers that were never created. Undecided ones are kept. Returns the number of removed
/// folders.
///
/// # Errors
/// When there is no state directory.
pub async fn sweep(
    env: &Env,
    names: &[String],
    exists: impl AsyncFn(&str) -> Result<bool>,
) -> Result<usize> {
    let mut swept = 0;
    for folder in all(env)? {
        if !matches!(folder.try_lock(SERVING), Ok(Some(_))) {
            continue;
        }
        let stale = match folder.channel() {
            Ok(channel) if channel.container.is_empty() => age(&folder) > CREATION_TIME,
            Ok(channel) if names.contains(&channel.engine) => {
                matches!(exists(&channel.container).await, Ok(false))
            }
            Ok(_) => false,
            Err(_) => age(&folder) > CREATION_TIME,
        };
        if stale && folder.remove().is_ok() {
            swept += 1;
        }
    }
    Ok(swept)
}

fn age(folder: &Folder) -> Duration {
    let made = fs::metadata(folder.mount_source()).and_then(|found| found.modified());
    let age = made.ok().and_then(|made| made.elapsed().ok());
    age.unwrap_or_default()
}

/// The folders whose dkr was killed before it could record the container's id.
pub fn orphans(env: &Env) -> Vec<Folder> {
    let mut folders = all(env).unwrap_or_default();
    folders.retain(|folder| {
        let planned = |channel: Channel| channel.container.is_empty();
        folder.channel().is_ok_and(planned) && matches!(folder.try_lock(HELD), Ok(Some(_)))
    });
    folders
}

/// The records of all containers; unreadable ones are left out.
pub fn records(env: &Env) -> Vec<Channel> {
    let folders = all(env).unwrap_or_default().into_iter();
    folders.filter_map(|folder| folder.channel().ok()).collect()
}

/// All complete folders.
///
/// # Errors
/// When there is no state directory.
pub(super) fn all(env: &Env) -> Result<Vec<Folder>> {
    let Ok(entries) = fs::read_dir(channels(env)?) else {
        return Ok(Vec::new());
    };
    let roots = entries.filter_map(|entry| Some(entry.ok()?.path()));
    Ok(roots.filter_map(|root| Folder::open(&root).ok()).collect())
}

/// The folder that holds those of all channels.
///
/// # Errors
/// When there is no state directory.
pub(super) fn channels(env: &Env) -> Result<PathBuf> {
    let state = env.state_dir().ok_or_else(|| {
        Error::failed("cannot find the user's state directory")
            .cause("neither `XDG_STATE_HOME` nor `HOME` is set to an absolute path")
            .hint("set `XDG_STATE_HOME`")
    })?;
    Ok(state.join("channels"))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::SystemTime;

    use tempfile::TempDir;

    use super::super::tests::until;
    use super::*;

    fn state() -> (TempDir, Env) {
        let state = tempfile::tempdir().unwrap();
        let env = Env::from_iter([("XDG_STATE_HOME", state.path().to_str().unwrap())]);
        (state, env)
    }

    fn planned() -> Channel {
        Channel {
            container: String::new(),
            engine: "by-name".to_owned(),
            repository: Some("/r/linux".to_owned()),
            git_dir: Some("/r/linux/.git".into()),
            prefix: "box".to_owned(),
            remotes: vec!["space".to_owned()],
            watched: true,
        }
    }

    #[test]
    fn records_that_cannot_be_read_are_left_out() {
        let (_state, env) = state();
        assert!(records(&env).is_empty() && records(&Env::default()).is_empty());
        let folder = Folder::create(&env).unwrap();
        fs::write(folder.root().join("channel.json"), "{").unwrap();
        assert!(records(&env).is_empty() && orphans(&env).is_empty());
    }

    #[tokio::test]
    async fn a_planned_record_is_an_orphan_until_it_is_given_to_its_container() {
        let (_state, env) = state();
        let folder = Folder::create(&env).unwrap();
        // Its record does not say which container it is for.
        assert_eq!(orphans(&env), []);
        let hold = folder.hold().await.unwrap();
        folder.assign(&planned()).unwrap();
        // The dkr that created it is alive.
        assert_eq!(orphans(&env), []);
        drop(hold);
        // A process that another test starts just then inherits the lock until it has executed its program.
        until("it is an orphan", || orphans(&env) == [folder.clone()]).await;
        assert_eq!(Folder::of_container(&env, "c0ffee").unwrap(), None);

        folder.give_to("c0ffee", "unix:///e").unwrap();
        assert_eq!(orphans(&env), []);
        let given = Channel {
            container: "c0ffee".to_owned(),
            engine: "unix:///e".to_owned(),
            ..planned()
        };
        assert_eq!(records(&env), [given]);
        assert_eq!(Folder::of_container(&env, "c0ffee").unwrap(), Some(folder));
    }

    #[tokio::test]
    async fn a_record_of_no_container_is_swept_after_an_hour() {
        let (_state, env) = state();
        let folders = [(); 3].map(|()| Folder::create(&env).unwrap());
        folders[0].assign(&planned()).unwrap();
        folders[1].assign(&planned()).unwrap();
        let exists = async |_: &str| Ok(true);
        assert_eq!(sweep(&env, &[], exists).await.unwrap(), 0);
        // One of the two with a record, and the one without.
        let old = SystemTime::now() - CREATION_TIME - Duration::from_secs(1);
        for folder in &folders[1..] {
            let run = File::open(folder.mount_source()).unwrap();
            run.set_modified(old).unwrap();
        }
        let mut swept = 0;
        while swept < 2 {
            swept += sweep(&env, &[], exists).await.unwrap();
        }
        until("the young one is left", || {
            orphans(&env) == [folders[0].clone()]
        })
        .await;
        assert_eq!(sweep(&env, &[], exists).await.unwrap(), 0);
    }
}
