//! The wired side: hosts, links, routes, and flows that share them.
//!
//! Knows names, rates and virtual time; nothing of radios, devices or models. A [`Topology`] is built once and
//! validated; [`WiredNetwork`] moves bytes over it as a fluid. `fair_share` holds the rule by which flows share, `failures`
//! when links are out of service.
//! Start with [`WiredNetwork`].

mod crossings;
mod failures;
mod fair_share;
mod filling;
mod finish_tree;
mod level_queue;
mod live_flows;
mod reached_flows;
mod routing;
mod topology;
mod wired;

pub use failures::Outages;
pub use fair_share::{Share, max_min_rates};
pub use routing::{Route, RouteBy};
pub use topology::{Direction, Link, NodeId, Topology, TopologyBuilder};
pub use wired::{Report, Request, WiredNetwork};

/// What can be wrong with a network.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    #[error("host `{name}` is declared twice; every host needs a name of its own")]
    DuplicateHost { name: String },
    #[error("link `{link}` ends at `{host}`, which is no host; declare it or use one of: {known}")]
    UnknownHost { link: String, host: String, known: String },
    #[error("link `{link}` joins `{host}` to itself; remove it, local transfers take no time")]
    Loop { link: String, host: String },
    #[error("`{from}` already has a link to `{to}`; remove one, or add up their rates")]
    DuplicateLink { from: String, to: String },
    #[error("link `{link}` has a rate of {rate_bits_per_second} bit/s; give a finite rate above zero")]
    Rate { link: String, rate_bits_per_second: f64 },
    #[error("nothing leads from `{from}` to `{to}`; add a link between them, or to a router that both reach")]
    NoRoute { from: String, to: String },
}
