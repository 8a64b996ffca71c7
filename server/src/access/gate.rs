//! The gate before every gRPC call.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use candor_host::grpc;
use candor_host::listener::Peer;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use super::{Access, Caller, Role, Roles};
use crate::limits::Limiter;

/// How long a call may take to begin its answer, reading its request included. Updates wait to
/// become visible, for at most a minute; see `api/registrar.rs`.
const CALL_TIME: Duration = Duration::from_secs(15);
const UPDATE_TIME: Duration = Duration::from_secs(70);

/// A service behind the gate: each call carries the extension [`super::Caller`] from here on.
#[derive(Clone)]
pub struct Guarded<S> {
    service: S,
    access: Arc<Access>,
    limits: Limiter,
}

impl<S> Guarded<S> {
    /// Puts the gate before `service`.
    pub const fn new(service: S, access: Arc<Access>, limits: Limiter) -> Self {
        Self {
            service,
            access,
            limits,
        }
    }
}

impl<S> Service<Request> for Guarded<S>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send + 'static>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let time = match pass(&self.access, &self.limits, &mut request) {
            Ok(time) => time,
            Err(denied) => {
                let answer = denied.into_http::<Body>().into_response();
                return ready(Ok(answer)).boxed();
            }
        };
        let answer = tokio::time::timeout(time, self.service.call(request));
        answer
            .map(|answer| answer.unwrap_or_else(|_| Ok(grpc::late())))
            .boxed()
    }
}

/// How long a call may take to begin its answer, or why it is refused.
fn pass(access: &Access, limits: &Limiter, request: &mut Request) -> Result<Duration, Status> {
    let peer = request.extensions().get::<Peer>();
    if access.has_to_verify(request.headers()) {
        // Signatures cost more than what most callers ask for, and wrong ones come for nothing.
        let stranger = Caller {
            name: None,
            network: peer.map(Peer::network),
            roles: Roles::default(),
        };
        limits.call(&limits.client(Some(&stranger)), Instant::now())?;
    }
    let role = role(request.uri().path());
    let caller = access.caller(peer, request.headers()).and_then(|caller| {
        role.map_or(Ok(()), |role| caller.may(role))?;
        Ok(caller)
    })?;
    request.extensions_mut().insert(caller);
    Ok(match role {
        Some(Role::Update) => UPDATE_TIME,
        _ => CALL_TIME,
    })
}

/// What a call needs. Health tells nothing; what is not known here is not served
/// either.
fn role(path: &str) -> Option<Role> {
    let service = path.strip_prefix("/candor.v1.")?;
    match service.split_once('/')?.0 {
        "Log" | "Directory" => Some(Role::Lookup),
        "Audit" => Some(Role::Audit),
        // A service that is added and forgotten here is as closed as the most precious one.
        _ => Some(Role::Update),
    }
}
