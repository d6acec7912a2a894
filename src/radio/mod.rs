//! The radio plane: from metres to bits per second, and the physics of over-the-air aggregation.
//!
//! Start at [`FlowCell`]: one cell whose uplink and downlink flows share the band. Below it, each step of a link has
//! its file: [`geometry`] and [`mobility`] (metres), [`pathloss`], [`atmosphere`] and [`shadowing`] (large-scale loss), [`fading`]
//! and [`tapped_delay`] (small-scale gain), [`selectivity`] (what a band's shape costs), [`link_budget`] (SNR), [`link_adaptation`]
//! (MCS and spectral efficiency), [`error_model`] (how often blocks fail), [`numerology`] (resource blocks and symbols). [`sidelink`]
//! does without a cell. [`presets`] holds the generations as data; [`aircomp`] stands apart and knows channel gains only, as does its
//! digital rival [`uplink_access`].
//!
//! This module knows virtual time but no process, no model and no tensor. All randomness comes from named
//! counter streams, so a channel is a pure function of (stream, position, coherence block): two trials that differ in
//! one knob see the same channel, and the order of queries does not matter.

pub mod aircomp;
pub mod atmosphere;
pub mod blockage;
pub mod cell;
pub mod drx;
mod error;
pub mod error_model;
pub mod fading;
pub mod geometry;
pub mod handover;
pub mod harq;
pub mod link_adaptation;
pub mod link_budget;
pub mod mimo;
pub mod mobility;
pub mod noise;
pub mod numerology;
pub mod pathloss;
pub mod placement;
pub mod presets;
pub mod scheduling;
pub mod selectivity;
pub mod shadowing;
pub mod sidelink;
pub mod special;
pub mod tables;
pub mod tapped_delay;
pub mod tdd;
pub mod transport_block;
pub mod units;
pub mod uplink_access;

pub use cell::{
    Allocation, AnalogLink, BlockCounts, CellConfig, CellModel, Direction, FlowCell, Indoor, LinkId, LinkLayer,
    LosRule, Neighbour, Outcome, PowerControl, SchedulerKind, Sending, Site, SlotCell, SlotConfig, TransferReport,
    TransferRequest, UeRadio,
};
pub use error::RadioError;
pub use fading::{Fading, FadingModel};
pub use geometry::{Area, Position};
pub use link_budget::LinkBudget;
pub use mobility::Trajectory;
pub use placement::Placement;
pub use presets::Preset;
pub use tapped_delay::DelayProfile;
