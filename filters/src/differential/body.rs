//! Compares the fields of a body.

use serde_json::{Map, Value, json};

use super::generate::{Dice, bend, shown};
use super::reader::Question;
use super::{Outcome, differ};
use crate::json::{Fields, Json, ShapeError, text_of};

/// Bodies of creates, which are bent.
const BODIES: [&str; 9] = [
    r#"{"Image":"a","User":"1","Env":["A=1"],"Labels":{"k":"v","K":"w"}}"#,
    r#"{"Image":"a","HostConfig":{"Privileged":false,"PidMode":"","Binds":["v:/x"],"Links":["a:b"]}}"#,
    r#"{"HostConfig":{"Privileged":true,"Sysctls":{"net.ipv4.ip_forward":"1"},"Tmpfs":{"/t":"size=1m"}}}"#,
    r#"{"HostConfig":{"NetworkMode":"host","Links":null,"SecurityOpt":["a",null],"Memory":4096,"PidsLimit":-1}}"#,
    r#"{"HostConfig":{"Mounts":[{"Type":"bind","Source":"/srv","Target":"/x","ReadOnly":true,"BindOptions":{"NonRecursive":true,"Propagation":"rslave"}}]}}"#,
    r#"{"HostConfig":{"Mounts":[{"Type":"volume","VolumeOptions":{"DriverConfig":{"Name":"local","Options":{"o":"bind","O":"x"}}}},null]}}"#,
    r#"{"image":"a","hostconfig":{"privileged":true,"PIDMODE":"host","binds":["/:/x"],"linkſ":["a"],"lin\u212as":["b"]}}"#,
    r#"{"Image":"\u0061\n","HostConfig":{"\u0042inds":["\ud834\udd1e"],"Privileged":true,"OomScoreAdj":-5,"NanoCpus":1}}"#,
    r#"{"Image":"a","HostConfig":null,"Volumes":{"/x":{}},"Other":[[[1.5e3,{"Image":"b"}]],"x"]}"#,
];

/// Members that are put in somewhere: second spellings, shadows and wrong types.
const MEMBERS: [&str; 22] = [
    r#""Image":"b","#,
    r#""image":"b","#,
    r#""IMAGE":null,"#,
    r#""\u0049mage":"c","#,
    r#""Privileged":true,"#,
    r#""privileged":true,"#,
    r#""PRIVILEGED":false,"#,
    r#""HostConfig":{"Privileged":true},"#,
    r#""HoſtConfig":{"Privileged":true},"#,
    r#""hostconfig":{},"#,
    r#""Linſ":["x"],"#,
    r#""LinKs":["x"],"#,
    r#""Binds":"v:/x","#,
    r#""Binds":[1],"#,
    r#""Memory":1e3,"#,
    r#""Memory":-0,"#,
    r#""Memory":9223372036854775808,"#,
    r#""Memory":1.0,"#,
    r#""User":"\ud800","#,
    r#""User":"a\u0000b","#,
    r#""Sysctls":{"a":null,"A":"b"},"#,
    r#""":1,"#,
];

fn bodies(dice: &mut Dice) -> Vec<u8> {
    let mut text = dice.pick(&BODIES).as_bytes().to_vec();
    for _ in 0..dice.below(3) {
        let opens: Vec<_> = (0..text.len()).filter(|at| text[*at] == b'{').collect();
        let at = opens[dice.below(opens.len())] + 1;
        let member = dice.pick(&MEMBERS).as_bytes();
        // The last member of an object has no comma.
        let end = if text[at..].starts_with(b"}") { 1 } else { 0 };
        text.splice(at..at, member[..member.len() - end].iter().copied());
    }
    // Letters of names and values in other cases leave the document valid.
    for _ in 0..dice.below(4) {
        let at = dice.below(text.len());
        if text[at].is_ascii_alphabetic() && (at == 0 || text[at - 1] != b'\\') {
            text[at] ^= 0x20;
        }
    }
    if dice.once_in(3) {
        bend(dice, &mut text, false);
    }
    text
}

#[test]
fn the_fields_of_a_body_are_read_alike() {
    let ask = |text: &Vec<u8>| Question::text("body", text);
    differ("bodies", None, bodies, ask, |text, go| {
        let Ok(json) = Json::parse(text) else {
            return Outcome::Refused;
        };
        let Ok(own) = create(&json) else {
            return Outcome::Refused;
        };
        if go["Refused"] != "" {
            return Outcome::RefusedByGo;
        }
        Outcome::of(
            "the fields",
            &shown(text),
            &plain(&own),
            &plain(&go["Create"]),
        )
    });
}

fn create(json: &Json<'_>) -> Result<Value, ShapeError> {
    let create = Fields::of(json, "body")?;
    let host = create.object("HostConfig")?;
    Ok(json!({
        "Image": create.text("Image")?,
        "User": create.text("User")?,
        "Env": create.texts("Env")?,
        "Labels": map(&create, "Labels")?,
        "Volumes": keys(&create, "Volumes")?,
        "HostConfig": {
            "Binds": host.texts("Binds")?,
            "Links": host.texts("Links")?,
            "Tmpfs": map(&host, "Tmpfs")?,
            "Sysctls": map(&host, "Sysctls")?,
            "Privileged": host.flag("Privileged")?,
            "PidMode": host.text("PidMode")?,
            "NetworkMode": host.text("NetworkMode")?,
            "ReadonlyRootfs": host.flag("ReadonlyRootfs")?,
            "CapAdd": host.texts("CapAdd")?,
            "SecurityOpt": host.texts("SecurityOpt")?,
            "Memory": host.int("Memory")?,
            "NanoCpus": host.int("NanoCpus")?,
            "PidsLimit": host.int("PidsLimit")?,
            "OomScoreAdj": host.int("OomScoreAdj")?,
            "Mounts": host.list("Mounts")?.iter().map(mount).collect::<Result<Vec<_>, _>>()?,
        },
    }))
}

fn mount(json: &Json<'_>) -> Result<Value, ShapeError> {
    let mount = Fields::of(json, "Mounts")?;
    let bind = mount.object("BindOptions")?;
    let volume = mount.object("VolumeOptions")?;
    let driver = volume.object("DriverConfig")?;
    Ok(json!({
        "Type": mount.text("Type")?,
        "Source": mount.text("Source")?,
        "Target": mount.text("Target")?,
        "ReadOnly": mount.flag("ReadOnly")?,
        "BindOptions": {
            "Propagation": bind.text("Propagation")?,
            "NonRecursive": bind.flag("NonRecursive")?,
            "ReadOnlyNonRecursive": bind.flag("ReadOnlyNonRecursive")?,
        },
        "VolumeOptions": {
            "DriverConfig": {"Name": driver.text("Name")?, "Options": map(&driver, "Options")?},
            "Labels": map(&volume, "Labels")?,
        },
    }))
}

fn map(fields: &Fields<'_>, name: &str) -> Result<Value, ShapeError> {
    let mut all = Map::new();
    for (key, value) in fields.map(name)? {
        let value = text_of(value).ok_or_else(|| ShapeError("no string".into()))?;
        all.insert(key.clone().into_owned(), value.into());
    }
    // The name of an entry matters even if its value is empty.
    Ok(Value::Array(
        all.into_iter()
            .map(|(key, value)| json!([key, value]))
            .collect(),
    ))
}

fn keys(fields: &Fields<'_>, name: &str) -> Result<Value, ShapeError> {
    let keys = fields.map(name)?.iter().map(|(key, _)| json!([key, {}]));
    Ok(keys.collect())
}

const MAPS: [&str; 5] = ["Labels", "Volumes", "Tmpfs", "Sysctls", "Options"];

/// Without empty fields, and with maps as sorted lists.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut kept = Map::new();
            for (name, value) in members {
                let mut value = match value {
                    Value::Object(map) if MAPS.contains(&name.as_str()) => {
                        map.iter().map(|(key, value)| json!([key, value])).collect()
                    }
                    value => plain(value),
                };
                if MAPS.contains(&name.as_str())
                    && let Value::Array(entries) = &mut value
                {
                    entries.sort_by_key(Value::to_string);
                }
                if !is_empty(&value) {
                    kept.insert(name.clone(), value);
                }
            }
            Value::Object(kept)
        }
        Value::Array(list) => list.iter().map(plain).collect(),
        value => value.clone(),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(set) => !set,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}
