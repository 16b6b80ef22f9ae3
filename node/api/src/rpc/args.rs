//! [`Args`]: the parameters of one call, by position, with their types checked.

use std::collections::BTreeMap;
use std::str::FromStr;

use bitcoin::Address;
use bitcoin::consensus::Decodable;
use bitcoin::hashes::Hash;
use chain::address::{AddressError, parse_address};
use data_encoding::HEXLOWER_PERMISSIVE;
use serde_json::{Map, Value};

use super::description::{Description, Kind};
use super::error::Failure;

/// The parameters of one call.
pub struct Args {
    call: Description,
    values: Vec<Value>,
}

impl Args {
    /// Puts parameters into the call's order and checks number and types.
    ///
    /// # Errors
    ///
    /// -1 with the call's help for a wrong number, -8 for unknown names, -3 for wrong types; as in Bitcoin Core.
    pub fn new(call: Description, params: Value) -> Result<Args, Failure> {
        let mut values = match params {
            Value::Array(values) => values,
            Value::Object(named) => by_position(&call, named)?,
            _ => Vec::new(),
        };
        let needed = call.params.iter().filter(|param| !param.optional).count();
        if values.len() > call.params.len() || values.len() < needed {
            return Err(Failure::misc(call.text()));
        }
        values.resize(call.params.len(), Value::Null);
        let args = Args { call, values };
        args.check_types()?;
        Ok(args)
    }

    fn check_types(&self) -> Result<(), Failure> {
        let mut wrong = BTreeMap::new();
        for (index, (param, value)) in self.call.params.iter().zip(&self.values).enumerate() {
            if value.is_null() && !param.optional {
                // A null where something is needed counts as missing.
                return Err(Failure::misc(self.call.text()));
            }
            if !value.is_null() && !fits(param.kind, value) {
                let place = format!("Position {} ({})", index + 1, param.name());
                wrong.insert(place, not_of_type(value, param.kind));
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let list = serde_json::to_string_pretty(&wrong).expect("strings can be written");
        Err(Failure::wrong_type(format!("Wrong type passed:\n{list}")))
    }

    /// The value at `index`; null when it was left out.
    pub fn value(&self, index: usize) -> &Value {
        &self.values[index]
    }

    /// Whether the parameter was given.
    pub fn has(&self, index: usize) -> bool {
        !self.values[index].is_null()
    }

    /// A required string.
    pub fn text(&self, index: usize) -> Result<&str, Failure> {
        self.opt_text(index)?.ok_or_else(|| self.missing(index))
    }

    /// A string.
    pub fn opt_text(&self, index: usize) -> Result<Option<&str>, Failure> {
        match self.value(index) {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text)),
            other => Err(self.wrong(other, Kind::Text)),
        }
    }

    /// A required whole number.
    pub fn int(&self, index: usize) -> Result<i64, Failure> {
        self.opt_int(index)?.ok_or_else(|| self.missing(index))
    }

    /// A whole number.
    pub fn opt_int(&self, index: usize) -> Result<Option<i64>, Failure> {
        match self.value(index) {
            Value::Null => Ok(None),
            Value::Number(number) => number
                .as_i64()
                .map(Some)
                .ok_or_else(|| Failure::misc("JSON integer out of range")),
            other => Err(self.wrong(other, Kind::Number)),
        }
    }

    /// A truth value, `otherwise` when it was left out.
    pub fn flag(&self, index: usize, otherwise: bool) -> Result<bool, Failure> {
        match self.value(index) {
            Value::Null => Ok(otherwise),
            Value::Bool(flag) => Ok(*flag),
            other => Err(self.wrong(other, Kind::Bool)),
        }
    }

    /// A level of detail: a number, or false for 0 and true for 1.
    pub fn verbosity(&self, index: usize, otherwise: i64) -> Result<i64, Failure> {
        match self.value(index) {
            Value::Bool(flag) => Ok(i64::from(*flag)),
            _ => Ok(self.opt_int(index)?.unwrap_or(otherwise)),
        }
    }

    /// A list; empty when it was left out.
    pub fn list(&self, index: usize) -> Result<&[Value], Failure> {
        match self.value(index) {
            Value::Null => Ok(&[]),
            Value::Array(list) => Ok(list),
            other => Err(self.wrong(other, Kind::Array)),
        }
    }

    /// A required block or transaction hash.
    pub fn hash<H: Hash + FromStr>(&self, index: usize) -> Result<H, Failure> {
        hash_from(self.text(index)?, self.call.params[index].name())
    }

    /// A block or transaction hash.
    pub fn opt_hash<H: Hash + FromStr>(&self, index: usize) -> Result<Option<H>, Failure> {
        self.opt_text(index)?
            .map(|text| hash_from(text, self.call.params[index].name()))
            .transpose()
    }

    /// A required height or count: a whole number from 0 on.
    pub fn count(&self, index: usize) -> Result<u32, Failure> {
        let number = self.int(index)?;
        u32::try_from(number).map_err(|_| {
            let name = self.call.params[index].name();
            Failure::invalid(format!("{name} out of range: {number}"))
        })
    }

    /// A required address of this network's kind.
    pub fn address(&self, index: usize) -> Result<Address, Failure> {
        address_from(self.text(index)?)
    }

    fn missing(&self, index: usize) -> Failure {
        let _ = index;
        Failure::misc(self.call.text())
    }

    fn wrong(&self, value: &Value, wanted: Kind) -> Failure {
        Failure::wrong_type(not_of_type(value, wanted))
    }
}

/// Puts named parameters into order. `args` holds values by position before them, as in Bitcoin Core.
fn by_position(call: &Description, mut named: Map<String, Value>) -> Result<Vec<Value>, Failure> {
    let mut values = match named.remove("args") {
        Some(Value::Array(values)) => values,
        Some(_) => return Err(Failure::invalid("Parameter args must be an array")),
        None => Vec::new(),
    };
    let given = values.len();
    let mut last = given;
    values.resize(values.len().max(call.params.len()), Value::Null);
    for (name, value) in named {
        let index = call
            .params
            .iter()
            .position(|param| param.is(&name))
            .ok_or_else(|| Failure::invalid(format!("Unknown named parameter {name}")))?;
        if index < given {
            return Err(Failure::invalid(format!(
                "Parameter {name} specified twice both as positional and named argument"
            )));
        }
        if !values[index].is_null() {
            return Err(Failure::invalid(format!(
                "Parameter {name} specified multiple times"
            )));
        }
        values[index] = value;
        last = last.max(index + 1);
    }
    values.truncate(last);
    Ok(values)
}

fn fits(kind: Kind, value: &Value) -> bool {
    match kind {
        Kind::Text => value.is_string(),
        Kind::Number => value.is_number(),
        Kind::Bool => value.is_boolean(),
        Kind::Array => value.is_array(),
        Kind::Object => value.is_object(),
        Kind::Any => true,
    }
}

fn not_of_type(value: &Value, wanted: Kind) -> String {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    format!(
        "JSON value of type {found} is not of expected type {}",
        wanted.word()
    )
}

/// A hash in the usual (reversed) hex form. `name` is what the error calls it.
pub fn hash_from<H: Hash + FromStr>(text: &str, name: &str) -> Result<H, Failure> {
    if text.len() != 64 {
        return Err(Failure::invalid(format!(
            "{name} must be of length 64 (not {}, for '{}')",
            text.len(),
            shortened(text)
        )));
    }
    H::from_str(text)
        .map_err(|_| Failure::invalid(format!("{name} must be hexadecimal string (not '{text}')")))
}

/// An address of the kind that this network uses.
pub fn address_from(text: &str) -> Result<Address, Failure> {
    parse_address(text).map_err(|error| {
        let shown = shortened(text);
        Failure::not_found(match error {
            AddressError::Malformed(_) => format!("Invalid address: {shown}"),
            AddressError::OtherNetwork => format!(
                "Invalid address: {shown} is of another network; addresses here begin with bcrt1"
            ),
        })
    })
}

/// A consensus-encoded thing in hex, whole. `problem` is what the error says.
pub fn decoded<T: Decodable>(hex: &str, problem: &str) -> Result<T, Failure> {
    // A block is some 400,000 digits, and peers hear of it only when they are read.
    let bytes = HEXLOWER_PERMISSIVE
        .decode(hex.as_bytes())
        .map_err(|_| Failure::undecodable(problem))?;
    bitcoin::consensus::deserialize(&bytes).map_err(|_| Failure::undecodable(problem))
}

/// At most the first 100 characters, so that an error does not repeat a megabyte.
fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use bitcoin::BlockHash;
    use serde_json::json;

    use super::super::table;
    use super::*;

    fn args(name: &str, params: Value) -> Result<Args, Failure> {
        Args::new(table::find(name).expect("a call").description(), params)
    }

    #[test]
    fn named_and_positional_parameters_come_to_the_same() {
        let hash = "11".repeat(32);
        for params in [
            json!([hash, 2]),
            json!({"blockhash": hash, "verbosity": 2}),
            json!({"verbosity": 2, "args": [hash]}),
        ] {
            let args = args("getblock", params).expect("valid");
            assert_eq!(args.text(0), Ok(hash.as_str()));
            assert_eq!(args.verbosity(1, 1), Ok(2));
        }
    }

    #[test]
    fn wrong_parameters_get_bitcoin_cores_codes() {
        for (params, code, part) in [
            (json!([]), -1, "getblockhash height"),
            (json!([null]), -1, "getblockhash height"),
            (json!([1, 2]), -1, "Arguments:"),
            (json!(["1"]), -3, "Position 1 (height)"),
            (json!({"depth": 1}), -8, "Unknown named parameter depth"),
            (json!({"height": 1, "args": [1]}), -8, "specified twice"),
        ] {
            let failure = args("getblockhash", params.clone()).err().expect("refused");
            assert_eq!(failure.code, code, "{params}");
            assert!(
                failure.message.contains(part),
                "{params}: {}",
                failure.message
            );
        }
        let huge = args("getblockhash", json!([1e300])).expect("a number");
        assert_eq!(huge.int(0).expect_err("too large").code, -1);
    }

    #[test]
    fn hashes_and_addresses_are_checked() {
        let short = hash_from::<BlockHash>("abc", "blockhash").expect_err("short");
        assert_eq!(
            short.message,
            "blockhash must be of length 64 (not 3, for 'abc')"
        );
        assert!(hash_from::<BlockHash>(&"zz".repeat(32), "blockhash").is_err());
        assert_eq!(address_from("x").expect_err("wrong").code, -5);
        let mainnet = address_from("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4");
        assert!(
            mainnet
                .expect_err("wrong")
                .message
                .contains("another network")
        );
    }
}
