//! What the real systems need, installed once into a folder that all checkouts share.
//!
//! Packages are asked for by name from the ordinary clients (`pip`, `mvn`, `cargo`), so that their
//! own configuration says where packages come from.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use xxhash_rust::xxh3::Xxh3;

/// Why something could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// No place to install to.
    #[error("no folder to install to: set LAKEBED_CACHE, XDG_CACHE_HOME or HOME")]
    NoFolder,
    /// A program that does the installing is missing.
    #[error("{program} cannot be started ({source}): install it and put it on the PATH")]
    Program {
        /// The program.
        program: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A program failed.
    #[error("{command} failed with {status}:\n{output}")]
    Failed {
        /// The program and its arguments.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it wrote.
        output: String,
    },
    /// The cache folder cannot be used.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// How a program of ours is built: a profile of its workspace.
#[derive(Debug, Clone, Copy)]
pub enum Profile {
    /// Fast to build: it is asked what it does.
    Checks,
    /// Fast to run: it is asked how long it takes, too.
    Release,
}

impl Profile {
    /// Its name, and that of the folder in which Cargo leaves what it has built.
    fn name(self) -> &'static str {
        match self {
            Self::Checks => "checks",
            Self::Release => "release",
        }
    }
}

/// An artifact of Maven Central, without its dependencies.
#[derive(Debug, Clone, Copy)]
pub struct Artifact {
    /// Group.
    pub group: &'static str,
    /// Name.
    pub name: &'static str,
    /// Version.
    pub version: &'static str,
    /// Classifier, of artifacts that have several jars.
    pub classifier: Option<&'static str>,
}

impl Artifact {
    fn file_name(&self) -> String {
        let classifier = self.classifier.map(|text| format!("-{text}")).unwrap_or_default();
        format!("{}-{}{classifier}.jar", self.name, self.version)
    }

    fn coordinates(&self) -> String {
        let classifier = self.classifier.map(|text| format!(":{text}")).unwrap_or_default();
        format!("{}:{}:{}:jar{classifier}", self.group, self.name, self.version)
    }
}

/// The folder of installed systems: `$LAKEBED_CACHE`, else `$XDG_CACHE_HOME/lakebed`, else
/// `~/.cache/lakebed`.
///
/// What is there is used as it is. Installing takes a lock on the folder, so that two processes
/// can ask for the same thing at once.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The cache folder of this user, made if need be.
    ///
    /// # Errors
    /// No such folder.
    pub fn open() -> Result<Self, InstallError> {
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let folder = set("LAKEBED_CACHE")
            .or_else(|| Some(set("XDG_CACHE_HOME")?.join("lakebed")))
            .or_else(|| Some(set("HOME")?.join(".cache/lakebed")))
            .ok_or(InstallError::NoFolder)?;
        fs::create_dir_all(&folder).map_err(io_at(&folder))?;
        Ok(Self { folder })
    }

    /// The jar of `artifact`.
    ///
    /// # Errors
    /// It is not there and cannot be fetched.
    pub fn jar(&self, artifact: &Artifact) -> Result<PathBuf, InstallError> {
        let jars = self.folder.join("jars");
        let jar = jars.join(artifact.file_name());
        if jar.exists() {
            return Ok(jar);
        }
        let _lock = self.lock()?;
        if !jar.exists() {
            // Copied next to its place first: a jar that is there is whole.
            let partial = self.folder.join("jars.partial");
            let mut copy = Command::new("mvn");
            copy.args(["--batch-mode", "--quiet", "dependency:copy"])
                .arg(format!("-Dartifact={}", artifact.coordinates()))
                .arg(format!("-DoutputDirectory={}", partial.display()))
                .current_dir(&self.folder);
            run(&mut copy)?;
            fs::create_dir_all(&jars).map_err(io_at(&jars))?;
            let copied = partial.join(artifact.file_name());
            fs::rename(&copied, &jar).map_err(io_at(&copied))?;
        }
        Ok(jar)
    }

    /// The interpreter of the Python environment of that name, which has `packages`.
    ///
    /// # Errors
    /// It is not there and cannot be made.
    pub fn python(&self, environment: &str, packages: &[&str]) -> Result<PathBuf, InstallError> {
        let venv = self.folder.join(environment);
        let python = venv.join("bin/python");
        let note = venv.join("lakebed-packages.txt");
        let wanted = packages.join("\n");
        let installed = || fs::read_to_string(&note).is_ok_and(|found| found == wanted);
        if installed() {
            return Ok(python);
        }
        let _lock = self.lock()?;
        if !installed() {
            if !python.exists() {
                let base = std::env::var_os("LAKEBED_PYTHON").unwrap_or_else(|| "python3".into());
                run(Command::new(base).args(["-m", "venv"]).arg(&venv))?;
            }
            let mut pip = Command::new(&python);
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
            run(&mut pip)?;
            fs::write(&note, wanted).map_err(io_at(&note))?;
        }
        Ok(python)
    }

    /// The program `name` of the cargo workspace in `folder`, built for its present sources.
    ///
    /// `settings` are variables that its build needs.
    ///
    /// # Errors
    /// It is not there and does not build.
    pub fn program(
        &self,
        folder: &Path,
        (name, profile): (&str, Profile),
        settings: &[(&str, &Path)],
    ) -> Result<PathBuf, InstallError> {
        let programs = self.folder.join("programs");
        let program = programs.join(format!("{name}-{}-{:016x}", profile.name(), fingerprint(folder)?));
        if program.exists() {
            return Ok(program);
        }
        let _lock = self.lock()?;
        if !program.exists() {
            let mut build = Command::new("cargo");
            build.args(["build", "--profile", profile.name(), "--locked", "--quiet"]).current_dir(folder);
            let target = self.folder.join("builds").join(name);
            build.arg("--target-dir").arg(&target).envs(settings.iter().copied());
            run(&mut build)?;
            fs::create_dir_all(&programs).map_err(io_at(&programs))?;
            // Copied next to its place first: a program that is there is whole.
            let (built, partial) = (target.join(profile.name()).join(name), programs.join("partial"));
            fs::copy(&built, &partial).map_err(io_at(&built))?;
            fs::rename(&partial, &program).map_err(io_at(&partial))?;
        }
        Ok(program)
    }

    fn lock(&self) -> Result<File, InstallError> {
        let path = self.folder.join("install.lock");
        let file = File::create(&path).map_err(io_at(&path))?;
        file.lock().map_err(io_at(&path))?;
        Ok(file)
    }
}

/// A number for what the program in `folder` is built from.
fn fingerprint(folder: &Path) -> Result<u64, InstallError> {
    let sources = folder.join("src");
    let entries = fs::read_dir(&sources).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let mut files: Vec<PathBuf> = entries.map_err(io_at(&sources))?.iter().map(fs::DirEntry::path).collect();
    files.sort();
    files.extend([folder.join("Cargo.toml"), folder.join("Cargo.lock")]);
    let mut hash = Xxh3::new();
    for file in files {
        hash.update(&fs::read(&file).map_err(io_at(&file))?);
    }
    Ok(hash.digest())
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> InstallError {
    let path = path.to_owned();
    move |source| InstallError::Io { path, source }
}

fn run(command: &mut Command) -> Result<(), InstallError> {
    let program = PathBuf::from(command.get_program());
    let output = command.output().map_err(|source| InstallError::Program { program, source })?;
    if output.status.success() {
        return Ok(());
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Err(InstallError::Failed { command: format!("{command:?}"), status: output.status, output: text })
}
