//! Values and their encoding: every field becomes 32 bytes, as EIP-712 defines.

use super::Eip712Error;
use super::schema::{FieldType, Schema, StructType};
use crate::ecdsa::Address;
use crate::keccak::{Hash, keccak256, keccak256_parts};

/// An integer of up to 256 bits and a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Integer {
    /// Whether the value is below zero.
    pub is_negative: bool,
    /// The absolute value, big-endian.
    pub magnitude: [u8; 32],
}

/// A value as it came, before it is checked against a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A truth value.
    Bool(bool),
    /// An integer.
    Integer(Integer),
    /// An integer whose absolute value has more than 256 bits.
    OversizedInteger,
    /// Raw bytes.
    Bytes(Vec<u8>),
    /// Text.
    Text(String),
    /// Positional values: an array, or a struct's fields in order.
    List(Vec<Value>),
    /// Named values: a struct's fields.
    Fields(Vec<(String, Value)>),
    /// Something no type accepts: the name of its kind.
    Other(String),
}

impl Value {
    fn kind(&self) -> String {
        match self {
            Self::Bool(_) => "a bool".to_owned(),
            Self::Integer(found) if found.is_negative => {
                format!(
                    "a negative integer of {} bits",
                    bit_length(&found.magnitude)
                )
            }
            Self::Integer(found) => {
                format!("an integer of {} bits", bit_length(&found.magnitude))
            }
            Self::OversizedInteger => "an integer of more than 256 bits".to_owned(),
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Self::Text(_) => "text".to_owned(),
            Self::List(items) => format!("a sequence of {}", items.len()),
            Self::Fields(fields) => format!("a mapping of {}", fields.len()),
            Self::Other(kind) => kind.clone(),
        }
    }
}

fn bit_length(magnitude: &[u8; 32]) -> u32 {
    let mut zeros = 0;
    for byte in magnitude {
        zeros += byte.leading_zeros();
        if *byte != 0 {
            break;
        }
    }
    256 - zeros
}

impl Schema {
    /// Hashes a message of the primary type, its values in field order.
    ///
    /// # Errors
    /// Returns an error that names the path of the first value that does not fit.
    pub fn struct_hash(&self, values: &[Value]) -> Result<Hash, Eip712Error> {
        match self.primary() {
            Some(primary) => self.hash_fields(primary, values, &primary.name),
            None => Err(Eip712Error::Schema {
                path: String::new(),
                problem: "the schema has no primary type".to_owned(),
            }),
        }
    }

    fn hash_fields<'a>(
        &self,
        definition: &StructType,
        values: impl IntoIterator<Item = &'a Value, IntoIter: ExactSizeIterator>,
        path: &str,
    ) -> Result<Hash, Eip712Error> {
        let values = values.into_iter();
        if values.len() != definition.fields.len() {
            let expected = format!("{} values for its fields", definition.fields.len());
            return Err(mismatch(path, expected, values.len().to_string()));
        }
        let mut encoded = Vec::with_capacity(32 * (definition.fields.len() + 1));
        encoded.extend_from_slice(&definition.type_hash);
        for ((name, kind), value) in definition.fields.iter().zip(values) {
            encoded.extend_from_slice(&self.encode(kind, value, &|| format!("{path}.{name}"))?);
        }
        Ok(keccak256(&encoded))
    }

    fn hash_named(
        &self,
        definition: &StructType,
        fields: &[(String, Value)],
        path: &str,
    ) -> Result<Hash, Eip712Error> {
        if let Some((unknown, _)) = fields
            .iter()
            .find(|(name, _)| definition.fields.iter().all(|(known, _)| known != name))
        {
            let expected = format!("only the fields of {}", definition.name);
            return Err(mismatch(path, expected, format!("a field {unknown:?}")));
        }
        let mut ordered = Vec::with_capacity(definition.fields.len());
        for (name, kind) in &definition.fields {
            let given = fields
                .iter()
                .find(|(given, _)| given == name)
                .map(|(_, value)| value);
            let path = || format!("{path}.{name}");
            let absent = || mismatch(&path(), self.type_name(kind), "nothing".to_owned());
            ordered.push(given.ok_or_else(absent)?);
        }
        self.hash_fields(definition, ordered, path)
    }

    fn encode(
        &self,
        kind: &FieldType,
        value: &Value,
        path: &dyn Fn() -> String,
    ) -> Result<Hash, Eip712Error> {
        let encoded = match (kind, value) {
            (FieldType::Bool, Value::Bool(flag)) => Some(low_bytes(&[u8::from(*flag)])),
            (FieldType::Bytes, Value::Bytes(bytes)) => Some(keccak256(bytes)),
            (FieldType::Text, Value::Text(text)) => Some(keccak256(text.as_bytes())),
            (FieldType::FixedBytes(length), Value::Bytes(bytes)) if bytes.len() == *length => {
                Some(high_bytes(bytes))
            }
            (FieldType::Address, Value::Bytes(bytes)) if bytes.len() == 20 => {
                Some(low_bytes(bytes))
            }
            (FieldType::Address, Value::Text(text)) => match Address::parse(text) {
                Ok(Address(bytes)) => Some(low_bytes(&bytes)),
                Err(found) => {
                    return Err(mismatch(&path(), "address".to_owned(), found.to_owned()));
                }
            },
            (FieldType::Uint(bits), Value::Integer(integer)) => encode_uint(*bits, integer),
            (FieldType::Int(bits), Value::Integer(integer)) => encode_int(*bits, integer),
            (FieldType::Struct(index), Value::List(values)) => {
                let definition = self.struct_type(*index);
                definition
                    .map(|found| self.hash_fields(found, values, &path()))
                    .transpose()?
            }
            (FieldType::Struct(index), Value::Fields(fields)) => {
                let definition = self.struct_type(*index);
                definition
                    .map(|found| self.hash_named(found, fields, &path()))
                    .transpose()?
            }
            (FieldType::Array(item, length), Value::List(values))
                if length.is_none_or(|length| length == values.len()) =>
            {
                Some(self.hash_items(item, values, path)?)
            }
            _ => None,
        };
        encoded.ok_or_else(|| mismatch(&path(), self.type_name(kind), value.kind()))
    }

    fn hash_items(
        &self,
        item: &FieldType,
        values: &[Value],
        path: &dyn Fn() -> String,
    ) -> Result<Hash, Eip712Error> {
        let mut encoded = Vec::with_capacity(32 * values.len());
        for (index, value) in values.iter().enumerate() {
            let hash = self.encode(item, value, &|| format!("{}[{index}]", path()))?;
            encoded.extend_from_slice(&hash);
        }
        Ok(keccak256_parts(&[&encoded]))
    }
}

fn mismatch(path: &str, expected: String, found: String) -> Eip712Error {
    Eip712Error::Value {
        path: path.to_owned(),
        expected,
        found,
    }
}

/// Pads on the left, as numbers and addresses are.
fn low_bytes(bytes: &[u8]) -> Hash {
    let mut word = [0; 32];
    for (target, source) in word.iter_mut().rev().zip(bytes.iter().rev()) {
        *target = *source;
    }
    word
}

/// Pads on the right, as fixed bytes are.
fn high_bytes(bytes: &[u8]) -> Hash {
    let mut word = [0; 32];
    for (target, source) in word.iter_mut().zip(bytes) {
        *target = *source;
    }
    word
}

fn encode_uint(bits: u32, integer: &Integer) -> Option<Hash> {
    let fits = !integer.is_negative && bit_length(&integer.magnitude) <= bits;
    fits.then_some(integer.magnitude)
}

fn encode_int(bits: u32, integer: &Integer) -> Option<Hash> {
    if !integer.is_negative {
        return (bit_length(&integer.magnitude) < bits).then_some(integer.magnitude);
    }
    // Two's complement of -m is !(m - 1), and -m fits when m - 1 fits below the sign bit.
    let mut word = integer.magnitude;
    for byte in word.iter_mut().rev() {
        let (difference, is_borrowed) = byte.overflowing_sub(1);
        *byte = difference;
        if !is_borrowed {
            break;
        }
    }
    let fits = bit_length(&word) < bits;
    fits.then(|| word.map(|byte| !byte))
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        let magnitude = low_bytes(&number.to_be_bytes());
        Self::Integer(Integer {
            is_negative: false,
            magnitude,
        })
    }
}
