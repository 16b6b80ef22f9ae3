//! JSON whose objects have each key once, in the order that it was written: what is paid to an address twice is no matter of taste.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why a text is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// It is no JSON.
    NotJson,
    /// An object has this key twice.
    Repeated(String),
}

/// Reads one value, which is all there is.
pub(super) fn from_slice(text: &[u8]) -> Result<Value, Problem> {
    let repeated = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let read = Strict(&repeated)
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    read.map_err(|_| match repeated.take() {
        Some(key) => Problem::Repeated(key),
        None => Problem::NotJson,
    })
}

/// Reads a value and notes the key that an object has twice.
#[derive(Clone, Copy)]
struct Strict<'a>(&'a RefCell<Option<String>>);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(key) = object.next_key::<String>()? {
            if values.contains_key(&key) {
                self.0.replace(Some(key));
                return Err(A::Error::custom("a repeated key"));
            }
            let value = object.next_value_seed(self)?;
            values.insert(key, value);
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_read_as_ever_in_the_order_of_their_keys() {
        let text = r#"{"b": [1, -2, 0.5, 1e3, true, null, "x\n"], "a": {"z": {}, "y": []}}"#;
        let read = from_slice(text.as_bytes()).expect("JSON");
        assert_eq!(
            read,
            json!({"b": [1, -2, 0.5, 1000.0, true, null, "x\n"], "a": {"z": {}, "y": []}})
        );
        let keys: Vec<&String> = read.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["b", "a"]);
    }

    #[test]
    fn a_key_that_comes_twice_is_named_and_other_texts_are_no_json() {
        for text in [r#"{"a": 1, "a": 2}"#, r#"[{"b": {"a": 1, "a": 1}}]"#] {
            assert_eq!(
                from_slice(text.as_bytes()),
                Err(Problem::Repeated("a".to_owned()))
            );
        }
        for text in ["", "{", "[1,]", "1 2", "{\"a\": 1} x", "NaN", "{1: 2}"] {
            assert_eq!(from_slice(text.as_bytes()), Err(Problem::NotJson), "{text}");
        }
    }
}
