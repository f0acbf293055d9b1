//! Zones as people name them.

use std::borrow::Cow;
use std::str::FromStr;

use lakebed_hudi::instant::TimelineZone;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer};

use crate::near_match::near_match;

/// A zone of the tz database, such as Europe/Berlin, or UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timezone(pub TimelineZone);

impl FromStr for Timezone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<chrono_tz::Tz>() {
            Ok(chrono_tz::Tz::UTC) => Ok(Self(TimelineZone::Utc)),
            Ok(zone) => Ok(Self(TimelineZone::Named(zone))),
            Err(_) => {
                let near = near_match(text, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()));
                let hint = near.map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
                Err(format!("{text:?} is no zone such as Europe/Berlin{hint}"))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Timezone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Timezone {
    fn schema_name() -> Cow<'static, str> {
        "Timezone".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "A zone of the tz database, such as Europe/Berlin." })
    }
}
