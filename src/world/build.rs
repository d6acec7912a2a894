//! From a scenario to a world: the only place that reads the scenario's description of hardware, radio and wires.

mod wires;

use super::account::Account;
use super::handover::{Handovers, Tracked};
use super::nearest::NearestPlace;
use super::serving::Line;
use super::sidelink::SidelinkAir;
use super::{Demand, Device, DeviceId, EdgeServer, RadioCell, World, WorldError};
use crate::compute::HardwareProfile;
use crate::network::NodeId;
use crate::radio::atmosphere::{Atmosphere, gases::Edition};
use crate::radio::blockage::Blockage;
use crate::radio::drx::Drx;
use crate::radio::fading::{Fading, FadingModel};
use crate::radio::handover::A3Event;
use crate::radio::harq::Combining;
use crate::radio::mobility::RandomWaypoint;
use crate::radio::pathloss;
use crate::radio::presets::tdd_shares;
use crate::radio::sidelink::Sidelink;
use crate::radio::tapped_delay::DelayProfile;
use crate::radio::tdd::{Frame, SpecialSlot, TddPattern};
use crate::radio::{
    Area, CellConfig, CellModel, FlowCell, Indoor, LosRule, Neighbour, Position, PowerControl, Preset, SchedulerKind,
    Sending, Site, SlotCell, SlotConfig, Trajectory, UeRadio,
};
use crate::random::Streams;
use crate::scenario::{
    self, CellSpec, DeviceGroup, DrxSpec, HarqCombining, LineOfSight, Mobility, NeighboursSend, Placement, Propagation,
    RadioFidelity, Scenario, SlotScheduler,
};
use crate::sim::{Discipline, Fluid, Resource, Sim, SimDuration};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// Walkers of a fixed placement roam at least this far around their cell.
const SMALLEST_WALK_M: f64 = 50.0;
/// Two rings of a hexagonal layout: cells beyond them hardly matter.
const MOST_NEIGHBOURS: usize = 18;

impl World {
    /// Builds one replication of the scenario's system. `streams` decide placement, shadowing, fading and draws.
    pub fn new(scenario: &Scenario, demand: Demand, streams: Streams, sim: Sim) -> Result<Self, WorldError> {
        let preset = preset(scenario)?;
        let (network, hosts) = wires::wires(scenario, &streams)?;
        let host = |name: &str| hosts.get(name).copied();
        let missing = |kind, name: &str| WorldError::Unknown { kind, name: name.to_owned() };
        let mut cells = vec![];
        let sending = sending(scenario);
        for c in &scenario.cells {
            let site = Site::new(&c.name, cell_config(scenario, &preset, c, &sending), &streams)?;
            let air = cell_model(scenario, &preset, site)?;
            cells.push(RadioCell {
                name: c.name.clone(),
                position_m: c.position_m,
                air: Fluid::new(&sim, air),
                host: host(&c.name).ok_or_else(|| missing("cell", &c.name))?,
            });
        }
        let profiles = profiles(scenario);
        let mut servers = vec![];
        for s in &scenario.edge_servers {
            servers.push(EdgeServer {
                name: s.name.clone(),
                hardware: profiles.get(&s.hardware).cloned().ok_or_else(|| missing("hardware", &s.hardware))?,
                accelerators: s.accelerators,
                clock_share: s.clock_share,
                line: Line::new(&sim, s.accelerators, &s.sharing),
                devices: 0,
                host: host(&s.name).ok_or_else(|| missing("edge server", &s.name))?,
            });
        }
        let mut world = Self {
            account: Rc::new(RefCell::new(
                Account::new(scenario.device_count(), servers.len()).listing(scenario.results.flow_devices),
            )),
            edge_fits: RefCell::default(),
            hub: match &scenario.network.aggregate_at {
                Some(name) => host(name).ok_or_else(|| missing("node", name))?,
                None => servers[0].host,
            },
            server_of_cell: vec![],
            handovers: None,
            nearest: NearestPlace::new(scenario.cells.iter().map(|c| c.position_m).collect()),
            wires: Fluid::new(&sim, network),
            sidelink: sidelink(scenario, &sim)?,
            prices: scenario.prices.clone(),
            drx: scenario.radio.drx.map(|spec| drx(&spec)),
            round: Cell::new(0),
            devices: vec![],
            sim,
            demands: vec![],
            demand,
            servers,
            cells,
            streams,
        };
        let at_cells: Vec<NodeId> = world.cells.iter().map(|c| c.host).collect();
        let at_servers: Vec<NodeId> = world.servers.iter().map(|s| s.host).collect();
        let nearest_server = world.wires.with(|w| w.nearest(&at_cells, &at_servers))?;
        world.server_of_cell.clone_from(&nearest_server);
        world.handovers = handovers(scenario, &preset, &streams)?;
        let groups = scenario.devices.iter().flat_map(|g| (0..g.count).map(move |i| (g, i)));
        for (number, (group, in_group)) in (0u32..).zip(groups) {
            let hardware = profiles.get(&group.hardware).cloned();
            let hardware = hardware.ok_or_else(|| missing("hardware", &group.hardware))?;
            let place = (group, in_group, hardware);
            let device = world.device_of(scenario, &preset, place, DeviceId(number), &nearest_server)?;
            world.servers[device.server.get()].devices += 1;
            world.devices.push(device);
        }
        if scenario.technique.cut.as_ref().is_some_and(|cut| cut.micro_batches > 1) {
            let account = world.account.take().with_overlaps();
            world.account.replace(account);
        }
        if scenario.technique.split_objective.is_some() || world.demand.largest_cut_error.is_some() {
            world.choose_cuts(&scenario.technique)?;
        }
        Ok(world)
    }

    fn device_of(
        &self,
        scenario: &Scenario,
        preset: &Preset,
        (group, in_group, hardware): (&DeviceGroup, usize, Arc<HardwareProfile>),
        id: DeviceId,
        nearest_server: &[usize],
    ) -> Result<Device, WorldError> {
        let name = format!("{}-{in_group}", group.name);
        let home = id.index() % self.cells.len();
        let (start, area) = self.place(scenario, preset, &name, id, home)?;
        let trajectory = match &scenario.mobility {
            Mobility::Static => Trajectory::Static(start),
            Mobility::RandomWaypoint { min_speed_m_per_s, max_speed_m_per_s, pause_s, .. } => {
                let stream = self.streams.counter(&name, "mobility");
                let speeds = (*min_speed_m_per_s, *max_speed_m_per_s);
                Trajectory::RandomWaypoint(RandomWaypoint::new(start, area, speeds, *pause_s, stream)?)
            }
        };
        let cell = self.nearest_cell([start.x_m, start.y_m]);
        Ok(Device {
            id,
            group: group.name.clone(),
            compute_share: group.compute_share,
            clock_share: group.clock_share,
            memory_limit_bytes: hardware.available_bytes(group.memory_share),
            lora_rank: group.lora_rank,
            server: Cell::new(nearest_server[cell]),
            split_point: Cell::new(self.demand.split_point()),
            cut_plan: Cell::new(0),
            fits: Cell::new(None),
            edge_speed: Cell::new(1.0),
            battery: RefCell::new(hardware.battery(group.battery_percent)),
            hardware,
            radio: UeRadio {
                power_dbm: group.tx_power_dbm,
                indoor: self.indoor(preset, group, &name)?,
                ..UeRadio::from_preset(preset)
            },
            trajectory: RefCell::new(trajectory),
            cell: Cell::new(cell),
            links: RefCell::default(),
            link: Cell::new(None),
            idle: Cell::default(),
            name,
        })
    }

    /// Whether a device is in a building, and how deep: TR 38.901 clause 7.4.3 has it at the smaller of two uniform distances.
    fn indoor(&self, preset: &Preset, group: &DeviceGroup, name: &str) -> Result<Option<Indoor>, WorldError> {
        let draw = self.streams.counter(name, "indoor");
        if draw.uniform(0) >= group.indoor_share {
            return Ok(None);
        }
        let reach_m = pathloss::by_name(&preset.path_loss)?.indoor_reach_m();
        let distance_m = reach_m * draw.uniform(1).min(draw.uniform(2));
        Ok(Some(Indoor { distance_m, wall_deviation: draw.normal(4) }))
    }

    /// Where a device starts, and the area in which it would walk.
    fn place(
        &self,
        scenario: &Scenario,
        preset: &Preset,
        name: &str,
        id: DeviceId,
        home: usize,
    ) -> Result<(Position, Area), WorldError> {
        let ring = |cell: usize, inner_m: f64, outer_m: f64| {
            let [x, y] = self.cells[cell].position_m;
            Area::Annulus { centre: Position::new(x, y, preset.ue_height_m), inner_m, outer_m }
        };
        match &scenario.placement {
            Placement::Uniform { min_distance_m, max_distance_m } => {
                let area = ring(home, *min_distance_m, *max_distance_m);
                area.validate()?;
                let draw = self.streams.counter(name, "placement");
                Ok((area.uniform_point([draw.uniform(0), draw.uniform(1)], preset.ue_height_m), area))
            }
            Placement::Fixed { positions_m } => {
                let [x, y] = positions_m[id.index()];
                let cell = self.nearest_cell([x, y]);
                let [cx, cy] = self.cells[cell].position_m;
                let reach = (x - cx).hypot(y - cy).max(SMALLEST_WALK_M);
                Ok((Position::new(x, y, preset.ue_height_m), ring(cell, 0.0, reach)))
            }
        }
    }

    pub(super) fn device(&self, id: DeviceId) -> &Device {
        &self.devices[id.index()]
    }
}

/// The preset with the scenario's values in place of its own.
fn preset(scenario: &Scenario) -> Result<Preset, WorldError> {
    let spec = &scenario.radio;
    let mut preset = Preset::by_name(&spec.preset)?;
    preset.carrier_ghz = spec.carrier_ghz;
    preset.bandwidth_mhz = spec.bandwidth_mhz;
    preset.gnb_power_dbm = spec.cell_tx_power_dbm;
    preset.gnb_noise_figure_db = spec.cell_noise_figure_db;
    preset.ue_noise_figure_db = spec.device_noise_figure_db;
    preset.path_loss = match spec.propagation {
        Propagation::Uma => "uma",
        Propagation::Umi => "umi",
        Propagation::Rma => "rma",
        Propagation::InhOpen => "inh_open",
        Propagation::InhMixed => "inh_mixed",
        Propagation::InfSl => "inf_sl",
        Propagation::InfDl => "inf_dl",
        Propagation::InfSh => "inf_sh",
        Propagation::InfDh => "inf_dh",
        Propagation::FreeSpace => "free_space",
    }
    .to_owned();
    if let Some((down, up)) = spec.tdd_pattern.as_deref().and_then(tdd_shares) {
        (preset.downlink_share, preset.uplink_share) = (down, up);
    }
    Ok(preset)
}

fn drx(spec: &DrxSpec) -> Drx {
    let ms = |ms: f64| SimDuration::from_seconds(ms / 1e3);
    Drx {
        inactivity: ms(spec.inactivity_ms),
        on_duration: ms(spec.on_duration_ms),
        cycle: ms(spec.cycle_ms),
        listening_watts: spec.listening_w,
        sleeping_watts: spec.sleeping_w,
    }
}

/// Handover by event A3, if the scenario asks for it.
fn handovers(scenario: &Scenario, preset: &Preset, streams: &Streams) -> Result<Option<Handovers>, WorldError> {
    let Mobility::RandomWaypoint { handover: Some(spec), .. } = &scenario.mobility else { return Ok(None) };
    let ms = |ms: f64| SimDuration::from_seconds(ms / 1e3);
    let quiet = sending(scenario);
    let sites = scenario.cells.iter().map(|c| Site::new(&c.name, cell_config(scenario, preset, c, &quiet), streams));
    let nearest = |cell: &CellSpec| {
        let here = position(cell);
        let others = scenario.cells.iter().enumerate().filter(|(_, other)| other.name != cell.name);
        let mut others: Vec<(f64, usize)> = others.map(|(i, o)| (position(o).distance_2d_m(&here), i)).collect();
        others.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        others.into_iter().take(MOST_NEIGHBOURS).map(|(_, i)| i).collect()
    };
    Ok(Some(Handovers {
        event: A3Event {
            offset_db: spec.offset_db,
            hysteresis_db: spec.hysteresis_db,
            time_to_trigger: ms(spec.time_to_trigger_ms),
        },
        period: ms(spec.measurement_period_ms),
        interruption: ms(spec.interruption_ms),
        migrate: spec.migrate_state,
        sites: sites.collect::<Result<_, _>>()?,
        neighbours: scenario.cells.iter().map(nearest).collect(),
        tracked: RefCell::new(vec![Tracked::default(); scenario.device_count()]),
    }))
}

/// The hardware that devices and servers name.
fn profiles(scenario: &Scenario) -> BTreeMap<String, Arc<HardwareProfile>> {
    let devices = scenario.devices.iter().map(|g| &g.hardware);
    let names = devices.chain(scenario.edge_servers.iter().map(|s| &s.hardware));
    names.filter_map(|name| Some((name.clone(), Arc::new(scenario.hardware_profile(name)?)))).collect()
}

/// The cell at the scenario's fidelity.
fn cell_model(scenario: &Scenario, preset: &Preset, site: Site) -> Result<CellModel, WorldError> {
    let Some(spec) = &scenario.radio.slot else { return Ok(CellModel::Flow(Box::new(FlowCell::new(site)))) };
    let config = SlotConfig {
        frame: match &scenario.radio.tdd_pattern {
            Some(letters) => Frame::Tdd(TddPattern::new(letters, SpecialSlot::default())?),
            None => Frame::of(preset.duplex),
        },
        scheduler: match spec.scheduler {
            SlotScheduler::RoundRobin => SchedulerKind::RoundRobin,
            SlotScheduler::ProportionalFair { window_slots } => SchedulerKind::ProportionalFair { window_slots },
            SlotScheduler::MaxRate => SchedulerKind::MaxRate,
        },
        cqi_period_slots: spec.cqi_period_slots,
        cqi_delay_slots: spec.cqi_delay_slots,
        target_bler: spec.target_bler,
        outer_loop_step_db: spec.outer_loop_step_db,
        harq_processes: spec.harq_processes,
        harq_round_trip_slots: spec.harq_round_trip_slots,
        max_transmissions: spec.max_transmissions,
        combining: match spec.harq_combining {
            HarqCombining::None => Combining::None,
            HarqCombining::Chase => Combining::Chase,
            HarqCombining::IncrementalRedundancy => Combining::IncrementalRedundancy,
        },
    };
    Ok(match scenario.radio.fidelity {
        RadioFidelity::Flow => CellModel::Flow(Box::new(FlowCell::with_link_layer(site, config)?)),
        RadioFidelity::Slot => CellModel::Slot(Box::new(SlotCell::new(site, config)?)),
    })
}

/// The band between devices, where the technique has one.
fn sidelink(scenario: &Scenario, sim: &Sim) -> Result<Option<SidelinkAir>, WorldError> {
    let spec = scenario.technique.transfer.as_ref().and_then(|t| t.sidelink.as_ref());
    let Some(spec) = spec else { return Ok(None) };
    Ok(Some(SidelinkAir {
        radio: Sidelink::new(spec.config(&scenario.radio)?)?,
        fading: fading(scenario),
        band: Resource::new(sim, 1, Discipline::Fifo),
    }))
}

fn fading(scenario: &Scenario) -> Fading {
    let spec = &scenario.radio;
    let tapped =
        |profile, delay_spread_ns: f64| FadingModel::TappedDelay { profile, delay_spread_s: delay_spread_ns * 1e-9 };
    let model = match spec.fading {
        scenario::Fading::None => FadingModel::None,
        scenario::Fading::Rayleigh => FadingModel::Rayleigh,
        scenario::Fading::Rician { k_factor_db } => FadingModel::Rician { k_db: k_factor_db },
        scenario::Fading::TdlA { delay_spread_ns } => tapped(DelayProfile::TdlA, delay_spread_ns),
        scenario::Fading::TdlC { delay_spread_ns } => tapped(DelayProfile::TdlC, delay_spread_ns),
        scenario::Fading::TdlD { delay_spread_ns } => tapped(DelayProfile::TdlD, delay_spread_ns),
    };
    Fading::from_coherence_time(model, SimDuration::from_seconds(spec.coherence_time_ms / 1e3))
}

/// By name, what each cell says of its traffic.
fn sending(scenario: &Scenario) -> BTreeMap<&str, Sending> {
    scenario.cells.iter().map(|c| (c.name.as_str(), Sending::default())).collect()
}

fn cell_config(scenario: &Scenario, preset: &Preset, cell: &CellSpec, sending: &BTreeMap<&str, Sending>) -> CellConfig {
    let spec = &scenario.radio;
    CellConfig {
        position: position(cell),
        fading: fading(scenario),
        los: match spec.line_of_sight {
            LineOfSight::Drawn => LosRule::Drawn,
            LineOfSight::Always => LosRule::Always,
            LineOfSight::Never => LosRule::Never,
        },
        shadowing: spec.shadowing,
        power_control: match spec.power_control {
            scenario::UplinkPower::Full => None,
            scenario::UplinkPower::Fractional { p0_dbm, alpha } => Some(PowerControl { p0_dbm, alpha }),
        },
        implementation_loss_db: spec.implementation_loss_db,
        interference_margin_db: spec.interference_margin_db,
        neighbours: neighbours(scenario, cell, sending),
        sending: sending.get(cell.name.as_str()).cloned().unwrap_or_default(),
        building: match spec.building {
            scenario::Building::LowLoss => pathloss::Building::LowLoss,
            scenario::Building::HighLoss => pathloss::Building::HighLoss,
        },
        glass: match spec.glass_loss {
            scenario::GlassLoss::Edition16 => pathloss::GlassLoss::Edition16,
            scenario::GlassLoss::Edition19 => pathloss::GlassLoss::Edition19,
        },
        atmosphere: Atmosphere {
            gases: spec.gas_absorption.then_some(Edition::P676_12),
            rain_mm_per_h: spec.rain_mm_per_h,
        },
        blockage: spec.blockage.map(|b| Blockage {
            blockers_per_m2: b.blockers_per_m2,
            speed_mps: b.speed_m_per_s,
            height_m: b.height_m,
            mean_duration_s: b.mean_duration_s,
            loss_db: b.loss_db,
        }),
        ..CellConfig::from_preset(preset.clone())
    }
}

fn position(cell: &CellSpec) -> Position {
    let [x, y] = cell.position_m;
    Position::new(x, y, cell.antenna_height_m)
}

/// The nearest other cells, if they send at all.
fn neighbours(scenario: &Scenario, cell: &CellSpec, sending: &BTreeMap<&str, Sending>) -> Vec<Neighbour> {
    let load = scenario.radio.neighbour_load;
    if load == 0.0 {
        return Vec::new();
    }
    let here = position(cell);
    let others = scenario.cells.iter().filter(|other| other.name != cell.name);
    let mut others: Vec<(f64, &CellSpec)> = others.map(|o| (position(o).distance_2d_m(&here), o)).collect();
    others.sort_by(|a, b| a.0.total_cmp(&b.0));
    let near = others.into_iter().take(MOST_NEIGHBOURS);
    let with_traffic = scenario.radio.neighbours_send == NeighboursSend::WithTraffic;
    let sends = |name: &str| sending.get(name).filter(|_| with_traffic).cloned();
    near.map(|(_, other)| Neighbour {
        name: other.name.clone(),
        position: position(other),
        load,
        sends: sends(&other.name),
    })
    .collect()
}
