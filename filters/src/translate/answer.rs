//! Translates answers: adds the fields that clients of the version of the request
//! expect, and that the engine left out. All other bytes stay as they are.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Translation;
use crate::endpoint::{ApiVersion, EndpointId, Mapping};
use crate::json::{Edit, present, spliced};

/// From this version on, images have no `VirtualSize`, which was the same as `Size`.
const NO_VIRTUAL_SIZE: ApiVersion = ApiVersion::new(1, 44);

#[derive(Deserialize)]
struct Image<'a> {
    #[serde(rename = "Size", borrow, default, deserialize_with = "present")]
    size: Option<&'a RawValue>,
    #[serde(rename = "VirtualSize", borrow, default, deserialize_with = "present")]
    virtual_size: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct DataUsage<'a> {
    #[serde(rename = "Images", borrow, default)]
    images: Option<Vec<&'a RawValue>>,
}

impl Translation {
    /// Whether [`Self::answer`] may change the answer of this endpoint.
    pub fn maps_answer(self, id: EndpointId) -> bool {
        match id.endpoint().mapping {
            Some(Mapping::Image | Mapping::Images | Mapping::DataUsage) => {
                self.is_after(NO_VIRTUAL_SIZE)
            }
            Some(Mapping::VolumePrune | Mapping::BuildPrune | Mapping::ImageRemoval) | None => {
                false
            }
        }
    }

    /// A successful answer for the client; `None` if it stays as it is.
    pub fn answer(self, id: EndpointId, body: &[u8]) -> Option<String> {
        if !self.maps_answer(id) {
            return None;
        }
        let text = std::str::from_utf8(body).ok()?;
        let images: Vec<&RawValue> = match id.endpoint().mapping? {
            Mapping::Image => vec![serde_json::from_str(text).ok()?],
            Mapping::Images => serde_json::from_str(text).ok()?,
            Mapping::DataUsage => serde_json::from_str::<DataUsage<'_>>(text).ok()?.images?,
            Mapping::VolumePrune | Mapping::BuildPrune | Mapping::ImageRemoval => return None,
        };
        let edits = images.into_iter().filter_map(|image| {
            let image = image.get();
            let with = with_virtual_size(image)?;
            Edit::replace(text, image, with)
        });
        Some(spliced(text, edits.collect()))
    }
}

fn with_virtual_size(image: &str) -> Option<String> {
    let read: Image<'_> = serde_json::from_str(image).ok()?;
    let size = read.size.filter(|_| read.virtual_size.is_none())?;
    let member = format!(",\"VirtualSize\":{}", size.get());
    Some(spliced(image, vec![Edit::append(image, &member)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_client_gets_the_virtual_size_of_images() {
        use EndpointId::{ContainerInspect, ImageInspect, ImageList, SystemDataUsage};
        for (asked, sent, id, body, expected) in [
            (
                41,
                44,
                ImageInspect,
                r#"{"Id":"a", "Size":5 }"#,
                Some(r#"{"Id":"a", "Size":5 ,"VirtualSize":5}"#),
            ),
            (
                43,
                52,
                ImageList,
                "[{\"Size\":5},\n{\"Size\":6}]\n",
                Some("[{\"Size\":5,\"VirtualSize\":5},\n{\"Size\":6,\"VirtualSize\":6}]\n"),
            ),
            (
                41,
                44,
                ImageList,
                r#"[{"Size":5,"VirtualSize":7},{}]"#,
                Some(r#"[{"Size":5,"VirtualSize":7},{}]"#),
            ),
            (
                41,
                44,
                SystemDataUsage,
                r#"{"LayersSize":1,"Images":[{"Size":5}],"Containers":[]}"#,
                Some(r#"{"LayersSize":1,"Images":[{"Size":5,"VirtualSize":5}],"Containers":[]}"#),
            ),
            (41, 44, SystemDataUsage, r#"{"Images":null}"#, None),
            (41, 44, ImageInspect, "not JSON", None),
            (41, 44, ContainerInspect, r#"{"Size":5}"#, None),
            (44, 52, ImageInspect, r#"{"Size":5}"#, None),
            (51, 41, ImageInspect, r#"{"Size":5}"#, None),
            (30, 41, ImageInspect, r#"{"Size":5}"#, None),
        ] {
            let translation = Translation {
                asked: ApiVersion::new(1, asked),
                sent: ApiVersion::new(1, sent),
            };
            let found = translation.answer(id, body.as_bytes());
            assert_eq!(found.as_deref(), expected, "{id:?} {asked} {sent} {body}");
        }
    }
}
