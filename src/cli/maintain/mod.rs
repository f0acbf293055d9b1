//! `lakebed maintain`: the services of many tables.

mod metrics;
mod report;
mod round;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;

use super::metrics_server::{self, MetricsServer, MetricsText};
use super::output::JsonSchema;
use super::progress::Progress;
use super::service::fleet_in;
use super::signals::stop_signal;
use super::{Context, Exit};
use crate::error::{Error, ErrorKind};
use crate::maintain::RunLimits;
use crate::maintain::fleet::{Fleet, FleetTables, json_schema};
use crate::memory::keep_within;
use crate::settings::{Size, TimeSpan};

use round::Round;

const EXAMPLES: &str = "\
Examples:
  lakebed maintain fleet.yaml                    do what is due in every table of the file, and end
  lakebed maintain fleet.yaml --dry-run          say what would be done, and what that costs
  lakebed maintain fleet.yaml --every 5m         again and again
  lakebed maintain fleet.yaml --metrics-file /var/lib/node_exporter/lakebed.prom
                                                 for Prometheus' textfile collector
  lakebed maintain fleet.yaml --every 5m --metrics 9101
                                                 serve http://127.0.0.1:9101/metrics meanwhile
  lakebed maintain '/lake/*/*' --max-time 4m     tables by a pattern, with the default settings
  lakebed maintain --print-schema                every setting of a fleet file, for editors

Of each table what dead writers left is undone, pending compactions, clusterings and cleans are
carried out, whoever planned them, and what is due is compacted, clustered, cleaned and archived.
Clustering is for tables without record keys, unless the fleet file says otherwise. Tables are
served in the order of what readers save for each byte that is read, but those where something is
overdue come first. A read budget lets one file group through at least. Writers go on meanwhile;
two runs at once do not disturb each other.

How it stands about a table at the end:
  idle      nothing is due
  due       something is, and was left by --dry-run
  done      what was due was done
  stopped   some of it was done: the next run goes on
  left      nothing of it was begun, since a limit was reached: the next run comes back to it
  conflict  somebody else was at the table: the next run tries again
  refused   Lakebed does not maintain such a table; `skip: true` in the fleet file leaves it out
  failed    it failed, and says why

A table that fails or is refused does not stop the others. Among others a refused one does not
change the exit code: it is listed. If some fail, it is 8. If nothing matches any pattern, it is
2, but with --every it is looked for again each time; that ends by a signal alone, with 0. With
--every and --format json each round prints one document.

FILES and READ COST of --dry-run are before and after. READ COST is what reading the whole table
takes, over what its base files alone would: a byte of a log file counts four times besides, a log
file as 256 KiB, since they are decoded and looked up. READ of `lakebed files` counts bytes alone.
FOUND / EXPECTED sets what compactions and clusterings took beside what --dry-run tells of them.
To \"note how far the table is clean\" is a clean that deletes nothing: the next one need not look
at what was written before.

SIGINT and SIGTERM finish what is begun; a second signal ends at once. A run that is stopped, or
killed, is gone on with by the next one; what it was at when it was killed is passed by until its
heartbeat has expired, 2m if not set otherwise.";

/// The arguments of `lakebed maintain`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct MaintainArgs {
    /// A fleet file, whose name ends in .yaml or .yml; or tables, also by patterns with *, ** and ?.
    #[arg(value_name = "FLEET.yaml | URI", required_unless_present = "print_schema")]
    fleet: Vec<String>,
    /// Say what would be done, and do nothing.
    #[arg(long, conflicts_with = "every")]
    dry_run: bool,
    /// Do it once and end, as is done without --every.
    #[arg(long, conflicts_with = "every")]
    once: bool,
    /// Do it again each time after so long, such as 5m, until a signal.
    #[arg(long, value_name = "TIME")]
    every: Option<TimeSpan>,
    /// Memory for all that is done at a time; what the file says, or 512MiB, if left out.
    #[arg(long, value_name = "SIZE")]
    memory: Option<Size>,
    /// Begin nothing more after this time, such as 4m; what the file says if left out.
    #[arg(long, value_name = "TIME")]
    max_time: Option<TimeSpan>,
    /// Write what the last round did into this file, in Prometheus' form: for its textfile collector.
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    metrics_file: Option<PathBuf>,
    /// Serve what the last round did, in Prometheus' form, at http://ADDR/metrics: a port, which is one of this
    /// machine alone, or an address with a port.
    #[arg(long, value_name = "ADDR", requires = "every", conflicts_with_all = ["once", "dry_run"], value_parser = metrics_server::parse_address)]
    metrics: Option<String>,
    /// Print the JSON Schema of fleet files, for editors, and end.
    #[arg(long, exclusive = true)]
    print_schema: bool,
}

impl MaintainArgs {
    fn fleet(&self) -> Result<Fleet, Error> {
        let is_file = |name: &String| {
            let ending = Path::new(name).extension();
            ending.is_some_and(|ending| ending == "yaml" || ending == "yml")
        };
        let fix = |error| Error::new(ErrorKind::FixInput, error);
        let mut fleet = match self.fleet.as_slice() {
            [file] if is_file(file) => fleet_in(Path::new(file))?,
            names => match names.iter().find(|name| is_file(name)) {
                Some(file) => {
                    let text = format!("{file}: a fleet file goes alone; name further tables in it");
                    return Err(Error::new(ErrorKind::FixInput, text));
                }
                None => Fleet::of_tables(names.to_vec()).map_err(fix)?,
            },
        };
        fleet.budget.memory = self.memory.or(fleet.budget.memory);
        fleet.budget.time = self.max_time.or(fleet.budget.time);
        Ok(fleet)
    }
}

/// Runs `lakebed maintain`.
pub(super) async fn run(context: &Context, args: MaintainArgs) -> Result<Exit, Error> {
    if args.print_schema {
        context.output.report(&JsonSchema(json_schema()))?;
        return Ok(Exit::Done);
    }
    let fleet = args.fleet()?;
    if let Some(path) = &args.metrics_file {
        metrics::folder_of(path).map_err(|error| metrics_failed(ErrorKind::FixInput, path, &error))?;
    }
    let memory_bytes = fleet.budget.memory.map_or(512 << 20, |Size(bytes)| bytes);
    if let Some(threads) = fleet.budget.threads {
        // Somebody who embeds the program's entry may have started them already.
        drop(rayon::ThreadPoolBuilder::new().num_threads(threads).build_global());
    }
    tokio::spawn(keep_within(memory_bytes));
    let progress = Progress::new(context.output);
    let told = progress.clone();
    let stop = stop_signal(move |stop| told.tell_stop(stop))?;
    let served = Arc::new(Mutex::new(String::new()));
    let server = match &args.metrics {
        Some(address) => Some(MetricsServer::start(address, text_of(&served)).await?),
        None => None,
    };
    if let Some(server) = &server {
        context.output.note(&format!("metrics are at http://{}/metrics", server.address));
    }
    let round = Round::new(&fleet, memory_bytes, &context.environment, &progress);
    if args.dry_run {
        let tables = any(find(&fleet, context).await?)?;
        let report = round.dry_run(tables).await;
        progress.end();
        context.output.report(&report)?;
        return Ok(report.exit());
    }
    loop {
        let begun = context.environment.clock.monotonic();
        let deadline = fleet.budget.time.map(|TimeSpan(time)| begun + time);
        let limits = RunLimits { stop: stop.clone(), deadline };
        let tables = find(&fleet, context).await?;
        // Again and again, there may be some later.
        let tables = if args.every.is_some() { tables } else { any(tables)? };
        let mut report = round.run(tables, &limits).await;
        report.is_one_of_many = args.every.is_some();
        progress.end();
        let took = context.environment.clock.monotonic().saturating_sub(begun);
        let text = metrics::text(&report, took);
        if let Some(path) = &args.metrics_file {
            metrics::write(path, &text).map_err(|error| metrics_failed(ErrorKind::Failed, path, &error))?;
        }
        *served.lock().unwrap_or_else(PoisonError::into_inner) = text;
        context.output.report(&report)?;
        let Some(TimeSpan(every)) = args.every else { return Ok(report.exit()) };
        if !rest(context, &limits, every.saturating_sub(took)).await {
            return Ok(Exit::Done);
        }
    }
}

fn metrics_failed(kind: ErrorKind, path: &Path, error: &io::Error) -> Error {
    Error::new(kind, format!("--metrics-file {}: {error}", path.display()))
}

async fn find(fleet: &Fleet, context: &Context) -> Result<FleetTables, Error> {
    let found = FleetTables::find(fleet, &context.environment).await;
    found.map_err(|error| Error::new(ErrorKind::FixInput, error))
}

/// Refuses a fleet of patterns that match no table at all.
fn any(found: FleetTables) -> Result<FleetTables, Error> {
    match found.tables.is_empty() && !found.unmatched.is_empty() {
        true => {
            let patterns = found.unmatched.join(", ");
            Err(Error::new(ErrorKind::FixInput, format!("there is no table: nothing matches {patterns}")))
        }
        false => Ok(found),
    }
}

fn text_of(served: &Arc<Mutex<String>>) -> MetricsText {
    let served = served.clone();
    Arc::new(move || served.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

/// Waits for the next round; says whether there is to be one.
async fn rest(context: &Context, limits: &RunLimits, time: Duration) -> bool {
    let mut stop = limits.stop.clone();
    tokio::select! {
        () = context.environment.clock.sleep(time) => !*limits.stop.borrow(),
        _ = stop.wait_for(|is_asked| *is_asked) => false,
    }
}
