//! Lines in the device's log, under the plugin's name and version.
//!
//! ```
//! # use hotshoe_guest::testing::Device;
//! # Device::new().within(|| {
//! let slot = "b";
//! hotshoe_guest::info!("the image is staged"; slot, bytes = 4096);
//! hotshoe_guest::warn!("slot {slot} is small");
//! # });
//! ```

use crate::host;

pub use crate::bindings::hotshoe::plugin::log::Level;

/// Writes a line with fields. Over 4 KiB it is cut; over the plugin's rate it is counted and dropped. The
/// macros [`debug!`](crate::debug), [`info!`](crate::info), [`warn!`](crate::warn) and
/// [`error!`](crate::error) are shorter.
pub fn write(level: Level, message: &str, fields: &[(String, String)]) {
    host::log::write(level, message, fields);
}

/// Writes a line at a level: a format string and its arguments, then `;` and fields, `name` or `name = value`.
#[macro_export]
macro_rules! log_line {
    ($level:expr, $format:literal $(, $argument:expr)* $(; $($name:ident $(= $value:expr)?),+ $(,)?)?) => {
        $crate::log::write(
            $level,
            &::std::format!($format $(, $argument)*),
            &[$($((::std::stringify!($name).to_owned(), $crate::log_value!($name $(, $value)?))),+)?],
        )
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! log_value {
    ($name:ident) => {
        ::std::string::ToString::to_string(&$name)
    };
    ($name:ident, $value:expr) => {
        ::std::string::ToString::to_string(&$value)
    };
}

/// A line for the plugin's author.
#[macro_export]
macro_rules! debug {
    ($($line:tt)+) => { $crate::log_line!($crate::log::Level::Debug, $($line)+) };
}

/// A line that a reader expects to see once per step.
#[macro_export]
macro_rules! info {
    ($($line:tt)+) => { $crate::log_line!($crate::log::Level::Info, $($line)+) };
}

/// A line about something odd that the plugin lives with.
#[macro_export]
macro_rules! warn {
    ($($line:tt)+) => { $crate::log_line!($crate::log::Level::Warn, $($line)+) };
}

/// A line about something that failed.
#[macro_export]
macro_rules! error {
    ($($line:tt)+) => { $crate::log_line!($crate::log::Level::Error, $($line)+) };
}
