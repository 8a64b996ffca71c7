#![allow(clippy::unwrap_used)]

use candor_core::account::{DeviceKey, Label};
use candor_sdk::device::{AlertKind, Trouble};

use super::*;

const BOB: &str = "acct:bob";

fn alert(kind: AlertKind, changes: Vec<DeviceChange>) -> Alert {
    let subject = match kind.code().split_once('-').unwrap().0 {
        "own" => Subject::Own,
        "contact" => Subject::Contact(Label::normalize(BOB).unwrap()),
        _ => Subject::Log,
    };
    Alert {
        subject,
        kind,
        since_s: 0,
        cause: 0,
        changes,
        evidence: None,
        is_acknowledged: false,
    }
}

fn change(what: DeviceDifference, name: &str) -> DeviceChange {
    DeviceChange {
        what,
        name: name.to_owned(),
        platform: "ios".to_owned(),
    }
}

/// As a terminal without colours shows it.
fn plain(text: impl fmt::Display) -> String {
    anstream::adapter::strip_str(&text.to_string()).to_string()
}

#[test]
fn an_alert_has_its_severity_in_words_and_a_picture_with_signs() {
    let changes = vec![
        change(DeviceDifference::OtherKeys, "phone"),
        change(DeviceDifference::Added, "tablet\u{202e}"),
        change(DeviceDifference::Removed, "laptop"),
    ];
    let view = AlertView::from(&alert(AlertKind::ContactCodeChanged, changes));
    let expected = "\
Danger: acct:bob's keys were replaced, and acct:bob's old keys did not agree.
  why        You may be talking to somebody else.
  do         Do not send anything private. Meet or call acct:bob, and compare codes again.
  since      1970-01-01 00:00:00 UTC
       before        now
    ~  phone (ios)   phone (ios), other keys
    +                tablet\\u{202e} (ios)
    -  laptop (ios)
";
    assert_eq!(plain(view), expected);
}

#[test]
fn every_alert_can_be_shown() {
    for kind in AlertKind::ALL {
        let text = plain(AlertView::from(&alert(*kind, Vec::new())));
        assert!(text.starts_with(kind.severity().word()), "{text}");
        assert!(!text.contains("{who}"), "{text}");
    }
}

#[test]
fn programs_read_an_alert_by_its_code() {
    let changes = vec![change(DeviceDifference::Added, "tablet")];
    let mut alert = alert(AlertKind::OwnUnexpectedVersion, changes);
    alert.evidence = Some(vec![1]);
    let json = serde_json::to_value(AlertView::from(&alert)).unwrap();
    assert_eq!(json["about"], "own");
    assert_eq!(json["code"], "own-unexpected-version");
    assert_eq!(json["severity"], "danger");
    assert_eq!(json["evidence"], true);
    assert_eq!(json["changes"][0]["what"], "added");
}

#[test]
fn a_level_says_what_was_not_verified() {
    let logged = |is_own_on, is_contact_on, is_signed| {
        let level = Level::LoggedOnly {
            is_own_on,
            is_contact_on,
            is_signed,
        };
        LevelView::new(BOB, level).text
    };
    assert!(logged(false, true, true).contains("off for you:"));
    assert!(logged(true, false, true).contains("off for acct:bob:"));
    let neither = logged(false, false, false);
    assert!(
        neither.contains("off for you and for acct:bob:"),
        "{neither}"
    );
    assert!(neither.contains("the service's word"), "{neither}");
    let lines = [Level::NoAccount, Level::Automatic, Level::Verified]
        .map(|level| plain(LevelView::new(BOB, level).line()));
    let begin = |line: &str, with: &str| assert!(line.starts_with(with), "{line}");
    begin(&lines[0], "! no-account: ");
    begin(&lines[1], "✓ automatic: ");
    begin(&lines[2], "✓✓ verified: ");
}

fn device(id: u8, key: u8) -> Device {
    Device {
        id: vec![id; 16],
        name: format!("phone {id}"),
        platform: String::new(),
        os_version: String::new(),
        capability: 1,
        added_ms: 0,
        expires_ms: 0,
        keys: vec![DeviceKey {
            purpose: "encrypt".to_owned(),
            public_key: vec![key; 32],
        }],
    }
}

fn offer(device: Device) -> OfferedDevice {
    OfferedDevice {
        id: device.id,
        keys: device.keys,
    }
}

#[test]
fn a_refusal_shows_its_alerts_alone_and_what_the_messenger_offers() {
    let alerts = [
        alert(AlertKind::ContactUnrecognisedDevice, Vec::new()),
        alert(AlertKind::ContactUnavailable, Vec::new()),
    ];
    let clearance = Clearance::No {
        alerts: vec![AlertKind::ContactUnrecognisedDevice],
        devices: vec![device(1, 1), device(2, 2)],
    };
    let offered = [
        offer(device(1, 1)),
        offer(device(2, 9)),
        offer(device(7, 7)),
    ];
    let view = ClearanceView::new(BOB, &clearance, &offered, &alerts);
    assert_eq!((view.cleared, view.exit), (Some(false), Exit::Withheld));
    let codes: Vec<_> = view.alerts.iter().map(|alert| alert.code).collect();
    assert_eq!(codes, ["contact-unrecognised-device"]);
    let mut text = String::new();
    view.write(&mut text).unwrap();
    let text = plain(text);
    assert!(text.contains("Do not send anything private."), "{text}");
    assert!(text.contains("~  phone 2  phone 2, other keys"), "{text}");
    assert!(text.contains("unknown device 07070707"), "{text}");
    assert!(!text.contains("phone 1"), "{text}");
}

#[test]
fn what_cannot_be_told_is_no_accusation() {
    let clearance = Clearance::Unknown(Trouble::Offline);
    let view = ClearanceView::new(BOB, &clearance, &[offer(device(7, 7))], &[]);
    assert_eq!((view.cleared, view.differences.len()), (None, 0));
    assert_eq!(view.exit, Exit::Temporary);
    let mut text = String::new();
    view.write(&mut text).unwrap();
    assert!(text.contains("cannot be reached"), "{text}");
}
