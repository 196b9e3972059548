//! Gives disk usage the shape of the version that the client knows: since 1.52 there is
//! one object for each kind of object, before it there were lists. Engines send both,
//! unless the query has `verbose`, which old clients do not know.

use serde::Deserialize;

use super::{Translation, image};
use crate::endpoint::ApiVersion;
use crate::endpoint::query::{all, flag};
use crate::json::{Edit, Elements, Members, spliced};

/// From this version on, disk usage is an object for each kind of object.
const BY_KIND: ApiVersion = ApiVersion::new(1, 52);

pub(super) fn changes(translation: Translation) -> bool {
    translation.is_before(BY_KIND) || image::changes_lists(translation)
}

pub(super) fn disk_usage(translation: Translation, query: &str, text: &str) -> Option<String> {
    let usage = Members::of(text.as_bytes())?;
    let mut edits = Vec::new();
    if let Some(images) = usage.value("Images") {
        let images: Elements<'_> = serde_json::from_str(images).ok()?;
        edits = image::rows(translation, text, &images.texts().ok()?);
    }
    if !translation.is_before(BY_KIND) || usage.field("ImageUsage").next().is_some() {
        return Some(spliced(text, edits));
    }
    let lists = spliced(text, edits);
    let usage = Members::of(lists.as_bytes())?;
    let verbose = flag(query, "verbose");
    let mut added = String::new();
    for kind in &KINDS {
        let asked = all(query, "type").next().is_none()
            || all(query, "type").any(|name| name == kind.parameter);
        if asked {
            let rows = usage.value(kind.list).unwrap_or("null");
            let sum = (kind.sum)(&usage, rows)?;
            added += &format!(
                ",\"{}\":{}",
                kind.name,
                sum.to_json(verbose.then_some(rows))
            );
        }
    }
    if verbose {
        let members = added.strip_prefix(',').unwrap_or_default();
        return Some(format!("{{{members}}}\n"));
    }
    let added = Edit::add(&lists, lists.trim_ascii(), &added)?;
    Some(spliced(&lists, vec![added]))
}

/// One kind of objects.
struct Kind {
    /// Its value of the parameter `type`.
    parameter: &'static str,
    /// Its list before 1.52.
    list: &'static str,
    /// Its object since.
    name: &'static str,
    sum: fn(&Members<'_>, &str) -> Option<Sum>,
}

const KINDS: [Kind; 4] = [
    Kind {
        parameter: "image",
        list: "Images",
        name: "ImageUsage",
        sum: images,
    },
    Kind {
        parameter: "container",
        list: "Containers",
        name: "ContainerUsage",
        sum: containers,
    },
    Kind {
        parameter: "volume",
        list: "Volumes",
        name: "VolumeUsage",
        sum: volumes,
    },
    Kind {
        parameter: "build-cache",
        list: "BuildCache",
        name: "BuildCacheUsage",
        sum: build_cache,
    },
];

/// The numbers of one kind, as moby's client reckons them from the lists
/// (`client/system_disk_usage.go`).
#[derive(Default)]
struct Sum {
    active: i64,
    count: i64,
    size: i64,
    reclaimable: i64,
}

impl Sum {
    fn to_json(&self, items: Option<&str>) -> String {
        let Self {
            active,
            count,
            size,
            reclaimable,
        } = self;
        let items = items.map(|items| match items {
            "null" => ",\"Items\":[]".to_owned(),
            items => format!(",\"Items\":{items}"),
        });
        format!(
            "{{\"ActiveCount\":{active},\"TotalCount\":{count},\"TotalSize\":{size},\
             \"Reclaimable\":{reclaimable}{}}}",
            items.unwrap_or_default()
        )
    }

    /// `rows` of one kind, the sizes of which `add` adds.
    fn of<'a, T: Deserialize<'a>>(
        rows: &'a str,
        mut add: impl FnMut(&mut Self, T),
    ) -> Option<Self> {
        let rows: Option<Vec<T>> = serde_json::from_str(rows).ok()?;
        let rows = rows.unwrap_or_default();
        let mut sum = Self {
            count: i64::try_from(rows.len()).ok()?,
            ..Self::default()
        };
        for row in rows {
            add(&mut sum, row);
        }
        Some(sum)
    }
}

fn images(usage: &Members<'_>, rows: &str) -> Option<Sum> {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "PascalCase", default)]
    struct Image {
        containers: i64,
        size: i64,
        shared_size: i64,
    }
    let mut sum = Sum::of(rows, |sum, image: Image| match image.containers {
        ..0 => {}
        0 if image.size != -1 && image.shared_size != -1 => {
            let own = image.size.saturating_sub(image.shared_size);
            sum.reclaimable = sum.reclaimable.saturating_add(own);
        }
        0 => {}
        1.. => sum.active += 1,
    })?;
    sum.size = match usage.value("LayersSize") {
        Some(size) => serde_json::from_str(size).ok()?,
        None => 0,
    };
    Some(sum)
}

fn containers(_: &Members<'_>, rows: &str) -> Option<Sum> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Container {
        #[serde(default)]
        size_rw: i64,
        #[serde(default)]
        state: String,
    }
    Sum::of(rows, |sum, container: Container| {
        sum.size = sum.size.saturating_add(container.size_rw);
        match &*container.state {
            "running" | "paused" | "restarting" => sum.active += 1,
            _ => sum.reclaimable = sum.reclaimable.saturating_add(container.size_rw),
        }
    })
}

fn volumes(_: &Members<'_>, rows: &str) -> Option<Sum> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Volume {
        #[serde(default)]
        usage_data: Option<UsageData>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct UsageData {
        size: i64,
        ref_count: i64,
    }
    Sum::of(rows, |sum, volume: Volume| {
        let Some(data) = volume.usage_data else {
            return;
        };
        let size = data.size.max(0);
        sum.size = sum.size.saturating_add(size);
        if data.ref_count > 0 {
            sum.active += 1;
        } else {
            sum.reclaimable = sum.reclaimable.saturating_add(size);
        }
    })
}

fn build_cache(_: &Members<'_>, rows: &str) -> Option<Sum> {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "PascalCase", default)]
    struct Record {
        size: i64,
        in_use: bool,
        shared: bool,
    }
    Sum::of(rows, |sum, record: Record| {
        let own = if record.shared { 0 } else { record.size };
        sum.size = sum.size.saturating_add(own);
        if record.in_use {
            sum.active += 1;
        } else {
            sum.reclaimable = sum.reclaimable.saturating_add(own);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::Translation;
    use crate::endpoint::{ApiVersion, EndpointId};

    const LISTS: &str = r#"{"LayersSize":100,"Images":[{"Containers":2,"Size":60,"SharedSize":0},{"Containers":0,"Size":50,"SharedSize":10},{"Containers":-1,"Size":5,"SharedSize":0}],"Containers":[{"SizeRw":7,"State":"running"},{"SizeRw":3,"State":"exited"}],"Volumes":[{"UsageData":{"Size":4,"RefCount":1}},{"UsageData":{"Size":-1,"RefCount":-1}},{}],"BuildCache":null}"#;

    fn usage(asked: u16, sent: u16, query: &str, body: &str) -> Option<serde_json::Value> {
        let translation = Translation {
            asked: ApiVersion::new(1, asked),
            sent: ApiVersion::new(1, sent),
        };
        let answer = translation.answer(EndpointId::SystemDataUsage, query, body.as_bytes())?;
        Some(serde_json::from_str(&answer).unwrap())
    }

    #[test]
    fn a_new_client_gets_the_numbers_of_an_old_engine() {
        let found = usage(56, 41, "", LISTS).unwrap();
        assert_eq!(found["LayersSize"], 100);
        let numbers = |name: &str| {
            let kind = &found[name];
            let names = ["ActiveCount", "TotalCount", "TotalSize", "Reclaimable"];
            names.map(|name| kind[name].as_i64().unwrap())
        };
        assert_eq!(numbers("ImageUsage"), [1, 3, 100, 40]);
        assert_eq!(numbers("ContainerUsage"), [1, 2, 10, 3]);
        assert_eq!(numbers("VolumeUsage"), [1, 3, 4, 0]);
        assert_eq!(numbers("BuildCacheUsage"), [0, 0, 0, 0]);
        assert_eq!(found["ImageUsage"].get("Items"), None);
    }

    #[test]
    fn a_verbose_answer_has_the_rows_and_no_lists() {
        let found = usage(52, 51, "verbose=1", LISTS).unwrap();
        assert_eq!(found["ImageUsage"]["Items"][1]["Size"], 50);
        assert_eq!(found["BuildCacheUsage"]["Items"], serde_json::json!([]));
        assert_eq!((found.get("Images"), found.get("LayersSize")), (None, None));
    }

    #[test]
    fn only_the_kinds_of_the_query_are_in_the_answer() {
        let found = usage(52, 41, "verbose=1&type=volume&type=container", LISTS).unwrap();
        let names: Vec<_> = found.as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, ["ContainerUsage", "VolumeUsage"]);
    }

    #[test]
    fn other_answers_stay_as_they_are() {
        assert_eq!(usage(51, 44, "", LISTS), None);
        assert_eq!(usage(56, 52, "", LISTS), None);
        assert_eq!(usage(56, 41, "", "not JSON"), None);
        assert_eq!(usage(56, 41, "", r#"{"Images":5}"#), None);
        let both = r#"{"ImageUsage":{"TotalCount":5},"Images":[]}"#;
        assert_eq!(
            usage(56, 41, "", both).unwrap()["ImageUsage"]["TotalCount"],
            5
        );
    }
}
