//! Translates queries. A parameter that an older version ignores is a refusal where the
//! call would then remove more than it says.

use super::{Translation, Untranslatable};
use crate::endpoint::filters::Filters;
use crate::endpoint::query::{all, get, truthy, with, without};
use crate::endpoint::{ApiVersion, EndpointId, Mapping};

/// From this version on, a prune removes volumes with names only with the filter `all`.
const NAMED_VOLUMES_STAY: ApiVersion = ApiVersion::new(1, 42);

/// From this version on, `keep-storage` of a build prune is `reserved-space`, and there
/// are two more bounds.
const RESERVED_SPACE: ApiVersion = ApiVersion::new(1, 48);

/// From this version on, some platforms of an image can be removed.
const PLATFORMS: ApiVersion = ApiVersion::new(1, 50);

impl Translation {
    /// The query for the engine; `None` if it stays as it is.
    ///
    /// # Errors
    /// If the engine would do more than the request says.
    pub fn query(self, id: EndpointId, query: &str) -> Result<Option<String>, Untranslatable> {
        match id.endpoint().mapping {
            Some(Mapping::VolumePrune) => self.volume_prune(query),
            Some(Mapping::BuildPrune) => self.build_prune(query),
            Some(Mapping::ImageRemoval) => self.image_removal(query),
            Some(
                Mapping::Container
                | Mapping::ContainerCreate
                | Mapping::Image
                | Mapping::Images
                | Mapping::DataUsage
                | Mapping::Events
                | Mapping::VolumeCreate
                | Mapping::NetworkCreate,
            )
            | None => Ok(None),
        }
    }

    fn image_removal(self, query: &str) -> Result<Option<String>, Untranslatable> {
        if self.is_before(PLATFORMS) && all(query, "platforms").next().is_some() {
            return Err(self.refused("the whole image would be removed, not only the platforms"));
        }
        Ok(None)
    }

    fn volume_prune(self, query: &str) -> Result<Option<String>, Untranslatable> {
        let (before, after) = (
            self.is_before(NAMED_VOLUMES_STAY),
            self.is_after(NAMED_VOLUMES_STAY),
        );
        // The engine refuses filters that cannot be read.
        let Some(mut filters) = Filters::from_query(query).ok().filter(|_| before || after) else {
            return Ok(None);
        };
        if after {
            filters.remove("all");
            filters.insert("all", "true");
        } else if filters.values("all").any(truthy) {
            filters.remove("all");
        } else {
            return Err(self.refused(
                "a prune removes volumes with names too. Ask for that with the filter all=true \
                 (docker volume prune --all), or remove volumes by their names",
            ));
        }
        let rest = without(query, &["filters"]);
        Ok(Some(match filters.is_empty() {
            true => rest,
            false => filters.set_in(&rest),
        }))
    }

    fn build_prune(self, query: &str) -> Result<Option<String>, Untranslatable> {
        const OLD: &str = "keep-storage";
        const NEW: &str = "reserved-space";
        let is_set =
            |name: &str| get(query, name).is_some_and(|value| !matches!(&*value, "" | "0"));
        if self.is_before(RESERVED_SPACE) {
            if is_set("max-used-space") || is_set("min-free-space") {
                return Err(self.refused(
                    "a prune of the build cache has no max-used-space and no min-free-space, and \
                     would remove more: leave them out, or use reserved-space",
                ));
            }
            return Ok(renamed(query, NEW, OLD));
        }
        if self.is_after(RESERVED_SPACE) {
            return Ok(renamed(query, OLD, NEW));
        }
        Ok(None)
    }
}

fn renamed(query: &str, from: &str, to: &str) -> Option<String> {
    let value = get(query, from)?;
    Some(with(&without(query, &[from, to]), to, &value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(asked: u16, sent: u16, id: EndpointId, query: &str) -> Result<String, ()> {
        let translation = Translation {
            asked: ApiVersion::new(1, asked),
            sent: ApiVersion::new(1, sent),
        };
        let found = translation.query(id, query).map_err(|_| ())?;
        Ok(found.unwrap_or_else(|| query.to_owned()))
    }

    #[test]
    fn a_query_means_the_same_in_the_version_of_the_engine() {
        use EndpointId::{BuildPrune, ContainerPrune, ImageDelete, VolumePrune};
        let filters = |json: &str| with("", "filters", json);
        let label = filters(r#"{"label":{"a=b":true}}"#);
        let all_and_label = filters(r#"{"all":{"true":true},"label":{"a=b":true}}"#);
        let all = filters(r#"{"all":{"true":true}}"#);
        for (asked, sent, id, query, expected) in [
            // Old clients mean all volumes, new ones those without names.
            (41, 44, VolumePrune, "", Ok(&*all)),
            (41, 44, VolumePrune, &*label, Ok(&*all_and_label)),
            (51, 41, VolumePrune, &*all, Ok("")),
            (51, 41, VolumePrune, &*all_and_label, Ok(&*label)),
            (51, 41, VolumePrune, "", Err(())),
            (42, 41, VolumePrune, &*label, Err(())),
            (51, 41, VolumePrune, &*filters(r#"{"all":["0"]}"#), Err(())),
            (51, 42, VolumePrune, "", Ok("")),
            (30, 41, VolumePrune, "", Ok("")),
            (51, 41, VolumePrune, "filters=%7B", Ok("filters=%7B")),
            (51, 41, ContainerPrune, "", Ok("")),
            (
                51,
                41,
                BuildPrune,
                "all=1&reserved-space=5",
                Ok("all=1&keep-storage=5"),
            ),
            (
                51,
                41,
                BuildPrune,
                "reserved-space=5&keep-storage=5",
                Ok("keep-storage=5"),
            ),
            (51, 41, BuildPrune, "max-used-space=5", Err(())),
            (51, 41, BuildPrune, "min-free-space=5&all=1", Err(())),
            (
                51,
                41,
                BuildPrune,
                "max-used-space=0",
                Ok("max-used-space=0"),
            ),
            (41, 51, BuildPrune, "keep-storage=5", Ok("reserved-space=5")),
            (
                51,
                48,
                BuildPrune,
                "max-used-space=5",
                Ok("max-used-space=5"),
            ),
            (51, 41, ImageDelete, "platforms=%7B%7D&force=1", Err(())),
            (51, 41, ImageDelete, "force=1", Ok("force=1")),
            (
                52,
                51,
                ImageDelete,
                "platforms=%7B%7D",
                Ok("platforms=%7B%7D"),
            ),
        ] {
            let found = translated(asked, sent, id, query);
            assert_eq!(
                found.as_deref(),
                expected.as_ref().map(|q| *q),
                "{id:?} {asked} {sent} {query}"
            );
        }
    }
}
