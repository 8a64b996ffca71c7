//! A tonic server whose calls do nothing: the measure.

use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::process::{Child as Process, Command, Stdio};

use candor_proto::Bytes;
use candor_proto::v1::directory_server::{Directory, DirectoryServer};
use candor_proto::v1::{LookupBatchRequest, LookupBatchResponse, LookupRequest, LookupResponse};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// Answers at once, with bytes that are there already.
struct Empty(Bytes);

#[tonic::async_trait]
impl Directory for Empty {
    async fn lookup(
        &self,
        _request: Request<LookupRequest>,
    ) -> Result<Response<LookupResponse>, Status> {
        Ok(Response::new(LookupResponse {
            account: self.0.clone(),
            ..LookupResponse::default()
        }))
    }

    async fn lookup_batch(
        &self,
        _request: Request<LookupBatchRequest>,
    ) -> Result<Response<LookupBatchResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }
}

/// Serves until it is killed, and prints where.
pub async fn serve(bytes: usize) {
    let incoming = TcpIncoming::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    println!("http://{}", incoming.local_addr().unwrap());
    Server::builder()
        .add_service(DirectoryServer::new(Empty(vec![7; bytes].into())))
        .serve_with_incoming(incoming.with_nodelay(Some(true)))
        .await
        .unwrap();
}

/// Such a server in a process of its own.
pub struct Child {
    process: Process,
    pub endpoint: String,
}

impl Child {
    pub fn start(bytes: usize) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--empty", &bytes.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut endpoint = String::new();
        let output = process.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut endpoint).unwrap();
        Self {
            process,
            endpoint: endpoint.trim().to_owned(),
        }
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}
