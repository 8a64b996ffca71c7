//! Makes a small keyring of a large one, for tests: some of its people, and of each only what an
//! import needs.
//!
//! ```text
//! minimise_keyring INPUT OUTPUT UNIX_TIME EVERY BYTES_MAX
//! ```
//!
//! Of every `EVERY`th person that an import at `UNIX_TIME` accepts, counted in the order of the
//! file, it keeps the primary key, the live user ids and subkeys, and of each the one signature
//! that decides. Signatures by others, photos, and what is revoked or expired are left out, and so
//! are people of whom more than `BYTES_MAX` bytes would remain. The packets stay as they are.

use std::collections::HashSet;
use std::error::Error;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};

use candor::openpgp::certificate::Certificate;
use candor::openpgp::packets::{Certificates, RawCertificate, RawPacket};
use candor::openpgp::{Report, read_keyring};
use pgp::packet::PacketHeader;
use pgp::ser::Serialize as _;
use pgp::types::KeyDetails as _;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, output, now_s, every, bytes_max] = &arguments[..] else {
        return Err("usage: minimise_keyring INPUT OUTPUT UNIX_TIME EVERY BYTES_MAX".into());
    };
    let (now_s, every, bytes_max) = (now_s.parse()?, every.parse()?, bytes_max.parse::<usize>()?);

    let mut people = Vec::new();
    let report = read_keyring(BufReader::new(File::open(input)?), now_s, |person| {
        people.push(person.fingerprint().to_vec());
    })?;
    eprintln!("{} of {:?}", people.len(), report.certificates);
    let chosen: HashSet<Vec<u8>> = people.into_iter().step_by(every).collect();

    let mut output = BufWriter::new(File::create(output)?);
    let (mut kept, mut kept_bytes) = (0_usize, 0_usize);
    for raw in Certificates::new(BufReader::new(File::open(input)?)) {
        let minimal = minimise(&raw?, now_s, &chosen)?;
        if let Some(bytes) = minimal.filter(|bytes| bytes.len() <= bytes_max) {
            output.write_all(&bytes)?;
            kept += 1;
            kept_bytes += bytes.len();
        }
    }
    output.flush()?;
    eprintln!("kept {kept} people in {kept_bytes} bytes");
    Ok(())
}

/// The bytes that remain of a certificate, if it is one of the chosen.
fn minimise(
    raw: &RawCertificate,
    now_s: u32,
    chosen: &HashSet<Vec<u8>>,
) -> Result<Option<Vec<u8>>, Box<dyn Error>> {
    let certificate = match Certificate::read(raw, now_s, &mut Report::default()) {
        Ok(certificate) => certificate,
        Err(_) => return Ok(None),
    };
    if !chosen.contains(certificate.primary.fingerprint().as_bytes()) {
        return Ok(None);
    }
    let mut packets = vec![certificate.primary_packet];
    packets.extend(certificate.direct.iter().map(|direct| direct.packet));
    packets.extend(
        certificate
            .user_ids
            .iter()
            .flat_map(|part| [part.packet, part.signature.packet]),
    );
    packets.extend(
        certificate
            .subkeys
            .iter()
            .flat_map(|part| [part.packet, part.signature.packet]),
    );
    let mut out = Vec::new();
    for RawPacket { header, body } in packets {
        PacketHeader::new_fixed(header.tag(), u32::try_from(body.len())?).to_writer(&mut out)?;
        out.extend_from_slice(body);
    }
    Ok(Some(out))
}
