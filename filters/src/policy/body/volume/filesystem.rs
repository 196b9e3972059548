//! Judges the options that a volume passes to its file system.
//!
//! A grant of a file system covers its own options, from a list. Some name paths of
//! the host: these need a grant of the path as well.

use super::path;
use crate::policy::body::{Check, mount_options};
use crate::policy::verdict::Judged;

/// Options of file systems on disks and in memory.
const COMMON: [&str; 48] = [
    "size",
    "mode",
    "uid",
    "gid",
    "nr_inodes",
    "nr_blocks",
    "mpol",
    "huge",
    "inode32",
    "inode64",
    "noswap",
    "acl",
    "noacl",
    "user_xattr",
    "nouser_xattr",
    "data",
    "errors",
    "commit",
    "barrier",
    "nobarrier",
    "discard",
    "nodiscard",
    "noload",
    "norecovery",
    "subvol",
    "subvolid",
    "compress",
    "compress-force",
    "space_cache",
    "ssd",
    "nossd",
    "autodefrag",
    "noautodefrag",
    "logbufs",
    "logbsize",
    "allocsize",
    "largeio",
    "prjquota",
    "pquota",
    "nouuid",
    "umask",
    "fmask",
    "dmask",
    "iocharset",
    "codepage",
    "utf8",
    "shortname",
    "nls",
];

/// Options of NFS.
const NFS: [&str; 66] = [
    "addr",
    "mountaddr",
    "clientaddr",
    "proto",
    "mountproto",
    "port",
    "mountport",
    "vers",
    "nfsvers",
    "mountvers",
    "minorversion",
    "v3",
    "v4",
    "v4.0",
    "v4.1",
    "v4.2",
    "rsize",
    "wsize",
    "bsize",
    "timeo",
    "retrans",
    "retry",
    "sec",
    "xprtsec",
    "hard",
    "soft",
    "softerr",
    "softreval",
    "nosoftreval",
    "intr",
    "nointr",
    "lock",
    "nolock",
    "local_lock",
    "cto",
    "nocto",
    "ac",
    "noac",
    "acl",
    "noacl",
    "acregmin",
    "acregmax",
    "acdirmin",
    "acdirmax",
    "actimeo",
    "lookupcache",
    "rdirplus",
    "nordirplus",
    "sharecache",
    "nosharecache",
    "resvport",
    "noresvport",
    "migration",
    "nomigration",
    "nconnect",
    "max_connect",
    "trunkdiscovery",
    "notrunkdiscovery",
    "namlen",
    "tcp",
    "udp",
    "rdma",
    "fg",
    "bg",
    "posix",
    "noposix",
];

/// Options of SMB.
const SMB: [&str; 71] = [
    "username",
    "user",
    "password",
    "password2",
    "pass",
    "domain",
    "dom",
    "workgroup",
    "guest",
    "addr",
    "ip",
    "port",
    "vers",
    "sec",
    "uid",
    "gid",
    "cruid",
    "forceuid",
    "noforceuid",
    "forcegid",
    "noforcegid",
    "file_mode",
    "dir_mode",
    "iocharset",
    "unix",
    "nounix",
    "linux",
    "nolinux",
    "posix",
    "noposix",
    "perm",
    "noperm",
    "brl",
    "nobrl",
    "lock",
    "nolock",
    "cache",
    "serverino",
    "noserverino",
    "mfsymlinks",
    "nomfsymlinks",
    "actimeo",
    "acregmax",
    "acdirmax",
    "closetimeo",
    "rsize",
    "wsize",
    "bsize",
    "seal",
    "sign",
    "soft",
    "hard",
    "echo_interval",
    "handletimeout",
    "mapposix",
    "mapchars",
    "nomapchars",
    "cifsacl",
    "nocifsacl",
    "nocase",
    "ignorecase",
    "nostrictsync",
    "strictsync",
    "max_credits",
    "multichannel",
    "nomultichannel",
    "max_channels",
    "persistenthandles",
    "nodfs",
    "netbiosname",
    "prefixpath",
];

/// Options of overlay that name no path.
const OVERLAY: [&str; 9] = [
    "index",
    "metacopy",
    "redirect_dir",
    "nfs_export",
    "xino",
    "uuid",
    "volatile",
    "userxattr",
    "verity",
];

/// Judges what is left of `o` without the flags.
pub(super) fn data(check: &Check<'_>, kind: &str, words: &[&str]) -> Judged {
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let known: &[&str] = match kind {
            "nfs" | "nfs4" => &NFS,
            "cifs" | "smb3" => &SMB,
            "overlay" => &OVERLAY,
            "tmpfs" => &mount_options::tmpfs::OPTIONS,
            _ => &COMMON,
        };
        match (kind, name) {
            // mount(8) lets quotes and backslashes hide a comma; engines do not.
            _ if word.contains(['"', '\'', '\\']) || word.contains(char::is_control) => {
                mount_options::option(check, "a volume", word)?;
            }
            ("overlay", "lowerdir" | "lowerdir+" | "datadir+") => {
                let folders = value.split(':').filter(|folder| !folder.is_empty());
                for folder in folders {
                    path(check, "lowerdir of a volume", folder, false)?;
                }
            }
            ("overlay", "upperdir" | "workdir") => path(check, "a volume", value, true)?,
            ("cifs" | "smb3", "credentials" | "cred") => {
                path(check, "credentials of a volume", value, false)?;
            }
            (_, name) if known.contains(&name) => {}
            _ => mount_options::option(check, "a volume", word)?,
        }
    }
    Ok(())
}
