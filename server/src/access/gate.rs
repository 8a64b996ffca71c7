//! The gate before every gRPC call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use candor_host::grpc;
use candor_host::listener::Peer;
use tonic::Status;
use tonic::body::Body;

use super::{Access, Caller, Role, Roles};
use crate::limits::Limiter;

/// How long a call may take to begin its answer, reading its request included. Updates wait to
/// become visible, for at most a minute; see `api/registrar.rs`.
const CALL_TIME: Duration = Duration::from_secs(15);
const UPDATE_TIME: Duration = Duration::from_secs(70);

/// Puts the gate before `routes`: each call carries the extension [`super::Caller`] from here on.
pub fn guard(routes: Router, access: Arc<Access>, limits: Limiter) -> Router {
    routes.layer(from_fn_with_state((access, limits), pass))
}

async fn pass(
    State((access, limits)): State<(Arc<Access>, Limiter)>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<Peer>();
    if access.has_to_verify(request.headers()) {
        // Signatures cost more than what most callers ask for, and wrong ones come for nothing.
        let stranger = Caller {
            name: None,
            network: peer.map(Peer::network),
            roles: Roles::default(),
        };
        if let Err(limited) = limits.call(&limits.client(Some(&stranger)), Instant::now()) {
            return Status::from(limited).into_http::<Body>().into_response();
        }
    }
    let role = role(request.uri().path());
    let caller = access.caller(peer, request.headers()).and_then(|caller| {
        role.map_or(Ok(()), |role| caller.may(role))?;
        Ok(caller)
    });
    let caller = match caller {
        Ok(caller) => caller,
        Err(denied) => return denied.into_http::<Body>().into_response(),
    };
    request.extensions_mut().insert(caller);
    let time = match role {
        Some(Role::Update) => UPDATE_TIME,
        _ => CALL_TIME,
    };
    let answer = tokio::time::timeout(time, next.run(request)).await;
    answer.unwrap_or_else(|_| grpc::late())
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
