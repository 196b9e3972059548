//! Compares the options of mounts.

use serde_json::{Value, json};

use super::generate::{Dice, bend, shown};
use super::reader::{Question, bytes};
use super::{Outcome, differ};
use crate::endpoint::{RequestPath, classify};
use crate::policy::mount_options::{Flags, Mode, Propagation};
use crate::policy::{BodyOf, EffectiveApi, May, RuleSet, Spec};

const WORDS: [&str; 47] = [
    "ro",
    "rw",
    "ro",
    "rw",
    "z",
    "Z",
    "nocopy",
    "cached",
    "consistent",
    "delegated",
    "private",
    "rprivate",
    "slave",
    "rslave",
    "shared",
    "rshared",
    "bind",
    "rbind",
    "remount",
    "unbindable",
    "runbindable",
    "defaults",
    "nosuid",
    "suid",
    "nodev",
    "noexec",
    "exec",
    "relatime",
    "noatime",
    "size=1m",
    "mode=1777",
    "uid=0",
    "RO",
    "Bind",
    "",
    "O",
    "U",
    "upperdir=/etc",
    "move",
    "x-a",
    "addr=10.0.0.1",
    "mpol=local",
    "sync",
    "dirsync",
    "strictatime",
    "nr_inodes=1",
    "loop",
];

/// Words of a bind, so that many lists are ones that an engine takes.
const BINDS: [&str; 8] = [
    "ro", "rw", "z", "Z", "nocopy", "cached", "rprivate", "rslave",
];

/// Words of a volume that binds, and of a tmpfs.
const FLAGS: [&str; 14] = [
    "ro", "rw", "bind", "rbind", "private", "rprivate", "slave", "nosuid", "noexec", "size=1m",
    "mode=700", "shared", "uid=1", "defaults",
];

fn options(dice: &mut Dice) -> String {
    let from: &[&str] = match dice.below(3) {
        0 => &WORDS,
        1 => &BINDS,
        _ => &FLAGS,
    };
    let mut text = dice.list(from, 5, ",").into_bytes();
    bend(dice, &mut text, false);
    String::from_utf8_lossy(&text).into_owned()
}

/// Options of a volume that is almost a bind for reading.
fn reading(dice: &mut Dice) -> String {
    let words = [
        "ro", "ro", "bind", "bind", "rw", "nosuid", "rbind", "rprivate", "private", "RO", "",
    ];
    let mut text = dice.list(&words, 5, ",").into_bytes();
    bend(dice, &mut text, false);
    String::from_utf8_lossy(&text).into_owned()
}

fn ask(kind: &'static str) -> impl Fn(&String) -> Question {
    move |text| Question::text(kind, text.as_bytes())
}

fn name(propagation: Propagation) -> &'static str {
    match propagation {
        Propagation::Private => "private",
        Propagation::Slave => "slave",
        Propagation::Shared => "shared",
    }
}

#[test]
fn the_options_of_a_bind_are_read_alike() {
    differ(
        "options of binds",
        None,
        options,
        ask("mode"),
        |text, go| {
            let own = match Mode::parse(text) {
                Err(_) if go["Valid"] == false => return Outcome::Refused,
                Err(_) => json!("refused"),
                Ok(mode) => json!({
                    "Valid": true,
                    "ReadOnly": mode.read_only,
                    "Relabels": mode.relabels,
                    "Propagation": name(mode.propagation),
                }),
            };
            Outcome::of("the options", &shown(text.as_bytes()), &own, go)
        },
    );
}

#[test]
fn the_options_of_a_volume_are_read_alike() {
    differ(
        "options of volumes",
        None,
        options,
        ask("flags"),
        |text, go| {
            let flags = Flags::parse(text);
            let spreads = flags.propagation();
            let go_data: Vec<_> = go["Data"]
                .as_array()
                .into_iter()
                .flatten()
                .map(bytes)
                .collect();
            let data: Vec<_> = flags
                .data
                .iter()
                .map(|word| word.as_bytes().to_vec())
                .collect();
            let own = json!([
                flags.read_only(),
                flags.binds(),
                flags.recursive(),
                flags.remounts(),
                spreads == Propagation::Shared,
                spreads == Propagation::Slave,
            ]);
            let slave = go["Slave"] == true && go["Shared"] == false;
            let other = json!([
                go["ReadOnly"],
                go["Bind"],
                go["Recursive"],
                go["Remount"],
                go["Shared"],
                slave
            ]);
            let case = shown(text.as_bytes());
            match Outcome::of("the flags", &case, &own, &other) {
                Outcome::Alike => Outcome::of("the data", &case, &data, &go_data),
                differs => differs,
            }
        },
    );
}

/// Whether a policy that lets `/srv` be read allows a body.
fn allows(method_and_path: &str, body: &Value) -> bool {
    let rules = RuleSet::new(&Spec {
        may: Some(May {
            binds: vec!["/srv:ro".into()],
            ..May::default()
        }),
        ..Spec::allowing(["*"])
    });
    let (method, path) = method_and_path.split_once(' ').unwrap();
    let found = classify(method, &RequestPath::parse(path).unwrap()).unwrap();
    let bytes = body.to_string();
    let body = BodyOf::json(bytes.as_bytes());
    rules
        .unwrap()
        .judge_body(&found, &body, EffectiveApi::NEWEST)
        .is_allowed()
}

#[test]
fn what_is_allowed_for_reading_is_read_only_to_the_engine() {
    differ(
        "binds for reading",
        None,
        options,
        ask("mode"),
        |text, go| {
            let bind = format!("/srv/a:/x:{text}");
            let body = json!({"Image": "a", "HostConfig": {"Binds": [bind]}});
            if !allows("POST /containers/create", &body) {
                return Outcome::Refused;
            }
            let own = json!({"Valid": true, "ReadOnly": true, "Relabels": false, "Propagation": "private"});
            Outcome::of("the mode", &shown(text.as_bytes()), &own, go)
        },
    );
    differ(
        "volumes for reading",
        None,
        reading,
        ask("flags"),
        |text, go| {
            let options = json!({"type": "none", "device": "/srv/a", "o": text});
            let body = json!({"Name": "v", "DriverOpts": options});
            if !allows("POST /volumes/create", &body) {
                return Outcome::Refused;
            }
            let own = json!([true, true, false, false, false, false]);
            let other = json!([
                go["ReadOnly"],
                go["Bind"],
                go["Recursive"],
                go["Remount"],
                go["Shared"],
                go["Slave"]
            ]);
            Outcome::of("the flags", &shown(text.as_bytes()), &own, &other)
        },
    );
}

#[test]
fn an_allowed_tmpfs_is_one_to_the_engine() {
    differ(
        "options of tmpfs",
        None,
        options,
        ask("tmpfs"),
        |text, go| {
            let body = json!({"Image": "a", "HostConfig": {"Tmpfs": {"/x": text}}});
            if !allows("POST /containers/create", &body) {
                return Outcome::Refused;
            }
            let own = json!({"Valid": true, "Moves": false, "Shared": false});
            Outcome::of("the options", &shown(text.as_bytes()), &own, go)
        },
    );
}
