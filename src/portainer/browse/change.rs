//! Deletes and renames files.

use std::path::Path;

use pingora::proxy::Session;
use serde::Deserialize;

use super::root::Root;
use super::{Problem, name, work};
use crate::exchange::body;
use crate::exchange::judged::Judged;
use crate::exchange::reject::Reject;

/// Removes one file, one symlink, or one empty directory.
pub(super) async fn delete(root: &Root, requested: &str) -> Result<(), Problem> {
    let path = root.path(requested)?;
    not_the_root(&path, requested)?;
    root.may_change(&path)?;
    let (dir, requested) = (root.dir.clone(), requested.to_owned());
    work::run(move || {
        let path = name::existing(&dir, &path);
        let meta = dir.symlink_metadata(&path);
        let removed = if meta.map_err(Problem::io(&requested))?.is_dir() {
            dir.remove_dir(&path)
        } else {
            dir.remove_file(&path)
        };
        removed.map_err(Problem::io(&requested))
    })
    .await
}

/// The body of a rename.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Names {
    #[serde(default)]
    current_file_path: String,
    #[serde(default)]
    new_file_path: String,
}

/// Renames a file or directory, as `rename(2)` does.
pub(super) async fn rename(
    session: &mut Session,
    x: &mut Judged<'_>,
    root: &Root,
) -> Result<(), Reject> {
    let body = match x.body.held.take() {
        Some(body) => body,
        None => {
            let hold = |bytes| x.permission.called.hold_body(bytes);
            Box::pin(body::read(session, hold)).await?
        }
    };
    let names: Names = serde_json::from_slice(&body)
        .map_err(|e| Problem::request(format!("the body is not a valid rename request: {e}")))?;
    Ok(moved(root, names).await?)
}

async fn moved(root: &Root, names: Names) -> Result<(), Problem> {
    let (from, to) = (names.current_file_path, names.new_file_path);
    let (old, new) = (root.path(&from)?, root.path(&to)?);
    not_the_root(&old, "CurrentFilePath")?;
    not_the_root(&new, "NewFilePath")?;
    root.may_change(&old)?;
    root.may_change(&new)?;
    let dir = root.dir.clone();
    work::run(move || {
        let old = name::existing(&dir, &old);
        let new = match (new.parent(), new.file_name()) {
            (Some(folder), Some(name)) => name::existing(&dir, folder).join(name),
            _ => new,
        };
        let moved = dir.rename(old, &dir, new);
        moved.map_err(Problem::io(&format!("{from} to {to}")))
    })
    .await
}

fn not_the_root(path: &Path, requested: &str) -> Result<(), Problem> {
    if path == Path::new("") {
        let why = format!("{requested}: is the volume itself");
        return Err(Problem::request(why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn root() -> (tempfile::TempDir, Root, String) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("full/of")).unwrap();
        std::fs::write(folder.path().join("file"), "x").unwrap();
        let root = Root::of_host(folder.path().to_owned(), Path::new("/none"));
        let root = root.await.unwrap();
        let at = folder.path().to_str().unwrap().to_owned();
        (folder, root, at)
    }

    #[tokio::test]
    async fn delete_removes_one_file_or_empty_directory() {
        let (folder, root, at) = root().await;
        let status = async |path: &str| {
            let deleted = delete(&root, &format!("{at}/{path}")).await;
            deleted.map_or_else(|e| e.status().as_u16(), |()| 204)
        };
        assert_eq!(status("full").await, 409);
        assert_eq!(status("full/of").await, 204);
        assert_eq!(status("full").await, 204);
        assert_eq!(status("file").await, 204);
        assert_eq!(status("file").await, 404);
        assert_eq!(status("").await, 400);
        assert!(folder.path().exists());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn deleting_a_symlink_keeps_its_target() {
        let (folder, root, at) = root().await;
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("file"), &link).unwrap();
        delete(&root, &format!("{at}/link")).await.unwrap();
        assert!(link.symlink_metadata().is_err());
        assert!(folder.path().join("file").exists());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_name_that_is_not_utf8_can_be_renamed() {
        let (folder, root, at) = root().await;
        let name = crate::platform::os_string_from_bytes(b"a\xffb".to_vec()).unwrap();
        std::fs::write(folder.path().join(name), "x").unwrap();
        let names = |from: &str, to: &str| Names {
            current_file_path: format!("{at}/{from}"),
            new_file_path: format!("{at}/{to}"),
        };
        moved(&root, names("a%FFb", "full/now")).await.unwrap();
        assert!(folder.path().join("full/now").exists());
        let refused = moved(&root, names("full/now", "../out")).await.unwrap_err();
        assert_eq!(refused.status(), 400);
        std::os::unix::fs::symlink("/tmp", folder.path().join("out")).unwrap();
        let refused = moved(&root, names("full/now", "out/skep"))
            .await
            .unwrap_err();
        assert_eq!(refused.status(), 403);
    }
}
