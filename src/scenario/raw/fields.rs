//! Which section a key belongs in, for the user who wrote it in another one.

use super::{
    Aggregation, AirScheduling, Blockage, Blocks, Cell, Cut, CutCompression, DeviceGroup, Drx, EdgeServer, Ensemble,
    Fading, Gradients, Hardware, Link, Local, Mobility, Model, Network, Objective, Optimizer, Peft, Placement, Plot,
    PowerControl, Prices, Radio, Results, Sampling, Scenario, Search, Server, Sidelink, Slot, SlotScheduler,
    SplitObjective, Staleness, Synchrony, Technique, Training, Transfer, UpdateCompression, Variant, Workload,
    ZerothOrderRounds,
};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::forward_to_deserialize_any;
use std::fmt;

/// The section that knows the key `name`, in words, if there is exactly one.
pub(crate) fn section_of(name: &str) -> Option<&'static str> {
    let sections = [
        ("the top level", fields::<Scenario>()),
        ("`model`", fields::<Model>()),
        ("`peft`", fields::<Peft>()),
        ("`workload`", fields::<Workload>()),
        ("`training`", fields::<Training>()),
        ("`training.optimizer`", fields::<Optimizer>()),
        ("`technique`", fields::<Technique>()),
        ("`technique.aggregation`", fields::<Aggregation>()),
        ("`technique.local`", fields::<Local>()),
        ("`technique.server`", fields::<Server>()),
        ("`technique.sampling`", fields::<Sampling>()),
        ("`technique.synchrony`", fields::<Synchrony>()),
        ("`technique.synchrony.staleness`", fields::<Staleness>()),
        ("`technique.aggregation.compression`", fields::<UpdateCompression>()),
        ("`technique.aggregation.scheduling`", fields::<AirScheduling>()),
        ("`technique.cut`", fields::<Cut>()),
        ("`technique.cut.compression`", fields::<CutCompression>()),
        ("`technique.split_objective`", fields::<SplitObjective>()),
        ("`technique.blocks`", fields::<Blocks>()),
        ("`technique.gradients`", fields::<Gradients>()),
        ("`technique.zeroth_order`", fields::<ZerothOrderRounds>()),
        ("`technique.ensemble`", fields::<Ensemble>()),
        ("`technique.transfer`", fields::<Transfer>()),
        ("`technique.transfer.sidelink`", fields::<Sidelink>()),
        ("an entry of `hardware`", fields::<Hardware>()),
        ("an entry of `devices`", fields::<DeviceGroup>()),
        ("`placement`", fields::<Placement>()),
        ("`mobility`", fields::<Mobility>()),
        ("`radio`", fields::<Radio>()),
        ("`radio.fading`", fields::<Fading>()),
        ("`radio.blockage`", fields::<Blockage>()),
        ("`radio.drx`", fields::<Drx>()),
        ("`radio.slot`", fields::<Slot>()),
        ("`radio.slot.scheduler`", fields::<SlotScheduler>()),
        ("`radio.power_control`", fields::<PowerControl>()),
        ("an entry of `cells`", fields::<Cell>()),
        ("an entry of `edge_servers`", fields::<EdgeServer>()),
        ("`network`", fields::<Network>()),
        ("an entry of `network.links`", fields::<Link>()),
        ("`prices`", fields::<Prices>()),
        ("`results`", fields::<Results>()),
        ("`search`", fields::<Search>()),
        ("`search.objective`", fields::<Objective>()),
        ("an entry of `search.variants`", fields::<Variant>()),
        ("an entry of `search.plots`", fields::<Plot>()),
    ];
    let mut homes = sections.iter().filter(|(_, keys)| keys.contains(&name));
    homes.next().filter(|_| homes.next().is_none()).map(|(section, _)| *section)
}

/// The field names that `T`'s derived code hands to its deserializer.
fn fields<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    match T::deserialize(FieldNames) {
        Err(Told(fields)) => fields,
        Ok(_) => &[],
    }
}

struct FieldNames;

#[derive(Debug)]
struct Told(&'static [&'static str]);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.join(", "))
    }
}

impl std::error::Error for Told {}

impl de::Error for Told {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(&[])
    }
}

impl<'de> Deserializer<'de> for FieldNames {
    type Error = Told;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Told> {
        Err(Told(&[]))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Told> {
        Err(Told(fields))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::section_of;

    #[test]
    fn a_key_leads_to_its_only_section() {
        assert_eq!(section_of("split_point"), Some("`technique`"));
        assert_eq!(section_of("latency_ms"), Some("an entry of `network.links`"));
        // `name` is a key of several sections, `nonsense` of none.
        assert_eq!(section_of("name"), None);
        assert_eq!(section_of("nonsense"), None);
    }
}
