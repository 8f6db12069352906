//! Schemas: parsed struct types and their type hashes.

use std::collections::{BTreeMap, BTreeSet};

use super::Eip712Error;
use crate::keccak::{Hash, keccak256};

/// The type of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldType {
    /// `address`.
    Address,
    /// `bool`.
    Bool,
    /// `bytes`.
    Bytes,
    /// `bytes1` to `bytes32`: the length.
    FixedBytes(usize),
    /// `string`.
    Text,
    /// `uint8` to `uint256`: the bits.
    Uint(u32),
    /// `int8` to `int256`: the bits, sign included.
    Int(u32),
    /// Another struct: its index in the schema.
    Struct(usize),
    /// An array, of a fixed length or of any.
    Array(Box<FieldType>, Option<usize>),
}

/// One struct of a schema.
#[derive(Debug, Clone)]
pub(super) struct StructType {
    pub(super) name: String,
    pub(super) fields: Vec<(String, FieldType)>,
    pub(super) type_hash: Hash,
}

/// A checked set of struct types with a primary one.
#[derive(Debug, Clone)]
pub struct Schema {
    structs: Vec<StructType>,
    primary: usize,
}

/// A struct as given: its name and its (name, type) fields.
type Definition = (String, Vec<(String, String)>);

impl Schema {
    /// Parses struct definitions and hashes their types.
    ///
    /// # Errors
    /// Returns an error for an unknown, malformed or repeated name, a type EIP-712 does not have,
    /// or a struct that contains itself other than through an array of any length.
    pub fn new(primary_type: &str, definitions: &[Definition]) -> Result<Self, Eip712Error> {
        let mut indices = BTreeMap::new();
        for (index, (name, _)) in definitions.iter().enumerate() {
            if !is_identifier(name) || is_reserved(name) {
                return Err(problem(
                    name,
                    "expected the name of a struct, found something else",
                ));
            }
            if indices.insert(name.as_str(), index).is_some() {
                return Err(problem(name, "this struct is defined twice"));
            }
        }
        let primary = *indices
            .get(primary_type)
            .ok_or_else(|| problem(primary_type, "the primary type is not among the types"))?;
        let mut structs = Vec::with_capacity(definitions.len());
        for (name, fields) in definitions {
            structs.push(StructType {
                name: name.clone(),
                fields: parse_fields(name, fields, &indices)?,
                type_hash: [0; 32],
            });
        }
        refuse_infinite(&structs)?;
        let hashes: Vec<Hash> = (0..structs.len())
            .map(|index| keccak256(encode_type(index, &structs, definitions).as_bytes()))
            .collect();
        for (definition, hash) in structs.iter_mut().zip(hashes) {
            definition.type_hash = hash;
        }
        Ok(Self { structs, primary })
    }

    /// Returns the hash of the primary type.
    #[must_use]
    pub fn type_hash(&self) -> Hash {
        self.primary()
            .map(|primary| primary.type_hash)
            .unwrap_or_default()
    }

    /// Returns the name of the primary type.
    #[must_use]
    pub fn primary_name(&self) -> &str {
        self.primary().map_or("", |primary| primary.name.as_str())
    }

    pub(super) fn primary(&self) -> Option<&StructType> {
        self.structs.get(self.primary)
    }

    pub(super) fn struct_type(&self, index: usize) -> Option<&StructType> {
        self.structs.get(index)
    }

    /// Writes a type as EIP-712 does, for messages.
    #[must_use]
    pub fn type_name(&self, field_type: &FieldType) -> String {
        match field_type {
            FieldType::Address => "address".to_owned(),
            FieldType::Bool => "bool".to_owned(),
            FieldType::Bytes => "bytes".to_owned(),
            FieldType::FixedBytes(length) => format!("bytes{length}"),
            FieldType::Text => "string".to_owned(),
            FieldType::Uint(bits) => format!("uint{bits}"),
            FieldType::Int(bits) => format!("int{bits}"),
            FieldType::Struct(index) => self
                .struct_type(*index)
                .map_or_else(String::new, |found| found.name.clone()),
            FieldType::Array(item, None) => format!("{}[]", self.type_name(item)),
            FieldType::Array(item, Some(length)) => format!("{}[{length}]", self.type_name(item)),
        }
    }
}

fn problem(path: &str, text: &str) -> Eip712Error {
    Eip712Error::Schema {
        path: path.to_owned(),
        problem: text.to_owned(),
    }
}

fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || matches!(first, b'_' | b'$'))
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$'))
}

/// Says whether a struct of that name would hide an elementary type.
fn is_reserved(name: &str) -> bool {
    matches!(name, "uint" | "int") || elementary(name).is_some()
}

fn elementary(name: &str) -> Option<FieldType> {
    match name {
        "address" => return Some(FieldType::Address),
        "bool" => return Some(FieldType::Bool),
        "bytes" => return Some(FieldType::Bytes),
        "string" => return Some(FieldType::Text),
        _ => {}
    }
    if let Some(bits) = name.strip_prefix("uint").and_then(canonical_number) {
        return is_width(bits).then_some(FieldType::Uint(bits));
    }
    if let Some(bits) = name.strip_prefix("int").and_then(canonical_number) {
        return is_width(bits).then_some(FieldType::Int(bits));
    }
    let length = name.strip_prefix("bytes").and_then(canonical_number)?;
    let length = usize::try_from(length).ok()?;
    (1..=32)
        .contains(&length)
        .then_some(FieldType::FixedBytes(length))
}

/// Reads a number without sign and without leading zeros.
fn canonical_number(text: &str) -> Option<u32> {
    let is_canonical = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_canonical {
        text.parse().ok()
    } else {
        None
    }
}

fn is_width(bits: u32) -> bool {
    (8..=256).contains(&bits) && bits.is_multiple_of(8)
}

fn parse_fields(
    owner: &str,
    fields: &[(String, String)],
    indices: &BTreeMap<&str, usize>,
) -> Result<Vec<(String, FieldType)>, Eip712Error> {
    let mut names = BTreeSet::new();
    let mut parsed = Vec::with_capacity(fields.len());
    for (name, type_text) in fields {
        let path = format!("{owner}.{name}");
        if !is_identifier(name) {
            return Err(problem(
                &path,
                "expected the name of a field, found something else",
            ));
        }
        if !names.insert(name) {
            return Err(problem(&path, "this field is defined twice"));
        }
        parsed.push((name.clone(), parse_type(&path, type_text, indices)?));
    }
    Ok(parsed)
}

fn parse_type(
    path: &str,
    text: &str,
    indices: &BTreeMap<&str, usize>,
) -> Result<FieldType, Eip712Error> {
    let base_end = text.find('[').unwrap_or(text.len());
    let (base, mut rest) = text.split_at(base_end);
    let mut parsed = match (elementary(base), indices.get(base)) {
        (Some(found), _) => found,
        (None, Some(index)) => FieldType::Struct(*index),
        (None, None) => {
            let known = "address, bool, bytes, bytes1-32, string, uint8-256, int8-256 or a struct";
            return Err(problem(path, &format!("expected {known}, found {base:?}")));
        }
    };
    while !rest.is_empty() {
        let inner = rest
            .strip_prefix('[')
            .and_then(|inner| inner.split_once(']'));
        let length = match inner {
            Some(("", _)) => Some(None),
            Some((digits, _)) => canonical_number(digits)
                .and_then(|found| usize::try_from(found).ok())
                .map(Some),
            None => None,
        };
        let (Some((_, tail)), Some(length)) = (inner, length) else {
            return Err(problem(
                path,
                &format!("expected [] or [length], found {rest:?}"),
            ));
        };
        parsed = FieldType::Array(Box::new(parsed), length);
        rest = tail;
    }
    Ok(parsed)
}

/// Refuses structs no value could ever have: those that contain themselves directly.
fn refuse_infinite(structs: &[StructType]) -> Result<(), Eip712Error> {
    let mut is_finite = vec![false; structs.len()];
    for _ in structs {
        let next: Vec<bool> = structs
            .iter()
            .map(|found| {
                found
                    .fields
                    .iter()
                    .all(|(_, kind)| is_kind_finite(kind, &is_finite))
            })
            .collect();
        is_finite = next;
    }
    match structs
        .iter()
        .zip(is_finite)
        .find(|(_, is_finite)| !is_finite)
    {
        Some((endless, _)) => Err(problem(&endless.name, "this struct contains itself")),
        None => Ok(()),
    }
}

fn is_kind_finite(kind: &FieldType, is_finite: &[bool]) -> bool {
    match kind {
        FieldType::Struct(index) => is_finite.get(*index).copied().unwrap_or(false),
        FieldType::Array(item, Some(_)) => is_kind_finite(item, is_finite),
        _ => true,
    }
}

fn encode_type(index: usize, structs: &[StructType], definitions: &[Definition]) -> String {
    let mut found = BTreeSet::new();
    let mut open = vec![index];
    while let Some(next) = open.pop() {
        if found.insert(next)
            && let Some(definition) = structs.get(next)
        {
            open.extend(
                definition
                    .fields
                    .iter()
                    .filter_map(|(_, kind)| struct_of(kind)),
            );
        }
    }
    found.remove(&index);
    let mut others: Vec<&Definition> = found
        .iter()
        .filter_map(|other| definitions.get(*other))
        .collect();
    others.sort_by(|left, right| left.0.cmp(&right.0));
    definitions
        .get(index)
        .into_iter()
        .chain(others)
        .map(write_definition)
        .collect()
}

fn struct_of(kind: &FieldType) -> Option<usize> {
    match kind {
        FieldType::Struct(index) => Some(*index),
        FieldType::Array(item, _) => struct_of(item),
        _ => None,
    }
}

fn write_definition((name, fields): &Definition) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|(field, type_text)| format!("{type_text} {field}"))
        .collect();
    format!("{name}({})", fields.join(","))
}
