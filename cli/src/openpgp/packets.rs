//! The framing of a keyring: packets, gathered into certificates.
//!
//! Packet bodies stay as they are in the file: what a packet means is judged certificate by
//! certificate, so one that makes no sense harms no other. Only the bodies that a certificate needs
//! are kept, up to a limit; the rest is passed over without being held.

use std::io::{self, BufRead, Read as _};

use pgp::packet::PacketHeader;
use pgp::types::{PacketLength, Tag};

use super::KeyringError;

/// A packet as the file holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct RawPacket {
    /// Kind and length.
    pub header: PacketHeader,
    /// What follows the header; empty for kinds that nothing here reads.
    pub body: Vec<u8>,
}

impl RawPacket {
    /// The kind of packet.
    pub fn tag(&self) -> Tag {
        self.header.tag()
    }
}

/// The packets of one certificate, the primary key first.
#[derive(Clone, PartialEq, Eq)]
pub struct RawCertificate {
    /// The packets in the order of the file.
    pub packets: Vec<RawPacket>,
    /// Bodies were dropped because the certificate is larger than [`CERTIFICATE_BYTES_MAX`].
    pub oversize: bool,
}

/// Iterates over the certificates of a binary keyring. It ends after its first error.
pub struct Certificates<R> {
    input: R,
    next_primary: Option<RawPacket>,
    count: u64,
    done: bool,
}

impl<R: BufRead> Certificates<R> {
    /// Starts at the front of `input`.
    pub const fn new(input: R) -> Self {
        Self {
            input,
            next_primary: None,
            count: 0,
            done: false,
        }
    }

    fn read_certificate(&mut self) -> Result<Option<RawCertificate>, KeyringError> {
        let primary = match self.next_primary.take() {
            Some(packet) => packet,
            None => match self.read_packet(CERTIFICATE_BYTES_MAX)? {
                None => return Ok(None),
                Some(packet) if packet.tag() == Tag::PublicKey => packet,
                Some(_) => return Err(KeyringError::NotPublicKeys),
            },
        };
        let mut room = CERTIFICATE_BYTES_MAX - primary.body.len();
        let mut certificate = RawCertificate {
            packets: vec![primary],
            oversize: false,
        };
        while let Some(packet) = self.read_packet(room)? {
            match packet.tag() {
                Tag::PublicKey => {
                    self.next_primary = Some(packet);
                    break;
                }
                Tag::SecretKey | Tag::SecretSubkey => return Err(KeyringError::NotPublicKeys),
                tag if !is_needed(tag) => {}
                _ if certificate.oversize || packet_bytes(&packet) > room => {
                    certificate.oversize = true;
                }
                _ => {
                    room -= packet_bytes(&packet);
                    certificate.packets.push(packet);
                }
            }
        }
        self.count += 1;
        Ok(Some(certificate))
    }

    /// Reads a packet. Its body is passed over if it is not needed or is longer than `room`; a
    /// primary key always has the room of a certificate of its own.
    fn read_packet(&mut self, room: usize) -> Result<Option<RawPacket>, KeyringError> {
        if self.input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let broken = KeyringError::Framing {
            certificates: self.count,
        };
        let header = match PacketHeader::try_from_reader(&mut self.input) {
            Ok(header) => header,
            Err(error) if is_framing(&error) => return Err(broken),
            Err(error) => return Err(error.into()),
        };
        let PacketLength::Fixed(length) = header.packet_length() else {
            return Err(broken);
        };
        let room = if header.tag() == Tag::PublicKey {
            CERTIFICATE_BYTES_MAX
        } else {
            room
        };
        let mut body = Vec::new();
        let mut rest = self.input.by_ref().take(u64::from(length));
        let fits = usize::try_from(length).is_ok_and(|length| length <= room);
        let read = if fits && has_needed_body(header.tag()) {
            rest.read_to_end(&mut body)? as u64
        } else {
            io::copy(&mut rest, &mut io::sink())?
        };
        if read < u64::from(length) {
            return Err(broken);
        }
        Ok(Some(RawPacket { header, body }))
    }
}

impl<R: BufRead> Iterator for Certificates<R> {
    type Item = Result<RawCertificate, KeyringError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.read_certificate().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

/// What the packet takes of a certificate's room; the header counts, so that many empty packets
/// are bounded too.
fn packet_bytes(packet: &RawPacket) -> usize {
    let body = match packet.header.packet_length() {
        PacketLength::Fixed(length) if has_needed_body(packet.tag()) => {
            usize::try_from(length).unwrap_or(usize::MAX)
        }
        _ => 0,
    };
    body.saturating_add(size_of::<RawPacket>())
}

/// A user attribute, usually a photo, tells that the signatures after it are not of a user id.
const fn is_needed(tag: Tag) -> bool {
    has_needed_body(tag) || matches!(tag, Tag::UserAttribute)
}

const fn has_needed_body(tag: Tag) -> bool {
    matches!(
        tag,
        Tag::PublicKey | Tag::PublicSubkey | Tag::UserId | Tag::Signature
    )
}

fn is_framing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof
    )
}

/// Most bytes of one certificate that are held: twenty times the largest of Debian's keyring of
/// 2022, which has 362 KB, nearly all of it signatures by other people.
pub const CERTIFICATE_BYTES_MAX: usize = 8 << 20;
