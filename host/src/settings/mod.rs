//! The configuration of a program: one TOML file, environment variables over it, and what both are
//! told to operators, all from one structure.
//!
//! A program describes its keys once, in structures with `Deserialize`, `Serialize` and
//! `JsonSchema`: types, defaults and ranges are what is checked, and the comments of the fields are
//! the reference for operators. A new key is a new field.
//!
//! No key holds a secret. A key that leads to one has the type
//! [`SecretSource`](crate::keys::SecretSource), which forgets what is no source, or is the path of
//! a file. So there is nothing in the environment that other processes should not see, and
//! [`Settings::shown`] has nothing to hide but what people put into addresses.

mod environment;
mod findings;
mod key;
mod place;
mod reference;
mod show;

pub use self::environment::Environment;
pub use self::findings::Findings;
pub use self::key::{Key, Keys, Shape};
pub use self::place::{Place, SettingsError};
pub use self::reference::{reference, template_differences};
pub use self::show::Shown;

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize as _;
use serde::de::{DeserializeOwned, IntoDeserializer as _};
use toml::de::{DeTable, Deserializer};

use self::environment::Overlay;
use self::place::Sources;
use crate::durable;

/// A program that has a configuration.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name at a terminal.
    pub name: &'static str,
    /// What the names of its environment variables begin with. The variable `CONFIG` behind it is
    /// the path of the file, and no key.
    pub prefix: &'static str,
    /// Longest file in bytes.
    pub bytes_max: usize,
}

/// A configuration as file and environment have it, and where each key came from.
#[derive(Clone, Debug)]
pub struct Settings<T> {
    /// What file, environment and defaults say.
    pub value: T,
    /// Where each key came from that is not a default, by its path.
    sources: BTreeMap<String, Place>,
}

impl Program {
    /// Reads the file at `path`, and lays what `environment` has over it.
    ///
    /// # Errors
    ///
    /// [`SettingsError`]; the operator is at fault.
    pub fn read<T: DeserializeOwned + JsonSchema>(
        &self,
        path: &Path,
        environment: &Environment,
    ) -> Result<Settings<T>, SettingsError> {
        let bytes = durable::read_bounded(path, self.bytes_max)?;
        let text = str::from_utf8(&bytes).map_err(|_| SettingsError::NotText {
            path: path.to_owned(),
        })?;
        let keys = Keys::of::<T>(self.prefix);
        let overlay = Overlay::new(self, &keys, environment, text.len())?;
        let sources = Sources::new(path, text, &overlay);
        let mut table = DeTable::parse(text).map_err(|error| sources.told(&error, None))?;
        let variables =
            DeTable::parse(overlay.text()).map_err(|error| sources.told(&error, None))?;
        overlay.lay(variables, table.get_mut())?;

        let told = |error: toml::de::Error| sources.told(&error, Some(table.get_ref()));
        let value = T::deserialize(Deserializer::from(table.clone())).map_err(told)?;
        let plain = toml::Table::deserialize(table.clone().into_deserializer()).map_err(told)?;
        keys.check_ranges(&plain, |path| sources.of_key(table.get_ref(), path))?;
        let places = keys.iter().filter_map(|key| {
            let place = sources.of_key(table.get_ref(), &key.path)?;
            Some((key.path.clone(), place))
        });
        Ok(Settings {
            value,
            sources: places.collect(),
        })
    }
}

#[cfg(test)]
mod tests;
