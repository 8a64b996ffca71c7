//! The form of a vector document, for writing and for reading.

use core::fmt::Debug;

use serde_json::{Value, json};

/// A document before it is written.
pub struct Document {
    /// What is tested, and what the fields mean.
    pub description: &'static str,
    /// Specifications, and where the known answers come from.
    pub source: &'static str,
    /// From [`reject`] and [`accept`], the former first.
    pub cases: Vec<Value>,
}

impl Document {
    /// Pretty-printed JSON that ends in a newline.
    pub fn to_json(&self) -> String {
        let document = json!({
            "description": self.description,
            "source": self.source,
            "cases": self.cases,
        });
        serde_json::to_string_pretty(&document).unwrap() + "\n"
    }
}

/// A case that must be refused, and why.
pub fn reject(name: &str, operation: &str, inputs: Value, reason: &str) -> Value {
    with_expectation(
        name,
        operation,
        inputs,
        json!({ "expect": "reject", "reason": reason }),
    )
}

/// A case with outputs. An empty object means: accepted, and there is nothing to compare.
pub fn accept(name: &str, operation: &str, inputs: Value, outputs: Value) -> Value {
    with_expectation(name, operation, inputs, json!({ "expect": outputs }))
}

fn with_expectation(name: &str, operation: &str, inputs: Value, expectation: Value) -> Value {
    let mut case = json!({ "name": name, "operation": operation });
    for part in [inputs, expectation] {
        let Value::Object(fields) = part else {
            panic!("{name}: {part} is no object")
        };
        case.as_object_mut().unwrap().extend(fields);
    }
    case
}

/// A case as it was read; every failure names it.
pub struct Case<'a> {
    label: String,
    value: &'a Value,
}

impl<'a> Case<'a> {
    /// A case of the document `document`.
    pub fn new(document: &str, value: &'a Value) -> Self {
        Self {
            label: format!("{document}: {}", value["name"]),
            value,
        }
    }

    /// What the case tries.
    pub fn operation(&self) -> &'a str {
        self.string(&self.value["operation"], "operation")
    }

    /// An input of bytes.
    pub fn bytes(&self, field: &str) -> Vec<u8> {
        let text = self.string(&self.value[field], field);
        hex::decode(text).unwrap_or_else(|error| panic!("{}: {field}: {error}", self.label))
    }

    /// An input of exactly `N` bytes.
    pub fn array<const N: usize>(&self, field: &str) -> [u8; N] {
        let bytes = self.bytes(field);
        bytes
            .try_into()
            .unwrap_or_else(|_| panic!("{}: {field} has another length", self.label))
    }

    /// An input of several byte strings.
    pub fn list(&self, field: &str) -> Vec<Vec<u8>> {
        let texts = self.value[field].as_array();
        let texts = texts.unwrap_or_else(|| panic!("{}: {field} is no list", self.label));
        texts
            .iter()
            .map(|text| hex::decode(self.string(text, field)).unwrap())
            .collect()
    }

    /// An input that is a number.
    pub fn number<T: TryFrom<u64, Error: Debug>>(&self, field: &str) -> T {
        let number = self.value[field]
            .as_u64()
            .and_then(|number| T::try_from(number).ok());
        number.unwrap_or_else(|| panic!("{}: {field} is no such number", self.label))
    }

    /// Whether the case must be refused.
    pub fn is_rejected(&self) -> bool {
        self.value["expect"] == "reject"
    }

    /// Compares what an operation gave, as outputs in the form in which [`accept`] took them, with
    /// what the case expects.
    pub fn assert_result<E: Debug>(&self, result: Result<Value, E>) {
        match (self.is_rejected(), result) {
            (true, Ok(outputs)) => panic!("{}: accepted with {outputs}", self.label),
            (true, Err(_)) => {}
            (false, Ok(outputs)) => assert_eq!(outputs, self.value["expect"], "{}", self.label),
            (false, Err(error)) => panic!("{}: refused: {error:?}", self.label),
        }
    }

    /// Fails: the module knows no such operation.
    pub fn unknown_operation(&self) -> ! {
        panic!("{}: unknown operation {}", self.label, self.operation())
    }

    fn string(&self, value: &'a Value, field: &str) -> &'a str {
        value
            .as_str()
            .unwrap_or_else(|| panic!("{}: {field} is no string", self.label))
    }
}
