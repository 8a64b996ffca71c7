//! The witness over gRPC takes the same decisions as over HTTP.

use crate::common::running::{Home, cosigned};
use crate::common::{History, ORIGIN, log_key, signed};
use candor_core::Hash;
use candor_core::note::AddCheckpoint;
use candor_proto::hashes_to_wire;
use candor_proto::v1::add_checkpoint_response::Outcome;
use candor_proto::v1::witness_client::WitnessClient;
use candor_proto::v1::{AddCheckpointRequest, GetCheckpointRequest};
use tonic::Code;

const HONEST: History = History::honest();

fn message(request: &AddCheckpoint) -> AddCheckpointRequest {
    AddCheckpointRequest {
        old_size: request.old_size,
        consistency: hashes_to_wire(&request.proof),
        checkpoint: request.note.to_bytes().into(),
    }
}

#[tokio::test]
async fn checkpoints_are_cosigned_refused_and_served() {
    let home = Home::new("", "");
    let witness = home.start().await;
    let mut client = WitnessClient::connect(witness.grpc.clone()).await.unwrap();
    let of = |origin: &str| GetCheckpointRequest {
        origin: origin.to_owned(),
    };
    assert_eq!(
        client.get_checkpoint(of(ORIGIN)).await.unwrap_err().code(),
        Code::NotFound
    );

    let request = HONEST.request(0, 5);
    let answer = client
        .add_checkpoint(message(&request))
        .await
        .unwrap()
        .into_inner();
    let Some(Outcome::Signatures(lines)) = answer.outcome else {
        panic!("{answer:?}")
    };
    let note = cosigned(&request, &lines);
    home.policy(&[0, 1]).verify_checkpoint(&note).unwrap();
    let served = client
        .get_checkpoint(of(ORIGIN))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(served.checkpoint, note.to_bytes());

    let answer = client
        .add_checkpoint(message(&request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.outcome, Some(Outcome::ConflictSize(5)));

    let unknown = signed(log_key(1), "other.example", 9, Hash::ZERO);
    let stranger = signed(log_key(2), ORIGIN, 9, HONEST.root(9));
    let honest = HONEST.request(5, 9);
    for (request, code) in [
        (
            AddCheckpoint {
                note: unknown,
                ..honest.clone()
            },
            Code::NotFound,
        ),
        (
            AddCheckpoint {
                note: stranger,
                ..honest.clone()
            },
            Code::PermissionDenied,
        ),
        (
            AddCheckpoint {
                old_size: 10,
                ..honest.clone()
            },
            Code::InvalidArgument,
        ),
        (
            AddCheckpoint {
                proof: vec![],
                ..honest.clone()
            },
            Code::FailedPrecondition,
        ),
    ] {
        let error = client.add_checkpoint(message(&request)).await.unwrap_err();
        assert_eq!(error.code(), code, "{error:?}");
    }
    for malformed in [
        AddCheckpointRequest::default(),
        AddCheckpointRequest {
            old_size: u64::MAX,
            ..message(&honest)
        },
        AddCheckpointRequest {
            consistency: vec![vec![0; 31].into()],
            ..message(&honest)
        },
        AddCheckpointRequest {
            consistency: hashes_to_wire(&[Hash::ZERO; 64]),
            ..message(&honest)
        },
        AddCheckpointRequest {
            checkpoint: vec![0xff; 200].into(),
            ..message(&honest)
        },
    ] {
        let error = client.add_checkpoint(malformed).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error:?}");
    }
    let oversize = AddCheckpointRequest {
        checkpoint: vec![b'a'; 1 << 20].into(),
        ..message(&honest)
    };
    assert!(client.add_checkpoint(oversize).await.is_err());
    assert!(client.add_checkpoint(message(&honest)).await.is_ok());
    witness.stop().await;
}
