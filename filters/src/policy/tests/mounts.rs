//! Tests what mounts need, in every notation and on engines of every age.

use super::*;

fn may(binds: &[&str]) -> May {
    May {
        binds: binds.iter().map(|bind| (*bind).to_owned()).collect(),
        ..May::default()
    }
}

fn granting(binds: &[&str]) -> RuleSet {
    with(may(binds), Must::default())
}

fn create(minor: u16) -> String {
    format!("POST /v1.{minor}/containers/create")
}

fn services(minor: u16) -> String {
    format!("POST /v1.{minor}/services/create")
}

fn mount(options: &str) -> String {
    format!(r#""Mounts":[{{"Type":"bind","Source":"/srv/a","Target":"/x"{options}}}]"#)
}

fn volume(options: &str) -> String {
    format!(
        r#""Mounts":[{{"Type":"volume","Source":"v","Target":"/x","VolumeOptions":{{"DriverConfig":{{"Name":"local","Options":{options}}}}}}}]"#
    )
}

/// Everything that a grant for reading must not cover, and what it covers, from
/// this API version on (99: never).
#[test]
fn a_grant_for_reading_covers_only_what_cannot_be_written() {
    let rules = granting(&["/srv:ro"]);
    for (fields, container, service) in [
        (r#""Binds":["/srv/a:/x"]"#.to_owned(), 99, None),
        (r#""Binds":["/srv/a:/x:rw"]"#.to_owned(), 99, None),
        (r#""Binds":["/srv/a:/x:ro"]"#.to_owned(), 44, None),
        (r#""Binds":["/srv/a:/x:ro,rprivate"]"#.to_owned(), 44, None),
        (
            r#""Binds":["/srv/a:/x:private,ro,cached"]"#.to_owned(),
            44,
            None,
        ),
        (r#""Binds":["/srv/a:/x:nocopy,ro"]"#.to_owned(), 44, None),
        (r#""Binds":["/srv/a:/x:ro,z"]"#.to_owned(), 99, None),
        (r#""Binds":["/srv/a:/x:Z,ro"]"#.to_owned(), 99, None),
        (r#""Binds":["/srv/a:/x:ro,rslave"]"#.to_owned(), 99, None),
        (r#""Binds":["/srv/a:/x:slave,ro"]"#.to_owned(), 99, None),
        (r#""Binds":["/srv/a:/x:RO"]"#.to_owned(), 99, None),
        (r#""Binds":["/srv/a:/x:ro,rw"]"#.to_owned(), 99, None),
        (r#""Binds":["/srv/a:/x:rw,ro"]"#.to_owned(), 99, None),
        (r#""Binds":["/srv/a:/x:ro,ro"]"#.to_owned(), 99, None),
        (r#""Binds":["/srv/a:/x:ro,"]"#.to_owned(), 99, None),
        (r#""Binds":["/srv/a:/x: ro"]"#.to_owned(), 99, None),
        (r#""Binds":["/srv/a:/x:ro,O"]"#.to_owned(), 99, None),
        (r#""Binds":["/srv/a:/x:readonly"]"#.to_owned(), 99, None),
        (mount(""), 99, Some(99)),
        (mount(r#","ReadOnly":false"#), 99, Some(99)),
        (mount(r#","ReadOnly":true"#), 44, Some(44)),
        (mount(r#","readonly":true"#), 44, Some(44)),
        (
            mount(r#","ReadOnly":true,"BindOptions":null"#),
            44,
            Some(44),
        ),
        (
            mount(r#","ReadOnly":true,"BindOptions":{"NonRecursive":true}"#),
            40,
            Some(41),
        ),
        (
            mount(r#","ReadOnly":true,"BindOptions":{"nonrecursive":true}"#),
            40,
            Some(41),
        ),
        (
            mount(r#","ReadOnly":true,"BindOptions":{"NonRecursive":false}"#),
            44,
            Some(44),
        ),
        (
            mount(r#","BindOptions":{"NonRecursive":true}"#),
            99,
            Some(99),
        ),
        (
            mount(r#","ReadOnly":true,"BindOptions":{"ReadOnlyNonRecursive":true}"#),
            99,
            Some(99),
        ),
        (
            mount(r#","ReadOnly":true,"BindOptions":{"ReadOnlyForceRecursive":true}"#),
            44,
            Some(44),
        ),
        (
            mount(r#","ReadOnly":true,"BindOptions":{"CreateMountpoint":true}"#),
            44,
            Some(44),
        ),
        (
            mount(r#","ReadOnly":true,"BindOptions":{"Propagation":"rprivate"}"#),
            44,
            Some(44),
        ),
        (
            mount(r#","ReadOnly":true,"BindOptions":{"Propagation":"rslave"}"#),
            99,
            Some(99),
        ),
        (
            mount(r#","ReadOnly":true,"BindOptions":{"Propagation":"slave","NonRecursive":true}"#),
            99,
            Some(99),
        ),
        (
            mount(r#","ReadOnly":true,"BindOptions":{"Propagation":"RPrivate"}"#),
            99,
            Some(99),
        ),
        (
            volume(r#"{"type":"none","o":"bind,ro","device":"/srv/a"}"#),
            24,
            Some(24),
        ),
        (
            volume(r#"{"type":"none","o":"ro,bind","device":"/srv/a"}"#),
            24,
            Some(24),
        ),
        (
            volume(r#"{"type":"none","o":"rw,bind,ro","device":"/srv/a"}"#),
            24,
            Some(24),
        ),
        (
            volume(r#"{"type":"none","o":"bind,ro,private","device":"/srv/a"}"#),
            24,
            Some(24),
        ),
        (
            volume(r#"{"type":"none","o":"bind","device":"/srv/a"}"#),
            99,
            Some(99),
        ),
        (
            volume(r#"{"type":"none","o":"bind,RO","device":"/srv/a"}"#),
            99,
            Some(99),
        ),
        (
            volume(r#"{"type":"none","o":"bind,Ro","device":"/srv/a"}"#),
            99,
            Some(99),
        ),
        (
            volume(r#"{"type":"none","o":"bind, ro","device":"/srv/a"}"#),
            99,
            Some(99),
        ),
        (
            volume(r#"{"type":"none","o":"bind,ro,rw","device":"/srv/a"}"#),
            99,
            Some(99),
        ),
        (
            volume(r#"{"type":"none","o":"bind,ro=1","device":"/srv/a"}"#),
            99,
            Some(99),
        ),
        (
            volume(r#"{"type":"none","o":"rbind,ro","device":"/srv/a"}"#),
            99,
            Some(99),
        ),
        (
            volume(r#"{"type":"none","o":"bind,rbind,ro","device":"/srv/a"}"#),
            99,
            Some(99),
        ),
        (
            volume(r#"{"type":"none","o":"bind,rprivate,ro","device":"/srv/a"}"#),
            99,
            Some(99),
        ),
        (
            volume(r#"{"type":"none","o":"bind,ro,rslave","device":"/srv/a"}"#),
            99,
            Some(99),
        ),
        (
            volume(r#"{"type":"none","o":"bind,ro,slave","device":"/srv/a"}"#),
            99,
            Some(99),
        ),
        (
            volume(r#"{"type":"none","o":"bind,ro,remount","device":"/srv/a"}"#),
            99,
            Some(99),
        ),
        (
            volume(r#"{"type":"none","o":"move,ro","device":"/srv/a"}"#),
            99,
            Some(99),
        ),
        (
            volume(r#"{"type":"none","o":"ro","device":"/srv/a"}"#),
            99,
            Some(99),
        ),
        (
            volume(r#"{"type":"none","o":"bind,ro,x=\"1,rw\"","device":"/srv/a"}"#),
            99,
            Some(99),
        ),
        (
            volume(r#"{"type":"none","o":"bind,ro,x-initrd.mount","device":"/srv/a"}"#),
            99,
            Some(99),
        ),
        (
            volume(r#"{"type":"none","o":"bind,ro,X-mount.subdir=..","device":"/srv/a"}"#),
            99,
            Some(99),
        ),
        (
            volume(r#"{"type":"none","O":"bind,ro","device":"/srv/a"}"#),
            99,
            Some(99),
        ),
        (
            volume(r#"{"Type":"none","o":"bind,ro","device":"/srv/a"}"#),
            99,
            Some(99),
        ),
        (
            volume(r#"{"type":"none","o":"bind,ro","device":"/etc"}"#),
            99,
            Some(99),
        ),
        (
            volume(r#"{"type":"none","o":"bind,ro","device":"/srv/../etc"}"#),
            99,
            Some(99),
        ),
    ] {
        for minor in [24, 37, 39, 40, 41, 43, 44, 48, 53] {
            let allowed = judged(&rules, &create(minor), &host(&fields)).is_ok();
            assert_eq!(allowed, minor >= container, "{minor} {fields}");
            if let Some(since) = service {
                let allowed = judged(&rules, &services(minor), &super::service(&fields)).is_ok();
                assert_eq!(allowed, minor >= since, "service {minor} {fields}");
            }
        }
    }
}

#[test]
fn a_grant_for_writing_covers_every_engine() {
    let rules = granting(&["/srv"]);
    for fields in [
        r#""Binds":["/srv/a:/x","/srv/a:/x:ro","/srv/a:/y:rw,z","/srv/b:/z:ro,rslave"]"#.to_owned(),
        mount(""),
        mount(r#","ReadOnly":true,"BindOptions":{"ReadOnlyNonRecursive":true}"#),
        volume(r#"{"type":"none","o":"rbind","device":"/srv/a"}"#),
        volume(r#"{"type":"none","o":"bind,ro,nosuid,nodev,noexec","device":"/srv/a"}"#),
    ] {
        for minor in [24, 41, 44, 53] {
            allows(&rules, &create(minor), &host(&fields));
        }
    }
}

#[test]
fn the_message_says_how_to_read_only() {
    let rules = granting(&["/srv:ro"]);
    for (request, fields, part) in [
        (
            create(43),
            r#""Binds":["/srv/a:/x:ro"]"#.to_owned(),
            "before API 1.44",
        ),
        (
            create(53),
            r#""Binds":["/srv/a:/x:ro,rslave"]"#.to_owned(),
            "propagation",
        ),
        (
            create(53),
            mount(r#","ReadOnly":true,"BindOptions":{"ReadOnlyNonRecursive":true}"#),
            "ReadOnlyNonRecursive",
        ),
        (
            create(53),
            r#""Binds":["/srv/a:/x"]"#.to_owned(),
            "the path \"/srv/a\" of the host",
        ),
        (
            create(53),
            r#""Binds":["/srv/a:/x:RO"]"#.to_owned(),
            "\"RO\"",
        ),
    ] {
        let denied = judged(&rules, &request, &host(&fields)).unwrap_err();
        assert!(denied.contains(part), "{denied}");
    }
}

#[test]
fn an_unknown_option_of_a_mount_is_refused_whatever_is_granted() {
    let rules = with(
        May {
            binds: vec!["*".into()],
            filesystems: vec!["*".into()],
            propagation: true,
            share: true,
            unknown_fields: true,
            ..May::default()
        },
        Must::default(),
    );
    for fields in [
        r#""Binds":["cache:/x:O,upperdir=/etc,workdir=/var/w"]"#.to_owned(),
        r#""Binds":["cache:/x:O"]"#.to_owned(),
        r#""Binds":["cache:/x:U"]"#.to_owned(),
        r#""Binds":["cache:/x:ro,O,upperdir=/etc,workdir=/w"]"#.to_owned(),
        r#""Binds":["cache:/x:RO"]"#.to_owned(),
        r#""Binds":["cache:/x:ro,rw"]"#.to_owned(),
        r#""Binds":["cache:/x:idmap=uids=0-0-1"]"#.to_owned(),
        r#""Binds":["cache:/x:exec"]"#.to_owned(),
        r#""Binds":["C:/x:O,upperdir=/etc,workdir=/w"]"#.to_owned(),
        r#""Binds":["/srv:/x:rro"]"#.to_owned(),
        r#""binds":["cache:/x:O"]"#.to_owned(),
        r#""Binds":"cache:/x:O""#.to_owned(),
        r#""VolumesFrom":["a:O"]"#.to_owned(),
        r#""VolumesFrom":["a:RO"]"#.to_owned(),
        mount(r#","BindOptions":{"Propagation":"Shared"}"#),
        mount(r#","BindOptions":{"Propagation":"rro"}"#),
        volume(r#"{"type":"none","o":"bind,idmap","device":"/srv"}"#),
        volume(r#"{"type":"none","o":"bind,move","device":"/srv"}"#),
        volume(r#"{"type":"none","o":"bind,BIND","device":"/srv"}"#),
        volume(r#"{"type":"ext4","o":"remount","device":"/dev/sda1"}"#),
        volume(r#"{"type":"ext4","o":"loop","device":"/srv/image"}"#),
        volume(r#"{"type":"ext4","o":"journal_path=/dev/sdb","device":"/dev/sda1"}"#),
        volume(r#"{"type":"ext4,overlay","o":"lowerdir=/","device":"x"}"#),
        volume(r#"{"type":"tmpfs","o":"size=\"1,bind\"","device":"/etc"}"#),
        volume(r#"{"type":"tmpfs","o":"X-mount.mkdir","device":"tmpfs"}"#),
        volume(r#"{"type":"nfs","o":"addr=a,x-systemd.automount","device":":/x"}"#),
        r#""Tmpfs":{"/x":"bind"}"#.to_owned(),
        r#""Tmpfs":{"/x":"size=1m,rbind"}"#.to_owned(),
        r#""Tmpfs":{"/x":"remount,rw"}"#.to_owned(),
        r#""Tmpfs":{"/x":"tmpcopyup"}"#.to_owned(),
        r#""Tmpfs":{"/x":"SIZE=1m"}"#.to_owned(),
        r#""Mounts":[{"Type":"tmpfs","Target":"/x","TmpfsOptions":{"Options":[["bind"]]}}]"#
            .to_owned(),
        r#""Mounts":[{"Type":"tmpfs","Target":"/x","TmpfsOptions":{"Options":[["exec","1"]]}}]"#
            .to_owned(),
        r#""Mounts":[{"Type":"tmpfs","Target":"/x","TmpfsOptions":{"Options":[[]]}}]"#.to_owned(),
    ] {
        denies(&rules, CREATE, &host(&fields), "may.everything");
    }
}

#[test]
fn volumes_that_are_named_alike_are_read_alike() {
    let rules = plain();
    for (options, rule) in [
        (
            r#"{"o":"bind","O":"ro","type":"none","device":"/srv"}"#,
            "body",
        ),
        (r#"{"Device":"/etc","type":"none","o":"bind"}"#, "body"),
        (r#"{"type":"none","O":"bind","device":"tmpfs"}"#, "body"),
        (r#"{"TYPE":"tmpfs","device":"tmpfs"}"#, "body"),
        (
            r#"{"type":"none","o":"bind","dev\u0131ce":"/srv","device":"/etc"}"#,
            "may.unknown_fields",
        ),
    ] {
        denies(&rules, CREATE, &host(&volume(options)), rule);
        denies(&rules, SERVICE, &service(&volume(options)), rule);
        let body = format!(r#"{{"Name":"v","DriverOpts":{options}}}"#);
        denies(&rules, "POST /volumes/create", &body, rule);
    }
}

#[test]
fn a_file_system_needs_a_grant_for_the_paths_of_the_host_that_it_names() {
    let rules = with(
        May {
            filesystems: ["overlay", "nfs", "cifs", "ext4"].map(str::to_owned).into(),
            ..may(&["/srv", "/opt:ro"])
        },
        Must::default(),
    );
    let judged = |options: &str| {
        let body = format!(r#"{{"DriverOpts":{options}}}"#);
        judged(&rules, "POST /volumes/create", &body)
    };
    for options in [
        r#"{"type":"overlay","device":"overlay","o":"lowerdir=/opt/a:/srv/b,upperdir=/srv/u,workdir=/srv/w"}"#,
        r#"{"type":"overlay","device":"overlay","o":"ro,lowerdir=/opt/a:/opt/b,index=off"}"#,
        r#"{"type":"nfs","device":":/x","o":"addr=10.0.0.1,rw,nfsvers=4.1,soft,timeo=30,nolock,noatime"}"#,
        r#"{"type":"cifs","device":"//nas/x","o":"username=a,password=p:/!$%&=1,vers=3.0,uid=1000,file_mode=0777"}"#,
        r#"{"type":"cifs","device":"//nas/x","o":"credentials=/opt/nas.cred,vers=3.0"}"#,
        r#"{"type":"ext4","device":"/dev/sdb1","o":"noatime,discard,data=ordered"}"#,
        r#"{"type":"tmpfs","device":"tmpfs","o":"size=100m,uid=1000,mode=0700,nosuid"}"#,
        r#"{}"#,
        r#"{"size":"10G"}"#,
    ] {
        assert!(judged(options).is_ok(), "{options}: {:?}", judged(options));
    }
    for (options, rule) in [
        (
            r#"{"type":"overlay","device":"overlay","o":"lowerdir=/opt/a,upperdir=/etc,workdir=/srv/w"}"#,
            "may.binds",
        ),
        (
            r#"{"type":"overlay","device":"overlay","o":"lowerdir=/opt/a,upperdir=/opt/u,workdir=/srv/w"}"#,
            "may.binds",
        ),
        (
            r#"{"type":"overlay","device":"overlay","o":"lowerdir=/opt/a,upperdir=/srv/u,workdir=/opt/w"}"#,
            "may.binds",
        ),
        (
            r#"{"type":"overlay","device":"overlay","o":"lowerdir=/opt/a:/etc"}"#,
            "may.binds",
        ),
        (
            r#"{"type":"overlay","device":"overlay","o":"lowerdir=/opt/a::/etc"}"#,
            "may.binds",
        ),
        (
            r#"{"type":"overlay","device":"overlay","o":"lowerdir+=/etc"}"#,
            "may.binds",
        ),
        (
            r#"{"type":"overlay","device":"overlay","o":"lowerdir=etc"}"#,
            "may.binds",
        ),
        (
            r#"{"type":"overlay","device":"overlay","o":"lowerdir=/opt/../etc"}"#,
            "may.binds",
        ),
        (
            r#"{"type":"overlay","device":"overlay","o":"lowerdir=/opt/a\\:/etc"}"#,
            "may.everything",
        ),
        (
            r#"{"type":"overlay","device":"overlay","o":"lowerdir=/opt/a,LOWERDIR=/etc"}"#,
            "may.everything",
        ),
        (
            r#"{"type":"cifs","device":"//nas/x","o":"credentials=/etc/shadow"}"#,
            "may.binds",
        ),
        (
            r#"{"type":"cifs","device":"//nas/x","o":"cred=/etc/shadow"}"#,
            "may.binds",
        ),
        (
            r#"{"type":"nfs","device":":/x","o":"addr=a,credentials=/etc/shadow"}"#,
            "may.everything",
        ),
        (r#"{"type":"xfs","device":"/dev/sdb1"}"#, "may.filesystems"),
        (
            r#"{"type":"Overlay","device":"overlay","o":"lowerdir=/etc"}"#,
            "may.filesystems",
        ),
        (r#"{"type":" tmpfs","device":"tmpfs"}"#, "may.filesystems"),
        (
            r#"{"type":"overlay","device":"/etc","o":"bind"}"#,
            "may.binds",
        ),
        (
            r#"{"type":"tmpfs","device":"tmpfs","o":"shared"}"#,
            "may.propagation",
        ),
        (
            r#"{"type":"none","device":"/srv/a","o":"bind,rshared"}"#,
            "may.propagation",
        ),
    ] {
        let outcome = judged(options).unwrap_err();
        assert!(outcome.starts_with(rule), "{outcome}: {options}");
    }
}

#[test]
fn tmpfs_has_its_own_options() {
    let rules = plain();
    for fields in [
        r#""Tmpfs":{"/run":"","/tmp":"rw,noexec,nosuid,size=65536k,mode=1777","/x":"uid=1,gid=1,rprivate"}"#,
        r#""Mounts":[{"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":1048576,"Mode":511,"Options":[["exec"],["noexec"]]}}]"#,
    ] {
        allows(&rules, CREATE, &host(fields));
    }
    denies(
        &rules,
        CREATE,
        &host(r#""Tmpfs":{"/x":"rshared"}"#),
        "may.propagation",
    );
    denies(&rules, CREATE, &host(r#""Tmpfs":{"/x":1}"#), "body");
}

#[test]
fn named_volumes_take_the_options_of_the_engine() {
    let rules = plain();
    for options in [
        "",
        ":ro",
        ":rw",
        ":z",
        ":Z,ro",
        ":nocopy",
        ":ro,nocopy,cached",
        ":rslave",
        ":rprivate",
    ] {
        for source in ["cache", "a.b-c_d", "cache"] {
            allows(
                &rules,
                &create(24),
                &host(&format!(r#""Binds":["{source}:/x{options}"]"#)),
            );
        }
    }
    allows(&rules, CREATE, &host(r#""Binds":["/anonymous"]"#));
    denies(
        &rules,
        CREATE,
        &host(r#""Binds":["cache:/x:rshared"]"#),
        "may.propagation",
    );
    denies(
        &rules,
        CREATE,
        &host(r#""Binds":["cache:/x:ro:rw"]"#),
        "body",
    );
}
