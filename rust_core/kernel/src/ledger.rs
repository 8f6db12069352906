//! Names and fingerprints of claims: the same cause always gives the same name.

use core::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::side::PositionSide;
use crate::sizing::outcome::OrderPlan;

/// Bytes of a claim's fingerprint.
pub const CLAIM_HASH_LENGTH: usize = 16;

/// Longest client order id that every venue accepts (Aster and Binance: 36).
pub const CLIENT_ORDER_ID_LENGTH_MAX: usize = 36;

const INTENT_LENGTH_MAX: usize = 20;
const FOLLOWER_LENGTH_MAX: usize = 11;
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const ATTEMPT_WIDTH: usize = 3;

/// Returns the client order id of one attempt at one leg.
///
/// `s`, the first 20 characters of the intent's name, 11 of the follower's key, the leg and the
/// attempt in base 36: never more than 36 characters, all of `[0-9a-z]` when the names are. An
/// attempt past 46,655 starts the count again; a leg is retried every few seconds and abandoned
/// long before.
#[must_use]
pub fn client_order_id(intent: &str, follower_key: &str, leg: u8, attempt: u32) -> String {
    let mut id = String::with_capacity(CLIENT_ORDER_ID_LENGTH_MAX);
    id.push('s');
    id.extend(intent.chars().take(INTENT_LENGTH_MAX));
    id.extend(follower_key.chars().take(FOLLOWER_LENGTH_MAX));
    id.push(digit(u32::from(leg)));
    let mut rest = attempt;
    for _ in 0..ATTEMPT_WIDTH {
        id.push(digit(rest % 36));
        rest /= 36;
        if rest == 0 {
            break;
        }
    }
    id
}

fn digit(value: u32) -> char {
    usize::try_from(value % 36)
        .ok()
        .and_then(|index| DIGITS.get(index))
        .map_or('0', |digit| char::from(*digit))
}

/// Returns the number by which the ledger and Python know a position side.
#[must_use]
pub const fn side_number(side: PositionSide) -> u8 {
    match side {
        PositionSide::Net => 0,
        PositionSide::Long => 1,
        PositionSide::Short => 2,
    }
}

/// Returns the fingerprint of a claim: what is asked of whom.
///
/// SHA-256 of `claimant|symbol|position side|side|quantity|limit|reduction`, cut to 16 bytes;
/// `claimant` names venue and account. Never nonce, time or signature, which differ each time.
#[must_use]
pub fn claim_hash(claimant: &str, symbol: &str, order: &OrderPlan) -> [u8; CLAIM_HASH_LENGTH] {
    let mut text = String::with_capacity(128);
    // Writing into a String cannot fail.
    let _ = write!(
        text,
        "{claimant}|{symbol}|{}|{}|{}|{}|{}",
        side_number(order.position_side),
        order.side.sign(),
        order.qty.0,
        order.limit_px.0,
        u8::from(!order.is_opening)
    );
    let digest = Sha256::digest(text.as_bytes());
    let mut hash = [0; CLAIM_HASH_LENGTH];
    for (to, from) in hash.iter_mut().zip(digest.iter()) {
        *to = *from;
    }
    hash
}
