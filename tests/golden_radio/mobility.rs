//! Placement and mobility against closed forms.

use crate::tally::{Tally, field, json_items};
use deft::radio::geometry::{Area, Position};
use deft::radio::mobility::{RandomWaypoint, Trajectory};
use deft::radio::placement::Placement;
use deft::random::CounterStream;
use deft::sim::SimTime;

pub fn mobility(text: &str, tally: &mut Tally) {
    let family = CounterStream::new(11, 12);
    let square = |side: f64| Area::Rectangle { centre: Position::default(), width_m: side, depth_m: side };
    let disc = |radius: f64| Area::Annulus { centre: Position::default(), inner_m: 0.0, outer_m: radius };
    let leg = |area: Area, i: u64| {
        let end = |j: u64| area.uniform_point([family.uniform(4 * i + 2 * j), family.uniform(4 * i + 2 * j + 1)], 0.0);
        end(0).distance_2d_m(&end(1))
    };
    for item in json_items(text) {
        let kind = item["kind"].as_str().unwrap();
        let value = || field(&item, "value");
        match kind {
            "square_mean_leg" | "disc_mean_leg" => {
                let area = item["side"].as_f64().map_or_else(|| disc(field(&item, "radius")), square);
                tally.simulated(kind, (0..100_000).map(|i| leg(area, i)), value());
            }
            "disc_drop_mean_distance" => {
                let drop = Placement::Uniform { area: disc(field(&item, "radius")), height_m: 1.5 };
                let distance = |i: u64| drop.position(0, &family.child(i)).unwrap().distance_2d_m(&Position::default());
                tally.simulated(kind, (0..100_000).map(distance), value());
            }
            "rwp_stationary_mean_speed_moving" => {
                // Long after the start, over independent walkers: the speed of a walker seen at a random instant.
                let speeds = (field(&item, "vmin"), field(&item, "vmax"));
                let speed = |i: u64| {
                    let stream = family.child(1_000_000 + i);
                    let start =
                        square(100.0).uniform_point([stream.uniform(1 << 40), stream.uniform((1 << 40) + 1)], 0.0);
                    let walk = RandomWaypoint::new(start, square(100.0), speeds, 0.0, stream).unwrap();
                    let mut walk = Trajectory::RandomWaypoint(walk);
                    let instant = 3000.0;
                    let place = walk.position_at(SimTime::from_seconds(instant));
                    walk.position_at(SimTime::from_seconds(instant + 1e-3)).distance_2d_m(&place) / 1e-3
                };
                tally.simulated(kind, (0..4000).map(speed), value());
            }
            // Gauss-Markov walks and Poisson fields are not modelled; leg times follow from legs and speeds.
            _ => tally.skipped += 1,
        }
    }
}
