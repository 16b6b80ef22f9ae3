//! [`Api`]: what the interfaces work on.

use std::ops::Deref;
use std::sync::Arc;

use node_host::NodeHandle;
use node_stratum::EndpointStats;
use tokio_util::sync::CancellationToken;

use crate::activity::Activity;
use crate::filter_headers::FilterHeaders;

/// The node, and what its interfaces know beside it. Stands for the node where one is wanted. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    node: NodeHandle,
    own: Arc<Own>,
    /// Cancelled when the caller has hung up.
    hung_up: CancellationToken,
}

struct Own {
    activity: Activity,
    filter_headers: FilterHeaders,
    stratum: Arc<EndpointStats>,
}

impl Api {
    /// Interfaces of `node`; `stratum` tells of its miners.
    pub fn new(node: NodeHandle, stratum: Arc<EndpointStats>) -> Api {
        Api {
            node,
            hung_up: CancellationToken::new(),
            own: Arc::new(Own {
                activity: Activity::default(),
                filter_headers: FilterHeaders::default(),
                stratum,
            }),
        }
    }

    /// The same for one call, whose caller has hung up when `hung_up` is cancelled.
    pub(crate) fn for_call(&self, hung_up: CancellationToken) -> Api {
        Api {
            hung_up,
            ..self.clone()
        }
    }

    /// Whether anybody still waits for what is being worked on: the caller is there, and the node does not stop.
    pub fn is_wanted(&self) -> bool {
        !self.node.stop().is_pressed() && !self.hung_up.is_cancelled()
    }

    /// The calls that are being carried out, and how many there were.
    pub fn activity(&self) -> &Activity {
        &self.own.activity
    }

    /// Filter headers that were made so far.
    pub fn filter_headers(&self) -> &FilterHeaders {
        &self.own.filter_headers
    }

    /// What miners of others did and do.
    pub fn stratum(&self) -> &EndpointStats {
        &self.own.stratum
    }
}

impl Deref for Api {
    type Target = NodeHandle;

    fn deref(&self) -> &NodeHandle {
        &self.node
    }
}
