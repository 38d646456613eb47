//! The functions of conditions: IoT Hub's `IS_DEFINED`, the other checks of types, and the cheap ones over texts.

use std::borrow::Cow;

use serde_json::Value;

/// A function; all give nothing for arguments that they are not made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    IsDefined,
    IsNull,
    IsBool,
    IsNumber,
    IsString,
    IsArray,
    IsObject,
    StartsWith,
    EndsWith,
    Contains,
    Lower,
    Upper,
    Length,
}

const TABLE: [(&str, Function); 13] = [
    ("IS_DEFINED", Function::IsDefined),
    ("IS_NULL", Function::IsNull),
    ("IS_BOOL", Function::IsBool),
    ("IS_NUMBER", Function::IsNumber),
    ("IS_STRING", Function::IsString),
    ("IS_ARRAY", Function::IsArray),
    ("IS_OBJECT", Function::IsObject),
    ("STARTS_WITH", Function::StartsWith),
    ("ENDS_WITH", Function::EndsWith),
    ("CONTAINS", Function::Contains),
    ("LOWER", Function::Lower),
    ("UPPER", Function::Upper),
    ("LENGTH", Function::Length),
];

impl Function {
    /// The names, for the text of an error.
    pub(super) const NAMES: [&'static str; 13] = {
        let mut names = [""; 13];
        let mut next = 0;
        while next < TABLE.len() {
            #[allow(clippy::indexing_slicing, reason = "evaluated while compiling")]
            {
                names[next] = TABLE[next].0;
            }
            next += 1;
        }
        names
    };

    /// In any case; `STARTSWITH` and `ENDSWITH` are written so too.
    pub(super) fn named(name: &str) -> Option<Self> {
        let same = |known: &str| {
            known.eq_ignore_ascii_case(name) || known.replace("S_W", "SW").eq_ignore_ascii_case(name)
        };
        TABLE.iter().find(|(known, _)| same(known)).map(|(_, function)| *function)
    }

    pub(super) fn arguments(self) -> usize {
        match self {
            Self::StartsWith | Self::EndsWith | Self::Contains => 2,
            _ => 1,
        }
    }

    /// `None` is *undefined*, in and out.
    pub(super) fn call<'a>(self, arguments: &[Option<Cow<'a, Value>>]) -> Option<Cow<'a, Value>> {
        let argument = |number: usize| arguments.get(number).and_then(|argument| argument.as_deref());
        if self == Self::IsDefined {
            return Some(Cow::Owned(argument(0).is_some().into()));
        }
        let first = argument(0)?;
        let text = |value: Option<&'_ Value>| value.and_then(Value::as_str).map(str::to_owned);
        let given: Value = match self {
            Self::IsDefined => true.into(),
            Self::IsNull => first.is_null().into(),
            Self::IsBool => first.is_boolean().into(),
            Self::IsNumber => first.is_number().into(),
            Self::IsString => first.is_string().into(),
            Self::IsArray => first.is_array().into(),
            Self::IsObject => first.is_object().into(),
            Self::StartsWith => first.as_str()?.starts_with(argument(1)?.as_str()?).into(),
            Self::EndsWith => first.as_str()?.ends_with(argument(1)?.as_str()?).into(),
            Self::Contains => first.as_str()?.contains(argument(1)?.as_str()?).into(),
            Self::Lower => text(Some(first))?.to_lowercase().into(),
            Self::Upper => text(Some(first))?.to_uppercase().into(),
            Self::Length => first.as_str()?.chars().count().into(),
        };
        Some(Cow::Owned(given))
    }
}
