//! The devices of an account, as its state lists them.
//!
//! ```text
//! struct {
//!   opaque  id<1..64>;
//!   opaque  name<0..64>;            /* UTF-8 without control characters */
//!   opaque  platform<0..32>;        /* as name */
//!   opaque  os_version<0..32>;      /* as name */
//!   uint16  capability;
//!   uint64  added_ms;
//!   uint64  expires_ms;             /* 0: never */
//!   DeviceKey keys<1..2^16-1>;      /* 1..16, purposes strictly ascending */
//! } Device;
//!
//! struct {
//!   opaque purpose<1..32>;          /* a-z, 0-9, hyphen */
//!   opaque public_key<1..4096>;
//! } DeviceKey;
//! ```

use core::fmt;

use crate::codec::{DecodeError, Reader, Writer as _};
use crate::limits::{
    DEVICE_ID_BYTES_MAX, DEVICE_KEY_BYTES_MAX, DEVICE_KEYS_MAX, DEVICE_NAME_BYTES_MAX,
    DEVICE_PLATFORM_BYTES_MAX, DEVICES_MAX, KEY_PURPOSE_BYTES_MAX,
};

/// A device and the keys that messages to it are encrypted to and its messages are checked with.
///
/// The limits of the fields hold wherever a device was decoded, and are checked when the state that
/// lists it is signed. `Debug` shows no field that could tell whose device it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Device {
    /// What the application knows the device by; opaque, 1 to 64 bytes.
    pub id: Vec<u8>,
    /// What people call it; at most 64 bytes, no control characters.
    pub name: String,
    /// Its platform, for example `ios`; at most 32 bytes.
    pub platform: String,
    /// The version of its system; at most 32 bytes.
    pub os_version: String,
    /// The level of features that its application has; the application defines the numbers.
    pub capability: u16,
    /// When it was added, in milliseconds since the Unix epoch.
    pub added_ms: u64,
    /// From when on its keys are not to be used, in milliseconds since the Unix epoch; 0 is never.
    pub expires_ms: u64,
    /// Its public keys: 1 to 16, strictly ascending by purpose.
    pub keys: Vec<DeviceKey>,
}

/// A public key of a device and what it is for.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceKey {
    /// What the application uses it for: 1 to 32 of `a-z`, `0-9` and `-`.
    pub purpose: String,
    /// The key in the encoding of its purpose, 1 to 4096 bytes.
    pub public_key: Vec<u8>,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device")
            .field("capability", &self.capability)
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceKey")
            .field("purpose", &self.purpose)
            .finish_non_exhaustive()
    }
}

impl Device {
    /// The encoding, once the limits are checked.
    fn encode(&self) -> Result<Vec<u8>, DecodeError> {
        self.check()?;
        let mut keys = Vec::new();
        for key in &self.keys {
            keys.opaque8(key.purpose.as_bytes());
            keys.opaque16(&key.public_key);
        }
        let mut out = Vec::new();
        out.opaque8(&self.id);
        out.opaque8(self.name.as_bytes());
        out.opaque8(self.platform.as_bytes());
        out.opaque8(self.os_version.as_bytes());
        out.extend_from_slice(&self.capability.to_be_bytes());
        out.extend_from_slice(&self.added_ms.to_be_bytes());
        out.extend_from_slice(&self.expires_ms.to_be_bytes());
        at_most(&keys, usize::from(u16::MAX), "device keys")?;
        out.opaque16(&keys);
        Ok(out)
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let device = Self {
            id: reader.opaque8(DEVICE_ID_BYTES_MAX, "device id")?.to_vec(),
            name: text(
                reader.opaque8(DEVICE_NAME_BYTES_MAX, "device name")?,
                "device name",
            )?,
            platform: text(
                reader.opaque8(DEVICE_PLATFORM_BYTES_MAX, "device platform")?,
                "device platform",
            )?,
            os_version: text(
                reader.opaque8(DEVICE_PLATFORM_BYTES_MAX, "device system version")?,
                "device system version",
            )?,
            capability: reader.u16("device capability")?,
            added_ms: reader.u64("device time added")?,
            expires_ms: reader.u64("device expiry")?,
            keys: decode_keys(reader)?,
        };
        device.check()?;
        Ok(device)
    }

    fn check(&self) -> Result<(), DecodeError> {
        at_least_one(&self.id, "device id")?;
        at_most(&self.id, DEVICE_ID_BYTES_MAX, "device id")?;
        for (text, limit, field) in [
            (&self.name, DEVICE_NAME_BYTES_MAX, "device name"),
            (&self.platform, DEVICE_PLATFORM_BYTES_MAX, "device platform"),
            (
                &self.os_version,
                DEVICE_PLATFORM_BYTES_MAX,
                "device system version",
            ),
        ] {
            at_most(text.as_bytes(), limit, field)?;
            if text.chars().any(char::is_control) {
                return Err(DecodeError::Invalid { field });
            }
        }
        at_least_one(&self.keys, "device keys")?;
        at_most(&self.keys, DEVICE_KEYS_MAX, "device keys")?;
        self.keys.iter().try_for_each(DeviceKey::check)?;
        strictly_ascending(&self.keys, |key| key.purpose.as_bytes(), "device keys")
    }
}

impl DeviceKey {
    fn check(&self) -> Result<(), DecodeError> {
        at_least_one(self.purpose.as_bytes(), "key purpose")?;
        at_most(
            self.purpose.as_bytes(),
            KEY_PURPOSE_BYTES_MAX,
            "key purpose",
        )?;
        if !self
            .purpose
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        {
            return Err(DecodeError::Invalid {
                field: "key purpose",
            });
        }
        at_least_one(&self.public_key, "public key")?;
        at_most(&self.public_key, DEVICE_KEY_BYTES_MAX, "public key")
    }
}

/// Encodes the contents of `Device devices<0..2^16-1>`, once the limits are checked.
pub(super) fn encode_devices(devices: &[Device]) -> Result<Vec<u8>, DecodeError> {
    at_most(devices, DEVICES_MAX, "devices")?;
    let mut out = Vec::new();
    for device in devices {
        out.extend_from_slice(&device.encode()?);
    }
    at_most(&out, usize::from(u16::MAX), "devices")?;
    strictly_ascending(devices, |device| &device.id, "devices")?;
    Ok(out)
}

/// Decodes `Device devices<0..2^16-1>`.
pub(super) fn decode_devices(reader: &mut Reader<'_>) -> Result<Vec<Device>, DecodeError> {
    let mut inner = Reader::new(reader.opaque16(usize::from(u16::MAX), "devices")?);
    let mut devices = Vec::new();
    while inner.remaining() > 0 {
        if devices.len() == DEVICES_MAX {
            return Err(DecodeError::TooLarge {
                field: "devices",
                limit: DEVICES_MAX,
            });
        }
        devices.push(Device::decode(&mut inner)?);
    }
    strictly_ascending(&devices, |device| &device.id, "devices")?;
    Ok(devices)
}

fn decode_keys(reader: &mut Reader<'_>) -> Result<Vec<DeviceKey>, DecodeError> {
    let mut inner = Reader::new(reader.opaque16(usize::from(u16::MAX), "device keys")?);
    let mut keys = Vec::new();
    while inner.remaining() > 0 {
        if keys.len() == DEVICE_KEYS_MAX {
            return Err(DecodeError::TooLarge {
                field: "device keys",
                limit: DEVICE_KEYS_MAX,
            });
        }
        keys.push(DeviceKey {
            purpose: text(
                inner.opaque8(KEY_PURPOSE_BYTES_MAX, "key purpose")?,
                "key purpose",
            )?,
            public_key: inner.opaque16(DEVICE_KEY_BYTES_MAX, "public key")?.to_vec(),
        });
    }
    Ok(keys)
}

fn text(bytes: &[u8], field: &'static str) -> Result<String, DecodeError> {
    str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| DecodeError::Invalid { field })
}

fn at_least_one<T>(items: &[T], field: &'static str) -> Result<(), DecodeError> {
    if items.is_empty() {
        Err(DecodeError::Invalid { field })
    } else {
        Ok(())
    }
}

fn at_most<T>(items: &[T], limit: usize, field: &'static str) -> Result<(), DecodeError> {
    if items.len() > limit {
        Err(DecodeError::TooLarge { field, limit })
    } else {
        Ok(())
    }
}

fn strictly_ascending<T>(
    items: &[T],
    key: impl Fn(&T) -> &[u8],
    field: &'static str,
) -> Result<(), DecodeError> {
    let ascending = items.windows(2).all(|pair| key(&pair[0]) < key(&pair[1]));
    if ascending {
        Ok(())
    } else {
        Err(DecodeError::Invalid { field })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn device(id: u8) -> Device {
        Device {
            id: vec![id],
            name: "phone".to_owned(),
            platform: "ios".to_owned(),
            os_version: "17.2".to_owned(),
            capability: 1,
            added_ms: 2,
            expires_ms: 3,
            keys: vec![key("encrypt"), key("sign")],
        }
    }

    fn key(purpose: &str) -> DeviceKey {
        DeviceKey {
            purpose: purpose.to_owned(),
            public_key: vec![7; 32],
        }
    }

    /// Encodes without any check, as a sender with bad intent would.
    fn encode_unchecked(devices: &[Device]) -> Vec<u8> {
        let mut all = Vec::new();
        for device in devices {
            let mut keys = Vec::new();
            for key in &device.keys {
                keys.opaque8(key.purpose.as_bytes());
                keys.opaque16(&key.public_key);
            }
            all.opaque8(&device.id);
            all.opaque8(device.name.as_bytes());
            all.opaque8(device.platform.as_bytes());
            all.opaque8(device.os_version.as_bytes());
            all.extend_from_slice(&device.capability.to_be_bytes());
            all.extend_from_slice(&device.added_ms.to_be_bytes());
            all.extend_from_slice(&device.expires_ms.to_be_bytes());
            all.opaque16(&keys);
        }
        let mut out = Vec::new();
        out.opaque16(&all);
        out
    }

    #[test]
    fn what_breaks_a_limit_is_neither_encoded_nor_decoded() {
        type Break = fn(&mut Device);
        let broken: [(&str, Break); 13] = [
            ("device id", |d| d.id = Vec::new()),
            ("device id", |d| d.id = vec![0; 65]),
            ("device name", |d| d.name = "x".repeat(65)),
            ("device name", |d| d.name = "a\nb".to_owned()),
            ("device platform", |d| d.platform = "x".repeat(33)),
            ("device system version", |d| {
                d.os_version = "\u{9f}".to_owned()
            }),
            ("device keys", |d| d.keys.clear()),
            ("device keys", |d| {
                d.keys = (0..17).map(|i| key(&format!("k{i:02}"))).collect()
            }),
            ("device keys", |d| {
                d.keys = vec![key("sign"), key("encrypt")]
            }),
            ("device keys", |d| d.keys = vec![key("sign"), key("sign")]),
            ("key purpose", |d| d.keys[0].purpose = String::new()),
            ("key purpose", |d| d.keys[0].purpose = "Encrypt".to_owned()),
            ("public key", |d| d.keys[0].public_key = vec![0; 4097]),
        ];
        for (field, break_it) in broken {
            let mut devices = [device(1), device(2)];
            break_it(&mut devices[1]);
            let error = encode_devices(&devices).unwrap_err();
            assert!(error.to_string().contains(field), "{field}: {error}");
            let bytes = encode_unchecked(&devices);
            assert_eq!(
                decode_devices(&mut Reader::new(&bytes)),
                Err(error),
                "{field}"
            );
        }
    }

    #[test]
    fn devices_are_in_order_unique_and_at_most_64() {
        let too_many: Vec<_> = (0..65).map(device).collect();
        for devices in [
            vec![device(2), device(1)],
            vec![device(1), device(1)],
            too_many,
        ] {
            let error = encode_devices(&devices).unwrap_err();
            let bytes = encode_unchecked(&devices);
            assert_eq!(decode_devices(&mut Reader::new(&bytes)), Err(error));
        }
    }

    #[test]
    fn text_that_is_not_utf8_is_refused() {
        let mut bytes = encode_unchecked(&[device(1)]);
        let name_at = bytes
            .windows(5)
            .position(|window| window == b"phone")
            .unwrap();
        bytes[name_at] = 0xff;
        assert_eq!(
            decode_devices(&mut Reader::new(&bytes)),
            Err(DecodeError::Invalid {
                field: "device name"
            })
        );
    }

    #[test]
    fn keys_that_fit_one_by_one_but_not_together_are_refused() {
        let mut devices = [device(1)];
        devices[0].keys = (0..16)
            .map(|i| DeviceKey {
                purpose: format!("k{i:02}"),
                public_key: vec![0; 4096],
            })
            .collect();
        assert_eq!(
            encode_devices(&devices),
            Err(DecodeError::TooLarge {
                field: "device keys",
                limit: 65535
            })
        );
    }

    #[test]
    fn debug_tells_nothing_of_the_person() {
        let shown = format!("{:?}", device(1));
        assert!(!shown.contains("phone") && !shown.contains('['), "{shown}");
    }
}
