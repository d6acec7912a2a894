//! deft: an emulator of device-edge cooperative fine-tuning of foundation models over wireless networks.
//!
//! Two planes, one program. The *time plane* ([`sim`], [`radio`], [`network`], [`compute`], [`world`]) plays devices, edge
//! servers and channels in virtual time and never touches a tensor. The *learning plane* ([`backend`], [`nn`], [`fomo`],
//! [`data`], [`learning`]) is real arithmetic and never looks at a clock. A protocol ([`mod@deft`]) drives both.
//!
//! Modules are listed from the bottom up; each may use those before it, never one after it.

pub mod random;

pub mod sim;

pub mod compute;
pub mod network;
pub mod radio;

pub mod backend;
pub mod data;
pub mod fomo;
pub mod nn;

pub mod adapter;

pub mod scenario;

pub mod learning;
pub mod world;

pub mod aggregation;
pub mod cli;
pub mod deft;
pub mod experiment;
pub mod results;
pub mod search;
