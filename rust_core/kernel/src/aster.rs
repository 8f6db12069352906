//! The closed list of requests an Aster agent key may sign, and how their text is written.
//!
//! Aster's message is one free string (`Message{string msg}`), so the schema alone bounds nothing:
//! here each operation has its parameter names, and each name its form. Transfers, withdrawals and
//! the administration of agents are not in the list and share no parameter name with it, so no
//! text made here can be replayed as one of them. Source: Aster API V3, sections "Request
//! authentication", "Orders", "Account" and "User data stream", as of September 2026.

use thiserror::Error;

use crate::ecdsa::{Address, SIGNATURE_LENGTH, push_hex};
use crate::eip712::{Domain, Eip712Error, Schema, Value, message_digest};
use crate::keccak::Hash;

/// Most bytes of one value before encoding: ten client order ids as JSON text fit.
const VALUE_LENGTH_MAX: usize = 512;

/// Why a request is not signed. Values are never repeated.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The operation is not in the closed list.
    #[error("operation {0:?} is not in the closed list of Aster requests")]
    Operation(String),
    /// The operation has no such parameter.
    #[error("{operation}: parameter {name:?} is not allowed")]
    Name {
        /// The operation.
        operation: &'static str,
        /// The parameter as given.
        name: String,
    },
    /// A parameter came twice.
    #[error("{operation}: parameter {name:?} is given twice")]
    Repeated {
        /// The operation.
        operation: &'static str,
        /// The parameter.
        name: &'static str,
    },
    /// A parameter that the operation needs is absent.
    #[error("{operation}: parameter {name:?} is missing")]
    Missing {
        /// The operation.
        operation: &'static str,
        /// The parameter.
        name: &'static str,
    },
    /// A value has another form than its parameter.
    #[error("{operation}.{name}: expected {expected}")]
    Form {
        /// The operation.
        operation: &'static str,
        /// The parameter.
        name: &'static str,
        /// The form, in words.
        expected: &'static str,
    },
    /// The nonce is not the last parameter.
    #[error("{operation}: expected \"nonce\" as the last parameter")]
    NonceNotLast {
        /// The operation.
        operation: &'static str,
    },
}

/// What a value must look like.
#[derive(Clone, Copy)]
enum Form {
    Symbol,
    Word,
    Decimal,
    Digits,
    Nonce,
    Flag,
    ClientOrderId,
    Identifiers,
    Address,
}

impl Form {
    fn accepts(self, text: &str) -> bool {
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match self {
            Self::Symbol => (1..=64).contains(&text.len()) && !text.chars().any(is_unprintable),
            Self::Word => {
                let is_part = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
                (1..=40).contains(&text.len()) && text.bytes().all(is_part)
            }
            Self::Decimal => match text.split_once('.') {
                Some((whole, fraction)) => is_digits(whole) && is_digits(fraction),
                None => is_digits(text),
            },
            Self::Digits => text.len() <= 20 && is_digits(text),
            Self::Nonce => text.len() == 16 && is_digits(text),
            Self::Flag => matches!(text, "true" | "false"),
            Self::ClientOrderId => is_client_order_id(text),
            Self::Identifiers => is_identifier_list(text),
            Self::Address => Address::parse(text).is_ok(),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Symbol => "a symbol of 1 to 64 bytes without control characters or spaces",
            Self::Word => "1 to 40 capital letters, digits or _",
            Self::Decimal => "decimal digits with at most one point, no sign, no exponent",
            Self::Digits => "1 to 20 decimal digits",
            Self::Nonce => "16 decimal digits (microseconds)",
            Self::Flag => "true or false",
            Self::ClientOrderId => "1 to 36 letters, digits or any of . : / _ -",
            Self::Identifiers => "a JSON list of ids without spaces",
            Self::Address => "0x and 40 hex digits, checksummed when in mixed case",
        }
    }
}

fn is_unprintable(character: char) -> bool {
    character.is_control() || character.is_whitespace()
}

fn is_client_order_id(text: &str) -> bool {
    let is_part =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'/' | b'_' | b'-');
    (1..=36).contains(&text.len()) && text.bytes().all(is_part)
}

fn is_identifier_list(text: &str) -> bool {
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let is_item = |item: &str| match item.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').is_some_and(is_client_order_id),
        None => Form::Digits.accepts(item),
    };
    inner.is_some_and(|items| items.split(',').all(is_item))
}

/// One allowed parameter: name, form, whether the operation needs it.
type Parameter = (&'static str, Form, bool);

const SYMBOL: Parameter = ("symbol", Form::Symbol, true);
const ANY_SYMBOL: Parameter = ("symbol", Form::Symbol, false);
const NONCE: Parameter = ("nonce", Form::Nonce, true);
const ORDER_ID: Parameter = ("orderId", Form::Digits, false);
const CLIENT_ID: Parameter = ("origClientOrderId", Form::ClientOrderId, false);
const START: Parameter = ("startTime", Form::Digits, false);
const END: Parameter = ("endTime", Form::Digits, false);
const LIMIT: Parameter = ("limit", Form::Digits, false);
// Only the testnet's document still lists these two.
const TIMESTAMP: Parameter = ("timestamp", Form::Digits, false);
const WINDOW: Parameter = ("recvWindow", Form::Digits, false);

const ORDER: &[Parameter] = &[
    SYMBOL,
    ("side", Form::Word, true),
    ("type", Form::Word, true),
    ("positionSide", Form::Word, false),
    ("timeInForce", Form::Word, false),
    ("quantity", Form::Decimal, false),
    ("price", Form::Decimal, false),
    ("reduceOnly", Form::Flag, false),
    ("newClientOrderId", Form::ClientOrderId, false),
    ("newOrderRespType", Form::Word, false),
    ("stopPrice", Form::Decimal, false),
    ("closePosition", Form::Flag, false),
    ("workingType", Form::Word, false),
    ("priceProtect", Form::Flag, false),
    ("activationPrice", Form::Decimal, false),
    ("callbackRate", Form::Decimal, false),
    ("pegPriceType", Form::Word, false),
    ("pegOffset", Form::Decimal, false),
    ("stpMode", Form::Word, false),
    ("builder", Form::Address, false),
    ("feeRate", Form::Decimal, false),
];
const ONE_ORDER: &[Parameter] = &[SYMBOL, ORDER_ID, CLIENT_ID];
const NOTHING: &[Parameter] = &[];
const MAYBE_SYMBOL: &[Parameter] = &[ANY_SYMBOL];

/// One request of the closed list.
struct Operation {
    name: &'static str,
    parameters: &'static [Parameter],
}

const fn operation(name: &'static str, parameters: &'static [Parameter]) -> Operation {
    Operation { name, parameters }
}

/// All requests, the most frequent first.
const OPERATIONS: &[Operation] = &[
    operation("order", ORDER),
    operation("query_order", ONE_ORDER),
    operation("cancel_order", ONE_ORDER),
    operation("open_order", ONE_ORDER),
    operation("open_orders", MAYBE_SYMBOL),
    operation(
        "amend_order",
        &[
            SYMBOL,
            ("side", Form::Word, false),
            ORDER_ID,
            CLIENT_ID,
            ("quantity", Form::Decimal, true),
            ("price", Form::Decimal, true),
        ],
    ),
    operation(
        "cancel_batch",
        &[
            SYMBOL,
            ("orderIdList", Form::Identifiers, false),
            ("origClientOrderIdList", Form::Identifiers, false),
        ],
    ),
    operation("cancel_all", &[SYMBOL]),
    operation(
        "countdown_cancel_all",
        &[SYMBOL, ("countdownTime", Form::Digits, true)],
    ),
    operation("all_orders", &[SYMBOL, ORDER_ID, START, END, LIMIT]),
    operation("noop", NOTHING),
    operation("account", NOTHING),
    operation("balance", NOTHING),
    operation("position_risk", MAYBE_SYMBOL),
    operation("leverage_bracket", MAYBE_SYMBOL),
    operation("leverage", &[SYMBOL, ("leverage", Form::Digits, true)]),
    operation("margin_type", &[SYMBOL, ("marginType", Form::Word, true)]),
    operation("position_mode", NOTHING),
    operation(
        "set_position_mode",
        &[("dualSidePosition", Form::Flag, true)],
    ),
    operation("multi_assets_mode", NOTHING),
    operation(
        "set_multi_assets_mode",
        &[("multiAssetsMargin", Form::Flag, true)],
    ),
    operation("stp_mode", NOTHING),
    operation("commission_rate", &[SYMBOL]),
    operation("adl_quantile", MAYBE_SYMBOL),
    operation(
        "income",
        &[
            ANY_SYMBOL,
            ("incomeType", Form::Word, false),
            START,
            END,
            LIMIT,
        ],
    ),
    operation(
        "force_orders",
        &[
            ANY_SYMBOL,
            ("autoCloseType", Form::Word, false),
            START,
            END,
            LIMIT,
        ],
    ),
    operation(
        "user_trades",
        &[
            SYMBOL,
            ORDER_ID,
            ("fromId", Form::Digits, false),
            START,
            END,
            LIMIT,
        ],
    ),
    operation("listen_key", NOTHING),
    operation("agents", NOTHING),
];

/// Parameters every operation may have; the nonce must come, and last.
const COMMON: &[Parameter] = &[TIMESTAMP, WINDOW, NONCE];

/// Lists each operation with its parameter names, for documentation and tests.
pub fn operations() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    OPERATIONS.iter().map(|known| {
        let names = known
            .parameters
            .iter()
            .chain(COMMON)
            .map(|(name, ..)| *name)
            .collect();
        (known.name, names)
    })
}

/// Writes and hashes the requests of one agent: domain and closing parameters are fixed.
#[derive(Debug, Clone)]
pub struct RequestWriter {
    domain: Domain,
    type_hash: Hash,
    closing: String,
}

impl RequestWriter {
    /// Prepares a writer for one chain id and agent. `user` is the main account, sent when given.
    ///
    /// # Errors
    /// Returns an error when the schema cannot be built, which a test excludes.
    pub fn new(chain_id: u16, signer: Address, user: Option<Address>) -> Result<Self, Eip712Error> {
        let text = |name: &str, value: &str| (name.to_owned(), Value::Text(value.to_owned()));
        let domain = Domain::new(&[
            text("name", "AsterSignTransaction"),
            text("version", "1"),
            ("chainId".to_owned(), Value::from(u64::from(chain_id))),
            ("verifyingContract".to_owned(), Value::Bytes(vec![0; 20])),
        ])?;
        let fields = vec![("msg".to_owned(), "string".to_owned())];
        let schema = Schema::new("Message", &[("Message".to_owned(), fields)])?;
        let mut closing = String::with_capacity(112);
        if let Some(user) = user {
            closing.push_str("&user=");
            closing.push_str(&user.to_text());
        }
        closing.push_str("&signer=");
        closing.push_str(&signer.to_text());
        Ok(Self {
            domain,
            type_hash: schema.type_hash(),
            closing,
        })
    }

    /// Writes the text to be signed: the parameters in the given order, percent-encoded once, then
    /// `user` and `signer`.
    ///
    /// # Errors
    /// Returns an error for anything outside the closed list.
    pub fn write(
        &self,
        operation: &str,
        parameters: &[(&str, &str)],
    ) -> Result<String, RequestError> {
        let known = OPERATIONS
            .iter()
            .find(|known| known.name == operation)
            .ok_or_else(|| RequestError::Operation(operation.to_owned()))?;
        let size: usize = parameters
            .iter()
            .map(|(name, value)| name.len() + value.len() + 2)
            .sum();
        let signature_length = SIGNATURE_PREFIX.len() + 2 * SIGNATURE_LENGTH;
        let mut text = String::with_capacity(size + self.closing.len() + signature_length);
        let mut seen = 0_u64;
        for (name, value) in parameters {
            let (position, &(known_name, form, _)) = known
                .parameters
                .iter()
                .chain(COMMON)
                .enumerate()
                .find(|(_, (allowed, ..))| allowed == name)
                .ok_or_else(|| RequestError::Name {
                    operation: known.name,
                    name: (*name).to_owned(),
                })?;
            if seen >> position & 1 == 1 {
                return Err(RequestError::Repeated {
                    operation: known.name,
                    name: known_name,
                });
            }
            seen |= 1 << position;
            if value.len() > VALUE_LENGTH_MAX || !form.accepts(value) {
                return Err(RequestError::Form {
                    operation: known.name,
                    name: known_name,
                    expected: form.words(),
                });
            }
            if !text.is_empty() {
                text.push('&');
            }
            text.push_str(known_name);
            text.push('=');
            push_percent_encoded(&mut text, value);
        }
        for (position, (name, _, is_needed)) in known.parameters.iter().chain(COMMON).enumerate() {
            if *is_needed && seen >> position & 1 == 0 {
                return Err(RequestError::Missing {
                    operation: known.name,
                    name,
                });
            }
        }
        if parameters.last().is_none_or(|(name, _)| *name != NONCE.0) {
            return Err(RequestError::NonceNotLast {
                operation: known.name,
            });
        }
        text.push_str(&self.closing);
        Ok(text)
    }

    /// Returns what is signed for a text.
    #[must_use]
    pub fn digest(&self, text: &str) -> Hash {
        message_digest(&self.domain, &self.type_hash, text.as_bytes())
    }
}

const SIGNATURE_PREFIX: &str = "&signature=0x";

/// Appends a signature to the text it was made for.
pub fn push_signature(text: &mut String, signature: &[u8; SIGNATURE_LENGTH]) {
    text.push_str(SIGNATURE_PREFIX);
    push_hex(text, signature);
}

/// Appends a value as form encoding does, with %20 for a space.
fn push_percent_encoded(text: &mut String, value: &str) {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    if value.bytes().all(is_plain) {
        text.push_str(value);
        return;
    }
    for byte in value.bytes() {
        if is_plain(byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            for nibble in [byte >> 4, byte & 0x0f] {
                text.push(char::from(if nibble < 10 {
                    b'0' + nibble
                } else {
                    b'A' - 10 + nibble
                }));
            }
        }
    }
}
