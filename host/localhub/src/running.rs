//! Starting and stopping a hub, and using one from within its process.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::authorities;
use crate::configurations;
use crate::dps::Kind;
use crate::fault::Fault;
use crate::hub::Hub;
use crate::identity::Name;
use crate::invoke::Invocation;
use crate::jobs;
use crate::limits::{Door, Room, Visit};
use crate::lobby::Lobby;
use crate::mqtt;
use crate::page::Access;
use crate::presence;
use crate::rest::{self, Served, Service};
use crate::settings::Settings;
use crate::store::{Store, StoreError};
use crate::tls::{Tls, TlsError};
use crate::twin::{Change, ChangedProperties};

/// How long a stopping hub waits for requests under way.
const DRAIN: Duration = Duration::from_secs(5);

/// Why a hub could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory or a file in it.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// The cause.
        error: std::io::Error,
    },
    /// The database, which another hub may have open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The threads for those who come in.
    #[error("cannot start threads: {0}")]
    Threads(std::io::Error),
    /// A port.
    #[error("cannot listen on {address}: {error}; is another hub running, or the port a privileged one?")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// The cause.
        error: std::io::Error,
    },
}

/// The local hub.
pub struct LocalHub;

/// A hub that listens. Dropping it stops it without waiting; [`Running::stop`] waits.
pub struct Running {
    /// The name by which clients reach it.
    pub host: String,
    /// The port of MQTT over TLS.
    pub mqtt_port: u16,
    /// The port of REST, images and MQTT over WebSocket.
    pub https_port: u16,
    /// The certificate to trust, as PEM text.
    pub ca_pem: String,
    /// The owner's connection string, for operators' tools.
    pub owner: String,
    /// What provisioning clients name this hub by: see the module `dps` for how to use it.
    pub id_scope: String,
    /// The hub itself.
    pub hub: Arc<Hub>,
    access: Arc<Access>,
    service: Service,
    router: Router,
    pipes: Arc<Door>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl LocalHub {
    /// Opens the data directory and listens; everything works when this returns.
    pub async fn start(settings: Settings) -> Result<Running, StartError> {
        let file = |path: &PathBuf| {
            let path = path.clone();
            move |error| StartError::File { path, error }
        };
        std::fs::create_dir_all(&settings.data).map_err(file(&settings.data))?;
        let store = Store::open(&settings.data.join("hub.redb"))?;
        let mut authorities = Vec::new();
        for path in &settings.device_authorities {
            authorities.extend(authorities::of_file(path).map_err(file(path))?);
        }
        let hub =
            Arc::new(Hub::new(&settings, store, Lobby::open().map_err(StartError::Threads)?, authorities)?);
        let tls = Tls::prepare(&settings.data, &settings.host, settings.listen)?;
        let (mqtt, mqtt_port) = bind(&hub.lobby, settings.listen, settings.mqtt_port)?;
        let (https, https_port) = bind(&hub.lobby, settings.listen, settings.https_port)?;
        let owner = owner(&settings.host, https_port, hub.policies.owner_key());
        let owner_file = settings.data.join("owner.connection-string");
        crate::files::write(&owner_file, owner.as_bytes(), 0o600)
            .map_err(|(path, error)| StartError::File { path, error })?;

        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(presence::keep(Arc::clone(&hub), stop.clone()));
        let room = Room::make(&hub.limits);
        let acceptor = TlsAcceptor::from(tls.mqtt);
        let door = Door::new("MQTT", room.mqtt, Arc::clone(&hub.limits));
        let listen = mqtt::listen(mqtt, acceptor, Arc::clone(&hub), door, tasks.clone(), stop.clone());
        tasks.spawn_on(listen, hub.lobby.handle());
        let access = Arc::new(Access::default());
        tasks.spawn(jobs::run(Arc::clone(&hub), stop.clone()));
        tasks.spawn(configurations::run(Arc::clone(&hub), stop.clone()));
        let service = Service {
            hub: Arc::clone(&hub),
            images: settings.images.map(Arc::new),
            served: Served::default(),
            image_rate: settings.image_rate,
            tasks: tasks.clone(),
            stop: stop.clone(),
            mqtt_port,
            https_port,
            streams: Arc::new(Semaphore::new(rest::MOST_STREAMS)),
            access: Arc::clone(&access),
        };
        let acceptor = TlsAcceptor::from(tls.https);
        let door = Door::new("HTTPS", room.https, Arc::clone(&hub.limits));
        let router = rest::router(service.clone());
        tasks.spawn_on(
            rest::listen(https, acceptor, door, router.clone(), service.clone()),
            hub.lobby.handle(),
        );
        let pipes = Door::new("pipes", hub.limits.connections, Arc::clone(&hub.limits));
        tracing::info!(host = settings.host, mqtt_port, https_port, "the hub listens");
        let (host, ca_pem, id_scope) = (settings.host, tls.ca_pem, hub.id_scope.clone());
        Ok(Running {
            host,
            mqtt_port,
            https_port,
            ca_pem,
            owner,
            id_scope,
            hub,
            access,
            service,
            router,
            pipes,
            tasks,
            stop,
        })
    }
}

impl Running {
    /// Ends all connections and waits for them.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        if timeout(DRAIN, self.tasks.wait()).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
    }

    /// Serves one MQTT connection that came by no port: a pipe, or an embedder's own transport. There is no TLS and no client
    /// certificate; the limits hold as they do at the ports. A client that is in is served on after this returns.
    pub async fn serve_mqtt(&self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let Some(visit) = self.visit() else { return };
        let peer = mqtt::Peer::new(visit, self.hub.limits.connect_within);
        let (hub, stop, tasks) = (Arc::clone(&self.hub), self.stop.clone(), self.tasks.clone());
        mqtt::serve(mqtt::StreamWire::new(stream), hub, peer, stop, tasks).await;
    }

    /// Serves one HTTP connection that came by no port; as [`Running::serve_mqtt`] does.
    pub async fn serve_http(&self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let Some(visit) = self.visit() else { return };
        rest::converse(stream, self.router.clone(), visit, self.service.clone()).await;
    }

    fn visit(&self) -> Option<Arc<Visit>> {
        self.pipes.admit(SocketAddr::from(([127, 0, 0, 1], 0)), Instant::now()).ok()
    }

    /// Registers a device with fresh keys; gives its connection string.
    pub async fn create_device(&self, id: &str) -> Result<String, Fault> {
        let name = Name::device(id)?;
        let record = self.hub.blocking(move |hub| rest::create(hub, &name, &rest::Wanted::default())).await?;
        let key = record.identity.authentication.symmetric_key.primary_key.unwrap_or_default();
        Ok(format!("HostName={};DeviceId={id};SharedAccessKey={key}", self.host))
    }

    /// Lets one device register for provisioning, in the words of the provisioning service's REST; gives the enrollment
    /// back with its keys: `{"attestation": {"symmetricKey": {"primaryKey", …}}, …}`.
    pub async fn enroll(&self, registration_id: &str, enrollment: Value) -> Result<Value, Fault> {
        self.enroll_kind(Kind::Individual, registration_id, enrollment).await
    }

    /// The same for a group of devices.
    pub async fn enroll_group(&self, group_id: &str, enrollment: Value) -> Result<Value, Fault> {
        self.enroll_kind(Kind::Group, group_id, enrollment).await
    }

    async fn enroll_kind(&self, kind: Kind, id: &str, enrollment: Value) -> Result<Value, Fault> {
        let wrong = |error: serde_json::Error| Fault::Format(error.to_string());
        let wanted = serde_json::from_value(enrollment).map_err(wrong)?;
        let made = self.hub.enroll(kind, id.to_owned(), wanted, None).await?;
        serde_json::to_value(made).map_err(wrong)
    }

    /// The primary key of a policy, such as `service`.
    #[must_use]
    pub fn policy_key(&self, policy: &str) -> Option<&str> {
        self.hub.policies.primary_key(policy)
    }

    /// A device's twin as the device sees it: `{"desired": {…, "$version"}, "reported": {…, "$version"}}`.
    pub async fn twin(&self, id: &str) -> Result<Value, Fault> {
        Ok(self.hub.record(&Name::device(id)?).await?.twin.for_device())
    }

    /// Merges into a device's desired properties; gives their new version.
    pub async fn patch_desired(&self, id: &str, patch: Value) -> Result<u64, Fault> {
        let change = Change { tags: None, properties: Some(ChangedProperties { desired: Some(patch) }) };
        let record = self.hub.change_twin(&Name::device(id)?, change, false, None).await?;
        Ok(record.twin.desired.version)
    }

    /// Calls a direct method and waits up to `wait` for the device and again for its answer; gives status and
    /// payload.
    pub async fn invoke(
        &self,
        id: &str,
        method: &str,
        payload: &Value,
        wait: Duration,
    ) -> Result<(i32, Value), Fault> {
        let unreadable = |error: serde_json::Error| Fault::Format(error.to_string());
        let call = Invocation {
            method: method.to_owned(),
            payload: Some(serde_json::value::to_raw_value(payload).map_err(unreadable)?),
            response_timeout: wait,
            connect_timeout: wait,
        };
        let answered = self.hub.invoke(&Name::device(id)?, call).await?;
        let payload = serde_json::from_str(answered.payload.get()).map_err(unreadable)?;
        Ok((answered.status, payload))
    }

    /// A link to the page that signs a browser in, once and within ten minutes.
    #[must_use]
    pub fn page_link(&self) -> String {
        self.access.link(&self.host, self.https_port)
    }

    /// The line which `hotshoe-localhub serve` prints when it is ready.
    #[must_use]
    pub fn ready_line(&self, data: &std::path::Path) -> String {
        json!({
            "host": self.host,
            "mqttPort": self.mqtt_port,
            "httpsPort": self.https_port,
            "ca": data.join("ca.pem"),
            "owner": data.join("owner.connection-string"),
            "page": self.page_link(),
            "idScope": self.id_scope,
        })
        .to_string()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn bind(lobby: &Lobby, address: IpAddr, port: u16) -> Result<(TcpListener, u16), StartError> {
    let address = SocketAddr::new(address, port);
    let wrong = |error| StartError::Listen { address, error };
    let listener = lobby.listen(address).map_err(wrong)?;
    let port = listener.local_addr().map_err(wrong)?.port();
    Ok((listener, port))
}

fn owner(host: &str, https_port: u16, key: &str) -> String {
    let port = if https_port == 443 { String::new() } else { format!(":{https_port}") };
    format!("HostName={host}{port};SharedAccessKeyName=iothubowner;SharedAccessKey={key}")
}
