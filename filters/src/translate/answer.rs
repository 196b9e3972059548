//! Translates answers: adds the fields that clients of the version of the request
//! expect, and that the engine left out. All other bytes stay as they are.

mod container;
mod image;
mod usage;

use super::Translation;
use crate::endpoint::{ApiVersion, EndpointId, Mapping};
use crate::json::Members;

/// The fields that an object lacks from a version on, and the values that they had
/// when they were empty.
type Dropped = [(ApiVersion, &'static str, &'static str)];

impl Translation {
    /// Whether [`Self::answer`] may change the answer of this endpoint.
    pub fn maps_answer(self, id: EndpointId) -> bool {
        match id.endpoint().mapping {
            Some(Mapping::Container) => container::changes(self),
            Some(Mapping::Image) => image::changes(self),
            Some(Mapping::Images) => image::changes_lists(self),
            Some(Mapping::DataUsage) => usage::changes(self),
            Some(
                Mapping::ContainerCreate
                | Mapping::Events
                | Mapping::VolumeCreate
                | Mapping::NetworkCreate
                | Mapping::VolumePrune
                | Mapping::BuildPrune
                | Mapping::ImageRemoval,
            )
            | None => false,
        }
    }

    /// A successful answer for the client; `None` if it stays as it is.
    pub fn answer(self, id: EndpointId, query: &str, body: &[u8]) -> Option<String> {
        if !self.maps_answer(id) {
            return None;
        }
        let text = std::str::from_utf8(body).ok()?;
        match id.endpoint().mapping? {
            Mapping::Container => container::inspect(self, text),
            Mapping::Image => image::inspect(self, text),
            Mapping::Images => image::list(self, text),
            Mapping::DataUsage => usage::disk_usage(self, query, text),
            Mapping::ContainerCreate
            | Mapping::Events
            | Mapping::VolumeCreate
            | Mapping::NetworkCreate
            | Mapping::VolumePrune
            | Mapping::BuildPrune
            | Mapping::ImageRemoval => None,
        }
    }

    /// The dropped fields that the client expects and the object lacks, as members for
    /// [`Edit::add`](crate::json::Edit::add).
    fn lacking(self, object: &Members<'_>, dropped: &Dropped) -> String {
        let lacking = dropped.iter().filter(|(change, name, _)| {
            self.is_after(*change) && object.field(name).next().is_none()
        });
        let mut members = String::new();
        for (_, name, empty) in lacking {
            members += &format!(",\"{name}\":{empty}");
        }
        members
    }
}
