//! One message over the sidelink, coherence block by coherence block.

use super::{Sidelink, SidelinkChannel};
use crate::radio::fading::{Fading, FadingModel};
use crate::radio::units::dbm_to_watts;
use crate::sim::{SimDuration, SimTime};

/// A message is given up after this long without a usable scheme, as in a cell.
const OUTAGE_LIMIT_S: f64 = 10.0;

/// What a message took. Means are over its duration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crossing {
    pub delivered: bool,
    /// What crossed: all of it, or what came through before the message was given up.
    pub sent_bytes: u64,
    pub duration: SimDuration,
    /// Time in which the sender was on the air and the receiver listened.
    pub on_air_seconds: f64,
    pub tx_joules: f64,
    pub mean_snr_db: f64,
    /// Over the time on the air; `None` if there was none.
    pub mean_mcs: Option<f64>,
    pub mean_share: f64,
    pub mean_rate_bps: f64,
}

impl Sidelink {
    /// Lets `bytes` cross from `start` on, at the rate that each coherence block allows.
    pub fn cross(
        &self,
        channel: &SidelinkChannel,
        fading: &Fading,
        tx_power_dbm: f64,
        bytes: u64,
        start: SimTime,
    ) -> Crossing {
        let law = fading.model.law(channel.los);
        let bits = bytes as f64 * 8.0;
        let mut remaining_bits = bits;
        let (mut seconds, mut on_air, mut outage) = (0.0, 0.0, 0.0);
        let (mut snr_db_seconds, mut mcs_seconds, mut share_seconds) = (0.0, 0.0, 0.0);
        let mut block = fading.block_at(start);
        let mut left_in_block = (fading.block_start(block + 1) - start).as_seconds();
        while remaining_bits > 0.0 && outage < OUTAGE_LIMIT_S {
            let constant = fading.model == FadingModel::None;
            let power = channel.fading.block_power(fading, block, law);
            let patience = OUTAGE_LIMIT_S - outage;
            match self.rate(channel, tx_power_dbm, power) {
                Some(now) => {
                    let needed = remaining_bits / now.rate_bps;
                    let spent = if constant { needed } else { needed.min(left_in_block) };
                    remaining_bits = if spent < needed { remaining_bits - now.rate_bps * spent } else { 0.0 };
                    outage = 0.0;
                    on_air += spent;
                    seconds += spent;
                    snr_db_seconds += now.snr_db * spent;
                    mcs_seconds += f64::from(now.mcs) * spent;
                    share_seconds += now.used_share * spent;
                }
                None => {
                    let spent = if constant { patience } else { patience.min(left_in_block) };
                    outage += spent;
                    seconds += spent;
                    snr_db_seconds += self.budget(channel, tx_power_dbm, power, 1.0).snr_db * spent;
                    share_seconds += spent;
                }
            }
            block += 1;
            left_in_block = fading.block.as_seconds();
        }
        let mean = |sum: f64, over: f64| if over > 0.0 { sum / over } else { 0.0 };
        Crossing {
            delivered: remaining_bits <= 0.0,
            sent_bytes: if remaining_bits > 0.0 { ((bits - remaining_bits) / 8.0) as u64 } else { bytes },
            duration: SimDuration::from_seconds(seconds),
            on_air_seconds: on_air,
            tx_joules: dbm_to_watts(tx_power_dbm) * on_air,
            mean_snr_db: mean(snr_db_seconds, seconds),
            mean_mcs: (on_air > 0.0).then(|| mcs_seconds / on_air),
            mean_share: mean(share_seconds, seconds),
            mean_rate_bps: mean(bits - remaining_bits, seconds),
        }
    }
}
