//! A cell of either fidelity behind one interface.

use super::flow::FlowCell;
use super::site::Site;
use super::slot::SlotCell;
use super::{Allocation, Direction, LinkId, TransferReport, TransferRequest};
use crate::sim::{FluidModel, SimTime};

/// How a cell carries bytes: as fluid, or slot by slot.
#[derive(Debug)]
pub enum CellModel {
    Flow(Box<FlowCell>),
    Slot(Box<SlotCell>),
}

impl CellModel {
    /// The terminals and their channels, the same in both.
    pub fn site(&mut self) -> &mut Site {
        match self {
            Self::Flow(cell) => cell.site(),
            Self::Slot(cell) => cell.site(),
        }
    }
}

impl CellModel {
    /// What a transfer over `link` would get on `share` of the band if its fading stood at its mean, under the cell's link layer: what
    /// plans are made with.
    pub fn typical_allocation(&mut self, now: SimTime, link: LinkId, direction: Direction, share: f64) -> Allocation {
        match self {
            Self::Flow(cell) => cell.typical_allocation(now, link, direction, share),
            Self::Slot(cell) => cell.typical_allocation(now, link, direction, share),
        }
    }
}

impl FluidModel for CellModel {
    type Request = TransferRequest;
    type Report = Box<TransferReport>;

    fn start(&mut self, now: SimTime, request: TransferRequest) -> u64 {
        match self {
            Self::Flow(cell) => cell.start(now, request),
            Self::Slot(cell) => cell.start(now, request),
        }
    }

    fn cancel(&mut self, now: SimTime, key: u64) -> Option<Box<TransferReport>> {
        match self {
            Self::Flow(cell) => cell.cancel(now, key),
            Self::Slot(cell) => cell.cancel(now, key),
        }
    }

    fn next_event(&self) -> Option<SimTime> {
        match self {
            Self::Flow(cell) => cell.next_event(),
            Self::Slot(cell) => cell.next_event(),
        }
    }

    fn advance(&mut self, now: SimTime) -> Vec<(u64, Box<TransferReport>)> {
        match self {
            Self::Flow(cell) => cell.advance(now),
            Self::Slot(cell) => cell.advance(now),
        }
    }
}
