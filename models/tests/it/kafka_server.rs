//! A real Kafka broker on a loopback port: Apache's own, broker and controller in one process, over a folder of its own.

use std::{
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use models::stream::kafka::Options;

/// Any id will do for a cluster of one.
const CLUSTER: &str = "MkU3OEVBNTcwNTJENDM2Qg";

/// A broker that runs or has been killed; it and its folder are gone with the value.
pub struct Broker {
    child: Child,
    jars: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Broker {
    /// Starts a broker from the folder of jars that `BOOKLOOP_TEST_KAFKA` names and waits until it takes connections.
    /// Topics are made when they are first written to, with three partitions.
    pub fn start() -> Self {
        let jars = std::env::var_os("BOOKLOOP_TEST_KAFKA")
            .expect("BOOKLOOP_TEST_KAFKA must be a folder with Kafka's jars to run this test");
        let (jars, folder) = (PathBuf::from(jars), tempfile::tempdir().unwrap());
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (broker, controller) = (free(), free());
        let [port, controller] = [broker, controller].map(|listener| listener.local_addr().unwrap().port());
        let settings = format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
             log.dirs={}\n\
             num.partitions=3\n\
             offsets.topic.replication.factor=1\n\
             offsets.topic.num.partitions=1\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n\
             group.initial.rebalance.delay.ms=0\n",
            folder.path().join("log").display()
        );
        std::fs::write(folder.path().join("server.properties"), settings).unwrap();
        let formatted = java(&jars, &folder)
            .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", "server.properties"])
            .status()
            .expect("java starts");
        assert!(formatted.success(), "the broker's folder was not formatted: {formatted}");
        let mut broker = Self { child: serve(&jars, &folder), jars, folder, port };
        broker.answers();
        broker
    }

    /// How clients reach it.
    pub fn options(&self) -> Options {
        Options { bootstrap: format!("127.0.0.1:{}", self.port), properties: Vec::new() }
    }

    /// Ends it at once, as a lost machine would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again where it was.
    pub fn start_again(&mut self) {
        self.child = serve(&self.jars, &self.folder);
        self.answers();
    }

    fn answers(&mut self) {
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(self.child.try_wait().unwrap().is_none(), "the broker ended");
            assert!(begun.elapsed() < Duration::from_mins(2), "the broker did not answer within its time");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn java(jars: &std::path::Path, folder: &tempfile::TempDir) -> Command {
    let mut java = Command::new("java");
    java.current_dir(folder.path()).args(["-Xmx256m", "-cp"]).arg(jars.join("*"));
    java.stdout(Stdio::null()).stderr(Stdio::null());
    java
}

fn serve(jars: &std::path::Path, folder: &tempfile::TempDir) -> Child {
    java(jars, folder).args(["kafka.Kafka", "server.properties"]).spawn().expect("java starts")
}
