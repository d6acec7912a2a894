//! TR 38.901: path loss, line of sight, shadowing, the way into buildings; P.676 gas and P.838 rain.

use crate::tally::{Row, Tally, csv_rows, field, get, json_items};
use deft::radio::atmosphere::gases::{self, Air, Edition};
use deft::radio::atmosphere::rain;
use deft::radio::pathloss::{Building, GlassLoss, OutdoorToIndoor, Path, PathLoss, by_name};

fn model(name: &str) -> Box<dyn PathLoss> {
    let name = match name {
        "InH" | "InH-mixed" => "inh_mixed".to_owned(),
        "InF" => "inf_sl".to_owned(),
        other => other.to_lowercase().replace('-', "_"),
    };
    by_name(&name).unwrap()
}

fn path_of(row: &Row, carrier_ghz: f64) -> Path {
    Path {
        carrier_ghz,
        distance_2d_m: get(row, "d2d_m"),
        base_height_m: get(row, "hbs_m"),
        terminal_height_m: get(row, "hut_m"),
    }
}

pub fn path_loss(text: &str, tally: &mut Tally) {
    for row in csv_rows(text) {
        let model = model(&row["model"]);
        let path = path_of(&row, get(&row, "fc_ghz"));
        tally.check("LOS loss", model.loss_db(&path, true), get(&row, "pl_los_db"), 0.02);
        tally.check("NLOS loss", model.loss_db(&path, false), get(&row, "pl_nlos_db"), 0.02);
        if let Ok(p) = row["p_los"].parse() {
            tally.check("LOS probability", model.los_probability(&path), p, 1e-6);
        }
        for (los, column) in [(true, "sf_los_db"), (false, "sf_nlos_db")] {
            tally.check(column, model.shadowing(&path, los).sigma_db, get(&row, column), 1e-9);
        }
    }
}

pub fn los_probability(text: &str, tally: &mut Tally) {
    for row in csv_rows(text) {
        let p = model(&row["model"]).los_probability(&path_of(&row, 3.5));
        tally.check(&row["model"], p, get(&row, "p_los"), 1e-6);
    }
}

pub fn shadowing(text: &str, tally: &mut Tally) {
    for item in json_items(text) {
        let state = item["state"].as_str().unwrap();
        let far = state.contains("above breakpoint");
        let path = Path {
            carrier_ghz: 2.0,
            distance_2d_m: if far { 9000.0 } else { 50.0 },
            base_height_m: 10.0,
            terminal_height_m: 1.5,
        };
        let model = model(item["model"].as_str().unwrap());
        let law = match state {
            "O2I" => model.indoor_shadowing().expect("a model with an outside"),
            _ => model.shadowing(&path, state.starts_with("LOS")),
        };
        tally.check("sigma", law.sigma_db, field(&item, "sigma_db"), 1e-9);
        tally.check("distance", law.correlation_distance_m, field(&item, "correlation_distance_m"), 1e-9);
    }
}

pub fn outdoor_to_indoor(text: &str, tally: &mut Tally) {
    for row in csv_rows(text) {
        let way_in = OutdoorToIndoor {
            building: if row["kind"] == "low" { Building::LowLoss } else { Building::HighLoss },
            glass: match row["spec"].as_str() {
                "16.1" => GlassLoss::Edition16,
                "19.2" => GlassLoss::Edition19,
                unknown => panic!("tr38901_o2i.csv has an unknown edition {unknown}"),
            },
            one_wall_below_6_ghz: row["model"] != "RMa",
        };
        let f = get(&row, "fc_ghz");
        tally.check("wall", way_in.wall_db(f), get(&row, "pl_tw_db"), 1e-4);
        tally.check("wall and inside", way_in.mean_db(f, get(&row, "d2d_in_m")), get(&row, "o2i_mean_db"), 1e-4);
        tally.exact("deviation of the wall", way_in.wall_sigma_db(f), get(&row, "sigma_p_db"));
    }
}

pub fn air_and_rain(text: &str, tally: &mut Tally) {
    for item in json_items(text) {
        let f = field(&item, "f_ghz");
        match item["kind"].as_str().unwrap() {
            "gas_db_per_km" => {
                let air = Air {
                    dry_pressure_hpa: field(&item, "dry_pressure_hpa"),
                    temperature_k: field(&item, "temperature_k"),
                    water_vapour_g_per_m3: field(&item, "water_vapour_g_m3"),
                };
                for (edition, name) in [
                    (Edition::P676_12, "p676_12_itur"),
                    (Edition::P676_10, "p676_10_itur"),
                    (Edition::P676_10, "p676_10_pycraf"),
                ] {
                    let expected = field(&item, name);
                    tally.check(name, gases::loss_db_per_km(edition, f, &air), expected, 0.01 * expected);
                }
            }
            "rain_db_per_km" => {
                let (elevation, tilt) = (field(&item, "elevation_deg"), field(&item, "polarisation_tilt_deg"));
                let loss = rain::loss_db_per_km(f, field(&item, "rain_mm_h"), elevation, tilt);
                let expected = field(&item, "itur");
                tally.check("rain", loss, expected, 0.01 * expected);
            }
            unknown => panic!("air_and_rain.json has an unknown kind {unknown}"),
        }
    }
}
