//! Reading and writing files in a container, running or stopped, with the engine's archive API.

use std::io::Read;

use bollard::query_parameters::{DownloadFromContainerOptions, UploadToContainerOptions};
use futures_util::TryStreamExt;

use super::connect::Engine;
use super::containers::ContainerId;
use super::error::failed;
use crate::error::{Error, Kind, Result};

/// The overhead of an archive of one file: headers, long names, padding to a record.
const ARCHIVE_OVERHEAD: u64 = 64 * 1024;

/// The contents of a regular file, limited to `limit` bytes; `None` if there is no such
/// file.
///
/// # Errors
/// When the path is not a regular file, the file is larger, or the engine cannot read it.
pub async fn read_file(
    engine: &Engine,
    id: &ContainerId,
    path: &str,
    limit: u64,
) -> Result<Option<Vec<u8>>> {
    let attempt = format!("cannot read `{path}` in container `{id}`");
    let options = DownloadFromContainerOptions {
        path: path.to_owned(),
    };
    let docker = engine.docker();
    let mut chunks = Box::pin(docker.download_from_container(&id.0, Some(options)));
    let mut archive = Vec::new();
    loop {
        match chunks.try_next().await.map_err(|e| failed(&attempt, e)) {
            Ok(Some(chunk)) => archive.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(e) if e.kind == Kind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        }
        if archive.len() as u64 > limit + ARCHIVE_OVERHEAD {
            break; // the size is in the header
        }
    }
    let contents = first_file(archive.as_slice(), limit);
    contents
        .map(Some)
        .map_err(|e| Error::failed(attempt).source(e))
}

/// Writes a small file owned by root, replacing an existing one; its folder must exist.
///
/// # Errors
/// When there is no such folder, or it is not writable.
pub async fn write_file(
    engine: &Engine,
    id: &ContainerId,
    folder: &str,
    name: &str,
    contents: &[u8],
) -> Result<()> {
    let attempt = || format!("cannot write `{folder}/{name}` in container `{id}`");
    let mut header = tar::Header::new_gnu();
    header.set_size(contents.len() as u64);
    header.set_mode(0o644);
    let mut archive = tar::Builder::new(Vec::new());
    let made = archive.append_data(&mut header, name, contents);
    let archive = made.and_then(|()| archive.into_inner());
    let archive = archive.map_err(|e| Error::failed(attempt()).source(e))?;
    let options = UploadToContainerOptions {
        path: folder.to_owned(),
        ..Default::default()
    };
    let body = bollard::body_full(archive.into());
    let docker = engine.docker();
    let written = docker.upload_to_container(&id.0, Some(options), body).await;
    written.map_err(|e| failed(attempt(), e))
}

/// The contents of the only file in the tar archive.
fn first_file(archive: impl Read, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Archive::new(archive);
    let entry = archive.entries()?.next();
    let entry =
        entry.ok_or_else(|| std::io::Error::other("the engine sent an empty archive"))??;
    if !entry.header().entry_type().is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    if entry.size() > limit {
        let size = entry.size();
        return Err(std::io::Error::other(format!(
            "it has {size} bytes, more than {limit}"
        )));
    }
    let mut contents = Vec::new();
    entry.take(limit).read_to_end(&mut contents)?;
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(kind: tar::EntryType, contents: &[u8]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(contents.len() as u64);
        header.set_cksum();
        builder.append_data(&mut header, "x", contents).unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn only_a_regular_file_within_the_limit_is_read() {
        let file = archive(tar::EntryType::Regular, b"hello");
        assert_eq!(first_file(file.as_slice(), 5).unwrap(), b"hello");
        let error = first_file(file.as_slice(), 4).unwrap_err();
        assert_eq!(error.to_string(), "it has 5 bytes, more than 4");
        let folder = archive(tar::EntryType::Directory, b"");
        assert!(first_file(folder.as_slice(), 5).is_err());
        assert!(first_file(&b""[..], 5).is_err());
    }
}
